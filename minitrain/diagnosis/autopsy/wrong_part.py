"""Mistakes in a part of the gradient: on one side of 0, in some rows, in each row by another factor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, differing, is_zero, listing, number, places
from minitrain.ops import Array


def _sides(case: Case) -> Iterator[tuple[str, Array]]:
    """The arrays whose sign or size may decide which formula holds."""
    shape = case.numeric.shape
    named = {name: z for name, z in case.at_hand.items() if z.shape == shape}
    if case.x is not None and "x" in named:
        named |= {f"x - {name}": case.x - z for name, z in named.items() if name.startswith("input")}
    yield from named.items()
    yield from ((f"|{name}|", np.abs(z)) for name, z in named.items())


def one_side(case: Case) -> Mistake | None:
    """Right on one side of a point, and wrong on the other."""
    wrong = differing(case.analytic, case.numeric)
    if wrong.sum() < 2 or (~wrong).sum() < 2 or wrong.size < 5:
        return None
    rest = np.abs(case.analytic - case.numeric)[~wrong]
    noise = 0.0 if case.noise is None else case.noise[~wrong]
    if (rest > 10 * noise + 1e-7 * np.abs(case.numeric).max()).any():
        return None  # small errors, not right ones: near a point where two formulas happen to agree
    for name, z in _sides(case):
        for where, above, below in ((">", wrong, ~wrong), ("<", ~wrong, wrong)):
            low, high = float(z[below].max()), float(z[above].min())
            if low < high:
                zero = low <= 0 <= high
                bound = "0" if zero else number(_between(low, high))
                return _of_side(case, wrong, f"{name} {where} {bound}", name, zero)
    return None


def _between(low: float, high: float) -> float:
    """The number between the two that has the fewest digits."""
    middle = (low + high) / 2
    return next((v for digits in range(6) if low <= (v := round(middle, digits)) <= high), middle)


def _of_side(case: Case, wrong: Array, where: str, name: str, zero: bool) -> Mistake:
    a, n = case.analytic[wrong], case.numeric[wrong]
    opposite = where.replace(">", "≤") if ">" in where else where.replace("<", "≥")
    due = "the function has another formula there, which backward must have, too"
    ratio = float((a * n).sum() / (n * n).sum()) if n.any() else 0.0
    if not a.any():
        what = "there it is 0, but the function is not flat there"
    elif is_zero(n, case.numeric).all():
        what = "there it should be 0: the function is flat there"
    elif agree(ratio * n, a):
        what = f"there it is {number(ratio)} times what it should be: another slope"
    elif case.local is not None and np.ptp((d := case.local[0] - case.local[1])[wrong]) <= CLOSE * np.abs(d).max():
        shift = float(d[wrong][0])
        what = f"there dy/dx is {number(abs(shift))} too {'large' if shift > 0 else 'small'}: a constant is missing"
    else:
        what = "there it is wrong"
    side = " (the negative side)" if where == "x < 0" else ""
    says = f"Only one side is wrong: where {where}{side}. It is right where {opposite}; {what}. {due.capitalize()}."
    exact = "" if zero else ", about"
    return Mistake("one-side", says, f"{wrong.sum()} of {wrong.size} entries are wrong, all where {where}{exact}.")


def some_entries(case: Case) -> Mistake | None:
    """At some entries 0, or off by one factor; the others are right."""
    a, n = case.analytic, case.numeric
    wrong = differing(a, n)
    few = 3 if wrong.sum() == 1 else 2 if wrong.sum() < 4 else 1
    if not wrong.any() or (~wrong & ~is_zero(n, n)).sum() < few or is_zero(n[wrong], n).any():
        return None
    ours, right = a[wrong], n[wrong]
    c = float((ours * right).sum() / (right * right).sum())
    if not agree(c * right, ours):
        return None
    what = "it is 0" if abs(c) < CLOSE else f"it is {number(c)} times what it should be"
    what = "the sign is wrong" if abs(c + 1) < CLOSE else what
    says = (
        f"Only some entries are wrong: there {what}, and all others are right. A branch of the function, or a term "
        "that only some entries have (the other class, the other side of a bound), is not as in forward."
    )
    return Mistake(
        "part-factor", says, f"{wrong.sum()} of {wrong.size} entries are wrong, the first at {places(wrong, 4)}."
    )


def other_mask(case: Case) -> Mistake | None:
    """The values of a mask are right, but another mask is used."""
    if case.local is None:
        return None
    ours, right = case.local
    some, due = ~is_zero(ours, right), ~is_zero(right, right)
    if not (some ^ due).sum() >= 2 or not (some & due).any() or some.all() or due.all():
        return None
    c = float(right[due][0])
    if not agree(np.where(due, c, 0), right) or not agree(np.where(some, c, 0), ours):
        return None
    says = (
        "Another mask is used in backward than in forward: the gradient passes at other entries. A random mask "
        "(dropout) is drawn once, in forward, and kept for backward."
    )
    return Mistake("mask-wrong-side", says, f"the masks differ at {(some ^ due).sum()} of {some.size} entries.")


def two_slopes_exchanged(case: Case) -> Mistake | None:
    """The derivative has two values, one on each side of a kink, and each stands on the other side."""
    ours, right = case.local or (case.analytic, case.numeric)
    if case.local is None and (case.y is None or case.y.size != 1):
        return None
    middle = (right.max(initial=-np.inf) + right.min(initial=np.inf)) / 2
    high = right > middle
    if not 2 <= high.sum() <= high.size - 2:
        return None
    (a, c), (b, d) = ((float(z[high].mean()), float(z[~high].mean())) for z in (ours, right))
    if not agree(np.where(high, b, d), right) or not agree(np.where(high, a, c), ours) or not (b and d):
        return None
    same = abs(a - d) <= CLOSE * abs(d) and abs(c - b) <= CLOSE * abs(b)
    turned = abs(a + d) <= CLOSE * abs(d) and abs(c + b) <= CLOSE * abs(b)
    if not (same or turned) or abs(abs(b) - abs(d)) <= CLOSE * abs(b):
        return None
    sizes = "slopes" if same else "sizes"
    says = (
        f"The {sizes} of the two sides are exchanged: backward has {number(a)} where {number(b)} is due, and "
        f"{number(c)} where {number(d)} is due."
    )
    return Mistake("mask-inverted", says, f"{high.sum()} entries have the one, {(~high).sum()} the other.")


def one_of_each_row(case: Case) -> Mistake | None:
    """One entry in each row is right, and all others are 0."""
    a, n = case.analytic, case.numeric
    kept = ~is_zero(a, n)
    if n.ndim < 2 or not (differing(a, n) == (~kept & ~is_zero(n, n))).all():
        return None
    for axis in range(n.ndim):
        if n.shape[axis] > 2 and (kept.sum(axis=axis) == 1).all() and (~is_zero(n, n)).sum(axis=axis).min() > 1:
            says = (
                f"Only one entry in each row (along axis {axis}) gets a gradient, such as the right class; that one is "
                "right, the others are 0. Through a softmax's sum, each result depends on all inputs of its row: the "
                "terms off the Jacobian's diagonal, those of the other classes, are missing."
            )
            return Mistake("off-diagonal-missing", says, f"{kept.sum()} of {n.size} entries are not 0, and are right.")
    return None


def row_factors(case: Case) -> Mistake | None:
    """In each row, the gradient is a multiple of the right one; the factors differ."""
    a, n = case.analytic, case.numeric
    for axis in range(n.ndim):
        count = n.shape[axis]
        ours, right = (np.moveaxis(z, axis, 0).reshape(count, -1) for z in (a, n))
        if count < 2 or right.shape[1] < 2 or not np.isfinite(ours).all():
            continue
        squares = (right * right).sum(axis=1)
        factors = np.where(squares > 0, (ours * right).sum(axis=1) / np.where(squares > 0, squares, 1), 1.0)
        constant = factors[:, np.newaxis] * right
        told = (~is_zero(right, n)).sum(axis=1) >= 2
        if not agree(constant, ours) or not told.any() or np.ptp(factors[told]) <= CLOSE * np.abs(factors).max():
            continue
        off = told & (np.abs(factors - 1) > CLOSE)
        if off.sum() <= told.sum() / 2:
            says = (
                f"Only index {listing([*np.flatnonzero(off)])} along axis {axis} is wrong: {listing([*factors[off]])} "
                "times what it should be. The others are right: is something done twice, or left out, for that index?"
            )
            return Mistake("row-factor", says, f"{off.sum()} of {count} indices along axis {axis} are wrong.")
        two = np.unique(np.round(factors[off], 6))
        if len(two) == 1 and off.sum() < told.sum():
            c = float(two[0])
            what = "the sign is wrong" if abs(c + 1) < CLOSE else f"it is {number(c)} times what it should be"
            says = (
                f"Only some are wrong: at index {listing([*np.flatnonzero(off)])} along axis {axis}, {what}. The "
                "others are right: those indices have another formula (a negative sample, another class, another "
                "branch)."
            )
            return Mistake("row-factor", says, f"{off.sum()} of {count} indices along axis {axis} are wrong.")
        counts, times = np.abs(factors[told]), "not divided by it"
        if (counts < 1 - CLOSE).any():
            counts, times = 1 / counts, "divided by it twice"
        unit = "row" if axis == 0 else "slice"
        if np.abs(counts - counts.round()).max() <= CLOSE and counts.max() <= n.size and (factors[told] > 0).all():
            says = (
                f"Each {unit} is off by a whole number (along axis {axis}): a count, such as the size of a group whose "
                f"mean is taken, or how often an entry is used. It is {times}."
            )
            return Mistake("row-factor", says, f"analytic / numeric is {listing([*factors])} at index 0, 1, ...")
        named = _weights(case, factors, axis)
        says = (
            f"Each {unit} is off by a factor of its own (along axis {axis}): {named or 'a weight for each'} is missing "
            "or too many, such as the weight of each sample or of its class, or a norm or deviation of that row."
        )
        return Mistake("row-factor", says, f"analytic / numeric is {listing([*factors])} at index 0, 1, ...")
    return None


def _weights(case: Case, factors: Array, axis: int) -> str:
    """Which known array has these factors, or is divided by in them."""
    for name, z in case.at_hand.items():
        if z.size == len(factors) and z.any():
            z = z.reshape(-1)
            readings = {f"the factor {name}": 1 / z, f"the divisor {name}": z, f"the divisor exp {name}": np.exp(z)}
            for what, values in readings.items():
                c = float((factors * values).sum() / (values * values).sum())
                if np.isfinite(c) and agree(c * values, factors):
                    return what
        if z.ndim > 1 and z.shape[axis % z.ndim] == len(factors):
            rows = np.moveaxis(z, axis, 0).reshape(len(factors), -1)
            for what, values in (("norm", np.linalg.norm(rows, axis=1)), ("standard deviation", rows.std(axis=1))):
                if agree(values, factors):
                    return f"the divisor, the {what} of {name},"
                if values.all() and agree(1 / values, factors):
                    return f"the factor, the {what} of {name},"
    return ""
