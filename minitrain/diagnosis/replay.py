"""Repeats a function of Tensors as plain calls of its operations' forwards, without Tensors or a tape.

gradcheck calls the same function thousands of times, and only one number changes. Most of that time is spent outside
the arithmetic. So the operations are recorded once, and those that depend on the number are repeated on arrays.
A recording does not see arithmetic on bare arrays, writes in place, or a branch on a value. A replay is therefore used
only after it gave the function's own results, bit for bit, at two other points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitrain.ops import Array, Context, Function
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import anomaly_mode

Results = Callable[[], list[Array]]


class _Recording:
    """Observes operations, and keeps what each was given and gave."""

    def __init__(self) -> None:
        self.steps: list[tuple[type[Function], Sequence[Any], dict[str, Any], Tensor]] = []

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Any
    ) -> None:
        self.steps.append((function, inputs, options, result))


@contextmanager
def _recording() -> Iterator[_Recording]:
    recording = _Recording()
    anomaly_mode.watcher = recording  # type: ignore[assignment]  # there is no backward here for it to observe
    try:
        yield recording
    finally:
        anomaly_mode.watcher = None


def replay(function: Callable[[], list[Tensor]], array: Array, step: float) -> Results | None:
    """A faster way to get the results of function after array has changed; None if there is no reliable one.

    function: gives Tensors that are computed from array, the memory of one of its inputs. It must not be recorded now.
    step: how far the entries will be moved.
    """
    if anomaly_mode.watcher is not None:
        return None
    with _recording() as recording:
        outputs = function()
    repeated = _repeated(recording, outputs, array)
    return repeated if _same(lambda: [y.array for y in function()], repeated, array, step) else None


def inputs_of(operation: type[Function], function: Callable[[], Any]) -> list[Sequence[Any]]:
    """What function gives to each call of an operation."""
    if anomaly_mode.watcher is not None:
        return []
    with _recording() as recording:
        function()
    return [inputs for called, inputs, _, _ in recording.steps if called is operation]


def _repeated(recording: _Recording, outputs: Sequence[Tensor], array: Array) -> Results:
    """Repeats the steps that depend on array. The other values stay as they were recorded."""
    slots: dict[int, int] = {}  # by id; the recording keeps the objects alive
    values: list[Any] = []
    changing: set[int] = set()

    def slot(x: Any) -> int:
        if id(x) not in slots:
            slots[id(x)] = len(values)
            values.append(x.array if isinstance(x, Tensor) else x)
            if isinstance(x, Tensor) and np.may_share_memory(x.array, array):
                changing.add(slots[id(x)])
        return slots[id(x)]

    steps = []
    for function, inputs, options, result in recording.steps:
        given = [slot(x) for x in inputs]
        if changing.intersection(given):
            changing.add(slot(result))
            steps.append((function.forward, (False,) * len(inputs), given, options, slot(result)))
    wanted = [slot(y) for y in outputs]

    def repeat(keep: Any = (recording, outputs)) -> list[Array]:
        for forward, needs, given, options, result in steps:
            y = forward(Context(needs), *[values[i] for i in given], **options)
            values[result] = y if type(y) is np.ndarray else np.asarray(y)
        return [values[i] for i in wanted]

    return repeat


def _same(original: Results, repeated: Results, array: Array, step: float) -> bool:
    """Whether both give the same bits with every entry moved by about a step, and with the opposite moves."""
    before, random = array.copy(), np.random.RandomState(0)
    moves = step * random.uniform(0.5, 1.5, array.shape) * random.choice([-1, 1], array.shape)
    moves *= np.maximum(1, np.abs(before))
    try:
        for moved in (before + moves, before - moves):
            array[...] = moved
            right, ours = original(), repeated()
            if not all(_identical(a, b) for a, b in zip(right, ours, strict=True)):
                return False
    except Exception:  # a forward that cannot be called on bare arrays
        return False
    finally:
        array[...] = before
    return True


def _identical(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
