"""Whether a run still gives the same bits: a recorded stretch of it is run again and held against the record."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitrain.files import read_beginning
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, checkpoints, read_checkpoint
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import read_sessions
from minitrain.runs.environment import describe, differences
from minitrain.runs.interrupts import Interrupts
from minitrain.runs.line_file import Place
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.recorder import Stoppable
from minitrain.runs.resume import check_fits, training_from
from minitrain.runs.run_files import RunError, check_run
from minitrain.tensor import Tensor


@dataclasses.dataclass(frozen=True)
class Verification:
    """What came of it.

    stretch: what was run again, in words. updates: how many.
    lines: for each table, how many of its lines are of the stretch, and the first of them that came out otherwise, as
    it was and as it is now; None if all came out the same. parts: for each part of the state, how many of its arrays
    came out otherwise, of how many.
    environment: what differs from when it was recorded.
    """

    stretch: str
    updates: int
    lines: dict[str, tuple[int, tuple[str, str] | None]]
    parts: dict[str, tuple[int, int]]
    environment: list[str]

    @property
    def ok(self) -> bool:
        """Whether every bit is the same."""
        return not any(apart for _, apart in self.lines.values()) and not any(other for other, _ in self.parts.values())

    def __str__(self) -> str:
        lines = [f"{self.stretch}, {_count(self.updates, 'update')}:"]
        for name, (count, apart) in self.lines.items():
            came = "the same"
            if apart is not None:
                came = f"otherwise, first\n    {apart[0]}, as recorded\n    {apart[1]}, as now"
            lines += [f"  {name:<12} {_count(count, 'line')} came out {came}"] if count or apart else []
        for name, (other, count) in self.parts.items():
            came = "the same" if not other else f"otherwise: {other} of them"
            lines += [f"  {name:<12} {_count(count, 'array')} came out {came}"] if count else []
        lines.append("The same bits." if self.ok else "Not the same bits.")
        if self.environment:
            lines.append("What differs from when it was recorded:")
            lines += [f"  {difference}" for difference in self.environment]
        elif not self.ok:
            lines.append("Nothing that minitrain knows of differs from when it was recorded.")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A stretch of a run that can be run again: its ends, and what was recorded of it.

    begin: None for the beginning of the run. lines: the rows of each table, seconds left out.
    """

    run: Path
    begin: Checkpoint | None
    end: Checkpoint
    lines: dict[str, list[str]]
    environment: Mapping[str, Any]

    @property
    def config(self) -> Config:
        """The configuration that the stretch was run with."""
        return self.end.config


def find_stretch(run: str | os.PathLike[str], *, from_start: bool = False) -> Stretch:
    """From the last checkpoint but one, or from the start, to the last. Nothing in the run's directory is changed.

    Raises ConfigError where there is no run, or its settings were changed since the start; RunError if it has no two
    states yet, or cannot be read.
    """
    path = check_run(run)
    kept = checkpoints(path)
    if not kept:
        raise RunError(f"{path} has no checkpoint yet: there is nothing to verify")
    end = read_checkpoint(kept[-1])
    begin = None if from_start or len(kept) == 1 else read_checkpoint(kept[-2])
    sessions = read_sessions(path)
    if begin is None and any(session.get("changes", {}).keys() & _COUNTING for session in sessions):
        raise ConfigError(f"the settings of {path} were changed on the way; verify the last stretch, not --from-start")
    updates, epochs = (end.state["position"][name] - _position(begin)[name] for name in ("updates", "epoch"))
    if updates == 0:
        raise RunError(f"{path} has made no update yet: there is nothing to verify")
    ran = [session for session in sessions if session["updates"] <= _position(begin)["updates"]] or sessions
    steps = _last_rows(path / "steps.csv", end.places["steps.csv"], updates)
    tests = _last_rows(path / "epochs.csv", end.places["epochs.csv"], epochs)
    lines = {"steps.csv": steps, "epochs.csv": [row.rpartition(",")[0] for row in tests]}
    return Stretch(path, begin, end, lines, ran[-1]["environment"])


# Changes after which a run cannot be run again from its start in one go.
_COUNTING = {"lr", "momentum", "weight_decay", "precision", "backend", "device", "compile"}


def verify(stretch: Stretch, backend: Backend, data_dir: str | None = None) -> Verification:
    """Run a stretch again and compare every loss, every test, and every bit of the state at its end.

    backend: that of stretch.config. data_dir: where the data is, if not where the run had it.
    Raises DataError if there is no data, RunError for a checkpoint that does not fit.
    """
    config = stretch.config if data_dir is None else dataclasses.replace(stretch.config, data_dir=data_dir)
    check_fits(stretch.end, config)
    begins = stretch.begin
    training = Training(config, backend) if begins is None else training_from(begins, config, backend)
    begin, end = _position(stretch.begin), stretch.end.state["position"]
    watcher = _Watcher(begin, end, training.state)
    with contextlib.suppress(_Reached):
        training.run(watcher, begin)
    lines = {name: (len(rows), _first_apart(rows, watcher.lines[name])) for name, rows in stretch.lines.items()}
    now = describe(backend.versions())
    return Verification(
        stretch=f"Run again from {_words(begin)} to {_words(end)}",
        updates=end["updates"] - begin["updates"],
        lines=lines,
        parts={name: _compared(stretch.end.state[name], watcher.state[name]) for name in _PARTS},
        environment=differences(stretch.environment, now),
    )


_PARTS = ("model", "optimizer", "generator")


class _Reached(Exception):  # noqa: N818 (it is no error)
    """The end of the stretch."""


class _Watcher(Stoppable):
    """Takes down what a run would write, and the state at the end of the stretch."""

    def __init__(self, begin: Mapping[str, Any], end: Mapping[str, Any], state: Callable[[], dict[str, Any]]) -> None:
        super().__init__(Interrupts(), begin["epoch"], "stop")
        self.lines: dict[str, list[str]] = {"steps.csv": [], "epochs.csv": []}
        self.state: dict[str, Any] = {}
        self._updates, self._end, self._state = begin["updates"], end, state

    def line(self, text: str) -> None:
        """Print nothing."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Remember it."""
        self.epoch = epoch

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """The end, if it is before an epoch's first batch."""
        if self._end["under_way"] and self._end["batch"] == 0:
            self._stop_at(self._end["updates"])

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Take down a row of steps.csv."""
        self._updates += 1
        self.lines["steps.csv"].append(f"{self.epoch},{batch},{current},{loss.item()}")

    def settles_after(self, batch: int) -> bool:
        """At the end."""
        return (self.epoch, batch + 1) == (self._end["epoch"], self._end["batch"])

    def settled(self, batch: int) -> None:
        """The end, if it is amid an epoch."""
        if self._end["batch"] > 0:
            self._stop_at(self._end["updates"])

    def after_test(self, accuracy: float, loss: float) -> None:
        """Take down a row of epochs.csv."""
        self.lines["epochs.csv"].append(f"{self.epoch},{accuracy},{loss}")

    def end_epoch(self) -> None:
        """The end, if it is after an epoch."""
        self._stop_at(self._end["updates"])

    def _stop_at(self, updates: int) -> None:
        if self._updates == updates:
            self.state = self._state()
            raise _Reached


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _position(checkpoint: Checkpoint | None) -> Mapping[str, Any]:
    return BEGINNING if checkpoint is None else checkpoint.state["position"]


def _words(position: Mapping[str, Any]) -> str:
    if position["updates"] == 0:
        return "the start"
    if position["batch"] == 0:
        return f"the end of epoch {position['epoch'] - 1}"
    return f"batch {position['batch'] - 1} of epoch {position['epoch']}"


def _last_rows(path: Path, place: Place, count: int) -> list[str]:
    """The last rows of a table, so many. Raises RunError if it does not hold what was recorded."""
    try:
        content = read_beginning(path, place.length)
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    if Place(len(content), zlib.crc32(content)) != place:
        raise RunError(f"{path} was changed or damaged since the run wrote it: it cannot be verified")
    rows = content.decode(errors="replace").splitlines()[1:]
    if not 0 <= count <= len(rows):
        raise RunError(
            f"{path} begins amid what is to be verified, since it was damaged and began anew: verify the last stretch, "
            "not --from-start"
        )
    return rows[len(rows) - count :]


def _first_apart(recorded: list[str], now: list[str]) -> tuple[str, str] | None:
    """The first rows that differ."""
    pairs = itertools.zip_longest(recorded, now, fillvalue="(none)")
    return next(((was, is_) for was, is_ in pairs if was != is_), None)


def _compared(recorded: Any, now: Any) -> tuple[int, int]:
    """How many arrays of two states differ in a bit, of how many there are."""
    if isinstance(recorded, Tensor):
        return int(not isinstance(now, Tensor) or _bits(recorded) != _bits(now)), 1
    if isinstance(recorded, Mapping):
        values = [(value, now.get(key) if isinstance(now, Mapping) else None) for key, value in recorded.items()]
    elif isinstance(recorded, list | tuple):
        values = [*itertools.zip_longest(recorded, now if isinstance(now, list | tuple) else ())]
    else:
        return 0, 0
    counts = [_compared(*pair) for pair in values]
    return sum(other for other, _ in counts), sum(count for _, count in counts)


def _bits(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.array.shape, np.ascontiguousarray(tensor.array).tobytes()
