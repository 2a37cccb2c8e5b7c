"""Mistakes in layers and losses as people write them: each mechanism names its own, and leaves a near miss alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minitrain.autograd import check_gradients
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.ops import Array

Backward = Callable[[Any, Array], Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def check(forward: Any, backward: Backward, *inputs: Array) -> Report:
    return check_gradients(SimpleNamespace(__name__="Piece", forward=forward, backward=backward), inputs)


def first(forward: Any, backward: Backward, *inputs: Array) -> str:
    """The first diagnosis, 'name. sentence', of the first wrong input; the fact where no mistake is named."""
    report = check(forward, backward, *inputs)
    assert not report.ok, "it passed"
    found = next(of_input for of_input in report.inputs if not of_input.ok)
    mistakes = [*report.whole, *found.mistakes]
    return f"{mistakes[0].name}. {mistakes[0].says}" if mistakes else found.fact


# --- where each result sends its gradient ---


def widened(ctx: Any, x: Array) -> Array:
    """Two zeros in front, one behind."""
    return np.concatenate([np.zeros(2), x, np.zeros(1)])


def test_a_crop_that_is_off_by_one_is_a_wrong_place() -> None:
    said = first(widened, lambda ctx, g: g[1:-2], normal(6))
    assert said.startswith("wrong-place")
    assert "1 place too far up along axis 0" in said


def test_a_crop_of_the_right_place_times_two_is_no_wrong_place() -> None:
    assert first(widened, lambda ctx, g: 2 * g[2:-1], normal(6)).startswith("factor")


def every_other(ctx: Any, x: Array) -> Array:
    """Sums of neighbours, two apart."""
    return x[:-1:2] + 3 * x[1::2]


def spread_at(step: int) -> Backward:
    def backward(ctx: Any, g: Array) -> Array:
        dx = np.zeros(2 * len(g))
        for i, each in enumerate(g):
            dx[step * i : step * i + 2] += np.array([1.0, 3.0]) * each
        return dx

    return backward


def test_a_forgotten_stride_is_named_with_two_places() -> None:
    said = first(every_other, spread_at(1), normal(8))
    assert said.startswith("wrong-place")
    assert "depends on x[2], but its gradient goes to x[1]" in said
    assert check(every_other, spread_at(2), normal(8)).ok


def picked_rows(ctx: Any, table: Array) -> Array:
    return table[np.array([3, 0, 3, 1, 3])]


def add_rows(g: Array, rows: Any, size: int = 5) -> Array:
    table = np.zeros((size, g.shape[1]))
    np.add.at(table, np.asarray(rows), g)
    return table


def test_rows_by_their_place_in_the_batch() -> None:
    said = first(picked_rows, lambda ctx, g: add_rows(g, range(5)), normal(5, 2))
    assert said.startswith("wrong-place")


def test_repeated_rows_that_are_averaged() -> None:
    uses = np.array([1, 1, 1, 3, 1])[:, np.newaxis]
    said = first(picked_rows, lambda ctx, g: add_rows(g, [3, 0, 3, 1, 3]) / uses, normal(5, 2))
    assert said.startswith("averaged")
    assert "take the sum" in said


def test_repeated_rows_that_are_scaled_otherwise_are_not_called_averaged() -> None:
    scale = np.array([1, 1, 1, 0.4, 1])[:, np.newaxis]
    said = first(picked_rows, lambda ctx, g: add_rows(g, [3, 0, 3, 1, 3]) * scale, normal(5, 2))
    assert "averaged" not in said


def centred_pairs(ctx: Any, x: Array) -> Array:
    """Each pair of columns less its mean."""
    pairs = x.reshape(len(x), -1, 2)
    return np.asarray(pairs - pairs.mean(axis=2, keepdims=True)).reshape(x.shape)


def test_a_mean_over_too_many_axes_is_named_with_the_indices() -> None:
    said = first(centred_pairs, lambda ctx, g: g - g.mean(axis=1, keepdims=True), normal(3, 4))
    assert said.startswith("sum-wrong-axis")
    assert "only on index 0, 1 along axis 1" in said


def test_a_mean_over_the_right_axes_with_a_factor_is_not() -> None:
    said = first(centred_pairs, lambda ctx, g: 1.7 * centred_pairs(ctx, g), normal(3, 4))
    assert said.startswith("factor")


def means_of_four(ctx: Any, x: Array) -> Array:
    return x.reshape(-1, 4).mean(axis=1)


def test_a_mean_that_sends_everything_to_one_entry() -> None:
    said = first(means_of_four, lambda ctx, g: np.kron(g, [1.0, 0, 0, 0]), normal(12))
    assert said.startswith("not-spread")
    assert "4 entries of x, but only 1" in said


def test_a_mean_whose_size_is_forgotten_is_spread() -> None:
    assert "not-spread" not in first(means_of_four, lambda ctx, g: np.repeat(g, 4), normal(12))


def log_of_summed(ctx: Any, x: Array) -> Array:
    ctx.e = np.exp(x)
    return np.asarray(np.log(ctx.e.sum(axis=1)))


def test_weights_that_add_up_to_one_along_the_wrong_axis() -> None:
    said = first(log_of_summed, lambda ctx, g: g[:, None] * ctx.e / ctx.e.sum(axis=0), normal(4, 5))
    assert said.startswith("sum-wrong-axis")
    assert "along axis 1, but here it adds up to 1 along axis 0" in said


def test_weights_that_add_up_to_something_else_are_not() -> None:
    said = first(log_of_summed, lambda ctx, g: g[:, None] * ctx.e / ctx.e.sum(), normal(4, 5))
    assert "adds up to 1" not in said


def scaled_and_centred(ctx: Any, x: Array, scale: Array) -> Array:
    ctx.x, ctx.scale = x, scale
    return (x - x.mean(axis=1, keepdims=True)) * scale


def scale_gradient(ctx: Any, g: Array) -> Array:
    return np.asarray(((ctx.x - ctx.x.mean(axis=1, keepdims=True)) * g).sum(axis=0))


def test_a_factor_behind_the_mean_instead_of_before() -> None:
    def backward(ctx: Any, g: Array) -> Any:
        return ctx.scale * (g - g.mean(axis=1, keepdims=True)), scale_gradient(ctx, g)

    said = first(scaled_and_centred, backward, normal(3, 4), np.abs(normal(4, seed=1)) + 0.5)
    assert said.startswith("wrong-order")
    assert "dL/dy · input 1 first" in said


def test_a_factor_that_is_forgotten_is_not_called_behind() -> None:
    def backward(ctx: Any, g: Array) -> Any:
        return g - g.mean(axis=1, keepdims=True), scale_gradient(ctx, g)

    said = first(scaled_and_centred, backward, normal(3, 4), np.abs(normal(4, seed=1)) + 0.5)
    assert "wrong-order" not in said


def tops(ctx: Any, x: Array) -> Array:
    """The largest of each three neighbours."""
    ctx.at = [i + int(np.argmax(x[i : i + 3])) for i in range(len(x) - 2)]
    return x[np.array(ctx.at)]


def tops_backward(ctx: Any, g: Array, results: range, assign: bool) -> Array:
    dx = np.zeros(len(g) + 2)
    for i in results:
        window = np.zeros(3)
        window[ctx.at[i] - i] = g[i]
        dx[i : i + 3] = window if assign else dx[i : i + 3] + window
    return dx


X = np.array([0.3, 1.0, 0.2, 0.8, 0.1, 1.5, 0.4, 0.9])


def test_overlapping_windows_that_overwrite_each_other() -> None:
    assert "overwrites" in first(tops, lambda ctx, g: tops_backward(ctx, g, range(len(g)), True), X)


def test_a_loop_that_ends_early_is_not_called_overwritten() -> None:
    said = first(tops, lambda ctx, g: tops_backward(ctx, g, range(len(g) - 2), False), X)
    assert "overwrites" not in said


# --- formulas of single numbers ---


def test_a_missing_inner_derivative_is_named_with_its_constant() -> None:
    def bell(ctx: Any, x: Array) -> Array:
        ctx.x, ctx.y = x, np.exp(-3 * x * x)
        return np.asarray(ctx.y)

    said = first(bell, lambda ctx, g: g * ctx.y, normal(3, 4))
    assert said.startswith("operand. A factor is missing: -6 · x.")


def summed_root(ctx: Any, x: Array) -> Array:
    ctx.x, ctx.weights = x, normal(*x.shape, seed=7)  # the weights are kept under a name that is no gradient's
    return np.asarray((ctx.weights * np.log(np.cosh(x))).sum())


def test_a_wrong_function_in_a_loss_is_named_with_the_right_one() -> None:
    said = first(summed_root, lambda ctx, g: g * ctx.weights * np.sinh(ctx.x), normal(3, 4))
    assert "cosh x" in said or ("sinh x" in said and "tanh x" in said)


def test_a_wrong_function_that_is_no_known_one_gets_no_formula() -> None:
    said = first(summed_root, lambda ctx, g: g * ctx.weights * np.floor(5 * ctx.x), normal(3, 4))
    assert "wrong-derivative" not in said
    assert "operand" not in said


def cubic_sine(ctx: Any, x: Array) -> Array:
    ctx.x = x
    return np.asarray(x**3 * np.sin(x))


def test_a_missing_term_of_two_factors() -> None:
    said = first(cubic_sine, lambda ctx, g: g * ctx.x**3 * np.cos(ctx.x), normal(4, 4))
    assert said.startswith("term-missing")


def test_a_number_that_is_missing_in_a_denominator_is_no_eps() -> None:
    def log1p(ctx: Any, x: Array) -> Array:
        ctx.x = x
        return np.log1p(x)

    said = first(log1p, lambda ctx, g: g / ctx.x, np.abs(normal(3, 4)) + 0.5)
    assert said.startswith("wrong-derivative")


def test_a_formula_that_agrees_only_near_a_point_is_not_one_sided() -> None:
    def arctan(ctx: Any, x: Array) -> Array:
        ctx.x = x
        return np.arctan(x)

    x = np.array([0.03, -0.05, 0.04, 0.7, -0.9, 1.3, 2.0, -1.7])
    said = first(arctan, lambda ctx, g: g * (1 - np.arctan(ctx.x) ** 2), x)
    assert "one-side" not in said
    assert "1 / (1 + x²)" in said


def test_all_entries_share_a_mean() -> None:
    def centred(ctx: Any, x: Array) -> Array:
        return x - x.mean(axis=0)

    said = first(centred, lambda ctx, g: g, normal(5, 3))
    assert said.startswith("term-missing")
    assert "a mean" in said


# --- factors ---


def test_a_mean_over_the_wrong_number_is_named_with_both() -> None:
    def means(ctx: Any, x: Array) -> Array:
        return x.mean(axis=1)

    said = first(means, lambda ctx, g: np.repeat(g[:, None], 7, axis=1) / 4, normal(4, 7))
    assert "divided by 4" in said
    assert "N = 7" in said


def test_a_single_number_is_not_called_scaled_if_a_mask_is_missing() -> None:
    def leaky(ctx: Any, x: Array, slope: Array) -> Array:
        ctx.x, ctx.slope = x, slope
        return np.where(x > 0, x, slope * x)

    def backward(ctx: Any, g: Array) -> Any:
        return g * np.where(ctx.x > 0, 1, ctx.slope), np.asarray((g * ctx.x).sum())

    assert not first(leaky, backward, normal(4, 5), np.array(0.3)).startswith("factor")


def test_one_entry_with_another_weight_is_no_factor_before_one_term() -> None:
    weights = np.array([1.0, 1, 4, 1, 1, 1])

    def loss(ctx: Any, z: Array) -> Array:
        ctx.p = 1 / (1 + np.exp(-z))
        return np.asarray(-(weights * np.log(ctx.p)).sum())

    said = first(loss, lambda ctx, g: g * (ctx.p - 1), normal(6))
    assert "term-factor" not in said


def test_a_matrix_on_both_sides_that_is_not_symmetric() -> None:
    def form(ctx: Any, x: Array, a: Array) -> Array:
        ctx.x, ctx.a = x, a
        return np.asarray(x @ a @ x)

    def backward(ctx: Any, g: Array, one: bool = True) -> Any:
        return g * (2 * ctx.a @ ctx.x if one else 3 * (ctx.a + ctx.a.T) @ ctx.x), g * np.outer(ctx.x, ctx.x)

    inputs = normal(4), normal(4, 4, seed=1)
    said = first(form, backward, *inputs)
    assert said.startswith("transposed")
    assert "both sides" in said
    assert "both sides" not in first(form, lambda ctx, g: backward(ctx, g, False), *inputs)


def test_another_array_in_a_product_is_not_called_transposed() -> None:
    def linear(ctx: Any, x: Array, w: Array) -> Array:
        ctx.x, ctx.w = x, w
        return np.asarray(x @ w)

    inputs = normal(4, 4), normal(4, 4, seed=1)
    assert first(linear, lambda ctx, g: (g @ ctx.x.T, ctx.x.T @ g), *inputs).startswith("operand")
    assert first(linear, lambda ctx, g: (g @ ctx.w, ctx.x.T @ g), *inputs).startswith("transposed")


def test_a_permutation_is_not_called_evaluated_at_the_result() -> None:
    def ordered(ctx: Any, x: Array) -> Array:
        return np.sort(x)

    assert first(ordered, lambda ctx, g: g, normal(6)).startswith("wrong-place")


# --- as people write them ---


def test_a_dict_of_gradients_is_matched_by_shape_where_the_arguments_have_no_names() -> None:
    x, target = normal(6, 4), normal(6, 3, seed=1)

    def loss(*arrays: Array) -> Any:
        w, b = arrays
        rest = x @ w + b - target
        return (rest**2).sum(), {"W": 2 * x.T @ rest, "b": 2 * rest.sum(axis=0)}

    assert check_gradients(loss, (normal(4, 3, seed=2), normal(3, seed=3))).ok


@pytest.mark.parametrize("grows", [True, False])
def test_a_gradient_that_grows_from_call_to_call_is_warned_about(grows: bool) -> None:
    class Layer:
        def __init__(self) -> None:
            self.W, self.dW = normal(3, 2, seed=1), np.zeros((3, 2))

        def forward(self, x: Array) -> Array:
            self.x = x
            return np.asarray(x @ self.W)

        def backward(self, grad: Array) -> Array:
            self.dW = self.x.T @ grad + (self.dW if grows else 0)
            return np.asarray(grad @ self.W.T)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_gradients(Layer(), (normal(5, 3),))
    assert report.ok
    assert any("adds to dW" in warning for warning in report.warnings) == grows


def test_what_a_layer_keeps_is_tried_as_a_factor() -> None:
    class Scale:
        def __init__(self) -> None:
            self.gamma = np.abs(normal(4, seed=1)) + 0.5

        def forward(self, x: Array) -> Array:
            self.x, self.unit = x, np.tanh(x)
            return np.asarray(self.gamma * self.unit)

        def backward(self, grad: Array) -> Array:
            self.dgamma = (grad * self.x).sum(axis=0)
            return np.asarray(grad * self.gamma * (1 - self.unit**2))

    report = check_gradients(Scale(), (normal(5, 4),))
    assert "self.unit" in report.inputs[1].mistakes[0].says


def test_a_label_that_the_forward_uses_is_tried_as_a_factor() -> None:
    labels = np.array([1.0, -1, 1, 1, -1, -1])

    def logistic(ctx: Any, s: Array) -> Array:
        ctx.s = s
        return np.asarray(np.log1p(np.exp(-labels * s)).sum())

    said = first(logistic, lambda ctx, g: -g / (1 + np.exp(labels * ctx.s)), normal(6))
    assert "labels" in said
