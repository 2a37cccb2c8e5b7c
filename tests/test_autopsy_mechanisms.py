"""The autopsy's mechanisms: each names the mistake that it was made for, and a near miss of it gets another answer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minitrain.autograd import check_gradients
from minitrain.diagnosis.autopsy import autopsy
from minitrain.diagnosis.gradcheck_report import InputCheck
from minitrain.ops import Array

Backward = Callable[[Any, Array], Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def positive(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.abs(normal(*shape, seed=seed)) + 0.5)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(z: Array, axis: int = -1) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def wrong_inputs(forward: Any, backward: Any, *inputs: Array, **options: Any) -> list[InputCheck]:
    pair = SimpleNamespace(__name__="Piece", forward=forward, backward=backward)
    return [found for found in check_gradients(pair, inputs, **options).inputs if not found.ok]


def first(forward: Any, backward: Any, *inputs: Array, **options: Any) -> tuple[str, str]:
    """The name and the sentence of the first diagnosis, of the first wrong input."""
    found = wrong_inputs(forward, backward, *inputs, **options)
    assert found, "it passed"
    return (found[0].mistakes[0].name, found[0].mistakes[0].says) if found[0].mistakes else ("", found[0].fact)


# --- functions of which mistakes are made -----------------------------------------------------------------------------


def tanh(ctx: Any, x: Array) -> Array:
    ctx.x, ctx.y = x, np.tanh(x)
    return np.asarray(ctx.y)


def relu(ctx: Any, x: Array) -> Array:
    ctx.x = x
    return np.maximum(x, 0)


def leaky(ctx: Any, x: Array) -> Array:
    ctx.x = x
    return np.where(x > 0, x, 0.2 * x)


def soft(ctx: Any, x: Array) -> Array:
    ctx.y = softmax(x)
    return np.asarray(ctx.y)


def swish(ctx: Any, x: Array) -> Array:
    ctx.x, ctx.s = x, sigmoid(x)
    return x * sigmoid(x)


TARGET = np.array([1, 0, 3, 2, 2, 1])
ONE_HOT = np.eye(5)[TARGET]
WEIGHT = np.array([1.0, 3.0, 0.5, 2.0, 1.0])[TARGET]


def cross_entropy(ctx: Any, z: Array) -> Array:
    ctx.z, ctx.p = z, softmax(z)
    return np.asarray(-np.log(ctx.p[range(6), TARGET]).mean())


def weighted(ctx: Any, z: Array) -> Array:
    ctx.p = softmax(z)
    return np.asarray(-(WEIGHT * np.log(ctx.p[range(6), TARGET])).sum() / WEIGHT.sum())


def batch_norm(ctx: Any, x: Array) -> Array:
    ctx.rate = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    ctx.normed = (x - x.mean(axis=0)) * ctx.rate
    return np.asarray(ctx.normed)


def batch_norm_gradient(mean: float, square: float, axis: int = 0) -> Backward:
    def backward(ctx: Any, g: Array) -> Array:
        of_mean, of_square = (z.mean(axis=axis, keepdims=True) for z in (g, g * ctx.normed))
        return np.asarray(ctx.rate * (g - mean * of_mean - square * ctx.normed * of_square))

    return backward


def dense(ctx: Any, x: Array, w: Array, b: Array) -> Array:
    ctx.x, ctx.w, ctx.y = x, w, np.tanh(x @ w + b)
    return np.asarray(ctx.y)


def through(slope: Callable[[Any], Any]) -> Backward:
    def backward(ctx: Any, g: Array) -> tuple[Array, Array, Array]:
        d = g * slope(ctx)
        return d @ ctx.w.T, ctx.x.T @ d, d.sum(axis=0)

    return backward


DENSE = normal(6, 3), normal(3, 5, seed=1), normal(5, seed=2)


def ridge(ctx: Any, w: Array, x: Array) -> Array:
    ctx.w, ctx.x = w, x
    return np.asarray(((x @ w) ** 2).sum() / 6 + 0.1 * (w**2).sum())


def ridge_gradient(share: float, data: float = 1) -> Backward:
    return lambda ctx, g: (g * (data * 2 * ctx.x.T @ ctx.x @ ctx.w / 6 + share * ctx.w), None)


def spread(ctx: Any, x: Array) -> Array:
    ctx.x = x
    return np.asarray((x * x).sum(axis=1))


def cosine(ctx: Any, a: Array, b: Array) -> Array:
    ctx.a, ctx.b = a, b
    return np.asarray((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))


def cosine_gradient(ctx: Any, g: Array, share: float) -> tuple[Array, None]:
    aa, bb, ab = ((u * v).sum(1, keepdims=True) for u, v in ((ctx.a, ctx.a), (ctx.b, ctx.b), (ctx.a, ctx.b)))
    return g[:, None] * (ctx.b - share * ab / aa * ctx.a) / np.sqrt(aa * bb), None


def recurrent(ctx: Any, x: Array, w_in: Array, w_state: Array) -> Array:
    states = [np.zeros((x.shape[1], len(w_state)))]
    for now in x:
        states.append(np.tanh(now @ w_in + states[-1] @ w_state))
    ctx.x, ctx.w_in, ctx.w_state, ctx.states = x, w_in, w_state, states
    return states[-1]


def recurrent_gradient(counted: Callable[[int], bool]) -> Backward:
    def backward(ctx: Any, g: Array) -> tuple[Array, Array, Array]:
        dx, d_in, d_state = np.zeros_like(ctx.x), np.zeros_like(ctx.w_in), np.zeros_like(ctx.w_state)
        for t in reversed(range(len(ctx.x))):
            delta = g * (1 - ctx.states[t + 1] ** 2)
            if counted(t):
                d_in += ctx.x[t].T @ delta
                d_state += ctx.states[t].T @ delta
            dx[t], g = delta @ ctx.w_in.T, delta @ ctx.w_state.T
        return dx, d_in, d_state

    return backward


RECURRENT = normal(3, 2, 4), 0.5 * normal(4, 3, seed=1), 0.5 * normal(3, 3, seed=2)
X = normal(4, 5)
Z = normal(6, 5)
KEPT = np.random.RandomState(3).rand(4, 5) > 0.5
OTHERS = np.random.RandomState(4).rand(4, 5) > 0.5

# What is made wrong, and how; the name of the mistake, and a phrase of its sentence.
RIDGE = normal(5, 2), normal(6, 5, seed=1)
NAMED: dict[str, tuple[Any, Any, tuple[Array, ...], str, str]] = {
    "mask alone": (relu, lambda c, g: c.x > 0, (X,), "grad-output-missing", "(bool)"),
    "whole numbers": (tanh, lambda c, g: (9 * g).astype(int), (X,), "whole-numbers", "cut off"),
    "a term without dL/dy": (tanh, lambda c, g: g * 1 - c.y * c.y, (X,), "term-without-grad", "It is -y²"),
    "dL/dy forgotten": (tanh, lambda c, g: 1 - c.y * c.y, (X,), "grad-output-missing", "does not occur"),
    "dL/dy squared": (tanh, lambda c, g: g * g * (1 - c.y * c.y), (X,), "not-linear", "not linear in dL/dy"),
    "a factor that is a size": (lambda c, x: 3 * x, lambda c, g: 9 * g, (normal(3, 3),), "factor", "is 3 times"),
    "not squared": (tanh, lambda c, g: g * (1 - c.y), (X,), "wrong-derivative", "1 - y, but here 1 - y² belongs"),
    "an inner scale": (
        lambda c, x: relu(c, x) * 0 + np.sin(3 * x),
        lambda c, g: 3 * g * np.cos(c.x / 2 * 2.5),
        (X,),
        "wrong-derivative",
        "at x / 2.4 instead of x",
    ),
    "another factor": (tanh, lambda c, g: g * (1 - c.y**2) * (1 + c.x**2), (X,), "operand", "1 + x²"),
    "product rule": (swish, lambda c, g: g * c.s, (X,), "term-missing", "second term, x · h'"),
    "product rule, x": (swish, lambda c, g: g * (c.s + c.s * (1 - c.s)), (X,), "term-factor", "the factor x is"),
    "another slope": (leaky, lambda c, g: g * np.where(c.x > 0, 1, 0.01), (X,), "one-side", "where x < 0"),
    "another mask": (lambda c, x: x * KEPT, lambda c, g: g * OTHERS, (X,), "mask-wrong-side", "Another mask"),
    "softmax without its sum": (soft, lambda c, g: g * c.y, (X,), "off-diagonal-missing", "share a sum"),
    "softmax over all": (
        soft,
        lambda c, g: c.y * (g - (g * c.y).sum()),
        (X,),
        "sum-wrong-axis",
        "over everything",
    ),
    "mean and variance constant": (batch_norm, batch_norm_gradient(0, 0), (Z,), "term-missing", "no constants"),
    "variance's sum": (batch_norm, batch_norm_gradient(1, 6), (Z,), "term-factor", "6 times too large"),
    "variance's sign": (batch_norm, batch_norm_gradient(1, -1), (Z,), "term-sign", "variance"),
    "means over rows": (batch_norm, batch_norm_gradient(1, 1, axis=1), (Z,), "sum-wrong-axis", "over the wrong axis"),
    "softmax twice": (
        cross_entropy,
        lambda c, g: g * (softmax(c.p) - ONE_HOT) / 6,
        (Z,),
        "softmax-twice",
        "applied twice",
    ),
    "another target": (
        cross_entropy,
        lambda c, g: g * (c.p - np.roll(ONE_HOT, 1, 1)) / 6,
        (Z,),
        "wrong-target",
        "another class",
    ),
    "the right class alone": (
        cross_entropy,
        lambda c, g: g * -ONE_HOT * (1 - c.p) / 6,
        (Z,),
        "off-diagonal-missing",
        "other classes",
    ),
    "class weights": (weighted, lambda c, g: g * (c.p - ONE_HOT) / 6, (Z,), "row-factor", "a factor of its own"),
    "one row": (
        lambda c, x: 2 * x,
        lambda c, g: 2 * g * np.array([[1], [1], [3], [1]]),
        (X,),
        "row-factor",
        "Only index 2 along axis 0",
    ),
    "some entries": (lambda c, x: 2 * x, lambda c, g: 2 * g * KEPT, (X,), "part-factor", "there it is 0"),
    "spread along the columns": (
        spread,
        lambda c, g: 2 * c.x * g,
        (normal(4, 4),),
        "sum-wrong-axis",
        "along the wrong axis",
    ),
    "cumulative sum": (
        lambda c, x: np.cumsum(x, 1),
        lambda c, g: np.cumsum(g, 1),
        (X,),
        "wrong-place",
        "the other way",
    ),
    "norm constant": (
        cosine,
        lambda c, g: cosine_gradient(c, g, 0),
        (normal(3, 4), normal(3, 4, seed=1)),
        "term-missing",
        "a multiple of x",
    ),
    "penalty": (ridge, ridge_gradient(-0.2), RIDGE, "term-missing", "0.4 · x"),
    "data halved": (
        ridge,
        ridge_gradient(0.2, 0.5),
        RIDGE,
        "term-factor",
        "One part is 0.5",
    ),
    "activation missing": (dense, through(lambda c: 1), DENSE, "derivative-missing", "1 - y²"),
    "activation wrong": (dense, through(lambda c: 1 - c.y), DENSE, "wrong-derivative", "1 - y, and 1 - y² belongs"),
    "ReLU's mask behind a product": (
        lambda c, x, w, b: np.maximum(dense(c, x, w, b), 0),
        through(lambda c: 1 - c.y**2),
        DENSE,
        "mask-missing",
        "between the result and this input",
    ),
    "halved and transposed": (
        lambda c, x, w: dense(c, x, w, 0) * 0 + x @ w,
        lambda c, g: (g @ c.w.T, (c.x.T @ g).T / 2),
        (normal(4, 3), normal(3, 3, seed=1)),
        "transposed",
        "And a second mistake",
    ),
    "only the first step": (
        recurrent,
        recurrent_gradient(lambda t: t == 0),
        RECURRENT,
        "path-forgotten",
        "only step 0",
    ),
    "last step missing": (
        recurrent,
        recurrent_gradient(lambda t: t < 2),
        RECURRENT,
        "path-forgotten",
        "step 2 of 3",
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_it_names_the_mistake(case: str) -> None:
    forward, backward, inputs, name, phrase = NAMED[case]
    needs = [True, False] if forward in (cosine, ridge) else None
    found, says = first(forward, backward, *inputs, needs_input_grad=needs)
    assert (found, phrase in says) == (name, True), says


# Near misses: nearly the same numbers, but the mechanism's condition does not hold.
NEAR: dict[str, tuple[Any, Any, tuple[Array, ...], str]] = {
    "a mean after all": (lambda c, x: x.mean(0), lambda c, g: np.tile(g, (3, 1)), (normal(3, 3),), "factor"),
    "not a formula": (tanh, lambda c, g: g * (1 - 1.01 * c.y), (X,), "wrong-derivative"),
    "no product": (tanh, lambda c, g: g * c.y / (c.x + 0.01), (X,), "term-missing"),
    "both sides": (leaky, lambda c, g: g * np.where(c.x > 0, 1.1, 0.01), (X,), "one-side"),
    "same mask, other size": (lambda c, x: x * KEPT, lambda c, g: 2 * g * KEPT, (X,), "mask-wrong-side"),
    "softmax, almost its sum": (
        soft,
        lambda c, g: c.y * (g - 0.9 * (g * c.y).sum(-1, keepdims=True)),
        (X,),
        "off-diagonal-missing",
    ),
    "half of the variance": (batch_norm, batch_norm_gradient(1, 0.5), (Z,), "term-missing"),
    "probabilities, a little off": (
        cross_entropy,
        lambda c, g: g * (c.p**1.1 - ONE_HOT) / 6,
        (Z,),
        "softmax-twice",
    ),
    "rows, each a little different": (
        lambda c, x: 2 * x,
        lambda c, g: 2 * g * (1 + 0.3 * X),
        (X,),
        "row-factor",
    ),
    "a rest that is no multiple": (
        ridge,
        lambda c, g: (g * (c.x.T @ c.x @ c.w / 3 + c.w**3), None),
        RIDGE,
        "term-missing",
    ),
    "an activation, a little off": (dense, through(lambda c: 1 - np.abs(c.y) ** 1.5), DENSE, "derivative-missing"),
    "steps weighted": (recurrent, recurrent_gradient(lambda t: t == 1), RECURRENT, "detached"),
}


@pytest.mark.parametrize("case", NEAR)
def test_a_near_miss_is_not_named(case: str) -> None:
    forward, backward, inputs, name = NEAR[case]
    needs = [True, False] if forward is ridge else None
    assert first(forward, backward, *inputs, needs_input_grad=needs)[0] != name


def test_a_gradient_that_stays_0_is_read_together_with_the_others() -> None:
    found = wrong_inputs(recurrent, recurrent_gradient(lambda t: t == 0), *RECURRENT)
    assert [each.mistakes[0].name for each in found] == ["path-forgotten", "path-forgotten"]
    assert "contributes 0" in found[1].mistakes[0].says


def test_after_a_failure_of_linearity_nothing_made_for_something_else_follows() -> None:
    (found,) = wrong_inputs(soft, lambda c, g: c.y * (g - c.y), X)
    assert [mistake.name for mistake in found.mistakes] == ["term-without-grad"]


def test_what_differs_from_call_to_call_gets_no_diagnosis() -> None:
    def backward(ctx: Any, g: Array) -> Array:
        ctx.total = getattr(ctx, "total", 0) + g * (1 - ctx.y**2)
        return np.asarray(ctx.total)

    (found,) = wrong_inputs(tanh, backward, X)
    assert "two different gradients" in found.problem
    assert not found.mistakes


def test_only_measured_noise_is_called_rounding() -> None:
    numeric = normal(30)
    noisy = numeric + 1e-3 * normal(30, seed=1)
    for noise in (None, np.full(30, 1e-9), np.full(30, np.nan)):
        assert "rounding" not in {mistake.name for mistake in autopsy(noisy, numeric, noise=noise)}
    assert autopsy(noisy, numeric, noise=np.full(30, 1e-2))[0].name == "rounding"


def test_a_step_that_sums_and_overwrites_is_seen() -> None:
    def forward(ctx: Any, x: Array, w: Array) -> Array:
        ctx.w, ctx.size = w, x.size
        return np.array([[x[i : i + 3] @ each for i in range(6)] for each in w])

    def backward(ctx: Any, g: Array) -> tuple[Array, None]:
        d = np.zeros(ctx.size)
        for i in range(6):
            d[i : i + 3] = g[:, i] @ ctx.w
        return d, None

    name, says = first(forward, backward, normal(8), normal(2, 3, seed=1), needs_input_grad=[True, False])
    assert (name, "overwritten" in says) == ("path-forgotten", True)


def test_a_bound_of_0_is_no_clip() -> None:
    numeric = normal(20)
    assert "clipped" not in {mistake.name for mistake in autopsy(np.minimum(numeric, 0), numeric)}
    classes = np.where(np.eye(4) == 1, 0.75, -0.25)
    assert "clipped" not in {mistake.name for mistake in autopsy(np.full((4, 4), -0.25), classes)}
    assert "clipped" in {mistake.name for mistake in autopsy(np.minimum(numeric, 0.3), numeric)}


@pytest.mark.parametrize(
    ("numeric", "ratio", "phrase"),
    [
        (normal(5, 3), 4 / 5, "(N - 1)/N for N = 5"),
        (normal(6, 3) * np.array([[1], [1], [0], [1], [0], [1]]), 4 / 6, "only 4 of 6 indices along axis 0"),
        (normal(5, 3), 0.77, "0.77 times what it should be."),
    ],
)
def test_a_ratio_of_counts_is_read(numeric: Array, ratio: float, phrase: str) -> None:
    (found,) = [mistake for mistake in autopsy(ratio * numeric, numeric) if mistake.name == "factor"]
    assert phrase in found.says


def test_where_nothing_fits_the_report_has_a_fact() -> None:
    def backward(ctx: Any, g: Array) -> tuple[Array, Array]:
        wrong = g * ctx.b
        wrong[1] *= normal(5, seed=8)
        return wrong, g * ctx.a

    def forward(ctx: Any, a: Array, b: Array) -> Array:
        ctx.a, ctx.b = a, b
        return a * b

    (found,) = wrong_inputs(forward, backward, X, normal(4, 5, seed=1))
    assert not found.mistakes
    assert "index 1 along axis 0" in found.fact
    assert "Right: input 1" in found.fact
