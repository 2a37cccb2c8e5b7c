"""Arrays as PNG pictures within a page: numbers on a scale that is neutral at 0, and images as ink on paper."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
# From the largest negative number to the largest positive one; safe for all colour vision.
SCALES = {
    "light": ("#84360a", "#d9752a", "#f4bd86", "#f0eeea", "#8fbfe8", "#2f7fc8", "#0b3f82"),
    "dark": ("#ffe3c2", "#f39a4a", "#94501a", "#24272d", "#1f5fa8", "#5fb0ff", "#d3eaff"),
}
GAP = 255  # the index of the transparent colour between tiles


def png(pixels: npt.NDArray[np.uint8], palette: list[Colour] | None = None) -> bytes:
    """A PNG: of indices (H, W) with a palette whose last colour is transparent, or of gray with alpha (H, W, 2)."""
    height, width = pixels.shape[:2]
    kind = 4 if palette is None else 3
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each begins with its filter, 0 for none
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if palette is not None:
        chunks.append((b"PLTE", b"".join(map(bytes, palette))))
        chunks.append((b"tRNS", bytes([255] * (len(palette) - 1) + [0])))
    chunks += [(b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def as_address(content: bytes) -> str:
    """A PNG as a data: address."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def ink(image: npt.NDArray[np.uint8]) -> bytes:
    """An image (H, W) that is light on black, as black ink without paper."""
    return png(np.stack([np.zeros_like(image), image], axis=-1))


def tiles(weights: npt.NDArray[Any], shape: tuple[int, int], columns: int, largest: float) -> dict[str, bytes]:
    """Rows of weights (N, H·W) as tiles of this shape in a grid, for each scheme; largest: the end of the scale."""
    height, width = shape
    lines = -(-len(weights) // columns)
    grid = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1), GAP, np.uint8)
    # A nan or an infinity is as large as the scale goes.
    scaled = np.nan_to_num(weights.astype(np.float64), nan=largest, posinf=largest, neginf=-largest) / (largest or 1)
    index = np.rint(127 + 127 * np.clip(scaled, -1, 1)).astype(np.uint8)
    for number, tile in enumerate(index):
        y, x = number // columns * (height + 1), number % columns * (width + 1)
        grid[y : y + height, x : x + width] = tile.reshape(shape)
    return {scheme: png(grid, palette(scheme)) for scheme in SCALES}


def palette(scheme: str) -> list[Colour]:
    """255 colours from one end of the scale to the other, 0 in the middle, and a last one for what is transparent."""
    positions = np.linspace(0, 1, 255)
    return [*(mixed(SCALES[scheme], float(at)) for at in positions), (0, 0, 0)]


def mixed(colours: tuple[str, ...], at: float) -> Colour:
    """The colour at this place from 0 to 1 between equally spaced ones, mixed in OKLab."""
    place = at * (len(colours) - 1)
    left = min(int(place), len(colours) - 2)
    first, second = (_to_oklab(parsed(colour)) for colour in colours[left : left + 2])
    return _from_oklab(first + (second - first) * (place - left))


def parsed(colour: str) -> Colour:
    """'#rrggbb' as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def text(colour: Colour) -> str:
    """Three numbers as '#rrggbb'."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def text_on(colour: Colour) -> str:
    """The colour of text with a contrast of at least 4.5 to 1 on this ground."""
    luminance = float(np.dot(_to_linear(colour), (0.2126, 0.7152, 0.0722)))
    return "#ffffff" if luminance < 0.179 else "#000000"


# Björn Ottosson, "A perceptual color space for image processing" (2020), https://bottosson.github.io/posts/oklab/
_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def _to_linear(colour: Colour) -> npt.NDArray[np.float64]:
    c = np.array(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _to_oklab(colour: Colour) -> npt.NDArray[np.float64]:
    lab: npt.NDArray[np.float64] = _LAB @ np.cbrt(_LMS @ _to_linear(colour))
    return lab


def _from_oklab(lab: npt.NDArray[np.float64]) -> Colour:
    linear = np.clip(np.linalg.solve(_LMS, np.linalg.solve(_LAB, lab) ** 3), 0, 1)
    c = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(x) for x in np.rint(255 * c))
    return red, green, blue
