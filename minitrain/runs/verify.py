"""Verifying a run: a part of it is repeated, and every loss, test and bit of the state is compared with the record."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minitrain.files import shown
from minitrain.loops import Observer
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, checkpoints, read_checkpoint, updates_of
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import config_of, read_sessions
from minitrain.runs.environment import describe, differences
from minitrain.runs.interrupts import Interrupts
from minitrain.runs.layer_table import LayerTable
from minitrain.runs.line_file import Place
from minitrain.runs.memory import check_memory
from minitrain.runs.messages import are, counted
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.record_check import Finding, check_places, check_record, read_lines
from minitrain.runs.recorder import Silent
from minitrain.runs.resume import check_fits, training_from
from minitrain.runs.run_files import CHECKPOINTS, CONFIG, LINES, WEIGHTS, RunError, check_run
from minitrain.runs.same_bits import same
from minitrain.runs.settings_changes import settings_before
from minitrain.tensor import Tensor

ATTEMPTS = 20  # at reading a run that is being trained
_PARTS = ("model", "optimizer", "generator")
# Settings whose change during a run makes it impossible to repeat the run from its start.
_COUNTING = {"lr", "momentum", "weight_decay", "precision", "backend", "device", "compile"}


@dataclasses.dataclass(frozen=True)
class Verification:
    """The result. str() of it is the report.

    stretch: what was repeated, in words. updates: how many updates that is.
    lines: for each table, the number of its lines in the stretch, and the first line that differs: (then, now) or None.
    parts: for each part of the state, how many of its arrays differ, of how many.
    record: how all else in the run's directory compares with the last checkpoint.
    environment: what differs from the environment when the run was recorded.
    """

    stretch: str
    updates: int
    lines: dict[str, tuple[int, tuple[str, str] | None]]
    parts: dict[str, tuple[int, int]]
    record: list[Finding]
    environment: list[str]

    @property
    def repeated(self) -> bool:
        """Whether the stretch gave the same bits again."""
        return not any(first for _, first in self.lines.values()) and not any(other for other, _ in self.parts.values())

    @property
    def ok(self) -> bool:
        """Whether every bit is the same, of the stretch and of the record."""
        return self.repeated and all(finding.same for finding in self.record)

    def __str__(self) -> str:
        lines = [f"{self.stretch}, {counted(self.updates, 'update')}:"]
        for name, (count, first) in self.lines.items():
            result = f" {are(count)} the same"
            if first:
                result = f", first difference:\n    {first[0]}, as recorded\n    {first[1]}, as now"
            lines += [f"  {name:<12} {counted(count, 'line')}{result}"] if count or first else []
        for name, (other, count) in self.parts.items():
            result = f", {other} of them differ" if other else f" {are(count)} the same"
            lines += [f"  {name:<12} {counted(count, 'array')}{result}"] if count else []
        lines.append("Compared with the last checkpoint:")
        width = max((len(finding.name) for finding in self.record), default=0)
        lines += [f"  {name:<{width}}  {text}" for name, _, text in self.record]
        if self.ok:
            lines.append("The same bits.")
        elif self.repeated:
            wrong = [finding.name for finding in self.record if not finding.same]
            names = ", ".join(wrong)
            lines.append(f"The repeated steps gave the same bits, but the run did not leave {names} like this.")
        else:
            lines.append("Not the same bits.")
        if self.environment:
            lines += ["Changed since the run was recorded:", *(f"  {difference}" for difference in self.environment)]
        elif not self.repeated:
            lines.append("minitrain sees no change in the environment since the run was recorded.")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A part of a run that can be repeated: its ends, and what was recorded of it.

    begin: None for the start of the run. older: the last checkpoint but one; None if there is only one.
    config: what the stretch was trained with. record: the rest of the directory.
    lines: the rows of each table, without seconds, and the lines of the log.
    contents: those files, up to the end of the stretch.
    """

    run: Path
    begin: Checkpoint | None
    older: Checkpoint | None
    end: Checkpoint
    config: Config
    lines: dict[str, list[str]]
    contents: dict[str, bytes]
    record: list[Finding]
    environment: Mapping[str, Any]


def find_stretch(run: str | os.PathLike[str], *, from_start: bool = False) -> Stretch:
    """The stretch from the last checkpoint but one, or from the start, to the last. Writes nothing.

    Raises ConfigError if there is no run, or if settings changed since its start; RunError if it has no two states
    yet, or cannot be read.
    """
    path = check_run(run)
    for _ in range(ATTEMPTS):
        before = _moment(path)
        try:
            found = _find_stretch(path, from_start)
        except RunError:
            if _moment(path) == before:
                raise
        else:
            if _moment(path) == before:
                return found
    raise RunError(f"{path} is being trained, and saves its state too often to be read; verify it later")


def _moment(run: Path) -> tuple[Any, ...]:
    """What changes when another process trains the run and saves its state, or begins, or completes it."""
    session = None
    with contextlib.suppress(OSError):
        session = os.stat(run / CONFIG).st_mtime_ns
    return os.path.lexists(run / WEIGHTS), checkpoints(run), session


def _find_stretch(path: Path, from_start: bool) -> Stretch:
    kept = checkpoints(path)
    if not kept:
        raise RunError(f"{path} has no checkpoint yet: there is nothing to verify")
    end = read_checkpoint(kept[-1])
    older = None if len(kept) == 1 else read_checkpoint(kept[-2])
    begin = None if from_start else older
    for checkpoint in (end,) if older is None else (older, end):
        if (updates := _position(checkpoint)["updates"]) != updates_of(checkpoint.path):
            raise RunError(f"{checkpoint.path} is not what its name says: it has made {updates} updates")
    sessions = read_sessions(path)
    record = check_record(path, older, end)
    if begin is None and any(session.get("changes", {}).keys() & _COUNTING for session in sessions):
        remedy = "there is no older checkpoint to repeat it from" if older is None else "leave out --from-start"
        raise ConfigError(f"the settings of {path} changed during the run; {remedy}")
    updates, epochs = (end.state["position"][name] - _position(begin)[name] for name in ("updates", "epoch"))
    if updates == 0:
        raise RunError(f"{path} has no update yet: there is nothing to verify")
    ran = [session for session in sessions if session["updates"] <= _position(begin)["updates"]] or sessions
    contents = {name: read_lines(path / name, end.places[name])[0] for name in LINES}
    steps = _last_rows(path / "steps.csv", contents, updates)
    tests = _last_rows(path / "epochs.csv", contents, epochs)
    log = _log_between(path / "log.txt", contents, begin)
    lines = {"steps.csv": steps, "epochs.csv": [row.rpartition(",")[0] for row in tests], "log.txt": log}
    before = end.config if begin is None else begin.config
    changed = begin is None and any("layers_every" in session.get("changes", {}) for session in sessions)
    if end.config.layers_every and before.layers_every == end.config.layers_every and not changed:
        written = _rows_between(path / "layers.csv", contents, begin, end)
        lines |= {"layers.csv": written} if written else {}  # a backend that cannot watch has written none
    # A session that stops at a nan in its first batch saves the checkpoint again, with its own settings.
    trained = settings_before(end, sessions) if _is_given_again(end.state) else {}
    config = config_of({**vars(end.config), **trained}, path)
    lines = {name: lines[name] for name in LINES if name in lines}
    return Stretch(path, begin, older, end, config, lines, contents, record, ran[-1]["environment"])


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
    passed = [] if stretch.older is None or begin["updates"] >= updates_of(stretch.older.path) else [stretch.older]
    watcher = _Watcher(begin, [*passed, stretch.end], training.state, training.layer_table(begin["updates"]))
    with contextlib.suppress(_Reached):
        training.run(watcher, begin)
    if len(watcher.reached) <= len(passed):
        raise RunError(f"{stretch.end.path} is not a state of this run: its position is {shown(dict(end))}")
    lines: dict[str, tuple[int, tuple[str, str] | None]] = {}
    for name, rows in stretch.lines.items():
        pairs = itertools.zip_longest(rows, watcher.lines[name], fillvalue="(none)")
        lines[name] = len(rows), next(((then, now) for then, now in pairs if then != now), None)
    record = [*stretch.record, watcher.reached[-1].rest]
    for state in watcher.reached[:-1]:
        other = sum(other for other, _ in state.parts.values())
        text = f"{counted(other, 'array')} {are(other)} not the same"
        record.append(state.rest if not other else Finding(state.rest.name, False, text))
    if stretch.older is not None:
        before = watcher.reached[0].lines if passed else dict.fromkeys(LINES, 0)
        after = {name: len(watcher.lines[name]) - before[name] for name in stretch.lines}
        record += check_places(stretch.older, stretch.contents, after)
    return Verification(
        stretch=f"Repeated from {_words(begin)} to {_words(end)}",
        updates=end["updates"] - begin["updates"],
        lines=lines,
        parts=watcher.reached[-1].parts,
        record=record,
        environment=differences(stretch.environment, describe(backend.versions())),
    )


class _Reached(Exception):  # noqa: N818 (it is not an error)
    """The end of the stretch."""


class _Compared(NamedTuple):
    """How a saved state compares: its parts, the rest of it; and how many lines the repeated run had written there."""

    parts: dict[str, tuple[int, int]]
    rest: Finding
    lines: dict[str, int]


class _Watcher(Silent):
    """Collects what a run would write, and compares the states that were saved; stops at the last of them.

    reached: how each of them compares.
    """

    def __init__(
        self,
        begin: Mapping[str, Any],
        ends: list[Checkpoint],
        state: Callable[..., dict[str, Any]],
        layers: LayerTable,
    ) -> None:
        super().__init__(Interrupts(), begin["epoch"], "stop")
        self.lines: dict[str, list[str]] = {name: [] for name in LINES}
        self.reached: list[_Compared] = []
        self._position = {**begin, "losses": [*begin["losses"]]}
        self._ends, self._state, self._layers = ends, state, layers
        self._await_next()

    def _await_next(self) -> None:
        self._next = self._ends[len(self.reached)]
        self._end, self._again = self._next.state["position"], _is_given_again(self._next.state)

    def line(self, text: str) -> None:
        """Collect the lines of log.txt."""
        self.lines["log.txt"] += text.split("\n")

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Announce the epoch, unless the stretch begins within it."""
        self.epoch = epoch
        if not self._position["under_way"]:
            Observer.begin_epoch(self, epoch, epochs)
            self._position |= {"epoch": epoch, "batch": 0, "under_way": True}

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Compare a state before a batch that is given again, since its loss was nan."""
        if self._again:
            self._compare_if_reached()

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Collect the rows of steps.csv and layers.csv."""
        super().after_update(batch, loss, current, size)
        self._position |= {"batch": batch + 1, "updates": self._position["updates"] + 1}
        self._position["losses"] = [*self._position["losses"], loss.item()]
        if len(self._position["losses"]) > 5:
            del self._position["losses"][1]
        self.lines["steps.csv"].append(f"{self.epoch},{batch},{current},{loss.item()}")
        self.lines["layers.csv"] += self._layers.rows(self.epoch, batch)

    def settles_after(self, batch: int) -> bool:
        """True where a state was saved."""
        return (self.epoch, batch + 1) == (self._end["epoch"], self._end["batch"])

    def settled(self, batch: int) -> None:
        """Compare a state within an epoch."""
        if self._end["batch"] > 0 and not self._again:
            self._compare_if_reached()

    def after_test(self, accuracy: float, loss: float) -> None:
        """Collect a row of epochs.csv."""
        super().after_test(accuracy, loss)
        self.lines["epochs.csv"].append(f"{self.epoch},{accuracy},{loss}")

    def end_epoch(self) -> None:
        """Compare a state after an epoch."""
        self._position |= {"epoch": self.epoch + 1, "batch": 0, "under_way": False}
        self._compare_if_reached()

    def _compare_if_reached(self) -> None:
        if self._position["updates"] != self._end["updates"]:
            return
        now = {**self._state(again=self._again), "position": self._position}
        parts = {name: _compared(self._next.state[name], now[name]) for name in _PARTS}
        lines = {name: len(rows) for name, rows in self.lines.items()}
        self.reached.append(_Compared(parts, _rest_of_state(self._next, now), lines))
        if len(self.reached) == len(self._ends):
            raise _Reached
        self._await_next()


def _position(checkpoint: Checkpoint | None) -> Mapping[str, Any]:
    return BEGINNING if checkpoint is None else checkpoint.state["position"]


def _is_given_again(state: Mapping[str, Any]) -> bool:
    """Whether a state is before a batch whose loss was nan or infinite."""
    latest = state["loader"].get("pass") if isinstance(state["loader"], Mapping) else None
    return isinstance(latest, Mapping) and latest.get("again") is not None


def _words(position: Mapping[str, Any]) -> str:
    if position["updates"] == 0:
        return "the start"
    if position["batch"] == 0:
        return f"the end of epoch {position['epoch'] - 1}"
    return f"batch {position['batch'] - 1} of epoch {position['epoch']}"


def _last_rows(path: Path, contents: Mapping[str, bytes], count: int) -> list[str]:
    """The last count rows of a table. Raises RunError if it has fewer."""
    rows = contents[path.name].decode(errors="replace").splitlines()[1:]
    if not 0 <= count <= len(rows):
        raise _restarted(path)
    return rows[len(rows) - count :]


def _rows_between(path: Path, contents: Mapping[str, bytes], begin: Checkpoint | None, end: Checkpoint) -> list[str]:
    """The rows of layers.csv between two checkpoints. Raises RunError as _last_rows does."""
    first, last = _position(begin), end.state["position"]
    since = first["epoch"], first["batch"]
    rows = contents[path.name].decode(errors="replace").splitlines()[1:]
    try:
        places = [tuple(map(int, row.split(",", 2)[:2])) for row in rows]
    except ValueError:
        raise RunError(f"{path} has rows that the run did not write: it cannot be verified") from None
    rows = [row for row, place in zip(rows, places, strict=True) if place >= since]
    every, updates = end.config.layers_every, last["updates"] - first["updates"]
    due = len(range(-first["updates"] % every, updates, every))
    if rows and len({place for place in places if place >= since}) < due:
        raise _restarted(path)
    return rows


def _log_between(path: Path, contents: Mapping[str, bytes], begin: Checkpoint | None) -> list[str]:
    """The lines of the log after a checkpoint. Raises RunError as _last_rows does."""
    log = contents[path.name]
    if begin is None and not log.startswith(b"Epoch 1\n"):
        raise _restarted(path)
    if begin is not None:
        place = begin.places[path.name]
        before, since = log[: place.length], log[place.length :]
        # A log that was damaged started again at the older checkpoint.
        log = since if Place(len(before), zlib.crc32(before)) == place else log
    return log.decode(errors="replace").split("\n")[:-1]


def _restarted(path: Path) -> RunError:
    return RunError(f"{path} was damaged and started again after the part to verify; leave out --from-start")


def _compared(recorded: Any, now: Any) -> tuple[int, int]:
    """How many arrays of two states differ in at least one bit, or are in only one of them, of how many."""
    if isinstance(recorded, Tensor) or isinstance(now, Tensor):
        return int(not same(recorded, now)), 1
    then, now = _parts_by_key(recorded), _parts_by_key(now)
    values = [(then.get(key), now.get(key)) for key in dict.fromkeys([*then, *now])]
    counts = [_compared(*pair) for pair in values]
    return sum(other for other, _ in counts), sum(count for _, count in counts)


def _parts_by_key(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    return dict(enumerate(value)) if isinstance(value, list | tuple) else {}


def _rest_of_state(end: Checkpoint, now: Mapping[str, Any]) -> Finding:
    """Compare what the last checkpoint has besides arrays: steps, losses, rates, the order of the samples.

    The optimizer's options are left out, since a resumed run takes them from the configuration.
    """
    then = {name: end.state.get(name, {}) for name in ("position", "loader", "schedule")}
    then["optimizer"] = end.state["optimizer"]["state"]
    # The seconds are the only ones that differ each time.
    now = {**now, "position": {**now["position"], "seconds": then["position"]["seconds"]}}
    now["optimizer"] = now["optimizer"]["state"]
    other = [name for name, value in then.items() if not same(value, now[name])]
    other += ["model"] if not same(dict.fromkeys(end.state["model"] or ()), dict.fromkeys(now["model"])) else []
    text = f"{', '.join(other)}: not the same" if other else "position, order and schedule are the same"
    return Finding(f"{CHECKPOINTS}/{end.path.name}", not other, text)
