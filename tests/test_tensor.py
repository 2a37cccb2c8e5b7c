"""Tensor is torch's: names, arguments, defaults, results, dtypes, views and errors of what a first week needs."""

import math
import operator
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import minitrain
from minitrain.creation import from_numpy, ones, tensor, zeros
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from tests import strategies as own
from tests.comparing import (
    MINITRAIN,
    TORCH,
    assert_agree,
    assert_ends_alike,
    assert_text_ends_alike,
    end_of,
    evaluate,
    magnitude_of_copies,
)

# --- operators: values, dtypes, broadcasting --------------------------------------------------------------------------

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WITHOUT_GRADIENT: dict[str, Callable[[Any, Any], Any]] = {
    "//": operator.floordiv,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}

numbers = st.booleans() | st.integers(0, 3) | own.quarters


@st.composite
def mixed_operands(draw: st.DrawFn, dtypes_of_one: st.SearchStrategy[str] = own.dtypes) -> list[Any]:
    """Two operands of any dtypes, with axes and without; one of them may be a Python number."""
    one_shape, other_shape = draw(own.shapes_that_broadcast(2))
    one = draw(own.arrays(one_shape, dtypes_of_one, finite=True))
    other = draw(numbers if draw(st.booleans()) else own.arrays(other_shape, own.dtypes, finite=True))
    return [one, other] if draw(st.booleans()) else [other, one]


def kind(x: Any) -> str:
    return np.asarray(x).dtype.kind


def offered(symbol: str, a: Any, b: Any) -> bool:
    """Whether minitrain means to do what torch does.

    Python's negative numbers beside uint8 are an error in NumPy, and so are negative powers of integers. Arithmetic
    of bools, which torch refuses in part, is NumPy's.
    """
    kinds = kind(a) + kind(b)
    negative = any(np.any(np.less(x, 0)) for x in (a, b))
    if "b" in kinds and (symbol in ("-", "**") or (symbol in ("//", "%") and kinds == "bb")):
        return False
    return not negative or not ("u" in kinds or (symbol == "**" and "f" not in kinds))


@pytest.mark.parametrize("symbol", ARITHMETIC | COMPARISONS | WITHOUT_GRADIENT)
@given(operands=mixed_operands())
def test_operators_promote_and_broadcast_as_torchs(symbol: str, operands: list[Any]) -> None:
    assume(offered(symbol, *operands))
    compute = (ARITHMETIC | COMPARISONS | WITHOUT_GRADIENT)[symbol]
    assert_ends_alike(lambda lib, a, b: compute(a, b), operands)


@pytest.mark.parametrize("symbol", ARITHMETIC)
@given(data=st.data())
def test_gradients_have_the_dtype_of_their_own_operand(symbol: str, data: st.DataObject) -> None:
    operands = data.draw(mixed_operands(own.float_dtypes))
    asks = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in operands]
    assume(offered(symbol, *operands))

    def compute(a: Any, b: Any) -> Any:
        return ARITHMETIC[symbol](a, b)

    value = evaluate(TORCH, compute, operands, asks).value
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name, finite=True))
    ours, theirs = (evaluate(library, compute, operands, asks, grad_y) for library in (MINITRAIN, TORCH))
    assert_agree(ours, theirs, magnitude_of_copies(compute, operands, asks, grad_y))


symbols = st.sampled_from([*ARITHMETIC, *COMPARISONS])


@given(symbol=symbols, shape=own.shapes, data=st.data())
def test_numpys_scalars_are_numbers_on_either_side(symbol: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    compute = (ARITHMETIC | COMPARISONS)[symbol]
    x = data.draw(own.arrays(shape, st.sampled_from(["float32", "float64", "int64"]), finite=True))
    scalar = np.dtype(data.draw(st.sampled_from(["float32", "float64", "int64"]))).type(data.draw(st.integers(0, 3)))
    operands = [x, scalar] if data.draw(st.booleans()) else [scalar, x]
    assume(offered(symbol, *operands))
    assert_ends_alike(lambda lib, a, b: compute(a, b), operands)


@given(symbol=symbols, operands=own.operands(2, finite=True), left=st.booleans())
def test_an_array_beside_a_tensor_counts_as_a_tensor(symbol: str, operands: list[Array], left: bool) -> None:
    """torch does so where NumPy lets it."""
    compute, (a, b) = (ARITHMETIC | COMPARISONS)[symbol], operands
    result = compute(a, wrap(b)) if left else compute(wrap(a), b)
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(result.array, compute(wrap(a), wrap(b)).array)


@given(x=own.arrays(dtype=own.dtypes), data=st.data())
def test_in_place_arithmetic_keeps_the_dtype_or_is_refused(x: Array, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["add_", "sub_", "mul_", "div_", "copy_", "fill_"]))
    other = data.draw(numbers | own.arrays(st.sampled_from([(), x.shape, (1, *x.shape)]), own.dtypes, finite=True))
    symbol = {"sub_": "-", "div_": "/"}.get(name, "+")
    assume(offered(symbol, x, other) and offered("+", x, other))
    assume(name != "copy_" or np.shape(other) == x.shape)
    assume(name != "fill_" or np.ndim(other) == 0)

    def compute(lib: Any, x: Any, other: Any) -> Any:
        result = getattr(x, name)(other)
        assert result is x
        return result

    assert_ends_alike(compute, [x, other])


# --- reductions -------------------------------------------------------------------------------------------------------

# Along axes of these lengths the means of quarters are exact: no error is there for a root to amplify.
exact_means = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=2).map(lambda s: tuple(2 * n for n in s))


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "all", "any"])
@given(x=own.arrays(dtype=own.dtypes), data=st.data())
def test_reductions_are_torchs(name: str, x: Array, data: st.DataObject) -> None:
    dim, keepdim = data.draw(own.several_axes(x.ndim).filter(lambda dim: dim is not None)), data.draw(st.booleans())
    assume(not (name in ("all", "any") and (dim in ((), []) or x.dtype == np.uint8)))  # torch goes ways of its own
    assume(not (name in ("amax", "amin") and x.size == 0 and dim in ((), [])))  # both refuse; as what, differs
    finite = x[np.isfinite(x)].astype(np.float64)
    assert_ends_alike(lambda lib, x: getattr(x, name)(dim, keepdim), [x], scale=float(np.abs(finite).sum()))


OF_ANY_SIZE = ["sum", "mean", "all", "any", "var", "std"]
OF_ELEMENTS = ["amax", "amin", "max", "min", "argmax", "argmin"]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@given(st.data(), own.arrays(exact_means, values=own.quarters))
def test_without_dim_all_is_reduced(data: st.DataObject, x: Array) -> None:
    name = data.draw(st.sampled_from(OF_ANY_SIZE + (OF_ELEMENTS if x.size else [])))
    assert_ends_alike(lambda lib, x: getattr(x, name)(), [x], scale=float(np.square(x).sum()))


@pytest.mark.parametrize("name", ["var", "std"])
@given(x=own.arrays(exact_means, values=own.quarters), data=st.data())
def test_spreads_and_their_gradients_are_torchs(name: str, x: Array, data: st.DataObject) -> None:
    dim = data.draw(own.several_axes(x.ndim).filter(lambda dim: dim not in ((), [])))  # torch's gradient is wrong there
    keepdim = data.draw(st.booleans())
    correction = data.draw(st.sampled_from([0, 1]))
    reduced = range(x.ndim) if dim is None else np.atleast_1d(dim)
    assume(x.size and math.prod(x.shape[axis] for axis in reduced if x.ndim) > correction)  # else torch warns

    def compute(x: Any) -> Any:
        return getattr(x, name)(dim, correction=correction, keepdim=keepdim)

    value = evaluate(TORCH, compute, [x], [True]).value
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name, finite=True))
    ours, theirs = (evaluate(library, compute, [x], [True], grad_y) for library in (MINITRAIN, TORCH))
    # What goes back by way of the mean adds up to 0, but for rounding.
    added_up = [np.full(x.shape, np.abs(theirs.gradients[0]).sum())]
    assert_agree(ours, theirs, theirs._replace(gradients=added_up))


@pytest.mark.parametrize("name", ["max", "min"])
@given(x=own.arrays(own.shapes_with_elements), data=st.data())
def test_an_extreme_along_an_axis_comes_with_its_place_and_gets_the_gradient(
    name: str, x: Array, data: st.DataObject
) -> None:
    dim, keepdim = data.draw(own.axes(x.ndim)), data.draw(st.booleans())
    assert_ends_alike(lambda lib, x: tuple(getattr(x, name)(dim, keepdim)), [x])

    def values(x: Any) -> Any:
        return getattr(x, name)(dim, keepdim).values

    grad_y = data.draw(own.arrays(values(wrap(x)).array.shape, x.dtype.name))
    assert_agree(*(evaluate(library, values, [x], [True], grad_y) for library in (MINITRAIN, TORCH)))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(x=own.arrays(dtype=st.sampled_from([*own.FLOATS, *own.INTEGERS])), data=st.data())
def test_the_place_of_an_extreme_is_torchs(name: str, x: Array, data: st.DataObject) -> None:
    dim, keepdim = data.draw(st.none() | own.axes(x.ndim)), data.draw(st.booleans())
    assert_ends_alike(lambda lib, x: getattr(x, name)(dim, keepdim), [x])


@pytest.mark.parametrize("name", ["amin", "min"])
@given(x=own.arrays(own.shapes_with_elements))
def test_minima_share_their_gradient_evenly(name: str, x: Array) -> None:
    assume(not np.isnan(x).any())
    grad_y = np.asarray(2.0, x.dtype)
    computed = [evaluate(library, lambda x: getattr(x, name)(), [x], [True], grad_y) for library in (MINITRAIN, TORCH)]
    assert_agree(*computed)


# --- shapes -----------------------------------------------------------------------------------------------------------

some_axis = st.integers(-4, 3)
some_size = st.integers(-1, 4)
sizes = st.lists(some_size, max_size=4)
SHAPERS: dict[str, st.SearchStrategy[list[Any]]] = {
    "reshape": st.lists(sizes, min_size=1, max_size=1),
    "view": st.lists(sizes, min_size=1, max_size=1),
    "expand": st.lists(sizes, min_size=1, max_size=1),
    "flatten": st.lists(some_axis, max_size=2),
    "squeeze": st.lists(some_axis, max_size=1),
    "unsqueeze": st.lists(some_axis, min_size=1, max_size=1),
    "transpose": st.lists(some_axis, min_size=2, max_size=2),
    "permute": st.just([]),  # drawn in the test
    "t": st.just([]),
    "contiguous": st.just([]),
    "clone": st.just([]),
    "detach": st.just([]),
}


@pytest.mark.parametrize("name", SHAPERS)
@given(x=own.arrays(finite=True), turned=st.booleans(), data=st.data())
def test_shapes_change_as_torchs_and_share_memory_where_torchs_do(
    name: str, x: Array, turned: bool, data: st.DataObject
) -> None:
    arguments = data.draw(SHAPERS[name])
    if name in ("reshape", "view") and data.draw(st.booleans()):
        arguments = [data.draw(st.permutations(x.shape))]
    if name == "permute":
        arguments = [data.draw(st.permutations(range(x.ndim)) | st.lists(own.axes(x.ndim), max_size=3))]

    def compute(lib: Any, x: Any) -> Any:
        y = getattr(x.transpose(0, -1) if turned else x, name)(*arguments)
        values = y.clone()
        if name != "expand":
            y.fill_(99)
        return values, x

    assert_ends_alike(compute, [x])


@given(x=own.arrays(own.shapes, finite=True), data=st.data())
def test_sizes_may_stand_alone_or_in_a_tuple(x: Array, data: st.DataObject) -> None:
    shape = data.draw(st.permutations(x.shape))
    order = data.draw(st.permutations(range(x.ndim)))
    t = wrap(x)
    if shape:
        assert t.reshape(*shape).shape == t.reshape(shape).shape == t.reshape(tuple(shape)).shape == tuple(shape)
        assert t.permute(*order).shape == t.permute(order).shape == t.permute(tuple(order)).shape
        assert t.expand(*x.shape).shape == t.expand(x.shape).shape == x.shape


# --- indexing ---------------------------------------------------------------------------------------------------------

bounds = st.none() | st.integers(-3, 3)
slices = st.builds(slice, bounds, bounds, st.sampled_from([None, None, 1, 2]))


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Whatever may stand between brackets, most of it within bounds; arrays are to become the library's tensors."""
    parts: list[Any] = []
    axis = 0
    for _ in range(draw(st.integers(0, len(shape) + 1))):
        size = shape[axis] if axis < len(shape) else 1
        kinds = ["number", "slice", "slice", "none", "flag"]
        kinds += (
            ["places", "list", "mask"] if 0 not in shape else []
        )  # where there is nothing, they differ in strictness
        kinds += ["..."] if not any(part is ... for part in parts) else []
        what = draw(st.sampled_from(kinds))
        place = st.integers(-size, size - 1) if size else st.integers(-1, 1)
        if what == "number":
            parts.append(draw(place))
        elif what == "slice":
            parts.append(draw(slices))
        elif what == "none":
            parts.append(None)
        elif what == "flag":
            parts.append(draw(st.booleans()))
        elif what == "...":
            parts.append(...)
        elif what == "list":
            parts.append(draw(st.lists(place, max_size=2)))
        elif what == "places":
            index_shape = draw(st.sampled_from([(), (1,), (2,), (2, 1), (0,)]))
            parts.append(draw(own.arrays(index_shape, st.sampled_from(["int64", "int32"]), values=place)))
        else:
            mask_shape = shape[axis : axis + draw(st.integers(0, 2))]
            parts.append(draw(own.arrays(mask_shape, "bool")))
            axis += len(mask_shape) - 1
        axis += what not in ("none", "flag", "...")
    return tuple(parts)


def with_tensors(lib: Any, index: tuple[Any, ...]) -> Any:
    parts = tuple(lib.tensor(part) if isinstance(part, np.ndarray) else part for part in index)
    return parts[0] if len(parts) == 1 else parts


def with_arrays(index: tuple[Any, ...]) -> bool:
    return any(isinstance(part, bool | list | np.ndarray) for part in index)


def picked_by_torch(x: Array, index: tuple[Any, ...]) -> Any:
    """What torch picks, or how it ends. Where arrays pick nothing, torch does not look whether they could."""
    picked = end_of(TORCH, lambda lib, x: x[with_tensors(lib, index)], [x])
    assume(not (with_arrays(index) and isinstance(picked, torch.Tensor) and picked.numel() == 0))
    return picked


@given(x=own.arrays(own.shapes, finite=True), data=st.data())
def test_an_index_picks_what_torchs_picks_and_is_a_view_where_torchs_is(x: Array, data: st.DataObject) -> None:
    index = data.draw(indices(x.shape))
    picked_by_torch(x, index)

    def compute(lib: Any, x: Any) -> Any:
        y = x[with_tensors(lib, index)]
        values = y.clone()
        y.fill_(99)
        return values, x

    assert_ends_alike(compute, [x])


@given(x=own.arrays(own.shapes, finite=True), data=st.data())
def test_the_gradient_of_an_index_is_torchs(x: Array, data: st.DataObject) -> None:
    index = data.draw(indices(x.shape))
    picked = picked_by_torch(x, index)
    assume(isinstance(picked, torch.Tensor))
    grad_y = data.draw(own.arrays(tuple(picked.shape), x.dtype.name, finite=True))
    computed = [
        evaluate(library, lambda x, lib=library.module: x[with_tensors(lib, index)], [x], [True], grad_y)
        for library in (MINITRAIN, TORCH)
    ]
    assert_agree(*computed, magnitude=computed[1]._replace(gradients=[np.full(x.shape, np.abs(grad_y).sum())]))


@given(x=own.arrays(own.shapes, own.dtypes, finite=True), data=st.data())
def test_an_assignment_writes_what_torchs_writes(x: Array, data: st.DataObject) -> None:
    index = data.draw(indices(x.shape))
    assume(not any(isinstance(part, list | np.ndarray) and np.size(part) > 1 and kind(part) != "b" for part in index))
    picked = picked_by_torch(x, index)
    shapes = [(), (1,), *([tuple(picked.shape), tuple(picked.shape)[1:]] if isinstance(picked, torch.Tensor) else [])]
    dtype = x.dtype.name if with_arrays(index) else "float32"  # beside arrays torch wants the same dtype
    values = st.booleans() if dtype == "bool" else st.integers(0, 3)
    value = data.draw(values | own.arrays(st.sampled_from(shapes), dtype, values=values))

    def compute(lib: Any, x: Any, value: Any) -> Any:
        x[with_tensors(lib, index)] = value
        return x

    assert_ends_alike(compute, [x, value])


# --- the Python around it ---------------------------------------------------------------------------------------------

# In each line torch is either library, and both must end in the same: a value, or an error of the same type.


@pytest.mark.parametrize(
    "line",
    [
        "tensor(1.5).item()",
        "tensor([[True]]).item()",
        "tensor([3]).item()",
        "tensor([1., 2.]).item()",
        "torch.zeros(0).item()",
        "tensor([[1, 2], [3, 4]]).tolist()",
        "tensor(1.5).tolist()",
        "torch.zeros(0, 2).tolist()",
        "float(tensor([1.5]))",
        "int(tensor(-1.5))",
        "int(tensor(nan))",
        "int(tensor(inf))",
        "bool(tensor([0.]))",
        "bool(tensor([]))",
        "bool(tensor([1, 2]))",
        "operator.index(tensor([3]))",
        "operator.index(tensor(True))",
        "operator.index(tensor(3.))",
        "operator.index(tensor([1, 2]))",
        "[10, 20, 30][tensor(1)]",
        "list(range(tensor(3)))",
        "len(tensor([1, 2]))",
        "len(tensor(1))",
        "list(tensor([[1, 2], [3, 4]]))",
        "list(torch.zeros(0, 2))",
        "list(tensor(1))",
        "[a * b for a, b in tensor([[1, 2], [3, 4]])]",
        "max(tensor([1., 3., 2.]))",
        "sum(tensor([1., 3., 2.]))",
        "sorted(tensor([3, 1, 2]))",
        "2 in tensor([1, 2])",
        "tensor(3) in tensor([1, 2])",
        "tensor([1, 2]) in tensor([[1, 2], [3, 4]])",
        "f'{tensor(1.5):.3f}'",
        "f'{tensor(3):>5d}'",
        "f'{tensor(3.):>5d}'",
        "f'{tensor([1.5])}'",
        "f'{tensor([1.5]):>20}'",
        "f'{tensor([1.5]):.2f}'",
        "'%.2f and %d' % (tensor(3.5), tensor(3))",
        "str(tensor([1., 2.]))",
        "repr(tensor(True))",
        "tensor([1.]) == None",
        "tensor([1.]) != 'a'",
        "tensor([1.]) < None",
        "tensor([1.]) + None",
        "tensor([1.]) * [1.]",
        "'a' + tensor([1.])",
        "{tensor(1): 'a'} == {}",
        "-tensor([1, -2])",
        "+tensor(1).ndim",
        "abs(tensor([1, -2]))",
        "~tensor([True, False])",
        "~tensor([5])",
        "~tensor([5.])",
        "7 // tensor([2, -2])",
        "7 % tensor([2, -2])",
        "6 & tensor([3])",
        "6 | tensor([3])",
        "6 ^ tensor([3])",
        "tensor([1]) // 0",
        "tensor([1]) % tensor([0])",
        "tensor([1.]) // 0",
        "tensor([2]) ** -1",
        "round(tensor([1.5]).item())",
    ],
)
def test_python_reads_a_tensor_as_it_reads_torchs(line: str) -> None:
    assert_text_ends_alike(line)


@pytest.mark.parametrize(
    "line",
    [
        "tensor([1.5, -1.5]).long()",
        "tensor([1.5, nan, 0.]).bool()",
        "tensor([1.5]).int()",
        "tensor([1.5]).double()",
        "tensor([1, 0]).float()",
        "tensor([1e300], dtype=torch.float64).float()",
        "tensor([1.]).to(torch.int64)",
        "tensor([1.]).to(torch.float64, copy=True)",
        "tensor([1.]).to('cpu', torch.int32)",
        "tensor([1.]).to(torch.device('cpu'))",
        "tensor([1.]).to(device='cpu', dtype=torch.uint8)",
        "tensor([1.]).to(tensor([1]))",
        "tensor([1.]).to(int)",
        "tensor([1.]).to(float)",
        "tensor([1.]).to(bool)",
        "tensor([1.]).to('nonsense')",
        "tensor([1.]).type(torch.long)",
        "tensor([1.]).cpu()",
        "tensor([1.], requires_grad=True).long()",
        "tensor([1.], requires_grad=True).double()",
        "tensor([1.]).is_floating_point(), tensor([1]).is_floating_point()",
        "tensor([1.]).dtype, tensor([1]).dtype, tensor([True]).dtype",
        "tensor([1.]).numpy().dtype.name",
    ],
)
def test_conversions_are_torchs(line: str) -> None:
    assert_text_ends_alike(line)


@pytest.mark.parametrize(
    "line",
    [
        "torch.ones(2, 3).sum(dim=1, keepdim=True)",
        "torch.ones(2, 3).sum(dim=(0, 1))",
        "torch.ones(2, 3).sum((0, 0))",
        "torch.ones(2, 3).sum(2)",
        "torch.ones(2, 3).sum('a')",
        "torch.ones(2, 3).sum(dim=None)",
        "torch.ones(2, 3).sum(np.int64(0))",
        "tensor([1, 2]).sum(dtype=torch.float64)",
        "tensor([1, 2]).mean(dtype=torch.float64)",
        "tensor([1, 2]).mean()",
        "torch.zeros(0).mean()",
        "torch.zeros(0, 3).amax(0)",
        "torch.zeros(0, 3).amax(1)",
        "torch.zeros(0).argmax()",
        "torch.ones(2, 3).argmax(dim=1, keepdim=True)",
        "torch.ones(2, 3).max(dim=1, keepdim=True).indices",
        "torch.ones(2, 3).max(1)[0]",
        "torch.ones(2).max(tensor([0., 5.]))",
        "torch.ones(2).min(tensor([0., 5.]))",
        "torch.ones(2, 3).max(2)",
        "tensor([1., 2., 4.]).std(unbiased=False)",
        "tensor([1., 2., 4.]).var(False)",
        "tensor([1., 2., 4.]).var(0, True, True)",
        "tensor([1., 2., 4.]).var(0, correction=0)",
        "tensor([1]).var()",
        "torch.ones(2, 3).softmax(dim=-1)",
        "torch.ones(2, 3).softmax(2)",
        "torch.ones(2, 3).softmax()",
        "tensor([1, 2]).softmax(0)",
        "tensor([1, 2]).log_softmax(0, dtype=torch.float32)",
        "tensor([1., 2.]).clamp(min=1.5)",
        "tensor([1, 2]).clamp(1.5)",
        "tensor([1., nan]).clamp(0, 1)",
        "tensor([1.]).clamp()",
        "tensor([1., 2.]).add(1, alpha=2)",
        "tensor([1., 2.]).sub(other=tensor([1., 1.]), alpha=2)",
        "tensor([1., 2.]).mul(other=2)",
        "tensor([1., 2.]).div(2)",
        "tensor([1., 2.]).pow(exponent=2)",
        "tensor([1., 2.]).maximum(other=tensor([2., 1.]))",
        "torch.ones(2, 3).reshape(4, -1)",
        "torch.ones(6).reshape(-1, -1)",
        "torch.ones(2, 3).flatten(start_dim=1, end_dim=-1)",
        "torch.ones(2, 3).flatten(1, 0)",
        "(lambda x: x.flatten(1) is x)(torch.ones(2, 3))",
        "(lambda x: x.flatten() is x)(torch.ones(()))",
        "torch.ones(2, 3).transpose(dim0=0, dim1=1)",
        "torch.ones(1, 2, 1).squeeze(dim=0)",
        "torch.ones(1, 2, 1).squeeze((0, 2))",
        "torch.ones(2).unsqueeze(dim=1)",
        "torch.ones(2, 3, 4).t()",
        "torch.ones(2, 3).T.shape",
        "torch.ones(2, 3, 4).mT.shape",
        "torch.ones(2, 3).size(dim=1)",
        "torch.ones(2, 3).size(2)",
        "torch.ones(2, 3).shape == (2, 3)",
        "torch.ones(2, 3).size() == torch.Size([2, 3])",
        "torch.ones(2, 3).shape.numel(), torch.ones(2, 3).numel(), torch.ones(2, 3).dim(), torch.ones(2, 3).ndim",
        "torch.ones(2, 3) @ torch.ones(2, 3)",
        "torch.ones(2, 3, 4) @ torch.ones(3, 4, 5)",
        "torch.ones(3) @ torch.ones(2)",
        "tensor(1.) @ tensor([1.])",
        "tensor([1.]) @ tensor([1])",
        "torch.ones(2, 3) @ 2",
        "tensor([1, 2]) @ tensor([3, 4])",
        "torch.ones(2) + torch.ones(3)",
        "torch.ones(2, 3) < torch.ones(3, 2)",
        "tensor([1., 2.]).equal(tensor([1., 2.])), tensor([1.]).equal(tensor([1., 2.]))",
        "tensor([nan]).equal(tensor([nan]))",
        "tensor([1., 2.]).allclose(tensor([1., 2.00001])), tensor([1.]).allclose(tensor([1.1]))",
        "tensor([nan]).allclose(tensor([nan])), tensor([nan]).allclose(tensor([nan]), equal_nan=True)",
        "tensor([nan, inf, 1.]).isnan(), tensor([nan, inf, 1.]).isfinite()",
        "tensor([1., 2.]).where(tensor([True, False]), 0.)",
        "torch.where(tensor([1, 0]), 1., 2.)",
        "torch.where(tensor([True, False]), torch.ones(2), torch.ones(3))",
    ],
)
def test_methods_take_torchs_arguments(line: str) -> None:
    assert_text_ends_alike(line)


@pytest.mark.parametrize(
    "line",
    [
        "tensor([0, 1, 2])[3]",
        "tensor([0, 1, 2])[-4]",
        "tensor([0, 1, 2])[[3]]",
        "tensor([0, 1, 2])[0, 0]",
        "tensor(1)[0]",
        "tensor([0, 1, 2])[::-1]",
        "tensor([0, 1, 2])[1.0]",
        "tensor([0, 1, 2])[tensor([1.])]",
        "tensor([0, 1, 2])[tensor([True, False])]",
        "tensor([0, 1, 2])[np.int64(1)]",
        "tensor([0, 1, 2])[np.array([2, 0])]",
        "tensor([0, 1, 2])[tensor(1):tensor(3)]",
        "tensor([0, 1, 2])[range(2)]",
        "tensor([0, 1, 2])[[True, False, True]]",
        "torch.zeros(2, 3)[0].fill_(1)",
        "torch.zeros(2, 3).__setitem__(0, torch.ones(4))",
        "torch.zeros(2, 3).__setitem__(5, 1)",
        "torch.zeros(2, 3).__setitem__((0, 0), None)",
    ],
)
def test_indices_out_of_the_common_end_alike(line: str) -> None:
    assert_text_ends_alike(line)


@pytest.mark.parametrize(
    "line",
    [
        "tensor([1.], requires_grad=True).numpy()",
        "np.asarray(tensor([1.], requires_grad=True))",
        "tensor([1., 2.]).backward()",
        "tensor([1., 2.], requires_grad=True).backward()",
        "tensor([1., 2.], requires_grad=True).backward(tensor([1.]))",
        "tensor([1., 2.], requires_grad=True).backward(torch.ones(2, dtype=torch.float64))",
        "tensor([1., 2.], requires_grad=True).backward([1., 1.])",
        "tensor([1.]).retain_grad()",
        "tensor([1.], requires_grad=True).retain_grad()",
        "tensor([1]).requires_grad_()",
        "tensor([1]).requires_grad_(False)",
        "tensor([1.]).requires_grad_()",
        "(tensor([1.], requires_grad=True) * 2).requires_grad_(False)",
        "(tensor([1.], requires_grad=True) * 2).requires_grad_(True)",
        "tensor([1.], requires_grad=True).is_leaf, (tensor([1.], requires_grad=True) * 2).is_leaf, tensor(1).is_leaf",
        "tensor([1.], requires_grad=True).detach()",
        "tensor([1.], requires_grad=True).data",
        "tensor([1.], requires_grad=True) > 0",
        "tensor([1.], requires_grad=True).argmax()",
        "tensor([1.], requires_grad=True).tolist()",
        "tensor([1.]).grad, tensor([1.]).grad_fn",
        "(tensor([1.], requires_grad=True) * 2).grad_fn.name()",
        "setattr(tensor([1.]), 'grad', tensor([1., 2.]))",
        "setattr(tensor([1.]), 'grad', tensor([1]))",
        "setattr(tensor([1.]), 'grad', 1.)",
        "setattr(tensor([1.]), 'grad', None)",
        "tensor([1.]).add_(torch.ones(2))",
        "tensor([1]).add_(1.5)",
        "tensor([1]).div_(2)",
        "tensor([True]).mul_(2)",
        "tensor([1., 2.]).clamp_(0, 1)",
        "tensor([1, 2]).clamp_(0.5)",
    ],
)
def test_gradients_are_asked_for_and_refused_as_in_torch(line: str) -> None:
    assert_text_ends_alike(line)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_numpy_and_asarray_share_memory() -> None:
    x = zeros(3)
    x.numpy()[0] = 1
    np.asarray(x)[1] = 2
    x[2] = 3
    assert x.tolist() == np.asarray(x).tolist() == [1, 2, 3]


def test_array_with_another_dtype_or_copy_is_a_copy() -> None:
    x = zeros(3)
    for array in (np.array(x), np.asarray(x, dtype=np.float64), np.array(x, copy=True)):
        array[:] = 1
    assert x.tolist() == [0, 0, 0]


def test_numpys_functions_take_tensors() -> None:
    x = tensor([1.0, 2.0])
    assert np.exp(x).tolist() == np.exp(x.numpy()).tolist()
    assert np.stack([x, x]).shape == (2, 2)


@pytest.mark.parametrize("twin", [lambda x: x.detach(), lambda x: x.data])
def test_a_twin_without_history_shares_the_memory(twin: Callable[[Tensor], Tensor]) -> None:
    x = ones(2).requires_grad_()
    twin(x).mul_(3)
    assert x.tolist() == [3, 3]
    assert not twin(x).requires_grad


def test_data_can_be_exchanged() -> None:
    x = ones(2).requires_grad_()
    x.data = zeros(2)
    assert x.tolist() == [0, 0]
    assert x.requires_grad


def test_a_gradient_takes_its_tensors_memory_order() -> None:
    x = from_numpy(np.ones((3, 2)).T).requires_grad_()
    (x * tensor(np.ones((2, 3)))).sum().backward()
    assert x.grad.array.strides == x.array.strides


@given(x=own.arrays(), data=st.data())
def test_copy_keeps_the_memory_that_is_there(x: Array, data: st.DataObject) -> None:
    t, y = wrap(x), data.draw(own.arrays(x.shape))
    array = t.array
    t.copy_(wrap(y))
    assert t.array is array
    np.testing.assert_array_equal(array, y.astype(x.dtype))


def test_the_grad_of_a_result_warns_unless_it_is_retained() -> None:
    x = tensor([1.0], requires_grad=True)
    y, z = x * 2, x * 3
    z.retain_grad()
    (y + z).backward()
    with pytest.warns(UserWarning, match="retain_grad"):
        assert y.grad is None
    assert z.grad == 1


def test_a_repr_says_how_a_tensor_came_about() -> None:
    x = tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert repr(x.detach()) == "tensor([1.])"


# --- said clearly, though torch has it --------------------------------------------------------------------------------


def test_gradients_of_gradients_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="create_graph"):
        tensor(1.0, requires_grad=True).backward(create_graph=True)


def test_a_rounded_division_has_no_gradient() -> None:
    quotient = tensor([4.0], requires_grad=True) // 3
    assert quotient == 1
    with pytest.raises(RuntimeError, match="detach"):
        quotient.backward()


def test_bytes_are_masks_which_is_deprecated() -> None:
    with pytest.warns(UserWarning, match="uint8 is now deprecated"):
        chosen = tensor([1, 2])[tensor([1, 0], dtype=np.uint8)]
    assert chosen.tolist() == [1]


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.Tensor([1, 2]),
        lambda t: t.Tensor(np.arange(3)),
        lambda t: t.Tensor(),
        lambda t: t.Tensor(2, 3) * 0,
        lambda t: t.Tensor(t.tensor([1, 2])),
        lambda t: t.FloatTensor([1]),
        lambda t: t.LongTensor([[1, 2]]),
        lambda t: t.ByteTensor(2) * 0,
        lambda t: t.DoubleTensor(np.ones(2, np.float32)),
    ],
)
def test_old_constructors_make_torchs_tensors(make: Callable[[Any], Any]) -> None:
    ours, theirs = make(minitrain), make(torch)
    assert ours.numpy().dtype == theirs.numpy().dtype
    assert np.array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "make", [lambda t: t.Tensor(2.5), lambda t: t.FloatTensor(t.tensor([1])), lambda t: t.Tensor("a")]
)
def test_old_constructors_refuse_what_torchs_refuse(make: Callable[[Any], Any]) -> None:
    for library in (torch, minitrain):
        with pytest.raises(TypeError):
            make(library)
