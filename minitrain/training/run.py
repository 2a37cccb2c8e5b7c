"""A whole run: data, model and optimizer from a configuration, the epochs, and the directory that they leave."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.metadata
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from minitrain import nn, optim
from minitrain.data.datasets import Digits, FashionMNIST
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.random import manual_seed
from minitrain.tape import no_grad
from minitrain.training.checkpoint import save
from minitrain.training.loops import Observer, test_loop, train_loop
from minitrain.training.model import build_model

DATASETS = {"fashion-mnist": FashionMNIST, "digits": Digits}
OPTIMIZERS = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam}


class ConfigError(ValueError):
    """A configuration that cannot be run."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on. The defaults are the tutorial's, on Fashion-MNIST.

    data_dir: the folder that holds FashionMNIST/raw; None for MINITRAIN_DATA, else ./data.
    hidden: the sizes of the hidden layers.
    momentum: SGD's and RMSprop's.
    Raises ConfigError for values that cannot be run.
    """

    dataset: Literal["fashion-mnist", "digits"] = "fashion-mnist"
    data_dir: str | None = None
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Literal["sgd", "rmsprop", "adam"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    hidden: tuple[int, ...] = (512, 512)
    seed: int = 0
    shuffle: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("dataset", DATASETS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, but got {getattr(self, name)!r}")
        for name, numbers in (("epochs", [self.epochs]), ("batch_size", [self.batch_size]), ("hidden", self.hidden)):
            if any(number < 1 for number in numbers):
                raise ConfigError(f"{name} must be at least 1, but got {' '.join(map(str, numbers))}")
        for name, number in (("lr", self.lr), ("momentum", self.momentum), ("weight_decay", self.weight_decay)):
            if not (math.isfinite(number) and number >= 0):
                raise ConfigError(f"{name} must be a finite number from 0 up, but got {number}")
        if self.momentum and self.optimizer == "adam":
            raise ConfigError(
                "adam has no momentum option (its betas do that); leave momentum out, or use sgd, rmsprop"
            )
        if not -(2**63) <= self.seed < 2**64:
            raise ConfigError(f"seed must lie between -2**63 and 2**64 - 1, but got {self.seed}")


# What digits needs instead: on the smaller images it reaches over 95 % in a few seconds.
DIGITS = Config(dataset="digits", epochs=30, batch_size=16, lr=0.1, hidden=(64,), shuffle=True)


def default_config(dataset: str) -> Config:
    """The configuration that a data set has where nothing else is said."""
    return DIGITS if dataset == "digits" else Config()


# --- the run's directory ----------------------------------------------------------------------------------------------


def check_out(out: str | os.PathLike[str] | None) -> None:
    """Raise ConfigError if out cannot become a run's directory: it holds a run already, or is a file."""
    if out is None:
        return
    path = Path(out)
    if not str(out):
        raise ConfigError("out is empty; name a directory for the run, or leave --out away")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; choose another --out")
    if any((path / name).exists() for name in ("config.json", "steps.csv", "epochs.csv", "model.safetensors")):
        raise ConfigError(f"{path} already holds a run; choose another --out, or remove it first")


def make_run_dir(out: str | os.PathLike[str] | None, dataset: str) -> Path:
    """Make the directory of a run: out, or runs/<dataset>-<n> with the first free n.

    Raises ConfigError if out cannot be it, or cannot be made; nothing has been touched then.
    """
    check_out(out)
    try:
        if out is not None:
            path = Path(out)
            path.mkdir(parents=True, exist_ok=True)
            return path
        for n in itertools.count():
            path = Path("runs") / f"{dataset}-{n}"
            with contextlib.suppress(FileExistsError):  # also where another run took it just now
                path.mkdir(parents=True)
                break
        return path
    except OSError as error:
        raise ConfigError(f"cannot make the directory {path} ({error.strerror}); choose another --out") from None


class RunObserver(Observer):
    """Prints the tutorial's lines, and writes every step's loss and every epoch's result into the run's directory.

    steps.csv: epoch and batch, each from 1 and 0 up as they are printed, samples seen in the epoch, the batch's loss.
    epochs.csv: the test's accuracy (0 to 1) and mean loss, the seconds that training and testing took.
    """

    def __init__(self, directory: Path, progress: Any) -> None:
        self.epoch = 0
        self._progress = progress
        self._seen = 0
        self._files = contextlib.ExitStack()
        self._steps = self._table(directory / "steps.csv", ["epoch", "batch", "samples", "loss"])
        self._epochs = self._table(directory / "epochs.csv", ["epoch", "accuracy", "loss", "seconds"])
        self._began = time.perf_counter()

    def _table(self, path: Path, columns: list[str]) -> tuple[Any, IO[str]]:
        file = self._files.enter_context(path.open("x", newline="", encoding="utf-8"))
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        file.flush()
        return writer, file

    def close(self) -> None:
        """Close the tables."""
        self._files.close()

    def line(self, text: str) -> None:
        """Print a line of the log, above the progress bar where there is one."""
        with self._progress.external_write_mode(sys.stdout):
            super().line(text)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Say which epoch begins, of how many."""
        self.epoch, self._seen, self._began = epoch, 0, time.perf_counter()
        self._progress.set_description(f"Epoch {epoch}/{epochs}", refresh=False)
        self.line(f"Epoch {epoch}\n-------------------------------")

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Print, record, show progress."""
        super().after_update(batch, loss, current, size)
        writer, file = self._steps
        writer.writerow([self.epoch, batch, current, loss.item()])
        if batch % 100 == 0:
            file.flush()
        self._progress.update(current - self._seen)
        self._seen = current

    def after_test(self, accuracy: float, loss: float) -> None:
        """Print, record."""
        super().after_test(accuracy, loss)
        writer, _ = self._epochs
        writer.writerow([self.epoch, accuracy, loss, round(time.perf_counter() - self._began, 3)])
        for _, table in (self._steps, self._epochs):
            table.flush()


@contextlib.contextmanager
def _observing(directory: Path, total: int) -> Iterator[RunObserver]:
    """An observer for the run, with a progress bar on stderr where that is a terminal."""
    from tqdm import tqdm  # here, since importing minitrain should cost little more than importing NumPy

    hidden = not sys.stderr.isatty()
    with tqdm(total=total, unit=" samples", unit_scale=True, disable=hidden, leave=False, dynamic_ncols=True) as bar:
        observer = RunObserver(directory, bar)
        try:
            yield observer
        finally:
            observer.close()


# --- the run ----------------------------------------------------------------------------------------------------------


def train(config: Config, out: str | os.PathLike[str] | None = None) -> Path:
    """Run it: print the tutorial's log on stdout, and leave a directory with all there is to know about the run.

    config.json: the configuration and the versions it ran with. steps.csv, epochs.csv: the metrics, see RunObserver.
    model.safetensors: the trained weights, for minitrain.load and safetensors' own readers.
    Returns the directory. Raises DataError if there is no data, ConfigError if out holds a run.
    """
    check_out(out)  # before a long download
    dataset: Any = DATASETS[config.dataset]
    training_data, test_data = (
        dataset(root=config.data_dir, train=part, download=True, transform=ToTensor()) for part in (True, False)
    )
    manual_seed(config.seed)
    train_dataloader = DataLoader(training_data, batch_size=config.batch_size, shuffle=config.shuffle)
    test_dataloader = DataLoader(test_data, batch_size=config.batch_size)
    sample, _ = training_data[0]
    model = build_model(nn, sample.numel(), config.hidden, len(training_data.classes))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = make_optimizer(config, model)

    directory = make_run_dir(out, config.dataset)
    versions = {"minitrain": importlib.metadata.version("minitrain"), "numpy": np.__version__}
    description = {**dataclasses.asdict(config), "versions": versions}
    (directory / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    with _observing(directory, config.epochs * len(training_data)) as observer:
        for epoch in range(1, config.epochs + 1):
            observer.begin_epoch(epoch, config.epochs)
            train_loop(train_dataloader, model, loss_fn, optimizer, observer)
            with no_grad():
                test_loop(test_dataloader, model, loss_fn, observer)
        observer.line("Done!")
    save(model.state_dict(), directory / "model.safetensors")
    return directory


def make_optimizer(config: Config, model: nn.Module) -> optim.Optimizer:
    """The configured optimizer for the model's parameters."""
    options: dict[str, float] = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer != "adam":
        options["momentum"] = config.momentum
    make: Any = OPTIMIZERS[config.optimizer]
    optimizer: optim.Optimizer = make(model.parameters(), **options)
    return optimizer
