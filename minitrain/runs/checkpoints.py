"""A run's checkpoints: their names, which one to resume from, and reading them without trusting them."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minitrain.files import shown
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import config_of, read_sessions
from minitrain.runs.line_file import Place
from minitrain.runs.run_files import CHECKPOINTS, CONFIG, FORMAT, LINES, RunError, UnreadableError
from minitrain.serialization import load

LOSSES = 5  # that a state remembers: the first and the last four


class Checkpoint(NamedTuple):
    """A state that was read from a file.

    config: the configuration it was trained with. places: which part of each table and of the log belongs to it.
    """

    path: Path
    config: Config
    state: dict[str, Any]
    places: dict[str, Place]

    @property
    def session(self) -> str | None:
        """The id of the session that wrote it; None if an old minitrain did."""
        session: str | None = self.state.get("session")
        return session


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first; [] if the directory does not exist. Raises UnreadableError."""
    try:
        names = [name for name in os.listdir(run / CHECKPOINTS) if re.fullmatch(r"\d{9,}\.safetensors", name)]
    except FileNotFoundError:
        names = []
    except OSError as error:  # not [], since a run without checkpoints begins again
        raise UnreadableError(f"cannot read {run / CHECKPOINTS} ({error.strerror})") from None
    return sorted((run / CHECKPOINTS / name for name in names), key=updates_of)


def updates_of(checkpoint: Path) -> int:
    """The number of updates before this checkpoint."""
    return int(checkpoint.stem)


def split_checkpoint(path: str | os.PathLike[str]) -> tuple[Path, Path | None]:
    """The run, and its checkpoint, that a path names; None for the checkpoint if the path is a run's directory.

    Raises ConfigError for any other file.
    """
    given = Path(path)
    run = given.parents[1] if len(given.parents) > 1 else Path("..")
    if not os.path.isfile(given):
        if given.suffix == ".safetensors" and not os.path.lexists(given):
            found = ", ".join(checkpoint.name for checkpoint in checkpoints(run)) or "none"
            raise ConfigError(f"there is no checkpoint {given}; in {run / CHECKPOINTS} there are: {found}")
        return given, None
    checkpoint = run / CHECKPOINTS / given.name
    if checkpoint not in checkpoints(run):
        raise ConfigError(f"{given} is not a checkpoint of a run; name one, or a run's directory")
    return run, checkpoint


class OtherRunError(RunError):
    """A checkpoint was copied from another run."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises RunError that names the fault; OtherRunError for one of another run."""
    checkpoint = _read(path)
    ids = _known_sessions(path.parents[1])
    if ids is not None and checkpoint.session not in ids:
        raise OtherRunError(
            f"{path} is a checkpoint of another run: {CONFIG} does not have its session, {shown(checkpoint.session)}; "
            "move it out of this run"
        )
    return checkpoint


def _known_sessions(run: Path) -> list[str | None] | None:
    """The ids of the run's sessions, and of those that they continued. None if config.json is damaged or missing."""
    try:
        sessions = read_sessions(run)
    except UnreadableError:
        raise
    except (RunError, ConfigError):
        return None
    return [id for session in sessions for id in (session.get("id"), *session.get("continues", []))]


def sessions_of(found: Sequence[Path]) -> list[str | None]:
    """The ids of the sessions that wrote these checkpoints, without damaged ones."""
    ids = []
    for path in found:
        with contextlib.suppress(RunError):
            ids.append(read_checkpoint(path).session)
    return ids


def _read(path: Path) -> Checkpoint:
    try:
        state = load(path)
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise ValueError(f"its format is {found!r}, but this minitrain reads {FORMAT}")
        lines = {"layers.csv": [0, 0], **state["lines"]}  # old runs have no such table
        places = {name: Place(*lines[name]) for name in LINES}
        if any(type(number) is not int or number < 0 for place in places.values() for number in place):
            raise ValueError(f"its table lengths are not numbers of bytes: {shown(state['lines'])}")
        _check_position(state["position"])
        if not isinstance(state.get("session"), str | None):
            raise ValueError(f"its session is {shown(state['session'])}, not an id")
        return Checkpoint(path, config_of(state["config"], path), state, places)
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot read {path} as a checkpoint: {error}") from None


def _check_position(position: dict[str, Any]) -> None:
    kinds = {"epoch": int, "batch": int, "updates": int, "losses": list, "under_way": bool, "seconds": float}
    fits = all(type(position[name]) is kind for name, kind in kinds.items())
    fits = fits and len(position["losses"]) <= LOSSES and all(type(loss) is float for loss in position["losses"])
    fits = fits and math.isfinite(position["seconds"])
    if not fits or min(position["epoch"] - 1, position["batch"], position["updates"]) < 0:
        raise ValueError(f"its position is impossible: {shown(dict(position))}")


def read_last_good(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint, None if the run has none; and the faults of newer ones.

    Raises RunError if there are checkpoints, but all are damaged.
    """
    faults: list[str] = []
    found = checkpoints(run)
    for path in reversed(found):
        try:
            return read_checkpoint(path), faults
        except OtherRunError:  # an older one would remove it
            raise
        except RunError as error:
            faults.append(str(error))
    if checkpoints(run) != found:  # the process that trains the run has replaced them meanwhile
        return read_last_good(run)
    if faults:
        raise RunError(f"no checkpoint in {run} is intact: {'; '.join(faults)}")
    return None, faults
