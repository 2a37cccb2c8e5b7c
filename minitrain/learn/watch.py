"""Watches the learner's files, checks each one when it is saved, and reads single keys from the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

from minitrain.learn.commands import Check, check_once, introduce, show_hint, show_next
from minitrain.learn.screen import Screen
from minitrain.learn.workspace import LearnError, Workspace

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

INTERVAL = 0.1  # seconds between two looks at the files
PATIENCE = 15  # looks after which a missing file is reported

_Signature = tuple[int, int, int] | None  # a file's time in ns, size and inode; None if it does not exist


class Saves:
    """Finds the files that were saved since they were last seen.

    A save counts when two looks in a row find the same signature, so a half-written file is left alone. A missing file
    is not a save: editors remove a file for a moment while they replace it.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._seen = {name: _signature(path) for name, path in files.items()}
        self._changing: dict[str, _Signature] = {}

    def see(self, name: str) -> None:
        """Mark this file as seen; anything saved from now on, for example during a check, is a new save."""
        self._seen[name] = _signature(self._files[name])
        self._changing.pop(name, None)

    def look(self) -> list[str]:
        """The names of the files whose save is complete, the latest one last; marks them as seen."""
        saved: list[tuple[int, str]] = []
        for name, path in self._files.items():
            now = _signature(path)
            if now is None or now == self._seen[name]:
                self._changing.pop(name, None)
            elif now == self._changing.get(name):
                self._seen[name] = self._changing.pop(name)
                saved.append((now[0], name))
            else:
                self._changing[name] = now
        return [name for _, name in sorted(saved)]


def _signature(path: Path) -> _Signature:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


class Keys:
    """Reads single keys from a terminal, without Enter, as a context manager that restores the terminal on exit.

    Where stdin is not a terminal, in the background, and on Windows there are no keys.
    """

    def __init__(self) -> None:
        self._terminal = -1  # its file descriptor
        self._before: Any = None
        self._typed = ""

    def __enter__(self) -> Keys:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stdin is closed, or is not a file
            if termios is not None and sys.stdin.isatty():
                self._terminal = sys.stdin.fileno()
                self._before = termios.tcgetattr(self._terminal)
                self._switch_on()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.are_read():
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def are_read(self) -> bool:
        """Whether keys can be read now: a process in the background must not touch the terminal."""
        with contextlib.suppress(OSError):  # the terminal was closed
            return self._terminal >= 0 and os.tcgetpgrp(self._terminal) == os.getpgrp()
        return False

    def wait(self, seconds: float) -> str:
        """The next key in lower case, or "" after this time, and for an arrow or a function key."""
        if not self._typed and self.are_read():
            self._switch_on()
            if select.select([self._terminal], [], [], seconds)[0]:
                typed = os.read(self._terminal, 1024).decode("utf-8", "ignore")
                self._terminal = self._terminal if typed else -1  # at the end of the input: nobody can type any more
                self._typed = _SEQUENCE.sub("", typed).lower()
        elif not self._typed:
            time.sleep(seconds)
        key, self._typed = self._typed[:1], self._typed[1:]
        return key

    def _switch_on(self) -> None:
        """Have the terminal hand over each key at once, unshown; after Ctrl-Z the shell has changed that."""
        if self.are_read() and termios.tcgetattr(self._terminal)[3] & termios.ICANON:
            tty.setcbreak(self._terminal, termios.TCSADRAIN)


_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O?.?)")  # what an arrow or a function key sends

HELP = """
  h  one more hint
  n  the next exercise
  r  run the check again
  q  quit (or Ctrl-C)
  ?  these keys"""
SHORT_HELP = "Keys: h hint, n next, r run again, q quit, ? help"


def watch(
    workspace: Workspace, name: str | None, screen: Screen, check: Check, wait: Callable[[float], str] | None = None
) -> None:
    """Check an exercise on every save until it passes, then the next one; returns when all are done, on q or Ctrl-C.

    name: where to start; None: at the next exercise that is not done. Whichever exercise is saved is checked. A file
    that was not changed is not checked until it is saved. wait: waits for some seconds, and returns the key that was
    pressed, or ""; default: the terminal's keys. Raises LearnError if the folder disappears.
    """
    with Keys() as keys:
        try:
            _Watch(workspace, screen, check, wait or keys.wait, has_keys=wait is not None or keys.are_read()).run(name)
        except KeyboardInterrupt:
            stopped = "Stopped watching. Your progress is saved: minitrain learn list"
            screen.print("\n" + textwrap.fill(stopped, screen.width))


class _Watch:
    """Watches a workspace: what is checked now, which exercise is the current one, and what a key does."""

    def __init__(
        self, workspace: Workspace, screen: Screen, check: Check, wait: Callable[[float], str], *, has_keys: bool
    ) -> None:
        self._workspace, self._screen, self._check, self._wait = workspace, screen, check, wait
        self._saves = Saves({exercise.name: workspace.file(exercise) for exercise in workspace.exercises.values()})
        self._has_keys = has_keys

    def run(self, name: str | None) -> None:
        """Watch until all exercises are done."""
        workspace, screen = self._workspace, self._screen
        current = workspace.resolve(name) if name is not None else show_next(workspace, screen)
        if current is None:
            return
        if name is not None:
            introduce(workspace, current, screen)
        keys = f"\n{SHORT_HELP}" if self._has_keys else " Press Ctrl-C to stop."
        screen.print(screen.paint(f"\nWatching: each save is checked.{keys}", "dim"))
        due = not workspace.is_stub(current)
        while current is not None:
            if not due:
                current, due = self._next(current)
                continue
            due = False
            self._saves.see(current.name)
            content = workspace.content(current)
            if content is None:
                continue
            screen.print("\n" + screen.paint(f"--- {time.strftime('%H:%M:%S')} ".ljust(screen.width, "-"), "dim"))
            if check_once(workspace, current, content, screen, self._check):
                screen.print()
                current, due = self._following(current)
            elif self._has_keys:
                screen.print(screen.paint(SHORT_HELP, "dim"))

    def _following(self, current: Exercise) -> tuple[Exercise | None, bool]:
        """Show the next exercise that is not done; returns it, and whether it is already written."""
        following = show_next(self._workspace, self._screen, after=current)
        return following, following is not None and not self._workspace.is_stub(following)

    def _next(self, current: Exercise) -> tuple[Exercise | None, bool]:
        """Wait for a save or a key; returns the exercise that is current then, and whether to check it.

        If several were saved, the current one is preferred.
        """
        workspace, screen, missed = self._workspace, self._screen, 0
        while True:
            if saved := self._saves.look():
                return current if current.name in saved else workspace.exercises[saved[-1]], True
            missed = 0 if workspace.file(current).exists() else missed + 1
            if missed == PATIENCE:
                if not workspace.folder.is_dir():
                    raise LearnError(f"the folder {workspace.folder} is gone; minitrain learn start makes a new one")
                screen.print(
                    f"\n{workspace.shown(workspace.file(current))} is gone. Save it again, or run: "
                    f"minitrain learn reset {current.name}"
                )
            match self._wait(INTERVAL):
                case "h":
                    screen.print()
                    show_hint(workspace, current.name, screen)
                case "n":
                    screen.print()
                    return self._following(current)
                case "r":
                    return current, True
                case "q":
                    raise KeyboardInterrupt  # as Ctrl-C
                case "?":
                    screen.print(HELP)
