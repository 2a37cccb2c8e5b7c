"""The options that several commands share: those of a training run."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

from minitrain.runs.config import Config, default_config

# For each setting of a Config: what --help calls its value, and what it does. No option has a default here: those left
# out get the data set's own, from default_config.
HELP = {
    "dataset": ("", "the data set (default: fashion-mnist)"),
    "data_dir": ("DIR", "the folder that holds FashionMNIST/raw (default: $MINITRAIN_DATA, or ./data)"),
    "epochs": ("N", "passes over the data in all (default: 10; digits: 30)"),
    "batch_size": ("N", "samples per batch (default: 64; digits: 16)"),
    "lr": ("RATE", "the learning rate (default: 1e-3; digits: 0.1)"),
    "optimizer": ("", "the optimizer (default: sgd)"),
    "momentum": ("M", "the momentum of sgd and rmsprop (default: 0)"),
    "weight_decay": ("D", "the factor of the L2 penalty (default: 0; adamw: 0.01)"),
    "hidden": ("SIZE", "the sizes of the hidden layers (default: 512 512; digits: 64)"),
    "seed": ("N", "the seed of the weights and of the shuffling (default: 0)"),
    "shuffle": ("", "shuffle the samples in each epoch (default: no; digits: yes)"),
    "scheduler": ("", "how the learning rate changes during the training (default: none, it does not)"),
    "step_size": ("N", "step: the epochs between two changes of the rate (default: 10)"),
    "gamma": ("F", "step, exponential, plateau: the factor of the rate (default: 0.1; exponential: 0.9)"),
    "patience": ("N", "plateau: the epochs without a lower test loss before the rate changes (default: 10)"),
    "checkpoint_every": ("N", "also save every N steps (default: after each epoch only)"),
    "layers_every": ("N", "write norms of each layer every N steps (default: 30; 0 for never)"),
    "on_nan": ("", "what to do at a nan or infinite loss (default: stop)"),
    "backend": ("", "the library that computes (default: numpy)"),
    "device": ("", "the device torch computes on (default: auto, the fastest available)"),
    "compile": ("", "compile the model with torch.compile (default: no)"),
    "precision": ("", "the precision of torch's matrix products (default: float32)"),
}
LARGE = "allow a run to take any amount of memory (default: in proportion to its files)"


def add_options(command: argparse.ArgumentParser, *settings: str) -> None:
    """Add the options of these settings of a Config to a command; their types and choices are Config's."""
    kinds = get_type_hints(Config)
    for name in settings:
        kind, (metavar, text) = kinds[name], HELP[name]
        if get_origin(kind) is Literal:
            how: dict[str, Any] = {"choices": get_args(kind)}
        elif get_origin(kind) is tuple:
            how = {"metavar": metavar, "type": int, "nargs": "*"}
        elif kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        else:
            how = {"metavar": metavar, "type": kind if kind in (int, float) else str}
        command.add_argument(f"--{name.replace('_', '-')}", help=text, **how)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a Config that the command line sets."""
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    return given


def configuration(given: dict[str, Any]) -> Config:
    """The data set's default configuration with these settings. Raises ConfigError for values that cannot be run."""
    defaults: dict[str, Any] = {}
    if given.get("optimizer") == "adamw":  # which without its decay is adam
        defaults["weight_decay"] = 0.01
    if given.get("scheduler") == "exponential":  # a tenth in each epoch would end the training
        defaults["gamma"] = 0.9
    return dataclasses.replace(default_config(given.get("dataset", "fashion-mnist")), **(defaults | given))
