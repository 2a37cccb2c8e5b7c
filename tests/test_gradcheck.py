"""gradcheck: a right gradient passes wherever the function is defined, a wrong one is caught and shown."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minitrain
from minitrain import nn, ops
from minitrain.autograd import GradcheckError, check_gradients, gradcheck
from minitrain.nn import functional as F
from minitrain.ops import Array, Context, Function, Gradients
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor, apply, wrap
from tests.comparing import assert_caught
from tests.test_ops import CASES, Call, can_ask, every_operation, off_by, with_backward


def irregular(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).standard_normal(shape)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return wrap(irregular(*shape, seed=seed)).requires_grad_()


# --- over the operations ----------------------------------------------------------------------------------------------


def away_from_jumps(a: Any, b: Any, rounding_mode: str) -> Any:
    """Whether a step of gradcheck leaves a / b between the same two integers, where rounding it jumps at each."""
    quotient = a / b
    step = 1e-5 * (np.maximum(1, np.abs(a)) + np.abs(quotient) * np.maximum(1, np.abs(b))) / np.abs(b)
    within = np.abs(quotient - np.round(quotient)) > step
    return within | ((np.abs(quotient) < 0.5) & (step < 0.5)) if rounding_mode == "trunc" else within


def at_most_two_are_the_median(x: Array, ignore_nan: bool) -> bool:
    known = np.sort(x[~np.isnan(x)])
    return known.size == 0 or np.sum(known == known[(known.size - 1) // 2]) < 3


# Where the derivative exists, and torch's slope (and so ours) is it: arguments are the operation's inputs and options.
# Elsewhere torch has a convention (both bounds of clamp are one number, three elements are the median), its slope is
# inf · 0 or 0 / 0, or the value jumps.
DIFFERENTIABLE: dict[type[Function], Callable[..., Any]] = {
    ops.Clamp: lambda x, min, max: min != max,
    ops.Median: at_most_two_are_the_median,
    ops.BCELoss: lambda p, target: (p > 0) & (p < 1),
    ops.Pow: lambda a, b: np.isfinite(a) & np.isfinite(b),
    ops.Atan2: lambda a, b: np.isfinite(a) & np.isfinite(b),
    ops.Hypot: lambda a, b: np.isfinite(np.hypot(a, b)) & (np.hypot(a, b) > 0),
    ops.Xlogy: lambda a, b: (a != 0) | (b != 0),
    ops.DivRounded: away_from_jumps,
    ops.Remainder: lambda a, b: away_from_jumps(a, b, "floor"),
    ops.Fmod: lambda a, b: away_from_jumps(a, b, "trunc"),
}


def in_float64(call: Call) -> Call:
    inputs = [x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in call.inputs]
    options = {**call.options, **({"dtype": np.dtype(np.float64)} if "dtype" in call.options else {})}
    return Call(inputs, options)


def drawn_check(data: st.DataObject, operation: type[Function], checked: type[Function] | None = None) -> Any:
    call = in_float64(data.draw(CASES[operation].calls))
    with np.errstate(all="ignore"):
        assume(np.all(DIFFERENTIABLE.get(operation, lambda *_, **__: True)(*call.inputs, **call.options)))
    needs = can_ask(operation, call.inputs)
    assume(any(needs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is nothing but kinks and infinities
        return check_gradients(checked or operation, call.inputs, options=call.options, needs_input_grad=needs)


@every_operation
@settings(max_examples=2 * settings().max_examples)
@given(data=st.data())
def test_a_right_gradient_passes_over_the_whole_domain(operation: type[Function], data: st.DataObject) -> None:
    report = drawn_check(data, operation)
    assert report.ok, str(report)


@every_operation
@pytest.mark.parametrize("factor", [-1.0, 1.01, 2.0])
def test_a_wrong_factor_is_caught(operation: type[Function], factor: float) -> None:
    def right_until_now(data: st.DataObject) -> None:
        assert drawn_check(data, operation, off_by(factor, operation, "backward")).ok

    assert_caught(right_until_now)


# --- what counts as wrong ---------------------------------------------------------------------------------------------


@given(st.floats(0, 1))
def test_at_a_kink_every_slope_between_left_and_right_is_right(slope: float) -> None:
    (found,) = check_gradients(with_slope_at_kink(slope), (np.array([0.0, -1.0, 2.0]),)).inputs
    assert found.ok
    assert found.kinks == (0 if abs(slope - 0.5) < 1e-3 else 1)


@pytest.mark.parametrize("slope", [-0.1, 1.1, 5.0, np.nan])
def test_at_a_kink_a_slope_outside_is_wrong(slope: float) -> None:
    (found,) = check_gradients(with_slope_at_kink(slope), (np.array([0.0, -1.0, 2.0]),)).inputs
    assert found.failing == 1
    assert found.worst is not None
    assert found.worst.index == (0,)


def with_slope_at_kink(slope: float) -> type[Function]:
    class Bent(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            ctx.save_for_backward(x)
            return np.maximum(x, 0)

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Gradients:
            (x,) = ctx.saved_arrays
            return grad_y * np.where(x == 0, slope, x > 0)

    return Bent


@pytest.mark.parametrize("distance", [1e-7, -3e-7, 9e-7])
def test_a_step_across_a_kink_is_taken_again_with_a_smaller_one(distance: float) -> None:
    (found,) = check_gradients(ops.ReLU, (np.array([distance, 1.0]),)).inputs
    assert (found.ok, found.kinks, found.remeasured) == (True, 0, 1)


def test_ties_of_a_maximum_are_kinks() -> None:
    x = np.array([[3.0, 3.0, 1.0], [2.0, 5.0, 5.0]])
    (found,) = check_gradients(ops.Amax, (x,), options={"dim": (1,), "keepdim": False}).inputs
    assert (found.ok, found.failing) == (True, 0)
    taken = with_backward(ops.Amax, lambda ctx, grad_y: (ctx.saved_arrays[0] > 1.5) * grad_y[:, np.newaxis])
    assert not check_gradients(taken, (x,), options={"dim": (1,), "keepdim": False}).ok


def test_it_says_so_where_there_is_nothing_but_kinks() -> None:
    with pytest.warns(UserWarning, match="every entry is at a kink"):
        assert gradcheck(ops.ReLU, (np.zeros(3),))


def test_it_says_so_where_atol_hides_the_gradient() -> None:
    tiny = scaled(off_by(2.0, ops.Neg, "backward"), 1e-6)
    with pytest.warns(UserWarning, match="smaller than atol"):
        assert gradcheck(tiny, (irregular(4),))
    assert not gradcheck(tiny, (irregular(4),), atol=1e-12, raise_exception=False)


def scaled(operation: type[Function], factor: float) -> type[Function]:
    """factor · operation."""
    return type(
        "Scaled",
        (Function,),
        {
            "forward": staticmethod(lambda ctx, *inputs: factor * operation.forward(ctx, *inputs)),
            "backward": staticmethod(lambda ctx, grad_y: operation.backward(ctx, factor * grad_y)),
        },
    )


def test_a_backward_that_is_not_linear_is_caught() -> None:
    guided = with_backward(ops.ReLU, lambda ctx, grad_y: ops.ReLU.backward(ctx, np.maximum(grad_y, 0)))
    assert not check_gradients(guided, (np.abs(irregular(6)) + 0.1,)).ok
    normalized = with_backward(ops.Neg, lambda ctx, grad_y: -grad_y * (1 if (grad_y != 0).sum() < 2 else 2))
    (found,) = check_gradients(normalized, (irregular(6),)).inputs
    assert "linear in grad_output" in found.problem


def test_a_backward_that_is_not_linear_is_caught_beside_a_kink_too() -> None:
    many = with_backward(
        ops.ReLU, lambda ctx, grad_y: ops.ReLU.backward(ctx, grad_y * (5 if np.count_nonzero(grad_y) > 1 else 1))
    )
    assert not check_gradients(many, (np.array([0.0, 1.0, -1.0, 2.0]),)).ok


@pytest.mark.parametrize("seed", range(4))
def test_a_single_result_is_tried_with_both_signs_of_dldy(seed: int) -> None:
    call, options = (irregular(5), irregular(5, seed=1)), {"reduction": "mean"}
    unsigned = with_backward(ops.MSELoss, lambda ctx, grad_y: ops.MSELoss.backward(ctx, np.abs(grad_y)))
    assert not check_gradients(unsigned, call, options=options, seed=seed).ok


def test_what_rounding_swallows_is_not_called_wrong() -> None:
    x = irregular(3, 4)
    x[0] *= 1e7
    (found,) = check_gradients(lambda x: (x * x).sum(), (wrap(x).requires_grad_(),)).inputs
    assert found.ok
    assert found.unmeasured > 0


@pytest.mark.parametrize("place", [(1, 2), (0, 0)])
def test_one_wrong_sign_among_many_is_not_called_rounding_or_a_kink(place: tuple[int, int]) -> None:
    def backward(ctx: Any, grad_y: Array) -> Any:
        (y,) = ctx.saved_arrays
        grad = grad_y * y
        grad[place] *= -1
        return grad

    (found,) = check_gradients(with_backward(ops.Exp, backward), (irregular(3, 4),)).inputs
    assert found.failing == 1
    assert not {"rounding", "kinks"} & {mistake.name for mistake in found.mistakes}


def test_a_wrong_slope_beside_a_kink_is_not_excused_by_it() -> None:
    half = with_backward(ops.Abs, lambda ctx, grad_y: grad_y * (ctx.saved_arrays[0] > 0))
    (found,) = check_gradients(half, (irregular(3, 4),)).inputs
    assert found.failing > 0
    assert "kinks" not in {mistake.name for mistake in found.mistakes}


def test_a_backward_that_ignores_dldy_is_caught_also_of_a_single_number() -> None:
    ignoring = with_backward(ops.MSELoss, lambda ctx, grad_y: (ops.MSELoss.backward(ctx, np.ones(()))[0], None))
    call = (irregular(5), irregular(5, seed=1))
    report = check_gradients(ignoring, call, options={"reduction": "mean"}, needs_input_grad=[True, False])
    assert [mistake.name for mistake in report.inputs[0].mistakes][:1] == ["grad-output-missing"]


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_failure_names_operation_input_index_values_count_and_cause() -> None:
    def backward(ctx: Any, grad_y: Array) -> Any:
        grad_x, grad_weight, grad_bias = ops.Linear.backward(ctx, grad_y)
        return grad_x, -grad_weight, grad_bias

    wrong = with_backward(ops.Linear, backward)
    x, weight, bias = irregular(3, 4), irregular(5, 4, seed=1), irregular(5, seed=2)
    with pytest.raises(GradcheckError) as failure:
        gradcheck(wrong, (x, weight, bias))
    told = str(failure.value)
    assert "WrongLinear, input 1 [5, 4]: 20 of 20 entries wrong" in told
    assert "Likely: sign." in told
    assert "WrongLinear, input 0 [3, 4]: 12 entries right" in told
    found = check_gradients(wrong, (x, weight, bias)).inputs[1]
    assert found.worst is not None
    n, k = found.worst.output
    j, i = found.worst.index
    assert k == j
    np.testing.assert_allclose([found.worst.analytic, found.worst.numeric], [-x[n, i], x[n, i]], rtol=1e-6)


def test_raise_exception_false_returns_false() -> None:
    assert gradcheck(off_by(2.0, ops.Exp, "backward"), (irregular(3),), raise_exception=False) is False
    assert gradcheck(ops.Exp, (irregular(3),)) is True


# --- functions of Tensors, Modules ------------------------------------------------------------------------------------


def network() -> nn.Module:
    minitrain.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def test_a_function_of_tensors_is_checked_as_torch_checks_it() -> None:
    def product(a: Any, b: Any) -> Any:
        return (a @ b).tanh(), a.sum()

    a, b = irregular(3, 4), irregular(4, 2, seed=1)
    assert gradcheck(product, (wrap(a).requires_grad_(), wrap(b).requires_grad_()))
    theirs = [torch.from_numpy(x).requires_grad_() for x in (a, b)]
    assert torch.autograd.gradcheck(product, theirs)


def test_a_modules_parameters_are_checked_with_a_loss_by_name() -> None:
    report = check_gradients(network(), (wrap(irregular(5, 4)), wrap(np.arange(5) % 3)), loss_fn=F.cross_entropy)
    assert report.ok
    assert [found.name for found in report.inputs] == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("fast_mode", [False, True])
def test_a_wrong_layer_is_found_in_a_model(fast_mode: bool) -> None:
    wrong = off_by(3.0, ops.Tanh, "backward")

    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return apply(wrong, x)

    model = nn.Sequential(nn.Linear(4, 6), Wrong(), nn.Linear(6, 3)).double()
    report = check_gradients(
        model, (wrap(irregular(5, 4)), wrap(np.arange(5) % 3)), loss_fn=F.cross_entropy, fast_mode=fast_mode
    )
    assert [found.ok for found in report.inputs] == [False, False, True, True]
    assert "factor" in [mistake.name for mistake in report.inputs[0].mistakes]


def test_nothing_is_left_behind() -> None:
    model, x, y = network(), wrap(irregular(5, 4)), wrap(np.arange(5) % 3)
    F.cross_entropy(model(x), y).backward()
    before = [(p.array.copy(), p.array, p.grad, p.grad.array.copy()) for p in model.parameters() if p.grad is not None]
    gradcheck(model, (x, y), loss_fn=F.cross_entropy)
    for param, (values, array, grad, gradient) in zip(model.parameters(), before, strict=True):
        assert param.array is array
        assert param.grad is grad
        np.testing.assert_array_equal(param.array, values)
        assert grad is not None
        np.testing.assert_array_equal(grad.array, gradient)


def test_a_pairs_inputs_are_never_written() -> None:
    x = irregular(3)
    x.flags.writeable = False
    assert gradcheck(ops.Exp, (x,))


def test_directions_check_the_tutorials_model_and_say_what_that_does_not_prove() -> None:
    model = build_model(nn, 784, (512, 512), 10).double()
    batch = wrap(np.random.RandomState(0).random_sample((8, 784))), wrap(np.arange(8))
    report = check_gradients(model, batch, loss_fn=F.cross_entropy, fast_mode=True)
    assert report.ok
    assert sum(found.entries for found in report.inputs) == 669_706
    assert "proves nothing about an error that is small" in str(report)


def test_rows_that_are_said_to_be_independent_are_moved_together() -> None:
    x = irregular(7, 5)
    whole, at_once = (
        check_gradients(ops.LogSoftmax, (x,), options={"dim": 1}, independent_rows=rows) for rows in (False, True)
    )
    assert whole.ok
    assert at_once.ok
    np.testing.assert_allclose(at_once.inputs[0].numeric, whole.inputs[0].numeric, atol=1e-8)
    calls = []

    def counting(ctx: Any, x: Array, *, dim: int) -> Any:
        calls.append(0)
        return ops.LogSoftmax.forward(ctx, x, dim=dim)

    counted = type("Counted", (ops.LogSoftmax,), {"forward": staticmethod(counting)})
    check_gradients(counted, (x,), options={"dim": 1}, independent_rows=True)
    assert len(calls) < 2 * x.size
    off_diagonal = with_backward(ops.LogSoftmax, lambda ctx, grad_y: grad_y)
    assert not check_gradients(off_diagonal, (x,), options={"dim": 1}, independent_rows=True).ok


# --- what cannot be checked -------------------------------------------------------------------------------------------


def test_float32_is_warned_about_and_checked_with_larger_steps() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert gradcheck(ops.Exp, (irregular(3).astype(np.float32),))
    told = " ".join(str(warning.message) for warning in said)
    assert "input 0 requires gradient and is not a double precision" in told
    assert ".double()" in told
    assert "nothing was checked" not in told
    wrong = with_backward(ops.Exp, lambda ctx, grad_y: 1.1 * grad_y * ctx.saved_arrays[0])
    with pytest.warns(UserWarning, match="double precision"):
        assert check_gradients(wrong, (irregular(3).astype(np.float32),)).inputs[0].failing == 3


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda: gradcheck(lambda x: x, (wrap(irregular(3)),)), ValueError, "at least one input Tensor to require"),
        (lambda: gradcheck(lambda x: x, (leaf(3) * 2,)), ValueError, "is the result of an operation"),
        (lambda: gradcheck(lambda x: 3, (leaf(3),)), GradcheckError, "returned int; expected one or more Tensors"),
        (lambda: gradcheck(lambda x: F.dropout(x), (leaf(30),)), GradcheckError, "gives different values each time"),
        (lambda: gradcheck(ops.Exp, (np.arange(3),)), ValueError, "needs a float64 array"),
        (lambda: gradcheck(ops.Exp, (irregular(3),), eps=0), ValueError, "eps must be a finite number above 0"),
        (lambda: gradcheck(ops.Exp, (irregular(3),), rtol=-1), ValueError, "rtol must be a finite number from 0"),
        (lambda: gradcheck(lambda x: x, (leaf(3),), loss_fn=F.mse_loss), TypeError, "loss_fn is only for a Module"),
        (lambda: gradcheck(ops.Exp, (irregular(2**14),)), ValueError, "Jacobian takes 4.0 GiB.*fast_mode"),
        (
            lambda: gradcheck(with_backward(ops.Add, lambda ctx, grad_y: grad_y), (irregular(2), irregular(2))),
            GradcheckError,
            "returned 1 gradients for 2 inputs",
        ),
        (
            lambda: gradcheck(with_backward(ops.Neg, in_place), (irregular(2),)),
            GradcheckError,
            "writes into grad_output",
        ),
        (lambda: gradcheck(Returning(None), (irregular(2),)), GradcheckError, "forward returned NoneType"),
        (lambda: gradcheck(writing, (leaf(2),)), GradcheckError, "changes input 0 in place"),
        (
            lambda: gradcheck(with_backward(ops.Neg, lambda ctx, grad_y: "wrong"), (irregular(2),)),
            GradcheckError,
            "backward returned str for input 0",
        ),
        (lambda: gradcheck(network(), (leaf(3, 4),), loss_fn=F.mse_loss), ValueError, "and then the target"),
        (lambda: gradcheck(ops.Exp, (leaf(3),)), ValueError, "needs a float64 array.*but got Tensor"),
        (lambda: gradcheck(ops.Exp, (irregular(2),), fast_mode=True, independent_rows=True), ValueError, "give either"),
        (lambda: gradcheck(ops.Sum, (irregular(2),), options={"dim": (0,), "keepdim": False}, independent_rows=True),
         ValueError, "as many rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_said(check: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check()


def in_place(ctx: Any, grad_y: Array) -> Array:
    grad_y *= -1
    return grad_y


class Returning:
    """A pair whose forward returns something else."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def forward(self, ctx: Any, x: Array) -> Any:
        return self.result

    def backward(self, ctx: Any, grad_y: Array) -> Array:
        return grad_y


def writing(x: Tensor) -> Tensor:
    with minitrain.no_grad():
        x.detach().mul_(0)
    return x * 1.0


def test_an_input_that_was_written_into_is_put_back() -> None:
    x = leaf(2)
    before = x.array.copy()
    with pytest.raises(GradcheckError):
        gradcheck(writing, (x,))
    np.testing.assert_array_equal(x.array, before)


def test_a_direction_moves_by_eps_however_many_entries_there_are() -> None:
    x, moved = leaf(40, 40), []
    before = x.array.copy()

    def watched(x: Tensor) -> Tensor:
        moved.append(np.linalg.norm(x.array - before))
        return (x * x).sum()

    assert gradcheck(watched, (x,), fast_mode=True, eps=1e-5)
    assert max(moved) == pytest.approx(1e-5, rel=1)


def test_a_hundredth_too_much_is_caught_in_directions_of_many_entries() -> None:
    wrong = off_by(1.01, ops.Exp, "backward")
    x = leaf(60, 60)
    assert gradcheck(lambda x: x.exp().sum(), (x,), fast_mode=True)
    for seed in range(3):
        assert not check_gradients(lambda x: apply(wrong, x).sum(), (x,), fast_mode=True, seed=seed).ok


def test_what_adds_up_to_dldy_by_chance_is_not_called_a_mask() -> None:
    squared = with_backward(ops.Tanh, lambda ctx, grad_y: grad_y * ctx.saved_arrays[0] ** 2)
    (found,) = check_gradients(squared, (irregular(3, 4),)).inputs
    assert found.failing > 0
    assert "mask-inverted" not in [mistake.name for mistake in found.mistakes]


def test_a_gradient_of_another_shape_is_a_problem_of_that_input() -> None:
    flat = with_backward(ops.Neg, lambda ctx, grad_y: -grad_y.reshape(-1))
    (found,) = check_gradients(flat, (irregular(2, 3),)).inputs
    assert "shape [6], but expected [2, 3]" in found.problem
    assert found.mistakes[0].name == "wrong-shape"


def test_a_backward_that_cannot_be_called_twice_is_a_problem() -> None:
    def backward(ctx: Any, grad_y: Array) -> Any:
        ctx.times = getattr(ctx, "times", 0) + 1
        return -grad_y * ctx.times

    (found,) = check_gradients(with_backward(ops.Neg, backward), (irregular(3),)).inputs
    assert "two different gradients for one dL/dy" in found.problem


def test_results_of_no_elements_are_right() -> None:
    assert gradcheck(ops.Exp, (np.zeros((0, 3)),))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_any_seed_gives_the_same_verdicts(seed: int) -> None:
    x = irregular(3, 4)
    assert check_gradients(ops.Tanh, (x,), seed=seed).ok
    assert not check_gradients(off_by(1.01, ops.Tanh, "backward"), (x,), seed=seed).ok
    model, batch = network(), (wrap(irregular(5, 4)), wrap(np.arange(5) % 3))
    assert check_gradients(model, batch, loss_fn=F.cross_entropy, fast_mode=True, seed=seed).ok
