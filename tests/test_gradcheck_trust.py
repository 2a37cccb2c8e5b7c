"""gradcheck can be trusted: right functions pass without a warning, and what a check cannot see is warned about."""

import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import nn
from minitrain.autograd import check_gradients, gradcheck
from minitrain.diagnosis.replay import replay
from minitrain.learn.checking import check
from minitrain.learn.exercises import EXERCISES
from minitrain.nn import functional as F
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).standard_normal(shape)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return wrap(normal(*shape, seed=seed)).requires_grad_()


def pair(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    return type("Piece", (), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def keeping(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """A pair whose backward gets dL/dy and the inputs."""

    def kept(ctx: Any, *inputs: Array) -> Any:
        ctx.kept = [x.copy() for x in inputs]
        return forward(*inputs)

    return pair(kept, lambda ctx, grad_y: backward(grad_y, *ctx.kept))


def warnings_of(func: Any, *inputs: Any, **keywords: Any) -> list[str]:
    """The warnings about a gradient that passes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert gradcheck(func, inputs, **keywords)
    return [str(warning.message) for warning in caught]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


# --- near a kink ------------------------------------------------------------------------------------------------------

KINKED = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: x > 0),
    "abs": (np.abs, np.sign),
    "clip": (lambda x: np.clip(x, -1, 0), lambda x: (x > -1) & (x < 0)),
    "hard sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0.5, 1), lambda x: (x > 0) / 6),
}


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("seed", range(6))
def test_a_right_function_is_not_called_wrong_near_its_kink(name: str, seed: int) -> None:
    function, slope = KINKED[name]
    random = np.random.RandomState(seed)
    x = random.standard_normal(12) * 10 ** random.uniform(-12, -3, 12)
    piece = keeping(function, lambda grad_y, x: grad_y * slope(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no entry is far enough from the kink
        report = check_gradients(piece, (x,))
    assert report.ok, str(report)


@pytest.mark.parametrize("distance", [1e-9, 1e-8, 1e-7, 1e-6, 1e-5])
def test_a_slope_that_neither_side_has_is_wrong_near_a_kink(distance: float) -> None:
    twice = keeping(lambda x: np.maximum(x, 0), lambda grad_y, x: grad_y * 2 * (x > 0))
    (found,) = check_gradients(twice, (np.array([distance, -1.0]),)).inputs
    assert found.failing == 1


# --- ties -------------------------------------------------------------------------------------------------------------

TIED = np.array([[1.0, 1.0, 0.0], [0.5, 2.0, 2.0], [3.0, 3.0, 3.0]])


def maximum_of_rows(share: Callable[[Array], Array]) -> Any:
    return keeping(
        lambda x: x.max(axis=1), lambda grad_y, x: grad_y[:, np.newaxis] * share(x == x.max(axis=1, keepdims=True))
    )


def test_tied_entries_that_all_get_the_whole_gradient_are_wrong() -> None:
    (found,) = check_gradients(maximum_of_rows(lambda tied: tied), (TIED,)).inputs
    assert not found.ok
    assert "tied" in found.problem
    assert [mistake.name for mistake in found.mistakes] == ["ties"]
    assert "change y by 1 per unit" in found.mistakes[0].evidence
    assert "add up to 2" in found.mistakes[0].evidence


@pytest.mark.parametrize(
    "share",
    [
        lambda tied: tied / tied.sum(axis=1, keepdims=True),
        lambda tied: tied & (np.cumsum(tied, axis=1) == 1),
        lambda tied: tied & (np.cumsum(tied[:, ::-1], axis=1) == 1)[:, ::-1],
    ],
    ids=["shared", "the first", "the last"],
)
def test_tied_entries_that_share_a_gradient_are_right(share: Callable[[Array], Array]) -> None:
    assert check_gradients(maximum_of_rows(share), (TIED,)).ok


def test_ties_between_two_inputs_are_moved_together_too() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 3.0])
    both = keeping(np.maximum, lambda grad_y, a, b: (grad_y * (a >= b), grad_y * (b >= a)))
    assert not check_gradients(both, (a, b)).ok
    one = keeping(np.maximum, lambda grad_y, a, b: (grad_y * (a >= b), grad_y * (b > a)))
    assert check_gradients(one, (a, b)).ok


def test_equal_numbers_at_kinks_of_their_own_are_not_tied() -> None:
    """Of relu(a) - relu(-b) at 0, a gradient of 0 for both is as right as relu's own."""
    apart = keeping(
        lambda a, b: np.maximum(a, 0) - np.maximum(-b, 0), lambda grad_y, a, b: (grad_y * (a > 0), grad_y * (b < 0))
    )
    assert check_gradients(apart, (np.array([0.0, 1, -1]), np.array([0.0, -2, 3]))).ok


# --- small errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.9992, 1.0005, 1 + 1e-5])
def test_an_error_within_rtol_but_far_above_the_noise_is_warned_about(factor: float) -> None:
    tanh = keeping(np.tanh, lambda grad_y, x: factor * grad_y * (1 - np.tanh(x) ** 2))
    (message,) = warnings_of(tanh, normal(4))
    assert "far above rounding" in message
    assert f"{factor:.6g} everywhere" in message


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-9])
def test_an_error_as_large_as_the_noise_is_not_warned_about(factor: float) -> None:
    assert not warnings_of(keeping(np.exp, lambda grad_y, x: factor * grad_y * np.exp(x)), normal(3, 4))


def test_wrong_entries_below_atol_in_a_large_gradient_are_warned_about() -> None:
    scale = np.array([1, 1, 1e-6, 1e-6])
    wrong, right = (
        keeping(lambda x: (scale * x * x).sum(), lambda grad_y, x, signs=signs: 2 * grad_y * x * scale * signs)
        for signs in ([1, 1, -1, -1], [1, 1, 1, 1])
    )
    (message,) = warnings_of(wrong, normal(4))
    assert "2 of 4 entries are wrong, but smaller than atol" in message
    assert "2 of them have the wrong sign" in message
    assert not warnings_of(right, normal(4))


# --- inputs that hide a mistake ---------------------------------------------------------------------------------------


def cross_entropy(divisor: int) -> Any:
    """Cross-entropy of logits and labels; backward divides by the logits' size along an axis."""
    return keeping(
        lambda z, t: -np.log(softmax(z)[np.arange(len(t)), t]).mean(),
        lambda grad_y, z, t: (grad_y * (softmax(z) - np.eye(z.shape[1])[t]) / z.shape[divisor], None),
    )


scaled = keeping(lambda x, w: x * w, lambda grad_y, x, w: (grad_y, (grad_y * x).sum(axis=0)))
shifted = keeping(lambda x, b: x + b, lambda grad_y, x, b: (grad_y, grad_y[0]))
turned = keeping(lambda a, x: a @ x, lambda grad_y, a, x: (grad_y @ x.T, a @ grad_y))
unmasked = keeping(lambda x: np.maximum(x, 0), lambda grad_y, x: grad_y)
at_zero = keeping(lambda x, h: np.tanh(x + h), lambda grad_y, x, h: (grad_y * (1 - np.tanh(x) ** 2),) * 2)

HIDDEN: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "all ones": (scaled, (normal(5, 3), np.ones(3)), "input 1 is all 1"),
    "all zeros": (at_zero, (normal(5, 3), np.zeros((5, 3))), "input 1 is all 0"),
    "one row": (shifted, (normal(1, 4), normal(4)), "With one row"),
    "one row of logits": (
        keeping(lambda z, t: ((z - t) ** 2).mean(axis=1).mean(), lambda grad_y, z, t: (grad_y * 2 * (z - t) / 4, None)),
        (normal(1, 4), np.arange(4)[np.newaxis]),
        "With one row",
    ),
    "N = C": (cross_entropy(1), (normal(5, 5), np.array([1, 0, 3, 2, 4])), "5 rows and 5 columns"),
    "symmetric": (turned, (np.eye(3) + 1, normal(3, 2)), "equal to its own transpose"),
    "positive": (unmasked, (np.abs(normal(3, 4)) + 0.1,), "positive everywhere"),
}
RIGHT: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "all ones": (
        keeping(lambda x, w: x * w, lambda grad_y, x, w: (grad_y * w, (grad_y * x).sum(axis=0))),
        (normal(5, 3), np.ones(3)),
    ),
    "all zeros": (
        keeping(lambda x, h: np.tanh(x + h), lambda grad_y, x, h: (grad_y * (1 - np.tanh(x + h) ** 2),) * 2),
        (normal(5, 3), np.zeros((5, 3))),
    ),
    "one row": (
        keeping(lambda x, b: x + b, lambda grad_y, x, b: (grad_y, grad_y.sum(axis=0))),
        (normal(1, 4), normal(4)),
    ),
    "a row as bias": (
        keeping(lambda x, b: x + b, lambda grad_y, x, b: (grad_y, grad_y.sum(axis=0, keepdims=True))),
        (normal(1, 4), normal(1, 4)),
    ),
    "N = C": (cross_entropy(0), (normal(5, 5), np.array([1, 0, 3, 2, 4]))),
    "symmetric": (
        keeping(lambda a, x: a @ x, lambda grad_y, a, x: (grad_y @ x.T, a.T @ grad_y)),
        (np.eye(3) + 1, normal(3, 2)),
    ),
    "positive": (
        keeping(lambda x: np.maximum(x, 0), lambda grad_y, x: grad_y * (x > 0)),
        (np.abs(normal(3, 4)) + 0.1,),
    ),
    "logarithm": (keeping(np.log, lambda grad_y, x: grad_y / x), (np.abs(normal(3, 4)) + 0.1,)),
    "sizes in the backward": (
        keeping(lambda x: x.sum(), lambda grad_y, x: grad_y * np.ones((3, 3))),
        (normal(3, 3),),
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_input_that_hides_the_mistake_is_warned_about(name: str) -> None:
    func, inputs, message = HIDDEN[name]
    told = " ".join(warnings_of(func, *inputs))
    assert message in told
    assert "cannot be seen" in told
    assert "is wrong" in told


@pytest.mark.parametrize("name", RIGHT)
def test_such_inputs_are_not_warned_about_if_the_gradient_is_right(name: str) -> None:
    func, inputs = RIGHT[name]
    assert not warnings_of(func, *inputs)


def test_the_parameters_of_a_new_layer_are_not_warned_about() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3)).double()
    for rows in (3, 4, 6):
        batch = wrap(normal(rows, 4)), wrap(np.arange(rows) % 3)
        assert not warnings_of(model, *batch, loss_fn=F.cross_entropy)


def test_a_factor_of_one_in_a_module_is_warned_about() -> None:
    class Product(minitrain.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Array, weight: Array) -> Array:
            ctx.save_for_backward(x)
            return x * weight

        @staticmethod
        def backward(ctx: Any, grad_y: Array) -> Any:
            (x,) = ctx.saved_arrays
            return grad_y, (grad_y * x).sum(axis=0)

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(minitrain.ones(4))

        def forward(self, x: Tensor) -> Any:
            return Product.apply(x, self.weight)

    (message,) = warnings_of(nn.Sequential(nn.Linear(3, 4), Scale()).double(), wrap(normal(5, 3)))
    assert "1.weight is all 1, so a factor that is wrong or missing cannot be seen" in message
    assert "0.weight" in message


def test_a_sum_that_is_constant_is_warned_about() -> None:
    summed = keeping(lambda z: softmax(z).sum(), lambda grad_y, z: np.zeros_like(z))
    (message,) = warnings_of(summed, normal(3, 4))
    assert "does not depend on it" in message
    assert not warnings_of(keeping(np.sign, lambda grad_y, x: 0 * x), normal(3, 4))


def test_nll_of_logits_is_warned_about() -> None:
    target = wrap(np.array([0, 2, 1]))
    (message,) = warnings_of(lambda z: F.nll_loss(z, target), leaf(3, 4))
    assert "log_softmax" in message
    assert not warnings_of(lambda z: F.nll_loss(z.log_softmax(1), target), leaf(3, 4))
    labels = np.array([0, 2, 1])
    by_hand = keeping(
        lambda z: -z[np.arange(3), labels].mean(), lambda grad_y, z: -grad_y * np.eye(z.shape[1])[labels] / 3
    )
    (message,) = warnings_of(by_hand, normal(3, 4))
    assert "log_softmax" in message
    assert not warnings_of(by_hand, np.log(softmax(normal(3, 4))))


# --- without the tape -------------------------------------------------------------------------------------------------


def test_a_replay_runs_only_what_depends_on_the_moved_array() -> None:
    x, w, calls = wrap(normal(4, 3)), wrap(normal(3, 2)), []

    def function() -> list[Tensor]:
        calls.append(0)
        return [(x.exp() @ w).tanh()]

    with minitrain.no_grad():
        made = replay(function, [x.array, w.array], 1e-6)
        assert made is not None
        repeated = made.after_moving(w.array)
        assert repeated is not None
        before = len(calls)
        w.array[1, 1] += 0.5
        np.testing.assert_array_equal(repeated()[0], np.tanh(np.exp(x.array) @ w.array))
        assert len(calls) == before


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * wrap(x.array * 2),
        lambda x: x * float(x.array.sum()),
        lambda x: x.clone().mul_(x),
        lambda x: x * 2 if x.array.sum() > -1 else x * 3,
    ],
    ids=["a bare array", "a number", "in place", "a branch"],
)
def test_what_a_recording_cannot_see_is_measured_all_the_same(function: Callable[[Tensor], Tensor]) -> None:
    x = wrap(np.array([1.0, -1, 2, -2, 3, -3, 0.5, -0.5, 4, -4])).requires_grad_()
    with minitrain.no_grad():
        (found,) = check_gradients(function, (x,)).inputs
        made = replay(lambda: [function(x)], [x.array], 1e-6)
        if made is not None and (repeated := made.after_moving(x.array)) is not None:
            x.array[...] += 1e-6 * np.sign(x.array)
            np.testing.assert_array_equal(repeated()[0], function(x).array)
    del found


def test_a_path_through_a_bare_array_is_still_found() -> None:
    assert not gradcheck(lambda x: x * wrap(x.array * 2), (leaf(12),), raise_exception=False)
    assert not gradcheck(lambda x: x * float(x.array.sum()), (leaf(12),), raise_exception=False)


# --- the exercises' checks --------------------------------------------------------------------------------------------


def checked(exercise: str, body: str, path: Path) -> str:
    """What the check says of a body of an exercise, up to the first stage that fails; "" if all pass."""
    path.write_text(EXERCISES[exercise].with_body(textwrap.dedent(body).strip()))
    stages = list(check(EXERCISES[exercise], path, torch=False, limit=5.0))
    return "" if stages[-1].passed else stages[-1].text


STACK = """
waiting = [(root, grad)]
while waiting:
    node, grad = waiting.pop()
    if isinstance(node, AccumulateGrad):
        node.variable.receive_grad(grad, owned=False)
        continue
    for (edge, _), g in zip(node.next_functions, node.input_gradients(grad)):
        if edge is not None and g is not None:
            waiting.append((edge, g))
"""


def test_a_walk_over_all_paths_instead_of_all_nodes_does_not_pass(tmp_path: Path) -> None:
    assert checked("walk-back", STACK, tmp_path / "mine.py")


@pytest.mark.parametrize("body", ["pass", "return None, None"])
def test_a_loop_that_returns_nothing_is_asked_for_its_return(body: str, tmp_path: Path) -> None:
    assert "Is a return missing?" in " ".join(checked("test-loop", body, tmp_path / "mine.py").split())
