"""What a run's directory holds, compared with a checkpoint: the weights, the settings, the tables and the log."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minitrain.files import read_beginning, shown
from minitrain.runs.checkpoints import Checkpoint, checkpoints, updates_of
from minitrain.runs.config import Config
from minitrain.runs.config_file import read_description
from minitrain.runs.directory import KEPT, open_run
from minitrain.runs.line_file import Place
from minitrain.runs.messages import are, counted
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run_files import CHECKPOINTS, COLUMNS, CONFIG, LINES, WEIGHTS, RunError
from minitrain.runs.same_bits import not_finite, other_weights
from minitrain.runs.settings_changes import unexplained
from minitrain.serialization import load

LAST_LINE = b"Done!\n"
_MOST = 2**24  # bytes after the checkpoint's place that are read


class Finding(NamedTuple):
    """A part of the record. same: whether it is as the run left it. text: that in words."""

    name: str
    same: bool
    text: str


def check_record(run: Path, older: Checkpoint | None, end: Checkpoint) -> list[Finding]:
    """Compare all that later commands read with the last checkpoint. older: the one before it.

    Raises RunError for a file that cannot be compared: a configuration that is damaged, a table or a log that is not as
    the run wrote it up to the checkpoint.
    """
    config, sessions = read_description(run)
    complete = os.path.lexists(run / WEIGHTS)
    contents = {name: read_lines(run / name, end.places[name]) for name in LINES}
    # The log says so, and no session has begun since to train the run further.
    finished = contents["log.txt"][1].endswith(LAST_LINE) and sessions[-1]["updates"] < updates_of(end.path)
    found = [_weights(run, end)] if complete or (finished and not _is_in_use(run)) else []
    found.append(_settings(config, sessions, end))
    found += [_lines(name, *content, complete) for name, content in contents.items()]
    found += [] if older is None else _older(older, end, sessions)
    names = [path.name for path in checkpoints(run)[:-KEPT]]
    if complete and names:
        found.append(Finding(CHECKPOINTS, False, f"{', '.join(names)}: a complete run has only the newest {KEPT}"))
    return found


# --- weights ---


def _is_in_use(run: Path) -> bool:
    """Whether another process trains the run: it may be about to write the weights."""
    try:
        open_run(run).close()
    except RunError:
        return True
    return False


def _weights(run: Path, end: Checkpoint) -> Finding:
    remedy = f"; to write it again: {resume_command(run)}"
    try:
        weights = load(run / WEIGHTS)
    except FileNotFoundError:
        return Finding(WEIGHTS, False, f"is missing, but the run is complete{remedy}")
    except OSError as error:
        return Finding(WEIGHTS, False, f"cannot be read ({error.strerror})")
    except ValueError as error:
        return Finding(WEIGHTS, False, f"is damaged: {error}{remedy}")
    if fault := other_weights(weights, end):
        nan = not_finite(weights)
        return Finding(WEIGHTS, False, f"{fault}{f'; {nan}' if nan else ''}{remedy}")
    return Finding(WEIGHTS, True, f"{counted(len(weights), 'array')} {are(len(weights))} the same")


# --- settings ---


def _settings(config: Config, sessions: Sequence[Mapping[str, Any]], end: Checkpoint) -> Finding:
    if other := unexplained(config, end, sessions):
        text = ", ".join(f"{name} is {shown(is_)}, but was {shown(was)}" for name, (is_, was) in other.items())
        return Finding(CONFIG, False, f"{text}, and no session of the run changed that")
    changed = {name: (was, is_) for name, was in vars(end.config).items() if (is_ := getattr(config, name)) != was}
    if changed:
        text = ", ".join(f"{name} from {shown(was)} to {shown(is_)}" for name, (was, is_) in changed.items())
        return Finding(CONFIG, True, f"the settings are the same; a session has changed {text} since")
    return Finding(CONFIG, True, "the settings are the same")


def _older(older: Checkpoint, end: Checkpoint, sessions: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What is wrong with the checkpoint before the last one, to which a run can return."""
    faults = []
    then, now, updates = vars(older.config), vars(end.config), older.state["position"]["updates"]
    if sessions[0]["updates"] <= updates:  # or config.json was damaged and written again: earlier changes are unknown
        changes = [session.get("changes", {}) for session in sessions if session["updates"] >= updates]
        faults += [
            f"{name} is {shown(then[name])}, but {shown(now[name])} in the last checkpoint, and no session changed that"
            for name in then
            if then[name] != now[name] and not any(_plain(then[name]) in each.get(name, ()) for each in changes)
        ]
    return [Finding(f"{CHECKPOINTS}/{older.path.name}", False, fault) for fault in faults]


def _plain(value: Any) -> Any:
    """A setting as config.json has it."""
    return [*value] if isinstance(value, tuple) else value


def check_places(older: Checkpoint, contents: Mapping[str, bytes], after: Mapping[str, int]) -> list[Finding]:
    """A finding for each table, and the log, of which the older checkpoint has another beginning than the run wrote.

    contents: up to the last checkpoint. after: how many of their lines come after the older one.
    """
    faults = []
    for name, count in after.items():
        place, content = older.places[name], contents[name]
        before, since = content[: place.length], content[place.length :]
        if Place(len(before), zlib.crc32(before)) == place:
            fits = before[-1:] in (b"", b"\n") and since.count(b"\n") == count
        else:  # it was damaged, and started again at this checkpoint
            fits = content.count(b"\n") - (name in COLUMNS) == count
        faults += [] if fits else [f"it does not fit {name}"]
    return [Finding(f"{CHECKPOINTS}/{older.path.name}", False, fault) for fault in faults]


# --- tables and log ---


def read_lines(path: Path, place: Place) -> tuple[bytes, bytes]:
    """A table or the log up to this place, and after it. Raises RunError if it is not as the run wrote it."""
    try:
        content = read_beginning(path, place.length + _MOST)
    except FileNotFoundError:
        if place.length == 0:  # an old run has no table of its layers
            return b"", b""
        raise RunError(f"there is no {path}: the run cannot be verified") from None
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    written, rest = content[: place.length], content[place.length :]
    if Place(len(written), zlib.crc32(written)) != place:
        raise RunError(f"{path} was changed or damaged since the run wrote it: it cannot be verified")
    return written, rest


def _lines(name: str, written: bytes, rest: bytes, complete: bool) -> Finding:
    count, after = (
        content.count(b"\n") + (not content.endswith(b"\n") and content != b"") for content in (written, rest)
    )
    as_written = f"{counted(count, 'line')} {are(count)} as the run wrote {_them(count)}"
    last = LAST_LINE if name == "log.txt" and complete else b""
    if rest == last:
        return Finding(name, True, as_written)
    if not complete:
        text = f"{after:,} after the last checkpoint {are(after)} not verified: a resumed run replaces {_them(after)}"
        return Finding(name, True, f"{as_written}; {text}")
    if not rest:
        return Finding(name, False, f"the last line, {LAST_LINE.decode().strip()}, is missing")
    first = shown(rest.decode(errors="replace").splitlines()[0])
    return Finding(name, False, f"{counted(after, 'line')} after the last checkpoint, not written by the run: {first}")


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
