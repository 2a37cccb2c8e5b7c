"""How the operations of the library say how their entries are made. entries.py says what the texts mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minitrain import ops
from minitrain.ops import Function
from minitrain.study.entries import MOVED, Declaration, Setting, size_of


def _of_one(y: str, dx: str, **more: Any) -> Declaration:
    return Declaration({"y": y, "dx": dx}, **more)


def _of_two(y: str, da: str, db: str, **more: Any) -> Declaration:
    return Declaration({"y": y, "da": da, "db": db}, **more)


def _clamped(s: Setting) -> Mapping[str, str]:
    y, dx = "x", "dy"
    if s.options["min"] is not None:
        y, dx = "maximum(x, low)", "where(x >= low, dy, 0)"
    if s.options["max"] is not None:
        y, dx = f"minimum({y}, high)", f"where(x <= high, {dx}, 0)"
    return {"y": y, "dx": dx}


SHUT = {
    "dx": (
        ("y <= 0", "ReLU set this number to 0: a small change of it changes nothing, so its gradient is 0."),
        ("", "ReLU passed this number on unchanged, so its gradient comes back unchanged."),
    ),
    "y": (("x > 0", "Above 0: it passes unchanged."), ("", "Not above 0, so ReLU makes it 0.")),
}

FLAT = (("", "Flat between its jumps, so no gradient passes."),)

ELEMENTWISE: dict[type[Function], Declaration] = {
    ops.Add: _of_two("a + b", "dy", "dy"),
    ops.Sub: _of_two("a - b", "dy", "-dy"),
    ops.Mul: _of_two("a * b", "dy * b", "dy * a"),
    ops.Div: _of_two("a / b", "dy / b", "-dy * a / b**2"),
    ops.Pow: _of_two(
        "a**b",
        "where(b == 0, 0, dy * b * a**(b - 1))",
        "where(a == 0, where(b >= 0, 0, dy * y * log(a)), dy * y * log(a))",
    ),
    ops.Neg: _of_one("-x", "-dy"),
    ops.Exp: _of_one("exp(x)", "dy * y"),
    ops.Log: _of_one("log(x)", "dy / x"),
    ops.Sqrt: _of_one("sqrt(x)", "dy / (2 * y)"),
    ops.Abs: _of_one("abs(x)", "dy * sign(x)"),
    ops.Tanh: _of_one("tanh(x)", "dy * (1 - y**2)"),
    ops.Sigmoid: _of_one("1 / (1 + exp(-x))", "dy * y * (1 - y)"),
    ops.ReLU: _of_one("maximum(x, 0)", "where(y > 0, dy, 0)", sentences=SHUT),
    ops.Clamp: Declaration(_clamped, given=lambda s: {"low": s.options["min"], "high": s.options["max"]}),
    ops.Maximum: _of_two(
        "maximum(a, b)", "where(a == b, dy / 2, where(a > b, dy, 0))", "where(a == b, dy / 2, where(b > a, dy, 0))"
    ),
    ops.Minimum: _of_two(
        "minimum(a, b)", "where(a == b, dy / 2, where(a < b, dy, 0))", "where(a == b, dy / 2, where(b < a, dy, 0))"
    ),
    ops.Where: _of_two("where(condition, a, b)", "where(condition, dy, 0)", "where(condition, 0, dy)"),
    ops.LeakyReLU: _of_one("where(x > 0, x, slope * x)", "where(x > 0, dy, slope * dy)"),
    ops.ELU: _of_one(
        "where(x > 0, scale * x, scale * alpha * expm1(rate * x))",
        "where(x > 0, scale * dy, dy * scale * alpha * rate * exp(rate * x))",
    ),
    ops.SiLU: _of_one("x / (1 + exp(-x))", "dy / (1 + exp(-x)) * (1 + x * (1 - 1 / (1 + exp(-x))))"),
    ops.Softplus: _of_one(
        "where(beta * x > threshold, x, log1p(exp(beta * x)) / beta)",
        "where(beta * x > threshold, dy, dy / (1 + exp(-beta * x)))",
    ),
    ops.LogSigmoid: _of_one("minimum(x, 0) - log1p(exp(-abs(x)))", "dy / (1 + exp(x))"),
    ops.Hardtanh: _of_one("minimum(maximum(x, low), high)", "where(x > low, where(x < high, dy, 0), 0)"),
    ops.Exp2: _of_one("exp2(x)", "dy * y * log(2)"),
    ops.Expm1: _of_one("expm1(x)", "dy * (y + 1)"),
    ops.Log2: _of_one("log2(x)", "dy / (x * log(2))"),
    ops.Log10: _of_one("log10(x)", "dy / (x * log(10))"),
    ops.Log1P: _of_one("log1p(x)", "dy / (1 + x)"),
    ops.Sin: _of_one("sin(x)", "dy * cos(x)"),
    ops.Cos: _of_one("cos(x)", "-dy * sin(x)"),
    ops.Tan: _of_one("tan(x)", "dy * (1 + y**2)"),
    ops.Asin: _of_one("asin(x)", "dy / sqrt(1 - x**2)"),
    ops.Acos: _of_one("acos(x)", "-dy / sqrt(1 - x**2)"),
    ops.Atan: _of_one("atan(x)", "dy / (1 + x**2)"),
    ops.Sinh: _of_one("sinh(x)", "dy * cosh(x)"),
    ops.Cosh: _of_one("cosh(x)", "dy * sinh(x)"),
    ops.Asinh: _of_one("asinh(x)", "dy / sqrt(x**2 + 1)"),
    ops.Acosh: _of_one("acosh(x)", "dy / sqrt(x**2 - 1)"),
    ops.Atanh: _of_one("atanh(x)", "dy / (1 - x**2)"),
    ops.Reciprocal: _of_one("1 / x", "-dy * y**2"),
    ops.Rsqrt: _of_one("1 / sqrt(x)", "-dy * y**3 / 2"),
    ops.Hypot: _of_two("sqrt(a**2 + b**2)", "dy * a / y", "dy * b / y"),
    ops.Lerp: Declaration({"y": "a + w * (b - a)", "da": "dy * (1 - w)", "db": "dy * w", "dw": "dy * (b - a)"}),
    ops.Atan2: _of_two(
        "atan2(a, b)",
        "where(abs(a) + abs(b) == 0, 0, dy * b / (a**2 + b**2))",
        "where(abs(a) + abs(b) == 0, 0, -dy * a / (a**2 + b**2))",
    ),
    ops.Sinc: _of_one(
        "where(x == 0, 1, sin(pi * x) / (pi * x))",
        "where(x == 0, 0, dy * (pi * x * cos(pi * x) - sin(pi * x)) / (pi * x**2))",
    ),
    ops.Erf: _of_one("erf(x)", "dy * 2 / sqrt(pi) * exp(-x**2)"),
    ops.Erfc: _of_one("erfc(x)", "-dy * 2 / sqrt(pi) * exp(-x**2)"),
    ops.Logaddexp: _of_two("maximum(a, b) + log1p(exp(-abs(a - b)))", "dy / (1 + exp(b - a))", "dy / (1 + exp(a - b))"),
    ops.Logaddexp2: _of_two(
        "maximum(a, b) + log2(1 + exp2(-abs(a - b)))", "dy / (1 + exp2(b - a))", "dy / (1 + exp2(a - b))"
    ),
    ops.Xlogy: _of_two(
        "where(a == 0, where(b != b, b, 0), a * log(b))",
        "where(a == 0, where(b <= 0, 0, where(dy == 0, 0, dy * log(b))), where(dy == 0, 0, dy * log(b)))",
        "dy * a / b",
    ),
    ops.Fmax: _of_two(
        "where(b != b, a, where(a >= b, a, b))",
        "where(b != b, dy, where(a >= b, dy, 0))",
        "where(b != b, 0, where(a >= b, 0, dy))",
    ),
    ops.Fmin: _of_two(
        "where(b != b, a, where(a <= b, a, b))",
        "where(b != b, dy, where(a <= b, dy, 0))",
        "where(b != b, 0, where(a <= b, 0, dy))",
    ),
    ops.Remainder: _of_two("a - b * floor(a / b)", "dy", "-dy * floor(a / b)"),
    ops.Fmod: _of_two("a - b * trunc(a / b)", "dy", "-dy * trunc(a / b)"),
    ops.DivRounded: Declaration(
        lambda s: {"y": f"{s.options['rounding_mode']}(a / b)", "da": "0", "db": "0"},
        sentences={"da": FLAT, "db": FLAT},
    ),
    ops.Floor: _of_one("floor(x)", "0", sentences={"dx": FLAT}),
    ops.Ceil: _of_one("ceil(x)", "0", sentences={"dx": FLAT}),
    ops.Trunc: _of_one("trunc(x)", "0", sentences={"dx": FLAT}),
    ops.Round: _of_one(
        "round(x * scale) / scale",
        "0",
        given=lambda s: {"scale": 10.0 ** s.options["decimals"]},
        sentences={"dx": FLAT},
    ),
    ops.Sign: _of_one("sign(x)", "0", sentences={"dx": FLAT}),
    ops.Frac: _of_one("x - trunc(x)", "dy"),
    ops.Copysign: _of_two("copysign(a, b)", "where(a == 0, 0, dy * y / a)", "0"),
    ops.NanToNum: Declaration(
        {
            "y": "where(x != x, nan, where(x > largest_float, posinf, where(x < -largest_float, neginf, x)))",
            "dx": "where(x - x == 0, dy, 0)",
        },
        given=lambda s: _in_place_of_infinity(s.y.dtype, **s.options),
    ),
    ops.Expand: _of_one("x", "dy"),
    ops.Clone: _of_one("x", "dy"),
    ops.ToCopy: _of_one("x", "dy"),
    ops.BCELoss: Declaration(
        {
            "y": "-target * maximum(log(p), -100) - (1 - target) * maximum(log1p(-p), -100)",
            "dp": "dy * (p - target) / maximum((1 - p) * p, 1e-12)",
            "dtarget": "dy * (log1p(-p) - log(p))",
        }
    ),
    ops.BCEWithLogitsLoss: Declaration(
        lambda s: {
            "y": f"(1 - target) * x + {_weight(s)} * (maximum(-x, 0) + log1p(exp(-abs(x))))",
            "dx": f"dy * (1 - target - {_weight(s)} / (1 + exp(x)))",
            "dtarget": "dy * -x"
            if s.array("pos_weight") is None
            else "dy * ((pos_weight - 1) * (maximum(-x, 0) + log1p(exp(-abs(x)))) - x)",
        }
    ),
    ops.SmoothL1Loss: Declaration(
        lambda s: {
            "y": "where(abs(x - target) < beta, (x - target)**2 / (2 * beta), abs(x - target) - beta / 2)",
            "dx": "where(abs(x - target) < beta, dy * (x - target) / beta, dy * sign(x - target))",
            "dtarget": "where(abs(x - target) < beta, -dy * (x - target) / beta, -dy * sign(x - target))",
        }
    ),
}


def _in_place_of_infinity(dtype: np.dtype[Any], posinf: float | None, neginf: float | None, **_: Any) -> dict[str, Any]:
    largest = float(np.finfo(dtype).max)
    return {
        "largest_float": largest,
        "posinf": largest if posinf is None else posinf,
        "neginf": -largest if neginf is None else neginf,
    }


def _weight(s: Setting) -> str:
    return "1" if s.array("pos_weight") is None else "(1 + (pos_weight - 1) * target)"


# Reductions, and what looks along axes.


def _reduced(s: Setting) -> dict[str, Any]:
    dim = s.options["dim"]
    return {"dim": dim, "count": size_of(s.shape("x"), dim), "lacking": ("y", "dy")}


def _whole(s: Setting) -> dict[str, Any]:
    return {"dim": tuple(range(len(s.shape("x")))), "lacking": ("y", "dy")}


def _along(s: Setting) -> dict[str, Any]:
    return {"dim": (s.options["dim"],)}


def _variance(s: Setting) -> dict[str, Any]:
    given = _reduced(s)
    return {**given, "mean": _mean(s, given["dim"]), "divisor": max(given["count"] - s.options["correction"], 0)}


def _mean(s: Setting, dim: tuple[int, ...]) -> Any:
    return np.asarray(s.array("x"), np.float64).mean(axis=dim, keepdims=True)


def _normalized(s: Setting) -> dict[str, Any]:
    dim = s.options["dim"]
    x = np.asarray(s.array("x"), np.float64)
    mean = _mean(s, dim)
    rate = 1 / np.sqrt(((x - mean) ** 2).mean(axis=dim, keepdims=True) + s.options["eps"])
    return {"dim": dim, "count": size_of(x.shape, dim), "mean": mean, "rate": rate}


def _squares(s: Setting) -> dict[str, Any]:
    if s.options["reduction"] == "none":
        return {}
    n = s.y.dtype.type(np.prod(s.shape("x"))) if s.options["reduction"] == "mean" else 1
    return {**_whole(s), "count": float(n)}


def _squared_difference(s: Setting) -> Mapping[str, str]:
    if s.options["reduction"] == "none":
        return {"y": "(x - target)**2", "dx": "2 * (x - target) * dy", "dtarget": "-2 * (x - target) * dy"}
    return {
        "y": "along((x - target)**2) / count",
        "dx": "2 * (x - target) * dy / count",
        "dtarget": "-2 * (x - target) * dy / count",
    }


def _norm(s: Setting) -> Mapping[str, str]:
    p = float(s.options["p"])
    if p == 0:
        return {"y": "along(x != 0)"}  # its slope is 0 everywhere: backward sends nothing
    if math.isinf(p):
        y = "largest(abs(x))" if p > 0 else "-largest(-abs(x))"
        return {"y": y, "dx": "where(abs(x) == y, dy * sign(x) / along(abs(x) == y), 0)"}
    if p == 1:
        return {"y": "along(abs(x))", "dx": "dy * sign(x)"}
    if p == 2:
        return {"y": "sqrt(along(x**2))", "dx": "where(y == 0, 0, dy * x / y)"}
    return {
        "y": "along(abs(x)**p)**(1 / p)",
        "dx": "where(x * y == 0, 0, dy * sign(x) * abs(x)**(p - 1) / y**(p - 1))",
    }


def _shared(s: Setting) -> str:
    """The gradient goes to the entries that are the result, in equal parts; to those that are nan if it is."""
    here = "x != x" if np.isnan(s.y) else "x == y"
    return f"where({here}, dy / along({here}), 0)"


def _largest(s: Setting) -> Mapping[str, str]:
    dx = "where(x == y, dy / along(x == y), 0)"
    return {"y": "largest(x)", "dx": f"where(y == y, {dx}, y)" if np.isnan(s.y).any() else dx}


def _median(s: Setting) -> Mapping[str, str]:
    """The place in the middle when the values are sorted; that of a nan, where one decides."""
    x = np.asarray(s.array("x"))
    nan = np.flatnonzero(x.ravel() != x.ravel())
    known = np.argsort(x.ravel(), kind="stable")[: x.size - nan.size]  # a nan is sorted to the end
    decides = nan.size > 0 and (known.size == 0 or not s.options["ignore_nan"])
    middle = nan[0] if decides else known[(known.size - 1) // 2]
    place = [str(int(i)) for i in np.unravel_index(middle, x.shape)] if x.ndim else []
    return {"y": f"y = {_entry('x', place)}", "dx": _shared(s)}


def _running(y: str, dx: str) -> Declaration:
    """Along one axis, up to a place. In the texts {own} are the axes' names, and {before}, {after} those k further."""

    def rules(s: Setting) -> Mapping[str, str]:
        if not s.y.ndim:
            return {"y": "x", "dx": "dy"}
        own = list(NAMES[: s.y.ndim])
        axis = s.options["dim"] % s.y.ndim

        def at(place: str) -> str:
            return ", ".join([*own[:axis], place.format(own[axis]), *own[axis + 1 :]])

        places = {"own": at("{}"), "before": at("{} - k"), "after": at("{} + k"), "between": at("{} + k - p")}
        return {name: text.format(**places) for name, text in (("y", y), ("dx", dx))}

    def given(s: Setting) -> Mapping[str, Any]:
        return dict.fromkeys("kp", s.y.shape[s.options["dim"]]) if s.y.ndim else {}

    return Declaration(rules, given=given)


ONLY_THE_LARGEST = {
    "y": (("", "The largest decides alone: the others could be smaller, and nothing would change."),),
    "dx": (
        ("x < y", "Another one was larger, so no gradient comes here."),
        ("", "It is the largest, so the gradient comes here; equal ones share it."),
    ),
}

ALONG_AXES: dict[type[Function], Declaration] = {
    ops.Sum: _of_one("along(x)", "dy", given=_reduced),
    ops.Mean: _of_one("along(x) / count", "dy / count", given=_reduced),
    ops.Var: _of_one("along((x - mean)**2) / divisor", "2 * (x - mean) * dy / divisor", given=_variance),
    ops.Amax: Declaration(_largest, given=_reduced, sentences=ONLY_THE_LARGEST),
    ops.Max: Declaration(lambda s: {"y": "largest(x)", "dx": _shared(s)}, given=_reduced, sentences=ONLY_THE_LARGEST),
    ops.Median: Declaration(
        _median,
        given=_whole,
        sentences={"y": (("", "The one in the middle when all are sorted, the lower of two."),)},
    ),
    ops.Norm: Declaration(_norm, given=_reduced),
    ops.Prod: _of_one("product(x)", "dy * others(x)", given=_reduced),
    ops.Cumsum: _running("y[{own}] = Σ(x[{before}], k)", "dx[{own}] = Σ(dy[{after}], k)"),
    ops.Cumprod: _running(
        "y[{own}] = PROD(x[{before}], k)", "dx[{own}] = Σ(dy[{after}] * PROD(where(k == p, 1, x[{between}]), p), k)"
    ),
    ops.LogCumsumExp: _running(
        "y[{own}] = LOGSUMEXP(x[{before}], k)", "dx[{own}] = Σ(dy[{after}] * exp(x[{own}] - y[{after}]), k)"
    ),
    ops.LogSumExp: _of_one("logsumexp(x)", "dy * exp(x - y)", given=_reduced),
    ops.Softmax: _of_one(
        "softmax(x)",
        "y * (dy - along(dy * y))",
        given=_along,
        tables={"y": {"z": "x", "p": "y"}},
    ),
    ops.LogSoftmax: _of_one(
        "x - logsumexp(x)",
        "dy - exp(y) * along(dy)",
        given=_along,
        tables={"y": {"z": "x", "log p": "y", "p": "exp(y)"}, "dx": {"p": "exp(y)", "dL/dlog p": "dy"}},
    ),
    ops.Normalize: Declaration(
        lambda s: {
            "y": "(x - mean) * rate * weight + bias",
            "dx": "rate * (dy * weight - along(dy * weight) / count"
            " - (x - mean) * rate * along(dy * weight * (x - mean) * rate) / count)",
            "dweight": "dy * (x - mean) * rate",
            "dbias": "dy",
        },
        given=_normalized,
        sentences={
            "y": (
                ("", "The mean is subtracted and the result divided by the deviation, both of the values beside it."),
            ),
            "dx": (("", "The value moves the mean and the deviation, too: the two sums are what that takes away."),),
        },
    ),
    ops.MSELoss: Declaration(_squared_difference, given=_squares),
}


# With indices.

NAMES = "nijlmrstuv"  # of axes without names of their own


def _matmul(s: Setting) -> Mapping[str, str]:
    """a (..., N, K) @ b (..., K, M); a vector a is a row, a vector b a column."""
    a, b = s.shape("a"), s.shape("b")
    row, column = ([] if len(a) == 1 else ["i"]), ([] if len(b) == 1 else ["j"])
    batch = [f"n{k}" for k in range(s.y.ndim - len(row) - len(column))]
    batch = batch if len(batch) > 1 else ["n"][: len(batch)]

    def own(shape: tuple[int, ...]) -> list[str]:
        """The batch's indices of an operand, 0 where it is repeated."""
        sizes = shape[:-2]
        names = batch[len(batch) - len(sizes) :]
        offset = len(batch) - len(sizes)
        return [
            "0" if size == 1 != s.y.shape[offset + k] else name
            for k, (name, size) in enumerate(zip(names, sizes, strict=True))
        ]

    batch_a, batch_b = own(a), own(b)
    of_a, of_b, of_y = [*batch_a, *row, "k"], [*batch_b, "k", *column], [*batch, *row, *column]
    entry_a, entry_b = f"a[{', '.join(of_a)}]", f"b[{', '.join(of_b)}]"
    entry_y = f"y[{', '.join(of_y)}]" if of_y else "y"
    dy = f"d{entry_y}"
    over_a = [name for name in of_y if name not in of_a]
    over_b = [name for name in of_y if name not in of_b]
    return {
        "y": f"{entry_y} = Σ({entry_a} * {entry_b}, k)",
        "da": f"d{entry_a} = Σ({', '.join([f'{dy} * {entry_b}', *over_a])})",
        "db": f"d{entry_b} = Σ({', '.join([f'{dy} * {entry_a}', *over_b])})",
    }


def _negative_log_likelihood(s: Setting) -> Mapping[str, str]:
    shape = s.shape("x")
    names = ["c"] if len(shape) == 1 else ["n", "c", *(f"d{k}" for k in range(1, len(shape) - 1))]
    rows = [name for name in names if name != "c"]
    target = f"target[{', '.join(rows)}]" if rows else "target"
    at_label = f"x[{', '.join(target if name == 'c' else name for name in names)}]"
    weight = "" if s.array("weight") is None else f" * weight[{target}]"
    each = _unless_ignored(s, target, f"-{at_label}{weight}")
    total = {"none": "", "sum": "", "mean": " / total"}[s.options["reduction"]]
    alone = s.options["reduction"] == "none"
    dy = "dy" if not alone or not rows else f"dy[{', '.join(rows)}]"
    summed = f"Σ({each}, {', '.join(rows)})" if rows and not alone else each.format("")
    index = f"[{', '.join(rows)}]" if alone and rows else ""
    return {
        "y": f"y{index} = {summed}{total}",
        "dx": f"dx[{', '.join(names)}] = "
        + _unless_ignored(s, target, f"where(c == {target}, -{dy}{weight}{total}, 0)"),
    }


def _unless_ignored(s: Setting, target: str, text: str) -> str:
    ignored = np.any(np.asarray(s.array("target")) == s.options["ignore_index"])
    return f"where({target} == ignore_index, 0, {text})" if ignored else text


def _labels(s: Setting) -> dict[str, Any]:
    target, weight = np.asarray(s.array("target")), s.array("weight")
    kept = target[target != s.options["ignore_index"]]
    return {"total": float(kept.size if weight is None else np.sum(weight.astype(np.float64)[kept]))}


WINDOW = "x[n, {c}, i * stride[0] + p * dilation[0] - padding[0], j * stride[1] + q * dilation[1] - padding[1]]"
BACK = "(i + padding[0] - p * dilation[0]) / stride[0], (j + padding[1] - q * dilation[1]) / stride[1]"


def _convolution(s: Setting) -> Mapping[str, str]:
    if s.options["groups"] == 1:
        inside, outside, own = "c", "o", "c"
    else:
        inside, outside, own = "o // each_o * each_c + c", "c // each_c * each_o + o", "c % each_c"
    return {
        "y": f"y[n, o, i, j] = Σ({WINDOW.format(c=inside)} * weight[o, c, p, q], c, p, q) + bias[o]",
        "dx": f"dx[n, c, i, j] = Σ(dy[n, {outside}, {BACK}] * weight[{outside}, {own}, p, q], o, p, q)",
        "dweight": f"dweight[o, c, p, q] = Σ(dy[n, o, i, j] * {WINDOW.format(c=inside)}, n, i, j)",
        "dbias": "dbias[o] = Σ(dy[n, o, i, j], n, i, j)",
    }


def _kernel(s: Setting) -> dict[str, Any]:
    out, channels, p, q = s.shape("weight")
    return {"p": p, "q": q, "o": out // s.options["groups"], "each_o": out // s.options["groups"], "each_c": channels}


def _einsum(s: Setting) -> Mapping[str, str]:
    """A letter is an index. An axis of size 1 that is repeated has the index 0; a letter that an input has twice is its
    diagonal."""
    subscripts, result = s.options["subscripts"], s.options["result"]
    shapes = [s.shape(name) for name in s.inputs]
    sizes: dict[str, int] = {}
    for shape, letters in zip(shapes, subscripts, strict=True):
        for size, letter in zip(shape, letters, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    places = [
        ["0" if size == 1 != sizes[letter] else letter for size, letter in zip(shape, letters, strict=True)]
        for shape, letters in zip(shapes, subscripts, strict=True)
    ]
    inputs = [_entry(name, place) for name, place in zip(s.inputs, places, strict=True)]

    def summed(factors: Sequence[str], within: Sequence[str], kept: Sequence[str]) -> str:
        over = [letter for letter in dict.fromkeys("".join(within)) if letter not in kept]
        return f"Σ({', '.join([' * '.join(factors), *over])})" if over else " * ".join(factors)

    texts = {"y": f"{_entry('y', result)} = {summed(inputs, subscripts, result)}"}
    for k, name in enumerate(s.inputs):
        others = [*inputs[:k], _entry("dy", result), *inputs[k + 1 :]]
        gradient = summed(others, [*subscripts[:k], result, *subscripts[k + 1 :]], places[k])
        own: list[str] = []
        for letter in places[k]:
            twice = letter != "0" and letter in own
            own.append(letter * 2 if twice else letter)
            gradient = f"where({letter} == {letter * 2}, {gradient}, 0)" if twice else gradient
        texts[f"d{name}"] = f"{_entry(f'd{name}', own)} = {gradient}"
    return texts


def _average(s: Setting) -> Mapping[str, str]:
    """The mean of a window. Where all windows have the same number of values, the number stands in the formula."""
    divisor = np.asarray(s.array("divisor"))
    same = divisor.size > 0 and bool((divisor == divisor.flat[0]).all())
    each, back = (f"{float(divisor.flat[0])}",) * 2 if same else ("divisor[i, j]", f"divisor[{BACK}]")
    return {
        "y": f"y[n, c, i, j] = Σ({WINDOW.format(c='c')}, p, q) / {each}",
        "dx": f"dx[n, c, i, j] = Σ(dy[n, c, {BACK}] / {back}, p, q)",
    }


def _window(s: Setting) -> dict[str, Any]:
    p, q = s.options["size"]
    return {"p": p, "q": q}


def _pool(s: Setting) -> dict[str, Any]:
    return {**_window(s), "picked": s.context().saved_arrays[0], "width": s.options["size"][1]}


INDEXED: dict[type[Function], Declaration] = {
    ops.Linear: Declaration(
        {
            "y": "y[..., o] = Σ(x[..., i] * weight[o, i], i) + bias[o]",
            "dx": "dx[..., i] = Σ(dy[..., o] * weight[o, i], o)",
            "dweight": "dweight[o, i] = Σ(dy[..., o] * x[..., i], ...)",
            "dbias": "dbias[o] = Σ(dy[..., o], ...)",
        },
        sentences={
            "dweight": (("", "Each sample adds its share; the gradient is their sum."),),
            "dbias": (("", "Each sample adds its share; the gradient is their sum."),),
            "dx": (("", "The gradients of all that this value went into, each times the weight it went through."),),
        },
    ),
    ops.Matmul: Declaration(_matmul),
    ops.NLLLoss: Declaration(
        _negative_log_likelihood,
        given=_labels,
        sentences={"dx": (("", "Only the entry of the label enters the loss; the others get 0."),)},
    ),
    ops.Conv2d: Declaration(_convolution, given=_kernel),
    ops.Einsum: Declaration(_einsum),
    ops.AvgPool2d: Declaration(
        _average,
        given=lambda s: {**_window(s), "dilation": (1, 1)},
        sentences={"dx": (("", "Each window that this value lies in sends an equal share of its gradient."),)},
    ),
    ops.MaxPool2d: Declaration(
        {
            "y": f"y[n, c, i, j] = MAX({WINDOW.format(c='c')}, p, q)",
            "dx": f"dx[n, c, i, j] = Σ(where(picked[n, c, {BACK}] == p * width + q, dy[n, c, {BACK}], 0), p, q)",
        },
        given=_pool,
        sentences={
            "y": (("", "The largest value of the window decides alone, the first of equal ones."),),
            "dx": (("", "A gradient comes from each window whose largest value this was."),),
        },
    ),
}


def _reshaped(s: Setting) -> Mapping[str, str]:
    """The place in the flattened array, cut into indices; leading axes that both have stay as they are."""
    x, y = s.shape("x"), s.y.shape
    same = 0
    while same < min(len(x), len(y)) and x[same] == y[same]:
        same += 1
    names_x, names_y = NAMES[: len(x)], NAMES[: len(y)]
    return {
        "y": f"{_entry('y', names_y)} = {_entry('x', [*names_y[:same], *_cut(names_y[same:], y[same:], x[same:])])}",
        "dx": f"{_entry('dx', names_x)} = {_entry('dy', [*names_x[:same], *_cut(names_x[same:], x[same:], y[same:])])}",
    }


def _entry(name: str, indices: Sequence[str]) -> str:
    return f"{name}[{', '.join(indices)}]" if indices else name


def _cut(names: Sequence[str], of: tuple[int, ...], into: tuple[int, ...]) -> list[str]:
    """The place that these names and sizes give, as an index for each axis of other sizes."""
    strides = [math.prod(of[k + 1 :]) for k in range(len(of))]
    place = " + ".join(f"{name} * {stride}" for name, stride, size in zip(names, strides, of, strict=True) if size > 1)
    place = f"({place or '0'})"
    cut: list[str] = []
    for k, size in enumerate(into):
        here = f"{place} // {math.prod(into[k + 1 :])}"
        outermost = math.prod(into[:k]) == 1
        cut.append("0" if size == 1 else here if outermost else f"({here}) % {size}")
    return cut


def _permuted(s: Setting) -> Mapping[str, str]:
    count = s.y.ndim
    if "dims" in s.options:
        dims = [axis % count for axis in s.options["dims"]]
    else:
        dims = list(range(count))
        a, b = (s.options[name] % max(count, 1) for name in ("dim0", "dim1"))
        if count:
            dims[a], dims[b] = b, a
    names = NAMES[:count]  # of y's axes; y's axis k is x's axis dims[k]
    of_x = [names[dims.index(axis)] for axis in range(count)]
    return {
        "y": f"{_entry('y', names)} = {_entry('x', of_x)}",
        "dx": f"{_entry('dx', of_x)} = {_entry('dy', names)}",
    }


MOVING: dict[type[Function], Declaration] = {
    **dict.fromkeys((ops.Reshape, ops.Flatten), Declaration(_reshaped)),
    **dict.fromkeys((ops.Transpose, ops.Permute), Declaration(_permuted)),
    **dict.fromkeys(
        (ops.Index, ops.IndexPut, ops.ViewPut, ops.Cat, ops.Flip, ops.Roll, ops.Diagonal, ops.Unfold),
        Declaration(MOVED),
    ),
}
DECLARATIONS = {**ELEMENTWISE, **ALONG_AXES, **INDEXED, **MOVING}

# The operations of the library without a declaration, and why. They show values, gradients, formula and source.
ELIMINATION = "An elimination computes all entries together: none is a sum or a product of few numbers."
NOT_DECLARED: dict[type[Function], str] = {
    **dict.fromkeys((ops.Inv, ops.Solve, ops.Det), ELIMINATION),
    ops.SingularValues: "An iteration computes all entries together: none is a sum or a product of few numbers.",
    **dict.fromkeys((ops.Lgamma, ops.Digamma), "A series computes it, with terms that depend on the size of x."),
    ops.IndexAdd: "It adds at places that an array names, and the number of terms differs from place to place.",
}
