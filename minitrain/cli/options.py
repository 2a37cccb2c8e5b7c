"""The options that several commands share: those of a training run."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from minitrain.runs.config import Config, default_config

# None has a default here, so that those left out get the data set's own, from default_config.
OPTIONS: dict[str, dict[str, Any]] = {
    "--dataset": {"choices": ["fashion-mnist", "digits"], "help": "the data set (default: fashion-mnist)"},
    "--data-dir": {
        "metavar": "DIR",
        "help": "the folder that holds FashionMNIST/raw (default: $MINITRAIN_DATA, or ./data)",
    },
    "--epochs": {"type": int, "metavar": "N", "help": "passes over the data in all (default: 10; digits: 30)"},
    "--batch-size": {"type": int, "metavar": "N", "help": "samples per batch (default: 64; digits: 16)"},
    "--lr": {"type": float, "metavar": "RATE", "help": "the learning rate (default: 1e-3; digits: 0.1)"},
    "--optimizer": {
        "choices": ["sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam"],
        "help": "the optimizer (default: sgd)",
    },
    "--momentum": {"type": float, "metavar": "M", "help": "the momentum of sgd and rmsprop (default: 0)"},
    "--weight-decay": {"type": float, "metavar": "D", "help": "the factor of the L2 penalty (default: 0; adamw: 0.01)"},
    "--hidden": {
        "type": int,
        "nargs": "*",
        "metavar": "SIZE",
        "help": "the sizes of the hidden layers (default: 512 512; digits: 64)",
    },
    "--seed": {"type": int, "metavar": "N", "help": "the seed of the weights and of the shuffling (default: 0)"},
    "--shuffle": {
        "action": argparse.BooleanOptionalAction,
        "help": "shuffle the samples in each epoch (default: no; digits: yes)",
    },
}


def add_options(command: argparse.ArgumentParser, *names: str) -> None:
    """Add the shared options of these names to a command."""
    for name in names:
        command.add_argument(name, **OPTIONS[name])


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
