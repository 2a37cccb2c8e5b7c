"""Pictures converted to match the training images: grayscale, light on black, same size. Pillow reads the files."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain.runs.config import ConfigError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # pure data, read by Pillow without other programs
MAX_PIXELS = 25_000_000  # of 4 bytes each, 100 MB; a file of a few bytes may decode to any number
BRIGHT = 128  # a border at least this bright means that a picture is dark on white
FLAT = 32  # a picture whose brightness varies less shows nothing; in training images it varies by over 200


class PictureError(ValueError):
    """A file that is not a picture, is damaged, or has a form that is not supported."""


class Picture(NamedTuple):
    """A picture converted to a training image.

    pixels: (H, W) of uint8, 0 for the black background. notes: warnings for the user, usually none.
    """

    pixels: npt.NDArray[np.uint8]
    notes: list[str]


def require_pillow() -> None:
    """Raise ConfigError, with the command that installs it, if Pillow is not installed."""
    if find_spec("PIL") is None:
        raise ConfigError('reading pictures needs Pillow, which is not installed: pip install -e ".[images]"')


def read_picture(path: str | os.PathLike[str], shape: tuple[int, int], invert: bool = False) -> Picture:
    """Read a picture and convert it to an image of shape (H, W), light on black.

    In this order: rotated by its EXIF tag; transparency becomes background; colours become brightness (ITU-R 601-2);
    inverted if asked; scaled in proportion until it just fits, each pixel the mean of the area it covers; centred on
    black. A grayscale picture of exactly this shape stays unchanged.

    invert: the picture is dark on white.
    Raises PictureError. Every damage to a PNG is found, by its checksums; other formats may hide some damage.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not Path(path).is_file():  # reading a pipe might never end
        raise PictureError("it is a folder, a pipe or a device" if os.path.exists(path) else "there is no such file")
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about files that are odd but readable
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError(f"its {image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
                image.verify()  # checks a PNG's checksums, which reading its pixels does not
            with Image.open(path, formats=FORMATS) as image:
                if getattr(image, "is_animated", False):
                    notes.append("it holds several pictures; the first is used")
                ImageOps.exif_transpose(image, in_place=True)
                gray = _grayscale(image, background=255 if invert else 0)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or it is damaged") from None
    except Image.DecompressionBombError:
        raise PictureError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # damage makes decoders raise SyntaxError, IndexError, struct.error, ...
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"it cannot be read: {reason}") from error
    if invert:
        gray = ImageOps.invert(gray)
    scaled = _scaled(gray, shape)
    room = [whole - part for whole, part in zip(shape, scaled.shape, strict=True)]
    centred = np.pad(scaled, [(free // 2, free - free // 2) for free in room])
    return Picture(centred, notes + _doubts(scaled, invert))


def _grayscale(image: Any, background: int) -> Any:
    """A Pillow image in mode L, with transparency blended into the background."""
    from PIL import Image

    if image.mode.startswith("I"):  # I;16, or I in other releases of Pillow
        if "transparency" in image.info:
            raise PictureError("16 bits with transparency are not supported; save it with 8 bits")
        # Pillow would clip at 255. Rescale instead: 65535 = 257 · 255.
        return Image.fromarray(np.rint(np.asarray(image, np.float32) / 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    return Image.composite(image.convert("L"), Image.new("L", image.size, background), image.getchannel("A"))


def _scaled(gray: Any, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture scaled in proportion until it just fits into the shape."""
    from PIL import Image

    factor = min(shape[1] / gray.width, shape[0] / gray.height)
    size = max(1, round(gray.width * factor)), max(1, round(gray.height * factor))
    return np.array(gray.resize(size, Image.Resampling.BOX))


def _doubts(pixels: npt.NDArray[np.uint8], inverted: bool) -> list[str]:
    """Warnings if the picture shows nothing, or does not look light on black as training images do."""
    if np.ptp(pixels) < FLAT:
        hint = "leave out --invert" if inverted else "if it is dark on transparent, add --invert"
        return [f"it shows almost nothing: its brightness hardly varies; {hint}"]
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    if np.median(border) < BRIGHT:
        return []
    if inverted:
        return ["its border was dark and is now bright; if it is light on black, leave out --invert"]
    return ["its border is bright, while training images are light on black; if it is dark on white, add --invert"]
