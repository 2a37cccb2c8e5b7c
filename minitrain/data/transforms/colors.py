"""Brightness, contrast, saturation and hue as functions. Arrays and PIL images get Pillow's bytes.

Tensors get torchvision's values; where a contrast needs the mean of many floats, up to its rounding.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.data.transforms.functional import _largest, convert_image_dtype, rgb_to_grayscale
from minitrain.data.transforms.images import Planes, like, planes_of
from minitrain.tensor import Tensor, wrap

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation"]


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """The image blended with black: 0 is black, 1 the image, 2 twice as bright."""
    planes = _checked(img, brightness_factor, "brightness_factor")
    return _blend(img, planes, np.zeros_like(planes), brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """The image blended with its mean brightness: 0 is plain gray, 1 the image."""
    planes = _checked(img, contrast_factor, "contrast_factor")
    gray = planes_of(rgb_to_grayscale(img))
    if not isinstance(img, Tensor):
        return _blend(img, planes, np.full_like(planes, int(gray.mean() + 0.5)), contrast_factor)
    dtype = gray.dtype if gray.dtype.kind == "f" else np.dtype(np.float32)
    return _blend(img, planes, wrap(gray.astype(dtype)).mean((-3, -2, -1), keepdim=True).array, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """The image blended with its gray twin: 0 is gray, 1 the image, 2 twice as colourful."""
    planes = _checked(img, saturation_factor, "saturation_factor")
    if planes.ndim == 2 or planes.shape[-3] == 1:
        return like(img, planes.copy())
    return _blend(img, planes, planes_of(rgb_to_grayscale(img)), saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The image with its hues turned by hue_factor of the colour circle, from -0.5 to 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    planes = _checked(img, 0.0, "hue_factor")
    if planes.ndim == 2 or planes.shape[-3] == 1:
        return like(img, planes.copy())
    if not isinstance(img, Tensor):
        h, s, v = _bytes_to_hsv(planes)
        return like(img, _hsv_to_bytes(h + np.int32(hue_factor * 255).astype(np.uint8), s, v))
    scaled = convert_image_dtype(img, np.float32).array
    return convert_image_dtype(wrap(_turned(scaled, hue_factor)), img.dtype)


def _checked(img: Any, factor: float, name: str) -> Planes:
    planes = planes_of(img)
    channels = 1 if planes.ndim == 2 else planes.shape[-3]
    if channels not in (1, 3):
        raise TypeError(f"Input image tensor permitted channel values are [1, 3], but found {channels}")
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")
    return planes


def _blend(img: Any, planes: Planes, other: Planes, factor: float) -> Any:
    """factor · planes + (1 - factor) · other, within the range of the dtype."""
    dtype = planes.dtype if planes.dtype.kind == "f" else np.dtype(np.float32)
    share = dtype.type(factor)
    if isinstance(img, Tensor):
        y = share * planes.astype(dtype) + dtype.type(1.0 - float(factor)) * other.astype(dtype)
        return like(img, np.clip(y, 0, 1 if planes.dtype.kind == "f" else _largest(planes.dtype)).astype(planes.dtype))
    behind = other.astype(dtype)
    return like(img, np.clip(behind + share * (planes.astype(dtype) - behind), 0, 255).astype(np.uint8))


def _hue(planes: Planes, largest: Planes, span: Planes, dtype: npt.DTypeLike) -> Planes:
    """Six times the hue of each pixel, from -1 to 5, computed in this dtype; a gray pixel has none."""
    r, g, b = ((largest - np.moveaxis(planes, -3, 0)) / span).astype(dtype)
    return np.asarray(np.where(r == 0, b - g, np.where(g == 0, 2 + r - b, 4 + g - r)).astype(np.float32))


def _bytes_to_hsv(planes: Planes) -> tuple[Planes, Planes, Planes]:
    """Pillow's bytes of hue, saturation and value."""
    pixels = planes.astype(np.float32)
    largest, smallest = pixels.max(-3), pixels.min(-3)
    gray = largest == smallest
    span = np.where(gray, np.float32(1), largest - smallest)
    hue = np.fmod(_hue(pixels, largest, span, np.float64).astype(np.float64) / 6 + 1, 1).astype(np.float32)
    saturation = span / np.where(gray, np.float32(1), largest)
    h, s = (np.where(gray, 0, part * np.float64(255)).astype(np.uint8) for part in (hue, saturation))
    return h, s, planes.max(-3)


def _hsv_to_bytes(h: Any, s: Any, v: Any) -> Planes:
    """Pillow's bytes of red, green and blue."""
    turns = h.astype(np.float64) * 6 / 255
    sector = np.floor(turns).astype(np.int64)
    f, share, value = (turns - sector).astype(np.float32), (s / 255.0).astype(np.float32), v.astype(np.float64)

    def darker(part: Any) -> Any:
        return np.floor(value * (1.0 - part) + 0.5).astype(np.uint8)

    p, q, t = darker(share.astype(np.float64)), darker(share * f), darker(share * (1.0 - f.astype(np.float64)))
    return _of_sector(sector % 6, v, p, q, t)


def _of_sector(sector: npt.NDArray[np.int64], v: Any, p: Any, q: Any, t: Any) -> Planes:
    """Red, green and blue: which of them is the brightest, and which the darkest, the sixth of the circle decides."""
    choices = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    return np.stack([np.choose(sector, choice) for choice in choices], -3)


def _turned(pixels: Planes, hue_factor: float) -> Planes:
    """The pixels, from 0 to 1, with other hues, as torchvision computes them."""
    largest, smallest = pixels.max(-3), pixels.min(-3)
    gray, span = largest == smallest, largest - smallest
    s = span / np.where(gray, np.float32(1), largest)
    h = _hue(pixels, largest, np.where(gray, np.float32(1), span), np.float32) / np.float32(6)
    h = np.mod(np.fmod(h + np.float32(1), np.float32(1)) + np.float32(hue_factor), np.float32(1))
    sector = np.floor(h * np.float32(6))
    f, one = h * np.float32(6) - sector, np.float32(1)
    p, q, t = (np.clip(largest * (one - part), 0, 1) for part in (s, s * f, s * (one - f)))
    return _of_sector(sector.astype(np.int64) % 6, largest, p, q, t)
