"""A run as its files have it: the tables so far, its weights at the beginning and now, and its test images' results."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain import nn
from minitrain.data.datasets import DataError
from minitrain.data.loader import DataLoader
from minitrain.files import read_beginning
from minitrain.loops import Observer, test_loop
from minitrain.runs.config import SAMPLES, Config, ConfigError
from minitrain.runs.config_file import read_config, read_sessions
from minitrain.runs.evaluate import Evaluation
from minitrain.runs.memory import check_memory
from minitrain.runs.model import configured_model, load_run_data
from minitrain.runs.run_files import COLUMNS, WEIGHTS, RunError, check_run
from minitrain.runs.trained import load_trained
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import Generator, default_generator, manual_seed

Floats = npt.NDArray[np.float64]
LARGEST = 2**30  # bytes of a table


@dataclasses.dataclass(frozen=True)
class Tested:
    """The test images' results with the weights now.

    images: (N, H, W), uint8. labels: (N,). probabilities: (N, C), the softmax of the logits in float64.
    silent: for each ReLU by its layer's name, (C,): whether a neuron is 0 for every test image.
    """

    evaluation: Evaluation
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    probabilities: Floats
    silent: dict[str, npt.NDArray[np.bool_]]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,), the class with the largest probability."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def wrong(self) -> list[int]:
        """The numbers of the images that are taken for another class, the most confident mistake first."""
        said = self.probabilities[np.arange(len(self.labels)), self.predicted]
        order = np.argsort(-said, kind="stable")
        return [int(i) for i in order if self.predicted[i] != self.labels[i]]

    @property
    def unsure(self) -> list[int]:
        """The numbers of the images that are classified right, the least probable first."""
        said = self.probabilities[np.arange(len(self.labels)), self.labels]
        return [int(i) for i in np.argsort(said, kind="stable") if self.predicted[i] == self.labels[i]]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer's rows of layers.csv. at: (S,), in epochs since the start. The others (S,), or None.

    A layer with a weight has gradient, weight and change, the three norms; a ReLU has zeros.
    """

    name: str
    at: Floats
    gradient: Floats | None = None
    weight: Floats | None = None
    change: Floats | None = None
    zeros: Floats | None = None

    @property
    def relative_change(self) -> Floats:
        """‖change‖ / ‖W‖; nan where it is undefined."""
        if self.change is None or self.weight is None:
            raise ValueError(f"{self.name} has no weight")
        with np.errstate(all="ignore"):  # of infinite norms, too
            return np.divide(self.change, self.weight, out=np.full_like(self.change, np.nan), where=self.weight > 0)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run. at: (S,), when each update ended, in epochs since the start. losses: (S,). batches: of an epoch.

    epochs: (E, 4), the rows of epochs.csv. layers: [] for a run without the table.
    first, now: the first layer's weight at the beginning and now, (out, in).
    tested: None if the test images are missing; why_not says why.
    """

    path: Path
    config: Config
    sessions: list[dict[str, Any]]
    complete: bool
    batches: int
    steps: Floats
    epochs: Floats
    layers: list[Layer]
    shapes: dict[str, tuple[int, ...]]
    first: npt.NDArray[np.float32]
    now: npt.NDArray[np.float32]
    classes: Sequence[str]
    tested: Tested | None
    why_not: str = ""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.resolve().name

    @property
    def at(self) -> Floats:
        """When each update ended, in epochs since the start."""
        return _at(self.steps[:, 0], self.steps[:, 1], self.batches)

    @property
    def losses(self) -> Floats:
        """Of each update."""
        return self.steps[:, 3]


def read_run(
    run: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None, large: bool = False
) -> RunRecord:
    """Read a run, which may still be training, and test its weights. Writes nothing.

    data_dir: where the test images are; None for where they were during the run. large: allow any amount of memory.
    Raises ConfigError if there is no run, RunError if it is damaged or has no checkpoint yet.
    """
    path = check_run(run)
    config, sessions = read_config(path), read_sessions(path)
    trained = load_trained(path)
    check_memory(config, testing=True, large=large)
    batches = -(-SAMPLES[config.dataset][0] // config.batch_size)
    steps, epochs = (_numbers(path, name) for name in ("steps.csv", "epochs.csv"))
    tested, why_not = None, ""
    try:
        tested = test(trained.model, config, trained.classes, data_dir)
    except DataError as error:
        why_not = str(error)
    weights = {name: parameter.array for name, parameter in trained.model.named_parameters()}
    first = next(name for name, array in weights.items() if array.ndim > 1)
    return RunRecord(
        path=path,
        config=config,
        sessions=sessions,
        complete=(path / WEIGHTS).exists(),
        batches=batches,
        steps=steps,
        epochs=epochs,
        layers=_layers(path, batches),
        shapes={name: array.shape for name, array in weights.items()},
        first=_beginning(config)[first],
        now=weights[first],
        classes=trained.classes,
        tested=tested,
        why_not=why_not,
    )


def check_comparable(runs: Sequence[RunRecord]) -> None:
    """Raise ConfigError for runs of different data, which have no common axis."""
    first = runs[0]
    for run in runs[1:]:
        if run.config.dataset != first.config.dataset:
            raise ConfigError(
                f"{first.path} was trained on {first.config.dataset}, but {run.path} on {run.config.dataset}; make a "
                "report for each data set"
            )


def _at(epoch: Floats, batch: Floats, batches: int) -> Floats:
    return epoch - 1 + (batch + 1) / batches


def _beginning(config: Config) -> dict[str, npt.NDArray[np.float32]]:
    """The initial weights, drawn again from the run's seed."""
    state = default_generator.get_state()
    manual_seed(config.seed)
    drawn = configured_model(config, nn)
    default_generator.set_state(state)
    return {name: parameter.array for name, parameter in drawn.named_parameters()}


# --- tables ---


def _rows(path: Path, name: str) -> list[list[str]]:
    """The complete rows of a table that may be growing; [] without such a file."""
    try:
        content = read_beginning(path / name, LARGEST)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {path / name} ({error.strerror})") from None
    lines = content[: content.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    columns = COLUMNS[name].split(",")
    if lines and lines[0] != COLUMNS[name]:
        raise RunError(f"cannot read {path / name}: it begins with {lines[0][:80]!r}, not with {COLUMNS[name]!r}")
    rows = [line.split(",") for line in lines[1:]]
    counts = [n for n, column in enumerate(columns) if column in ("epoch", "batch")]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise RunError(f"cannot read {path / name}: line {number} has {len(row)} columns, not {len(columns)}")
        for n in counts:
            if not (row[n].isdecimal() and int(row[n][:10]) < 10**9):
                raise RunError(f"cannot read {path / name}: line {number} has {row[n][:80]!r} for {columns[n]}")
    return rows


def _as_floats(path: Path, rows: list[list[str]], columns: int) -> Floats:
    try:
        return np.array(rows, np.float64).reshape(len(rows), columns)
    except ValueError as error:
        raise RunError(f"cannot read {path}: {error}") from None


def _numbers(path: Path, name: str) -> Floats:
    return _as_floats(path / name, _rows(path, name), COLUMNS[name].count(",") + 1)


def _layers(path: Path, batches: int) -> list[Layer]:
    by_name: dict[str, list[list[str]]] = {}
    for row in _rows(path, "layers.csv"):
        by_name.setdefault(row[2], []).append(row)
    layers = []
    for name, rows in by_name.items():
        cells = [[cell or "nan" for cell in (*row[:2], *row[3:])] for row in rows]
        epoch, batch, gradient, weight, change, zeros = _as_floats(path / "layers.csv", cells, 6).T
        at = _at(epoch, batch, batches)
        if rows[0][-1]:
            layers.append(Layer(name, at, zeros=zeros))
        else:
            layers.append(Layer(name, at, gradient, weight, change))
    return layers


# --- test ---


class _Silent(Observer):
    def line(self, text: str) -> None:
        """Print nothing."""


def test(model: Any, config: Config, classes: Sequence[str], data_dir: str | os.PathLike[str] | None) -> Tested:
    """Test the model in the run's own batches. Raises DataError if the images are missing."""
    data = load_run_data(config, data_dir, train=False)
    loss_fn, logits, labels = nn.CrossEntropyLoss(), [], []
    silent: dict[str, Any] = {}

    def keeping_loss(pred: Tensor, y: Tensor) -> Any:
        logits.append(pred.array.astype(np.float64))
        labels.append(y.array)
        return loss_fn(pred, y)

    def note_silent(name: str) -> Any:
        def note(module: Any, inputs: Any, output: Tensor) -> None:
            zero = (output.array == 0).all(axis=0)
            silent[name] = silent[name] & zero if name in silent else zero

        return note

    handles = [
        module.register_forward_hook(note_silent(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    # With its own generator: a loader draws from the default one even if it does not shuffle.
    with no_grad():
        accuracy, loss = test_loop(
            DataLoader(data, config.batch_size, generator=Generator()), model, keeping_loss, _Silent()
        )
    for handle in handles:
        handle.remove()
    z, y = np.concatenate(logits), np.concatenate(labels)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (y, z.argmax(axis=1)), 1)
    images = np.asarray(data.data.array if isinstance(data.data, Tensor) else data.data)
    evaluation = Evaluation(classes, accuracy, loss, confusion)
    return Tested(evaluation, images, y, e / e.sum(axis=1, keepdims=True), silent)
