"""Resizing and rotating images (..., H, W): Pillow's pixels, bit for bit, for bytes, and torch's for floats.

Resizing is two matrix products: row i of a matrix (out, in) holds the weights of the old pixels in the new pixel i.
Sources: Pillow's src/libImaging/Resample.c and Geometry.c; torch's aten/src/ATen/native/UpSample.h.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kernel = Callable[[Array], Array]

# --- weights ---------------------------------------------------------------------------------------------------


def _triangle(x: Array) -> Array:
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0.0)


def _box(x: Array) -> Array:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _cubic(x: Array, a: float = -0.5) -> Array:
    """Keys's cubic; a is -0.5 in Pillow and with antialias, -0.75 in torch without."""
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def _sinc(x: Array) -> Array:
    scaled = np.where(x == 0, 1.0, x * math.pi)
    return np.where(x == 0, 1.0, np.sin(scaled) / scaled)


def _lanczos(x: Array) -> Array:
    return np.where((x >= -3) & (x < 3), _sinc(x) * _sinc(x / 3), 0.0)


def _hamming(x: Array) -> Array:
    x = np.abs(x)
    return np.where(x < 1, _sinc(x) * (0.54 + 0.46 * np.cos(x * math.pi)), 0.0)


# Each kernel, and the distance from which on it is 0.
KERNELS: dict[str, tuple[Kernel, float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
    "box": (_box, 0.5),
    "hamming": (_hamming, 1.0),
    "lanczos": (_lanczos, 3.0),
}


def smooth_weights(size: int, new_size: int, interpolation: str) -> npt.NDArray[np.float64]:
    """Weights (new_size, size) of Pillow's resize: where the image shrinks, the kernel is stretched (antialias)."""
    kernel, reach = KERNELS[interpolation]
    scale = size / new_size
    stretch = max(scale, 1.0)
    centers = (np.arange(new_size) + 0.5)[:, None] * scale
    first = np.maximum(np.trunc(centers - reach * stretch + 0.5), 0)
    last = np.minimum(np.trunc(centers + reach * stretch + 0.5), size)
    places = np.arange(size)[None]
    weights: Array = kernel((places - centers + 0.5) * (1 / stretch)) * ((places >= first) & (places < last))
    sums: Array = np.cumsum(weights, axis=1)[:, -1:]  # added one by one, as Pillow adds them
    weights /= np.where(sums == 0, 1, sums)
    return weights


def sharp_weights(size: int, new_size: int, interpolation: str) -> npt.NDArray[np.float64]:
    """Weights (new_size, size) of torch's interpolate without antialias: 2 or 4 neighbours, whatever the scale."""
    scale = np.float32(size) / np.float32(new_size)
    centers = (np.arange(new_size, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    reach = 1 if interpolation == "bilinear" else 2
    if interpolation == "bilinear":
        centers = np.maximum(centers, 0)
    weights = np.zeros((new_size, size))
    left = np.floor(centers)
    for step in range(1 - reach, reach + 1):
        distance = np.abs(centers - (left + step)).astype(np.float64)
        share = _triangle(distance) if interpolation == "bilinear" else _cubic(distance, -0.75)
        np.add.at(weights, (np.arange(new_size), np.clip(left + step, 0, size - 1).astype(int)), share)
    return weights


def resize_bytes(planes: Array, size: Sequence[int], interpolation: str) -> Array:
    """Pillow's resize of uint8 images: rows first, then columns, each rounded to bytes; weights have 22 bits.

    Pillow 13 resizes columns first where the height shrinks much more than the width; its pixels can differ there.
    """
    for axis in (-1, -2):
        old, new = planes.shape[axis], size[axis]
        if old != new:
            weights = smooth_weights(old, new, interpolation) * 2**22
            weights = np.trunc(weights + np.where(weights < 0, -0.5, 0.5))
            sums = np.matmul(np.swapaxes(planes, axis, -1).astype(np.float64), weights.T)  # exact: below 2**53
            planes = np.swapaxes(np.clip(np.floor((sums + 2**21) / 2**22), 0, 255).astype(np.uint8), axis, -1)
    return planes


def resize_floats(planes: Array, size: Sequence[int], interpolation: str, antialias: bool) -> Array:
    """torch's interpolate of float images, to the rounding of the sums."""
    weights = smooth_weights if antialias else sharp_weights
    for axis in (-1, -2):
        matrix = weights(planes.shape[axis], size[axis], interpolation).astype(planes.dtype)
        planes = np.swapaxes(np.matmul(np.swapaxes(planes, axis, -1), matrix.T), axis, -1)
    return planes


def resize_nearest(planes: Array, size: Sequence[int], as_pillow: bool, exact: bool = False) -> Array:
    """The pixel at the place, without interpolation: Pillow's and torch's nearest-exact choose the one at the centre,
    torch's nearest the one at the corner."""
    chosen = []
    for axis in (-2, -1):
        old, new = planes.shape[axis], size[axis]
        if as_pillow:
            steps = np.full(new, old / new)
            steps[0] *= 0.5
            places = np.cumsum(steps)
        else:
            scale = np.float32(old) / np.float32(new)
            places = (np.arange(new, dtype=np.float32) + np.float32(0.5 if exact else 0)) * scale
        chosen.append(np.minimum(places.astype(int), old - 1))
    return planes[..., chosen[0][:, None], chosen[1]]


# --- rotation and other affine maps ----------------------------------------------------------------------------


def transform_bytes(planes: Array, size: Sequence[int], matrix: Sequence[float], bilinear: bool, fill: Any) -> Array:
    """Pillow's affine transform: the new pixel (x, y) comes from (a x + b y + c, d x + e y + f) in the old image.

    Args:
        size: the new (H, W).
        matrix: a, b, c, d, e, f.
        fill: the value of pixels that come from outside: a number, or one for each channel.
    """
    height, width = planes.shape[-2:]
    y, x = np.mgrid[: size[0], : size[1]]
    result = np.empty((*planes.shape[:-2], *size), planes.dtype)
    result[...] = np.reshape(fill, (-1, 1, 1)) if np.ndim(fill) else fill
    a, b, c, d, e, f = matrix
    if bilinear:
        from_x, from_y = (x + 0.5) * a + (y + 0.5) * b + c, (x + 0.5) * d + (y + 0.5) * e + f
        inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
        left, top = np.floor(from_x - 0.5), np.floor(from_y - 0.5)
        dx, dy = from_x - 0.5 - left, from_y - 0.5 - top
        columns = [np.clip(left + step, 0, width - 1).astype(int) for step in (0, 1)]
        rows = [np.clip(top + step, 0, height - 1).astype(int) for step in (0, 1)]
        pixels = planes.astype(np.float64)
        upper, lower = (
            pixels[..., row, columns[0]] + (pixels[..., row, columns[1]] - pixels[..., row, columns[0]]) * dx
            for row in rows
        )
        values = (upper + (lower - upper) * dy).astype(planes.dtype)
    else:
        # Fixed-point numbers with 16 bits after the point, as in Pillow.
        a, b, d, e = (math.floor(value * 65536 + 0.5) for value in (a, b, d, e))
        c = math.floor((c + matrix[0] * 0.5 + matrix[1] * 0.5) * 65536 + 0.5)
        f = math.floor((f + matrix[3] * 0.5 + matrix[4] * 0.5) * 65536 + 0.5)
        column, row = (a * x + b * y + c) >> 16, (d * x + e * y + f) >> 16
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        values = planes[..., np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    np.copyto(result, values, where=inside)
    return result


def rotation_matrix(
    angle: float, size: Sequence[int], center: Sequence[float] | None, expand: bool
) -> tuple[list[float], list[int]]:
    """The matrix for transform_bytes that rotates by `angle` degrees counter-clockwise, and the new (H, W)."""
    height, width = size
    x0, y0 = (width / 2, height / 2) if center is None else center
    radians = -math.radians(angle)
    cos, sin = round(math.cos(radians), 15), round(math.sin(radians), 15)
    matrix = [cos, sin, 0.0, round(-math.sin(radians), 15), cos, 0.0]

    def apply(x: float, y: float) -> tuple[float, float]:
        a, b, c, d, e, f = matrix
        return a * x + b * y + c, d * x + e * y + f

    matrix[2], matrix[5] = apply(-x0, -y0)
    matrix[2] += x0
    matrix[5] += y0
    if expand:
        corners = [apply(x, y) for x, y in ((0, 0), (width, 0), (width, height), (0, height))]
        xs, ys = zip(*corners, strict=True)
        new_width = math.ceil(max(xs)) - math.floor(min(xs))
        new_height = math.ceil(max(ys)) - math.floor(min(ys))
        matrix[2], matrix[5] = apply(-(new_width - width) / 2.0, -(new_height - height) / 2.0)
        width, height = new_width, new_height
    return matrix, [height, width]


def affine_matrix(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> list[float]:
    """The matrix for transform_bytes that scales, shears and rotates about the centre, then translates.

    Source: torchvision's _get_inverse_affine_matrix.
    """
    rotation, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(rotation - shear_y) / math.cos(shear_y)
    b = -math.cos(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(rotation)
    c = math.sin(rotation - shear_y) / math.cos(shear_y)
    d = -math.sin(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(rotation)
    matrix = [each / scale for each in (d, -b, 0.0, -c, a, 0.0)]
    x0, y0 = -center[0] - translate[0], -center[1] - translate[1]
    matrix[2] += matrix[0] * x0 + matrix[1] * y0 + center[0]
    matrix[5] += matrix[3] * x0 + matrix[4] * y0 + center[1]
    return matrix
