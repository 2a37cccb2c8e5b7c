"""The result of a comparison, and its report: two tables, the first difference, and where to look for its cause."""

from __future__ import annotations

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np

from minitrain.runs.messages import counted
from minitrain.with_torch.difference import PHASES, Difference
from minitrain.with_torch.side import Side


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: the two losses, and a Difference for each place, in the order of computation."""

    number: int
    losses: tuple[float, float]
    differences: tuple[Difference, ...]

    def worst(self) -> Difference:
        """The place that uses up most of its tolerance."""
        return max(self.differences, key=lambda difference: difference.share)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What compare() found; str() of it is the whole report.

    sides: their labels. dtype: the coarser of the two, in which ulps are counted.
    steps: all that were run, without the arrays.
    first: the first place, in the order of computation, that differs beyond tolerance; None if they agree.
    advice: where to look for its cause.
    """

    sides: tuple[str, str]
    dtype: str
    rtol: float
    atol: float
    steps: tuple[Step, ...]
    first: Difference | None
    advice: str

    @property
    def agrees(self) -> bool:
        """Whether every place agrees in every step."""
        return self.first is None

    def worst(self) -> list[Difference]:
        """Each place at the step where it uses up most of its tolerance, in the order of computation."""
        places: dict[str, Difference] = {}
        for difference in itertools.chain.from_iterable(step.differences for step in self.steps):
            if difference.place not in places or difference.share > places[difference.place].share:
                places[difference.place] = difference
        return list(places.values())

    def verdict(self) -> str:
        """That they agree; or the first difference, both values, and where to look."""
        allowed = f"{self.atol:g} + {self.rtol:g} · |{self.sides[1]}|"
        first = self.first
        if first is None:
            return f"They agree: no difference beyond {allowed} in {counted(len(self.steps), 'step')}."
        at = f", index {list(first.index)}" if first.index else ""
        width = max(map(len, self.sides))
        return "\n".join(
            [
                f"First difference in step {first.step}, at the {first.place}{at}:",
                f"  {self.sides[0]:<{width}}  {exact(first.ours)}",
                f"  {self.sides[1]:<{width}}  {exact(first.theirs)}",
                f"  {first.absolute:.3g} apart (relative {first.relative:.3g}, ulps {_short(first.ulps)}); allowed: "
                f"{allowed}",
                textwrap.fill(self.advice, 110),
            ]
        )

    def __str__(self) -> str:
        return "\n".join([*self._table_of_steps(), "", *self._table_of_places(), "", self.verdict()])

    def _table_of_steps(self) -> Iterator[str]:
        shown = set(milestones(len(self.steps)) if len(self.steps) > 20 else range(1, len(self.steps) + 1))
        if self.first is not None:
            shown.add(self.first.step)
        phases = "  ".join(f"{phase:>8}" for phase in PHASES)
        yield "Each step: the loss, the largest |difference| of each phase, and the place closest to its tolerance"
        yield f"{'step':>6}  {'loss':>9}  {phases}  {'of tolerance':>12}  place"
        for step in self.steps:
            if step.number in shown:
                largest = [max((d.largest for d in step.differences if d.phase == p), default=0.0) for p in PHASES]
                numbers = "  ".join(f"{_short(number):>8}" for number in largest)
                worst = step.worst()
                loss = f"{step.losses[0]:.6f}" if abs(step.losses[0]) < 100 else f"{step.losses[0]:.2e}"
                yield f"{step.number:>6}  {loss:>9}  {numbers}  {_short(worst.share):>12}  {worst.place}"

    def _table_of_places(self) -> Iterator[str]:
        worst = self.worst()
        width = max(len(difference.place) for difference in worst)
        yield "Each place at its worst step, in the order of computation: the largest |difference|, also relative to"
        yield "the place's largest |value| and in ulps of it, and the largest share of its tolerance"
        yield f"  {'place':<{width}}  {'step':>6}  {'absolute':>8}  {'relative':>8}  {'ulps':>8}  of tolerance"
        for d in worst:
            relative = d.largest / d.scale if d.scale else math.inf if d.largest else 0.0
            gap = float(np.spacing(np.asarray(d.scale, self.dtype)))
            numbers = "  ".join(f"{_short(number):>8}" for number in (d.largest, relative, d.largest / gap))
            note = "  differs" if d.exceeds_tolerance else ""
            if self.first is not None and d.place == self.first.place:
                note = f"  differs first, in step {self.first.step}"
            yield f"  {d.place:<{width}}  {d.step:>6}  {numbers}  {_short(d.share):>12}{note}"

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON; nan and the infinities as strings."""
        figures: dict[str, Any] = plain(dataclasses.asdict(self))
        return figures


def advise(first: Difference, a: Side, b: Side, share_before: float) -> str:
    """Where to look for the cause of the first difference: at what computed it from numbers that still agreed.

    share_before: the largest share of the tolerance in the step before.
    """

    def kind(layer: str) -> str:
        known = b.kinds.get(layer.partition(" ")[0])
        return layer if known is None else f"{layer} ({known})"

    loss = getattr(b.loss_fn, "__name__", type(b.loss_fn).__name__)  # of a function or of a module
    layers = [layer for layer, _ in b.outputs]
    position = layers.index(first.layer) if first.layer in layers else len(layers)
    user = kind(layers[position + 1]) if position + 1 < len(layers) else f"the loss, {loss}"  # what uses this output
    output_gradient = first.phase == "gradient" and first.what == "output"
    if output_gradient and "ReLU" in user:
        x, y = (float(side.array(side.outputs[position][1])[first.index]) for side in (a, b))
        if (x > 0) != (y > 0):
            return (
                f"The output there is {x:.3g} on one side and {y:.3g} on the other: rounding moved it across 0, where "
                f"{user} passes the gradient or stops it. This is not a mistake. In float64 it hardly ever happens."
            )
    if share_before > 0.1:
        narrow = "float32" in (a.dtype, b.dtype)
        return (
            f"The step before already used {share_before:.2g} of the tolerance, so this looks like "
            f"{'rounding' if narrow else 'a small mistake, or rounding,'} that adds up. To decide, compare in float64, "
            "and look at the first steps in the table."
        )
    carried = " The steps before agree, so it is carried over from one step to the next." * (first.step > 1)
    if output_gradient:
        return f"Everything before it agrees. Look at the backward of {user}, which computes this gradient."
    if first.phase == "forward":
        if first.layer == "(result)":
            return "All layers agree. Look at what the model's own forward does with their outputs."
        return f"Its input and its parameters agree. Look at the forward of {kind(first.layer)}."
    if first.phase == "loss":
        return f"The model's result agrees. Look at the forward of the loss, {loss}."
    if first.phase == "gradient":
        zeroed = " Is it zeroed (zero_grad)?" if first.step > 1 else ""
        return (
            f"The gradient of the layer's output agrees. Look at how the backward of {kind(first.layer)} computes the "
            f"gradient of its {first.what}.{carried}{zeroed}"
        )
    optimizer, (name, _, state) = type(b.optimizer).__name__, first.what.partition(".")
    if state:
        return f"The gradient agrees. Look at how {optimizer} updates its {state}.{carried}"
    parameter = name if first.layer == "(model)" else f"{first.layer}.{name}"
    agree = "and the optimizer's state agree" if b.state(b.parameters[parameter]) else "agrees"
    return f"The gradient {agree}. Look at the step of {optimizer}.{carried}"


def exact(value: float | None) -> str:
    """Nine digits; "nothing" where there is no value."""
    return "nothing" if value is None else f"{value:.9g}"


def _short(number: float) -> str:
    """Two digits: 0, 0.24, 31, 6.5e-09."""
    return f"{number:.2g}" if number == 0 or 1e-2 <= number < 1e4 else f"{number:.1e}"


def plain(value: Any) -> Any:
    """Dicts, lists and numbers for JSON, which has no nan and no infinity: these become strings."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def milestones(steps: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to steps, and steps itself."""
    marks = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return [*itertools.takewhile(lambda mark: mark < steps, marks), steps] if steps else []
