"""A run's trained model tested on the test images: accuracy, loss, and each class by itself."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain import nn
from minitrain.data.loader import DataLoader
from minitrain.loops import PRINT, Observer, test_loop
from minitrain.runs.memory import check_memory
from minitrain.runs.model import load_run_data
from minitrain.runs.trained import load_trained
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import Generator

HEADING = 5  # characters of a class's name above a column, so that ten columns fit into a terminal


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of a test. str() of it is the tables.

    accuracy: the share of right answers. loss: the mean of the batches' losses. Both as test_loop returns them.
    confusion: (C, C), how many images of class i were predicted as class j.
    """

    classes: Sequence[str]
    accuracy: float
    loss: float
    confusion: npt.NDArray[np.int64]

    @property
    def precision(self) -> list[float | None]:
        """For each class, the share of its predictions that are right; None without predictions."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> list[float | None]:
        """For each class, the share of its images that are predicted right; None without images."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def count(self) -> list[int]:
        """For each class, the number of images."""
        counts: list[int] = self.confusion.sum(axis=1).tolist()
        return counts

    def __str__(self) -> str:
        left = max(len(name) for name in ("class", *self.classes))
        lines = [f"{'class':<{left}}  precision  recall  count"]
        for name, precision, recall, count in zip(self.classes, self.precision, self.recall, self.count, strict=True):
            lines.append(f"{name:<{left}}  {_percent(precision):>9}  {_percent(recall):>6}  {count:>5}")
        lines += ["", "How many images of each class (row) were predicted as each class (column):"]
        headings = [name[:HEADING].strip() for name in self.classes]
        width = max(len(text) for text in (*headings, str(self.confusion.max())))
        lines.append(" ".join([" " * left, *(f"{heading:>{width}}" for heading in headings)]))
        for name, row in zip(self.classes, self.confusion.tolist(), strict=True):
            lines.append(" ".join([f"{name:<{left}}", *(f"{number or '.':>{width}}" for number in row)]))
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All figures for JSON, with None for what is undefined or not finite."""
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


def evaluate(
    run: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    observer: Observer = PRINT,
    *,
    large: bool = False,
) -> Evaluation:
    """Test a run's model in the run's own batches; test_loop prints what it printed during the run.

    data_dir: where the images are; None for where they were during the run. large: allow any amount of memory.
    Raises ConfigError and RunError as load_trained does, DataError if there are no images.
    """
    config, model, classes = load_trained(run)
    check_memory(config, testing=True, large=large)
    data = load_run_data(config, data_dir, train=False)
    loss_fn, confusion = nn.CrossEntropyLoss(), np.zeros((len(classes), len(classes)), np.int64)

    def counting_loss(pred: Tensor, y: Tensor) -> Any:
        np.add.at(confusion, (y.array, pred.argmax(1).array), 1)
        return loss_fn(pred, y)

    # With its own generator: a loader draws from the default one even if it does not shuffle.
    dataloader = DataLoader(data, config.batch_size, generator=Generator())
    with no_grad():
        accuracy, loss = test_loop(dataloader, model, counting_loss, observer)
    return Evaluation(classes, accuracy, loss, confusion)
