"""What gradcheck found: of each input how many derivatives are right, the worst, and what is likely wrong."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from minitrain.diagnosis.autopsy import Mistake
from minitrain.ops import Array

DIRECTIONS = 3  # of the directional mode, for each input


class GradcheckError(RuntimeError):
    """A gradient is wrong, or cannot be checked; the message is the whole report."""


@dataclasses.dataclass
class Worst:
    """The entry that is furthest off: dy[output]/dx[index], or dL/dx[index] where there is one output."""

    index: tuple[int, ...]
    output: tuple[int, ...]
    analytic: float
    numeric: float


@dataclasses.dataclass
class InputCheck:
    """What was found of one input.

    entries: how many numbers it has; failing: at how many of them a derivative is wrong.
    kinks: at a kink, where any slope between the left and the right one is right; excluded.
    remeasured: right by another step than eps: the function bends too much for it, or it crossed a kink.
    unmeasured: where rounding or an infinity hides the derivative; excluded.
    largest: the largest error of the entries that count.
    analytic, numeric: the gradients of Σ grad_output · y, of the input's shape; of the sampled entries only, in the
        directional mode.
    at_kink: which entries are at a kink. excused: which disagreed at first and are not wrong, for any of these reasons.
    problem: what is wrong apart from numbers, such as a shape.
    mistakes: what the autopsy makes of it, the likeliest first.
    """

    name: str
    shape: tuple[int, ...]
    entries: int
    failing: int = 0
    kinks: int = 0
    remeasured: int = 0
    unmeasured: int = 0
    largest: float = 0.0
    worst: Worst | None = None
    analytic: Array | None = None
    numeric: Array | None = None
    at_kink: Array | None = None
    excused: Array | None = None
    problem: str = ""
    mistakes: list[Mistake] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.failing and not self.problem


@dataclasses.dataclass
class Report:
    """What check_gradients found. print() it; ok says whether every gradient is right.

    operation: the name of what was checked. directional: whether directions were checked, not entries.
    """

    operation: str
    inputs: list[InputCheck]
    atol: float
    rtol: float
    directional: bool

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(found.ok for found in self.inputs)

    def __str__(self) -> str:
        lines = []
        unit = "directions" if self.directional else "entries"
        for found in self.inputs:
            lines.append(f"{self.operation}, {found.name} {list(found.shape)}: {self._verdict(found, unit)}")
            if found.worst is not None:
                lines += _worst_lines(found, self.atol, self.rtol)
            if not found.ok:
                lines += _mistake_lines(found.mistakes)
        if self.directional:
            lines.append(DIRECTIONAL)
        return "\n".join(lines)

    def _verdict(self, found: InputCheck, unit: str) -> str:
        if found.problem:
            return found.problem
        checked = found.entries - found.kinks - found.unmeasured
        counted = f"{DIRECTIONS} random directions" if self.directional else f"{checked} {unit}"
        if found.failing:
            verdict = f"{found.failing} of {counted} wrong"
        else:
            verdict = f"{counted} right, largest error {found.largest:.2g}"
        excluded = {"at a kink, excluded": found.kinks, "not measurable, excluded": found.unmeasured}
        excluded |= {"right by another step": found.remeasured}
        return verdict + "".join(f"; {count} {what}" for what, count in excluded.items() if count)


DIRECTIONAL = (
    "A direction adds up the errors of all entries with random signs. It proves nothing about an error that is small\n"
    "beside the whole gradient (rtol of its norm): in a few entries of many, or at a kink."
)


def _worst_lines(found: InputCheck, atol: float, rtol: float) -> list[str]:
    worst = found.worst
    assert worst is not None
    at = f"dy{list(worst.output)}/dx{list(worst.index)}" if worst.output else f"dy/dx{list(worst.index)}"
    allowed = f"{atol:g} + {rtol:g} · |numeric|"
    apart = abs(worst.analytic - worst.numeric)
    return [
        f"  worst: {at}: analytic {worst.analytic:.9g}, numeric {worst.numeric:.9g}; apart by {apart:.3g}, where "
        f"{allowed} is allowed"
    ]


def _mistake_lines(mistakes: Sequence[Mistake]) -> list[str]:
    if not mistakes:
        return ["  No mistake that is known here explains these numbers."]
    lines = []
    for i, mistake in enumerate(mistakes):
        head = "Likely" if i == 0 else "Or"
        text = f"{head}: {mistake.name}. {mistake.says} ({mistake.evidence.rstrip('.')}.)"
        lines.append(textwrap.fill(text, 116, initial_indent="  ", subsequent_indent="    "))
    return lines
