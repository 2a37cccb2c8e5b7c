"""Differences that are no mistake: kinks and rounding."""

from __future__ import annotations

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, is_zero, number, slices


def kinks(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    differ = ~(np.abs(a - n) <= CLOSE * np.abs(n) + 0.1 * CLOSE * np.abs(n).max())
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
    apart, scale = a - n, np.abs(n).max()
    # Rounding errors are small, have both signs, and do not depend on the size of their entry.
    sizes = np.abs(apart)
    small = apart.size >= 8 and sizes.max() <= min(20 * np.median(sizes), 0.5 * scale)
    if not small or not 0.15 <= np.mean(apart > 0) <= 0.85:
        return None
    if abs(np.corrcoef(apart.reshape(-1), n.reshape(-1))[0, 1]) > 0.6:
        return None
    size = number(np.median(sizes) / scale)
    says = (
        "Only rounding: the two gradients agree within the precision of the measurement. Check in float64 (.double()) "
        "with eps about 1e-6. A smaller eps makes rounding errors larger."
    )
    return Mistake(
        "rounding", says, f"the differences have both signs, and their median is {size} of the largest entry."
    )
