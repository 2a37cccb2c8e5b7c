"""Whether operations are recorded (no_grad and its relatives), and whether they are watched for nan and infinity."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, Protocol, Self

from minitrain.ops import Array, Context, Function


class _GradMode(threading.local):
    enabled = True
    inference = False


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return grad_mode.enabled


class _Mode(ContextDecorator):
    """Sets the grad mode on entry and restores the previous one on exit; it can be nested and reused."""

    mode: bool
    inference = False
    _previous: list[tuple[bool, bool]]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        new = super().__new__(cls)
        new._previous = []
        return new if function is None else new(function)  # `@no_grad` without parentheses decorates

    def __call__(self, function: Callable[..., Any]) -> Any:
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        def generator(*args: Any, **options: Any) -> Any:
            running = function(*args, **options)  # the mode holds while it runs, not while its caller does
            sent, value = None, None
            while True:
                try:
                    with self._recreate_cm():
                        value = running.send(sent)
                except StopIteration as stop:
                    result: Any = stop.value
                    return result
                sent = yield value

        return generator

    def _recreate_cm(self) -> Self:
        new = type(self)()  # each call of a decorated function gets its own: other threads may call it meanwhile
        new.mode, new.inference = self.mode, self.inference
        return new

    def __enter__(self) -> None:
        self._previous.append((grad_mode.enabled, grad_mode.inference))
        grad_mode.enabled, grad_mode.inference = self.mode, self.inference or grad_mode.inference

    def __exit__(self, *exception: object) -> None:
        grad_mode.enabled, grad_mode.inference = self._previous.pop()


class no_grad(_Mode):  # noqa: N801, torch's name
    """Operations inside are not recorded: `with no_grad():`, or `@no_grad()` above a function."""

    mode = False


class enable_grad(_Mode):  # noqa: N801, torch's name
    """Operations inside are recorded, even within no_grad."""

    mode = True


class inference_mode(_Mode):  # noqa: N801, torch's name
    """no_grad whose results may not be used in a graph later, nor written to. inference_mode(False) is enable_grad."""

    mode = False
    inference = True

    def __new__(cls, mode: Callable[..., Any] | bool = True) -> Any:
        if not isinstance(mode, bool):
            return super().__new__(cls, mode)
        new = super().__new__(cls)
        new.mode, new.inference = not mode, mode
        return new


class set_grad_enabled(ContextDecorator):  # noqa: N801, torch's name
    """Switches recording on or off at once; as a context manager, restores the previous mode on exit.

    As a decorator it switches only during the function's calls.
    """

    def __init__(self, mode: bool) -> None:
        self._mode, self._previous = mode, grad_mode.enabled
        grad_mode.enabled = mode

    def __call__(self, function: Callable[..., Any]) -> Any:
        grad_mode.enabled = self._previous
        return super().__call__(function)

    def _recreate_cm(self) -> Self:
        return type(self)(self._mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        grad_mode.enabled = self._previous


class Watcher(Protocol):
    """Observes every operation, backward and update, and may raise. diagnosis/anomaly.py has the one that exists."""

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Any
    ) -> None:
        """An operation has run; inputs and result are Tensors, or whatever else apply was given."""

    def input_gradients(self, node: Any, grad: Array) -> list[Array | None]:
        """node.input_gradients(grad), run by the watcher."""
        raise NotImplementedError

    def before_sum(self, edge: Any, first: Array, second: Array) -> None:
        """Two gradients of one value are about to be added."""

    def before_step(self, optimizer: Any) -> None:
        """An optimizer is about to update its parameters."""

    def after_step(self, optimizer: Any) -> None:
        """The optimizer has updated its parameters."""


class _AnomalyMode(threading.local):
    watcher: Watcher | None = None


anomaly_mode = _AnomalyMode()


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on in this thread."""
    return anomaly_mode.watcher is not None
