"""Repeats a function of Tensors as plain calls of its operations' forwards, without Tensors or a tape.

gradcheck calls the same function thousands of times, and only one number changes. Most of that time is spent outside
the arithmetic. So the operations are recorded once, and those that depend on the number are repeated on arrays.
A recording does not see arithmetic on bare arrays, writes in place, or a branch on a value. A replay is therefore used
only after it gave the function's own results, bit for bit, at two other points and where it starts.
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
# A forward, which inputs need a gradient, the inputs' slots, the options, and the result's slot.
_Step = tuple[Callable[..., Any], tuple[bool, ...], list[int], dict[str, Any], int]


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


class Replay:
    """The operations of a function of Tensors, which can be repeated on arrays."""

    def __init__(self, function: Callable[[], list[Tensor]], arrays: Sequence[Array]) -> None:
        """arrays: the memory of the function's inputs that may change. The function must not be recorded now."""
        self._function, self._arrays = function, arrays
        with _recording() as recording:
            outputs = function()
        self._keep = recording, outputs  # the slots are numbered by id
        self._values: list[Any] = []
        slots: dict[int, int] = {}
        moving: dict[int, set[int]] = {}  # for each slot, which of the arrays it depends on

        def slot(x: Any) -> int:
            if id(x) not in slots:
                slots[id(x)] = len(self._values)
                self._values.append(x.array if isinstance(x, Tensor) else x)
                shared = arrays if isinstance(x, Tensor) else ()
                moving[slots[id(x)]] = {i for i, a in enumerate(shared) if np.may_share_memory(x.array, a)}
            return slots[id(x)]

        self._steps: list[tuple[set[int], _Step]] = []
        for operation, inputs, options, result in recording.steps:
            given = [slot(x) for x in inputs]
            depends = set().union(*(moving[i] for i in given))
            moving[slot(result)].update(depends)
            self._steps.append((depends, (operation.forward, (False,) * len(inputs), given, options, slot(result))))
        self._wanted = [slot(y) for y in outputs]

    def after_moving(self, array: Array) -> Results | None:
        """Gives the results after this array alone has changed; None if they are not the function's own here."""
        which = next(i for i, other in enumerate(self._arrays) if other is array)
        refreshed = _repeating(self._values, [step for depends, step in self._steps if depends], self._wanted)
        if not _same(self._function, refreshed):
            return None
        return _repeating([*self._values], [step for depends, step in self._steps if which in depends], self._wanted)

    def is_exact(self, step: float) -> bool:
        """Whether it gives the function's own results with all entries moved by about step, and moved back."""
        repeated = _repeating(self._values, [each for depends, each in self._steps if depends], self._wanted)
        before, random = [array.copy() for array in self._arrays], np.random.RandomState(0)
        moves = [step * random.uniform(0.5, 1.5, x.shape) * random.choice([-1, 1], x.shape) for x in before]
        try:
            for sign in (1, -1):
                for array, x, move in zip(self._arrays, before, moves, strict=True):
                    array[...] = x + sign * move * np.maximum(1, np.abs(x))
                if not _same(self._function, repeated):
                    return False
        finally:
            for array, x in zip(self._arrays, before, strict=True):
                array[...] = x
        return True


def replay(function: Callable[[], list[Tensor]], arrays: Sequence[Array], step: float) -> Replay | None:
    """A faster way to get the results of function after arrays have changed; None if there is no reliable one.

    function: gives Tensors that are computed from arrays, the memory of its inputs.
    step: how far the entries will be moved.
    """
    if anomaly_mode.watcher is not None:
        return None
    found = Replay(function, arrays)
    return found if found.is_exact(step) else None


def inputs_of(operation: type[Function], function: Callable[[], Any]) -> list[Sequence[Any]]:
    """What function gives to each call of an operation."""
    if anomaly_mode.watcher is not None:
        return []
    with _recording() as recording:
        function()
    return [inputs for called, inputs, _, _ in recording.steps if called is operation]


def _repeating(values: list[Any], steps: Sequence[_Step], wanted: Sequence[int]) -> Results:
    """Repeats these steps. The other values stay as they are."""

    def repeat() -> list[Array]:
        for forward, needs, given, options, result in steps:
            y = forward(Context(needs), *[values[i] for i in given], **options)
            values[result] = y if type(y) is np.ndarray else np.asarray(y)
        return [values[i] for i in wanted]

    return repeat


def _same(function: Callable[[], list[Tensor]], repeated: Results) -> bool:
    """Whether both give the same bits."""
    try:
        return all(_identical(a.array, b) for a, b in zip(function(), repeated(), strict=True))
    except Exception:  # a forward that cannot be called on bare arrays
        return False


def _identical(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
