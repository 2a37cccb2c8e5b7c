"""Mistakes in a factor, a sign, a mean's 1/N, or an added constant."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from minitrain.diagnosis.autopsy.case import (
    CLOSE,
    Case,
    Mistake,
    agree,
    constant_in_rows,
    fits,
    is_zero,
    naming,
    number,
    ratio_of,
    some_axes,
    summed_to,
)
from minitrain.ops import Array


def grad_output_missing(case: Case) -> Mistake | None:
    if case.jacobian is None or case.grad_output is None:
        return None
    ones = case.jacobian.sum(axis=1).reshape(case.numeric.shape)
    if not agree(ones, case.analytic):
        return None
    says = "The chain rule's factor dL/dy is missing: this is dy/dx alone. Multiply by grad_output."
    return Mistake("grad-output-missing", says, "it equals the gradient for dL/dy = 1, whatever dL/dy is.")


def sizes_of(case: Case) -> dict[int, str]:
    """The numbers that a mean may divide by, with a description of each."""
    counted = dict(case.sizes)
    arrays = {"the input": case.numeric, "the result": case.y, "dL/dy": case.grad_output}
    arrays |= {f"input {i}": x for i, x in enumerate(case.inputs) if i != case.which}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            continue
        for axes in some_axes(array.ndim):
            size = math.prod(array.shape[axis] for axis in axes)
            if size > 1:
                counted.setdefault(size, f"the {size} along {naming(axes)} of {name}")
    return counted


def mean(case: Case) -> Mistake | None:
    ratio = ratio_of(case)
    if ratio is None or ratio < 0 or (case.local is not None and case.numeric.size > 1):
        return None  # an operation on single numbers takes no mean: that a size has the ratio's value is chance
    for size, what in sizes_of(case).items():
        if size == 2:
            continue  # a factor of 2 more often comes from a square
        if abs(ratio - size) <= CLOSE * size:
            says = f"The mean's 1/N is missing: the gradient is {size} times too large. Divide by N = {size}, {what}."
            return Mistake("mean-missing", says, f"analytic / numeric is {number(ratio)} everywhere.")
        if abs(ratio * size - 1) <= CLOSE:
            says = (
                f"The gradient is {size} times too small: divided by N = {size}, {what}. Either this is a sum and "
                "not a mean, or it is divided twice (dL/dy already contains the 1/N)."
            )
            return Mistake("mean-twice", says, f"analytic / numeric is {number(ratio)} = 1/{size} everywhere.")
    return None


def sign(case: Case) -> Mistake | None:
    if not agree(-case.numeric, case.analytic):
        return None
    return Mistake("sign", "The sign is wrong: the gradient points the other way.", "analytic = -numeric everywhere.")


def factor(case: Case) -> Mistake | None:
    ratio = ratio_of(case)
    if ratio is None or (case.numeric.size < 2 and case.grad_output is None):
        return None
    hints = {
        2.0: "the derivative of a square is counted twice, a sum contains each term twice, or a ½ is missing",
        0.5: "the 2 of a square's derivative is missing, or one of two equal paths (x · x)",
        -2.0: "and the sign is wrong, too",
        -0.5: "and the sign is wrong, too",
    }
    hint = next((f": {text}" for value, text in hints.items() if abs(ratio - value) < 1e-3), "") or _counted(
        case, ratio
    )
    if min(abs(ratio - 2), abs(ratio - 0.5)) < 1e-3:
        two = sizes_of(case).get(2) if case.local is None else None
        hint += f"; or a mean's 1/N, N = 2, {two}" if two else ""
    hint = hint or _of_the_result(case, ratio)
    says = f"A constant factor is wrong: the gradient is {number(ratio)} times what it should be{hint}."
    return Mistake("factor", says, f"analytic / numeric is {number(ratio)} everywhere.")


def _of_the_result(case: Case, ratio: float) -> str:
    """What a ratio means that is computed from the one number that the function returns."""
    y = float(case.y.reshape(-1)[0]) if case.y is not None and case.y.size == 1 else 0.0
    if not y or not math.isfinite(y):
        return ""
    outer = {"y": y, "2 · y": 2 * y, "y²": y * y, "exp y": math.exp(min(y, 700.0))}
    for text, value in outer.items():
        if 1e-6 < abs(value) < 1e6 and min(abs(value - 1), abs(value - 2), abs(value - 0.5)) > 1e-3:
            if abs(ratio - value) <= CLOSE * abs(value):
                return f". That is {text}: the gradient is not divided by {text} (the outer function's derivative)"
            if abs(ratio - 1 / value) <= CLOSE / abs(value):
                return f". That is 1 / ({text}): the factor {text} is missing (the outer function's derivative)"
    return ""


def _counted(case: Case, ratio: float) -> str:
    """What a ratio may mean that is a fraction of small numbers."""
    n = case.numeric
    sizes = sizes_of(case)
    for axis in range(n.ndim):
        others = tuple(i for i in range(n.ndim) if i != axis)
        kept, count = int((~is_zero(n, n)).any(axis=others).sum()), n.shape[axis]
        for value, how in ((kept / count, "too small"), (count / kept if kept else 0.0, "too large")):
            if case.local is None and 0 < kept < count and abs(ratio - value) <= CLOSE * value:
                return (
                    f". It is {how} by {kept}/{count}, and only {kept} of {count} indices along axis {axis} have a "
                    "gradient: a mean over the rows that count divides by their number, without the ignored ones"
                )
    for (p, counted), (q, due) in itertools.permutations(sizes.items(), 2) if case.local is None else ():
        if p > 2 and q > 2 and abs(ratio * p / q - 1) <= CLOSE and p % q and q % p and abs(p - q) > 1:
            return f". It is {q}/{p}: divided by {p}, {counted}, or forward's mean has N = {q}, {due}"
    for size, what in sizes.items():
        for value, fraction, how in (
            ((size - 1) / size, "(N - 1)/N", "backward divides by N and forward"),
            (size / (size - 1), "N/(N - 1)", "forward divides by N and backward"),
        ):
            if case.local is None and size > 2 and abs(ratio - value) <= CLOSE * value:
                by = f"{how} by N - 1 (ddof=1, the unbiased variance)"
                return f". It is {number(value)} = {fraction} for N = {size}, {what}: {by}"
        for value, how in ((-size, "is missing"), (-1 / size, "stands there twice, or is too many")):
            if size > 2 and case.local is None and abs(ratio - value) <= CLOSE * abs(value):
                return f". The sign is wrong, and a mean's 1/N {how}, N = {size}, {what}"
    whole = round(ratio)
    if case.y is not None and case.y.size == 1 and whole > 2 and abs(ratio - whole) <= CLOSE * ratio:
        for size, what in sizes.items():
            if size % whole == 0 and size > whole:
                parts = (
                    f"{what[0].upper()}{what[1:]} have {whole} equal parts: are the gradients of {whole} parts, each "
                    f"with its own mean, added and not averaged (accumulation)? Divide by {whole}"
                )
                half = f"Are the 1/N of a mean, N = {2 * whole}, and the 2 of a square missing? Or: "
                return f". {half if 2 * whole in sizes else ''}{parts}"
    for k, what in ((round(1 / ratio), "divided by {} once too often"), (whole, "a mean's 1/{} is missing")):
        close = abs(ratio * k - 1) <= CLOSE or (k == whole and abs(ratio - k) <= CLOSE * k)
        if case.y is not None and case.y.size == 1 and case.local is None and 3 <= k <= 10_000 and close:
            fraction = f"1/{k}" if ratio < 1 else str(k)
            return f". It is {fraction}: if the batch has {k} samples, {what.format(k)} (a sum taken for a mean)"
    for q in range(3, 13):
        if case.local is not None and abs(ratio - (q + 1) / q) <= CLOSE:
            return (
                f". It is {q + 1}/{q}, as if one of {q} equal terms is counted more than once: is a value that is used "
                "twice sent on before all of its uses sent theirs, and then again"
            )
    return ""


def clipped(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    low, high = float(a.min()), float(a.max())
    for least, most in ((-high, high), (low, -low), (-math.inf, high), (low, math.inf)):
        if least >= most or 0 in (least, most) or not agree(np.clip(n, least, most), a):
            continue  # a bound of 0 is a mask
        cut = (n < least) | (n > most)
        if ((is_zero(n - least, n) | is_zero(n - most, n)) & ~cut).any():
            continue  # the bound is a value of its own right: no clip
        if case.local is None and _one_each(cut):
            continue  # a loss of classes: the bound is the right class's
        if not (~cut & ~is_zero(n, n)).any():
            continue  # nothing passes unclipped: these may be equal numbers of another kind
        if cut.sum() >= 2 or (cut.any() and 3 <= n.size <= 4):
            bound = number(most if math.isfinite(most) else least)
            says = f"The gradient is clipped at {bound}: smaller entries are right, larger ones are cut off."
            return Mistake("clipped", says, f"{cut.sum()} of {n.size} entries are at the bound.")
    norm = ratio_of(case)
    if norm is not None and 0 < norm < 1 and abs(np.linalg.norm(a) - 1) < 1e-3:
        says = "The gradient is scaled down to norm 1: clipped or normalized."
        return Mistake("clipped", says, f"its norm is {number(float(np.linalg.norm(a)))}.")
    return None


def _one_each(mask: Array) -> bool:
    """Whether a mask has exactly one entry in each of three or more rows."""
    return mask.ndim == 2 and any(
        mask.shape[1 - axis] > 2 and bool((mask.sum(axis=axis) == 1).all()) for axis in range(2)
    )


def eps(case: Case) -> Mistake | None:
    g = case.spread
    if g is None or case.numeric.size < 3 or is_zero(case.numeric, case.numeric).any() or not case.analytic.all():
        return None
    added = g / case.analytic - g / case.numeric  # of g / (d + eps) and g / d
    eps = float(np.median(added))
    near = np.abs(added - eps) <= 1e-2 * abs(eps) + 1e-6 * np.abs(g / case.numeric)
    constant = ratio_of(case) is not None or np.ptp(g / case.numeric) <= CLOSE * np.abs(g / case.numeric).max()
    if constant or eps == 0 or not near.all():
        return None
    denominators = np.abs(g / case.numeric)
    if abs(eps) > 0.05 * float(np.median(denominators)):
        says = (
            f"In a denominator the number {number(abs(eps))} is {'too many' if eps > 0 else 'missing'}: the derivative "
            f"is 1 / d, with d {number(abs(eps))} {'larger' if eps > 0 else 'smaller'} than it should be."
        )
        return Mistake("wrong-derivative", says, f"dL/dy / analytic is dL/dy / numeric + {number(eps)} everywhere.")
    says = f"An eps of {number(eps)} is added to a denominator, which changes the derivative. Remove it."
    return Mistake("eps", says, f"dL/dy / analytic is dL/dy / numeric + {number(eps)} everywhere.")


def operand(case: Case) -> Mistake | None:
    """A factor among the known arrays is wrong, missing, or repeated."""
    a, n = case.analytic, case.numeric
    for how, factor in _powers(case):
        if _explains(factor, a, n) and not (how.split()[-1] in ("x", "y") and constant_in_rows(case)):
            return _gates(case, factor) or _wrong_factor(how, a, factor * n)
    return None


def _gates(case: Case, factor: Array) -> Mistake | None:
    """A gate z and its complement 1 - z are exchanged; their quotient is the exponential of the gate's input."""
    for name, z in case.saved.items():
        if z.shape == factor.shape and (z > 0).all() and (z < 1).all():
            for has, due, ratio in ((name, f"1 - {name}", z / (1 - z)), (f"1 - {name}", name, (1 - z) / z)):
                if agree(factor, ratio):
                    says = f"The two factors of a gate are exchanged: backward has {has}, but {due} belongs here."
                    return Mistake("operand", says, f"analytic / numeric is ({has}) / ({due}) everywhere.")
    return None


def _powers(case: Case) -> list[tuple[str, Array]]:
    n = case.numeric
    fitting = {name: np.broadcast_to(z, n.shape) for name, z in case.known.items() if fits(z, n.shape)}
    powers: list[tuple[str, Array]] = []
    for name, z in fitting.items():
        powers += [(f"multiplied by {name}", z), (f"divided by {name}", 1 / z)]
        powers += [(f"multiplied by {name}²", z * z), (f"divided by {name}²", 1 / (z * z))]
        powers += [(f"multiplied by |{name}|", np.abs(z)), (f"divided by √{name}", 1 / np.sqrt(z))]
        powers += [(f"multiplied by exp {name}", np.exp(z)), (f"multiplied by ln {name}", np.log(z))]
        powers += [(f"divided by ln {name}", 1 / np.log(z))]
    return powers


def two_operands(case: Case) -> Mistake | None:
    """Two factors among the known arrays are wrong: one too many, one missing."""
    a, n = case.analytic, case.numeric
    for (p, u), (q, v) in itertools.combinations(_powers(case), 2):
        if constant_in_rows(case):
            return None
        of_two = p.split(maxsplit=2)[-1].strip("²|√") != q.split(maxsplit=2)[-1].strip("²|√")
        if of_two and p.split()[0] != q.split()[0] and _explains(u * v, a, n) and _varied(u * v):
            return _wrong_factor(f"{p} and {q}", a, u * v * n)
    return None


def operand_before_sum(case: Case) -> Mistake | None:
    """If the input was broadcast, the wrong factor is applied before the sum."""
    a, n = case.analytic, case.numeric
    for how, term in _other_terms(case, case.known):
        summed = summed_to(term, n.shape)
        if summed is not None and agree(summed, a):
            due = next((text for text, z in _other_terms(case, case.at_hand) if _sums_to(z, n)), "")
            belongs = f", where {due} belongs" if due else ""
            says = f"A factor is wrong: {how}{belongs}. Write down the formula to see which operand belongs there."
            return Mistake("operand", says, f"{how}, summed to the input's shape, gives analytic.")
    return None


def _sums_to(term: Array, n: Array) -> bool:
    summed = summed_to(term, n.shape)
    return summed is not None and agree(summed, n)


def _other_terms(case: Case, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The contributions of y's elements with one more known factor, or with only dL/dy and that factor."""
    g, terms = case.grad_output, case.own_terms()
    if g is None:
        return
    for name, z in arrays.items():
        if fits(z, g.shape):
            yield from ((f"dL/dy · {name}", g * z), (f"dL/dy / {name}", g / z), (f"-dL/dy · {name}", -g * z))
            if terms is not None and terms.shape == g.shape:
                yield from ((f"each term multiplied by {name}", terms * z), (f"each term divided by {name}", terms / z))


def _varied(factor: Array) -> bool:
    """Whether a factor has more than two values; of a piecewise linear function, y / x has one on each side."""
    return len(np.unique(np.round(factor / np.abs(factor).max(), 4))) > 2


def _explains(factor: Array, a: Array, n: Array) -> bool:
    return agree(factor * n, a) and not agree(np.full_like(n, float(factor.flat[0])), np.asarray(factor))


def _wrong_factor(how: str, a: Array, candidate: Array) -> Mistake:
    turned = "" if agree(candidate, a) else ", with the opposite sign"
    says = f"A factor is wrong: the gradient is the right one {how}{turned}."
    return Mistake("operand", says, f"numeric {how} equals analytic everywhere.")


def shifted(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart = a - n
    shift = float(apart.reshape(-1)[0])
    if n.size < 3 or not agree(np.full_like(n, shift), apart) or np.ptp(n) <= CLOSE * np.abs(n).max():
        return None
    g = case.grad_output
    one = g is not None and g.size == 1
    shift, beside = (shift / float(g.reshape(-1)[0]), ", for dL/dy = 1") if one and g is not None else (shift, "")
    says = (
        f"The same number, {number(shift)}{beside}, is added everywhere: a term that does not belong, or a missing one "
        "(of a product's derivative, one term may be a constant)."
    )
    return Mistake("shifted", says, f"analytic - numeric is {number(shift)} everywhere{beside}.")
