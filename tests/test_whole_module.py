"""A whole model is saved and loaded as in torch, with the same next step; a file can only fill classes that exist."""

import io
import json
import pickle
import sys
from typing import Any
from zlib import crc32

import pytest
import safetensors.numpy

import minitrain
from minitrain import nn


class Net(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden, self.sizes = hidden, {"in": 3, "out": [2]}
        self.layers = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.scale = nn.Parameter(minitrain.ones(2), requires_grad=False)
        self.register_buffer("seen", minitrain.zeros(1), persistent=False)

    def forward(self, x: minitrain.Tensor) -> Any:
        return self.layers(x) * self.scale


def saved(model: Any) -> bytes:
    file = io.BytesIO()
    minitrain.save(model, file)
    return file.getvalue()


def loaded(data: bytes, **options: Any) -> Any:
    return minitrain.load(io.BytesIO(data), weights_only=False, **options)


def step(model: Any) -> list[bytes]:
    optimizer = minitrain.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(minitrain.arange(12.0).reshape(4, 3)).square().sum().backward()
    optimizer.step()
    return [p.numpy().tobytes() for p in model.state_dict().values()]


def test_a_model_comes_back_with_its_attributes_and_its_next_step() -> None:
    model = Net(4).eval()
    again = loaded(saved({"model": model, "epoch": 3}))["model"]
    assert type(again) is Net
    assert repr(again) == repr(model)
    assert (again.training, again.hidden, again.sizes) == (False, 4, {"in": 3, "out": [2]})
    assert not again.scale.requires_grad
    assert list(again.state_dict()) == list(model.state_dict())
    assert [p.array.strides for p in again.parameters()] == [p.array.strides for p in model.parameters()]
    assert step(again.train()) == step(model.train())


def test_it_is_loaded_only_where_that_is_asked_for_and_the_class_is_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Net(4))
    with pytest.raises(pickle.UnpicklingError, match=r"Weights only load failed: .* Net"):
        minitrain.load(io.BytesIO(data))
    monkeypatch.delattr(sys.modules[__name__], "Net")
    with pytest.raises(ValueError, match=r"the class Net, which .*test_whole_module does not define"):
        loaded(data)


def test_a_layer_that_is_imported_with_its_first_use_comes_back() -> None:
    assert (
        repr(loaded(saved(nn.ConvTranspose2d(1, 2, 3)))) == "ConvTranspose2d(1, 2, kernel_size=(3, 3), stride=(1, 1))"
    )


def test_what_no_file_can_hold_is_refused_with_the_remedy() -> None:
    model = Net(4)
    model.activation = nn.functional.relu
    with pytest.raises(TypeError, match=r"cannot save a function.*state_dict\(\)"):
        saved(model)
    hooked = nn.Linear(1, 1)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match="has hooks"):
        saved(hooked)


PLAIN = {"plain dict": []}
WHOLE = {
    "plain dict": [[key, PLAIN] for key in ("_parameters", "_buffers", "_modules")] + [["_not_saved", {"list": []}]]
}


@pytest.mark.parametrize(
    "content",
    [
        ["os", "system", WHOLE],
        ["builtins", "exec", WHOLE],
        ["minitrain.nn.lost", "Lost", WHOLE],
        ["minitrain.tensor", "Tensor", WHOLE],
        ["minitrain.nn.layers", "ReLU", PLAIN],
        ["minitrain.nn.layers", "ReLU", {"value": 3}],
        ["minitrain.nn.layers", 3, WHOLE],
        ["minitrain.nn.layers", "ReLU", {"plain dict": [*WHOLE["plain dict"], ["_forward_hooks", PLAIN]]}],
        ["minitrain.nn.layers", "ReLU", {"plain dict": [*WHOLE["plain dict"], ["_modules", {"value": 3}]]}],
        [
            "minitrain.nn.layers",
            "ReLU",
            {"plain dict": [*WHOLE["plain dict"], ["_parameters", {"plain dict": [["w", {"list": []}]]}]]},
        ],
    ],
    ids=str,
)
def test_a_file_can_name_nothing_but_a_module_and_its_attributes(content: Any) -> None:
    text = json.dumps({"module": content})
    data = safetensors.numpy.save({}, {"minitrain": f'["minitrain", {crc32(text.encode())}, {text}]'})
    with pytest.raises(ValueError, match="cannot read"):
        loaded(data)


def test_such_a_file_is_read_where_nothing_is_wrong_with_it() -> None:
    text = json.dumps({"module": ["minitrain.nn.layers", "ReLU", WHOLE]})
    data = safetensors.numpy.save({}, {"minitrain": f'["minitrain", {crc32(text.encode())}, {text}]'})
    assert type(loaded(data)) is nn.ReLU
