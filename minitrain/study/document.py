"""A recorded step as a document that can be written as JSON, and the arrays that it refers to."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minitrain
from minitrain.diagnosis.anomaly_report import formula_of, rule_of
from minitrain.ops import Array, Function
from minitrain.study.differences import loss_after
from minitrain.study.entries import (
    Aux,
    Ref,
    Rule,
    lines_of,
    rules_of,
    why_undeclared,
)
from minitrain.study.explanations import formula
from minitrain.study.purposes import LETTERS, purpose_of
from minitrain.study.updates import is_plain, update_lines

if TYPE_CHECKING:
    from minitrain.study.recording import Backward, Forward, Operation, Step, Update

ROOT = Path(minitrain.__file__).parent.parent


class Arrays(list[Array]):
    """The arrays of a document; the same array is stored once."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[int, int] = {}

    def refer(self, array: Array | None) -> dict[str, int] | None:
        """{"blob": number}, or None."""
        if array is None:
            return None
        if id(array) not in self._places:
            self._places[id(array)] = len(self)
            self.append(array)
        return {"blob": self._places[id(array)]}

    def reference(self, ref: Any) -> dict[str, Any]:
        """An expression's array."""
        if isinstance(ref, Aux):
            return {**(self.refer(ref.array) or {}), "name": ref.name, "shape": list(ref.array.shape)}
        return {"tensor": ref.tensor, "of": ref.of}

    def expression(self, x: Any) -> Any:
        """An expression with its arrays referred to."""
        if isinstance(x, list | tuple):
            return [self.expression(part) for part in x]
        return self.reference(x) if isinstance(x, Ref | Aux) else x


def _rule(step: Step, rule: Rule | None, arrays: Arrays, lines: list[tuple[int, str]]) -> dict[str, Any] | None:
    if rule is None:
        return None
    table = None
    if rule.table is not None:
        indices, columns = rule.table
        table = {"index": [list(index) for index in indices], "columns": arrays.expression(columns)}
    together = None
    if rule.together is not None:
        in_one = dataclasses.replace(rule, value=rule.together)
        together = {"formula": formula(step, in_one), "value": arrays.expression(rule.together)}
    return {
        "axes": list(rule.axes),
        "entry": arrays.expression(rule.entry),
        "formula": formula(step, rule),
        "value": arrays.expression(rule.value),
        "sentences": [[condition and arrays.expression(condition), text] for condition, text in rule.sentence],
        "table": table,
        "together": together,
        "lines": [list(line) for line in lines],
    }


def document(step: Step) -> tuple[dict[str, Any], list[Array]]:
    """See recording.py's docstring."""
    arrays = Arrays()
    return {
        "meta": _meta(step),
        "tensors": [_tensor(step, number, arrays) for number in range(len(step.tensors))],
        "ops": [_operation(step, operation, arrays) for operation in step.ops],
        "events": [_event(event) for event in step.events],
    }, arrays


def _meta(step: Step) -> dict[str, Any]:
    loss = None if step.loss is None else step.tensors[step.loss].value
    after = loss_after(step)
    return {
        "loss": step.loss,
        "roots": [number for number, _ in step.roots],
        "loss_value": number_or_text(float(loss.reshape(()))) if loss is not None and loss.size == 1 else None,
        "loss_after": None if after is None else number_or_text(after[0]),
        "loss64": number_or_text(step.loss64),
        "complete": step.complete,
        "optimizer": _optimizer(step),
        "model": step.model,
        "version": minitrain.__version__,
    }


def _optimizer(step: Step) -> dict[str, Any] | None:
    if step.optimizer is None:
        return None
    return {
        "name": step.optimizer.__name__,
        "formula": rule_of(step.optimizer),
        "groups": [{name: number_or_text(x) for name, x in group.options.items()} for group in step.groups],
        "source": source_of(step.optimizer.update),  # type: ignore[attr-defined]
        "plain": is_plain(step),
    }


def number_or_text(x: Any) -> float | int | bool | str | None:
    """What JSON has for it; it has neither nan nor infinity."""
    if isinstance(x, float) and not math.isfinite(x):
        return repr(x)
    return x if isinstance(x, float | int | bool | str | None) else repr(x)


def _tensor(step: Step, number: int, arrays: Arrays) -> dict[str, Any]:
    tensor = step.tensors[number]
    update = [
        {"name": line.name, **(_rule(step, line.rule, arrays, list(line.lines)) or {})}
        for line in update_lines(step, number)
    ]
    return {
        "name": tensor.name,
        "shape": list(tensor.value.shape),
        "dtype": str(tensor.value.dtype),
        "parameter": tensor.parameter,
        "buffer": tensor.buffer,
        "made_by": tensor.made_by,
        "used_by": [list(use) for use in tensor.used_by],
        "leaf": tensor.leaf,
        "requires_grad": tensor.requires_grad,
        "was": tensor.was,
        "detached": tensor.detached,
        "value": arrays.refer(tensor.value),
        "grad": arrays.refer(tensor.grad),
        "after": arrays.refer(tensor.after),
        "shares": [{"op": x.op, "input": x.input, "grad": arrays.refer(x.grad)} for x in tensor.shares],
        "used": arrays.refer(tensor.used),
        "state": {
            name: {when: arrays.refer(array) for when, array in pair.items()} for name, pair in tensor.state.items()
        },
        "stats": {name: stats(getattr(tensor, name)) for name in ("value", "grad", "after")},
        "update": update,
        "check": _check(tensor.check, arrays),
    }


def _check(check: dict[str, Any] | None, arrays: Arrays) -> dict[str, Any] | None:
    if check is None:
        return None
    return {name: arrays.refer(x) if isinstance(x, np.ndarray) else x for name, x in check.items()}


def stats(array: Array | None) -> list[float] | None:
    """The largest |v| and the norm of the finite values."""
    if array is None:
        return None
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    largest = float(finite.max(initial=0))
    scaled = finite / largest if largest else finite  # whose squares do not overflow
    return [largest, min(largest * float(np.sqrt((scaled * scaled).sum())), sys.float_info.max)]


def _operation(step: Step, operation: Operation, arrays: Arrays) -> dict[str, Any]:
    rule, gradients = rules_of(step, operation)
    function = operation.function
    return {
        "name": operation.function.__name__,
        "layer": operation.layer,
        "layer_type": operation.layer_type,
        "place": operation.place,
        "inputs": [{"tensor": x} if isinstance(x, int) else _constant(x[1]) for x in operation.inputs],
        "arguments": list(operation.arguments),
        "options": {name: repr(x) for name, x in operation.options.items()},
        "result": operation.result,
        "on_tape": operation.on_tape,
        "visited": operation.visited,
        "formula": formula_of(operation.function),
        "purpose": purpose_of(function),
        "letters": LETTERS.get(function, {}),
        "forward": source_of_pass(operation.function, "forward"),
        "backward": source_of_pass(operation.function, "backward"),
        "undeclared": why_undeclared(function),
        "rule": _rule(step, rule, arrays, lines_of(function, "y")),
        "gradients": [
            _rule(step, gradient, arrays, lines_of(function, f"d{name}", i))
            for i, (name, gradient) in enumerate(zip(operation.arguments, gradients, strict=True))
        ],
    }


def _constant(x: Any) -> dict[str, Any]:
    number = isinstance(x, int | float | np.number | np.bool_)
    return {"constant": repr(x), "value": float(x) if number else None}


def source_of_pass(function: type[Function], name: str) -> dict[str, Any] | None:
    """The source of an operation's forward or backward; of the class, where the passes are made by a helper."""
    own = getattr(function, "of_tensors", function)
    method = getattr(own, name, None)
    if method is None:
        return None
    code = getattr(inspect.unwrap(method), "__code__", None)
    made_elsewhere = (code is not None and code.co_name not in ("forward", "backward")) or "<locals>" in getattr(
        method, "__qualname__", ""
    ).rpartition(own.__qualname__)[2]
    return source_of(own if made_elsewhere else method)


def source_of(thing: Any) -> dict[str, Any] | None:
    """A function's or a class's source: file, number of the first line, text; None if Python does not know it."""
    try:
        lines, first = inspect.getsourcelines(thing)
        file = Path(inspect.getsourcefile(thing) or "")
    except (OSError, TypeError):
        return None
    name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else os.fspath(file)
    return {"file": name, "line": max(first, 1), "text": textwrap.dedent("".join(lines))}


def _event(event: Forward | Backward | Update) -> dict[str, Any]:
    kind = type(event).__name__.lower()
    fields = {name: list(x) if isinstance(x, tuple) else x for name, x in vars(event).items()}
    return {"kind": kind, **fields}
