"""Differences that are no mistake: kinks and rounding."""

from __future__ import annotations

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, differing, is_zero, number, slices
from minitrain.ops import Array


def kinks(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    differ = differing(a, n)
    says = (
        "Nothing is wrong: the entries that differ are at a kink (ReLU at 0, equal maxima). There the left slope and "
        "the right slope differ. The numeric gradient is their mean, but either one is a correct answer."
    )
    if case.at_kink is not None:
        if not (differ & ~case.at_kink).any():
            return Mistake("kinks", says, f"all {differ.sum()} entries that differ are at a kink.")
        return None
    # If the kinks are not known: few entries differ, and there analytic is 0 or twice numeric, which is the mean.
    halves = is_zero(a, n) | (np.abs(a - 2 * n) <= CLOSE * np.abs(a))
    if differ.sum() > 0.3 * differ.size or not (halves | ~differ).all() or slices(differ, ~is_zero(n, n)) is not None:
        return None
    return Mistake("kinks", says, f"at all {differ.sum()} entries that differ, numeric is half of one side's slope.")


def rounding(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart, scale = np.abs(a - n), float(np.abs(n).max())
    noise = _step_of_numbers(n) if case.noise is None else case.noise
    if noise is None or not np.all(apart <= noise):  # a noise of nan explains nothing
        return None
    if case.noise is None and (apart.max() > 0.5 * scale or not 0.1 <= np.mean(a > n) <= 0.9):
        return None
    says = (
        "Only rounding: the two gradients agree within the precision of the measurement. Check in float64 (.double()) "
        "with eps about 1e-6. A smaller eps makes rounding errors larger."
    )
    allowed = number(float(np.max(noise)))
    return Mistake(
        "rounding", says, f"the largest difference is {number(float(apart.max()))}, the measurement's noise {allowed}."
    )


def _step_of_numbers(n: Array) -> Array | None:
    """The noise of a difference quotient, from its values alone: they are whole multiples of one step, if it is large.

    The two results differ by a few of their last digits, and a quotient is that number of digits divided by 2 eps.
    """
    values = np.sort(np.abs(n[np.isfinite(n)]).astype(np.float64))
    step, most = 0.0, float(values.max(initial=0.0))
    for value in values:
        larger, smaller = max(value, step), min(value, step)
        while smaller > 1e-9 * most:  # Euclid
            larger, smaller = smaller, larger % smaller
        step = larger
    if not values.size or not 1e-5 * most < step < 0.25 * most or len({round(v / step) for v in values}) < 3:
        return None
    return np.full(n.shape, 8 * step)
