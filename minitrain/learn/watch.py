"""Watching the learner's files: which of them were saved, told by their times, and what happens then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from minitrain.learn.commands import WIDTH, Check, check_once, introduce, show_next
from minitrain.learn.screen import Screen
from minitrain.learn.workspace import LearnError, Workspace

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

INTERVAL = 0.1  # seconds from one look to the next
PATIENCE = 15  # looks after which a file that has vanished is missed

_Signature = tuple[int, int, int] | None  # a file's time in ns, size and inode; None while it is not there


class Saves:
    """Tells which files were saved since they were last seen.

    A save counts once two looks in a row find the same file, so that a half-written one is left to be finished. A file
    that is not there is not a save, since editors take a file away for a moment while they put a new one in its place.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._seen = {name: _signature(path) for name, path in files.items()}
        self._changing: dict[str, _Signature] = {}

    def see(self, name: str) -> None:
        """Take this file as it is now for seen: what is saved from now on, during a check, say, is a new save."""
        self._seen[name] = _signature(self._files[name])
        self._changing.pop(name, None)

    def look(self) -> list[str]:
        """The names of the files that were saved and have come to rest, the latest save last; they are seen then."""
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


def watch(
    workspace: Workspace,
    name: str | None,
    screen: Screen,
    check: Check,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Check an exercise on every save until it passes, then the next; returns when all are done, or on Ctrl-C.

    name: where to begin; else with the next one not done. Whichever exercise's file is saved is the one that is
    checked. One that is still as it was made is not checked until it is saved. Raises LearnError if the folder goes.
    """
    current = workspace.resolve(name) if name is not None else show_next(workspace, screen)
    if current is None:
        return
    if name is not None:
        introduce(workspace, current, screen)
    saves = Saves({exercise.name: workspace.file(exercise) for exercise in workspace.exercises.values()})
    screen.print(screen.paint("\nWatching: each save is checked. Ctrl-C ends it.", "dim"))
    due = not workspace.is_stub(current)
    try:
        while True:
            if due:
                saves.see(current.name)
                content = workspace.content(current)
                if content is not None and _check(workspace, current, content, screen, check):
                    screen.print()
                    following = show_next(workspace, screen, after=current)
                    if following is None:
                        return
                    current = following
                    due = not workspace.is_stub(current)
                    continue
            current = _next_save(workspace, current, saves, screen, sleep)
            due = True
    except KeyboardInterrupt:
        screen.print("\nNo longer watching. What you have done is remembered: minitrain learn list")


def _check(workspace: Workspace, exercise: Exercise, content: bytes, screen: Screen, check: Check) -> bool:
    screen.print("\n" + screen.paint(f"--- {time.strftime('%H:%M:%S')} ".ljust(WIDTH, "-"), "dim"))
    return check_once(workspace, exercise, content, screen, check)


def _next_save(
    workspace: Workspace, current: Exercise, saves: Saves, screen: Screen, sleep: Callable[[float], None]
) -> Exercise:
    """Wait for a save; returns the exercise that was saved: the current one, if it is among several."""
    missed = 0
    while True:
        if saved := saves.look():
            return current if current.name in saved else workspace.exercises[saved[-1]]
        missed = 0 if workspace.file(current).exists() else missed + 1
        if missed == PATIENCE:
            if not workspace.folder.is_dir():
                raise LearnError(f"the folder {workspace.folder} is gone; minitrain learn start makes a new one")
            screen.print(
                f"\n{workspace.shown(workspace.file(current))} is gone. Save it again, or: "
                f"minitrain learn reset {current.name}"
            )
        sleep(INTERVAL)
