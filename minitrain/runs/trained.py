"""The trained model of a run, computed by NumPy whichever backend trained it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minitrain import nn
from minitrain.files import shown
from minitrain.runs.checkpoints import read_last_good
from minitrain.runs.config import DATASETS, SHAPES, Config
from minitrain.runs.config_file import read_config
from minitrain.runs.messages import say
from minitrain.runs.model import configured_model
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run_files import WEIGHTS, RunError, check_run
from minitrain.runs.same_bits import not_finite, other_weights
from minitrain.serialization import load
from minitrain.tensor import Tensor
from minitrain.torchlike.random import default_generator


class Trained(NamedTuple):
    """A run's model with its current weights, and the names of its classes."""

    config: Config
    model: Any
    classes: Sequence[str]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the input images."""
        height, width = SHAPES[self.config.dataset]
        return height, width


def load_trained(run: str | os.PathLike[str]) -> Trained:
    """The model of a run, in evaluation mode.

    Raises ConfigError if there is no run, RunError if it is damaged or has no weights yet.
    """
    config = read_config(run)
    where, state = _weights(check_run(run))
    # Before the model is allocated: a configuration from a stranger may have any size.
    expected = config.parameters
    found = sum(tensor.numel() for tensor in state.values())
    configured = f"the run's configuration ({config.dataset}, hidden {shown(list(config.hidden))})"
    if found != expected:
        wanted = f"{expected:,}" if expected < 10**18 else "over 10**18"
        raise RunError(f"{where} has {found:,} weights, but {configured} needs {wanted}")
    generator_state = default_generator.get_state()
    model = configured_model(config, nn)
    default_generator.set_state(generator_state)  # drawing initial weights must not change the user's random stream
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if own.get(name) != tuple(tensor.shape):
            shape = tuple(tensor.shape)
            raise RunError(f"{where} has {shown(name)} of shape {shape}, but {configured} has {own.get(name)}")
    model.load_state_dict(state)
    model.eval()
    return Trained(config, model, DATASETS[config.dataset].classes)


def _weights(run: Path) -> tuple[Path, Mapping[str, Tensor]]:
    """The run's weights by name, and their file: model.safetensors, or the newest intact checkpoint.

    Weights that differ from the last checkpoint's, or are nan or infinite, are reported on stderr.
    """
    path, state = _complete(run) or _unfinished(run)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise RunError(f"{path} does not hold a model's weights by name")
    for text in (_other_than_trained(run, state) if path.name == WEIGHTS else "", not_finite(state)):
        if text:
            say(f"minitrain: warning: {path}: {text}")
    return path, state


def _complete(run: Path) -> tuple[Path, Any] | None:
    path = run / WEIGHTS
    if not path.exists():
        return None
    try:
        return path, load(path)
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from None
    except ValueError as error:
        raise RunError(f"{error}; to write it again from the last checkpoint: {resume_command(run)}") from None


def _unfinished(run: Path) -> tuple[Path, Any]:
    checkpoint, faults = read_last_good(run)
    if checkpoint is None:
        raise RunError(f"{run} has no {WEIGHTS} and no checkpoint; to train it again: {resume_command(run)}")
    for fault in faults:
        say(f"minitrain: {fault}")
    say(f"minitrain: the run is not complete; using the weights in {checkpoint.path}")
    return checkpoint.path, checkpoint.state.get("model")


def _other_than_trained(run: Path, weights: Mapping[str, Tensor]) -> str:
    """How the weights differ from the last checkpoint's, in words; "" if not at all, or if there is no checkpoint."""
    try:
        last, faults = read_last_good(run)
    except RunError as error:
        return f"cannot be compared with the last checkpoint: {error}"
    if faults:
        return f"cannot be compared with the last checkpoint: {faults[0]}"
    if last is None or not (run / WEIGHTS).exists():  # a session has begun meanwhile that trains the run further
        return ""
    fault = other_weights(weights, last)
    return f"not what the run has trained: {fault}" if fault else ""
