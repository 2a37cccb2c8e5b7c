"""Mistakes in a formula of single numbers: a factor f where h belongs, or a missing term f · h, found by a search.

The factors and terms are products and quotients of two functions of the arrays at hand. A loss that adds up single
numbers is searched in the same way; what it multiplies by and is not at hand (a label, a weight) cancels.
"""

from __future__ import annotations

import functools

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, fits, is_zero, number, ratio_of
from minitrain.diagnosis.autopsy.wrong_local import FORMULAS, FRONT
from minitrain.ops import Array

LEAST = 6  # numbers that must agree
MOST = 400  # of larger arrays, this many numbers are enough


def _single(case: Case) -> bool:
    """Whether the gradient's entries are functions of single numbers: one result each, or all added up to one."""
    return case.local is not None or (case.y is not None and case.y.size == 1 and case.grad_output is not None)


def _slopes(case: Case) -> tuple[Array, Array]:
    """analytic and numeric without dL/dy."""
    if case.local is not None:
        return case.local
    assert case.grad_output is not None
    g = float(case.grad_output.reshape(-1)[0])
    return case.analytic / g, case.numeric / g


class _Bank:
    """The functions of the arrays at hand, by their text: the simple ones first."""

    def __init__(self, case: Case) -> None:
        self.texts: list[str] = []
        rows = []
        for pattern, of in FORMULAS.items():
            for name, z in case.at_hand.items():
                if not fits(z, case.numeric.shape) or np.ptp(z) <= CLOSE * np.abs(z).max():
                    continue
                with np.errstate(all="ignore"):
                    values = np.asarray(of(np.broadcast_to(z, case.numeric.shape)), np.float64).reshape(-1)
                if np.isfinite(values).all() and np.ptp(values) > CLOSE * np.abs(values).max():
                    self.texts.append(pattern.replace("{}", f"({name})" if " " in name and pattern != "{}" else name))
                    rows.append(values)
        self.values = np.array(rows) if rows else np.zeros((0, case.numeric.size))

    def match(self, target: Array, rows: Array, quotients: bool) -> tuple[float, str, str] | None:
        """(c, f, h) with target = c · f · h (or c · f / h), or c · f with h = "". Prefers singles, and usual c."""
        found = _proportional(rows, target)
        if found is not None:
            return found[1], self.texts[found[0]], ""
        pairs: list[tuple[bool, int, tuple[float, str, str]]] = []  # unusual, how long, what
        for i, values in enumerate(rows):
            if quotients and not values.all():
                continue
            pair = _proportional(rows / values if quotients else rows[i:] * values, target)
            if pair is not None:
                first, second = self.texts[pair[0] if quotients else i + pair[0]], self.texts[i]
                pairs.append((not _usual(pair[1]), len(first + second), (pair[1], first, second)))
        return min(pairs)[2] if pairs else None


def _usual(c: float) -> bool:
    """Whether a constant is one that belongs to a formula."""
    return any(abs(abs(c) - front) < 1e-4 for front in FRONT)


def _proportional(rows: Array, target: Array) -> tuple[int, float] | None:
    """The first row that is a multiple of the target, and the factor; a usual factor comes first."""
    with np.errstate(all="ignore"):
        c = rows @ target / (rows * rows).sum(axis=1)
        apart = np.abs(rows * c[:, np.newaxis] - target).max(axis=1)
    near = np.flatnonzero(apart <= 0.1 * CLOSE * np.abs(target).max())
    fitting = [k for k in near if agree(c[k] * rows[k], target)]
    usual = [k for k in fitting if _usual(c[k])]
    return next(((int(k), float(c[k])) for k in (*usual, *fitting)), None)


def _factor(text: str) -> str:
    """A formula as a factor of a product."""
    return f"({text})" if " + " in text or " - " in text else text


def _in_front(c: float, text: str) -> str:
    """A constant before a formula."""
    sign, size = ("-" if c < 0 else ""), abs(c)
    front = next((f for value, f in FRONT.items() if abs(size - value) < 1e-4), None)
    return f"{sign}{front}{text}" if front is not None else f"{sign}{number(size)} · {text}"


@functools.lru_cache(maxsize=4)
def _bank(case: Case) -> _Bank:
    return _Bank(case)


def factor(case: Case) -> Mistake | None:
    """analytic / numeric is a function of the arrays at hand, with a constant in front."""
    a, n = case.analytic, case.numeric
    if not _single(case) or not LEAST <= n.size <= MOST or ratio_of(case) is not None:
        return None
    kept = ~is_zero(n, n) & (np.abs(a) > 0)  # where a ratio is exact
    if kept.sum() < LEAST or (is_zero(n, n) != is_zero(a, a)).mean() > 0.25:
        return None
    bank = _bank(case)
    a, n, rows = a[kept], n[kept], bank.values[:, kept.reshape(-1)]
    for values, verb, over in ((n / a, "missing", "numeric / analytic"), (a / n, "too many", "analytic / numeric")):
        if np.ptp(values) <= CLOSE * np.abs(values).max() or len(np.unique(np.round(values, 6))) < 4:
            return None
        found = _proportional(rows, values)
        if found is not None:
            text = _in_front(found[1], bank.texts[found[0]])
            says = f"A factor is {verb}: {text}. Everything else is right."
            return Mistake("operand", says, f"{over} is {text} everywhere.")
    found_two = bank.match(a / n, rows, True)
    if found_two is None or not found_two[2]:
        return None
    c, taken, due = found_two
    more = "" if abs(c - 1) < CLOSE else f" The constant is wrong, too: {number(c)} times what it should be."
    says = f"A factor of the derivative is wrong: it has {taken}, but {due} belongs there.{more}"
    ratio = _in_front(c, f"({taken}) / ({due})")
    return Mistake("wrong-derivative", says, f"analytic / numeric is {ratio} everywhere.")


def term(case: Case) -> Mistake | None:
    """numeric - analytic is a product of two functions of the arrays at hand: a term that is missing or wrong."""
    if not _single(case) or not LEAST <= case.numeric.size <= MOST or ratio_of(case) is not None:
        return None
    ours, right = _slopes(case)
    rest = right - ours
    if len(np.unique(np.round(rest, 9))) < 4 or (is_zero(rest, right).mean() > 0.25):
        return None
    found = _bank(case).match(rest.reshape(-1), _bank(case).values, False)
    if found is None:
        return None
    c, f, h = found
    if h and not _usual(c) and case.numeric.size < 2 * LEAST:
        return None
    text = _in_front(c, f"{_factor(f)} · {_factor(h)}" if h else f)
    says = (
        f"A term is missing, or does not belong: the right derivative is this one {'-' if c < 0 else '+'} "
        f"{text.lstrip('-')}. Look at each factor of a product (the product rule), and at what is inside a function "
        "(the chain rule)."
    )
    return Mistake("term-missing", says, f"numeric - analytic is dL/dy · ({text}) everywhere.")
