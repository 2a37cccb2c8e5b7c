"""A run's directory: what lies in it, who may write there, and how it is read again; no file in it is trusted.

config.json          the configuration, what the run's bits depend on, and each session that ran it
steps.csv            each update: epoch, batch, samples seen in the epoch, loss
epochs.csv           each test: epoch, accuracy, loss, seconds
log.txt              the lines of the log
checkpoints/         the two newest states that a run can go on from, each named after its number of updates
model.safetensors    the trained weights, once the run is complete
.lock                locked while a process runs it; the system unlocks it when that process ends, in whatever way
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import math
import os
import re
import shlex
import shutil
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args, get_origin, get_type_hints

from minitrain.files import PART, parse_json, read_beginning, read_file, shown, write_atomically
from minitrain.runs.config import Config, ConfigError
from minitrain.serialization import load, save

FORMAT = 1  # of config.json and of checkpoints
CONFIG, WEIGHTS, CHECKPOINTS = "config.json", "model.safetensors", "checkpoints"
COLUMNS = {"steps.csv": "epoch,batch,samples,loss", "epochs.csv": "epoch,accuracy,loss,seconds"}
LINES = (*COLUMNS, "log.txt")
LOCK = ".lock"
KEPT = 2  # checkpoints
SESSIONS = 1000  # the last of them are kept
LARGEST_CONFIG = 2**22  # bytes; a real one has 2 kB, and 1 kB for each session


class RunError(RuntimeError):
    """A run's directory is in use, damaged, or cannot be written."""


class UnreadableError(RunError):
    """A file is there, but may not be read, or the disk does not give it."""


# --- making one -------------------------------------------------------------------------------------------------------


def check_out(out: str | os.PathLike[str] | None) -> None:
    """Raise ConfigError if out cannot become a run's directory: it holds a run already, or is a file."""
    if out is None:
        return
    path = Path(out)
    if not str(out):
        raise ConfigError("out is empty; name a directory for the run, or leave --out away")
    try:
        is_there = path.exists()
    except OSError as error:  # such as that its name is too long
        raise ConfigError(f"--out cannot be {str(out)!r} ({error.strerror}); choose another one") from None
    if is_there and not path.is_dir():
        raise ConfigError(f"{path} is a file; choose another --out")
    if any(os.path.lexists(path / name) for name in (CONFIG, WEIGHTS, CHECKPOINTS, *LINES)):
        raise ConfigError(
            f"{path} already holds a run; choose another --out, go on with it by --resume {path}, or remove it first"
        )


def make_run_dir(out: str | os.PathLike[str] | None, dataset: str) -> RunDirectory:
    """Make and lock the directory of a run: out, or runs/<dataset>-<n> with the first free n.

    Raises ConfigError if out cannot be it, or cannot be made; nothing has been touched then.
    """
    check_out(out)
    path = Path("runs") if out is None else Path(out)
    try:
        if out is not None:
            path.mkdir(parents=True, exist_ok=True)
            directory = RunDirectory(path)
        else:
            directory = RunDirectory(_first_free(path, dataset))
    except OSError as error:
        raise ConfigError(f"cannot make the directory {path} ({error.strerror}); choose another --out") from None
    with contextlib.ExitStack() as undo:
        undo.enter_context(directory)
        check_out(out)  # another run may have begun there before it was locked
        undo.pop_all()
    return directory


def _first_free(folder: Path, dataset: str) -> Path:
    for n in itertools.count():
        path = folder / f"{dataset}-{n}"
        with contextlib.suppress(FileExistsError):  # also where another run took it just now
            path.mkdir(parents=True)
            break
    return path


def open_run(run: str | os.PathLike[str]) -> RunDirectory:
    """The directory of a run that is there, locked. Raises ConfigError if there is none, RunError if it is in use."""
    path = check_run(run)
    try:
        return RunDirectory(path)
    except OSError as error:
        raise RunError(f"cannot write in {path} ({error.strerror}); make it writable to go on with the run") from None


def check_run(run: str | os.PathLike[str]) -> Path:
    """The path of a run's directory. Raises ConfigError if there is no run, UnreadableError if it may not be read."""
    path = Path(run)
    if not str(run) or not os.path.isdir(path):
        raise ConfigError(
            f"there is no run in {str(run)!r}: there is no such directory; name one that minitrain train has left"
        )
    for folder in (path, path / CHECKPOINTS):
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise UnreadableError(f"cannot read {folder}: no permission")
    if not any(os.path.lexists(path / name) for name in (CONFIG, CHECKPOINTS)):
        raise ConfigError(f"there is no run in {path}: it has no {CONFIG}; name a directory that minitrain train left")
    return path


def check_not_of_a_run(path: str | os.PathLike[str]) -> None:
    """Raise ConfigError if what is to be written at this path would be taken for one of a run's own files."""
    file = Path(os.path.realpath(path))
    folder = file.parents[1] if file.parent.name == CHECKPOINTS else file.parent
    own = file.parent.name == CHECKPOINTS or file.name in (CONFIG, WEIGHTS, LOCK, *LINES)
    if own and (folder / CONFIG).exists():
        raise ConfigError(f"{path} belongs to the run in {folder}; choose another name")


def split_checkpoint(path: str | os.PathLike[str]) -> tuple[Path, Path | None]:
    """The run that is meant, and the checkpoint of it, where the path is a checkpoint's.

    Raises ConfigError for any other file.
    """
    given = Path(path)
    run = given.parents[1] if len(given.parents) > 1 else Path("..")
    if not os.path.isfile(given):
        if given.suffix == ".safetensors" and not os.path.lexists(given):
            there = ", ".join(checkpoint.name for checkpoint in checkpoints(run)) or "none"
            raise ConfigError(f"there is no checkpoint {given}; in {run / CHECKPOINTS} there are: {there}")
        return given, None
    checkpoint = run / CHECKPOINTS / given.name
    if checkpoint not in checkpoints(run):
        raise ConfigError(f"{given} is no checkpoint that train has left; name one, or a run's directory")
    return run, checkpoint


def resume_command(run: Path) -> str:
    """The command that goes on with a run, or from a checkpoint of it, in as many processes as torchrun has started."""
    name = f"./{run}" if str(run).startswith("-") else str(run)  # which would be taken for an option
    command = "minitrain" if shutil.which("minitrain") else "python -m minitrain"
    if launch() is not None:
        torchrun = "torchrun" if shutil.which("torchrun") else "python -m torch.distributed.run"
        here, everywhere = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        options = f"--standalone --nproc-per-node {here}" if here == everywhere else "(on each machine, as before)"
        command = f"{torchrun} {options} -m minitrain"
    return f"{command} train --resume {shlex.quote(name)}"


def launch() -> str | None:
    """What names this launch of torchrun's, the same in all its attempts, no other's; None without torchrun."""
    # The run's id need not be another one each time, but torchrun makes a new folder for the errors of its processes:
    # torchelastic_*/<id>_*/attempt_<n>/<process>/error.json
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE")
    return None if errors is None else str(Path(errors).parents[2])


# --- the directory ----------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """How much of a file of lines belongs to a state: its length in bytes, and their CRC-32."""

    length: int
    crc: int


class RunDirectory:
    """A run's directory, locked against other processes from here to close(), or to the end of a `with`.

    Its methods that write raise OSError, and what was there before is there then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, Lines] = {}
        self.description: dict[str, Any] = {}
        self._take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take(self) -> None:
        """Lock the directory that is there now."""
        self._lock = _lock(self.path)
        self._locked = (self.path / LOCK).stat()

    def _has_it(self) -> bool:
        """Whether the directory that is there now is the one that was locked."""
        try:
            return os.path.samestat((self.path / LOCK).stat(), self._locked)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        """Let go of the directory."""
        for lines in self.lines.values():
            lines.close()
        self._lock.release()

    # --- config.json ---

    def describe(self, config: Config, environment: Mapping[str, Any], session: Mapping[str, Any]) -> None:
        """Write the configuration, with another session that runs it, in this environment."""
        before = self.description.get("sessions", [])[-SESSIONS + 1 :]
        sessions = [*before, {**session, "environment": dict(environment)}]
        self.description = {**dataclasses.asdict(config), "environment": dict(environment), "sessions": sessions}
        self._write_description()

    def _write_description(self) -> None:
        write_atomically(self.path / CONFIG, self._written())

    def _written(self) -> bytes:
        """What config.json holds."""
        content = {"format": FORMAT, **self.description}
        content["checksum"] = _checksum(content)
        return (json.dumps(content, indent=2) + "\n").encode()

    def set_aside(self, name: str) -> Path | None:
        """Give a damaged file another name, and return that; None if there is no file."""
        path = self.path / name
        if not os.path.lexists(path):
            return None
        kept = _free_name(path)
        path.rename(kept)
        return kept

    # --- lines ---

    def begin_lines(self, places: Mapping[str, Place] | None = None) -> list[str]:
        """Open the tables and the log: new, or as they were at those places, what comes after them cut off.

        Returns what there is to say: which file did not hold what it should, and is kept under another name.
        """
        said = []
        for name in LINES:
            path = self.path / name
            content = f"{COLUMNS[name]}\n".encode() if name in COLUMNS else b""
            if places is None:
                found = read_beginning(path, len(content) + 1) if path.is_file() else b""
                fits = found in (b"", content)
                fault = "has lines of a state that is gone"
            else:
                found = read_beginning(path, places[name].length) if path.is_file() else b""
                fits = Place(len(found), zlib.crc32(found)) == places[name]
                fault = "does not hold what the run has written into it"
                content = found if fits else content
            if not fits:
                said.append(f"{path} {fault}, and begins anew")
                if (kept := self.set_aside(name)) is not None:
                    said[-1] += f"; what it holds is kept as {kept}"
            self.lines[name] = Lines(path, content)
        return said

    def flush(self) -> dict[str, Place]:
        """Write all lines to the disk; returns how much there is of each file."""
        self.recover()
        for lines in self.lines.values():
            lines.flush()
        # All at once: the disk writes them together, in a fourth of the time.
        with ThreadPoolExecutor(len(LINES)) as threads:
            list(threads.map(Lines.sync, self.lines.values()))
        return {name: lines.place for name, lines in self.lines.items()}

    # --- checkpoints ---

    def save_checkpoint(self, state: dict[str, Any], updates: int) -> Path:
        """Write a state; once it is proven to be on the disk, all checkpoints go but this and the one before it."""
        places = {name: list(place) for name, place in self.flush().items()}
        folder = self.path / CHECKPOINTS
        folder.mkdir(exist_ok=True)
        path = folder / f"{updates:09d}.safetensors"
        save({"format": FORMAT, **state, "lines": places}, path)
        there = checkpoints(self.path)
        place = there.index(path)  # after it may come others, of a session before this, damaged
        for other in (*there[: max(0, place + 1 - KEPT)], *there[place + 1 :]):
            with contextlib.suppress(OSError):
                other.unlink()
        return path

    def forget_after(self, checkpoint: Path) -> None:
        """Remove the checkpoints that come after this one."""
        for later in checkpoints(self.path):
            if _updates(later) > _updates(checkpoint):
                later.unlink()

    def save_weights(self, weights: Any) -> None:
        """Write the trained weights."""
        self.recover()
        save(weights, self.path / WEIGHTS)

    def recover(self) -> bool:
        """Make the directory anew, with all but the checkpoints, if it has vanished; returns whether it had.

        Raises RunError if another run has begun in its place.
        """
        config = self.path / CONFIG
        if self._has_it():
            if config.exists():
                return False
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.release()
            self._take()
            if config.exists():
                if config.read_bytes() == self._written():
                    return False  # the lock alone was removed
                raise RunError(
                    f"{self.path} was removed or moved away, and another run has begun in its place; this one stops. "
                    "Where it was moved to, it goes on from its last checkpoint there"
                )
        self._write_description()
        return True

    def discard(self) -> None:
        """Remove a run that could not begin."""
        self.close()
        for path in (*checkpoints(self.path), *(self.path / name for name in (CONFIG, *LINES, LOCK))):
            with contextlib.suppress(OSError):
                path.unlink()
        for folder in (self.path / CHECKPOINTS, self.path):
            with contextlib.suppress(OSError):  # such as that it held something before
                folder.rmdir()

    def check_room(self, checkpoint: Path) -> None:
        """Raise OSError if there is no room for as many checkpoints as are kept, one being written, and the weights."""
        needed, free = (KEPT + 1) * checkpoint.stat().st_size, shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(
                errno.ENOSPC, f"{needed / 1e6:,.1f} MB are needed for checkpoints, {free / 1e6:,.1f} MB are free"
            )

    def clean(self) -> None:
        """Remove what a process that was killed while it wrote has left unfinished."""
        names = (CONFIG, WEIGHTS, *LINES, f"{CHECKPOINTS}/*.safetensors")  # no one else's: a user may have other files
        for part in itertools.chain.from_iterable(self.path.glob(f"{name}.*{PART}") for name in names):
            with contextlib.suppress(OSError):
                part.unlink()

    def room(self) -> str:
        """How much room there is, in words."""
        try:
            return f"{shutil.disk_usage(self.path).free / 1e6:,.1f} MB"
        except OSError:
            return "no folder"


def _lock(path: Path) -> Any:
    import filelock  # here, since importing minitrain should cost little more than importing NumPy

    lock = filelock.FileLock(path / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise RunError(
            f"{path} is in use by another process, which runs it; wait until that has ended, or stop it"
        ) from None
    return lock


def _free_name(path: Path) -> Path:
    """steps.damaged-1.csv beside steps.csv, or the first such number that is free."""
    names = (path.with_name(f"{path.stem}.damaged-{n}{path.suffix}") for n in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


class Lines:
    """A file of whole lines that grows. What could not be written stays in memory and is tried again."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._waiting = path, bytearray()
        self.place = Place(0, 0)
        write_atomically(path, content)
        self._file = path.open("r+b", buffering=0)
        self.place = Place(len(content), zlib.crc32(content))

    def append(self, line: str) -> None:
        """Add a line, to be written by the next flush."""
        self._waiting += f"{line}\n".encode()

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file.fileno())

    def flush(self) -> None:
        """Write the lines that wait. Raises OSError; the file then ends with a whole line, and they wait on."""
        if not self._is_there():
            self._make_anew()
        if self._waiting:
            try:
                self._file.seek(self.place.length)
                rest = memoryview(bytes(self._waiting))
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self.place.length)
                raise
            self.place = Place(self.place.length + len(self._waiting), zlib.crc32(self._waiting, self.place.crc))
            self._waiting.clear()

    def close(self) -> None:
        """Write what waits, if it can be written and the file is still there, and close it."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                if self._is_there():
                    self.flush()
            self._file.close()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def _make_anew(self) -> None:
        """The file was removed or replaced: put it back, from what the open one still holds."""
        self._file.seek(0)
        content = self._file.read(self.place.length) or b""
        if Place(len(content), zlib.crc32(content)) != self.place:
            raise OSError(errno.EIO, "it was removed, and what it held cannot be read any more", str(self._path))
        write_atomically(self._path, content)
        self._file.close()
        self._file = self._path.open("r+b", buffering=0)


# --- reading it again -------------------------------------------------------------------------------------------------


def read_config(run: str | os.PathLike[str]) -> Config:
    """The configuration in a run's config.json. Raises RunError, naming what is wrong with the file."""
    return _config_of(_read_description(check_run(run)), run)


def read_sessions(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The sessions in a run's config.json, each with its environment. Raises RunError as read_config."""
    sessions: list[dict[str, Any]] = _read_description(check_run(run))["sessions"]
    return sessions


def _read_description(run: Path) -> dict[str, Any]:
    path = run / CONFIG
    try:
        content = parse_json(read_file(path, LARGEST_CONFIG))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        if "format" not in content:
            raise ValueError("it has no format: it is another program's, or of an older minitrain")
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {shown(content['format'])}, and this minitrain reads {FORMAT}")
        checksum = content.pop("checksum", None)
        if checksum != _checksum(content):
            raise ValueError("its checksum does not fit: it was damaged, or changed by hand")
        if not isinstance(content.get("sessions"), list) or not content["sessions"]:
            raise ValueError("it has no sessions")
        if not all(map(_is_session, content["sessions"])):
            raise ValueError("a session in it is not as minitrain writes them")
    except FileNotFoundError:
        raise RunError(f"there is no {path}") from None
    except OSError as error:
        raise UnreadableError(f"cannot read {path} ({error.strerror})") from None
    except ValueError as error:
        raise RunError(f"{path} cannot be read as a run's configuration: {error}") from None
    return content


def _is_session(session: Any) -> bool:
    if not isinstance(session, dict) or not isinstance(session.get("environment"), dict):
        return False
    return type(session.get("updates")) is int and isinstance(session.get("changes", {}), dict)


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def _config_of(content: Mapping[str, Any], where: object) -> Config:
    """The Config of these values. Raises RunError if they are not those of one."""
    values = {}
    for name, kind in get_type_hints(Config).items():
        if name not in content:
            raise RunError(f"the configuration of {where} has no {name}")
        value = content[name]
        if get_origin(kind) is tuple:
            fits = isinstance(value, list | tuple) and all(type(size) is int for size in value)
            value = tuple(value) if fits else value
        elif get_origin(kind) is Literal:
            fits = value in get_args(kind)
        else:
            fits = type(value) in (get_args(kind) or (kind,))
        if not fits:
            raise RunError(f"the configuration of {where} has {value!r} for {name}")
        values[name] = value
    try:
        return Config(**values)
    except ConfigError as error:
        raise RunError(f"the configuration of {where} cannot be run: {error}") from None


class Checkpoint(NamedTuple):
    """A state that was read: where from, of which configuration, how much of each file of lines belongs to it."""

    path: Path
    config: Config
    state: dict[str, Any]
    places: dict[str, Place]


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    found = [path for path in (run / CHECKPOINTS).glob("*.safetensors") if re.fullmatch(r"\d{9,}", path.stem)]
    return sorted(found, key=_updates)


def _updates(checkpoint: Path) -> int:
    return int(checkpoint.stem)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises RunError, naming what is wrong with the file."""
    try:
        state = load(path)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            found = state.get("format") if isinstance(state, dict) else None
            raise ValueError(f"its format is {found!r}, and this minitrain reads {FORMAT}")
        places = {name: Place(*state["lines"][name]) for name in LINES}
        if any(type(number) is not int or number < 0 for place in places.values() for number in place):
            raise ValueError(f"its places in the files of lines are no numbers of bytes: {shown(state['lines'])}")
        _check_position(state["position"])
        return Checkpoint(path, _config_of(state["config"], path), state, places)
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is no checkpoint that can be read: {error}") from None


def _check_position(position: dict[str, Any]) -> None:
    kinds = {"epoch": int, "batch": int, "updates": int, "losses": list, "under_way": bool, "seconds": float}
    fits = all(type(position[name]) is kind for name, kind in kinds.items())
    fits = fits and all(type(loss) is float for loss in position["losses"]) and math.isfinite(position["seconds"])
    if not fits or min(position["epoch"] - 1, position["batch"], position["updates"]) < 0:
        raise ValueError(f"it is at no possible position: {shown(dict(position))}")


def read_last_good(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, None if the run has none; and what is wrong with those after it.

    Raises RunError if there are checkpoints, but none is whole.
    """
    faults: list[str] = []
    found = checkpoints(run)
    for path in reversed(found):
        try:
            return read_checkpoint(path), faults
        except RunError as error:
            faults.append(str(error))
    if checkpoints(run) != found:  # the process that runs it has written others meanwhile
        return read_last_good(run)
    if faults:
        raise RunError(f"no checkpoint in {run} is whole: {'; '.join(faults)}")
    return None, faults


def of_launch(launch: str, out: str | os.PathLike[str] | None, dataset: str) -> Path | None:
    """The run that an earlier attempt of this launch of torchrun's has begun: in out, or among runs/; None if none."""
    for path in [Path(out)] if out is not None else sorted(Path("runs").glob(f"{dataset}-*")):
        with contextlib.suppress(RunError, ConfigError):
            if any(session.get("launch") == launch for session in read_sessions(path)):
                return path
    return None
