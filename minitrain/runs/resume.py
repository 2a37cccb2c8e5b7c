"""Resuming a run: which checkpoint and configuration to use, and which settings may change."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minitrain.files import shown
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, read_checkpoint, read_last_good, split_checkpoint
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import DamagedError, read_description
from minitrain.runs.memory import check_memory
from minitrain.runs.recipe import Training
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run_files import CONFIG, WEIGHTS, RunError, check_run
from minitrain.runs.same_bits import other_weights
from minitrain.runs.settings_changes import FREE, OVERRIDABLE, unexplained
from minitrain.serialization import load


@dataclasses.dataclass(frozen=True)
class Resumption:
    """How to resume a run: its directory, the new configuration, and the settings that change.

    checkpoint: None for the newest intact one. notes: messages on settings that return to the checkpoint's.
    again: also finish a complete run once more, since its config.json or its weights are not as it left them.
    large: whether the run may take any amount of memory.
    """

    run: Path
    config: Config
    changes: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    checkpoint: Path | None = None
    notes: Sequence[str] = ()
    again: bool = False
    large: bool = False

    def read(self) -> tuple[Checkpoint | None, list[str]]:
        """The checkpoint to resume from, as read_last_good returns it.

        Raises RunError if another process has completed the run since this was planned, for a checkpoint that does not
        fit, and for a run that needs memory out of proportion to its files.
        """
        last, faults = _read(self.run, self.checkpoint)
        ended = last is not None and last.state["position"]["epoch"] > self.config.epochs
        if ended and not self.again and _has_weights(self.run, last):
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
    A checkpoint that is named gives its own settings, except those that are free to change.
    Raises ConfigError if there is no run, if it is complete, or for settings other than the run's, unless overridden;
    RunError if it cannot be read, or if config.json has other settings than the run.
    """
    directory, checkpoint = split_checkpoint(run)
    path = check_run(directory)
    last, _ = _read(path, checkpoint)
    written, held, again = _settings(path, last, returns=checkpoint is not None)
    asked = {name: [held[name], new] for name, new in given.items() if held[name] != new}
    refused = {name: change for name, change in asked.items() if name not in _free(written)}
    if refused and not (override and refused.keys() <= OVERRIDABLE):
        raise ConfigError(f"{path} was started with {_shown(refused)}; {_remedy(refused, override)}")
    config = Config(**{**held, **given})
    if last is None and _has_weights(path, last):
        raise RunError(f"{path} is complete, but has no checkpoints to resume from")
    epoch = last.state["position"]["epoch"] if last is not None else 1
    if epoch > config.epochs and "epochs" in asked:
        raise ConfigError(f"{path} has trained {epoch - 1} epochs; --epochs counts them, so {config.epochs} adds none")
    if epoch > config.epochs and not again and _has_weights(path, last):
        if config.scheduled_epochs:
            raise ConfigError(
                f"{path} is complete, and its scheduler, {config.scheduler}, has ended; start another run"
            )
        raise ConfigError(
            f"{path} is complete with {epoch - 1} epochs; to train more, add --epochs {epoch + 9} (which counts them)"
        )
    changes = {name: [was, new] for name, was in vars(written).items() if (new := getattr(config, name)) != was}
    notes = [
        f"{_option(name)} {_words(new)} as in this checkpoint; config.json has {_words(was)}"
        for name, (was, new) in changes.items()
        if name not in given
    ]
    return Resumption(path, config, changes, checkpoint, notes, again, large)


def _settings(path: Path, last: Checkpoint | None, *, returns: bool) -> tuple[Config, dict[str, Any], bool]:
    """The configuration in config.json; the settings to resume with; and whether config.json is not as the run left it.

    returns: the checkpoint was named, and its own settings hold, except where and how to compute, and how long.
    """
    try:
        written, sessions = read_description(path)
    except DamagedError:
        if last is None:
            raise
        return last.config, vars(last.config), True  # resume() reports it
    if last is None:
        return written, vars(written), False
    other = unexplained(written, last, sessions)
    if returns:
        free = _free(last.config) - other.keys()
        return written, {**vars(last.config), **{name: getattr(written, name) for name in free}}, bool(other)
    refused = {name: pair for name, pair in other.items() if name in OVERRIDABLE}  # check_fits sees the data and model
    if refused:
        raise RunError(
            f"{path / CONFIG} has {_shown(refused)} as in the last checkpoint, but no session of the run changed that; "
            f"to use the checkpoint's settings: {resume_command(last.path)}"
        )
    return written, vars(written), bool(other)


def _free(config: Config) -> set[str]:
    return FREE - {"epochs"} if config.scheduled_epochs else FREE


def _read(run: Path, checkpoint: Path | None) -> tuple[Checkpoint | None, list[str]]:
    return read_last_good(run) if checkpoint is None else (read_checkpoint(checkpoint), [])


def _has_weights(run: Path, last: Checkpoint | None) -> bool:
    """Whether the run is complete: its weights are intact, and those of the last checkpoint."""
    try:
        weights = load(run / WEIGHTS)
    except (OSError, ValueError):
        return False
    return last is None or not other_weights(weights, last)


def _shown(changes: Mapping[str, Sequence[Any]]) -> str:
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
