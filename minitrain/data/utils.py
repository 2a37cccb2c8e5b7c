"""torchvision.utils: several images as one, and images as files."""

import math
import os
from typing import Any

import numpy as np

from minitrain.data.transforms.images import Planes, pillow
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Tensor | list[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images side by side, in one image (C, H, W); gray images get 3 channels. No gradient is recorded.

    Args:
        tensor: (N, C, H, W), one image (C, H, W) or (H, W), or a list of images of the same shape.
        nrow: how many images stand in a row.
        padding: the width of the border around each image.
        normalize: scale the values to [0, 1], from value_range, or from the smallest and largest value.
        scale_each: find the smallest and largest value for each image, not for all.
        pad_value: the border's value.

    Raises:
        TypeError: something else than Tensors, or a value_range that is not a tuple.
        RuntimeError: normalize with integers.
    """
    given = tensor if isinstance(tensor, list) else [tensor]
    for each in given:
        if not isinstance(each, Tensor):
            kind = f"a list containing {type(each)}" if isinstance(tensor, list) else f"{type(each)}"
            raise TypeError(f"tensor or list of tensors expected, got {kind}")
    images: Planes = np.stack([each.array for each in given]) if isinstance(tensor, list) else tensor.array
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[None]
    if images.ndim == 4 and images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        if images.dtype.kind != "f":
            raise RuntimeError(f"normalize=True needs floats, got {images.dtype}: convert them with .float()")
        parts = [*images] if scale_each else [images]
        images = np.stack([_normalized(part, value_range) for part in parts]).reshape(images.shape)
    if len(images) == 1:
        return wrap(np.array(images[0]))

    columns = min(nrow, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[2] + padding, images.shape[3] + padding
    grid = np.full((images.shape[1], height * rows + padding, width * columns + padding), pad_value, images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * height + padding, i % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = image
    return wrap(grid)


def _normalized(images: Planes, value_range: tuple[float, float] | None) -> Planes:
    """Values clamped to the range, and scaled from it to [0, 1]."""
    low, high = (float(images.min()), float(images.max())) if value_range is None else value_range
    scaled: Planes = (images.clip(low, high) - low) / max(high - low, 1e-5)
    return scaled.astype(images.dtype)


def save_image(
    tensor: Tensor | list[Tensor], fp: str | os.PathLike[str] | Any, format: str | None = None, **kwargs: Any
) -> None:
    """Write an image, or several as a grid, with values from 0 to 1. Needs Pillow.

    Args:
        tensor, kwargs: as in make_grid.
        fp: the file's name, whose ending names the format; or a binary file.
        format: the format, for a binary file.

    Raises:
        RuntimeError: integers.
        ImportError: Pillow is not installed.
    """
    image = pillow()
    grid = make_grid(tensor, **kwargs).array
    if grid.dtype.kind != "f":
        raise RuntimeError(f"save_image expects floats from 0 to 1, got {grid.dtype}: divide bytes by 255")
    pixels = (grid * grid.dtype.type(255) + grid.dtype.type(0.5)).clip(0, 255).transpose(1, 2, 0).astype(np.uint8)
    image.fromarray(np.ascontiguousarray(pixels)).save(fp, format=format)
