"""Mistakes in the derivative of an operation on single numbers: another function, another point, one of two terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, fits, number, ratio_of
from minitrain.ops import Array

# The derivatives that occur, as functions of the input, the result, or what forward saved.
FORMULAS: dict[str, Callable[[Array], Array]] = {
    "{}": lambda t: t,
    "{}²": lambda t: t**2,
    "{}³": lambda t: t**3,
    "1 - {}": lambda t: 1 - t,
    "1 - {}²": lambda t: 1 - t**2,
    "(1 - {})²": lambda t: (1 - t) ** 2,
    "(1 + {})²": lambda t: (1 + t) ** 2,
    "{} · (1 - {})²": lambda t: t * (1 - t) ** 2,
    "{}² · (1 - {})": lambda t: t**2 * (1 - t),
    "1 + {}": lambda t: 1 + t,
    "1 + {}²": lambda t: 1 + t**2,
    "{} · (1 - {})": lambda t: t * (1 - t),
    "{} · (1 + {})": lambda t: t * (1 + t),
    "1 / {}": lambda t: 1 / t,
    "1 / {}²": lambda t: 1 / t**2,
    "1 / (1 + {})": lambda t: 1 / (1 + t),
    "1 / (1 + {})²": lambda t: 1 / (1 + t) ** 2,
    "1 / (1 + {}²)": lambda t: 1 / (1 + t**2),
    "1 / (1 + |{}|)": lambda t: 1 / (1 + np.abs(t)),
    "1 / (1 + |{}|)²": lambda t: 1 / (1 + np.abs(t)) ** 2,
    "1 / √{}": lambda t: t**-0.5,
    "1 / √(1 - {}²)": lambda t: (1 - t**2) ** -0.5,
    "1 / √(1 + {}²)": lambda t: (1 + t**2) ** -0.5,
    "√{}": np.sqrt,
    "exp {}": np.exp,
    "exp -{}": lambda t: np.exp(-t),
    "exp -{}²": lambda t: np.exp(-(t**2)),
    "exp -{}²/2": lambda t: np.exp(-(t**2) / 2),
    "ln {}": np.log,
    "sin {}": np.sin,
    "cos {}": np.cos,
    "1 / cos² {}": lambda t: np.cos(t) ** -2.0,
    "sigmoid({})": lambda t: 1 / (1 + np.exp(-t)),
    "sigmoid({}) · (1 - sigmoid({}))": lambda t: np.exp(-t) / (1 + np.exp(-t)) ** 2,
    "tanh {}": np.tanh,
    "sinh {}": np.sinh,
    "cosh {}": np.cosh,
    "1 - tanh² {}": lambda t: 1 - np.tanh(t) ** 2,
    "1 - tanh {}": lambda t: 1 - np.tanh(t),
    "sign {}": np.sign,
    "|{}|": np.abs,
    "({} > 0)": lambda t: (t > 0).astype(float),
}
FRONT = {1.0: "", 2.0: "2 · ", 3.0: "3 · ", 0.5: "½ · "}  # a constant that belongs to a formula


def formula(case: Case) -> Mistake | None:
    """The derivative is another function of the input or the result, and it is known which one is due."""
    found = taken_formula(case)
    return found if found is not None and "that is not" not in found.says else None


def taken_formula(case: Case) -> Mistake | None:
    """The derivative is another function of the input or the result."""
    if case.local is None or case.numeric.size < 3:
        return None
    taken, due = (next(_readings(case, d), "") for d in case.local)
    if not taken or case.analytic.size < 3 or np.ptp(case.local[0]) == 0:
        return None
    ratio, beside = case.local[0] / case.local[1], ""
    for name, z in case.known.items():
        if fits(z, ratio.shape):
            for sign, turned in ((1, ""), (-1, ", and the sign is wrong")):
                t = sign * np.broadcast_to(z, ratio.shape)
                if agree(1 / t, ratio):
                    beside = f" The factor {name} is missing{turned}."
                elif agree(t, ratio):
                    beside = f" The factor {name} is too many{turned}."
    needed = f"here {due} belongs" if due else "another derivative belongs here" if beside else ""
    needed = needed or "that is not this operation's derivative"
    says = f"The derivative of the operation is wrong: dL/dy is multiplied by {taken}, but {needed}.{beside}"
    also = f", numeric dL/dy · ({due})" if due else ""
    return Mistake("wrong-derivative", says, f"analytic is dL/dy · ({taken}) everywhere{also}.")


def _readings(case: Case, d: Array) -> Iterator[str]:
    """The formulas that give these derivatives."""
    if np.ptp(d) <= 1e-6 * np.abs(d).max():
        yield number(float(d.flat[0]))
        return
    for pattern, of in FORMULAS.items():
        for name, z in case.at_hand.items():
            if not fits(z, d.shape):
                continue
            with np.errstate(all="ignore"):
                values = np.asarray(of(np.broadcast_to(z, d.shape)))
            ratio = float((d * values).sum() / (values * values).sum()) if np.isfinite(values).all() else 0.0
            front = next((c for c in FRONT if abs(abs(ratio) - c) < 1e-4), None)
            if front is not None and agree(ratio * values, d):
                text = pattern.replace("{}", "t") if " " in name else pattern.replace("{}", name)
                where = f", with t = {name}" if " " in name else ""
                inner = f"({text})" if ratio < 0 and "{} · " not in pattern and len(pattern) > 3 else text
                yield f"{'-' if ratio < 0 else ''}{FRONT[front]}{inner}{where}"


def other_point(case: Case) -> Mistake | None:
    """The derivative is right, but taken at a multiple of x or at another array."""
    x, at = case.x, case.local_at
    if case.local is None or x is None or at is None or x.size < 3 or not x.any():
        return None
    d = case.local[0]
    if np.ptp(d) <= 1e-6 * np.abs(d).max():
        return None  # right at many points
    for name, z in {"-x": -x, "|x|": np.abs(x), "x²": x * x, **case.at_hand}.items():
        if name not in ("x", "y") and fits(z, x.shape) and agree(at(np.broadcast_to(z, x.shape)), d):
            says = f"The derivative is taken at another point: at {name} instead of x."
            return Mistake("wrong-derivative", says, f"dy/dx measured at {name} equals analytic / dL/dy everywhere.")

    def error(log: float) -> float:
        apart = np.abs(at(x * np.exp(log)) - d)
        return float(apart.max()) if np.isfinite(apart).all() else np.inf

    grid = np.log(2) * np.linspace(-5, 5, 41)
    best = int(np.argmin([error(log) for log in grid]))
    scale = float(np.exp(_lowest(error, grid[max(best - 1, 0)], grid[min(best + 1, 40)])))
    if abs(scale - 1) < 1e-3 or not agree(at(x * scale), d, 3e-4):
        return None
    point = f"{number(round(scale, 3))} · x" if scale > 1 else f"x / {number(round(1 / scale, 3))}"
    says = (
        f"The derivative is taken at another point: at {point} instead of x. A scale inside the function (f(k · x)) is "
        "missing in backward, or stands there twice."
    )
    return Mistake("wrong-derivative", says, f"dy/dx measured at {point} equals analytic / dL/dy everywhere.")


def _lowest(error: Callable[[float], float], low: float, high: float) -> float:
    """The place of a function's minimum between low and high, by the golden section."""
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    of_left, of_right = error(left), error(right)
    for _ in range(25):
        if of_left < of_right:
            high, right, of_right = right, left, of_left
            left = high - golden * (high - low)
            of_left = error(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + golden * (high - low)
            of_right = error(right)
    return (low + high) / 2


def ratio(case: Case) -> Mistake | None:
    """The gradient has one factor too many or lacks one, which is a function of an array at hand."""
    a, n = case.analytic, case.numeric
    if n.size < 5 or not n.all() or not a.all():
        return None
    readings = [
        (text, alike, verb)
        for values, verb in ((n / a, "missing"), (a / n, "too many"))
        if np.ptp(values) > CLOSE * np.abs(values).max()
        for text, alike in _exactly(case, values)
    ]
    if not readings:
        return None
    text, alike, verb = min(readings, key=lambda reading: len(reading[0]))  # 1 + x² too many, not 1 / (1 + x²) missing
    turned = "" if alike > 0 else ", and the sign is wrong"
    over = "analytic / numeric" if verb == "too many" else "numeric / analytic"
    says = f"A factor is {verb}: {text}{turned}. Everything else is right."
    return Mistake("operand", says, f"{over} is {'' if alike > 0 else '-'}({text}) everywhere.")


def _exactly(case: Case, values: Array) -> Iterator[tuple[str, int]]:
    for pattern, of in FORMULAS.items():
        for name, z in case.at_hand.items():
            if fits(z, values.shape):
                t = np.asarray(of(np.broadcast_to(z, values.shape)))
                for sign in (1, -1):
                    if agree(sign * t, values):
                        yield pattern.replace("{}", f"({name})" if " " in name and pattern != "{}" else name), sign


def precedence(case: Case) -> Mistake | None:
    """A 1 that belongs in an exponent is subtracted from the power: n * x ** n - 1."""
    if case.local is None or case.numeric.size < 3:
        return None
    ours, right = case.local
    for name, z in case.known.items():
        if fits(z, right.shape) and np.ptp(right * z) > 0 and agree(ours, right * z - 1):
            says = (
                f"The derivative is the right one times {name}, minus 1: the 1 belongs in the exponent. ** binds more "
                "strongly than -, so write n * x ** (n - 1)."
            )
            return Mistake("wrong-derivative", says, f"analytic / dL/dy is (numeric / dL/dy) · {name} - 1 everywhere.")
    return None


def elsewhere(case: Case) -> Mistake | None:
    """The gradient is that at other numbers, for a function of all numbers together: one row's for all, a multiple."""
    x, right_at = case.x, case.right_at
    if x is None or right_at is None or case.local is not None or ratio_of(case) is not None or not 3 <= x.size <= 200:
        return None
    for axis in range(x.ndim) if x.ndim > 1 else ():
        for index in (0, -1) if x.shape[axis] > 1 else ():
            if right_at(case.analytic, np.broadcast_to(x.take([index], axis), x.shape).copy()):
                which = f"index {index % x.shape[axis]} along axis {axis}"
                says = (
                    f"The derivative of {which} is used for all: it is computed from x there (such as one sample's "
                    "Jacobian), but each has its own."
                )
                return Mistake("wrong-derivative", says, f"with x the same as at {which}, this gradient is measured.")
    for scale, point in (
        (2.0, "2 · x"),
        (0.5, "x / 2"),
        (-1.0, "-x"),
        (3.0, "3 · x"),
        (1 / 3, "x / 3"),
        (0.1, "x / 10"),
    ):
        for factor, more in (
            (1.0, ""),
            (scale, f", and the factor {number(scale)} of the chain rule is there too often"),
        ):
            if right_at(case.analytic / factor, scale * x):
                says = (
                    f"The derivative is taken at another point: at {point} instead of x{more}. A scale inside the "
                    "function (a temperature, f(x / T)) is missing in backward, or stands there twice."
                )
                return Mistake("wrong-derivative", says, f"the gradient measured at {point} is this one.")
    return None


def product_rule(case: Case) -> Mistake | None:
    """y = x · h(x): the gradient has one of the two terms."""
    x, y, g = case.x, case.y, case.grad_output
    if x is None or y is None or g is None or not x.shape == y.shape == g.shape == case.numeric.shape or x.size < 2:
        return None
    with np.errstate(all="ignore"):
        first = g * y / x
    second = case.numeric - first
    if not np.isfinite(first).all() or agree(first, case.numeric):
        return None
    for term, which in ((first, "second term, x · h'"), (second, "first term, h")):
        if agree(term, case.analytic):
            says = (
                f"One term is missing, by the product rule: y = x · h(x) has the derivative h + x · h', and the "
                f"{which}, is missing."
            )
            return Mistake("term-missing", says, "with h = y / x, the other term alone gives this gradient.")
    if agree(first + second / x, case.analytic):
        says = "y = x · h(x) has the derivative h + x · h'. In the second term, the factor x is missing."
        return Mistake("term-factor", says, "with h = y / x, h + h' gives this gradient.")
    return None
