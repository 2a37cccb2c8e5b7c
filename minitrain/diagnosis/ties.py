"""Checks entries at a kink that are tied, such as equal maxima, by moving them together.

Alone, each of two equal maxima may have any gradient from 0 to 1. Moved together, they change the maximum by 1: their
gradients must add up to that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.finite_differences import _Measured
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.ops import Array

MOST = 256  # entries at a kink; each is moved once more

Entry = tuple[int, int]  # an input, and a place in it
Entries = Sequence[Entry]


def check_ties(measured: _Measured, report: Report, analytic: list[Array]) -> None:
    """Add a failure for tied entries whose gradients do not add up. analytic: of each input, (x.size, y.size)."""
    arrays = measured.problem.arrays
    kinks = [(i, int(j)) for i, found in enumerate(report.inputs) for j in _at_kink(found.at_kink)]
    if not 1 < len(kinks) <= MOST:
        return
    equal: dict[float, list[Entry]] = {}
    for i, j in kinks:
        equal.setdefault(float(arrays[i].flat[j]), []).append((i, j))
    base = measured.value()
    for value, entries in equal.items():
        if len(entries) < 2:
            continue
        step = measured.step(value)
        alone = {entry: _slopes(measured, [entry], step, base) for entry in entries}
        bent = {entry: _differ(left, right, report) for entry, (left, right) in alone.items()}
        sets = [tuple(entry for entry in entries if bent[entry][k]) for k in range(base.size)]
        for tied in {tied for tied in sets if len(tied) > 1}:
            left, right = _slopes(measured, tied, step, base)
            apart = np.sum([alone[entry][1] for entry in tied], axis=0)
            added = np.sum([analytic[i][j] for i, j in tied], axis=0)
            # Tied: together they change the result otherwise than one after the other, and without a kink.
            wrong = ~_differ(left, right, report) & _differ(apart, right, report) & _differ(added, right, report)
            wrong &= np.array([other == tied for other in sets])
            if wrong.any():
                _report(report, arrays, tied, float(added[wrong][0]), float(right[wrong][0]))


def _at_kink(at_kink: Array | None) -> Array:
    return np.zeros(0, int) if at_kink is None else np.flatnonzero(at_kink)


def _differ(a: Array, b: Array, report: Report) -> Array:
    return np.asarray(np.abs(a - b) > 10 * (report.atol + report.rtol * np.maximum(np.abs(a), np.abs(b))))


def _slopes(measured: _Measured, entries: Entries, step: float, base: Array) -> tuple[Array, Array]:
    """The results' slopes to the left and right when all of these entries are moved together."""
    arrays = measured.problem.arrays
    before = [arrays[i].flat[j] for i, j in entries]
    sides = []
    try:
        for moved in (-step, step):
            for (i, j), x in zip(entries, before, strict=True):
                arrays[i].flat[j] = x + moved
            sides.append((measured.value() - base) / moved)
    finally:
        for (i, j), x in zip(entries, before, strict=True):
            arrays[i].flat[j] = x
    return sides[0], sides[1]


def _report(report: Report, arrays: list[Array], tied: tuple[Entry, ...], added: float, slope: float) -> None:
    for i in sorted({i for i, _ in tied}):
        found = report.inputs[i]
        if found.problem:
            continue
        places = [[int(p) for p in np.unravel_index(j, arrays[i].shape)] for of, j in tied if of == i]
        shown = ", ".join(map(str, places[:4])) + (", ..." if len(places) > 4 else "")
        found.problem = f"the gradients of tied entries do not add up to the change of the result: {shown}"
        says = (
            "Equal numbers (a tie, such as equal maxima) share one gradient: give it to one of them, or divide it "
            "by their number."
        )
        evidence = f"moved together they change y by {slope:.6g} per unit, but their gradients add up to {added:.6g}"
        found.mistakes = [Mistake("ties", says, evidence)]
