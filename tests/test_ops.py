"""Every operation of ops.py: its value and every gradient are torch's, and it keeps the contract of its file."""

import inspect
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from minitrain import ops
from minitrain.arguments import as_axes, as_indices
from minitrain.ops import Array, Context, Function
from minitrain.tape import no_grad
from minitrain.tensor import Tensor, apply
from tests import strategies as own
from tests.comparing import (
    MINITRAIN,
    TORCH,
    assert_agree,
    evaluate,
    magnitude_of_copies,
    magnitude_of_products,
    magnitude_of_units,
)

# --- a case for every operation: what it is called with, its counterpart in torch, what its errors are measured by ----


class Call(NamedTuple):
    """An operation's inputs (arrays, numbers, None) and its options."""

    inputs: list[Any]
    options: dict[str, Any] = {}


Calls = st.SearchStrategy[Call]


class Case(NamedTuple):
    """How to test an operation."""

    calls: Calls
    theirs: Callable[..., torch.Tensor]
    magnitude: Callable[..., Any] = magnitude_of_copies


OPERATIONS: list[type[Function]] = [
    member
    for _, member in inspect.getmembers(ops, inspect.isclass)
    if issubclass(member, Function) and member is not Function
]

one = own.operands(1).map(Call)
two = own.operands(2).map(Call)


@st.composite
def two_or_a_number(draw: st.DrawFn) -> Call:
    inputs: list[Any] = draw(own.operands(2))
    if draw(st.booleans()):
        inputs[draw(st.integers(0, 1))] = draw(own.quarters | st.integers(-3, 3))
    return Call(inputs)


@st.composite
def clamped(draw: st.DrawFn) -> Call:
    low, high = draw(st.none() | own.quarters), draw(st.none() | own.quarters)
    assume(low is not None or high is not None)
    return Call([draw(own.arrays())], {"min": low, "max": high})


@st.composite
def chosen(draw: st.DrawFn) -> Call:
    shapes, dtype = draw(own.shapes_that_broadcast(3)), draw(own.float_dtypes)
    condition = draw(own.arrays(shapes[0], "bool"))
    return Call([condition, *(draw(own.arrays(shape, dtype)) for shape in shapes[1:])])


@st.composite
def reduced(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]] = own.shapes) -> Call:
    x = draw(own.arrays(shapes))
    dim = as_axes(draw(own.several_axes(x.ndim)), x.ndim)
    return Call([x], {"dim": dim, "keepdim": draw(st.booleans())})


@st.composite
def along_an_axis(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    return Call([x], {"dim": draw(st.integers(0, max(x.ndim - 1, 0)))})


@st.composite
def reshaped(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    sizes = draw(st.permutations(x.shape))
    if sizes and draw(st.booleans()):
        sizes = [*sizes[:-2], int(np.prod(sizes[-2:]))]
    return Call([x], {"shape": (*sizes, *draw(st.sampled_from([(), (1,)])))})


@st.composite
def flattened(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)))
    start, end = sorted([draw(st.integers(0, x.ndim - 1)), draw(st.integers(0, x.ndim - 1))])
    return Call([x], {"start_dim": start, "end_dim": end})


@st.composite
def transposed(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)))
    axis = st.integers(0, x.ndim - 1)
    return Call([x], {"dim0": draw(axis), "dim1": draw(axis)})


@st.composite
def permuted(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    return Call([x], {"dims": tuple(draw(st.permutations(range(x.ndim))))})


@st.composite
def expanded(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    repeats = st.integers(0, 3)
    shape = [draw(repeats) if size == 1 else size for size in x.shape]
    return Call([x], {"shape": (*draw(st.lists(repeats, max_size=2)), *shape)})


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...], *, twice: bool) -> Any:
    """An index for NumPy: numbers, slices and axes; or a mask; or arrays of places, which may name a place twice."""
    kinds = ["basic", "mask"] + (["arrays"] if twice and shape and 0 not in shape else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "mask":
        return (draw(own.arrays(shape[: draw(st.integers(0, len(shape)))], "bool")),)
    if kind == "arrays":
        return draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
    basic = draw(hnp.basic_indices(shape, allow_newaxis=True))
    parts = basic if isinstance(basic, tuple) else (basic,)
    assume(all(part.step is None or part.step > 0 for part in parts if isinstance(part, slice)))
    return as_indices(parts)[0]


@st.composite
def indexed(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    return Call([x], {"index": draw(indices(x.shape, twice=True))})


@st.composite
def put(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    index = draw(indices(x.shape, twice=False))
    ones = [draw(st.sampled_from([1, size])) for size in x[index].shape]
    shape = (*draw(st.sampled_from([(), (1,)])), *ones) if draw(st.booleans()) else tuple(ones[len(ones) // 2 :])
    return Call([x, draw(own.arrays(shape, x.dtype.name))], {"index": index})


@st.composite
def joined(draw: st.DrawFn) -> Call:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    dim, dtype = draw(st.integers(0, len(shape) - 1)), draw(own.float_dtypes)
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    return Call([draw(own.arrays((*shape[:dim], n, *shape[dim + 1 :]), dtype)) for n in sizes], {"dim": dim})


@st.composite
def multiplied(draw: st.DrawFn) -> Call:
    shapes = draw(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3))
    dtype = draw(own.float_dtypes)
    return Call([draw(own.arrays(shape, dtype, finite=True)) for shape in shapes.input_shapes])


@st.composite
def linear(draw: st.DrawFn) -> Call:
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    inputs, outputs, dtype = draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(own.float_dtypes)
    shapes = [(*batch, inputs), (outputs, inputs), (outputs,)]
    x, weight, bias = (draw(own.arrays(shape, dtype, finite=True)) for shape in shapes)
    return Call([x, weight, bias if draw(st.booleans()) else None])


reductions = st.sampled_from(["none", "mean", "sum"])


@st.composite
def classified(draw: st.DrawFn) -> Call:
    classes, dtype = draw(st.integers(1, 4)), draw(own.float_dtypes)
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    x = draw(own.arrays((*batch[:1], classes, *batch[1:]), dtype))
    ignored = draw(st.sampled_from([-100, 0, classes]))
    label = st.integers(0, classes - 1)
    target = draw(own.arrays(batch, "int64", values=st.just(ignored) | label if draw(st.booleans()) else label))
    weight = draw(st.none() | own.arrays((classes,), dtype, values=own.finite_numbers.map(abs)))
    return Call([x, target, weight], {"ignore_index": ignored, "reduction": draw(reductions)})


@st.composite
def squared(draw: st.DrawFn) -> Call:
    shape, dtype = draw(own.shapes), draw(own.float_dtypes)
    return Call([draw(own.arrays(shape, dtype)) for _ in range(2)], {"reduction": draw(reductions)})


def torch_index(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(part.copy()) if isinstance(part, np.ndarray) else part for part in index)


def torch_put(x: torch.Tensor, v: torch.Tensor, *, index: Any) -> torch.Tensor:
    y = x.clone()
    y[torch_index(index)] = v
    return y


# fmt: off
CASES: dict[type[Function], Case] = {
    ops.Add: Case(two_or_a_number(), lambda a, b: a + b),
    ops.Sub: Case(two_or_a_number(), lambda a, b: a - b),
    ops.Mul: Case(two_or_a_number(), lambda a, b: a * b),
    ops.Div: Case(two_or_a_number(), lambda a, b: a / b),
    ops.Pow: Case(two_or_a_number(), lambda a, b: a**b),
    ops.Neg: Case(one, torch.neg),
    ops.Exp: Case(one, torch.exp),
    ops.Log: Case(one, torch.log),
    ops.Sqrt: Case(one, torch.sqrt),
    ops.Abs: Case(one, torch.abs),
    ops.Tanh: Case(one, torch.tanh, magnitude_of_units),
    ops.Sigmoid: Case(one, torch.sigmoid, magnitude_of_units),
    ops.ReLU: Case(one, torch.relu),
    ops.Clamp: Case(clamped(), torch.clamp),
    ops.Maximum: Case(two, torch.maximum),
    ops.Minimum: Case(two, torch.minimum),
    ops.Where: Case(chosen(), torch.where),
    ops.Sum: Case(reduced(), torch.sum, magnitude_of_products),
    ops.Mean: Case(reduced(), torch.mean, magnitude_of_products),
    ops.Amax: Case(reduced(own.shapes_with_elements), torch.amax),
    ops.Reshape: Case(reshaped(), torch.reshape),
    ops.Flatten: Case(flattened(), torch.flatten),
    ops.Transpose: Case(transposed(), torch.transpose),
    ops.Permute: Case(permuted(), torch.permute),
    ops.Expand: Case(expanded(), lambda x, shape: x.expand(shape), magnitude_of_products),
    ops.Index: Case(indexed(), lambda x, index: x[torch_index(index)], magnitude_of_products),
    ops.IndexPut: Case(put(), torch_put, magnitude_of_products),
    ops.Cat: Case(joined(), lambda *inputs, dim: torch.cat(inputs, dim), magnitude_of_products),
    ops.Clone: Case(one.map(lambda call: Call(call.inputs, {"order": "K"})), lambda x, order: x.clone()),
    ops.ToCopy: Case(
        st.builds(lambda call, dtype: Call(call.inputs, {"dtype": np.dtype(dtype)}), one, own.float_dtypes),
        lambda x, dtype: x.to(getattr(torch, dtype.name), copy=True),
    ),
    ops.Matmul: Case(multiplied(), torch.matmul, magnitude_of_products),
    ops.Linear: Case(linear(), F.linear, magnitude_of_products),
    ops.Softmax: Case(along_an_axis(), torch.softmax, magnitude_of_units),
    ops.LogSoftmax: Case(along_an_axis(), torch.log_softmax, magnitude_of_units),
    ops.NLLLoss: Case(classified(), F.nll_loss, magnitude_of_products),
    ops.MSELoss: Case(squared(), F.mse_loss),
}
# fmt: on

VIEWS = {ops.Reshape, ops.Flatten, ops.Transpose, ops.Permute, ops.Expand, ops.Index}

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)


def test_every_operation_has_a_case() -> None:
    assert set(CASES) == set(OPERATIONS)


# --- torch's values and gradients -------------------------------------------------------------------------------------


def can_ask(operation: type[Function], inputs: Sequence[Any]) -> list[bool]:
    """Which inputs have a gradient: arrays of floats, but not the weight of NLLLoss."""
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
    return [True, False, False] if operation is ops.NLLLoss else floats


@st.composite
def who_asks(draw: st.DrawFn, operation: type[Function], inputs: Sequence[Any]) -> list[bool]:
    """Some inputs, at least one of them, that ask for a gradient."""
    possible = can_ask(operation, inputs)
    asks = [able and draw(st.booleans()) for able in possible]
    return asks if any(asks) else possible


def compare_with_torch(data: st.DataObject, case: Case, operation: type[Function]) -> None:
    """Raise AssertionError if the operation's value or a gradient of a drawn call is not torch's."""
    inputs, options = data.draw(case.calls)
    asks = data.draw(who_asks(operation, inputs))
    value = evaluate(MINITRAIN, lambda *x: apply(operation, *x, **options), inputs, asks).value
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name, finite=case.magnitude is magnitude_of_products))

    def theirs(*x: Any) -> torch.Tensor:
        return case.theirs(*x, **options)

    assert_agree(
        evaluate(MINITRAIN, lambda *x: apply(operation, *x, **options), inputs, asks, grad_y),
        evaluate(TORCH, theirs, inputs, asks, grad_y),
        case.magnitude(theirs, inputs, asks, grad_y),
    )


@every_operation
@given(data=st.data())
def test_value_and_gradients_are_torchs(operation: type[Function], data: st.DataObject) -> None:
    compare_with_torch(data, CASES[operation], operation)
