"""A picture's file as a training image: grayscale, light on black, and as many pixels. Pillow reads the file."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain.runs.config import ConfigError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # those that are data only, and that Pillow reads by itself
MAX_PIXELS = 25_000_000  # a file of a few bytes may unfold to them, of 4 bytes each: 100 MB
BRIGHT = 128  # a border that is at least as bright belongs to a picture that is dark on white
FLAT = 32  # a picture shows nothing if its brightness varies by less; that of every training image varies by over 200


class PictureError(ValueError):
    """A file that is no picture, a damaged one, or one that is not read."""


class Picture(NamedTuple):
    """A picture as a training image.

    pixels: (H, W) of a training image, uint8, 0 for the background's black.
    notes: what the reader of a prediction should know, in words; seldom any.
    """

    pixels: npt.NDArray[np.uint8]
    notes: list[str]


def require_pillow() -> None:
    """Raise ConfigError, with the line that installs it, if Pillow cannot be imported."""
    if find_spec("PIL") is None:
        raise ConfigError('reading pictures needs Pillow, which is not installed: pip install -e ".[images]"')


def read_picture(path: str | os.PathLike[str], shape: tuple[int, int], invert: bool = False) -> Picture:
    """Read a picture, and make an image of the shape (H, W) of it, light on black.

    In this order: it is turned as its EXIF data say; what is transparent becomes background; colours become their
    brightness (ITU-R 601-2); it is inverted, if that is wanted; scaled, without changing its proportions, until it
    just fits, each pixel being the mean of the area that it covers; and centred on black. A grayscale picture of
    exactly this shape therefore stays as it is, pixel by pixel.

    invert: the picture is dark on white.
    Raises PictureError; for every damage to a PNG, which has checksums. Of the other formats, damage that leaves a
    file readable goes unnoticed.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not Path(path).is_file():  # reading a pipe, for one, might never end
        raise PictureError("it is a folder, a pipe or a device" if os.path.exists(path) else "there is no such file")
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on what is odd in a file but can be read
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError(f"its {image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
                image.verify()  # a PNG's checksums, which nothing looks at when its pixels are read
            with Image.open(path, formats=FORMATS) as image:
                if getattr(image, "is_animated", False):
                    notes.append("it holds several pictures, of which the first is taken")
                ImageOps.exif_transpose(image, in_place=True)
                gray = _grayscale(image, background=255 if invert else 0)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or a damaged one") from None
    except Image.DecompressionBombError:
        raise PictureError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # a decoder meets damage in many ways: SyntaxError, IndexError, struct.error, ...
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"it cannot be read: {reason}") from error
    if invert:
        gray = ImageOps.invert(gray)
    scaled = _scaled(gray, shape)
    return Picture(_centred(scaled, shape), notes + _doubts(scaled, invert))


def _grayscale(image: Any, background: int) -> Any:
    """A Pillow image in mode L, what is transparent in it blended into the background."""
    from PIL import Image

    if image.mode.startswith("I"):  # I;16; other releases of Pillow have I for the same
        if "transparency" in image.info:
            raise PictureError("it has 16 bits and transparency, which is not read; save it with 8 bits")
        # Pillow would cut off what is above 255. As many shades, spread as evenly: 65535 = 257 · 255.
        return Image.fromarray(np.rint(np.asarray(image, np.float32) / 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    return Image.composite(image.convert("L"), Image.new("L", image.size, background), image.getchannel("A"))


def _scaled(gray: Any, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """As large as fits into the shape, in the picture's own proportions."""
    from PIL import Image

    factor = min(shape[1] / gray.width, shape[0] / gray.height)
    size = max(1, round(gray.width * factor)), max(1, round(gray.height * factor))
    return np.array(gray.resize(size, Image.Resampling.BOX))


def _centred(pixels: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """In the middle of a black image of this shape."""
    image = np.zeros(shape, np.uint8)
    top, left = ((whole - part) // 2 for whole, part in zip(shape, pixels.shape, strict=True))
    image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return image


def _doubts(pixels: npt.NDArray[np.uint8], inverted: bool) -> list[str]:
    """What speaks against the picture's being light on black, with something on it, as training images are."""
    if np.ptp(pixels) < FLAT:
        hint = "leave --invert out" if inverted else "if it is dark on transparent, add --invert"
        return [f"it shows next to nothing, since all of it is nearly of one brightness; {hint}"]
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    if np.median(border) < BRIGHT:
        return []
    if inverted:
        return ["its border was dark, and is bright now; if it is light on black, leave --invert out"]
    return ["its border is bright, while training images are light on black; if it is dark on white, add --invert"]
