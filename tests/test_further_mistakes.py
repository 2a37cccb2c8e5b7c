"""Further mistakes in a hand-written backward: each kind is named first, and a near miss is not called by its name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minitrain.autograd import check_gradients
from minitrain.ops import Array


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def first(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Array, of: int = 0) -> str:
    """The first diagnosis of an input, from backward(dL/dy, *inputs); "" if no diagnosis was made."""

    def keeping(ctx: Any, *xs: Array) -> Any:
        ctx.xs = xs
        return forward(*xs)

    piece = type(
        "Piece",
        (),
        {"forward": staticmethod(keeping), "backward": staticmethod(lambda ctx, g: backward(g, *ctx.xs))},
    )
    report = check_gradients(piece, inputs)
    assert not report.ok
    return next((str(mistake) for mistake in [*report.whole, *report.inputs[of].mistakes]), "")


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


# --- dL/dy from another place -----------------------------------------------------------------------------------------

READ_WRONGLY = {
    "axes permuted to [0, 2, 1]": lambda g: g.swapaxes(1, 2),
    "reversed along axis 1": lambda g: g[:, ::-1],
    "index 0 along axis 0 for all": lambda g: np.broadcast_to(g[:1], g.shape),
    "the last index along axis 2 for all": lambda g: np.broadcast_to(g[:, :, -1:], g.shape),
    "its 2 parts then moved": lambda g: g.reshape(2, 2, 4, 2).swapaxes(1, 2).reshape(2, 4, 4),
}


@pytest.mark.parametrize("how", READ_WRONGLY)
def test_grad_output_from_another_place(how: str) -> None:
    w = normal(5, 4, seed=1)

    def slope(x: Array) -> Array:
        return 1 - np.tanh(x @ w) ** 2

    said = first(lambda x: np.tanh(x @ w), lambda g, x: READ_WRONGLY[how](g) * slope(x) @ w.T, normal(2, 4, 5))
    assert said.startswith("grad-output-moved"), said
    said = first(lambda x: x**2 @ w, lambda g, x: READ_WRONGLY[how](g) @ w.T * 2 * x, normal(2, 4, 5))
    assert said.startswith("grad-output-moved"), said
    assert how in said


def test_a_scaled_grad_output_is_not_moved() -> None:
    w = normal(5, 4, seed=1)
    assert "grad-output-moved" not in first(lambda x: x @ w, lambda g, x: 2 * g @ w.T, normal(3, 5))


# --- rows -------------------------------------------------------------------------------------------------------------


def test_one_rows_jacobian_for_all() -> None:
    def backward(g: Array, z: Array) -> Array:
        y = softmax(z)[0]
        return g @ (np.diag(y) - np.outer(y, y))

    said = first(softmax, backward, normal(6, 5))
    assert "index 0 along axis 0 is used for all" in said


def test_a_jacobian_of_the_mean_is_not_that_of_a_row() -> None:
    def backward(g, z):
        y = softmax(z).mean(0)
        return g @ (np.diag(y) - np.outer(y, y))

    assert "is used for all" not in first(softmax, backward, normal(6, 5))


def length(x: Array) -> Array:
    return np.sqrt((x * x).sum(1, keepdims=True))


def test_a_norm_that_is_not_divided_by() -> None:
    def backward(g, x):
        y = x / length(x)
        return g - y * (g * y).sum(1, keepdims=True)

    said = first(lambda x: x / length(x), backward, normal(3, 5))
    assert said.startswith("row-factor")
    assert "the norm of x" in said


def test_a_factor_x_where_each_row_has_one_number() -> None:
    def backward(g: Array, x: Array) -> Array:
        return g[:, None] * x * (x == x.max(1, keepdims=True))

    said = first(lambda x: x.max(1), backward, normal(4, 5))
    assert said.startswith("operand")
    assert "|x|" not in said


def test_a_derivative_at_the_result_is_still_named() -> None:
    def backward(g, z):
        y = softmax(softmax(z))
        return y * (g - (g * y).sum(1, keepdims=True))

    assert "at-output" in first(softmax, backward, normal(3, 5))


# --- losses -----------------------------------------------------------------------------------------------------------

LABELS = np.array([1, 0, 4, 2, 2])
ROWS = np.arange(5)


def cross_entropy(z: Array) -> Any:
    return -np.log(softmax(z)[ROWS, LABELS]).mean()


def subtracted(z: Array, i: Array, j: Array, amount: float = 1.0) -> Array:
    d = softmax(z)
    d[i, j] -= amount
    return d / 5


def test_the_indices_of_the_one_hot_are_exchanged() -> None:
    said = first(cross_entropy, lambda g, z: g * subtracted(z, LABELS, ROWS), normal(5, 5))
    assert said.startswith("wrong-target")
    assert "two indices are exchanged" in said


def test_other_labels_are_no_exchanged_indices() -> None:
    said = first(cross_entropy, lambda g, z: g * subtracted(z, ROWS, LABELS[::-1]), normal(5, 5))
    assert said.startswith("wrong-target")
    assert "indices are exchanged" not in said


def hinge(s: Array) -> Any:
    margins = np.maximum(0, s - s[ROWS, LABELS][:, None] + 1)
    margins[ROWS, LABELS] = 0
    return margins.sum() / 5


def hinge_gradient(s: Array, counted: bool) -> Array:
    d = (s - s[ROWS, LABELS][:, None] + 1 > 0).astype(float)
    d[ROWS, LABELS] = 0
    d[ROWS, LABELS] = -d.sum(1) if counted else -1
    return d / 5


def test_the_margin_where_its_mask_belongs() -> None:
    def backward(g: Array, s: Array) -> Array:
        d = np.maximum(0, s - s[ROWS, LABELS][:, None] + 1)
        d[ROWS, LABELS] = 0
        d[ROWS, LABELS] = -d.sum(1)
        return np.asarray(g * d / 5)

    said = first(hinge, backward, normal(5, 5))
    assert said.startswith("mask-missing")
    assert "has a mask, 1 where" in said
    said = first(hinge, lambda g, s: 0.7 * backward(g, s) + 0.3 * backward(g, s) ** 2 * g, normal(5, 5))
    assert "has a mask" not in said


def test_a_right_class_that_is_not_counted_is_no_clip() -> None:
    s = normal(5, 5)
    said = first(hinge, lambda g, s: g * hinge_gradient(s, False), s)
    assert "clipped" not in said
    assert "right class" in said


def test_a_clipped_gradient_is_still_named() -> None:
    assert first(lambda x: x**2, lambda g, x: np.clip(2 * x * g, -0.5, 0.5), normal(5, 5)) != ""
    said = first(lambda x: (x**4).sum(), lambda g, x: np.clip(4 * g * x**3, -1, 1), normal(5, 5))
    assert said.startswith("clipped")


def root_mean_square(p: Array) -> Any:
    return np.sqrt((p**2).mean())


def test_the_root_of_a_mean_has_a_derivative() -> None:
    said = first(root_mean_square, lambda g, p: 2 * g * p / p.size, normal(4, 3))
    assert said.startswith("factor")
    assert "not divided by 2 · y" in said
    said = first(root_mean_square, lambda g, p: 1.1 * g * p / p.size / root_mean_square(p), normal(4, 3))
    assert said.startswith("factor")
    assert "y" not in said.split("Evidence")[0].split("should be")[1]


# --- single numbers ---------------------------------------------------------------------------------------------------


def test_a_1_that_belongs_in_the_exponent() -> None:
    said = first(lambda x: x**3, lambda g, x: g * (3 * x**3 - 1), normal(3, 4))
    assert "n * x ** (n - 1)" in said
    assert "n * x ** (n - 1)" not in first(lambda x: x**3, lambda g, x: g * (3 * x**2 - 1), normal(3, 4))


def test_one_of_two_uses() -> None:
    a, b = normal(3, 4), normal(3, 4, seed=1)
    assert first(lambda a, b: a * b + a, lambda g, a, b: (g, g * a), a, b).startswith("term-missing")
    assert first(lambda a, b: a * b, lambda g, a, b: (g, g * a), a, b).startswith("derivative-missing")


def test_slopes_that_are_exchanged() -> None:
    def leaky(x: Array) -> Array:
        return np.where(x > 0, x, 0.1 * x)

    assert first(leaky, lambda g, x: g * np.where(x > 0, 0.1, 1), normal(4, 5)).startswith("mask-inverted")
    assert "at -x" in first(lambda x: x * np.exp(x), lambda g, x: g * (1 - x) * np.exp(-x), normal(4, 5))


def test_a_gates_factors_are_exchanged() -> None:
    def forward(ctx, h, z, n):
        ctx.h, ctx.z, ctx.n = h, 1 / (1 + np.exp(-z)), n
        return (1 - ctx.z) * n + ctx.z * h

    def backward(ctx, g):
        return g * ctx.z, g * (ctx.h - ctx.n) * ctx.z * (1 - ctx.z), g * ctx.z

    piece = type("Gate", (), {"forward": staticmethod(forward), "backward": staticmethod(backward)})
    report = check_gradients(piece, [normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2)])
    assert "backward has ctx.z, but 1 - ctx.z belongs here" in str(report.inputs[2].mistakes[0])
    said = first(lambda x: x**2, lambda g, x: g * 2 * x * np.exp(x), normal(3, 4))
    assert "exp x" in said
    assert "gate" not in said


def test_a_shift_is_named_by_its_shorter_way() -> None:
    def backward(g, x):
        return np.concatenate([2 * g * x[2:6], np.zeros(4)])

    assert "rolled by -2 along axis 0" in first(lambda x: x[2:6] ** 2, backward, normal(8))
