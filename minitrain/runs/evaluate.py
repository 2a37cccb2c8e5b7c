"""What a run has trained, put to use: tested class by class, asked what a picture shows, written for torch.

All of it is computed by NumPy, whichever backend the run had.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain import nn
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.files import shown
from minitrain.loops import PRINT, Observer, test_loop
from minitrain.runs.config import DATASETS, SHAPES, Config, ConfigError
from minitrain.runs.directory import (
    WEIGHTS,
    RunError,
    check_not_of_a_run,
    check_run,
    read_config,
    read_last_good,
    resume_command,
)
from minitrain.runs.model import build_model
from minitrain.runs.pictures import Picture, PictureError, read_picture, require_pillow
from minitrain.serialization import load, save
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import Generator, default_generator

HEADING = 5  # characters of a class's name above a column: ten of them fit into 80 columns


class Trained(NamedTuple):
    """A run's model with the weights that it has now, and what it tells apart."""

    config: Config
    model: Any
    classes: Sequence[str]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the images that it takes."""
        height, width = SHAPES[self.config.dataset]
        return height, width


def load_trained(run: str | os.PathLike[str]) -> Trained:
    """The model of a run, for evaluation.

    Raises ConfigError if there is no run, RunError if it is damaged, or has no weights yet.
    """
    config = read_config(run)
    classes = DATASETS[config.dataset].classes
    where, state = _weights(check_run(run))
    # Before there is memory for them: the configuration of a stranger may call for any number.
    expected = config.parameters
    found = sum(tensor.numel() for tensor in state.values())
    called_for = f"the run's configuration ({config.dataset}, hidden {shown(list(config.hidden))})"
    if found != expected:
        wanted = f"{expected:,}" if expected < 10**18 else "over 10**18"
        raise RunError(f"{where} has {found:,} weights, but {called_for} calls for {wanted}: they do not fit")
    generator_state = default_generator.get_state()
    model = build_model(nn, config.sizes[0], config.hidden, config.sizes[-1])
    default_generator.set_state(generator_state)  # the first weights are drawn, and needed by nobody
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if own.get(name) != tuple(tensor.shape):
            raise RunError(
                f"{where} has {shown(name)} of the shape {tuple(tensor.shape)}, which {called_for} does not call for"
            )
    model.load_state_dict(state)
    model.eval()
    return Trained(config, model, classes)


def _weights(run: Path) -> tuple[Path, Mapping[str, Tensor]]:
    """The run's weights by name, and the file they are from: model.safetensors, or the last good checkpoint."""
    path = run / WEIGHTS
    if not path.exists():
        checkpoint, faults = read_last_good(run)
        if checkpoint is None:
            raise RunError(f"{run} has no {WEIGHTS} and no checkpoint; {resume_command(run)} begins it anew")
        for fault in faults:
            print(f"minitrain: {fault}", file=sys.stderr)
        print(f"minitrain: the run is not complete; these are the weights in {checkpoint.path}", file=sys.stderr)
        path, state = checkpoint.path, checkpoint.state.get("model")
    else:
        try:
            state = load(path)
        except OSError as error:
            raise RunError(f"cannot read {path} ({error.strerror})") from None
        except ValueError as error:
            raise RunError(f"{error}; {resume_command(run)} writes it anew, from the last checkpoint") from None
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise RunError(f"{path} holds something else than a model's weights by name")
    return path, state


# --- evaluate ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a model does on the test images. str() of it is the tables.

    accuracy: the share of right answers. loss: the mean of the batches' losses. Both are test_loop's.
    confusion: (C, C), how many images of the class i are taken for the class j.
    """

    classes: Sequence[str]
    accuracy: float
    loss: float
    confusion: npt.NDArray[np.int64]

    @property
    def precision(self) -> list[float | None]:
        """For each class, the share of it among those taken for it; None where none are."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> list[float | None]:
        """For each class, the share of its images that are taken for it; None where there are none."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def count(self) -> list[int]:
        """For each class, how many images there are."""
        counts: list[int] = self.confusion.sum(axis=1).tolist()
        return counts

    def __str__(self) -> str:
        left = max(len(name) for name in ("class", *self.classes))
        lines = [f"{'class':<{left}}  precision  recall  count"]
        for name, precision, recall, count in zip(self.classes, self.precision, self.recall, self.count, strict=True):
            lines.append(f"{name:<{left}}  {_percent(precision):>9}  {_percent(recall):>6}  {count:>5}")
        lines += ["", "How many images of a class (row) are taken for which class (column):"]
        headings = [name[:HEADING].strip() for name in self.classes]
        width = max(len(text) for text in (*headings, str(self.confusion.max())))
        lines.append(" ".join([" " * left, *(f"{heading:>{width}}" for heading in headings)]))
        for name, row in zip(self.classes, self.confusion.tolist(), strict=True):
            lines.append(" ".join([f"{name:<{left}}", *(f"{number or '.':>{width}}" for number in row)]))
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All figures, as JSON has them: None for what is undefined or not finite."""
        rows = zip(self.classes, self.precision, self.recall, self.count, strict=True)
        return {
            "accuracy": self.accuracy,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "classes": [dict(zip(("name", "precision", "recall", "count"), row, strict=True)) for row in rows],
            "confusion": self.confusion.tolist(),
        }


def _shares(parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]) -> list[float | None]:
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


class _Counting:
    """A loss function that counts, on its way, for which class (column) an image of each class (row) is taken."""

    def __init__(self, loss_fn: Any, classes: int) -> None:
        self._loss_fn = loss_fn
        self.confusion = np.zeros((classes, classes), np.int64)

    def __call__(self, pred: Tensor, y: Tensor) -> Any:
        np.add.at(self.confusion, (y.array, pred.argmax(1).array), 1)
        return self._loss_fn(pred, y)


def evaluate(
    run: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None, observer: Observer = PRINT
) -> Evaluation:
    """Test what a run has trained on the test images, in the run's own batches: test_loop prints what it printed there.

    data_dir: where the images are; None for where the run had them.
    Raises ConfigError and RunError as load_trained, DataError if there are no images.
    """
    config, model, classes = load_trained(run)
    data: Any = DATASETS[config.dataset](
        root=config.data_dir if data_dir is None else data_dir, train=False, transform=ToTensor()
    )
    loss_fn = _Counting(nn.CrossEntropyLoss(), len(classes))
    # A generator of its own, since it draws from the default one even where it does not shuffle.
    dataloader = DataLoader(data, config.batch_size, generator=Generator())
    with no_grad():
        accuracy, loss = test_loop(dataloader, model, loss_fn, observer)
    return Evaluation(classes, accuracy, loss, loss_fn.confusion)


# --- predict ----------------------------------------------------------------------------------------------------------


class Prediction(NamedTuple):
    """What a picture is taken for. str() of it is the best class and the two after it.

    file: as it was named. notes: see Picture.
    ranking: each class with its probability, the likeliest first.
    """

    file: str
    ranking: list[tuple[str, float]]
    notes: list[str]

    def __str__(self) -> str:
        return ", ".join(f"{name} ({_percent(probability)})" for name, probability in self.ranking[:3])


def probabilities(trained: Trained, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The probability of each class: (H, W) of uint8, as a data set has them -> (C,)."""
    with no_grad():
        logits = trained.model(ToTensor()(pixels).unsqueeze(0))
        likely: npt.NDArray[np.float32] = logits.softmax(1).array[0]
    return likely


def predict(
    run: str | os.PathLike[str], files: Sequence[str], invert: bool = False
) -> Iterator[Prediction | PictureError]:
    """What the run's model takes each picture for, one by one; an error, not raised, for one that cannot be read.

    invert: the pictures are dark on white; see read_picture on all that is done to them.
    Raises ConfigError and RunError as load_trained, ConfigError without Pillow.
    """
    require_pillow()
    trained = load_trained(run)
    for file in files:
        try:
            picture: Picture = read_picture(file, trained.shape, invert)
            likely = probabilities(trained, picture.pixels)
            if not np.isfinite(likely).all():
                raise PictureError("the model's answer is nan: its training has diverged")
        except PictureError as error:
            yield PictureError(f"{one_line(file)}: {error}")
            continue
        order = np.argsort(-likely, kind="stable")  # the first of equals first, as argmax
        yield Prediction(file, [(trained.classes[i], float(likely[i])) for i in order], picture.notes)


def one_line(file: str) -> str:
    """A file's name, on one line, whatever is in it."""
    return file if file.isprintable() else repr(file)


# --- export -----------------------------------------------------------------------------------------------------------


def export(run: str | os.PathLike[str], file: str | os.PathLike[str], force: bool = False) -> Trained:
    """Write a run's weights for torch: its load_state_dict takes what safetensors.torch.load_file makes of the file.

    force: whether a file that is there is replaced.
    Returns what was written. Raises ConfigError if the file cannot be written, and as load_trained.
    """
    path = Path(file)
    if not str(file) or (path.exists() and not path.is_file()):
        raise ConfigError(f"name a file for the weights; {str(file)!r} is none")
    check_not_of_a_run(path)
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path} is there already; choose another name, or add --force to replace it")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no directory {path.absolute().parent}; make it first")
    trained = load_trained(run)
    try:
        save(trained.model.state_dict(), path)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}); choose another place") from None
    return trained
