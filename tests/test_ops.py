"""Every operation of ops.py: its value and every gradient are torch's, and it keeps the contract of its file."""

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minitrain import layout, ops
from minitrain.ops import Array, Context, Function, elementwise, reduce
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import as_axes, as_indices
from minitrain.torchlike.grad_mode import no_grad
from tests import cases_elementwise, cases_further
from tests import strategies as own
from tests.cases import Call, Case, one, two, two_or_a_number
from tests.comparing import (
    MINITRAIN,
    TORCH,
    absolute,
    assert_agree,
    assert_caught,
    evaluate,
    magnitude_of_copies,
    magnitude_of_products,
    magnitude_of_units,
)


@given(own.operands(1), st.data())
def test_zeroed_is_where(inputs: list[Array], data: st.DataObject) -> None:
    (grad,) = inputs
    mask = data.draw(own.arrays(grad.shape, "bool"))
    before = grad.copy()
    result = layout.zeroed(grad, mask)
    np.testing.assert_array_equal(result, np.where(mask, 0, grad))
    assert result.dtype == grad.dtype
    np.testing.assert_array_equal(grad, before)


# --- a case for every operation: what it is called with, its counterpart in torch, what its errors are measured by ----


OPERATIONS: list[type[Function]] = [
    member
    for _, member in inspect.getmembers(ops, inspect.isclass)
    if issubclass(member, Function) and member is not Function
]


@st.composite
def clamped(draw: st.DrawFn) -> Call:
    low, high = draw(st.none() | own.quarters), draw(st.none() | own.quarters)
    assume(low is not None or high is not None)
    return Call([draw(own.arrays())], {"min": low, "max": high})


@st.composite
def chosen(draw: st.DrawFn) -> Call:
    shapes, dtype = draw(own.shapes_that_broadcast(3)), draw(own.float_dtypes)
    condition = draw(own.arrays(shapes[0], "bool"))
    return Call([condition, *(draw(own.arrays(shape, dtype)) for shape in shapes[1:])], {})


@st.composite
def reduced(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]] = own.shapes) -> Call:
    x = draw(own.arrays(shapes))
    dim = as_axes(draw(own.several_axes(x.ndim)), x.ndim)
    return Call([x], {"dim": dim, "keepdim": draw(st.booleans())})


@st.composite
def varied(draw: st.DrawFn) -> Call:
    """Reductions of at least one value more than the correction: torch warns of others."""
    x = draw(own.arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4), finite=True))
    dims = st.lists(st.integers(0, x.ndim - 1), min_size=1, unique=True).map(tuple)
    return Call([x], {"dim": draw(dims), "keepdim": draw(st.booleans()), "correction": draw(st.integers(0, 1))})


@st.composite
def whole(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(own.shapes_with_elements))
    return Call([x], {"dim": tuple(range(x.ndim)), "keepdim": False})


def magnitude_of_squares(compute: Any, inputs: Any, asks: Any, grad_y: Any) -> Any:
    """Of sums of squares of differences: what the largest possible differences give."""
    largest = [np.full(x.shape, 2 * np.abs(x).max(initial=0), x.dtype) * signs(x.shape) for x in inputs]
    grad_y = None if grad_y is None else np.asarray(np.abs(grad_y))
    return absolute(evaluate(TORCH, compute, largest, asks, grad_y))


def signs(shape: tuple[int, ...]) -> Array:
    """1 and -1 in turn along every axis, so that no mean is close to a value."""
    return np.asarray((-1.0) ** np.sum(np.indices(shape), axis=0))


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
    return as_indices(parts, len(shape))[0]


@st.composite
def indexed(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    return Call([x], {"index": draw(indices(x.shape, twice=True))})


@st.composite
def put(draw: st.DrawFn) -> Call:
    x = draw(own.arrays())
    index = draw(indices(x.shape, twice=False))
    sizes = [draw(st.sampled_from([1, size])) for size in x[index].shape]
    by_mask = isinstance(index[0], np.ndarray) if index else False
    sizes = draw(st.sampled_from([sizes, sizes[1:]] + ([] if by_mask else [[1, *sizes]])))
    return Call([x, draw(own.arrays(tuple(sizes), x.dtype.name))], {"index": index})


def every_second_transposed(x: Any) -> Any:
    return x.swapaxes(0, -1)[..., ::2]


@st.composite
def viewed(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)))
    v = draw(own.arrays(every_second_transposed(x).shape, x.dtype.name))
    return Call([x, v], {"view": every_second_transposed})


def torch_view_put(x: torch.Tensor, v: torch.Tensor, view: Any) -> torch.Tensor:
    y = x.clone()
    view(y).copy_(v)
    return y


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
    return Call([draw(own.arrays(shape, dtype, finite=True)) for shape in shapes.input_shapes], {})


@st.composite
def linear(draw: st.DrawFn) -> Call:
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    inputs, outputs, dtype = draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(own.float_dtypes)
    shapes = [(*batch, inputs), (outputs, inputs), (outputs,)]
    x, weight, bias = (draw(own.arrays(shape, dtype, finite=True)) for shape in shapes)
    return Call([x, weight, bias if draw(st.booleans()) else None], {})


classified = own.classifications().map(lambda given: Call([given.scores, given.target, given.weight], given.options))


@st.composite
def squared(draw: st.DrawFn) -> Call:
    shape, dtype = draw(own.shapes), draw(own.float_dtypes)
    return Call([draw(own.arrays(shape, dtype)) for _ in range(2)], {"reduction": draw(own.reductions)})


def no_negative_infinity(call: Call) -> bool:
    """Its power 0.5 is inf (C's pow) in NumPy, nan in torch, which takes a root instead."""
    return not any(np.any(np.equal(x, -np.inf)) for x in call.inputs)


def torch_index(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(part.copy()) if isinstance(part, np.ndarray) else part for part in index)


def torch_put(x: torch.Tensor, v: torch.Tensor, *, index: Any) -> torch.Tensor:
    y = x.clone()
    y[torch_index(index)] = v
    return y


CASES: dict[type[Function], Case] = (
    {
        ops.Add: Case(two_or_a_number(), lambda a, b: a + b),
        ops.Sub: Case(two_or_a_number(), lambda a, b: a - b),
        ops.Mul: Case(two_or_a_number(), lambda a, b: a * b),
        ops.Div: Case(two_or_a_number(), lambda a, b: a / b),
        ops.Pow: Case(two_or_a_number().filter(no_negative_infinity), lambda a, b: a**b),
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
        ops.Var: Case(varied(), torch.var, magnitude_of_squares),
        ops.Max: Case(whole(), lambda x, dim, keepdim: x.max()),
        ops.Amax: Case(reduced(own.shapes_with_elements), torch.amax),
        ops.Reshape: Case(reshaped(), torch.reshape),
        ops.Flatten: Case(flattened(), torch.flatten),
        ops.Transpose: Case(transposed(), torch.transpose),
        ops.Permute: Case(permuted(), torch.permute),
        ops.Expand: Case(expanded(), lambda x, shape: x.expand(shape), magnitude_of_products),
        ops.Index: Case(indexed(), lambda x, index: x[torch_index(index)], magnitude_of_products),
        ops.IndexPut: Case(put(), torch_put, magnitude_of_products),
        ops.ViewPut: Case(viewed(), torch_view_put, magnitude_of_products),
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
        ops.NLLLoss: Case(classified, F.nll_loss, magnitude_of_products),
        ops.MSELoss: Case(squared(), F.mse_loss),
    }
    | cases_elementwise.CASES
    | cases_further.CASES
)

VIEWS = {ops.Reshape, ops.Flatten, ops.Transpose, ops.Permute, ops.Expand, ops.Index, ops.Diagonal, ops.Unfold}

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)


def test_every_operation_has_a_case() -> None:
    assert set(CASES) == set(OPERATIONS)


# --- torch's values and gradients -------------------------------------------------------------------------------------


def can_ask(operation: type[Function], inputs: Sequence[Any]) -> list[bool]:
    """Which inputs have a gradient: arrays of floats, but not weights of a loss, nor the number that a sum is of."""
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
    constant = {ops.NLLLoss: 2, ops.BCEWithLogitsLoss: 2, ops.AvgPool2d: 1}.get(operation)
    return [able and i != constant for i, able in enumerate(floats)]


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
    # Where a gradient is a sum, or is 0 but for rounding, an infinite dL/dy meets an exact 0 in one library only.
    finite = case.magnitude is not magnitude_of_copies
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name, finite=finite))

    def theirs(*x: Any) -> torch.Tensor:
        return case.theirs(*x, **options)

    assert_agree(
        evaluate(MINITRAIN, lambda *x: apply(operation, *x, **options), inputs, asks, grad_y),
        evaluate(TORCH, theirs, inputs, asks, grad_y),
        case.magnitude(theirs, inputs, asks, grad_y),
    )


@every_operation
@settings(max_examples=2 * settings().max_examples)
@given(data=st.data())
def test_value_and_gradients_are_torchs(operation: type[Function], data: st.DataObject) -> None:
    compare_with_torch(data, CASES[operation], operation)


# --- the contract -----------------------------------------------------------------------------------------------------

# What follows does not depend on the values: a few calls of each operation are enough.
few = settings(max_examples=6)


class Passes(NamedTuple):
    """What both passes of one call were given, kept and returned."""

    inputs: list[Array]
    ctx: Context
    y: Array
    grad_y: Array
    gradients: list[Array | None]


def as_list(gradients: Any) -> list[Array | None]:
    return list(gradients) if isinstance(gradients, tuple) else [gradients]


@st.composite
def both_passes(draw: st.DrawFn, operation: type[Function]) -> Passes:
    """forward and backward of a drawn call; a write into an input or into grad_y raises ValueError."""
    inputs, options = draw(CASES[operation].calls)
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    ctx = Context(tuple(draw(who_asks(operation, inputs))))
    for array in arrays:
        array.flags.writeable = False
    with np.errstate(all="ignore"):
        y = np.asarray(operation.forward(ctx, *inputs, **options))
        grad_y = draw(own.arrays(y.shape, y.dtype.name))
        grad_y.flags.writeable = False
        return Passes(arrays, ctx, y, grad_y, as_list(operation.backward(ctx, grad_y)))


@every_operation
@few
@given(data=st.data())
def test_no_pass_writes_into_what_it_was_given_or_kept(operation: type[Function], data: st.DataObject) -> None:
    passes = data.draw(both_passes(operation))
    with np.errstate(all="ignore"):
        again = as_list(operation.backward(passes.ctx, passes.grad_y))
    np.testing.assert_equal(again, passes.gradients)


@every_operation
@few
@given(data=st.data())
def test_a_result_is_a_view_only_where_a_shape_changes(operation: type[Function], data: st.DataObject) -> None:
    passes = data.draw(both_passes(operation))
    assert operation in VIEWS or not any(np.shares_memory(passes.y, x) for x in passes.inputs)


@every_operation
@few
@given(data=st.data())
def test_a_gradient_is_fresh_or_a_view_of_grad_y(operation: type[Function], data: st.DataObject) -> None:
    passes = data.draw(both_passes(operation))
    kept = [x for x in (*passes.ctx.saved_arrays, *vars(passes.ctx).values()) if isinstance(x, np.ndarray)]
    gradients = [np.asarray(grad) for grad in passes.gradients if grad is not None]
    for gradient in gradients:
        assert not any(np.shares_memory(gradient, x) for x in (*passes.inputs, *kept, passes.y))
    for a, b in combinations(gradients, 2):
        assert not np.shares_memory(a, b) or np.shares_memory(a, passes.grad_y)


@every_operation
@few
@given(data=st.data())
def test_who_asks_gets_a_gradient_of_its_own_dtype(operation: type[Function], data: st.DataObject) -> None:
    inputs, options = data.draw(CASES[operation].calls)
    asks = data.draw(who_asks(operation, inputs))
    ctx = Context(tuple(asks))
    with np.errstate(all="ignore"):
        y = np.asarray(operation.forward(ctx, *inputs, **options))
        gradients = as_list(operation.backward(ctx, np.ones_like(y)))
    expected = [x.dtype if ask else None for x, ask in zip(inputs, asks, strict=True)]
    assert [None if grad is None else grad.dtype for grad in gradients] == expected


# --- writing in place between forward and backward --------------------------------------------------------------------


def overwrite(victim: Tensor, how: str) -> None:
    value = 1 if victim.dtype.kind != "f" else 7.5
    if how == "itself":
        with no_grad():
            victim.fill_(value)
    elif how == "its detached twin":
        victim.detach().fill_(value)
    else:
        with no_grad():
            victim[...].fill_(value)


def write_before_backward(data: st.DataObject, operation: type[Function]) -> None:
    """Overwrite an input or the result; raise AssertionError if a gradient is wrong then, and no error says so."""
    case = CASES[operation]
    inputs, options = data.draw(case.calls)
    asks = data.draw(who_asks(operation, inputs))
    values = data.draw(st.integers(0, len(inputs)))
    how = data.draw(st.sampled_from(["itself", "its detached twin", "a view of it"]))
    grad_ys: list[Array] = []

    def ours(*leaves: Any) -> Tensor:
        given = [x.clone() if isinstance(x, Tensor) else x for x in leaves]
        y = apply(operation, *given, **options)
        grad_ys.append(data.draw(own.arrays(y.shape, y.dtype.name, finite=True)))
        victim = [*given, y][values]
        if isinstance(victim, Tensor) and victim.array.flags.writeable:
            overwrite(victim, how)
        y.backward(wrap(grad_ys[0]))
        return y

    def theirs(*leaves: Any) -> torch.Tensor:
        return case.theirs(*leaves, **options)

    try:
        outcome = evaluate(MINITRAIN, ours, inputs, asks)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
        return
    expected = evaluate(TORCH, theirs, inputs, asks, grad_ys[0])
    magnitude = case.magnitude(theirs, inputs, asks, grad_ys[0])
    assert_agree(outcome._replace(value=expected.value), expected, magnitude)


@every_operation
@few
@given(data=st.data())
def test_a_write_before_backward_is_refused_or_does_no_harm(operation: type[Function], data: st.DataObject) -> None:
    write_before_backward(data, operation)


# --- these tests can fail ---------------------------------------------------------------------------------------------


def off_by(factor: float, operation: type[Function], which: str) -> type[Function]:
    """A copy of the operation whose forward or backward is wrong by this factor; a gradient of 0, by factor - 1."""
    of_zero = which == "backward" and operation in cases_elementwise.FLAT

    def changed(x: Array) -> Any:
        return x + np.asarray(factor - 1, x.dtype) if of_zero else x * np.asarray(factor, x.dtype)

    def wrong(*args: Any, **options: Any) -> Any:
        right = getattr(operation, which)(*args, **options)
        if isinstance(right, tuple):
            return tuple(None if x is None else changed(x) for x in right)
        return changed(right)

    return type(f"Wrong{operation.__name__}", (operation,), {which: staticmethod(wrong)})


@every_operation
@pytest.mark.parametrize("which", ["forward", "backward"])
def test_an_error_of_one_in_ten_thousand_is_caught(operation: type[Function], which: str) -> None:
    wrong = off_by(1 + 1e-4, operation, which)
    assert_caught(lambda data: compare_with_torch(data, CASES[operation], wrong))


def with_backward(operation: type[Function], backward: Callable[[Any, Array], Any]) -> type[Function]:
    """A copy of the operation with another backward."""
    return type(f"Wrong{operation.__name__}", (operation,), {"backward": staticmethod(backward)})


def flipped_sign(ctx: Any, grad_y: Array) -> Any:
    grad_a, grad_b = ops.Sub.backward(ctx, grad_y)
    return grad_a, None if grad_b is None else -grad_b


def missing_share(ctx: Any, grad_y: Array) -> Any:
    return np.broadcast_to(reduce._expanded(grad_y, ctx), ctx.shape)


def missing_unbroadcast(ctx: Any, grad_y: Array) -> Any:
    a, b = ctx.saved_arrays
    return None if b is None else grad_y * b, None if a is None else grad_y * a


def averaging_unbroadcast(ctx: Any, grad_y: Array) -> Any:
    gradients = zip(ops.Add.backward(ctx, grad_y), ctx.shapes, strict=True)
    return tuple(
        None if grad is None else grad * max(int(np.prod(shape)), 1) / max(grad_y.size, 1) for grad, shape in gradients
    )


def passing_at_zero(ctx: Any, grad_y: Array) -> Any:
    (y,) = ctx.saved_arrays
    return np.where(y < 0, 0, grad_y)


def stopping_within_the_bounds(ctx: Any, grad_y: Array) -> Any:
    (outside,) = ctx.saved_arrays
    return np.where(outside, grad_y, 0)


def not_shared_among_ties(ctx: Any, grad_y: Array) -> Any:
    x, y = ctx.saved_arrays
    return reduce._expanded(grad_y, ctx) * (x == reduce._expanded(y, ctx))


def all_to_the_first(ctx: Any, grad_y: Array) -> Any:
    a, b = ctx.saved_arrays
    return elementwise._gradients_of_taken(ctx, grad_y, b_taken=np.less(a, b), a_taken=np.greater_equal(a, b))


def forgetting_the_sum(ctx: Any, grad_y: Array) -> Any:
    (y,) = ctx.saved_arrays
    return grad_y * y


def forgetting_the_second_time(ctx: Any, grad_y: Array) -> Any:
    grad_x = np.zeros(ctx.shape, grad_y.dtype)
    grad_x[ctx.index] = grad_y
    return grad_x


def dividing_by_the_batch(ctx: Any, grad_y: Array) -> Any:
    *_, total = ctx.saved_arrays
    labels = math.prod(ctx.target_shape)
    scale = total / labels if ctx.reduction == "mean" and labels else 1
    return ops.NLLLoss.backward(ctx, grad_y)[0] * scale, None, None


def without_the_two(ctx: Any, grad_y: Array) -> Any:
    return tuple(None if grad is None else grad / 2 for grad in ops.MSELoss.backward(ctx, grad_y))


@pytest.mark.parametrize(
    ("operation", "backward"),
    [
        (ops.Sub, flipped_sign),
        (ops.Mean, missing_share),
        (ops.Mul, missing_unbroadcast),
        (ops.Add, averaging_unbroadcast),
        (ops.ReLU, passing_at_zero),
        (ops.Clamp, stopping_within_the_bounds),
        (ops.Amax, not_shared_among_ties),
        (ops.Maximum, all_to_the_first),
        (ops.Softmax, forgetting_the_sum),
        (ops.Index, forgetting_the_second_time),
        (ops.NLLLoss, dividing_by_the_batch),
        (ops.MSELoss, without_the_two),
    ],
)
def test_a_planted_fault_is_caught(operation: type[Function], backward: Callable[[Any, Array], Any]) -> None:
    wrong = with_backward(operation, backward)
    assert_caught(lambda data: compare_with_torch(data, CASES[operation], wrong))


@pytest.mark.parametrize("operation", [ops.Mul, ops.Exp, ops.Linear, ops.Amax])
def test_without_versions_a_write_in_place_is_caught(
    operation: type[Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minitrain.tape.Node.guard", lambda *args: None)
    assert_caught(lambda data: write_before_backward(data, operation))


@pytest.mark.parametrize("rows", [0, 1, 2, 10, 11, 40])  # with 160 outputs, up to 10 rows are few
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linears_forms_for_few_rows_are_the_formula(rows: int, dtype: Any) -> None:
    random = np.random.default_rng(rows)
    x, weight, grad_y = (random.standard_normal(shape).astype(dtype) for shape in ((rows, 5), (160, 5), (rows, 160)))
    for laid_out in (weight, np.ascontiguousarray(weight.T).T):
        ctx = Context((True, True, True))
        np.testing.assert_allclose(ops.Linear.forward(ctx, x, laid_out, None), x @ weight.T, rtol=1e-5, atol=1e-5)
        grad_x, grad_weight, grad_bias = ops.Linear.backward(ctx, grad_y)
        np.testing.assert_allclose(grad_x, grad_y @ weight, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(grad_weight, grad_y.T @ x, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(grad_bias, grad_y.sum(axis=0), rtol=1e-5, atol=1e-5)
        assert grad_x.flags.c_contiguous
        assert grad_weight.T.flags.c_contiguous
