"""The usual causes of nan and infinity, with their remedies. A cause is named only if the inputs show it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from minitrain import ops, optim
from minitrain.ops import Array, Function
from minitrain.tape import Node

Origin = Literal["parameter", "result", "outside", "number", "gradient", "saved"]


@dataclasses.dataclass(frozen=True)
class Value:
    """An input of an operation: its name there, its array, and its origin, as a kind and as text."""

    name: str
    array: Array
    origin: Origin
    source: str = ""

    @property
    def largest(self) -> float:
        """The largest finite |value|; 0 if no value is finite."""
        if self.array.dtype.kind != "f":
            return 0.0
        return float(np.abs(self.array).max(initial=0, where=np.isfinite(self.array)))


def describe(array: Array) -> str:
    """Shape, dtype, the range of the finite values, and the count of the others: '[3] float32, from 0 to 1, 1 nan'."""
    if not array.size:
        return f"{list(array.shape)} {array.dtype}, empty"
    text = f"{list(array.shape)} {array.dtype}"
    finite = array[np.isfinite(array)]
    if finite.size == 1 == array.size:
        text += f", {finite.item():.4g}"
    elif finite.size:
        text += f", from {finite.min():.4g} to {finite.max():.4g}"
    return text + "".join(f", {count} {name}" for name, count in count_not_finite(array).items())


def count_not_finite(array: Array) -> dict[str, int]:
    """The counts of nan, inf and -inf, without those that do not occur."""
    counts = {"nan": np.isnan(array).sum(), "inf": np.isposinf(array).sum(), "-inf": np.isneginf(array).sum()}
    return {name: int(count) for name, count in counts.items() if count}


Values = Mapping[str, Value]


# --- shared texts and helpers -----------------------------------------------------------------------------------------


def _limit(array: Array) -> float:
    return float(np.finfo(array.dtype).max)


def _too_large(y: Array) -> str:
    return f"is beyond the largest number of {y.dtype}, {_limit(y):.2g}"


def _finite(*arrays: Any) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _share(mask: Array, what: str = "") -> str:
    """How often a condition holds, if there is more than one value: ' (3 of 8 values are negative)'."""
    return f" ({int(mask.sum())} of {mask.size} values are{what})" if mask.size > 1 else ""


UNUSUAL = 1000  # the weights of a network that learns are never this large

GROWN = {
    "parameter": " Weights grow so large if the learning rate is too high: lower it. (If they were that large from the "
    "start, check their initialisation.)",
    "result": " It is the result of earlier operations. Usually their weights have grown too large because the "
    "learning rate is too high, or the inputs are not scaled.",
    "outside": " Scale the inputs, for example to the range 0 to 1, or to mean 0 and variance 1.",
    "gradient": " Gradients grow so large if the weights have grown (the learning rate is too high), or if inputs or "
    "targets are not scaled. Lower the learning rate, scale the data, or clip the gradients.",
}


def _overflow(y: Array, values: Values, what: str) -> str:
    """The text for an overflow: all inputs are finite, and the operation cannot divide by 0."""
    large = sorted((value for value in values.values() if value.largest > 1), key=lambda value: -value.largest)[:3]
    sizes = ", ".join(f"{_called(value)} reaches {value.largest:.3g}" for value in large)
    grown = [value for value in large if value.origin == "parameter" and value.largest > UNUSUAL] or large
    remedy = GROWN.get(grown[0].origin, "") if grown else ""
    return f"overflow: {what} {_too_large(y)}, although all inputs are finite{': ' if sizes else ''}{sizes}.{remedy}"


def _called(value: Value) -> str:
    return f"{value.name} ({value.source})" if value.origin == "parameter" else value.name


def _infinite(values: Values) -> str:
    """The names of the values that contain an infinity."""
    return " and ".join(_called(v) for v in values.values() if v.array.dtype.kind == "f" and np.isinf(v.array).any())


INDETERMINATE = "is not defined (+inf - inf and 0 · inf are nan). Find out where that infinity comes from."


def _meeting(values: Values) -> str:
    """The text for an infinity among the terms of a sum of products."""
    return f"an infinity in {_infinite(values)} meets a 0 or an infinity of the opposite sign, which {INDETERMINATE}"


# --- forward ----------------------------------------------------------------------------------------------------------

EMPTY_COUNT = (
    "That is usually an empty count: the mean of nothing (an empty batch, an empty mask, labels that are all ignored), "
    "or the variance of a single value. Skip such a batch, or divide by max(count, 1)."
)


def _at(value: Value, y: Array, index: tuple[int, ...]) -> float:
    """The element of an input that an elementwise operation used for y[index]."""
    return float(np.broadcast_to(value.array, y.shape)[index])


def _log(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x = v["x"].array
    if x[index] == 0:
        remedy = "Add a small number first: (x + 1e-8).log()."
        if not ((x < 0) | (x > 1)).any():
            remedy = (
                "If x is a probability that was rounded to 0, use log_softmax(...) instead of softmax(...).log(). "
                "Otherwise add a small number first: (x + 1e-8).log()."
            )
        return f"x is 0 there{_share(x == 0)}, and ln 0 is -inf. {remedy}"
    return (
        f"x is {x[index]:.4g} there, and a negative number{_share(x < 0, ' negative')} has no "
        "logarithm. Keep x positive with x.clamp(min=1e-8).log(), or use a model with positive outputs."
    )


def _exp(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x = v["x"].array[index]
    if not np.isfinite(x):
        return ""
    return (
        f"x is {x:.4g} there, and exp overflows {y.dtype} above {math.log(_limit(y)):.1f}. Subtract the maximum first, "
        "as softmax and log_softmax do, or clamp x. If x grows from step to step, lower the learning rate."
    )


def _sqrt(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x = v["x"].array
    return (
        f"x is {x[index]:.4g} there, and a negative number{_share(x < 0, ' negative')} has no "
        "real square root. If it is below 0 only because of rounding, use x.clamp(min=0).sqrt()."
    )


def _div(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    a, b = _at(v["a"], y, index), _at(v["b"], y, index)
    if b == 0 and a == 0:
        return f"0 / 0. {EMPTY_COUNT}"
    if b == 0:
        return (
            f"division by 0: {a:.4g} / 0{_share(v['b'].array == 0)}. Add a small number to the divisor, a / (b + "
            "1e-8), or leave out the elements where it is 0."
        )
    if math.isinf(a) and math.isinf(b):
        return f"inf / inf is not defined. Find out where the infinities in {_infinite(v)} come from."
    return (
        f"overflow: {a:.4g} / {b:.4g} {_too_large(y)}. The divisor is nearly 0: add a small number to it, "
        "a / (b + 1e-8)."
    )


def _pow(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    a, b = _at(v["a"], y, index), _at(v["b"], y, index)
    if a < 0 and not b.is_integer():
        return (
            f"{a:.4g} to the power of {b:.4g}: a negative number has no real power with a fractional exponent. Keep "
            "the base positive (clamp, abs), or use an integer exponent."
        )
    if a == 0 and b < 0:
        return f"0 to the power of {b:.4g} is 1 / 0. Add a small number to the base: (a + 1e-8) ** b."
    return f"overflow: {a:.4g} to the power of {b:.4g} {_too_large(y)}. Scale the base, or use a smaller exponent."


def _sum_of_two(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    a, b = _at(v["a"], y, index), _at(v["b"], y, index)
    if _finite(a, b):
        return _overflow(y, v, f"{a:.4g} and {b:.4g} together")
    return f"{a:g} and {b:g} meet in {_infinite(v)}, and their sum or difference {INDETERMINATE}"


def _product(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    a, b = _at(v["a"], y, index), _at(v["b"], y, index)
    if _finite(a, b):
        return _overflow(y, v, f"{a:.4g} · {b:.4g}")
    return f"{a:g} · {b:g} {INDETERMINATE}"


def _reduction(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x = v["x"].array
    if x.size == 0 or not math.prod(x.shape[axis] for axis in options["dim"]):
        return (
            f"the mean of nothing is 0 / 0: x has the shape {list(x.shape)}. Usually the batch or the mask is empty: "
            "skip it, or divide the sum by max(count, 1)."
        )
    if not _finite(x):
        return f"the infinities in x meet in a sum: +inf - inf {INDETERMINATE}"
    return _overflow(y, v, "the sum")


def _row_at(a: Array, b: Array, index: tuple[int, ...]) -> tuple[Array, Array]:
    """The row of a and the column of b whose product is (a @ b)[index]."""
    column = (..., index[-1]) if b.ndim > 1 else (...,)
    index = index[:-1] if b.ndim > 1 else index
    row = index[-1:] if a.ndim > 1 else ()
    batch = index[:-1] if a.ndim > 1 else index

    def at(array: Array) -> Array:
        axes = max(array.ndim - 2, 0)
        place = batch[len(batch) - axes :]
        matrix: Array = array[tuple(0 if size == 1 else i for i, size in zip(place, array.shape[:axes], strict=True))]
        return matrix

    return at(a)[row] if row else a, at(b)[column] if b.ndim > 1 else b


def _variance(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x = v["x"].array
    if math.prod(x.shape[axis] for axis in options["dim"]) <= options["correction"]:
        return f"Var divides by n - correction, which is 0 or less here. {EMPTY_COUNT}"
    return _reduction(v, options, y, index)


def _matmul(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    if _finite(*_row_at(v["a"].array, v["b"].array, index)):
        return _overflow(y, v, "a sum of products")
    return _meeting(v)


def _linear(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    bias = v["bias"].array[index[-1]] if "bias" in v else 0.0
    if _finite(v["x"].array[index[:-1]], v["weight"].array[index[-1]], bias):
        return _overflow(y, v, "a sum of products x · weight")
    return _meeting(v)


def _softmax(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x, dim = v["x"].array, options["dim"]
    row = x if x.ndim == 0 else x[tuple(slice(None) if axis == dim else i for axis, i in enumerate(index))]
    if np.isneginf(row).all():
        return (
            "the whole row is -inf, so no entry can have a probability, and the result is 0 / 0. Usually a mask hides "
            "a whole row: keep at least one entry, or leave out such rows."
        )
    if np.isposinf(row).any():
        return f"the row contains +inf, and inf - inf {INDETERMINATE}"
    return _overflow(y, v, "the difference of two values of one row")


def _nll_loss(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x, target = v["x"].array, v["target"].array
    kept = target != options["ignore_index"]
    if options["reduction"] == "mean":
        divided = "and the mean divides by their count or the sum of their weights: 0 / 0."
        if target.size == 0:
            return f"the batch is empty, {divided} Skip it."
        if not kept.any():
            return (
                f"all {target.size} labels are {options['ignore_index']}, the ignore_index, so none counts, {divided} "
                "Skip such a batch, or use reduction='sum' and divide by max(count, 1)."
            )
        if "weight" in v and v["weight"].array[target[kept]].sum() == 0:
            return f"the weights of the batch's labels add up to 0, {divided} Give every class a weight above 0."
    if not _finite(x):
        return "a log-probability is infinite where the weight of its class is 0, and 0 · inf is not defined."
    return _overflow(y, v, "the sum of the losses")


def _mse_loss(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    x, target = v["x"].array, v["target"].array
    if x.size == 0:
        return "the mean over nothing is 0 / 0: the batch is empty. Skip it."
    if not _finite(x, target):
        return f"x - target subtracts infinities, or squares the infinity in {_infinite(v)}, which {INDETERMINATE}"
    return _overflow(y, v, "the square of x - target, or the sum of the squares,")


def _cast(v: Values, options: Any, y: Array, index: tuple[int, ...]) -> str:
    for value in v.values():
        number = _at(value, y, index) if value.array.dtype.kind == "f" else 0.0
        if _finite(number) and abs(number) > _limit(y):
            return (
                f"{_called(value)} is {number:.4g} there, which does not fit into {y.dtype} (at most {_limit(y):.2g}). "
                "Scale it, or compute in float64."
            )
    return ""


Forward = Callable[[Values, Any, Array, tuple[int, ...]], str]

FORWARD: dict[type[Function], Forward] = {
    ops.Add: _sum_of_two,
    ops.Sub: _sum_of_two,
    ops.Mul: _product,
    ops.Div: _div,
    ops.Pow: _pow,
    ops.Exp: _exp,
    ops.Log: _log,
    ops.Sqrt: _sqrt,
    ops.Sum: _reduction,
    ops.Mean: _reduction,
    ops.Var: _variance,
    ops.Matmul: _matmul,
    ops.Linear: _linear,
    ops.Softmax: _softmax,
    ops.LogSoftmax: _softmax,
    ops.NLLLoss: _nll_loss,
    ops.MSELoss: _mse_loss,
}

# Operations in which each element of the result depends only on the inputs' elements at the same place.
ELEMENTWISE: frozenset[type[Function]] = frozenset(
    {
        *(ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Pow, ops.Neg, ops.Exp, ops.Log, ops.Sqrt, ops.Abs, ops.Tanh),
        *(ops.Sigmoid, ops.ReLU, ops.Clamp, ops.Maximum, ops.Minimum, ops.Where, ops.Clone, ops.ToCopy),
        *(ops.Sin, ops.Cos, ops.Tan, ops.Asin, ops.Acos, ops.Atan, ops.Atan2, ops.Sinc, ops.Sinh, ops.Cosh, ops.Asinh),
        *(ops.Acosh, ops.Atanh, ops.Exp2, ops.Expm1, ops.Log2, ops.Log10, ops.Log1P, ops.Logaddexp, ops.Logaddexp2),
        *(ops.Xlogy, ops.Erf, ops.Erfc, ops.Reciprocal, ops.Rsqrt, ops.Hypot, ops.Ceil, ops.Floor, ops.Round),
        *(ops.Trunc, ops.Frac, ops.Sign, ops.Copysign, ops.DivRounded, ops.Remainder, ops.Fmod, ops.Lerp),
        *(ops.Fmax, ops.Fmin, ops.Lgamma, ops.Digamma),
    }
)


def of_forward(
    function: type[Function], values: Values, options: Mapping[str, Any], y: Array, index: tuple[int, ...]
) -> str:
    """Why the operation produced a nan or an infinity at y[index]; "" if the inputs do not show it."""
    text = _cast(values, options, y, index) if function in ELEMENTWISE else ""
    return text or (FORWARD[function](values, options, y, index) if function in FORWARD else "")


# --- backward ---------------------------------------------------------------------------------------------------------


def of_backward(node: Node, values: Values, gradient: Array) -> str:
    """Why an operation's backward produced a nan or an infinity; "" if its inputs do not show it.

    values: grad_y, and the floats that forward saved.
    """
    function, saved = node.function, node._saved
    if function is ops.Log and (saved[0] == 0).any():
        return (
            f"the derivative of ln x is 1/x, infinite at 0, and x is 0{_share(saved[0] == 0)}. Keep x away from 0: "
            "(x + 1e-8).log(), or log_softmax(...) instead of softmax(...).log()."
        )
    if function is ops.Sqrt and (saved[0] == 0).any():
        return (
            f"the derivative of √x is 1 / (2√x), infinite at 0, and x is 0{_share(saved[0] == 0)}. Even a gradient "
            "of 0 does not help, because 0 · inf is nan. Keep x away from 0: (x + 1e-8).sqrt()."
        )
    if function is ops.Div and (np.asarray(saved[1]) == 0).any():
        return (
            f"b is 0{_share(np.asarray(saved[1]) == 0)}, and the derivatives of a / b, 1/b and -a/b², are infinite "
            "there. Add a small number to the divisor, a / (b + 1e-8). (A where() after the division is too late, "
            "because 0 · inf is nan. Apply where() to the divisor.)"
        )
    if function is ops.Pow:
        text = _pow_backward(node)
        if text:
            return text
    if function is ops.NLLLoss and node.reduction == "mean" and saved[2].sum() == 0:
        return (
            "the weights of the batch's labels add up to 0, and the mean divides by that: 0 / 0. Give every class a "
            "weight above 0, or skip such a batch."
        )
    if getattr(ops, function.__name__, None) is not function:  # an operation of the user's own
        return ""
    if not _finite(*[value.array for value in values.values()]):
        return _meeting(values)
    if gradient.dtype.itemsize < values["grad_y"].array.dtype.itemsize:
        largest = values["grad_y"].largest
        if largest > _limit(gradient):
            return f"dL/dy reaches {largest:.4g}, which does not fit into {gradient.dtype}."
    return _overflow(gradient, values, "the gradient")


def of_sum(values: Values, total: Array) -> str:
    """Why the sum of two gradients is nan or infinite."""
    if _finite(*[value.array for value in values.values()]):
        return _overflow(total, values, "the sum")
    return f"infinities of both signs meet in {_infinite(values)}, and inf - inf {INDETERMINATE}"


def _pow_backward(node: Node) -> str:
    a, b, _ = node._saved
    needs_a, needs_b = node.needs_input_grad
    if needs_a and np.logical_and(np.equal(a, 0), np.logical_and(np.less(b, 1), np.not_equal(b, 0))).any():
        exponent = f"{b:g}" if np.ndim(b) == 0 else "one below 1"
        return (
            f"the derivative b · a^(b-1) is infinite where a is 0 and the exponent ({exponent}) is below 1. Keep a "
            "away from 0: (a + 1e-8) ** b."
        )
    if needs_b and np.less(a, 0).any():
        return "the derivative by the exponent is a^b · ln a, and a negative a has no logarithm. Keep a positive."
    return ""


# --- update -----------------------------------------------------------------------------------------------------------


def of_update(
    optimizer: Any,
    options: Mapping[str, Any],
    before: Mapping[str, float],
    after: Mapping[str, float],
    dtype: Any,
) -> str:
    """Why an optimizer made a parameter or its state nan or infinite; "" if the numbers do not show it.

    before: param, grad and the state's values by name, at the index where it happened. after: param and the state's
    values after the update.
    """
    limit = float(np.finfo(dtype).max)
    lr, grad = float(options.get("lr", math.nan)), before["grad"]
    if math.isinf(lr):
        return "the learning rate is infinite. Lower it."
    infinite = [name for name, number in before.items() if math.isinf(number)]
    if infinite:
        return f"{' and '.join(infinite)} was infinite before the step, so the result {INDETERMINATE}"
    adaptive = isinstance(optimizer, optim.Adam | optim.RMSprop)
    squares = after.get("exp_avg_sq", after.get("square_avg", math.nan))  # the average of the squared gradients
    if adaptive and math.isinf(squares):
        return (
            f"overflow: the gradient is {grad:.4g} there, and its square is beyond the largest number of {dtype}, "
            f"{limit:.2g}.{GROWN['gradient']}"
        )
    if adaptive and options.get("eps") == 0 and squares == 0:
        return (
            f"eps is 0, and so is the average of the squared gradients (the gradient is {grad:.4g}), so the step "
            "divides by 0. Keep eps at its default, 1e-8."
        )
    if isinstance(optimizer, optim.RMSprop) and options["centered"] and math.isnan(after["param"]):
        variance = after["square_avg"] - after["grad_avg"] * after["grad_avg"]
        if variance < 1e-6 * after["square_avg"]:
            return (
                "the centered average, square_avg - grad_avg², is below 0 by rounding, and a negative number has no "
                "square root (torch computes the same). Turn centered off, or compute in float64."
            )
    if not isinstance(optimizer, optim.SGD | optim.Adam | optim.RMSprop):
        return ""
    blame = " The learning rate is too high: lower it." if lr > abs(grad) else GROWN["gradient"]
    return (
        f"overflow: with parameter {before['param']:.4g}, gradient {grad:.4g} and learning rate {lr:g}, the update is "
        f"beyond the largest number of {dtype}, {limit:.2g}.{blame}"
    )
