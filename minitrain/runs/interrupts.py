"""Ctrl-C and its like: the first signal asks a run to stop where it can go on later, the second ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

# What asks a run to stop; SIGPIPE stands for an output that nobody reads any more, and is never really sent.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal has ended what was running.

    signal: its number. run: the directory of the run that can go on, if there is one; saved: whether as it was when
    it stopped, or as it was at the checkpoint before.
    """

    def __init__(self, signal: int, message: str = "", *, run: Path | None = None, saved: bool = False) -> None:
        super().__init__(message)
        self.signal, self.run, self.saved = signal, run, saved


def stop_at_once() -> None:
    """Have a signal that asks to end raise Interrupted from now on, as Ctrl-C raises KeyboardInterrupt."""
    _handle(_raise)


def ignore() -> None:
    """Have a signal that asks to end change nothing from now on, while its end is told of."""
    _handle(_do_nothing)


def end_at_once() -> None:
    """Have a signal that asks to end do so from now on as the system does it, without an exception."""
    _handle(signal.SIG_DFL)


def discard_output() -> None:
    """Let what is printed from now on go nowhere: nobody reads it, or it cannot be written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Interrupts(contextlib.AbstractContextManager["Interrupts"]):
    """Within it the first signal is only noted, so that a run can finish its batch; each further one raises.

    signal: the number of the one that was noted, or 0. says: whether it tells of that on stderr.
    What a process was told to ignore (nohup, a shell's background job) stays ignored. Handlers belong to the main
    thread; in another one nothing is caught.
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
        if not self._says:
            return
        with contextlib.suppress(OSError):  # not print, which the signal may have interrupted
            os.write(2, b"\nminitrain: stopping after this batch, and saving; once more to stop at once\n")


def _do_nothing(number: int, frame: Any) -> None:
    pass


def _raise(number: int, frame: Any) -> None:
    raise Interrupted(number)


def _handle(handler: Any) -> dict[int, Any]:
    """Set the handler of each signal that is not ignored; returns those before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {}
    for number in SIGNALS:
        if number != getattr(signal, "SIGPIPE", None) and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, handler)
    return before
