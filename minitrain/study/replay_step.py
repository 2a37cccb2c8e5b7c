"""Replays one step of a run, from its checkpoints or its start, and records it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minitrain import ops
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, checkpoints, read_checkpoint
from minitrain.runs.config import DATASETS, Config, ConfigError
from minitrain.runs.config_file import read_config, read_sessions
from minitrain.runs.interrupts import Interrupts
from minitrain.runs.memory import check_memory
from minitrain.runs.messages import counted
from minitrain.runs.model import load_run_data
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.recorder import Silent
from minitrain.runs.resume import check_fits, training_from
from minitrain.runs.run_files import RunError, check_run
from minitrain.study.recording import Step, recording

Plant = Callable[[Any, Any, Any], Any]  # puts a mistake into (model, loss, optimizer), as those of `minitrain compare`


@dataclasses.dataclass(frozen=True)
class Place:
    """Which step of a run: the number of updates before it, its epoch from 1, its batch from 0, batches of an epoch.

    epochs: those of the run. The step after a complete run would begin another one.
    """

    updates: int
    epoch: int
    batch: int
    batches: int
    epochs: int

    def __str__(self) -> str:
        if self.epoch > self.epochs:
            return f"step {self.updates}, the next one after {counted(self.epochs, 'epoch')}"
        return f"step {self.updates}, epoch {self.epoch}, batch {self.batch}"


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A recorded step of a run.

    exact: whether the run was computed by NumPy, so that its bits are the run's own. planted: the operations with a
    planted mistake; they stand in the step as the library's own.
    """

    step: Step
    place: Place
    config: Config
    exact: bool
    planted: tuple[int, ...] = ()

    @property
    def classes(self) -> Sequence[str]:
        """The names of the labels."""
        names: Sequence[str] = DATASETS[self.config.dataset].classes
        return names

    @property
    def about(self) -> str:
        """What step this is, in a sentence or two."""
        place, config = self.place, self.config
        sizes = " → ".join(map(str, config.sizes))
        where = f"epoch {place.epoch}, batch {place.batch} of {place.batches} (steps and batches count from 0)"
        if place.epoch > place.epochs:
            where = f"the next one after its {counted(place.epochs, 'epoch')}"
        text = (
            f"Step {place.updates} of a run on {config.dataset}: {where}. The network is {sizes}, with "
            f"{config.parameters:,} parameters."
        )
        return text if self.exact else f"{text} torch trained this run; NumPy has computed the step again."


def replay_step(
    run: str | os.PathLike[str],
    *,
    step: int | None = None,
    epoch: int | None = None,
    batch: int | None = None,
    data_dir: str | None = None,
    plant: Plant | None = None,
    large: bool = False,
) -> Replayed:
    """Record one step of a run. Writes nothing.

    step: the number of updates before it; or epoch (from 1) and batch (from 0); by default the one that follows the
    last checkpoint. Where no checkpoint is at the step, the steps from the last one before it, or from the run's start,
    are repeated to the bit.
    Raises ConfigError if there is no run or no such step; RunError for a damaged run, or one whose settings changed
    between the nearest state and the step; DataError without the data.
    """
    path = check_run(run)
    states = {int(file.stem): file for file in checkpoints(path)}
    config = read_config(path)
    if not states:
        raise RunError(f"{path} has no checkpoint: there is no state to replay a step from")
    last = max(states)
    if data_dir is not None:
        config = dataclasses.replace(config, data_dir=data_dir)
    place = _place(config, last, step, epoch, batch)
    begin = max((updates for updates in states if updates <= place.updates), default=None)
    checkpoint = None if begin is None else read_checkpoint(states[begin])
    config = _config_at(path, config, begin or 0, place)
    exact = config.backend == "numpy"
    ending: dict[str, Any] = {
        "epochs": max(config.epochs, place.epoch)
    }  # the step after a complete run begins another epoch
    numpy: dict[str, Any] = {"backend": "numpy", "device": "auto", "compile": False, "precision": "float32"}
    config = dataclasses.replace(config, **ending, **numpy)
    check_fits(checkpoint or read_checkpoint(states[last]), config)
    check_memory(config, large=large)
    recorded = _record(config, checkpoint, place, plant)
    return Replayed(recorded, place, config, exact, _unmask(recorded))


def _unmask(step: Step) -> tuple[int, ...]:
    """Replace operations with a planted mistake by the library's, whose formula and source explain what is right."""
    planted = []
    for number, operation in enumerate(step.ops):
        own = getattr(ops, operation.function.__name__, operation.function)
        if own is not operation.function:
            operation.function = own
            planted.append(number)
    return tuple(planted)


def _place(config: Config, last: int, step: int | None, epoch: int | None, batch: int | None) -> Place:
    """Which step is meant. Raises ConfigError if the run has none with this number."""
    batches = -(-len(load_run_data(config)) // config.batch_size)
    if step is not None and (epoch is not None or batch is not None):
        raise ConfigError("give either --step, or --epoch and --batch")
    if batch is not None and not 0 <= batch < batches:
        raise ConfigError(f"an epoch of this run has the batches 0 to {batches - 1}, but --batch is {batch}")
    if epoch is not None and epoch < 1:
        raise ConfigError(f"epochs count from 1, but --epoch is {epoch}")
    if epoch is None and batch is not None:
        raise ConfigError("--batch needs --epoch: which epoch is the batch in?")
    if epoch is not None:
        step = (epoch - 1) * batches + (batch or 0)
    ends = config.scheduled_epochs and last == config.epochs * batches  # there is no rate for a further step
    largest = last - 1 if ends else last
    updates = largest if step is None else step
    if not 0 <= updates <= largest:
        raise ConfigError(
            f"this run has the steps 0 to {largest} (epoch {largest // batches + 1}, batch {largest % batches}), "
            f"but step {updates} was asked for"
        )
    return Place(updates, updates // batches + 1, updates % batches, batches, config.epochs)


def _config_at(run: Path, config: Config, begin: int, place: Place) -> Config:
    """The configuration that this step was trained with. Raises RunError if it changed since begin."""
    changed: dict[str, Any] = {}
    for session in reversed(read_sessions(run)):
        changes = {name: was for name, (was, _) in session.get("changes", {}).items()}
        if session["updates"] > place.updates:
            changed |= changes
        elif session["updates"] > begin and changes.keys() - {"data_dir", "epochs", "checkpoint_every", "on_nan"}:
            names = ", ".join(sorted(changes))
            raise RunError(
                f"{run} was resumed at step {session['updates']} with other settings ({names}), so step "
                f"{place.updates} cannot be repeated from step {begin}; choose one before {session['updates']}"
            )
    changed = {name: tuple(was) if isinstance(was, list) else was for name, was in changed.items()}
    changed.pop("epochs", None)
    return dataclasses.replace(config, **changed)


class _Reached(Exception):  # noqa: N818 (it is not an error)
    """The step is reached, or recorded."""


class _Until(Silent):
    """Stops a training before a step."""

    def __init__(self, updates: int, begin: Mapping[str, Any]) -> None:
        super().__init__(Interrupts(), begin["epoch"], "continue")
        self._left: int = updates - begin["updates"]

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Count."""
        self._left -= 1

    def settles_after(self, batch: int) -> bool:
        """Whether the next step is the one."""
        return self._left == 0

    def settled(self, batch: int) -> None:
        """Stop before the step, unless it begins an epoch: then first comes the test, which draws a seed."""
        self.batch = batch + 1
        if self._left == 0 and not self.last(batch):
            raise _Reached

    def end_epoch(self) -> None:
        """Stop before an epoch's first step."""
        self.epoch, self.batch = self.epoch + 1, 0
        if self._left == 0:
            raise _Reached

    batches: int = 0
    batch: int = 0

    def last(self, batch: int) -> bool:
        """Whether an epoch ends with this batch."""
        return batch + 1 == self.batches


class _Recording(Silent):
    """Records the first step of a training, and stops after it."""

    def __init__(self, training: Training, epoch: int) -> None:
        super().__init__(Interrupts(), epoch, "continue")
        self._stack = contextlib.ExitStack()
        self.step = self._stack.enter_context(recording(training.model, training.optimizer))

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Stop."""
        self._stack.close()
        raise _Reached

    def close(self) -> None:
        """End the recording."""
        self._stack.close()


def _record(config: Config, checkpoint: Checkpoint | None, place: Place, plant: Plant | None) -> Step:
    """Repeat the training up to the step, then record it."""
    if checkpoint is None:
        training, begin = Training(config, Backend()), BEGINNING
    else:
        check_fits(checkpoint, config)
        training, begin = training_from(checkpoint, config, Backend()), checkpoint.state["position"]
    if begin["updates"] < place.updates:
        until = _Until(place.updates, begin)
        until.batches = len(training.train_dataloader)
        with contextlib.suppress(_Reached):
            training.run(until, begin)
        reached = {"epoch": place.epoch, "batch": place.batch, "updates": place.updates}
        if (until.epoch, until.batch) != (place.epoch, place.batch):
            raise RunError(f"the run ended before {counted(place.updates, 'update')}: it cannot be repeated")
        begin = {**begin, **reached}
        state = training.state() | {"position": begin}
        training = Training(config, Backend())
        training.load(state)
    if plant is not None:
        (training.model, training.loss_fn, training.optimizer), _ = plant(
            training.model, training.loss_fn, training.optimizer
        )
    observer = _Recording(training, place.epoch)
    try:
        with contextlib.suppress(_Reached):
            training.run(observer, begin)
    finally:
        observer.close()
    return observer.step
