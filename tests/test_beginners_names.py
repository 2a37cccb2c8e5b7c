"""Names that programs use in passing: devices they ask for, old types, lazy layers, what an index error says."""

from typing import Any

import numpy as np
import pytest
import torch

import minitrain

BOTH = pytest.mark.parametrize("lib", [minitrain, torch], ids=["minitrain", "torch"])


@BOTH
def test_programs_that_prepare_for_a_gpu_run_without_one(lib: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = lib.device("cuda:0" if lib.cuda.is_available() else "cpu")
    lib.cuda.manual_seed(0)
    lib.cuda.manual_seed_all(0)
    lib.cuda.empty_cache()
    for name in ("benchmark", "deterministic"):
        monkeypatch.setattr(lib.backends.cudnn, name, getattr(lib.backends.cudnn, name))
    lib.set_default_device("cpu")
    try:
        with lib.device("cpu"):
            assert lib.ones(1, device=device).device == lib.get_default_device()
    finally:
        lib.set_default_device(None)


def test_another_device_is_refused_with_advice() -> None:
    with pytest.raises(RuntimeError, match="device 'cuda' is not offered"):
        minitrain.set_default_device("cuda")
    with pytest.raises(AttributeError, match=r"torch\.cuda\.get_device_name: there is no device other than the CPU"):
        minitrain.cuda.get_device_name(0)


@BOTH
def test_an_old_type_names_a_dtype(lib: Any) -> None:
    x = lib.tensor([True, False]).type(lib.FloatTensor)
    assert x.dtype == lib.float32 == lib.FloatTensor.dtype
    assert x.long().type(lib.DoubleTensor).dtype == lib.float64


@BOTH
def test_a_lazy_layers_parameters_stay_the_optimizers(lib: Any) -> None:
    layer = lib.nn.LazyLinear(1)
    weight = layer.weight
    optimizer = lib.optim.SGD(layer.parameters(), lr=0.5)
    layer(lib.ones(2, 3)).sum().backward()
    assert layer.weight is weight
    before = weight.detach().clone()
    optimizer.step()
    assert (before - layer.weight).tolist() == pytest.approx(np.ones((1, 3)))


@BOTH
def test_a_lazy_layer_takes_its_size_from_what_it_loads(lib: Any) -> None:
    model = lib.nn.Sequential(lib.nn.LazyLinear(3), lib.nn.ReLU(), lib.nn.LazyLinear(1))
    state = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU(), lib.nn.Linear(3, 1)).state_dict()
    model.load_state_dict(state)
    assert repr(model[0]) == "LazyLinear(in_features=0, out_features=3, bias=True)"  # until the first forward
    before = lib.get_rng_state()
    assert model(lib.ones(4, 2)).shape == (4, 1)
    assert lib.equal(before, lib.get_rng_state())
    assert repr(model[0]) == "Linear(in_features=2, out_features=3, bias=True)"
    assert lib.equal(model[0].weight, state["0.weight"])


@BOTH
@pytest.mark.parametrize(
    ("index", "message"),
    [
        (9, "index 9 is out of bounds for dimension 0 with size 4"),
        ((0, -9), "index -9 is out of bounds for dimension 1 with size 6"),
        ([0, 9], "index 9 is out of bounds for dimension 0 with size 4"),
        ((0, 0, 0), "too many indices for tensor of dimension 2"),
    ],
)
def test_an_index_error_says_what_torch_says(lib: Any, index: Any, message: str) -> None:
    with pytest.raises(IndexError, match=f"^{message}$"):
        lib.zeros(4, 6)[index]
    with pytest.raises(IndexError, match=f"^{message}$"):
        lib.zeros(4, 6)[index] = 1


@BOTH
@pytest.mark.parametrize(
    ("index", "message"),
    [
        (0, "invalid index of a 0-dim tensor. Use `tensor.item\\(\\)` in Python"),
        (slice(None), "slice\\(\\) cannot be applied to a 0-dim tensor."),
        ((0, 0), "too many indices for tensor of dimension 0"),
    ],
)
def test_the_index_of_a_single_number_is_an_error_that_names_item(lib: Any, index: Any, message: str) -> None:
    loss = lib.tensor(2.0)
    with pytest.raises(IndexError, match=f"^{message}"):
        loss.data[index]
    with pytest.raises(IndexError, match=f"^{message}"):
        loss[index] = 1


@BOTH
def test_views_begin_at_the_same_address(lib: Any) -> None:
    x = lib.zeros(4, 6)
    assert x.data_ptr() == x.view(24).data_ptr() == x[0].data_ptr() != x[1].data_ptr() != x.clone().data_ptr()


@BOTH
def test_equal_neighbours_in_a_module_list_share_a_line(lib: Any) -> None:
    modules = lib.nn.ModuleList([lib.nn.Tanh(), lib.nn.Tanh(), lib.nn.Sequential(lib.nn.ReLU()), lib.nn.Tanh()])
    assert repr(modules) == (
        "ModuleList(\n  (0-1): 2 x Tanh()\n  (2): Sequential(\n    (0): ReLU()\n  )\n  (3): Tanh()\n)"
    )
    assert repr(lib.nn.ModuleList()) == "ModuleList()"


def test_functional_has_torchs_names() -> None:
    import minitrain.functional

    assert minitrain.functional.einsum is minitrain.einsum
    assert all(hasattr(torch.functional, name) for name in minitrain.functional.__all__)


@BOTH
def test_layers_follow_the_default_dtype(lib: Any) -> None:
    lib.set_default_dtype(lib.float64)
    try:
        layers = [lib.nn.Linear(2, 2), lib.nn.Conv2d(1, 1, 3), lib.nn.BatchNorm1d(2), lib.nn.Embedding(3, 2)]
        assert all(parameter.dtype == lib.float64 for layer in layers for parameter in layer.parameters())
    finally:
        lib.set_default_dtype(lib.float32)


@BOTH
def test_a_lazy_layer_that_was_loaded_computes_the_same_bits(lib: Any) -> None:
    models = [lib.nn.Sequential(lib.nn.LazyLinear(256), lib.nn.ReLU(), lib.nn.LazyLinear(10)) for _ in range(2)]
    x = lib.rand(2, 20)
    models[0](x)
    models[1].load_state_dict(models[0].state_dict())
    assert lib.equal(models[0](x), models[1](x))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda t: t.nn.Linear(2, 3, biass=True), "did you mean bias="),
        (lambda t: t.optim.SGD([t.ones(1)], nestrov=True), "did you mean nesterov="),
        (lambda t: t.optim.Adam([t.ones(1)], learning_rate=1), "it takes params, lr, betas"),
        (lambda t: t.optim.lr_scheduler.StepLR(None, step=3), "did you mean step_size="),
        (lambda t: t.utils.data.DataLoader([1], batchsize=3), "did you mean batch_size="),
        (lambda t: t.vision.transforms.Resize(3, sizes=4), "did you mean size="),
        (lambda t: t.vision.datasets.FashionMNIST(".", trian=True), "did you mean train="),
        (lambda t: t.zeros(3, dtyp=t.float), "did you mean dtype="),
        (lambda t: t.exp(t.ones(1), outt=1), "minitrain does not offer it"),
        (lambda t: t.ones(1).sum(dims=0), "did you mean dim="),
    ],
)
def test_an_unknown_keyword_is_answered_with_the_nearest(call: Any, hint: str) -> None:
    import minitrain.vision

    with pytest.raises(
        TypeError, match=rf"unexpected keyword argument '\w+': minitrain does not offer it.*{hint}|{hint}"
    ):
        call(minitrain)


def test_a_type_error_from_within_stays_as_it_is() -> None:
    with pytest.raises(TypeError, match=r"not iterable") as caught:
        minitrain.cat(3)
    assert "does not offer" not in str(caught.value)


def test_what_a_tensor_or_a_module_lacks_is_answered_with_advice() -> None:
    with pytest.raises(AttributeError, match=r"minitrain does not offer torch.Tensor.cuda: there is no device"):
        minitrain.ones(1).cuda()
    with pytest.raises(AttributeError, match=r"does not offer torch.Tensor.summ: did you mean sum"):
        minitrain.ones(1).summ()
    with pytest.raises(AttributeError, match="nothing is compiled here"):
        minitrain.nn.Linear(1, 1).compile()
    with pytest.raises(AttributeError, match=r"^'Linear' object has no attribute 'own'$"):
        minitrain.nn.Linear(1, 1).own  # noqa: B018, a program's own name
    with pytest.raises(AttributeError, match=r"does not offer torch\.backends\.mkldnn"):
        minitrain.backends.mkldnn  # noqa: B018
