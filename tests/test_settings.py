"""torch's settings, questions about dtypes, and names that old or statistical programs use, on both libraries."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import minitrain

BOTH = pytest.mark.parametrize("lib", [minitrain, torch], ids=["minitrain", "torch"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_limits_of_floats_are_torchs(dtype: str) -> None:
    ours, theirs = (library.finfo(getattr(library, dtype)) for library in (minitrain, torch))
    for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.resolution == pytest.approx(theirs.resolution)
    assert repr(ours) == repr(theirs)
    assert minitrain.finfo().eps == torch.finfo().eps


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_the_limits_of_integers_are_torchs(dtype: str) -> None:
    ours, theirs = (library.iinfo(getattr(library, dtype)) for library in (minitrain, torch))
    assert (ours.bits, ours.min, ours.max, repr(ours)) == (theirs.bits, theirs.min, theirs.max, repr(theirs))


def test_what_two_dtypes_give_is_torchs() -> None:
    names = ["bool", "uint8", "int16", "int64", "float16", "float32", "float64"]
    for a in names:
        for b in names:
            ours, theirs = (
                (
                    str(library.promote_types(getattr(library, a), getattr(library, b))).removeprefix("torch."),
                    library.can_cast(getattr(library, a), getattr(library, b)),
                )
                for library in (minitrain, torch)
            )
            assert ours == theirs, (a, b)
    assert minitrain.result_type(minitrain.ones(1, dtype=minitrain.int32), 1.5) == minitrain.float32


@BOTH
def test_settings_that_change_no_number_are_accepted(lib: Any) -> None:
    before = lib.get_num_threads()
    lib.set_num_threads(before)
    assert isinstance(before, int)
    deterministic = lib.are_deterministic_algorithms_enabled()
    lib.use_deterministic_algorithms(deterministic, warn_only=True)
    lib.set_float32_matmul_precision("highest")
    assert lib.get_float32_matmul_precision() == "highest"
    with lib.autograd.no_grad(), lib.autograd.enable_grad(), lib.autograd.set_grad_enabled(False):
        assert not lib.is_grad_enabled()


def test_another_number_of_threads_is_answered_with_the_way_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert minitrain.get_num_threads() == 3
    with pytest.warns(UserWarning, match="OMP_NUM_THREADS=1 python"):
        minitrain.set_num_threads(1)
    with pytest.raises(RuntimeError, match="positive number"):
        minitrain.set_num_threads(0)
    with pytest.raises(ValueError, match="'highest', 'high' or 'medium'"):
        minitrain.set_float32_matmul_precision("low")


@BOTH
@pytest.mark.parametrize("name", ["torch.DoubleTensor", "type"])
def test_the_default_type_by_its_old_name(lib: Any, name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that it is deprecated
            lib.set_default_tensor_type(lib.DoubleTensor if name == "type" else name)
        assert lib.zeros(1).dtype == lib.float64
    finally:
        lib.set_default_dtype(lib.float32)


@BOTH
def test_where_a_tensor_is(lib: Any) -> None:
    x = lib.arange(12.0).reshape(3, 4)
    assert (x.is_cuda, x.is_cpu, x.is_sparse, x.get_device()) == (False, True, False, -1)
    assert [x.storage_offset(), x[1].storage_offset(), x[:, 2:].t().storage_offset()] == [0, 4, 2]


@BOTH
def test_old_and_other_ways_to_a_new_tensor(lib: Any) -> None:
    x = lib.ones(2, dtype=lib.float64)
    assert [x.new(2, 3).shape, x.new([1, 2]).tolist(), x.new(x.size()).dtype] == [(2, 3), [1.0, 2.0], lib.float64]
    array = np.zeros(2, np.float32)
    shared, copied = lib.asarray(array), lib.asarray(array, copy=True)
    array[0] = 5
    assert (shared.tolist(), copied.tolist()) == ([5, 0], [0, 0])
    assert lib.asarray([1.0], requires_grad=True).requires_grad
    assert lib.scalar_tensor(3).dtype == lib.float32


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("q", [0.3, 1.0, [0.0, 0.25, 0.5]])
def test_quantiles(q: Any, dim: int | None, interpolation: str) -> None:
    array = np.random.RandomState(0).randn(5, 4)
    array[3, 2] = np.nan
    for keepdim in (True, False):
        results = []
        for library in (minitrain, torch):
            x = library.tensor(array, requires_grad=True)
            share = library.tensor(q, dtype=library.float64) if isinstance(q, list) else q
            y = library.quantile(x, share, dim, keepdim, interpolation=interpolation)
            y.nansum().backward()
            results.append((y.detach().numpy(), x.grad.numpy()))
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
            assert ours.shape == theirs.shape


@BOTH
def test_a_quantile_needs_floats_and_a_share(lib: Any) -> None:
    with pytest.raises(RuntimeError, match="float or double"):
        lib.tensor([1, 2]).quantile(0.5)
    with pytest.raises(RuntimeError, match=r"range \[0, 1\]"):
        lib.ones(2).quantile(1.5)


def test_distance_logit_and_the_area_under_a_curve() -> None:
    a, b = np.random.RandomState(0).rand(2, 3, 4)
    for apply in (
        lambda t, x, y: t.dist(x, y, 3),
        lambda t, x, y: t.logit(x),
        lambda t, x, y: x.logit(0.4),
        lambda t, x, y: t.trapezoid(x, dx=0.5, dim=0),
        lambda t, x, y: t.trapz(x, y),
        lambda t, x, y: t.trapz(x, y[0]),
    ):
        results = []
        for library in (minitrain, torch):
            x, y = (library.tensor(array, requires_grad=True) for array in (a, b))
            result = apply(library, x, y)
            result.sum().backward()
            results.append((result.detach().numpy(), x.grad.numpy()))
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


# --- initialisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0, 1, -2, 2), (1.5, 0.5, 0, 3), (0, 0.02, -2, 2)])
def test_the_truncated_normal_draws_torchs(mean: float, std: float, a: float, b: float) -> None:
    drawn = []
    for library in (minitrain, torch):
        library.manual_seed(0)
        drawn.append(library.nn.init.trunc_normal_(library.empty(50, 4), mean, std, a, b).numpy())
    np.testing.assert_allclose(*drawn, rtol=1e-5, atol=1e-5 * std)
    assert a <= drawn[0].min() <= drawn[0].max() <= b


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3), (4, 4)])
def test_orthogonal_weights_are_torchs(shape: tuple[int, ...]) -> None:
    drawn = []
    for library in (minitrain, torch):
        library.manual_seed(0)
        drawn.append(library.nn.init.orthogonal_(library.empty(*shape, dtype=library.float64), gain=2.0).numpy())
    np.testing.assert_allclose(*drawn, atol=1e-12)
    matrix = drawn[0].reshape(shape[0], -1)
    smaller = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(smaller, 4 * np.eye(len(smaller)), atol=1e-12)


@BOTH
def test_the_old_names_of_init_warn_and_do_the_same(lib: Any) -> None:
    for name, options in {"constant": {"val": 2}, "normal": {}, "xavier_uniform": {"gain": math.sqrt(2)}}.items():
        lib.manual_seed(0)
        wanted = getattr(lib.nn.init, f"{name}_")(lib.empty(3, 4), **options)
        lib.manual_seed(0)
        with pytest.warns(FutureWarning, match=f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`"):
            x = getattr(lib.nn.init, name)(lib.empty(3, 4), **options)
        assert lib.equal(x, wanted)


@BOTH
def test_a_weight_and_what_is_computed_of_it_can_be_viewed_flat(lib: Any) -> None:
    lib.manual_seed(0)
    layer = lib.nn.Linear(3, 2)
    layer(lib.arange(6.0).reshape(2, 3)).square().sum().backward()
    weight, rows = layer.weight, layer.weight.tolist()
    flat = [number for row in rows for number in row]
    assert weight.view(-1).tolist() == weight.data.view(6).tolist() == weight.detach().view(-1).tolist() == flat
    assert weight.grad.view(-1).shape == (weight * 2).view(3, 2).view(-1).shape == (6,)
    lib.cat([p.view(-1) for p in layer.parameters()]).pow(2).sum().backward()
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        lib.arange(6.0).reshape(2, 3).t().view(-1)


def test_a_flat_view_of_a_weight_cannot_be_written() -> None:
    flat = minitrain.nn.Linear(3, 2).weight.data.view(-1)
    for write in (lambda: flat.zero_(), lambda: flat.__setitem__(0, 1.0), lambda: flat.__iadd__(1)):
        with pytest.raises(RuntimeError, match=r"a weight's view\(\), which is a copy here"):
            write()
