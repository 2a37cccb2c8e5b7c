"""Files that torch.save wrote are read: Tensors and plain data come back, everything else is refused by name."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.nn import Parameter
from minitrain.tensor import Tensor
from minitrain.torch_file import load_torch_file


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file)
    return file.getvalue()


def loaded(obj: Any) -> Any:
    return load_torch_file(io.BytesIO(saved(obj)))


def test_a_state_dict_comes_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = loaded(model.state_dict())
    assert type(state) is collections.OrderedDict
    assert list(state) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert np.array_equal(state[name].array, tensor.numpy())
        assert state[name].array.dtype == tensor.numpy().dtype


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_plain_data_comes_back(obj: Any) -> None:
    again = loaded(obj)
    assert again == obj
    assert type(again) is type(obj)


def test_an_optimizers_state_comes_back() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    state = loaded({"epoch": 3, "optimizer": optimizer.state_dict()})
    assert state["epoch"] == 3
    assert state["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert np.allclose(state["optimizer"]["state"][0]["exp_avg"].array, 0.1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).t(),
        torch.arange(10.0)[2:8:2],
        torch.zeros(0, 3),
        torch.tensor(3.5),
        torch.tensor([True, False]),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.arange(4, dtype=torch.int16),
    ],
)
def test_a_tensor_comes_back_whatever_its_layout(tensor: torch.Tensor) -> None:
    again = loaded(tensor).array
    assert np.array_equal(again, tensor.numpy())
    assert again.dtype == tensor.numpy().dtype
    assert again.flags.c_contiguous


def test_bfloat16_is_widened_and_float16_stays() -> None:
    assert loaded(torch.tensor([1.5, -2.25], dtype=torch.bfloat16)).array.tolist() == [1.5, -2.25]
    assert loaded(torch.tensor([0.1], dtype=torch.bfloat16)).array.dtype == np.float32
    assert loaded(torch.tensor([0.1], dtype=torch.float16)).array.dtype == np.float16


def test_parameters_sizes_and_dtypes_come_back() -> None:
    again = loaded([torch.nn.Parameter(torch.ones(1)), torch.Size([1, 2]), torch.float32, {1, 2}])
    assert isinstance(again[0], Parameter)
    assert again[0].requires_grad
    assert again[1:] == [(1, 2), np.dtype("float32"), {1, 2}]


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (Harmful(), "posix.mkdir|nt.mkdir"),
        ([{"deep": Harmful()}], "mkdir"),
        (torch.nn.Linear(1, 1), r"torch.nn.modules.linear.Linear.*save model.state_dict\(\)"),
        (print, "print"),
        (np.float64(3), "numpy"),
    ],
)
def test_whatever_is_not_plain_is_refused_by_name_and_not_run(
    obj: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=name):
        loaded(obj)
    assert not list(tmp_path.iterdir())


def archive(data: bytes, storage: bytes = b"\0" * 8, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as zipped:
        zipped.writestr("a/data.pkl", data)
        zipped.writestr("a/byteorder", "little")
        zipped.writestr("a/data/0", storage)
    file.seek(0)
    return file


class Rebuilt:
    """Pickles as a Tensor of torch's with these numbers."""

    def __init__(self, *numbers: Any) -> None:
        self.numbers = numbers

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (Storage(), *self.numbers, False, collections.OrderedDict())


class Storage:
    pass


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 2) if isinstance(obj, Storage) else None


@pytest.mark.parametrize(
    "numbers",
    [
        (0, (3,), (1,)),
        (1, (2,), (1,)),
        (-1, (1,), (1,)),
        (0, (2**40,), (0,)),
        (0, (2**20, 2**20), (0, 0)),
        (0, (2,), (-1,)),
        (0, (2, 1), (1,)),
        (0, ("2",), (1,)),
        (0, (2.0,), (1,)),
    ],
)
def test_a_tensor_beyond_its_memory_is_refused(numbers: Any) -> None:
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(Rebuilt(*numbers))
    with pytest.raises(ValueError, match=r"cannot be built|larger than its memory"):
        load_torch_file(archive(file.getvalue()))


def test_a_compressed_archive_is_refused_before_it_is_expanded() -> None:
    with pytest.raises(ValueError, match="compressed"):
        load_torch_file(archive(pickle.dumps("a" * 10**6), compression=zipfile.ZIP_DEFLATED))


@given(st.data())
def test_a_damaged_file_ends_in_a_clean_error_or_a_value(data: st.DataObject) -> None:
    content = bytearray(saved({"weight": torch.arange(4.0), "epoch": 3}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), len(content) // 2, 100]))
    try:
        again = load_torch_file(io.BytesIO(bytes(content[:end])))
    except ValueError:
        return
    assert isinstance(again, dict | Tensor | list | tuple | str | int | float | type(None))
