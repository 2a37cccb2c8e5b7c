"""Resuming a run: which checkpoint and configuration to use, and which settings may change."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minitrain.files import shown
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, read_checkpoint, read_last_good, split_checkpoint
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import read_config
from minitrain.runs.memory import check_memory
from minitrain.runs.recipe import Training
from minitrain.runs.run_files import WEIGHTS, RunError, UnreadableError, check_run
from minitrain.serialization import load

# Settings that do not change the run: where and how it is computed, and how long it trains.
FREE = {"data_dir", "epochs", "backend", "device", "compile", "checkpoint_every", "on_nan", "layers_every"}
# Settings that --override may change. All others define the run: data, order, shapes, the kind of optimizer.
OVERRIDABLE = {"lr", "momentum", "weight_decay", "precision"}


@dataclasses.dataclass(frozen=True)
class Resumption:
    """How to resume a run: its directory, the new configuration, and the settings that change.

    checkpoint: None for the newest intact one. large: whether the run may take any amount of memory.
    """

    run: Path
    config: Config
    changes: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    checkpoint: Path | None = None
    large: bool = False

    def read(self) -> tuple[Checkpoint | None, list[str]]:
        """The checkpoint to resume from, as read_last_good returns it.

        Raises RunError if another process has completed the run since this was planned, for a checkpoint that does not
        fit, and for a run that needs memory out of proportion to its files.
        """
        last, faults = _read(self.run, self.checkpoint)
        if last is not None and last.state["position"]["epoch"] > self.config.epochs and _has_weights(self.run):
            raise RunError(f"{self.run} is complete: another process has finished it")
        if last is not None:
            check_fits(last, self.config)
        check_memory(self.config, known=last is not None, large=self.large)
        return last, faults


def plan_resumption(
    run: str | os.PathLike[str], given: Mapping[str, Any], *, override: bool = False, large: bool = False
) -> Resumption:
    """How to resume a run with the given settings. Writes nothing.

    run: its directory, or one of its checkpoints to return to. large: allow it any amount of memory.
    Raises ConfigError if there is no run, if it is complete, or for settings other than the run's, unless overridden;
    RunError if it cannot be read.
    """
    directory, checkpoint = split_checkpoint(run)
    path = check_run(directory)
    last, _ = _read(path, checkpoint)
    try:
        config = read_config(path)
    except RunError as error:
        if last is None or isinstance(error, UnreadableError):
            raise
        config = last.config  # resume() reports it
    changes = {name: [getattr(config, name), new] for name, new in given.items() if getattr(config, name) != new}
    free = FREE - {"epochs"} if config.scheduled_epochs else FREE
    refused = {name: change for name, change in changes.items() if name not in free}
    if refused and not (override and refused.keys() <= OVERRIDABLE):
        raise ConfigError(f"{path} was started with {_shown(refused)}; {_remedy(refused, override)}")
    config = dataclasses.replace(config, **{name: new for name, (_, new) in changes.items()})
    if last is None and _has_weights(path):
        raise RunError(f"{path} is complete, but has no checkpoints to resume from")
    epoch = last.state["position"]["epoch"] if last is not None else 1
    if epoch > config.epochs and "epochs" in changes:
        raise ConfigError(f"{path} has trained {epoch - 1} epochs; --epochs counts them, so {config.epochs} adds none")
    if epoch > config.epochs and _has_weights(path) and config.scheduled_epochs:
        raise ConfigError(f"{path} is complete, and its scheduler, {config.scheduler}, has ended; start another run")
    if epoch > config.epochs and _has_weights(path):
        raise ConfigError(
            f"{path} is complete with {epoch - 1} epochs; to train more, add --epochs {epoch + 9} (which counts them)"
        )
    return Resumption(path, config, changes, checkpoint, large)


def _read(run: Path, checkpoint: Path | None) -> tuple[Checkpoint | None, list[str]]:
    return read_last_good(run) if checkpoint is None else (read_checkpoint(checkpoint), [])


def _has_weights(run: Path) -> bool:
    try:
        load(run / WEIGHTS)
    except (OSError, ValueError):
        return False
    return True


def _shown(changes: Mapping[str, list[Any]]) -> str:
    return ", ".join(f"{_option(name)} {_words(was)}, not {_words(new)}" for name, (was, new) in changes.items())


def _option(name: str) -> str:
    return name.replace("_", "-")


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _remedy(refused: Mapping[str, Any], override: bool) -> str:
    fixed = sorted(_option(name) for name in refused.keys() - OVERRIDABLE)
    if not fixed:
        return "leave that out, or add --override to change it from here on"
    also = ", not even with --override" if override else ""
    return f"{', '.join(fixed)} cannot change within a run{also}: leave that out, or start another run with --out"


def training_from(checkpoint: Checkpoint, config: Config, backend: Backend) -> Training:
    """What the configuration trains, in the checkpoint's state. Raises RunError for one that does not fit."""
    check_fits(checkpoint, config)
    training = Training(config, backend)
    with _fitting(checkpoint):
        training.load(checkpoint.state)
    return training


def check_fits(checkpoint: Checkpoint, config: Config) -> None:
    """Raise RunError for a checkpoint of another run or model size, before the model is allocated."""
    with _fitting(checkpoint):
        for name in [field.name for field in dataclasses.fields(Config) if field.name not in FREE | OVERRIDABLE]:
            was, is_ = getattr(checkpoint.config, name), getattr(config, name)
            if was != is_:
                raise ValueError(f"it is from a run with {_option(name)} {_words(was)}, not {_words(is_)}")
        found = sum(tensor.numel() for tensor in checkpoint.state["model"].values())
        if found != config.parameters:
            raise ValueError(f"it has {found:,} weights, but the configuration needs {shown(config.parameters)}")


@contextlib.contextmanager
def _fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn every error of using a checkpoint into RunError: its parts may be of any type."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise RunError(f"{checkpoint.path} does not fit the run's configuration: {error}") from error
