"""Hypotheses of the autopsy, each with a mistake that it names and a near miss that it does not name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minitrain import autograd
from minitrain.autograd import check_gradients
from minitrain.diagnosis.autopsy import autopsy
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.diagnosis.optimcheck import check_optimizer
from minitrain.ops import Array
from minitrain.tensor import wrap

Function = Callable[..., Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def report_of(forward: Function, backward: Function, *inputs: Array, needs: Any = None) -> Report:
    pair = SimpleNamespace(__name__="Piece", forward=forward, backward=backward)
    return check_gradients(pair, inputs, needs_input_grad=needs)


def first(forward: Function, backward: Function, *inputs: Array, needs: Any = None) -> tuple[str, str]:
    """The name and the sentence of the first diagnosis of the first wrong input."""
    report = report_of(forward, backward, *inputs, needs=needs)
    assert not report.ok, "it passed"
    found = next(found for found in report.inputs if not found.ok)
    return (found.mistakes[0].name, found.mistakes[0].says) if found.mistakes else ("", found.fact)


def keeping(function: Function) -> Function:
    """The forward that keeps its inputs on ctx as a, b, c and its result as y."""

    def forward(ctx: Any, *inputs: Array) -> Array:
        for name, x in zip("abc", inputs, strict=False):
            setattr(ctx, name, x)
        ctx.y = np.asarray(function(*inputs))
        return ctx.y

    return forward


X, W, SQUARE = normal(4, 5), normal(5, 3, seed=1), normal(4, 4, seed=2)
TARGET = np.array([1, 0, 3, 2, 2, 1])
ONE_HOT, LOGITS = np.eye(5)[TARGET], normal(6, 5)

tanh, sine, exp = keeping(np.tanh), keeping(lambda x: np.sin(3 * x)), keeping(np.exp)
relu, leaky = keeping(lambda x: np.maximum(x, 0)), keeping(lambda x: np.where(x > 0, x, 0.2 * x))
double, cumulative = keeping(lambda x: 2 * x), keeping(lambda x: np.cumsum(x, 1))
squares = keeping(lambda x: (x * x).sum(axis=1))
swish = keeping(lambda x: x / (1 + np.exp(-x)))
product = keeping(lambda x, w: x @ w)
gram = keeping(lambda q, k: (q @ k.T) ** 2)
filtered = keeping(lambda x, k: np.array([x[i : i + 3] @ k for i in range(6)]))
dense = keeping(lambda x, w: np.tanh(x @ w))
rectified = keeping(lambda x, w: np.maximum(x @ w, 0))
cross_entropy = keeping(lambda z: -np.log(softmax(z)[range(6), TARGET]).mean())
log_sum = keeping(lambda x: np.log(np.exp(x).sum()))
penalized = keeping(lambda x: (np.sin(x) + 0.1 * x * x).sum())
times = keeping(lambda x, w: x * w)
bent = keeping(lambda x: np.where(x > 0, np.sin(x), 2 * x + x * x))
POSITIVE, SOME = np.abs(X) + 0.5, np.arange(12).reshape(4, 3) % 4 > 0


def shared(ctx: Any, x: Array) -> Array:
    ctx.a, ctx.s = x, (x * x).sum(-1, keepdims=True)
    return np.asarray(x / (1 + ctx.s))


def centred(ctx: Any, x: Array) -> Array:
    ctx.d = x - x.mean(1, keepdims=True)
    return np.sin(ctx.d)


def through(slope: Callable[[Any], Any]) -> Function:
    """The gradient of x in f(x @ w), with this derivative of f."""
    return lambda c, g: ((g * slope(c)) @ c.b.T, None)


def filtered_gradient(kernel: Callable[[Array], Array]) -> Function:
    def backward(ctx: Any, g: Array) -> tuple[Array, None]:
        d = np.zeros(8)
        for i in range(6):
            d[i : i + 3] += g[i] * kernel(ctx.b)
        return d, None

    return backward


def over_time(ctx: Any, x: Array, w: Array) -> Array:
    ctx.x, ctx.w = x, w
    return np.asarray(np.tanh(x @ w).sum(axis=0))


def over_time_gradient(share: Callable[[int], float]) -> Function:
    def backward(ctx: Any, g: Array) -> tuple[Array, Array]:
        d = g * (1 - np.tanh(ctx.x @ ctx.w) ** 2)
        return d @ ctx.w.T, np.asarray(sum(share(t) * ctx.x[t].T @ d[t] for t in range(3)))

    return backward


def cross_entropy_gradient(target: Array) -> Function:
    return lambda c, g: g * (softmax(c.a) - target) / 6


def swapped(mask: Array, value: float) -> Function:
    return lambda c, g: np.where(mask, value, 2) * g


HALF = np.arange(20).reshape(4, 5) % 3 == 0
SEQUENCE = normal(3, 2, 4), normal(4, 3, seed=1)
FILTER = normal(8), normal(3, seed=1)
ONE_EACH = np.eye(5)[[0, 3, 1, 4]]

# What is checked, at which inputs; the wrong backward, the name of the mistake and a phrase of its sentence; the near
# miss, which has not that phrase.
CASES: dict[str, tuple[Function, tuple[Array, ...], Function, str, str, Function]] = {
    # wrong_linearity
    "whole numbers": (tanh, (X,), lambda c, g: (9 * g).astype(int), "whole-numbers", "cut off",
                      lambda c, g: np.trunc(9 * g)),
    "a mask alone": (relu, (X,), lambda c, g: c.a > 0, "grad-output-missing", "(bool)",
                     lambda c, g: (c.a > 0) * 1.0),
    "a term without dL/dy": (tanh, (X,), lambda c, g: g - c.y**2, "term-without-grad", "A term without dL/dy",
                             lambda c, g: g - g.sum() * c.y**2),
    "a number without dL/dy": (tanh, (X,), lambda c, g: g * (1 - c.y**2) + 1, "shifted", "The same number, 1,",
                               lambda c, g: g * (1 - c.y**2) + c.a),
    "not linear": (tanh, (X,), lambda c, g: np.abs(g) * (1 - c.y**2), "not-linear", "size or sign",
                   lambda c, g: g * np.abs(1 - c.y**2) * 1.1),
    "only where dL/dy is positive": (relu, (X,), lambda c, g: np.where(g > 0, g, 0) * (c.a > 0), "mask-wrong-side",
                                     "where dL/dy > 0", lambda c, g: np.where(g > 0, g, 0.1 * g) * (c.a > 0)),
    # wrong_product
    "spread along the columns": (squares, (SQUARE,), lambda c, g: 2 * c.a * g, "sum-wrong-axis", "wrong axis",
                                 lambda c, g: 2 * c.a * (g + 0.01 * g[:, None])),
    "the same map": (cumulative, (X,), lambda c, g: np.cumsum(g, 1), "wrong-place", "the other way",
                     lambda c, g: np.cumsum(g[:, ::-1], 1)[:, ::-1] * np.arange(1, 6)),
    "an inner transpose": (gram, (normal(4, 3), normal(4, 3, seed=1)),
                           lambda c, g: ((2 * g * (c.a @ c.b.T)).T @ c.b, None), "transposed", "not transposed",
                           lambda c, g: ((2 * g * (c.a @ c.b.T)).T @ (1.1 * c.b + c.a), None)),
    "a turned kernel": (filtered, FILTER, filtered_gradient(lambda k: k[::-1]), "wrong-place", "reversed along axis 0",
                        filtered_gradient(lambda k: k[::-1] + np.array([0, 0.1, 0]))),
    "a squared input": (filtered, FILTER, filtered_gradient(lambda k: k * k), "operand", "squared",
                        filtered_gradient(lambda k: np.abs(k) ** 1.9)),
    # cross-entropy
    "another target": (cross_entropy, (LOGITS,), cross_entropy_gradient(np.roll(ONE_HOT, 1, 1)), "wrong-target",
                       "another class", cross_entropy_gradient(np.roll(ONE_HOT, 1, 1) * normal(6, 5, seed=3))),
    "not smoothed": (keeping(lambda z: -((0.9 * ONE_HOT + 0.02) * np.log(softmax(z))).sum() / 6), (LOGITS,),
                     cross_entropy_gradient(ONE_HOT), "wrong-target", "smoothed",
                     cross_entropy_gradient(0.5 * ONE_HOT)),
    "softmax twice": (cross_entropy, (LOGITS,), lambda c, g: g * (softmax(softmax(c.a)) - ONE_HOT) / 6,
                      "softmax-twice", "applied twice", lambda c, g: g * (softmax(softmax(c.a) * 1.1) - ONE_HOT) / 6),
    "one-hot missing": (cross_entropy, (LOGITS,), lambda c, g: g * softmax(c.a) / 6, "one-hot-missing",
                        "without the one-hot",
                        lambda c, g: g * (softmax(c.a) - 0.5 * ONE_HOT) / 6),
    # wrong_twice
    "transposed and turned": (product, (SQUARE, normal(4, 4, seed=3)), lambda c, g: (g @ c.b.T, -(c.a.T @ g).T),
                              "transposed", "And a second mistake: the sign",
                              lambda c, g: (g @ c.b.T, -1.7 * (c.a.T @ g).T)),
    "a mask inverted and doubled": (relu, (X,), lambda c, g: 2 * g * (c.a < 0), "mask-inverted", "inverted",
                                    lambda c, g: 2 * g * (c.a > 0.5)),
    # wrong_steps
    "only the last step": (over_time, SEQUENCE, over_time_gradient(lambda t: t == 2), "path-forgotten", "overwritten",
                           over_time_gradient(lambda t: 1 + 0.5 * (t == 2))),
    "one step missing": (over_time, SEQUENCE, over_time_gradient(lambda t: t != 1), "path-forgotten",
                         "step 1 of 3 is not counted", over_time_gradient(lambda t: 1 - 0.9 * (t == 1))),
    # wrong_local
    "another formula": (tanh, (X,), lambda c, g: g * (1 - c.y), "wrong-derivative", "1 - y, but here 1 - y² belongs",
                        lambda c, g: g * (1 - 1.001 * c.y)),
    "another point": (sine, (X,), lambda c, g: 3 * g * np.cos(2 * c.a), "wrong-derivative", "at another point",
                      lambda c, g: 3 * g * np.cos(2 * c.a) * (1 + 0.01 * c.a)),
    "a factor too many": (tanh, (X,), lambda c, g: g * (1 - c.y**2) * (1 + c.a**2), "operand", "too many: 1 + x²",
                          lambda c, g: g * (1 - c.y**2) * (1 + np.abs(c.a) ** 1.9)),
    "a factor missing": (swish, (np.abs(X) + 0.5,), lambda c, g: g * c.y / c.a, "term-missing", "second term",
                         lambda c, g: g * c.y / (c.a + 0.01)),
    "a temperature": (log_sum, (X[0],), lambda c, g: g * softmax(2 * c.a), "wrong-derivative", "at 2 · x",
                      lambda c, g: g * softmax(2.1 * c.a)),
    "a temperature twice": (keeping(lambda x: np.log(np.exp(2 * x).sum())), (X[0],),
                            lambda c, g: 4 * g * softmax(4 * c.a), "wrong-derivative", "the factor 2",
                            lambda c, g: 5 * g * softmax(4 * c.a)),
    # wrong_derivative
    "at the input": (exp, (X,), lambda c, g: g * c.a, "at-input", "computed from the input x",
                     lambda c, g: g * 1.01 * c.a),
    "at the result": (keeping(np.log), (POSITIVE,), lambda c, g: g / c.y, "at-output", "computed from the result y",
                      lambda c, g: g / (c.y + 0.01)),
    "at the result, measured": (sine, (X,), lambda c, g: 3 * g * np.cos(3 * c.y), "at-output", "at the result y",
                                lambda c, g: 3 * g * np.cos(3.01 * c.y)),
    "no derivative": (tanh, (X,), lambda c, g: g, "derivative-missing", "passed on unchanged",
                      lambda c, g: g * (1 - 0.01 * c.y)),
    "the diagonal": (shared, (X,), lambda c, g: g * (1 / (1 + c.s) - 2 * c.a**2 / (1 + c.s) ** 2),
                     "off-diagonal-missing", "only its own input",
                     lambda c, g: g * (1 / (1 + c.s) - c.a**2 / (1 + c.s) ** 2)),
    # wrong_place and wrong_sum
    "rolled": (sine, (X,), lambda c, g: np.roll(3 * g * np.cos(3 * c.a), 2, 1), "wrong-place",
               "rolled by 2 along axis 1", lambda c, g: np.roll(3 * g * np.cos(3.01 * c.a), 2, 1)),
    "shuffled": (sine, (X,), lambda c, g: (3 * g * np.cos(3 * c.a))[[2, 0, 3, 1]], "wrong-place", "in another order",
                 lambda c, g: (3 * g * np.cos(3.01 * c.a))[[2, 0, 3, 1]]),
    "averaged": (sine, (X,), lambda c, g: (3 * g * np.cos(3 * c.a)).mean(0) + 0 * g, "averaged", "the mean over",
                 lambda c, g: (3 * g * np.cos(3 * c.a)).mean(0) + 0.01 * g),
    "the last row": (product, (X, W), lambda c, g: (g @ c.b.T, c.a[-1:].T @ g[-1:]), "sum-missing", "index 3",
                     lambda c, g: (g @ c.b.T, c.a[2:].T @ g[2:])),
    "a short loop": (sine, (X,), lambda c, g: 3 * g * np.cos(3 * c.a) * (np.arange(5) < 4), "rows-missing",
                     "at index 4 along axis 1",
                     lambda c, g: 3 * g * np.cos(3 * c.a) * np.where(np.arange(5) < 4, 1, 2)),
    # wrong_mask
    "a mask missing": (relu, (X,), lambda c, g: g, "mask-missing", "passes everywhere",
                       lambda c, g: g * (1 + 0.01 * c.a)),
    "a mask missing, nothing else": (relu, (X,), lambda c, g: g, "mask-missing", "passes everywhere",
                                     lambda c, g: np.where(c.a > 0, g, g * (0.1 + c.a**2))),
    "another input's mask": (keeping(lambda x, w: np.maximum(x, 0) + w), (X, normal(4, 5, seed=1)),
                             lambda c, g: (g * (c.b > 0), None), "mask-wrong-side", "where input 1 > 0",
                             lambda c, g: (g * (c.b > 0.5), None)),
    # wrong_path and wrong_factor
    "the inputs' order": (times, (X, normal(4, 5, seed=1)), lambda c, g: (g * c.a, g * c.b), "inputs-swapped",
                          "belongs to input 1", lambda c, g: (g * c.a, 1.1 * g * c.b)),
    "the other input's gradient": (times, (X, normal(4, 5, seed=1)), lambda c, g: (g * c.a, g * c.b), "inputs-swapped",
                                   "belongs to input 1", lambda c, g: (1.1 * g * c.a, g * c.b)),
    "parts added": (keeping(lambda x: (np.sin(x) ** 3).mean()), (normal(6),),
                    lambda c, g: 3 * g * 3 * np.sin(c.a) ** 2 * np.cos(c.a) / 6, "factor", "3 equal parts",
                    lambda c, g: 4 * g * 3 * np.sin(c.a) ** 2 * np.cos(c.a) / 6),
    # wrong_term and wrong_rest
    "log-softmax's sum": (keeping(lambda x: np.log(softmax(x))), (X,), lambda c, g: g - c.y * g.sum(-1, keepdims=True),
                          "operand", "the probabilities, exp y",
                          lambda c, g: g - 1.01 * c.y * g.sum(-1, keepdims=True)),
    "log-softmax's one-hot": (keeping(lambda x: np.log(softmax(x))), (X,),
                              lambda c, g: -np.exp(c.y) * g.sum(-1, keepdims=True), "one-hot-missing", "is missing",
                              lambda c, g: 0.5 * g - np.exp(c.y) * g.sum(-1, keepdims=True)),
    "softmax of the input": (keeping(softmax), (X,), lambda c, g: c.a * (g - (g * c.a).sum(-1, keepdims=True)),
                             "at-input", "x is used instead",
                             lambda c, g: c.a * (g - (g * c.y).sum(-1, keepdims=True))),
    "a penalty's sign": (penalized, (X,), lambda c, g: g * (np.cos(c.a) - 0.2 * c.a), "term-missing", "0.4 · x",
                         lambda c, g: g * (np.cos(c.a) - 0.2 * np.abs(c.a) ** 1.1)),
    "a mean is a constant": (centred, (X,), lambda c, g: g * np.cos(c.d), "term-missing",
                             "the same for all entries along axis 1", lambda c, g: 1.1 * g * np.cos(c.d)),
    # wrong_part
    "one side": (leaky, (X,), lambda c, g: g * np.where(c.a > 0, 1, 0.01), "one-side", "where x < 0",
                 lambda c, g: g * np.where(c.a > 0, 1.1, 0.01)),
    "beyond a bound": (tanh, (X,), lambda c, g: g * np.where(c.a > 0.5, 1, 1 - c.y**2), "one-side", "where x > 0.6",
                       lambda c, g: g * np.where(c.a > 0.5, 1, 1.1 * (1 - c.y**2))),
    "some entries": (double, (X,), swapped(HALF, 0), "part-factor", "Only some entries",
                     lambda c, g: np.where(HALF, normal(4, 5, seed=5), 2) * g),
    "a constant on one side": (bent, (X,), lambda c, g: g * np.where(c.a > 0, np.cos(c.a), 2 * c.a), "one-side",
                               "dy/dx is 2 too small", lambda c, g: g * np.where(c.a > 0, np.cos(c.a), 3 * c.a)),
    "some entries turned": (double, (X,), swapped(HALF, -2), "part-factor", "the sign is wrong",
                            lambda c, g: np.where(HALF, -2 - 0.1 * X, 2) * g),
    "another mask": (keeping(lambda x: x * HALF), (X,), lambda c, g: g * ~HALF[::-1], "mask-wrong-side",
                     "Another mask", lambda c, g: g * np.where(~HALF[::-1], 1 + 0.1 * X, 0)),
    "one of each row": (keeping(softmax), (X,),
                        lambda c, g: ONE_EACH * c.y * (g - (g * c.y).sum(-1, keepdims=True)),
                        "off-diagonal-missing", "Only one entry in each row",
                        lambda c, g: (1.2 * ONE_EACH) * c.y * (g - (g * c.y).sum(-1, keepdims=True))),
    "a row": (double, (X,), lambda c, g: 2 * g * np.array([[1], [1], [3], [1]]), "row-factor", "index 2 along axis 0",
              lambda c, g: 2 * g * np.where(np.arange(4)[:, None] == 2, 1 + 0.2 * X, 1)),
    # wrong_output
    "an activation missing": (dense, (X, W), through(lambda c: 1), "derivative-missing", "1 - y²",
                              through(lambda c: 1 - 0.5 * c.y**2)),
    "an activation wrong": (dense, (X, W), through(lambda c: 1 - c.y), "wrong-derivative", "1 - y, and 1 - y²",
                            through(lambda c: 1 - 1.01 * c.y)),
    "an activation twice": (dense, (X / 3, W), through(lambda c: (1 - c.y**2) ** 2), "operand", "1 - y² once too often",
                            through(lambda c: (1 - c.y**2) ** 1.9)),
    "a mask missing behind a product": (rectified, (X, W), through(lambda c: 1), "mask-missing", "between the result",
                                        through(lambda c: np.where(c.y > 0, 1.1, 1))),
    "a mask inverted behind a product": (rectified, (X, W), through(lambda c: c.y == 0), "mask-inverted", "inverted",
                                         through(lambda c: (c.y == 0) | (c.y > 1))),
    "results that send nothing": (product, (X, W), through(lambda c: np.arange(3) < 2), "rows-missing",
                                  "at [0, 2]", through(lambda c: np.where(np.arange(3) < 2, 1, 0.1))),
    "some results that send nothing": (rectified, (X, W), through(lambda c: (c.y > 0) & SOME), "rows-missing",
                                       "send nothing", through(lambda c: np.roll(c.y > 0, 1, 0))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_and_its_near_miss_is_not(case: str) -> None:
    forward, inputs, wrong, name, phrase, near = CASES[case]
    needs = [True, *[forward in (product, over_time, times)] * (len(inputs) - 1)]
    found, says = first(forward, wrong, *inputs, needs=needs)
    assert (found, phrase in says) == (name, True), f"{found}: {says}"
    found, says = first(forward, near, *inputs, needs=needs)
    assert (found, phrase in says) != (name, True), f"{found}: {says}"


def test_from_the_numbers_alone_a_missing_one_hot_is_told_from_a_smaller_one() -> None:
    p = softmax(LOGITS)
    for share, expected in ((0.0, True), (0.5, False)):
        found = {mistake.name for mistake in autopsy(p - share * ONE_HOT, p - ONE_HOT)}
        assert ("one-hot-missing" in found) == expected


# --- what is measured, warned about, and said ------------------------------------------------------------------------


def test_a_check_within_a_check_does_not_warn() -> None:
    """The wrong operation is checked by itself, and its other input, nearly right, is not warned about again."""

    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: Any) -> Any:
            ctx.save_for_backward(x, scale)
            return x * scale

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            x, scale = ctx.saved_arrays
            return 1.0005 * grad_y * scale, 2 * grad_y * x

    x, scale = (wrap(normal(3, 4, seed=seed)).requires_grad_() for seed in (0, 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = check_gradients(lambda x, scale: Wrong.apply(x, scale).exp(), (x, scale))
    assert [mistake.name for mistake in report.whole] == ["factor"]
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith("function, input 0: the error is within rtol")


def test_a_forward_that_fills_an_array_is_recorded() -> None:
    def forward(ctx: Any, w1: Array, w2: Array) -> Array:
        hidden = np.zeros((4, 3))
        for i in range(4):
            hidden[i] = np.tanh(X[i] @ w1)
        y = np.empty(4)
        for i in range(4):
            y[i] = 0.0
            y[i] += hidden[i] @ w2
        ctx.hidden, ctx.w2 = hidden, w2
        return np.asarray((y**2).sum())

    def backward(ctx: Any, g: Array) -> tuple[Array, Array]:
        delta = 2 * g * (ctx.hidden @ ctx.w2)
        return X.T @ np.outer(delta, ctx.w2), ctx.hidden.T @ delta

    report = report_of(forward, backward, W, normal(3, seed=2))
    assert [mistake.name for mistake in report.whole] == ["derivative-missing"]
    assert "tanh" in report.whole[0].says
    assert np.zeros(2).__class__ is np.ndarray


@pytest.mark.parametrize("layers", [(0,), (0, 1)])
def test_of_activations_in_a_loop_one_or_all_are_wrong(layers: tuple[int, ...]) -> None:
    def forward(ctx: Any, w0: Array, w1: Array, w2: Array) -> Array:
        ctx.weights, ctx.h = (w0, w1), [X]
        for w in ctx.weights:
            ctx.h.append(np.tanh(ctx.h[-1] @ w))
        ctx.w2 = w2
        return np.asarray((ctx.h[-1] @ w2).sum())

    def backward(ctx: Any, g: Array) -> tuple[Array, ...]:
        delta = g * np.ones((4, 1)) @ ctx.w2.T
        found = [ctx.h[2].T @ (g * np.ones((4, 1)))]
        for layer in (1, 0):
            delta = delta * (1 if layer in layers else 1 - ctx.h[layer + 1] ** 2)
            found.append(ctx.h[layer].T @ delta)
            delta = delta @ ctx.weights[layer].T
        return tuple(reversed(found))

    report = report_of(forward, backward, 0.3 * W, normal(3, 4, seed=5), normal(4, 1, seed=6))
    assert [mistake.name for mistake in report.whole] == ["derivative-missing"]
    wrong = "your w0 and w1." if len(layers) == 2 else "your w0."
    assert wrong in report.whole[0].evidence, report.whole[0].evidence


def test_adams_other_form_is_called_a_difference() -> None:
    def adam(w: Array, dw: Array, config: Any) -> Any:
        config.setdefault("learning_rate", 1e-3)
        for name in ("m", "v"):
            config.setdefault(name, np.zeros_like(w))
        t = config["t"] = config.get("t", 0) + 1
        config["m"] = 0.9 * config["m"] + 0.1 * dw
        config["v"] = 0.999 * config["v"] + 0.001 * dw**2
        rate = config["learning_rate"] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return w - rate * config["m"] / (np.sqrt(config["v"]) + 1e-8), config

    report = check_optimizer(adam, "adam")
    assert [mistake.name for mistake in report.mistakes][:1] == ["eps-uncorrected"]
    assert str(report).startswith("The optimizer differs")
    assert "not a mistake" in str(report)
