"""Pictures classified by a run's trained model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain.data.transforms import ToTensor
from minitrain.runs.pictures import PictureError, read_picture, require_pillow
from minitrain.runs.trained import Trained, load_trained
from minitrain.torchlike.grad_mode import no_grad


class Prediction(NamedTuple):
    """The classes of a picture by probability. str() of it shows the first three.

    file: the path as given. ranking: every class with its probability, the most likely first. notes: see Picture.
    """

    file: str
    ranking: list[tuple[str, float]]
    notes: list[str]

    def __str__(self) -> str:
        return ", ".join(f"{name} ({100 * probability:.1f}%)" for name, probability in self.ranking[:3])


def probabilities(trained: Trained, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The probability of each class: pixels (H, W) of uint8, as in the data set -> (C,)."""
    with no_grad():
        logits = trained.model(ToTensor()(pixels).unsqueeze(0))
        likely: npt.NDArray[np.float32] = logits.softmax(1).array[0]
    return likely


def predict(
    run: str | os.PathLike[str], files: Sequence[str], invert: bool = False
) -> Iterator[Prediction | PictureError]:
    """Classify pictures one by one; yields, without raising it, an error for each that cannot be read.

    invert: the pictures are dark on white; read_picture says how pictures are converted.
    Raises ConfigError and RunError as load_trained does, ConfigError without Pillow.
    """
    require_pillow()
    trained = load_trained(run)
    for file in files:
        try:
            picture = read_picture(file, trained.shape, invert)
            likely = probabilities(trained, picture.pixels)
            if not np.isfinite(likely).all():
                raise PictureError("the model's answer is nan: its training has diverged")
        except PictureError as error:
            yield PictureError(f"{one_line(file)}: {error}")
            continue
        order = np.argsort(-likely, kind="stable")  # the first of equals comes first, as in argmax
        yield Prediction(file, [(trained.classes[i], float(likely[i])) for i in order], picture.notes)


def one_line(file: str) -> str:
    """A file's name on one line, whatever characters are in it."""
    return file if file.isprintable() else repr(file)
