"""The Detector of anomaly detection: examines every forward, backward and update."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from minitrain.diagnosis import nonfinite_causes as causes
from minitrain.diagnosis.anomaly_journal import (
    RESULT,
    Call,
    Journal,
    all_finite,
    argument_names,
    callers,
    find_produced,
    first_index,
    kind_of,
)
from minitrain.diagnosis.anomaly_report import (
    Anomaly,
    AnomalyError,
    Entry,
    Index,
    count_words,
    described,
    formula_of,
    rule_of,
)
from minitrain.diagnosis.nonfinite_causes import Origin, Value, describe
from minitrain.nn import Parameter
from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, increment_version, wrap


@dataclasses.dataclass(frozen=True)
class _Before:
    """A parameter before a step: its name and options, and copies of its values and of the optimizer's state."""

    param: Tensor
    name: str
    options: dict[str, Any]
    array: Array
    state: dict[str, Any]


class Detector:
    """Observes every operation, backward and update. check_nan: whether it raises, or only records the callers."""

    def __init__(self, check_nan: bool, journal: Journal) -> None:
        self.check_nan, self.journal = check_nan, journal
        self._before: list[_Before] = []

    # Forward.

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Tensor
    ) -> None:
        """Record the call; raise AnomalyError if the operation produced a nan or an infinity."""
        modules, place = callers(sys._getframe(1))
        if modules:
            self.journal.roots[modules[0]] = None
        call = Call(function, argument_names(function, len(inputs)), modules, place)
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
        """Where the nan or infinity of a result came in. Raises AnomalyError if the operation itself produced it."""
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
        held = f"the inputs{'' if all(all_finite(v.array) for v in floats) else ' there'} were finite"
        with np.errstate(all="ignore"):
            cause = causes.of_forward(call.function, values, options, y, index)
        raise self._error(
            f"Function '{call.function.__name__}' produced {count_words(y)} in forward: "
            + ("the inputs were infinite, but not nan." if infinite else f"{held}."),
            "forward",
            call,
            ("result", y),
            index,
            values,
            entry=self._entry(call, infinite[0], inputs) if infinite else None,
            cause=cause,
        )

    def _error(
        self,
        headline: str,
        phase: Literal["forward", "backward"],
        call: Call,
        result: tuple[str, Array],
        index: Index,
        values: Mapping[str, Value],
        **known: Any,
    ) -> AnomalyError:
        """The error for a result of this call, a name and an array that is nan or infinite at index."""
        name, array = result
        return AnomalyError(
            Anomaly(
                headline=headline,
                phase=phase,
                step=self.journal.updates,
                kind=kind_of(array[index]),
                operation=call.function.__name__,
                formula=formula_of(call.function),
                result=(name, describe(array)),
                index=index,
                values=described(values),
                layer=call.layer,
                place=call.place,
                **{"produced": True, **known},
            )
        )

    def _entry(self, call: Call, value: Value, inputs: Sequence[Any]) -> Entry:
        """Where a nan or infinity in a forward's input came in: at an earlier operation, or at this one."""
        earlier = self.journal.entry_of(value.array)
        tensor = inputs[call.inputs.index(value.name)] if value.name in call.inputs else None
        node = tensor.grad_fn if isinstance(tensor, Tensor) else None
        if not earlier and node is not None and node._call is not None:  # for example after an in-place operation
            earlier = node._call.entry
        return earlier or call.came_in(value)

    def _value(self, name: str, x: Any) -> Value:
        """An input of a forward."""
        if isinstance(x, Tensor):
            edge = x.grad_fn if x.grad_fn is not None else AccumulateGrad(x, x.array.shape, x.array.dtype)
            return Value(name, x.array, *self._source(edge))
        return Value(name, np.asarray(x), "number", "a number")

    def _source(self, edge: Node | AccumulateGrad | None) -> tuple[Origin, str]:
        """The origin of a value, given the edge that its gradient goes to."""
        if isinstance(edge, Node):
            return "result", f"result of {edge.function.__name__}"
        if edge is None:
            return "outside", ""
        name = self.journal.name(edge.variable)
        if isinstance(edge.variable, Parameter):
            return "parameter", f"parameter {name}".rstrip()
        return "outside", f"buffer {name}" if name else ""

    # Backward.

    def input_gradients(self, node: Node, grad: Array) -> list[Array | None]:
        """The Node's input gradients; raise AnomalyError if one contains a nan, or an infinity that it produced.

        An error in the backward gets a note that says where its forward was called (torch gives a warning).
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
        """Raise AnomalyError if a gradient contains a nan, or an infinity that this backward produced."""
        bad = [(i, x) for i, x in enumerate(input_gradients) if x is not None and not all_finite(x)]
        if not bad:
            return
        call = node._call or Call(node.function, argument_names(node.function, len(input_gradients)))
        values = self._left_for_backward(node, call, grad)
        arrays = [value.array for value in values.values()]
        finite = all(map(all_finite, arrays))
        bad.sort(key=lambda pair: not np.isnan(pair[1]).any())  # nan first: torch reports only nan
        for i, gradient in bad:
            index = find_produced(gradient, arrays, elementwise=False)
            cause = remark = ""
            entry: Entry | None = None
            if index is not None:
                with np.errstate(all="ignore"):
                    cause = causes.of_backward(node, values, gradient)
                held = "the inputs were finite" if finite else "the inputs were infinite, but not nan"
                what, produced = f"It produced them: {held}.", True
                entry = None if finite else call.entry
            else:
                index = first_index(np.isnan(gradient))
                if index is None:
                    continue  # an infinity that was passed on is reported once it produces a nan
                what, produced = "It only passed them on; no operation produced them.", False
                entry, remark = self._nan_came_in(node, call, values)
            returned = "nan" if np.isnan(gradient[index]) else "infinite"
            raise self._error(
                f"Function '{node.name()}' returned {returned} values in its {i}th output. {what}",
                "backward",
                call,
                (f"gradient of {call.inputs[i]}", gradient),
                index,
                values,
                produced=produced,
                entry=entry,
                remark=remark,
                cause=cause,
            )

    def _left_for_backward(self, node: Node, call: Call, grad: Array) -> dict[str, Value]:
        """The inputs of a backward: dL/dy, and the floats that forward saved on ctx."""
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
            x = getattr(x, "array", x)  # of a Tensor, which a Function on Tensors may leave there
            if isinstance(x, np.ndarray | float):
                values[name] = Value(name, np.asarray(x), "saved", "saved on ctx")
        return {name: value for name, value in values.items() if value.array.dtype.kind == "f"}

    def _nan_came_in(self, node: Node, call: Call, values: Mapping[str, Value]) -> tuple[Entry | None, str]:
        """Where a nan that a backward passes on came in, or a remark about it."""
        if np.isnan(values["grad_y"].array).any():
            return None, "The nan was in the gradient that was passed to backward()."
        if node._call is None:
            return None, (
                "The nan was there before detection was on. Put the forward inside detect_anomaly(), too, to find out "
                "what produced it."
            )
        value = next(value for value in values.values() if np.isnan(value.array).any())
        return call.entry or self.journal.entry_of(value.array) or call.came_in(value), ""

    def before_sum(self, edge: Node | AccumulateGrad, first: Array, second: Array) -> None:
        """Raise AnomalyError if adding two gradients of one value produces a nan or an infinity."""
        total = np.asarray(first + second)
        index = None if not self.check_nan or all_finite(total) else find_produced(total, [first, second], True)
        if index is None:
            return
        call = (isinstance(edge, Node) and edge._call) or Call(Function, ())
        result = f"the result of {edge.function.__name__}" if isinstance(edge, Node) else ""
        whose = result or self._source(edge)[1] or "a leaf"
        terms = {"the first": first, "the second": second}
        values = {name: Value(name, x, "gradient") for name, x in terms.items()}
        error = self._error(
            f"Adding two gradients of {whose} produced {count_words(total)}.",
            "backward",
            call,
            ("their sum", total),
            index,
            values,
            cause=causes.of_sum(values, total),
        )
        raise AnomalyError(dataclasses.replace(error.anomaly, operation="the sum of two gradients", formula=""))

    # Update.

    def before_step(self, optimizer: Any) -> None:
        """Copy everything that the step will change."""
        self._before = []
        number = -1
        for group in optimizer.param_groups:
            options = {name: value for name, value in group.items() if name not in ("params", "param_names")}
            for i, param in enumerate(group["params"]):
                number += 1
                if self.check_nan and param.grad is not None:
                    given = group["param_names"][i] if "param_names" in group else f"number {number}"
                    state = {
                        name: wrap(x.array.copy(order="K")) if isinstance(x, Tensor) else x
                        for name, x in optimizer.state.get(param, {}).items()
                    }
                    name = self.journal.name(param) or given
                    self._before.append(_Before(param, name, options, param.array.copy(), state))

    def after_step(self, optimizer: Any) -> None:
        """If the step made a parameter or its state nan or infinite, undo the step and raise AnomalyError."""
        befores, self._before = self._before, []
        for before in befores:
            state = _arrays(optimizer.state.get(before.param, {}))
            old = {**_arrays(before.state), "param": before.array}
            for name, new in {**state, "param": before.param.array}.items():
                bad = ~np.isfinite(new)
                if name in old:
                    bad &= np.isfinite(old[name])
                index = first_index(bad)
                if index is not None:
                    anomaly = self._of_update(optimizer, before, name, new, index)
                    _undo(optimizer, befores)
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
            remark = "The gradient contained it before the step."
        else:
            remark = (
                "The gradient contained it before the step, but no backward under detection produced it. Either "
                "backward ran before detection was on, or .grad was changed by hand, or summed over several passes."
            )
        did = "produced" if produced else "passed on"
        options = ", ".join(f"{k}={v}" for k, v in before.options.items() if v is not None and v is not False)
        return Anomaly(
            headline=f"The update by {rule} {did} {count_words(new)} in {what}. The step was undone.",
            phase="update",
            step=self.journal.updates,
            kind=kind_of(new[index]),
            produced=produced,
            operation=rule,
            formula=rule_of(type(optimizer)),
            result=(name, f"{describe(new)}; after the step"),
            index=index,
            values=(*described(values), ("options", options)),
            parameter=before.name,
            place=callers(sys._getframe(2))[1],
            entry=None if produced else self.journal.entry,
            remark=remark,
            cause=cause,
        )


def _arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """The float arrays in the optimizer's state of one parameter."""
    return {k: x.array for k, x in state.items() if isinstance(x, Tensor) and x.array.dtype.kind == "f"}


def _undo(optimizer: Any, befores: Sequence[_Before]) -> None:
    """Write the copies of the parameters and the state back into their own memory."""
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
