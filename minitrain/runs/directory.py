"""The directory of a run that is being trained: created, locked and written by one process at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from minitrain.files import PART, read_beginning, write_atomically
from minitrain.runs.checkpoints import checkpoints, updates_of
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import config_json
from minitrain.runs.line_file import LineFile, Place
from minitrain.runs.run_files import (
    CHECKPOINTS,
    COLUMNS,
    CONFIG,
    FORMAT,
    LINES,
    LOCK,
    WEIGHTS,
    RunError,
    UnreadableError,
    check_out,
    check_run,
    is_link,
)
from minitrain.serialization import save

KEPT = 2  # checkpoints
SESSIONS = 1000  # the newest are kept


class VanishedError(RunError):
    """The directory of a run, or a file in it, was removed, moved or replaced while a process trained the run."""


def make_run_dir(out: str | os.PathLike[str] | None, dataset: str) -> RunDirectory:
    """Create and lock the directory of a run: out, or runs/<dataset>-<n> with the first free n.

    Raises ConfigError, without changing anything, if out cannot be used.
    """
    check_out(out)
    path = Path("runs") if out is None else Path(out)
    try:
        if out is not None:
            path.mkdir(parents=True, exist_ok=True)
            directory = RunDirectory(path)
        else:
            directory = RunDirectory(_make_numbered(path, dataset))
    except OSError as error:
        raise ConfigError(f"cannot create the directory {path} ({error.strerror}); choose another --out") from None
    with contextlib.ExitStack() as undo:
        undo.enter_context(directory)
        check_out(out)  # another run may have begun there before it was locked
        undo.pop_all()
    return directory


def _make_numbered(folder: Path, name: str) -> Path:
    """Create the directory <name>-<n> with the first free n."""
    for n in itertools.count():
        path = folder / f"{name}-{n}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path


def open_run(run: str | os.PathLike[str]) -> RunDirectory:
    """Lock the directory of an existing run. Raises ConfigError if it does not exist, RunError if it is in use."""
    path = check_run(run)
    try:
        directory = RunDirectory(path)
        with contextlib.ExitStack() as undo:
            undo.enter_context(directory)
            check_run(path)  # locking makes a directory that has vanished meanwhile
            undo.pop_all()
        return directory
    except OSError as error:
        raise RunError(f"cannot write in {path} ({error.strerror}); make it writable to resume the run") from None


class RunDirectory:
    """A run's directory, locked against other processes until close(), or to the end of a `with`.

    Methods that write raise OSError, and leave intact what was there; VanishedError if the directory has vanished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, LineFile] = {}
        self.description: dict[str, Any] = {}
        self._lock = _lock(path)
        self._held: dict[str, os.stat_result | None] = {LOCK: (path / LOCK).lstat()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the directory."""
        for lines in self.lines.values():
            lines.close()
        self._lock.release()

    # --- a directory that vanishes ---

    def check_in_place(self) -> None:
        """Raise VanishedError if the directory is no longer the one that was locked, or lacks a file or has a link."""
        folder = self.path / CHECKPOINTS
        wrong = [folder] if is_link(folder) else []
        known = {**self._held, **{name: lines.stat() for name, lines in self.lines.items()}}
        wrong += [self.path / name for name, file in known.items() if not _is_in_place(self.path / name, file)]
        if wrong:
            what = wrong[0] if os.path.lexists(self.path / CONFIG) else self.path
            raise VanishedError(f"{what} was removed, moved or replaced during the run")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Check before and after a write: writing to a file that was removed does not fail."""
        self.check_in_place()
        try:
            yield
        finally:
            self.check_in_place()

    def rescue(self, state: dict[str, Any], updates: int, weights: Any = None) -> Path:
        """Save a state, all lines so far, and the weights of a complete run as a new run, since this one has vanished.

        Returns its directory: <run>-rescued-<n> beside this one, or in the folder for temporary files.
        Raises OSError or RunError.
        """
        reason: Exception = OSError()
        for temporary in (False, True) * 2:  # twice: what has removed the directory may remove the new one, too
            try:
                folder = Path(tempfile.gettempdir()) if temporary else self.path.parent
                rescued = RunDirectory(_make_numbered(folder, f"{self.path.name}-rescued"))
                try:
                    rescued.description = self.description
                    rescued.write_description()
                    for name, lines in self.lines.items():
                        rescued.lines[name] = LineFile(rescued.path / name, lines.content())
                    rescued.save_checkpoint(state, updates)
                    if weights is not None:
                        rescued.save_weights(weights)
                except BaseException:
                    rescued.discard()
                    raise
                rescued.close()
                return rescued.path
            except (OSError, RunError) as error:
                reason = error
        raise reason

    # --- config.json ---

    def describe(self, config: Config, environment: Mapping[str, Any], session: Mapping[str, Any]) -> None:
        """Write the configuration, and add a session to those before it."""
        before = self.description.get("sessions", [])[-SESSIONS + 1 :]
        sessions = [*before, {**session, "environment": dict(environment)}]
        self.description = {**dataclasses.asdict(config), "environment": dict(environment), "sessions": sessions}
        self.write_description()

    @property
    def session(self) -> str | None:
        """The id of the present session; None in a run that an old minitrain described."""
        sessions = self.description.get("sessions", [])
        return sessions[-1].get("id") if sessions else None

    def write_description(self) -> None:
        """Write config.json."""
        with self._writing():
            write_atomically(self.path / CONFIG, config_json(self.description))
        self._held[CONFIG] = None

    def set_aside(self, name: str) -> Path | None:
        """Rename a damaged file, for example to steps.damaged-1.csv. Returns the new path; None if there is no file."""
        path = self.path / name
        self.check_in_place()
        if not os.path.lexists(path):
            return None
        names = (path.with_name(f"{path.stem}.damaged-{n}{path.suffix}") for n in itertools.count(1))
        kept = next(name for name in names if not os.path.lexists(name))
        path.rename(kept)
        return kept

    # --- lines ---

    def begin_lines(self, places: Mapping[str, Place] | None = None) -> list[str]:
        """Open the tables and the log, cut off after these places; new ones if places is None.

        Returns a message for each file that had other content, which is kept under another name.
        """
        messages = []
        for name in LINES:
            path = self.path / name
            content = f"{COLUMNS[name]}\n".encode() if name in COLUMNS else b""
            length = len(content) + 1 if places is None else places[name].length
            found = read_beginning(path, length) if path.is_file() else b""
            if places is None:
                fits, fault = found in (b"", content), "has lines, but there is no checkpoint"
            else:
                fits = Place(len(found), zlib.crc32(found)) == places[name]
                fault = "is not as the run left it"
                content = (fits and found) or content  # an old run has no table of its layers yet
            if not fits:
                kept = self.set_aside(name)
                messages.append(
                    f"{path} {fault}; it starts again" + (f", and {kept} keeps the old one" if kept else "")
                )
            self.check_in_place()
            self.lines[name] = LineFile(path, content)
            self.check_in_place()
        return messages

    def flush(self, *, sync: bool = True) -> dict[str, Place]:
        """Write all lines, and wait until they are on the disk if sync; returns where each file ends."""
        with self._writing():
            for lines in self.lines.values():
                lines.flush()
            if sync:
                # All at once: the disk then writes them together, in a quarter of the time.
                with ThreadPoolExecutor(len(LINES)) as threads:
                    list(threads.map(LineFile.sync, self.lines.values()))
        return {name: lines.place for name, lines in self.lines.items()}

    # --- checkpoints and weights ---

    def save_checkpoint(self, state: dict[str, Any], updates: int) -> Path:
        """Write a state; once it is on the disk, remove all checkpoints but it and the one before it."""
        places = {name: list(place) for name, place in self.flush().items()}
        path = self.path / CHECKPOINTS / f"{updates:09d}.safetensors"
        with self._writing():
            path.parent.mkdir(exist_ok=True)
            save({"format": FORMAT, "session": self.session, **state, "lines": places}, path)
            self.check_in_place()
            with contextlib.suppress(OSError, UnreadableError):
                found = checkpoints(self.path)  # later ones are damaged: an earlier session wrote them
                kept = [other for other in found if updates_of(other) <= updates][-KEPT:]
                for other in found:
                    if other not in kept:
                        other.unlink()
        return path

    def forget_after(self, checkpoint: Path) -> None:
        """Remove the checkpoints after this one."""
        self.check_in_place()
        for later in checkpoints(self.path):
            if updates_of(later) > updates_of(checkpoint):
                later.unlink()

    def save_weights(self, weights: Any) -> None:
        """Write the trained weights."""
        with self._writing():
            save(weights, self.path / WEIGHTS)

    def remove_weights(self) -> None:
        """Remove the weights of a complete run that trains further."""
        with self._writing():
            (self.path / WEIGHTS).unlink(missing_ok=True)

    # --- room ---

    def check_room(self, checkpoint: Path) -> None:
        """Raise OSError if the disk has no room for the kept checkpoints and the one being written."""
        needed, free = (KEPT + 1) * checkpoint.stat().st_size, shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"checkpoints need {needed / 1e6:,.1f} MB")

    def reason(self, error: OSError) -> str:
        """Why a write failed, and how much room there is if the disk is full."""
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error)
        with contextlib.suppress(OSError):
            if is_full(error):
                reason += f"; {shutil.disk_usage(self.path).free / 1e6:,.1f} MB are free"
        return reason

    def clean(self) -> None:
        """Remove the unfinished files of a process that was killed."""
        names = (CONFIG, WEIGHTS, *LINES, f"{CHECKPOINTS}/*.safetensors")  # not the user's own files
        for name in names:
            with contextlib.suppress(OSError):  # checkpoints/ may vanish meanwhile
                for part in self.path.glob(f"{name}.*{PART}"):
                    part.unlink()

    def discard(self) -> None:
        """Remove a run that could not begin, but none of the user's own files, nor a run that has replaced it."""
        own = _is_in_place(self.path / LOCK, self._held[LOCK])
        self.close()
        if not own:
            return
        for path in (*checkpoints(self.path), *(self.path / name for name in (CONFIG, *LINES, LOCK))):
            with contextlib.suppress(OSError):
                path.unlink()
        for folder in (self.path / CHECKPOINTS, self.path):
            with contextlib.suppress(OSError):  # it may hold other files
                folder.rmdir()


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _lock(path: Path) -> Any:
    import filelock  # here, so that importing minitrain costs little more than importing NumPy

    if os.path.lexists(path / LOCK) and not stat.S_ISREG((path / LOCK).lstat().st_mode):
        raise RunError(f"{path / LOCK} is a link, or not a file; remove it")  # locking might empty what it points to
    lock = filelock.FileLock(path / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise RunError(f"{path} is in use by another process; wait until it ends, or stop it") from None
    return lock


def _is_in_place(path: Path, known: os.stat_result | None) -> bool:
    """Whether there is a file at path, the known one unless None, and no link; True if permissions hide it."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        return error.errno != errno.ELOOP
    return stat.S_ISREG(found.st_mode) and (known is None or os.path.samestat(found, known))
