"""The report of `minitrain gradcheck` on a model: a table of its parameters, and the layer that is wrong."""

from __future__ import annotations

import dataclasses
import textwrap

from minitrain.diagnosis.gradcheck_report import DIRECTIONAL, DIRECTIONS, InputCheck, Report

EPS = 1e-6  # the default step
WIDTH = 79


def wrap(text: str) -> list[str]:
    """The text in lines that fit into a terminal."""
    return textwrap.wrap(text, WIDTH)


@dataclasses.dataclass(frozen=True)
class Checked:
    """The report on every parameter. str() of it is the table.

    eps: the step of the differences.
    layers: if a parameter is wrong, the reports on the loss and on each layer alone, from the loss back, by the step
        EPS.
    """

    report: Report
    where: str
    eps: float
    layers: list[tuple[str, Report]]

    @property
    def unchecked(self) -> list[str]:
        """The parameters without any entry that could be checked."""
        return [found.name for found in self.report.inputs if found.entries and not found.counted]

    @property
    def ok(self) -> bool:
        """Whether every gradient was checked and is right."""
        return self.report.ok and not self.unchecked

    def __str__(self) -> str:
        found = self.report.inputs
        lines = [*_table(self.report), ""]
        remeasured, unmeasured = sum(f.remeasured for f in found), sum(f.unmeasured for f in found)
        unit = "directions" if self.report.directional else "entries"
        if remeasured:
            lines += wrap(f"Right by another step than eps, which crosses a kink or is too long: {remeasured} {unit}.")
        if unmeasured:
            lines += wrap(f"Excluded, because rounding or an infinity hides the derivative: {unmeasured} {unit}.")
        wrong = [f for f in found if not f.ok]
        if wrong:
            lines += [_only(self.report, wrong), "", *self._layers(), ""]
        if self.report.directional:
            lines += wrap(DIRECTIONAL)
        return "\n".join([*lines, *wrap(self._conclusion(len(wrong)))])

    def _layers(self) -> list[str]:
        lines = ["Each layer alone, on its inputs in the model, from the loss back:"]
        for name, report in self.layers:
            bad = [found for found in report.inputs if not found.ok]
            lines.append(f"  {name}: {'WRONG' if bad else 'right'}")
            if bad:
                lines.append(textwrap.indent(_only(report, bad), "    "))
        return lines

    def _conclusion(self, wrong: int) -> str:
        found = self.report.inputs
        if not wrong and self.unchecked:
            return f"Nothing is known about {', '.join(self.unchecked)} {self.where}: choose an eps near {EPS:g}."
        if not wrong:
            count, counted = sum(f.entries for f in found), sum(f.counted for f in found)
            if counted < count:
                return f"All gradients that could be checked are right: {counted:,} of {count:,} {self.where}."
            return f"All gradients are right: {count:,} parameters {self.where}."
        text = f"{wrong} of {len(found)} parameters {'has' if wrong == 1 else 'have'} a wrong gradient {self.where}."
        culprits = []
        for name, report in self.layers:
            likely = next((f.mistakes[0].name for f in report.inputs if f.mistakes), None)
            culprits += [] if report.ok else [f"{name}: {likely}" if likely else name]
        if culprits:
            return f"{text} The mistake is in {', and in '.join(culprits)}."
        if self.eps != EPS:
            return f"{text} But each layer alone is right with the step {EPS:g}: choose an eps near that."
        return f"{text} Each layer alone is right: look at how the model connects them."


def _only(report: Report, inputs: list[InputCheck]) -> str:
    """The report on these inputs, without the explanation of the directional mode."""
    return str(dataclasses.replace(report, inputs=inputs)).removesuffix(f"\n{DIRECTIONAL}")


def _table(report: Report) -> list[str]:
    """A row for each parameter; the directional mode has no column of kinks, as it does not detect them."""
    unit = "directions" if report.directional else "entries"
    rows = [["parameter", "shape", unit, "at a kink", "wrong", "largest error", ""]]
    for found in report.inputs:
        largest = found.largest
        if found.worst is not None:
            largest = max(largest, abs(found.worst.analytic - found.worst.numeric))
        verdict = "right" if found.counted else "NOT CHECKED"
        if not found.ok:
            verdict = f"WRONG{f': {found.mistakes[0].name}' if found.mistakes else ''}"
        count = str(DIRECTIONS) if report.directional else f"{found.counted:,}"
        error = f"{largest:.1e}" if found.counted else "-"
        shape = " x ".join(map(str, found.shape))
        rows.append([found.name, shape, count, f"{found.kinks:,}", f"{found.failing:,}", error, verdict])
    if report.directional:
        rows = [[*row[:3], *row[4:]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]]).rstrip() for row in rows
    ]
