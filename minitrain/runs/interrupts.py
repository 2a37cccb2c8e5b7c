"""Ctrl-C and other signals: the first asks a run to stop after its batch, the second stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from minitrain.command_start import INTERRUPTED

# The signals that ask a run to stop. SIGPIPE stands for an output that nobody reads any more; it is never really sent.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal has stopped the command.

    signal: its number. run: the directory of the run that can be resumed, if there is one.
    saved: whether the state was saved when it stopped; otherwise the run resumes from its last checkpoint.
    """

    def __init__(self, signal: int, message: str = "", *, run: Path | None = None, saved: bool = False) -> None:
        super().__init__(message)
        self.signal, self.run, self.saved = signal, run, saved


def stop_at_once() -> None:
    """Raise Interrupted at any of these signals from now on."""
    _handle(_raise)


def stop_always() -> None:
    """End the process where Python would print and ignore an Interrupted, such as one raised in a callback."""
    sys.unraisablehook = _end_or_print


def _end_or_print(unraisable: Any) -> None:
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    with contextlib.suppress(OSError):
        os.write(2, INTERRUPTED)
    os._exit(128 + getattr(unraisable.exc_value, "signal", signal.SIGINT))


def ignore() -> None:
    """Ignore these signals from now on, while the exit is being reported."""
    _handle(lambda number, frame: None)


def end_at_once() -> None:
    """Let these signals end the process from now on, as the system does by default, without an exception."""
    _handle(signal.SIG_DFL)
    if sys.unraisablehook is _end_or_print:
        sys.unraisablehook = sys.__unraisablehook__


def discard_output() -> None:
    """Print to nowhere from now on: nobody reads the output, or it cannot be written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Interrupts(contextlib.AbstractContextManager["Interrupts"]):
    """Inside it the first signal is only noted, so that a run can finish its batch; each further one raises.

    signal: the number of the noted signal, or 0. says: whether it is announced on stderr.
    Signals that the process ignores (nohup, a shell's background job) stay ignored. Only the main thread can handle
    signals; in another thread this does nothing.
    """

    def __init__(self, *, says: bool = True) -> None:
        self.signal, self._says = 0, says
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = _handle(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.signal:
            _raise(number, frame)
        self.signal = number
        if self._says:
            with contextlib.suppress(OSError):  # not print, which the signal may have interrupted
                os.write(2, b"\nminitrain: stopping after this batch and saving; Ctrl-C again stops at once\n")


def _raise(number: int, frame: Any) -> None:
    raise Interrupted(number)


def _handle(handler: Any) -> dict[int, Any]:
    """Set the handler of each signal that is not ignored; returns the earlier handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {}
    for number in SIGNALS:
        if number != getattr(signal, "SIGPIPE", None) and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, handler)
    return before
