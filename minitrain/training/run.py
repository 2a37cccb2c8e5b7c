"""A whole run: data, model and optimizer from a configuration, the epochs, and the directory that they leave.

A run that was broken off goes on from its last checkpoint as if nothing had been: the same bits, the same lines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minitrain.data.transforms import ToTensor
from minitrain.random import default_generator, manual_seed
from minitrain.tensor import Tensor
from minitrain.training.backend import Backend
from minitrain.training.checkpoint import load
from minitrain.training.config import DATASETS, Config, ConfigError
from minitrain.training.environment import describe, differences
from minitrain.training.explain import Explainer
from minitrain.training.interrupts import Interrupted, Interrupts
from minitrain.training.model import build_model
from minitrain.training.reading import shown
from minitrain.training.recorder import Recorder, Silent, Stoppable
from minitrain.training.rundir import (
    WEIGHTS,
    Checkpoint,
    RunDirectory,
    RunError,
    check_out,
    check_run,
    launch,
    make_run_dir,
    open_run,
    read_checkpoint,
    read_config,
    read_last_good,
    read_sessions,
    split_checkpoint,
)

# --- the parts of a run -----------------------------------------------------------------------------------------------


class Training:
    """What a configuration trains: data, model, loss and optimizer, on a backend.

    Raises DataError if there is no data.
    """

    def __init__(self, config: Config, backend: Backend) -> None:
        self.config, self.backend = config, backend
        dataset: Any = DATASETS[config.dataset]
        with backend.loading():
            training_data, test_data = (
                dataset(root=config.data_dir, train=part, download=True, transform=ToTensor()) for part in (True, False)
            )
        self.samples = len(training_data)
        self._in_features, self._classes = training_data[0][0].numel(), len(training_data.classes)
        manual_seed(config.seed)
        self.model = backend.model(self.build)
        self.train_dataloader = backend.dataloader(training_data, config.batch_size, config.shuffle)
        self.test_dataloader = backend.dataloader(test_data, config.batch_size)
        self.loss_fn = backend.loss_fn()
        self.optimizer = backend.optimizer(config, self.model)

    def build(self, nn: Any) -> Any:
        """The model, of a framework's nn."""
        return build_model(nn, self._in_features, self.config.hidden, self._classes)

    def state(self, *, again: bool = False) -> dict[str, Any]:
        """All that it takes to go on from here; again: with the batch that was given last."""
        return {
            "config": dataclasses.asdict(self.config),
            "model": self.backend.state_dict(self.model),
            "optimizer": self.backend.optimizer_state(self.optimizer),
            "generator": Tensor(default_generator.get_state()),
            "loader": self.train_dataloader.state_dict(again=again),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ValueError, KeyError or RuntimeError for a state that does not fit."""
        position, batches = state["position"], len(self.train_dataloader)
        if position["updates"] != (position["epoch"] - 1) * batches + position["batch"] or position["batch"] > batches:
            raise ValueError(f"it is at no position of this run, whose epochs have {batches} batches: {dict(position)}")
        if position["batch"] > 0 and state["loader"]["pass"] is None:
            raise ValueError("it is amid an epoch whose order it does not have")
        self.backend.load_state_dict(self.model, state["model"])
        # What it remembers of each parameter; the options are the configuration's, which may have changed.
        options = self.backend.optimizer_state(self.optimizer)["param_groups"]
        remembered = {"state": state["optimizer"]["state"], "param_groups": options}
        self.backend.load_optimizer_state(self.optimizer, remembered)
        default_generator.set_state(state["generator"].array)
        self.train_dataloader.load_state_dict(state["loader"])

    def run(self, observer: Stoppable, position: Mapping[str, Any]) -> None:
        """The epochs that are left from there on."""
        first_batch = position["batch"]
        for epoch in range(position["epoch"], self.config.epochs + 1):
            observer.begin_epoch(epoch, self.config.epochs)
            self.backend.train(self.train_dataloader, self.model, self.loss_fn, self.optimizer, observer, first_batch)
            first_batch = 0
            self.backend.test(self.test_dataloader, self.model, self.loss_fn, observer)
            observer.end_epoch()


BEGINNING: dict[str, Any] = {
    "epoch": 1,
    "batch": 0,
    "updates": 0,
    "losses": [],
    "under_way": False,
    "seconds": 0.0,
}

# --- going on with a run ----------------------------------------------------------------------------------------------

# What may differ from session to session without being another run: where and how it is computed, how long it goes on.
FREE = {"data_dir", "epochs", "backend", "device", "compile", "checkpoint_every", "on_nan"}
# What may be changed on purpose. Of the rest (data, order, shapes, the kind of optimizer) a run is made.
OVERRIDABLE = {"lr", "momentum", "weight_decay", "precision"}


@dataclasses.dataclass(frozen=True)
class Resumption:
    """How a run goes on: its directory, the configuration from now on, and what was changed in it.

    checkpoint: where it goes on from; None for the last good one.
    """

    run: Path
    config: Config
    changes: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    checkpoint: Path | None = None

    def read(self) -> tuple[Checkpoint | None, list[str]]:
        """Where it goes on from, as read_last_good."""
        return read_last_good(self.run) if self.checkpoint is None else (read_checkpoint(self.checkpoint), [])


def plan_resumption(run: str | os.PathLike[str], given: Mapping[str, Any], *, override: bool = False) -> Resumption:
    """How to go on with a run, with the options that were given anew. Nothing is changed yet.

    run: its directory; or one of its checkpoints, to go back there.

    Raises ConfigError for other hyperparameters than the run's, unless overridden, for a run that is complete, and
    where there is no run; RunError if it cannot be read.
    """
    directory, checkpoint = split_checkpoint(run)
    path = check_run(directory)
    last, _ = Resumption(path, Config(), checkpoint=checkpoint).read()
    try:
        config = read_config(path)
    except RunError as error:
        if last is None:
            raise
        print(f"minitrain: {error}. It is written anew from {last.path}", file=sys.stderr)
        config = last.config
    changes = {name: [getattr(config, name), new] for name, new in given.items() if getattr(config, name) != new}
    refused = {name: change for name, change in changes.items() if name not in FREE}
    if refused and not (override and refused.keys() <= OVERRIDABLE):
        raise ConfigError(f"{path} is a run with {_shown(refused)}; {_remedy(refused, override)}")
    config = dataclasses.replace(config, **{name: new for name, (_, new) in changes.items()})
    if last is None and _has_weights(path):
        raise RunError(f"{path} is complete, and has no checkpoints any more from which it could go on")
    epoch = last.state["position"]["epoch"] if last is not None else 1
    if epoch > config.epochs and "epochs" in changes:
        raise ConfigError(f"{path} has done {epoch - 1} epochs already; --epochs {config.epochs} has none to add")
    if epoch > config.epochs and _has_weights(path):
        raise ConfigError(f"{path} is complete: {epoch - 1} epochs are done; for more, add --epochs {epoch + 9}")
    return Resumption(path, config, changes, checkpoint)


def _has_weights(run: Path) -> bool:
    try:
        load(run / WEIGHTS)
    except (OSError, ValueError):
        return False
    return True


def _shown(changes: Mapping[str, list[Any]]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} {_words(was)}, but {_words(new)} is given" for name, (was, new) in changes.items()
    )


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _remedy(refused: Mapping[str, Any], override: bool) -> str:
    fixed = sorted(name.replace("_", "-") for name in refused.keys() - OVERRIDABLE)
    if not fixed:
        return "leave that out, or add --override to change it in the middle of the run"
    also = ", not even with --override" if override else ""
    return f"{', '.join(fixed)} cannot change within a run{also}: leave that out, or begin another run with --out"


# --- the run ----------------------------------------------------------------------------------------------------------


def train(
    config: Config,
    out: str | os.PathLike[str] | None = None,
    backend: Backend | None = None,
    *,
    resumption: Resumption | None = None,
) -> Path | None:
    """Run it: print the tutorial's log on stdout, and leave a directory with all there is to know about the run.

    The directory's files are those of rundir.py. The state is saved before the first batch, after each epoch, and
    every config.checkpoint_every steps. The first Ctrl-C, SIGTERM or SIGHUP saves it after the batch and ends the run.
    A loss that is not finite is explained on stderr; the run then stops before the update, or goes on, as
    config.on_nan says.
    backend: what computes; minitrain itself, if None.
    resumption: the run to go on with, instead of beginning one; config is its configuration then.
    Returns the directory; None in a process that does not write, where several train together.
    Raises DataError if there is no data, ConfigError if out holds a run or cannot be written, RunError for a run that
    is in use, damaged, or could not be saved, NonFiniteLossError, and Interrupted.
    """
    backend = backend or Backend()
    with contextlib.ExitStack() as stack:
        directory = None
        if resumption is not None and backend.writes:
            directory = stack.enter_context(open_run(resumption.run))
        elif backend.writes:
            check_out(out)  # before a long download
        last, faults = (None, []) if resumption is None else resumption.read()
        training = Training(config, backend) if last is None else training_from(last, config, backend)
        position = BEGINNING if last is None else last.state["position"]
        if resumption is None and backend.writes:
            directory = stack.enter_context(make_run_dir(out, config.dataset))
        interrupts = stack.enter_context(Interrupts(says=backend.writes))
        if directory is None:
            training.run(Silent(interrupts, position["epoch"], config.on_nan), position)
            return None
        is_new = resumption is None
        said = _begin(directory, config, backend, resumption, position)
        for text in [*said, *_lines(directory, last, faults, discard=is_new)]:
            print(f"minitrain: {text}", file=sys.stderr)
        explainer = Explainer(config, backend, training.build, training.model, training.optimizer)
        recorder = Recorder(
            directory, explainer, interrupts, training.state, position, stack.enter_context(_bar(training, position))
        )
        try:
            if last is None:
                with _beginning(directory, discard=is_new):
                    directory.check_room(recorder.save())
            training.run(recorder, position)
            recorder.line("Done!")
            recorder.insist(directory.flush)  # before the weights, which say that the run is complete
            recorder.insist(lambda: directory.save_weights(backend.state_dict(training.model)))
        except Interrupted as error:
            error.run = directory.path
            raise
        return directory.path


def training_from(checkpoint: Checkpoint, config: Config, backend: Backend) -> Training:
    """What the configuration trains, as it is at the checkpoint. Raises RunError for one that does not fit."""
    check_fits(checkpoint, config)
    training = Training(config, backend)
    with _fitting(checkpoint):
        training.load(checkpoint.state)
    return training


def check_fits(checkpoint: Checkpoint, config: Config) -> None:
    """Raise RunError for a checkpoint of another run, or of another size: before there is memory for that model."""
    with _fitting(checkpoint):
        for name in [field.name for field in dataclasses.fields(Config) if field.name not in FREE | OVERRIDABLE]:
            was, is_ = getattr(checkpoint.config, name), getattr(config, name)
            if was != is_:
                raise ValueError(f"it is of a run with {name.replace('_', '-')} {_words(was)}, not {_words(is_)}")
        found = sum(tensor.numel() for tensor in checkpoint.state["model"].values())
        if found != config.parameters:
            raise ValueError(f"it has {found:,} weights, but {shown(config.parameters)} are called for")


@contextlib.contextmanager
def _fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Within it a checkpoint is used, all of whose parts may be of any kind."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise RunError(f"{checkpoint.path} does not fit the run's configuration: {error}") from error


@contextlib.contextmanager
def _beginning(directory: RunDirectory, *, discard: bool) -> Iterator[None]:
    """Within it a session first writes into a directory; discard: where that fails, nothing is left of it."""
    try:
        yield
    except OSError as error:
        room = directory.room()
        if discard:
            directory.discard()
        where = f": {error.filename}" if error.filename else ""
        remedy = "make room, or choose another --out" if discard else "make room"
        raise ConfigError(
            f"cannot write the run in {directory.path} ({error.strerror}{where}; {room} are free); {remedy}"
        ) from None


def _begin(
    directory: RunDirectory,
    config: Config,
    backend: Backend,
    resumption: Resumption | None,
    position: Mapping[str, Any],
) -> list[str]:
    """Write down the configuration and this session; returns what there is to say about it."""
    environment = describe(backend.versions())
    said: list[str] = []
    session: dict[str, Any] = {"began": datetime.now(UTC).isoformat(timespec="seconds")}
    session |= {name: position[name] for name in ("epoch", "batch", "updates")}
    if (started_by := launch()) is not None:
        session["launch"] = started_by
    directory.clean()
    if resumption is not None:
        session["changes"] = resumption.changes
        with contextlib.suppress(RunError):  # which was said
            directory.description = {"sessions": read_sessions(directory.path)}
            before = directory.description["sessions"][-1]["environment"]
            said += [f"not as in the session before: {line}" for line in differences(before, environment)]
        said.append(f"going on with {directory.path} in epoch {position['epoch']}, batch {position['batch']}")
    with _beginning(directory, discard=resumption is None):
        directory.describe(config, environment, session)
        # Of a complete run to which epochs are added: these weights are in its last checkpoint, too.
        (directory.path / WEIGHTS).unlink(missing_ok=True)
        if resumption is not None and resumption.checkpoint is not None:
            directory.forget_after(resumption.checkpoint)
    return said


def _lines(directory: RunDirectory, last: Checkpoint | None, faults: list[str], *, discard: bool) -> list[str]:
    """Open tables and log where the state belongs; returns what there is to say about it."""
    said = [f"{fault}; taking the checkpoint before it" for fault in faults]
    with _beginning(directory, discard=discard):
        return said + directory.begin_lines(None if last is None else last.places)


def _bar(training: Training, position: Mapping[str, Any]) -> Any:
    """A progress bar on stderr, where that is a terminal."""
    from tqdm import tqdm  # here, since importing minitrain should cost little more than importing NumPy

    done = (position["epoch"] - 1) * training.samples + position["batch"] * training.config.batch_size
    return tqdm(
        total=training.config.epochs * training.samples,
        initial=done,
        unit=" samples",
        unit_scale=True,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
    )
