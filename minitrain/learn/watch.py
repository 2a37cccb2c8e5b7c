"""Watches the learner's files, and checks each one when it is saved."""

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


def watch(
    workspace: Workspace,
    name: str | None,
    screen: Screen,
    check: Check,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Check an exercise on every save until it passes, then the next one; returns when all are done, or on Ctrl-C.

    name: where to start; None: at the next exercise that is not done. Whichever exercise is saved is checked. A file
    that was not changed is not checked until it is saved. Raises LearnError if the folder disappears.
    """
    current = workspace.resolve(name) if name is not None else show_next(workspace, screen)
    if current is None:
        return
    if name is not None:
        introduce(workspace, current, screen)
    saves = Saves({exercise.name: workspace.file(exercise) for exercise in workspace.exercises.values()})
    screen.print(screen.paint("\nWatching: each save is checked. Press Ctrl-C to stop.", "dim"))
    due = not workspace.is_stub(current)
    try:
        while True:
            if not due:
                current = _next_save(workspace, current, saves, screen, sleep)
            due = False
            saves.see(current.name)
            content = workspace.content(current)
            if content is None:
                continue
            screen.print("\n" + screen.paint(f"--- {time.strftime('%H:%M:%S')} ".ljust(WIDTH, "-"), "dim"))
            if check_once(workspace, current, content, screen, check):
                screen.print()
                following = show_next(workspace, screen, after=current)
                if following is None:
                    return
                current, due = following, not workspace.is_stub(following)
    except KeyboardInterrupt:
        screen.print("\nStopped watching. Your progress is saved: minitrain learn list")


def _next_save(
    workspace: Workspace, current: Exercise, saves: Saves, screen: Screen, sleep: Callable[[float], None]
) -> Exercise:
    """Wait for a save and return its exercise; if several were saved, the current one is preferred."""
    missed = 0
    while True:
        if saved := saves.look():
            return current if current.name in saved else workspace.exercises[saved[-1]]
        missed = 0 if workspace.file(current).exists() else missed + 1
        if missed == PATIENCE:
            if not workspace.folder.is_dir():
                raise LearnError(f"the folder {workspace.folder} is gone; minitrain learn start makes a new one")
            screen.print(
                f"\n{workspace.shown(workspace.file(current))} is gone. Save it again, or run: "
                f"minitrain learn reset {current.name}"
            )
        sleep(INTERVAL)
