"""A run's configuration, its checks, and its defaults."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from typing import Literal, get_args, get_origin, get_type_hints

from minitrain.data.datasets import DIGITS as DIGITS_FILE
from minitrain.data.datasets import FILES, Digits, FashionMNIST
from minitrain.files import shown

DATASETS = {"fashion-mnist": FashionMNIST, "digits": Digits}
SHAPES = {"fashion-mnist": FILES[0][0].shape[1:], "digits": DIGITS_FILE.shape[1:]}  # (H, W) of an image
SAMPLES = {"fashion-mnist": (60_000, 10_000), "digits": (1_500, 297)}  # for training, for testing
MOST_LAYERS = 1000
_CLASSES = ("SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam")  # in both frameworks
OPTIMIZERS = {name.lower(): name for name in _CLASSES}
WITH_MOMENTUM = ("sgd", "rmsprop")
# The settings of schedulers, with those that use them. Old runs lack them, and have their defaults.
SCHEDULER_SETTINGS = {
    "scheduler": ("none", "step", "exponential", "cosine", "onecycle", "plateau"),
    "step_size": ("step",),
    "gamma": ("step", "exponential", "plateau"),
    "patience": ("plateau",),
}


class ConfigError(ValueError):
    """Settings that cannot be used."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings that a run depends on. The defaults are the tutorial's, on Fashion-MNIST.

    data_dir: the folder that holds FashionMNIST/raw; None for MINITRAIN_DATA, or ./data.
    hidden: the sizes of the hidden layers.
    momentum: for SGD and RMSprop.
    scheduler: how lr changes: times gamma every step_size epochs ("step"), every epoch ("exponential"), or after more
        than patience epochs without a lower test loss ("plateau"); to 0 on half a cosine wave over all epochs
        ("cosine"); from lr / 25 up to lr and down to almost 0, changed after each batch ("onecycle").
    backend: the library that computes; device, compile and precision need torch. "auto": the fastest device.
    precision: of matrix products; weights are always float32. "tf32": NVIDIA's 19-bit floats.
    checkpoint_every: also save the state every so many steps; 0 for after each epoch only.
    on_nan: what to do at a nan or infinite loss.
    layers_every: write norms of each layer into layers.csv every so many steps; 0 for never.
    Raises ConfigError for values that cannot be used.
    """

    dataset: Literal["fashion-mnist", "digits"] = "fashion-mnist"
    data_dir: str | None = None
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Literal["sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    hidden: tuple[int, ...] = (512, 512)
    seed: int = 0
    shuffle: bool = False
    backend: Literal["numpy", "torch"] = "numpy"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    compile: bool = False
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    checkpoint_every: int = 0
    on_nan: Literal["stop", "continue"] = "stop"
    scheduler: Literal["none", "step", "exponential", "cosine", "onecycle", "plateau"] = "none"
    step_size: int = 10
    gamma: float = 0.1
    patience: int = 10
    layers_every: int = 30

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Config).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise ConfigError(f"{name} must be one of {', '.join(get_args(kind))}, but got {getattr(self, name)!r}")
        counts = {name: [getattr(self, name)] for name in ("epochs", "batch_size", "step_size")}
        for name, numbers in {**counts, "hidden": self.hidden}.items():
            if any(number < 1 for number in numbers):
                raise ConfigError(f"{name} must be at least 1, but got {' '.join(map(str, numbers))}")
            if any(number >= 2**63 for number in numbers):
                raise ConfigError(f"{name} must be below 2**63, but got {' '.join(map(str, numbers))}")
        if len(self.hidden) > MOST_LAYERS:
            raise ConfigError(f"hidden can have {MOST_LAYERS:,} layers, but got {len(self.hidden):,}")
        if self.data_dir is not None and not _is_path(self.data_dir):
            raise ConfigError(f"data_dir must be a path, but got {shown(self.data_dir)}")
        for name in ("checkpoint_every", "layers_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, but got {getattr(self, name)}")
        for name, number in (("lr", self.lr), ("momentum", self.momentum), ("weight_decay", self.weight_decay)):
            if not (math.isfinite(number) and number >= 0):
                raise ConfigError(f"{name} must be a finite number from 0 up, but got {number}")
        if self.momentum and self.optimizer not in WITH_MOMENTUM:
            but = "" if self.optimizer in ("adagrad", "adadelta") else ", but betas"
            raise ConfigError(
                f"{self.optimizer} has no momentum option{but}; leave out momentum, or use sgd or rmsprop"
            )
        self._check_schedule()
        numpys = {"device": ("auto", "cpu"), "compile": (False,), "precision": ("float32",)}
        for name, possible in numpys.items():
            value = getattr(self, name)
            if self.backend == "numpy" and value not in possible:
                what = name if value is True else f"{name} {value}"
                raise ConfigError(f"--{what} needs torch, but the backend is numpy; add --backend torch")
        if not -(2**63) <= self.seed < 2**64:
            raise ConfigError(f"seed must be between -2**63 and 2**64 - 1, but got {self.seed}")

    def _check_schedule(self) -> None:
        if self.patience < 0:
            raise ConfigError(f"patience must be at least 0, but got {self.patience}")
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise ConfigError(f"gamma must be a finite number above 0, but got {self.gamma}")
        if self.gamma >= 1 and self.scheduler == "plateau":
            raise ConfigError(f"gamma must be below 1 for plateau, which reduces lr, but got {self.gamma}")
        for name, schedulers in SCHEDULER_SETTINGS.items():
            if self.scheduler not in schedulers and getattr(self, name) != getattr(Config, name):
                option, those = name.replace("_", "-"), " or ".join(schedulers)
                raise ConfigError(f"--{option} needs --scheduler {those}, but the scheduler is {self.scheduler}")

    @property
    def scheduled_epochs(self) -> bool:
        """Whether every rate depends on the number of epochs, so that it cannot change within a run."""
        return self.scheduler in ("cosine", "onecycle")

    @property
    def sizes(self) -> list[int]:
        """The model's sizes: the values of an image, the hidden layers, the classes."""
        return [math.prod(SHAPES[self.dataset]), *self.hidden, len(DATASETS[self.dataset].classes)]

    @property
    def parameters(self) -> int:
        """The number of weights and biases of the model."""
        return sum((before + 1) * after for before, after in itertools.pairwise(self.sizes))


def _is_path(text: str) -> bool:
    """Whether the system can represent this text as a path."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


# The smaller images of digits need other settings; these reach over 95 % in a few seconds.
DIGITS = Config(dataset="digits", epochs=30, batch_size=16, lr=0.1, hidden=(64,), shuffle=True)


def default_config(dataset: str) -> Config:
    """The default configuration for a data set."""
    return DIGITS if dataset == "digits" else Config()
