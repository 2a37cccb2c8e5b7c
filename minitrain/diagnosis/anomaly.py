"""Anomaly detection: which operation produced the first nan or infinity, from what, and what the usual cause is.

While it is on, the hook in tape.py tells a Detector of every operation, backward and update. An operation has
*produced* a nan where its result has one and nothing that went in had any; an infinity, where nothing that went in
was nan or infinite. All others have only passed it on. For a nan that nothing produced the Detector knows where it
came in.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import textwrap
import weakref
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Literal

import numpy as np

from minitrain.diagnosis import nonfinite_causes as causes
from minitrain.diagnosis.nonfinite_causes import Origin, Value, count_not_finite, describe
from minitrain.nn import Module, Parameter
from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, increment_version
from minitrain.torchlike.grad_mode import anomaly_mode

Index = tuple[int, ...]

# --- switching it on --------------------------------------------------------------------------------------------------


class set_detect_anomaly:  # noqa: N801, torch's name
    """Switch detection on or off, in this thread, at once; as a context manager, put it back as it was on leaving.

    mode: on or off. check_nan: whether to raise AnomalyError at a nan or an infinity; without, an error that a
    backward raises gets a note of where its forward was called, and no more.
    Raises TypeError for a mode that is no bool.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_detect_anomaly expects a mode of True or False, but got {mode!r}")
        self._previous = anomaly_mode.watcher
        anomaly_mode.watcher = _detector(check_nan) if mode else None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        anomaly_mode.watcher = self._previous


class detect_anomaly:  # noqa: N801, torch's name
    """Within it, the first operation that produces a nan or an infinity raises AnomalyError, which tells all of it.

        with minitrain.autograd.detect_anomaly():
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()

    Forward, backward and update are watched. The report names the operation with its formula, the layer and the
    parameter, the step, the line that called, the range of all that went in, and the usual cause where the numbers
    show it. A nan that no operation produced is reported when backward meets it, with the place where it came in:
    the data, a parameter, a constant. A backward that raises has changed no .grad; a step() that raises, no parameter.

    check_nan: False only notes, on an error that a backward raises, where its forward was called.
    Source: torch.autograd.detect_anomaly, which looks for nan, and in backward alone; and warns on being switched on.
    A step takes about three times as long as without.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._switches: list[set_detect_anomaly] = []

    def __enter__(self) -> None:
        self._switches.append(set_detect_anomaly(True, self._check_nan))

    def __exit__(self, *exception: object) -> None:
        self._switches.pop().__exit__()


def is_anomaly_enabled() -> bool:
    """Whether detection is on in this thread."""
    return anomaly_mode.watcher is not None


def _detector(check_nan: bool) -> Detector:
    """A new one, that goes on with what the one that is on remembers."""
    previous = anomaly_mode.watcher
    return Detector(check_nan, previous.journal if isinstance(previous, Detector) else _Journal())


# --- the report -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a nan or an infinity came in: an operation was given it, and none had made it.

    where: which input of which operation, in which layer. value: its description. hint: what to look at.
    place: the file and line that called, as an Anomaly's.
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
    """The first nan or infinity, and all that is known of where it comes from. str() is the report.

    headline: what happened, in a sentence.
    phase: what was running. step: the number of the update that was being made, from 1 up.
    kind: what is at index of the result. produced: whether it came of numbers that were free of it.
    operation: such as "Log"; in the update, the optimizer's class. formula: as its docstring has it.
    result: the name and the description of what came out; index: of the first bad element in it.
    values: of what went in, likewise.
    layer: the dotted name and class of the Module that ran the operation; "" outside of Modules.
    parameter: in the update, the parameter's dotted name.
    place: the file and line that called forward, or step(), outside of minitrain; "" if there is none.
    entry: where the nan or infinity came in that nothing produced. remark: what else is known of that.
    cause: the usual one and its remedy, if the numbers show it.
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
        ]
        return "\n".join([_wrapped(self.headline), *lines, *[_wrapped(text) for text in texts if text]])


class AnomalyError(RuntimeError):
    """An operation has produced, or a gradient or an update has passed on, a nan or an infinity; see .anomaly."""

    def __init__(self, anomaly: Anomaly) -> None:
        super().__init__(anomaly)
        self.anomaly = anomaly


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _words(array: Array) -> str:
    """What an array has that is not finite: '3 nan, 1 inf'."""
    return ", ".join(f"{count} {name}" for name, count in count_not_finite(array).items())


def _described(values: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    floats = [value for value in values.values() if value.array.dtype.kind == "f" or value.origin == "number"]
    return tuple((v.name, describe(v.array) + (f"; {v.source}" if v.source else "")) for v in floats)


def _formula(function: type[Function]) -> str:
    """The first line of its docstring."""
    return " ".join((function.__doc__ or "").strip().partition("\n")[0].split()).removesuffix(".")


def _rule(optimizer: type) -> str:
    """The first indented block of its docstring: the formula."""
    block: list[str] = []
    for line in (inspect.getdoc(optimizer) or "").splitlines():
        if line.startswith("    "):
            block.append(line.removeprefix("    "))
        elif block:
            break
    return "\n".join(block)


# --- what was produced ------------------------------------------------------------------------------------------------


def all_finite(array: Array) -> bool:
    """Whether there is neither nan nor infinity in it."""
    return bool(np.isfinite(array).all())


def find_produced(y: Array, inputs: Sequence[Array], elementwise: bool) -> Index | None:
    """The index of y's first nan that no input accounts for, or infinity that no nan or infinity of an input does.

    elementwise: whether only the inputs' elements at the same place account for one (the inputs broadcast to y's
    shape); otherwise any element does.
    """
    nan_in, inf_in = np.zeros((), bool), np.zeros((), bool)
    for x in inputs:
        if x.dtype.kind == "f":
            nan, inf = np.isnan(x), np.isinf(x)
            nan_in = nan_in | (nan if elementwise else nan.any())
            inf_in = inf_in | (inf if elementwise else inf.any())
    return _first((np.isnan(y) & ~nan_in) | (np.isinf(y) & ~nan_in & ~inf_in))


def _first(mask: Array) -> Index | None:
    """The index of the first True."""
    return tuple(int(i) for i in np.unravel_index(mask.argmax(), mask.shape)) if mask.any() else None


def _kind(number: Any) -> Literal["nan", "inf"]:
    return "nan" if np.isnan(number) else "inf"


# --- what the Detector remembers --------------------------------------------------------------------------------------


RESULT = -2


@dataclasses.dataclass(frozen=True)
class Call:
    """What is noted of an operation's forward.

    modules: those that were running, outermost first. place: who called.
    inputs: the names of forward's arguments. saved: of each array that forward has saved, which input it is; -1 for
    none, and RESULT for the result.
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
        """'linear_relu_stack.0 (Linear) of NeuralNetwork'; 'Linear' for one that is not part of another."""
        for root in self.modules[:-1]:
            for name, module in root.named_modules():
                if module is self.modules[-1] and name:
                    return f"{name} ({type(module).__name__}) of {type(root).__name__}"
        return type(self.modules[-1]).__name__ if self.modules else ""

    def came_in(self, value: Value) -> Entry:
        """That this operation was given a nan or an infinity that no operation had made."""
        number = f"input {self.inputs.index(value.name)} " if value.name in self.inputs else ""
        source = f", {value.source}" if value.origin == "parameter" else ""
        layer = f", in {self.layer}" if self.layer else ""
        first = _first(~np.isfinite(value.array))
        return Entry(
            where=f"{number}({value.name}{source}) of {self.function.__name__}{layer}",
            value=describe(value.array) + (f"; the first at {list(first)}" if first else ""),
            hint=CAME_IN[value.origin],
            place=self.place,
        )


CAME_IN: dict[Origin, str] = {
    "parameter": "The parameter was so before: an update made it so, or it was loaded so.",
    "result": "It was made before detection was on: put that inside detect_anomaly(), too.",
    "outside": "No operation made it: look at the data, or at the constant (x.isnan().any() tells).",
    "number": "It is a constant in the program.",
    "gradient": "",
    "saved": "",
}


class _Journal:
    """What was seen since detection was switched on; contexts that lie within one another share it.

    updates: how many steps optimizers have made. entry: where, since the last one, a nan or infinity came in first.
    roots: the outermost Modules that ran; they name the parameters.
    """

    def __init__(self) -> None:
        self.updates = 0
        self.entry: Entry | None = None
        self.roots: weakref.WeakKeyDictionary[Module, None] = weakref.WeakKeyDictionary()
        self._entries: dict[int, tuple[weakref.ref[Array], Entry]] = {}

    def note_entry(self, array: Array, entry: Entry) -> None:
        """Remember, as long as the array lives, where the nan or infinity in it came in."""
        entries, key = self._entries, id(array)
        entries[key] = weakref.ref(array, lambda _: entries.pop(key, None)), entry
        self.entry = self.entry or entry

    def entry_of(self, array: Array) -> Entry | None:
        """What note_entry was told of it; None of an array that no operation made."""
        reference, entry = self._entries.get(id(array), (None, None))
        return entry if reference is not None and reference() is array else None

    def name(self, tensor: Any) -> str:
        """A parameter's or buffer's dotted name in the Modules that ran; "" if it is in none."""
        for root in self.roots:
            for name, own in (*root.named_parameters(), *root.named_buffers()):
                if own is tensor:
                    return name
        return ""


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _callers(frame: FrameType | None) -> tuple[tuple[Module, ...], str]:
    """The Modules whose forward is running, outermost first, and the innermost line outside of minitrain."""
    modules: list[Module] = []
    place = ""
    while frame is not None:
        code = frame.f_code
        if not place and not code.co_filename.startswith((_PACKAGE, "<frozen")):
            place = f"{code.co_filename}:{frame.f_lineno}, in {code.co_name}"
        if code.co_name in ("forward", "__call__") and code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, Module) and not (modules and modules[-1] is owner):
                modules.append(owner)
        frame = frame.f_back
    return tuple(reversed(modules)), place


def _argument_names(function: type[Function], count: int) -> tuple[str, ...]:
    """The names that forward has for its positional arguments after ctx: 'x', 'weight'; 'arrays[0]' for *arrays."""
    names: list[str] = []
    for parameter in [*inspect.signature(function.forward).parameters.values()][1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return tuple(names[:count])


# --- the Detector -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Before:
    """A parameter, its name and options, and copies of it and of the optimizer's state, from before a step."""

    param: Tensor
    name: str
    options: dict[str, Any]
    array: Array
    state: dict[str, Any]


class Detector:
    """The Watcher that tape.py tells of everything. check_nan: whether it raises, or only notes who called."""

    def __init__(self, check_nan: bool, journal: _Journal) -> None:
        self.check_nan, self.journal = check_nan, journal
        self._before: list[_Before] = []

    # Forward.

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Tensor
    ) -> None:
        """Note the call; raise if the result has a nan or an infinity that nothing that went in accounts for."""
        modules, place = _callers(sys._getframe(1))
        if modules:
            self.journal.roots[modules[0]] = None
        call = Call(function, _argument_names(function, len(inputs)), modules, place)
        if self.check_nan and not all_finite(result.array):
            entry = self._passed_on(call, inputs, options, result.array)
            self.journal.note_entry(result.array, entry)
            call = dataclasses.replace(call, entry=entry)
        if isinstance(ctx, Node):
            given = [x.array if isinstance(x, Tensor) else x for x in inputs]
            saved = [next((i for i, x in enumerate(given) if x is array), -1) for array in ctx._saved]
            saved = [RESULT if array is result.array else i for i, array in zip(saved, ctx._saved, strict=True)]
            ctx._call = dataclasses.replace(call, saved=tuple(saved))

    def _passed_on(self, call: Call, inputs: Sequence[Any], options: dict[str, Any], y: Array) -> Entry:
        """Where the nan or infinity of a result came in. Raises AnomalyError if the operation produced it."""
        values = {name: self._value(name, x) for name, x in zip(call.inputs, inputs, strict=True) if x is not None}
        given = {
            name: Value(name, np.asarray(x), "number")
            for name, x in options.items()
            if isinstance(x, np.ndarray | float)
        }
        floats = [value for value in (*values.values(), *given.values()) if value.array.dtype.kind == "f"]
        elementwise = call.function in causes.ELEMENTWISE
        index = find_produced(y, [value.array for value in floats], elementwise)
        if index is None:
            bad = [value for value in floats if not all_finite(value.array)]
            return self._entry(call, max(bad, key=lambda value: np.isnan(value.array).any()), inputs)
        there = {v.name: np.broadcast_to(v.array, y.shape)[index] if elementwise else v.array for v in floats}
        infinite = [value for value in floats if np.isinf(there[value.name]).any()]
        held = f"all that went in{'' if all(all_finite(v.array) for v in floats) else ' there'} was finite"
        with np.errstate(all="ignore"):
            cause = causes.of_forward(call.function, values, options, y, index)
        raise AnomalyError(
            Anomaly(
                headline=f"Function '{call.function.__name__}' produced {_words(y)} in forward: "
                + ("what went in was infinite, but not nan." if infinite else f"{held}."),
                phase="forward",
                step=self.journal.updates + 1,
                kind=_kind(y[index]),
                produced=True,
                operation=call.function.__name__,
                formula=_formula(call.function),
                result=("result", describe(y)),
                index=index,
                values=_described(values),
                layer=call.layer,
                place=call.place,
                entry=self._entry(call, infinite[0], inputs) if infinite else None,
                cause=cause,
            )
        )

    def _entry(self, call: Call, value: Value, inputs: Sequence[Any]) -> Entry:
        """Where a nan or infinity that goes into a forward came in: into an operation before, or into this one."""
        earlier = self.journal.entry_of(value.array)
        tensor = inputs[call.inputs.index(value.name)] if value.name in call.inputs else None
        node = tensor.grad_fn if isinstance(tensor, Tensor) else None
        if not earlier and node is not None and node._call is not None:  # as after an in-place operation
            earlier = node._call.entry
        return earlier or call.came_in(value)

    def _value(self, name: str, x: Any) -> Value:
        """What a forward was given."""
        if isinstance(x, Tensor):
            edge = x.grad_fn if x.grad_fn is not None else AccumulateGrad(x)
            return Value(name, x.array, *self._source(edge))
        return Value(name, np.asarray(x), "number", "a number")

    def _source(self, edge: Node | AccumulateGrad | None) -> tuple[Origin, str]:
        """Where a value is from, given where its gradient goes."""
        if isinstance(edge, Node):
            return "result", f"made by {edge.function.__name__}"
        if edge is None:
            return "outside", ""
        name = self.journal.name(edge.variable)
        if isinstance(edge.variable, Parameter):
            return "parameter", f"parameter {name}".rstrip()
        return "outside", f"buffer {name}" if name else ""

    # Backward.

    def input_gradients(self, node: Node, grad: Array) -> list[Array | None]:
        """Those that the Node makes of its result's, grad; raise if one has a nan, or an infinity that it produced.

        An error in the backward gets a note of where its forward was called, as torch warns.
        """
        try:
            input_gradients = node.input_gradients(grad)
        except Exception as error:
            if node._call is not None:
                layer = f" in {node._call.layer}" if node._call.layer else ""
                place = f", called at {node._call.place}" if node._call.place else ""
                error.add_note(f"in {node.name()}, whose forward ran{layer}{place}")
            raise
        if self.check_nan:
            self._check_backward(node, grad, input_gradients)
        return input_gradients

    def _check_backward(self, node: Node, grad: Array, input_gradients: Sequence[Array | None]) -> None:
        """Raise if a gradient has a nan, or an infinity that nothing that went in accounts for."""
        bad = [(i, x) for i, x in enumerate(input_gradients) if x is not None and not all_finite(x)]
        if not bad:
            return
        call = node._call or Call(node.function, _argument_names(node.function, len(input_gradients)))
        values = self._left_for_backward(node, call, grad)
        arrays = [value.array for value in values.values()]
        finite = all(map(all_finite, arrays))
        bad.sort(key=lambda pair: not np.isnan(pair[1]).any())  # torch tells of nan alone
        for i, gradient in bad:
            index = find_produced(gradient, arrays, elementwise=False)
            cause = remark = ""
            entry: Entry | None = None
            if index is not None:
                with np.errstate(all="ignore"):
                    cause = causes.of_backward(node, values, gradient)
                held = "all that went in was finite" if finite else "what went in was infinite, but not nan"
                what, produced = f"It produced them: {held}.", True
                entry = None if finite else call.entry
            else:
                index = _first(np.isnan(gradient))
                if index is None:
                    continue  # an infinity that was passed on: what comes of it will tell
                what, produced = "It only passed them on: no operation produced them.", False
                entry, remark = self._nan_came_in(node, call, values)
            kind = _kind(gradient[index])
            returned = "nan" if kind == "nan" else "infinite"
            raise AnomalyError(
                Anomaly(
                    headline=f"Function '{node.name()}' returned {returned} values in its {i}th output. {what}",
                    phase="backward",
                    step=self.journal.updates + 1,
                    kind=kind,
                    produced=produced,
                    operation=node.function.__name__,
                    formula=_formula(node.function),
                    result=(f"gradient of {call.inputs[i]}", describe(gradient)),
                    index=index,
                    values=_described(values),
                    layer=call.layer,
                    place=call.place,
                    entry=entry,
                    remark=remark,
                    cause=cause,
                )
            )

    def _left_for_backward(self, node: Node, call: Call, grad: Array) -> dict[str, Value]:
        """What goes into a backward: dL/dy, and the floats that forward has left on ctx."""
        values = {"grad_y": Value("grad_y", grad, "gradient", "dL/d(result)")}
        for i, x in enumerate(node._saved):
            position = call.saved[i] if i < len(call.saved) else -1
            name = call.inputs[position] if position >= 0 else "result" if position == RESULT else f"saved[{i}]"
            source: tuple[Origin, str] = (
                ("saved", "") if isinstance(x, np.ndarray | np.generic) else ("number", "a number")
            )
            if position >= 0 and isinstance(x, np.ndarray):
                source = self._source(node.next_functions[position][0])
            values[name] = Value(name, np.asarray(x), *source)
        for name, x in vars(node).items():
            if isinstance(x, np.ndarray | float):
                values[name] = Value(name, np.asarray(x), "saved", "left on ctx")
        return {name: value for name, value in values.items() if value.array.dtype.kind == "f"}

    def _nan_came_in(self, node: Node, call: Call, values: Mapping[str, Value]) -> tuple[Entry | None, str]:
        """Where a nan came in that a backward passes on, or what else can be said of it."""
        if np.isnan(values["grad_y"].array).any():
            return None, "The nan came in with the gradient that backward() was given."
        if node._call is None:
            return None, (
                "The nan was there before detection was on. Put the forward inside detect_anomaly(), too: then "
                "it tells what produced it."
            )
        value = next(value for value in values.values() if np.isnan(value.array).any())
        return call.entry or self.journal.entry_of(value.array) or call.came_in(value), ""

    def before_sum(self, edge: Node | AccumulateGrad, first: Array, second: Array) -> None:
        """Raise if adding up two gradients of one value produces a nan or an infinity."""
        total = np.asarray(first + second)
        index = None if not self.check_nan or all_finite(total) else find_produced(total, [first, second], True)
        if index is None:
            return
        call = edge._call if isinstance(edge, Node) and edge._call is not None else None
        whose = f"what {edge.function.__name__} made" if isinstance(edge, Node) else self._source(edge)[1] or "a leaf"
        terms = ((name, x) for name, x in (("the first", first), ("the second", second)))
        values = {name: Value(name, x, "gradient") for name, x in terms}
        raise AnomalyError(
            Anomaly(
                headline=f"Adding up the gradients of {whose}, which is used more than once, produced {_words(total)}.",
                phase="backward",
                step=self.journal.updates + 1,
                kind=_kind(total[index]),
                produced=True,
                operation="the sum of two gradients",
                formula="",
                result=("their sum", describe(total)),
                index=index,
                values=_described(values),
                layer=call.layer if call is not None else "",
                place=call.place if call is not None else "",
                cause=causes.of_sum(values, total),
            )
        )

    # Update.

    def before_step(self, optimizer: Any) -> None:
        """Copy what the step will change."""
        self._before = []
        number = -1
        for group in optimizer.param_groups:
            options = {name: value for name, value in group.items() if name not in ("params", "param_names")}
            for i, param in enumerate(group["params"]):
                number += 1
                if self.check_nan and param.grad is not None:
                    given = group["param_names"][i] if "param_names" in group else f"number {number}"
                    state = {name: _copied(value) for name, value in optimizer.state.get(param, {}).items()}
                    name = self.journal.name(param) or given
                    self._before.append(_Before(param, name, options, param.array.copy(), state))

    def after_step(self, optimizer: Any) -> None:
        """Raise if it has made a parameter, or its state, nan or infinite; the step is taken back then."""
        befores, self._before = self._before, []
        for before in befores:
            state = _arrays(optimizer.state.get(before.param, {}))
            old = {**_arrays(before.state), "param": before.array}
            for name, new in {**state, "param": before.param.array}.items():
                bad = ~np.isfinite(new)
                if name in old:
                    bad &= np.isfinite(old[name])
                index = _first(bad)
                if index is not None:
                    anomaly = self._of_update(optimizer, before, name, new, index)
                    _take_back(optimizer, befores)
                    raise AnomalyError(anomaly)
        self.journal.updates += 1
        self.journal.entry = None

    def _of_update(self, optimizer: Any, before: _Before, name: str, new: Array, index: Index) -> Anomaly:
        grad = before.param.grad
        assert grad is not None
        values = {
            "param": Value("param", before.array, "parameter", "before the step"),
            "grad": Value("grad", grad.array, "gradient"),
            **{key: Value(key, array, "saved", "before the step") for key, array in _arrays(before.state).items()},
        }
        here = {key: float(value.array[index]) for key, value in values.items() if value.array.shape == new.shape}
        produced = find_produced(new[index], [np.asarray(number) for number in here.values()], True) is not None
        rule = type(optimizer).__name__
        what = before.name if name == "param" else f"{name} of {before.name}"
        cause = remark = ""
        if produced:
            state = {**_arrays(optimizer.state.get(before.param, {})), "param": before.param.array}
            after = {key: float(array[index]) for key, array in state.items() if array.shape == new.shape}
            cause = causes.of_update(optimizer, before.options, here, after, new.dtype)
        elif self.journal.entry is not None:
            remark = "The gradient had it before the step."
        else:
            remark = (
                "The gradient had it before the step, and no watched backward has produced it: backward ran before "
                "detection was on, or .grad was changed by hand, or summed over several backward passes."
            )
        did = "produced" if produced else "passed on"
        options = ", ".join(f"{k}={v}" for k, v in before.options.items() if v is not None and v is not False)
        return Anomaly(
            headline=f"The update by {rule} {did} {_words(new)} in {what}. The step is taken back.",
            phase="update",
            step=self.journal.updates + 1,
            kind=_kind(new[index]),
            produced=produced,
            operation=rule,
            formula=_rule(type(optimizer)),
            result=(name, f"{describe(new)}; after the step"),
            index=index,
            values=(*_described(values), ("options", options)),
            parameter=before.name,
            place=_callers(sys._getframe(2))[1],
            entry=None if produced else self.journal.entry,
            remark=remark,
            cause=cause,
        )


def _copied(value: Any) -> Any:
    return Tensor(value.array.copy(order="K")) if isinstance(value, Tensor) else value


def _arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """The float arrays in an optimizer's state of one parameter."""
    return {k: x.array for k, x in state.items() if isinstance(x, Tensor) and x.array.dtype.kind == "f"}


def _take_back(optimizer: Any, befores: Sequence[_Before]) -> None:
    """Write the copies of parameters and state back into the memory that is there."""
    for before in befores:
        before.param.array[...] = before.array
        increment_version(before.param)
        state = optimizer.state[before.param]
        for name, value in [*state.items()]:
            if name not in before.state:
                del state[name]
            elif isinstance(value, Tensor):
                value.array[...] = before.state[name].array
            else:
                state[name] = before.state[name]
