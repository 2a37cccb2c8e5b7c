"""Names the operation whose backward is wrong, or the place where the way back is cut, in a function of Tensors.

The function runs once more and is recorded. Each operation's backward is then checked by itself, at the arrays that
it saw. A value that depends on an input, but enters an operation without a way back, was detached, or put into a new
Tensor.
"""

from __future__ import annotations

import dataclasses
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.anomaly_journal import Call, argument_names, callers
from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.checked_function import Problem
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.nn import Module
from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import anomaly_mode, enable_grad, no_grad

DIRECTIONS = 3
LARGEST = 200_000  # numbers in the Jacobian of an operation that is checked entry by entry


@dataclasses.dataclass(frozen=True)
class _Recorded:
    """One operation: what it got, as arrays and with the edges of the Tensors among it, and where it was called."""

    function: type[Function]
    ctx: Context
    inputs: tuple[Any, ...]
    arrays: tuple[Any, ...]
    edges: tuple[Any, ...]
    options: Mapping[str, Any]
    result: Array
    modules: tuple[Module, ...]
    place: str

    @property
    def where(self) -> str:
        """'in b (Linear) of Net, at net.py:12, `y = self.b(x)`'."""
        layer = Call(self.function, (), self.modules).layer
        filename, _, rest = self.place.partition(", in ")[0].rpartition(":")
        source = linecache.getline(filename, int(rest)).strip() if rest.isdigit() else ""
        line = f"line {rest}, `{source}`" if source and len(source) < 100 else f"line {rest}" if rest else ""
        return ", ".join(part for part in (f"in {layer}" if layer else "", line) if part)


class _Recorder:
    """A watcher that records every operation."""

    def __init__(self) -> None:
        self.calls: list[_Recorded] = []

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Any
    ) -> None:
        modules, place = callers(sys._getframe(1))
        arrays = tuple(x.array.copy() if isinstance(x, Tensor) else x for x in inputs)
        edges = tuple(x._edge() if isinstance(x, Tensor) else None for x in inputs)
        kept = result.array.copy()
        self.calls.append(_Recorded(function, ctx, tuple(inputs), arrays, edges, options, kept, modules, place))

    def input_gradients(self, node: Any, grad: Array) -> list[Array | None]:
        return list(node.input_gradients(grad))

    def before_sum(self, edge: Any, first: Array, second: Array) -> None:
        pass

    def before_step(self, optimizer: Any) -> None:
        pass

    def after_step(self, optimizer: Any) -> None:
        pass


def _recorded(problem: Problem) -> list[_Recorded]:
    recorder, before = _Recorder(), anomaly_mode.watcher
    anomaly_mode.watcher = recorder
    try:
        problem.prepare()
    finally:
        anomaly_mode.watcher = before
    return recorder.calls


def explain_tape(problem: Problem, report: Report, check: Callable[..., Report]) -> None:
    """Put into a wrong report which operation is wrong, or where the way back is cut. check: check_gradients."""
    if report.ok or not hasattr(problem, "tensors"):
        return
    calls = _recorded(problem)
    nodes = [call for call in calls if isinstance(call.ctx, Node)]
    wrong = [(call, of_one) for call in nodes if (of_one := _wrong(call, check)) is not None] if len(nodes) > 1 else []
    named = {call.function.__name__: _named(call, of_one, len(nodes)) for call, of_one in reversed(wrong)}
    report.whole += [*named.values()][::-1]
    below: dict[int, Mistake] = {}
    for call, _ in wrong:
        below |= dict.fromkeys((id(leaf) for leaf in _leaves(call.ctx)), named[call.function.__name__])
    for i, found in enumerate(report.inputs):
        if found.ok:
            continue
        if id(problem.tensors[i]) in below:
            found.explained, found.mistakes = True, [below[id(problem.tensors[i])]]
        elif (cut := _cut(problem, calls, i, found.name)) is not None:
            found.mistakes = [cut]


def _leaves(node: Any) -> Iterator[Any]:
    """The leaves whose gradients come through a node."""
    seen, waiting = set(), [node]
    while waiting:
        edge = waiting.pop()
        if isinstance(edge, AccumulateGrad):
            yield edge.variable
        elif edge is not None and edge not in seen:
            seen.add(edge)
            waiting += [following for following, _ in edge.next_functions]


def _named(call: _Recorded, report: Report, count: int) -> Mistake:
    name = call.function.__name__
    where = f" ({call.where})" if call.where else ""
    says = f"The backward of {name} is wrong{where}."
    bad = [found for found in report.inputs if not found.ok]
    causes = [*report.whole, *(mistake for found in bad for mistake in found.mistakes[:1])]
    if causes:
        says += f" {causes[0].says}"
    lines = [f"checked by itself at the arrays that it saw, of {bad[0].name} {list(bad[0].shape)}"]
    lines.append(f"{bad[0].failing} of {bad[0].counted} entries are wrong" if bad[0].failing else bad[0].problem)
    if bad[0].worst is not None:
        lines.append(f"the worst is {bad[0].worst.analytic:.6g} where {bad[0].worst.numeric:.6g} is due")
    if causes:
        lines.append(causes[0].evidence.rstrip("."))
    return Mistake(
        causes[0].name if causes else "operation", says, f"{', '.join(lines)}; {count} operations were checked"
    )


def _wrong(call: _Recorded, check: Callable[..., Report]) -> Report | None:
    """The report on one operation by itself, if its backward is wrong there."""
    needs = [
        isinstance(x, Tensor) and edge is not None and x.is_floating_point()
        for x, edge in zip(call.inputs, call.edges, strict=True)
    ]
    if not any(needs) or call.result.dtype != np.float64 or not call.result.size:
        return None
    written_for_tensors = getattr(call.function, "of_tensors", None)

    def forward(arrays: Sequence[Any]) -> Array:
        if written_for_tensors is not None:
            given = [wrap(a) if isinstance(x, Tensor) else a for x, a in zip(call.inputs, arrays, strict=True)]
            return np.asarray(written_for_tensors.apply(*given, **call.options).array)
        return np.asarray(call.function.forward(Context(tuple(needs)), *arrays, **call.options))

    try:
        with no_grad():
            if not np.array_equal(forward(call.arrays), call.result, equal_nan=True):
                return None  # it drew random numbers, or computes in another dtype
            suspicious = _suspicious(call, forward, needs)
        if not suspicious:
            return None
        copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in call.arrays]
        largest = max(a.size for a, need in zip(copies, needs, strict=True) if need)
        fast = largest * call.result.size > LARGEST
        with warnings.catch_warnings():  # the whole function's check has warned already
            warnings.simplefilter("ignore")
            if written_for_tensors is None:
                given = {"options": call.options, "needs_input_grad": needs, "fast_mode": fast}
                report = check(call.function, tuple(copies), **given)
            else:
                tensors = [
                    wrap(a).requires_grad_(need) if isinstance(x, Tensor) else a
                    for x, a, need in zip(call.inputs, copies, needs, strict=True)
                ]

                def repeated(*given: Any) -> Any:
                    return written_for_tensors.apply(*given, **call.options)

                with enable_grad():
                    report = check(repeated, tuple(tensors), fast_mode=fast)
    except Exception:  # whatever somebody's forward or backward raises when it is called by itself
        return None
    return None if report.ok else report


def _suspicious(call: _Recorded, forward: Callable[[Sequence[Any]], Array], needs: Sequence[bool]) -> bool:
    """Whether a backward disagrees with its forward along one of a few directions."""
    random = np.random.RandomState(3)
    grad = random.randn(*call.result.shape)
    gradients = call.ctx.input_gradients(grad)
    for k, (x, need) in enumerate(zip(call.arrays, needs, strict=True)):
        if not need:
            continue
        gradient = np.zeros(x.shape) if gradients[k] is None else np.asarray(gradients[k])
        for _ in range(DIRECTIONS):
            direction = np.where(random.random_sample(x.shape) < 0.5, -1.0, 1.0)
            errors = []
            for h in (1e-6, 1e-7):
                up, down = (
                    forward([*call.arrays[:k], x + step * direction, *call.arrays[k + 1 :]]) for step in (h, -h)
                )
                slope = float(((up - down) * grad).sum() / (2 * h))
                expected = float((gradient * direction).sum())
                errors.append(abs(slope - expected) / (1e-6 + 1e-4 * np.abs(gradient).sum() / max(np.sqrt(x.size), 1)))
            if not min(errors) <= 1:
                return True
    return False


def _cut(problem: Problem, calls: Sequence[_Recorded], i: int, name: str) -> Mistake | None:
    """The first operation that gets a value which depends on an input, but has no way back to it."""
    array, random = problem.arrays[i], np.random.RandomState(4)
    before = array.copy()
    try:
        array += 1e-5 * np.maximum(1, np.abs(before)) * random.uniform(0.5, 1, array.shape)
        moved = _recorded(problem)
    finally:
        array[...] = before
    if [call.function.__name__ for call in moved] != [call.function.__name__ for call in calls]:
        return None
    for call, other in zip(calls, moved, strict=True):
        for k, (x, y, edge) in enumerate(zip(call.arrays, other.arrays, call.edges, strict=True)):
            if edge is not None or not _differ(x, y):
                continue
            names = argument_names(call.function, len(call.arrays))
            which = names[k] if k < len(names) else f"input {k}"
            operation = call.function.__name__
            given = call.inputs[k]
            how = "it was taken out as a number (item(), float())"
            if isinstance(given, Tensor):
                how = "it was detached (detach(), .data, no_grad), or taken out as an array and put into a new Tensor"
            says = (
                f"The way back is cut: {which} of {operation} depends on {name}, but has no way back to it, because "
                f"{how}. Whatever passes there sends no gradient."
            )
            where = f"; {call.where}" if call.where else ""
            return Mistake(
                "detached",
                says,
                f"if {name} is moved, {which} of {operation} changes, but it requires no gradient{where}",
            )
    return None


def _differ(x: Any, y: Any) -> bool:
    """Whether two floats, or arrays of them, differ."""
    if not isinstance(x, np.ndarray | float | np.floating) or np.asarray(x).dtype.kind != "f":
        return False
    return not np.array_equal(x, y, equal_nan=True)
