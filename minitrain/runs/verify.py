"""Verifying a run: a part of it is repeated, and every loss, test and bit of the state is compared with the record."""

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
from minitrain.runs.layer_table import LayerTable
from minitrain.runs.line_file import Place
from minitrain.runs.memory import check_memory
from minitrain.runs.messages import counted
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.recorder import Silent
from minitrain.runs.resume import check_fits, training_from
from minitrain.runs.run_files import RunError, check_run
from minitrain.tensor import Tensor

_PARTS = ("model", "optimizer", "generator")
# Settings whose change during a run makes it impossible to repeat the run from its start.
_COUNTING = {"lr", "momentum", "weight_decay", "precision", "backend", "device", "compile"}


@dataclasses.dataclass(frozen=True)
class Verification:
    """The result. str() of it is the report.

    stretch: what was repeated, in words. updates: how many updates that is.
    lines: for each table, the number of its lines in the stretch, and the first line that differs: (then, now) or None.
    parts: for each part of the state, how many of its arrays differ, of how many.
    environment: what differs from the environment when the run was recorded.
    """

    stretch: str
    updates: int
    lines: dict[str, tuple[int, tuple[str, str] | None]]
    parts: dict[str, tuple[int, int]]
    environment: list[str]

    @property
    def ok(self) -> bool:
        """Whether every bit is the same."""
        return not any(first for _, first in self.lines.values()) and not any(other for other, _ in self.parts.values())

    def __str__(self) -> str:
        lines = [f"{self.stretch}, {counted(self.updates, 'update')}:"]
        for name, (count, first) in self.lines.items():
            result = f" {_are(count)} the same"
            if first:
                result = f", first difference:\n    {first[0]}, as recorded\n    {first[1]}, as now"
            lines += [f"  {name:<12} {counted(count, 'line')}{result}"] if count or first else []
        for name, (other, count) in self.parts.items():
            result = f", {other} of them differ" if other else f" {_are(count)} the same"
            lines += [f"  {name:<12} {counted(count, 'array')}{result}"] if count else []
        lines.append("The same bits." if self.ok else "Not the same bits.")
        if self.environment:
            lines += ["Changed since the run was recorded:", *(f"  {difference}" for difference in self.environment)]
        elif not self.ok:
            lines.append("minitrain sees no change in the environment since the run was recorded.")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A part of a run that can be repeated: its ends, and what was recorded of it.

    begin: None for the start of the run. lines: the rows of each table, without seconds.
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
    """The stretch from the last checkpoint but one, or from the start, to the last. Writes nothing.

    Raises ConfigError if there is no run, or if settings changed since its start; RunError if it has no two states
    yet, or cannot be read.
    """
    path = check_run(run)
    kept = checkpoints(path)
    if not kept:
        raise RunError(f"{path} has no checkpoint yet: there is nothing to verify")
    end = read_checkpoint(kept[-1])
    begin = None if from_start or len(kept) == 1 else read_checkpoint(kept[-2])
    sessions = read_sessions(path)
    if begin is None and any(session.get("changes", {}).keys() & _COUNTING for session in sessions):
        raise ConfigError(f"the settings of {path} changed during the run; leave out --from-start")
    updates, epochs = (end.state["position"][name] - _position(begin)[name] for name in ("updates", "epoch"))
    if updates == 0:
        raise RunError(f"{path} has no update yet: there is nothing to verify")
    ran = [session for session in sessions if session["updates"] <= _position(begin)["updates"]] or sessions
    steps = _last_rows(path / "steps.csv", end.places["steps.csv"], updates)
    tests = _last_rows(path / "epochs.csv", end.places["epochs.csv"], epochs)
    lines = {"steps.csv": steps, "epochs.csv": [row.rpartition(",")[0] for row in tests]}
    before = end.config if begin is None else begin.config
    changed = begin is None and any("layers_every" in session.get("changes", {}) for session in sessions)
    if end.config.layers_every and before.layers_every == end.config.layers_every and not changed:
        written = _rows_between(path / "layers.csv", begin, end)
        lines |= {"layers.csv": written} if written else {}  # a backend that cannot watch has written none
    return Stretch(path, begin, end, lines, ran[-1]["environment"])


def verify(stretch: Stretch, backend: Backend, data_dir: str | None = None, *, large: bool = False) -> Verification:
    """Repeat a stretch and compare every loss, every test, and every bit of the final state.

    backend: that of stretch.config. data_dir: where the data is; None for where it was during the run.
    large: allow any amount of memory.
    Raises DataError if there is no data, RunError for a checkpoint that does not fit.
    """
    config = stretch.config if data_dir is None else dataclasses.replace(stretch.config, data_dir=data_dir)
    check_fits(stretch.end, config)
    check_memory(config, large=large)
    begins = stretch.begin
    training = Training(config, backend) if begins is None else training_from(begins, config, backend)
    begin, end = _position(stretch.begin), stretch.end.state["position"]
    watcher = _Watcher(begin, end, training.state, training.layer_table(begin["updates"]))
    with contextlib.suppress(_Reached):
        training.run(watcher, begin)
    lines: dict[str, tuple[int, tuple[str, str] | None]] = {}
    for name, rows in stretch.lines.items():
        pairs = itertools.zip_longest(rows, watcher.lines[name], fillvalue="(none)")
        lines[name] = len(rows), next(((then, now) for then, now in pairs if then != now), None)
    return Verification(
        stretch=f"Repeated from {_words(begin)} to {_words(end)}",
        updates=end["updates"] - begin["updates"],
        lines=lines,
        parts={name: _compared(stretch.end.state[name], watcher.state[name]) for name in _PARTS},
        environment=differences(stretch.environment, describe(backend.versions())),
    )


class _Reached(Exception):  # noqa: N818 (it is not an error)
    """The end of the stretch."""


class _Watcher(Silent):
    """Collects what a run would write, and the state at the end of the stretch."""

    def __init__(
        self,
        begin: Mapping[str, Any],
        end: Mapping[str, Any],
        state: Callable[[], dict[str, Any]],
        layers: LayerTable,
    ) -> None:
        super().__init__(Interrupts(), begin["epoch"], "stop")
        self.lines: dict[str, list[str]] = {"steps.csv": [], "epochs.csv": [], "layers.csv": []}
        self.state: dict[str, Any] = {}
        self._updates, self._end, self._state = begin["updates"], end, state
        self._layers = layers

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Stop if the stretch ends before an epoch's first batch."""
        if self._end["under_way"] and self._end["batch"] == 0:
            self._stop_at(self._end["updates"])

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Collect the rows of steps.csv and layers.csv."""
        self._updates += 1
        self.lines["steps.csv"].append(f"{self.epoch},{batch},{current},{loss.item()}")
        self.lines["layers.csv"] += self._layers.rows(self.epoch, batch)

    def settles_after(self, batch: int) -> bool:
        """True at the end of the stretch."""
        return (self.epoch, batch + 1) == (self._end["epoch"], self._end["batch"])

    def settled(self, batch: int) -> None:
        """Stop if the stretch ends within an epoch."""
        if self._end["batch"] > 0:
            self._stop_at(self._end["updates"])

    def after_test(self, accuracy: float, loss: float) -> None:
        """Collect a row of epochs.csv."""
        super().after_test(accuracy, loss)
        self.lines["epochs.csv"].append(f"{self.epoch},{accuracy},{loss}")

    def end_epoch(self) -> None:
        """Stop if the stretch ends after an epoch."""
        self._stop_at(self._end["updates"])

    def _stop_at(self, updates: int) -> None:
        if self._updates == updates:
            self.state = self._state()
            raise _Reached


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _position(checkpoint: Checkpoint | None) -> Mapping[str, Any]:
    return BEGINNING if checkpoint is None else checkpoint.state["position"]


def _words(position: Mapping[str, Any]) -> str:
    if position["updates"] == 0:
        return "the start"
    if position["batch"] == 0:
        return f"the end of epoch {position['epoch'] - 1}"
    return f"batch {position['batch'] - 1} of epoch {position['epoch']}"


def _read(path: Path, place: Place) -> bytes:
    """A table up to this place. Raises RunError if it is not as the run wrote it."""
    try:
        content = read_beginning(path, place.length)
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    if Place(len(content), zlib.crc32(content)) != place:
        raise RunError(f"{path} was changed or damaged since the run wrote it: it cannot be verified")
    return content


def _last_rows(path: Path, place: Place, count: int) -> list[str]:
    """The last count rows of a table. Raises RunError if the table is not as the run wrote it, or has fewer."""
    rows = _read(path, place).decode(errors="replace").splitlines()[1:]
    if not 0 <= count <= len(rows):
        raise _restarted(path)
    return rows[len(rows) - count :]


def _rows_between(path: Path, begin: Checkpoint | None, end: Checkpoint) -> list[str]:
    """The rows of layers.csv between two checkpoints. Raises RunError as _last_rows does."""
    first, last = _position(begin), end.state["position"]
    since = first["epoch"], first["batch"]
    rows = _read(path, end.places[path.name]).decode(errors="replace").splitlines()[1:]
    places = [tuple(map(int, row.split(",", 2)[:2])) for row in rows]
    rows = [row for row, place in zip(rows, places, strict=True) if place >= since]
    every, updates = end.config.layers_every, last["updates"] - first["updates"]
    due = len(range(-first["updates"] % every, updates, every))
    if rows and len({place for place in places if place >= since}) < due:
        raise _restarted(path)
    return rows


def _restarted(path: Path) -> RunError:
    return RunError(f"{path} was damaged and started again after the part to verify; leave out --from-start")


def _compared(recorded: Any, now: Any) -> tuple[int, int]:
    """How many arrays of two states differ in at least one bit, of how many."""
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
