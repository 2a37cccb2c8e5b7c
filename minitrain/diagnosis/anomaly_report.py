"""The report of anomaly detection: what happened, where, with which inputs, and the usual cause."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from typing import Literal

from minitrain.diagnosis.nonfinite_causes import Value, count_not_finite, describe
from minitrain.files import NO_FORMULAS
from minitrain.ops import Array, Function

Index = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a nan or an infinity came in: an operation got it as an input, but no operation had produced it.

    where: which input of which operation, in which layer. value: its description. hint: what to look at.
    place: the file and line that called the operation, as in Anomaly.
    """

    where: str
    value: str
    hint: str
    place: str

    def __str__(self) -> str:
        place = f", called at {self.place}" if self.place else ""
        return f"as {self.where}{place}: {self.value}. {self.hint}"


@dataclasses.dataclass(frozen=True)
class Anomaly:
    """The first nan or infinity, and what is known about its origin. str() gives the report.

    headline: what happened, in one sentence.
    phase: what was running. step: the number of updates before it, as in `minitrain step`.
    kind: the value at `index` of the result. produced: whether the operation produced it, or only passed it on.
    operation: the operation's name, such as "Log"; in the update, the optimizer's class. formula: from its docstring.
    result: name and description of the result. index: the first bad element of the result.
    values: names and descriptions of the inputs.
    layer: the dotted name and class of the Module that ran the operation; "" outside Modules.
    parameter: in the update, the parameter's dotted name.
    place: the file and line outside minitrain that called forward or step(), or "".
    entry: where the nan or infinity came in, if no operation produced it. remark: what else is known about that.
    cause: the usual cause and its remedy, if the numbers show it.
    """

    headline: str
    phase: Literal["forward", "backward", "update"]
    step: int
    kind: Literal["nan", "inf"]
    produced: bool
    operation: str
    formula: str
    result: tuple[str, str]
    index: Index
    values: tuple[tuple[str, str], ...]
    layer: str = ""
    parameter: str = ""
    place: str = ""
    entry: Entry | None = None
    remark: str = ""
    cause: str = ""

    def __str__(self) -> str:
        first, *others = self.formula.splitlines() or [""]
        name, came_out = self.result
        rows = [
            ("phase", f"{self.phase}, step {self.step}"),
            ("operation", f"{self.operation}: {first}" if first else self.operation),
            *(("", line) for line in others),
            ("layer", self.layer),
            ("parameter", self.parameter),
            ("called at", self.place),
            *self.values,
            (name, came_out + (f"; the first at {list(self.index)}" if self.index else "")),
        ]
        rows = [(name, text) for name, text in rows if text]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {text}" for name, text in rows]
        came_in = "nan" if self.kind == "nan" and not self.produced else "infinity"
        texts = [
            self.remark,
            f"The {came_in} came in {self.entry}" if self.entry is not None else "",
            f"Cause: {self.cause}" if self.cause else "",
            NO_FORMULAS and f"({NO_FORMULAS})",
        ]
        return "\n".join([_wrapped(self.headline), *lines, *[_wrapped(text) for text in texts if text]])


class AnomalyError(RuntimeError):
    """An operation produced a nan or an infinity, or a gradient or update passed one on; see .anomaly."""

    def __init__(self, anomaly: Anomaly) -> None:
        super().__init__(anomaly)
        self.anomaly = anomaly


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def count_words(array: Array) -> str:
    """The counts of an array's values that are not finite: '3 nan, 1 inf'."""
    return ", ".join(f"{count} {name}" for name, count in count_not_finite(array).items())


def described(values: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    floats = [value for value in values.values() if value.array.dtype.kind == "f" or value.origin == "number"]
    return tuple((v.name, describe(v.array) + (f"; {v.source}" if v.source else "")) for v in floats)


def formula_of(function: type[Function]) -> str:
    """The first line of the function's docstring."""
    return " ".join((function.__doc__ or "").strip().partition("\n")[0].split()).removesuffix(".")


def rule_of(optimizer: type) -> str:
    """The formula: the first indented block of the optimizer's docstring."""
    block: list[str] = []
    for line in (inspect.getdoc(optimizer) or "").splitlines():
        if line.startswith("    "):
            block.append(line.removeprefix("    "))
        elif block:
            break
    return "\n".join(block)
