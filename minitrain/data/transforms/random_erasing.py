"""RandomErasing: a random rectangle of a Tensor is overwritten. Its draws are torchvision's, bit for bit."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.data.transforms.random_transforms import below, chance, uniform
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.not_offered import ChecksKeywords

TRIALS = 10  # for a rectangle that fits into the image


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """The Tensor (..., H, W) with the rectangle of this top, left, height and width set to v."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}; put ToTensor before RandomErasing.")
    y = img if inplace else img.clone()
    y[..., i : i + h, j : j + w] = v
    return y


class RandomErasing(ChecksKeywords):
    """Overwrites a random rectangle, with probability p. For Tensors (..., C, H, W), so after ToTensor.

    Args:
        scale: the range of its share of the image's area. ratio: the range of its height divided by its width.
        value: a number, a number for each channel, or "random" for normal numbers (of torch's stream, nearly bit for
            bit: see torchlike/random.py).
        inplace: write into the image itself.

    Source: Zhong et al., "Random Erasing Data Augmentation", arXiv:1708.04896.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        if not isinstance(value, int | float | str | tuple | list):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        for name, given in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(given, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None = None
    ) -> tuple[int, int, int, int, Tensor]:
        """Top, left, height, width and the new values; the whole image, if no rectangle fits in ten trials."""
        channels, rows, columns = img.shape[-3:]
        low, high = np.log(np.asarray(ratio, np.float32))
        for _ in range(TRIALS):
            area = rows * columns * uniform(*scale)
            shape = float(np.exp(np.float32(uniform(low, high))))
            h, w = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if h >= rows or w >= columns:
                continue
            new = random.normal((channels, h, w)) if value is None else np.asarray(value, np.float32)[:, None, None]
            return below(rows - h + 1), below(columns - w + 1), h, w, wrap(new)
        return 0, 0, rows, columns, img

    def __call__(self, img: Tensor) -> Tensor:
        if chance() >= self.p:
            return img
        if not isinstance(img, Tensor):
            erase(img, 0, 0, 0, 0, 0)  # which explains it
        value = None if isinstance(self.value, str) else np.atleast_1d(self.value).astype(float).tolist()
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number of input "
                "channels)"
            )
        return erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)}" for name in ("p", "scale", "ratio", "value", "inplace"))
        return f"{type(self).__name__}({parts})"
