"""What anomaly detection records: each operation's call, layer and caller, and where a nan came in."""

from __future__ import annotations

import dataclasses
import inspect
import os
import weakref
from collections.abc import Sequence
from types import FrameType
from typing import Any, Literal

import numpy as np

import minitrain
from minitrain.diagnosis.anomaly_report import Entry, Index
from minitrain.diagnosis.nonfinite_causes import Origin, Value, describe
from minitrain.nn import Module
from minitrain.ops import Array, Function


def all_finite(array: Array) -> bool:
    """Whether the array contains neither nan nor infinity."""
    return bool(np.isfinite(array).all())


def find_produced(y: Array, inputs: Sequence[Array], elementwise: bool) -> Index | None:
    """The index of the first nan or infinity in y that the operation produced; None if it produced none.

    It produced a nan if no input contains a nan, and an infinity if no input contains a nan or an infinity.
    elementwise: look only at the inputs' elements at the same place (the inputs broadcast to y's shape); otherwise at
    all elements.
    """
    nan_in, inf_in = np.zeros((), bool), np.zeros((), bool)
    for x in inputs:
        if x.dtype.kind == "f":
            nan, inf = np.isnan(x), np.isinf(x)
            nan_in = nan_in | (nan if elementwise else nan.any())
            inf_in = inf_in | (inf if elementwise else inf.any())
    return first_index((np.isnan(y) & ~nan_in) | (np.isinf(y) & ~nan_in & ~inf_in))


def first_index(mask: Array) -> Index | None:
    """The index of the first True in the mask, or None."""
    return tuple(int(i) for i in np.unravel_index(mask.argmax(), mask.shape)) if mask.any() else None


def kind_of(number: Any) -> Literal["nan", "inf"]:
    return "nan" if np.isnan(number) else "inf"


RESULT = -2


@dataclasses.dataclass(frozen=True)
class Call:
    """The record of an operation's forward.

    modules: the running Modules, outermost first. place: the line that called.
    inputs: the names of forward's arguments. saved: for each array that forward saved, the number of the input that it
    is; RESULT for the result, -1 for any other array.
    entry: where the nan or infinity in the result came in, if there is one.
    """

    function: type[Function]
    inputs: tuple[str, ...]
    modules: tuple[Module, ...] = ()
    place: str = ""
    saved: tuple[int, ...] = ()
    entry: Entry | None = None

    @property
    def layer(self) -> str:
        """'linear_relu_stack.0 (Linear) of NeuralNetwork'; only 'Linear' for a Module that is not part of another."""
        for root in self.modules[:-1]:
            for name, module in root.named_modules():
                if module is self.modules[-1] and name:
                    return f"{name} ({type(module).__name__}) of {type(root).__name__}"
        return type(self.modules[-1]).__name__ if self.modules else ""

    def came_in(self, value: Value) -> Entry:
        """The entry for a nan or an infinity in an input of this operation that no operation had produced."""
        number = f"input {self.inputs.index(value.name)} " if value.name in self.inputs else ""
        source = f", {value.source}" if value.origin == "parameter" else ""
        layer = f", in {self.layer}" if self.layer else ""
        first = first_index(~np.isfinite(value.array))
        return Entry(
            where=f"{number}({value.name}{source}) of {self.function.__name__}{layer}",
            value=describe(value.array) + (f"; the first at {list(first)}" if first else ""),
            hint=CAME_IN.get(value.origin, ""),
            place=self.place,
        )


CAME_IN: dict[Origin, str] = {
    "parameter": "The parameter already had it: from an earlier update, or from a file.",
    "result": "It was produced before detection was on. Put that code inside detect_anomaly(), too.",
    "outside": "No operation produced it. Check the data, or the constant, with x.isnan().any().",
    "number": "It is a constant in the program.",
}


class Journal:
    """What happened since detection was switched on; nested contexts share one journal.

    updates: how many steps the optimizers made. entry: where the first nan or infinity since the last step came in.
    roots: the outermost Modules that ran; parameters are named after them.
    """

    def __init__(self) -> None:
        self.updates = 0
        self.entry: Entry | None = None
        self.roots: weakref.WeakKeyDictionary[Module, None] = weakref.WeakKeyDictionary()
        self._entries: dict[int, tuple[weakref.ref[Array], Entry]] = {}

    def note_entry(self, array: Array, entry: Entry) -> None:
        """Record where the nan or infinity in this array came in, as long as the array exists."""
        entries, key = self._entries, id(array)
        entries[key] = weakref.ref(array, lambda _: entries.pop(key, None)), entry
        self.entry = self.entry or entry

    def entry_of(self, array: Array) -> Entry | None:
        """The entry that note_entry recorded for this array, or None."""
        reference, entry = self._entries.get(id(array), (None, None))
        return entry if reference is not None and reference() is array else None

    def name(self, tensor: Any) -> str:
        """The dotted name of a parameter or buffer in the Modules that ran; "" if none contains it."""
        for root in self.roots:
            for name, own in (*root.named_parameters(), *root.named_buffers()):
                if own is tensor:
                    return name
        return ""


_LIBRARIES = tuple(os.path.dirname(str(inspect.getfile(package))) + os.sep for package in (minitrain, np))


def callers(frame: FrameType | None) -> tuple[tuple[Module, ...], str]:
    """The Modules whose forward is running, outermost first, and the innermost line outside minitrain and NumPy."""
    modules: list[Module] = []
    place = ""
    while frame is not None:
        code = frame.f_code
        if not place and not code.co_filename.startswith((*_LIBRARIES, "<frozen")):
            place = f"{code.co_filename}:{frame.f_lineno}, in {code.co_name}"
        if code.co_name in ("forward", "__call__") and code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, Module) and not (modules and modules[-1] is owner):
                modules.append(owner)
        frame = frame.f_back
    return tuple(reversed(modules)), place


def argument_names(function: type[Function], count: int) -> tuple[str, ...]:
    """The names of forward's positional arguments after ctx: 'x', 'weight'; 'arrays[0]' for *arrays."""
    names: list[str] = []
    for parameter in [*inspect.signature(function.forward).parameters.values()][1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return tuple(names[:count])
