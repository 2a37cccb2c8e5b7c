"""Going on with a run: from where, with which configuration, and what may be changed in it on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minitrain.files import shown
from minitrain.runs.backend import Backend
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.directory import (
    WEIGHTS,
    Checkpoint,
    RunError,
    UnreadableError,
    check_run,
    read_checkpoint,
    read_config,
    read_last_good,
    split_checkpoint,
)
from minitrain.runs.recipe import Training
from minitrain.serialization import load

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
        return _read(self.run, self.checkpoint)


def plan_resumption(run: str | os.PathLike[str], given: Mapping[str, Any], *, override: bool = False) -> Resumption:
    """How to go on with a run, with the options that were given anew. Nothing is changed yet.

    run: its directory; or one of its checkpoints, to go back there.

    Raises ConfigError for other hyperparameters than the run's, unless overridden, for a run that is complete, and
    where there is no run; RunError if it cannot be read.
    """
    directory, checkpoint = split_checkpoint(run)
    path = check_run(directory)
    last, _ = _read(path, checkpoint)
    try:
        config = read_config(path)
    except RunError as error:
        if last is None or isinstance(error, UnreadableError):
            raise
        config = last.config  # resume tells of it
    changes = {name: [getattr(config, name), new] for name, new in given.items() if getattr(config, name) != new}
    refused = {name: change for name, change in changes.items() if name not in FREE}
    if refused and not (override and refused.keys() <= OVERRIDABLE):
        raise ConfigError(f"{path} is a run with {_shown(refused)}; {_remedy(refused, override)}")
    config = dataclasses.replace(config, **{name: new for name, (_, new) in changes.items()})
    if last is None and _has_weights(path):
        raise RunError(f"{path} is complete, and has no checkpoints any more from which it could go on")
    epoch = last.state["position"]["epoch"] if last is not None else 1
    if epoch > config.epochs and "epochs" in changes:
        raise ConfigError(
            f"{path} has done {epoch - 1} epochs already; --epochs counts them all, and {config.epochs} adds none"
        )
    if epoch > config.epochs and _has_weights(path):
        raise ConfigError(
            f"{path} is complete: {epoch - 1} epochs are done; for more, add --epochs {epoch + 9} (it counts them all)"
        )
    return Resumption(path, config, changes, checkpoint)


def _read(run: Path, checkpoint: Path | None) -> tuple[Checkpoint | None, list[str]]:
    return read_last_good(run) if checkpoint is None else (read_checkpoint(checkpoint), [])


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
