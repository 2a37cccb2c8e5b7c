"""Transforms without chance: Resize, CenterCrop, Pad, and the conversions. functional.py computes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minitrain.data.transforms import functional
from minitrain.data.transforms.basic import Transform
from minitrain.data.transforms.functional import InterpolationMode, as_mode
from minitrain.tensor import Tensor


def two_sizes(size: Any) -> tuple[int, int]:
    """(H, W), also from one number for both."""
    if isinstance(size, int | float):
        return int(size), int(size)
    if len(size) not in (1, 2):
        raise ValueError(f"Please provide only two dimensions (h, w) for size, got {size}")
    return size[0], size[-1]


class Resize(Transform):
    """Resizes an image. Arrays and PIL images get Pillow's pixels, Tensors torch's.

    Args:
        size: (H, W), or one int for the shorter edge; the longer edge then keeps the ratio.
        interpolation: an InterpolationMode, or Pillow's number for it.
        max_size: a limit for the longer edge, if size is one int.
        antialias: whether shrinking averages over all old pixels (only for Tensors; otherwise it always does).
    """

    shown = ("size", "interpolation", "max_size", "antialias")

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        if not isinstance(size, int | Sequence):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.max_size = max_size
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    def __call__(self, img: Any) -> Any:
        return functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle of an image: (H, W), or one int for both. Padded with 0 where the image is smaller."""

    shown = ("size",)

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = two_sizes(size)

    def __call__(self, img: Any) -> Any:
        return functional.center_crop(img, self.size)


class Pad(Transform):
    """Adds a border: see functional.pad."""

    shown = ("padding", "fill", "padding_mode")

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        functional.border_widths(padding, padding_mode)
        if not isinstance(fill, int | float | tuple | list):
            raise TypeError(f"Got inappropriate fill arg: {fill!r}")
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Any) -> Any:
        return functional.pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale(Transform):
    """Makes an image gray, with 1 channel or 3 equal ones: see functional.rgb_to_grayscale."""

    shown = ("num_output_channels",)

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return functional.rgb_to_grayscale(img, self.num_output_channels)


class PILToTensor(Transform):
    """Converts an array or PIL image to a Tensor (C, H, W) of the same dtype, not scaled."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.pil_to_tensor(pic)


class ToPILImage(Transform):
    """Converts a Tensor (C, H, W) or an array (H, W[, C]) to a PIL image: see functional.to_pil_image. Needs Pillow."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return functional.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Transform):
    """Converts a Tensor to another dtype, scaled: see functional.convert_image_dtype."""

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)

    def __call__(self, image: Tensor) -> Tensor:
        return functional.convert_image_dtype(image, self.dtype)
