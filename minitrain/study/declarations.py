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
        ("y <= 0", "Shut in the forward pass, so no gradient passes."),
        ("", "Open in the forward pass, so the gradient passes unchanged."),
    ),
    "y": (("x > 0", "Above 0: it passes unchanged."), ("", "Not above 0, so ReLU makes it 0.")),
}

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


ALONG_AXES: dict[type[Function], Declaration] = {
    ops.Sum: _of_one("along(x)", "dy", given=_reduced),
    ops.Mean: _of_one("along(x) / count", "dy / count", given=_reduced),
    ops.Var: _of_one("along((x - mean)**2) / divisor", "2 * (x - mean) * dy / divisor", given=_variance),
    ops.Amax: _of_one("largest(x)", "where(x == y, dy / along(x == y), 0)", given=_reduced),
    ops.Max: _of_one("largest(x)", "where(x == y, dy / along(x == y), 0)", given=_reduced),
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
    ops.MaxPool2d: Declaration(
        {
            "y": f"y[n, c, i, j] = MAX({WINDOW.format(c='c')}, p, q)",
            "dx": f"dx[n, c, i, j] = Σ(where(picked[n, c, {BACK}] == p * width + q, dy[n, c, {BACK}], 0), p, q)",
        },
        given=_pool,
        sentences={"dx": (("", "A gradient comes from each window whose largest value this was."),)},
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
