"""The report of gradcheck: for each input, how many derivatives are right, the worst one, and the likely mistakes."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from minitrain.diagnosis.autopsy import Mistake
from minitrain.ops import Array

DIRECTIONS = 3  # for each input, in fast_mode


class GradcheckError(RuntimeError):
    """A gradient is wrong, or cannot be checked. The message contains the whole report."""


@dataclasses.dataclass
class Worst:
    """The entry with the largest error: dy[output]/dx[index], or dL/dx[index] if there is only one output."""

    index: tuple[int, ...]
    output: tuple[int, ...]
    analytic: float
    numeric: float


@dataclasses.dataclass
class InputCheck:
    """The result for one input.

    entries: how many numbers the input has. failing: for how many of them a derivative is wrong.
    kinks: how many are at a kink, where any slope between the left one and the right one is right. Not counted.
    remeasured: how many are right with another step than eps, because the function bends too much or has a kink nearby.
    unmeasured: how many cannot be measured, because of rounding or an infinity. Not counted.
    largest: the largest error of the entries that count.
    analytic, numeric: the gradients of Σ grad_output · y, in the input's shape; in fast_mode, of sampled entries only.
    at_kink: which entries are at a kink. excused: which entries disagreed at first, but are not wrong.
    problem: what is wrong apart from the numbers, such as a shape.
    warned: whether errors that pass, because they are within the tolerances, were warned about.
    mistakes: the likely mistakes, the likeliest first. fact: what the numbers show, if no known mistake explains them.
    explained: a mistake of the whole explains it.
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
    warned: bool = False
    mistakes: list[Mistake] = dataclasses.field(default_factory=list)
    fact: str = ""
    explained: bool = False

    @property
    def counted(self) -> int:
        """How many entries count: all but those at a kink or that cannot be measured."""
        return self.entries - self.kinks - self.unmeasured

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with this input."""
        return not self.failing and not self.problem


@dataclasses.dataclass
class Report:
    """The result of check_gradients; print() shows it, and ok says whether every gradient is right.

    operation: the name of the checked function. directional: whether directions were checked instead of entries.
    whole: what is wrong in the function as a whole, where it has several steps or layers.
    warnings: what this check could not see, or passed although it looks wrong.
    """

    operation: str
    inputs: list[InputCheck]
    atol: float
    rtol: float
    directional: bool
    whole: list[Mistake] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(found.ok for found in self.inputs)

    def __str__(self) -> str:
        lines = []
        for i, mistake in enumerate(self.whole):
            lines += _paragraph(mistake, "And" if i else "Likely", "  " if i else "")
        unit = "directions" if self.directional else "entries"
        for found in self.inputs:
            lines.append(f"{self.operation}, {found.name} {list(found.shape)}: {self._verdict(found, unit)}")
            if found.worst is not None:
                lines.append(_worst_line(found.worst, self.atol, self.rtol))
            if not found.ok and not found.explained and (found.mistakes or not self.whole):
                lines += _mistake_lines(found.mistakes)
                if not found.mistakes and found.fact:
                    lines.append(textwrap.fill(found.fact, 116, initial_indent="  ", subsequent_indent="    "))
        if self.directional:
            lines.append(DIRECTIONAL)
        return "\n".join(lines)

    def _verdict(self, found: InputCheck, unit: str) -> str:
        if found.problem:
            return found.problem
        counted = f"{DIRECTIONS} random directions" if self.directional else f"{found.counted} {unit}"
        if found.failing:
            verdict = f"{found.failing} of {counted} wrong"
        else:
            verdict = f"{counted} right, largest error {found.largest:.2g}"
        excluded = {"at a kink, excluded": found.kinks, "not measurable, excluded": found.unmeasured}
        excluded |= {"right with another step": found.remeasured}
        return verdict + "".join(f"; {count} {what}" for what, count in excluded.items() if count)


DIRECTIONAL = (
    "A direction sums the errors of all entries with random signs. It proves nothing about an error that is small\n"
    "relative to the whole gradient (rtol of its norm), for example in a few entries of many, or at a kink."
)


def _worst_line(worst: Worst, atol: float, rtol: float) -> str:
    at = f"dy{list(worst.output)}/dx{list(worst.index)}" if worst.output else f"dy/dx{list(worst.index)}"
    return (
        f"  worst: {at}: analytic {worst.analytic:.9g}, numeric {worst.numeric:.9g}; the difference is "
        f"{abs(worst.analytic - worst.numeric):.3g}, allowed is {atol:g} + {rtol:g} · |numeric|"
    )


def _mistake_lines(mistakes: Sequence[Mistake]) -> list[str]:
    if not mistakes:
        return ["  None of the known mistakes explains these numbers."]
    lines = []
    for i, mistake in enumerate(mistakes):
        lines += _paragraph(mistake, "Likely" if i == 0 else "Or", "  ")
    return lines


def _paragraph(mistake: Mistake, head: str, indent: str) -> list[str]:
    evidence = f" ({mistake.evidence.rstrip('.')}.)" if mistake.evidence else ""
    text = f"{head}: {mistake.name}. {mistake.says}{evidence}"
    return [textwrap.fill(text, 116, initial_indent=indent, subsequent_indent=indent + "  ")]
