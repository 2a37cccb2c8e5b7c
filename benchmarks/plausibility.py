"""Which comparisons of a report mean nothing, because the machine was busy while it was measured.

A comparison of contenders is refused for one of three reasons:

- Something that contains a part took less time than the part. A suite lists such pairs as PARTS.
- The quartiles of a ratio span more than 25 %, and more than its distance from 1. Ratios are compared by their
  logarithms, so that torch / minitrain and minitrain / torch are judged alike.
- Fixed work between the rounds took more than 1.5 times its best time, in the median (see minitrain.programs.busy).

A ratio whose quartiles lie on both sides of 1 but span less is undecided: the contenders are about equally fast.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.report import TIMES, Figure, Refusal, Report
from minitrain.programs.busy import busy

WIDE = 1.25

Quantity = tuple[str, str]  # what, who
Parts = Sequence[tuple[Quantity, Quantity]]  # each part, and what contains it


def implausible(report: Report, parts: Parts) -> list[Refusal]:
    """The comparisons of contenders that mean nothing, each with the first reason."""
    machine = busy(report.slowdowns)
    broken = _broken(report, parts)
    refused = []
    for figure in report.figures:
        if figure.compares:
            why = broken.get(figure.case) or machine or _spread(figure)
            if why:
                refused.append(Refusal(figure.case, figure.what, why))
    return refused


def without(report: Report, refused: Sequence[Refusal], note: str = "") -> Report:
    """The report with the reasons instead of the figures of these comparisons, and with a note about that."""
    places = {(lost.case, lost.what) for lost in refused}
    kept = [figure for figure in report.figures if figure.who or (figure.case, figure.what) not in places]
    notes = [*report.notes]
    if refused:
        notes.append(f"Comparisons without a figure: {len(refused)}. {note}Measure again while nothing else runs.")
    return replace(report, figures=kept, refused=[*refused], notes=notes)


def _broken(report: Report, parts: Parts) -> dict[str, str]:
    """case -> which part took longer than what contains it."""
    medians = {(figure.case, figure.what, figure.who): figure for figure in report.figures if figure.x is None}
    broken = {}
    for case in report.cases():
        for (what, who), (whole, whose) in parts:
            part, all_of_it = medians.get((case, what, who)), medians.get((case, whole, whose))
            if part and all_of_it and part.median > all_of_it.median:
                broken[case] = (
                    f"a part took longer than the whole: {who}, {what}: {part} {part.unit}; "
                    f"{whose}, {whole}: {all_of_it} {all_of_it.unit}"
                )
    return broken


def _spread(figure: Figure) -> str:
    """Whether the rounds differ too much for a ratio, in words."""
    low, middle, high = figure.quartiles
    if figure.unit == TIMES and high > low * max(WIDE, math.exp(abs(math.log(middle)))):
        return f"the rounds differ by more than the contenders do: {figure}"
    return ""
