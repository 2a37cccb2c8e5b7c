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
from typing import IO, Any

from minitrain.data.transforms import ToTensor
from minitrain.random import manual_seed
from minitrain.training.backend import Backend
from minitrain.training.checkpoint import save
from minitrain.training.config import DATASETS, Config, ConfigError
from minitrain.training.explain import Explainer
from minitrain.training.loops import Observer
from minitrain.training.model import build_model

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
    At the first loss that is not finite, explainer's report is printed on stderr.
    """

    def __init__(self, directory: Path, progress: Any, explainer: Explainer) -> None:
        self.epoch = 0
        self._progress = progress
        self._explainer, self._explained = explainer, False
        self._updates = 0
        self._losses: list[float] = []  # the first and the last four
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
        super().begin_epoch(epoch, epochs)

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Explain the first loss that is not finite, while the weights are those that gave it."""
        value = loss.item()
        if not math.isfinite(value) and not self._explained:
            self._say(self._explainer.explain(self.epoch, batch, X, y, value, self._losses, self._updates))

    def _say(self, text: str) -> None:
        """Print on stderr, once in a run."""
        self._explained = True
        with self._progress.external_write_mode(sys.stderr):
            print(f"{text}\n", file=sys.stderr, flush=True)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Print, record, show progress."""
        super().after_update(batch, loss, current, size)
        value = loss.item()
        if not math.isfinite(value) and not self._explained:
            self._say(self._explainer.too_late(self.epoch, batch, value))
        self._updates += 1
        self._losses.append(value)
        if len(self._losses) > 5:
            del self._losses[1]
        writer, file = self._steps
        writer.writerow([self.epoch, batch, current, value])
        if batch % 100 == 0:
            file.flush()
        self._progress.update(current - self._seen)
        self._seen = current

    def after_test(self, accuracy: float, loss: float) -> None:
        """Print, record."""
        super().after_test(accuracy, loss)
        writer, _ = self._epochs
        writer.writerow([self.epoch, accuracy, loss, round(time.perf_counter() - self._began, 6)])
        for _, table in (self._steps, self._epochs):
            table.flush()


class Silent(Observer):
    """Of a process that computes for another one, which prints and writes."""

    def line(self, text: str) -> None:
        """Print nothing."""


@contextlib.contextmanager
def _observing(directory: Path | None, total: int, explainer: Explainer) -> Iterator[Observer]:
    """An observer that writes into the directory, if any, with a progress bar on stderr where that is a terminal."""
    if directory is None:
        yield Silent()
        return
    from tqdm import tqdm  # here, since importing minitrain should cost little more than importing NumPy

    hidden = not sys.stderr.isatty()
    with tqdm(total=total, unit=" samples", unit_scale=True, disable=hidden, leave=False, dynamic_ncols=True) as bar:
        observer = RunObserver(directory, bar, explainer)
        try:
            yield observer
        finally:
            observer.close()


# --- the run ----------------------------------------------------------------------------------------------------------


def train(config: Config, out: str | os.PathLike[str] | None = None, backend: Backend | None = None) -> Path | None:
    """Run it: print the tutorial's log on stdout, and leave a directory with all there is to know about the run.

    config.json: the configuration and the versions it ran with. steps.csv, epochs.csv: the metrics, see RunObserver.
    model.safetensors: the trained weights, for minitrain.load and safetensors' own readers.
    A loss that is not finite is explained on stderr, once; the run goes on.
    backend: what computes; minitrain itself, if None.
    Returns the directory; None in a process that does not write, where several train together.
    Raises DataError if there is no data, ConfigError if out holds a run.
    """
    backend = backend or Backend()
    if backend.writes:
        check_out(out)  # before a long download
    dataset: Any = DATASETS[config.dataset]
    with backend.loading():
        training_data, test_data = (
            dataset(root=config.data_dir, train=part, download=True, transform=ToTensor()) for part in (True, False)
        )
    sample, _ = training_data[0]
    manual_seed(config.seed)

    def build(nn: Any) -> Any:
        return build_model(nn, sample.numel(), config.hidden, len(training_data.classes))

    model = backend.model(build)
    train_dataloader = backend.dataloader(training_data, config.batch_size, config.shuffle)
    test_dataloader = backend.dataloader(test_data, config.batch_size)
    loss_fn = backend.loss_fn()
    optimizer = backend.optimizer(config, model)

    directory = make_run_dir(out, config.dataset) if backend.writes else None
    if directory is not None:
        versions = {"minitrain": importlib.metadata.version("minitrain"), **backend.versions()}
        description = {**dataclasses.asdict(config), "versions": versions}
        (directory / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    explainer = Explainer(config, backend, build, model, optimizer)
    with _observing(directory, config.epochs * len(training_data), explainer) as observer:
        for epoch in range(1, config.epochs + 1):
            observer.begin_epoch(epoch, config.epochs)
            backend.train(train_dataloader, model, loss_fn, optimizer, observer)
            backend.test(test_dataloader, model, loss_fn, observer)
        observer.line("Done!")
    if directory is not None:
        save(backend.state_dict(model), directory / "model.safetensors")
    return directory
