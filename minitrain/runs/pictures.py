"""Pictures converted to match the training images: grayscale, light on black, same size. Pillow reads the files."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain.runs.config import ConfigError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # pure data, read by Pillow without other programs
# A small file may decode to any number of bytes, and take any time. Within these limits it takes MEMORY and 2 seconds.
MEMORY = 100_000_000  # bytes
MAX_PIXELS = 25_000_000  # of 4 bytes each
MAX_SIDE = 20_000  # pixels; Pillow keeps a pointer for each row
MAX_BYTES = 100_000_000  # of a file
MAX_SCANS = 64  # in which a progressive JPEG refines the picture; cameras and programs write up to about 12
PIXELS = {"WEBP": 6_000_000, "compressed BMP": 1_000_000}  # libwebp needs 16 bytes a pixel; RLE is decoded in Python
MAX_READS = 300_000  # of pieces of a file, such as the chunks of a PNG; large GIF files have the most, about 200,000
MAX_SEGMENTS = 10_000  # of a JPEG
MAX_EXIF = 100_000  # bytes that are read; each of 65,535 entries may refer to all of them
MAX_TEXT = 4_000_000  # characters of a PNG's comments
SLACK = 15_000_000  # bytes beyond MEMORY before the system refuses more
BAND = 250_000  # pixels that are converted at once

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # of a JPEG's segment; the rest occurs within its scans
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
    black. A grayscale picture of exactly this shape stays unchanged. A large picture that would exceed MEMORY is halved
    first, which may change a pixel by 1 or 2 of 255.

    invert: the picture is dark on white.
    Raises PictureError. Every damage to a PNG is found, by its checksums; other formats may hide some damage.
    """
    from PIL import Image, UnidentifiedImageError

    if not Path(path).is_file():  # reading a pipe might never end
        raise PictureError("it is a folder, a pipe or a device" if os.path.exists(path) else "there is no such file")
    notes = []
    try:
        with warnings.catch_warnings(), _limited_memory():
            warnings.simplefilter("ignore")  # Pillow's, about files that are odd but readable
            length = os.path.getsize(path)
            if length > MAX_BYTES:
                raise PictureError(f"its {length:,} bytes are more than {MAX_BYTES:,}")
            with _Pieces(path) as file, Image.open(file, formats=FORMATS) as image:
                _check_size(image, length)
                image.verify()  # checks a PNG's checksums, which reading its pixels does not
            with _Pieces(path) as file, Image.open(file, formats=FORMATS) as image:
                if hasattr(image, "layer"):  # a JPEG
                    _fit_jpeg(image, _count_scans(Path(path).read_bytes()))
                if getattr(image, "is_animated", False):
                    notes.append("it holds several pictures; the first is used")
                gray = _upright_gray(image, invert)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or it is damaged") from None
    except Image.DecompressionBombError:
        raise PictureError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except MemoryError:
        raise PictureError(f"it takes more than {MEMORY // 10**6} MB of memory to read") from None
    except Exception as error:  # damage makes decoders raise SyntaxError, IndexError, struct.error, ...
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        if reason == "could not create decoder object":  # libwebp's for both
            reason = f"it is damaged, or its pixels are more than {PIXELS['WEBP']:,}, the most for a WEBP file"
        raise PictureError(f"it cannot be read: {reason}") from error
    scaled = _scaled(gray, shape)
    room = [whole - part for whole, part in zip(shape, scaled.shape, strict=True)]
    centred = np.pad(scaled, [(free // 2, free - free // 2) for free in room])
    return Picture(centred, notes + _doubts(scaled, invert))


# --- limits -----------------------------------------------------------------------------------------------------------


def _check_size(image: Any, length: int) -> None:
    run_lengths = image.format == "BMP" and image.info.get("compression") in (1, 2)
    kind = "compressed BMP" if run_lengths else image.format
    most = PIXELS.get(kind, MAX_PIXELS)
    if image.width * image.height > most:
        of_kind = f", the most for a {kind} file" if kind in PIXELS else ""
        raise PictureError(f"its {image.width} x {image.height} pixels are more than {most:,}{of_kind}")
    if max(image.size) > MAX_SIDE:
        raise PictureError(f"of its {image.width} x {image.height} pixels a side is longer than {MAX_SIDE:,}")
    if run_lengths and length > 4 * most:
        raise PictureError(f"its {length:,} bytes are more than {4 * most:,}, the most for a {kind} file")


class _Pieces(io.FileIO):
    """A file that can be read in at most MAX_READS pieces, as Pillow reads them in Python. Raises PictureError then."""

    left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]  # typeshed changed its mind
        """The next bytes."""
        self.left -= 1
        if self.left < 0:
            raise PictureError(f"it consists of more than {MAX_READS:,} pieces; save it again")
        return super().read(-1 if size is None else size)


def _count_scans(content: bytes) -> int:
    """How often a JPEG's decoder goes over the picture. Raises PictureError for more than MAX_SEGMENTS."""
    scans = segments = place = 0
    while (found := _MARKER.search(content, place)) is not None and found[1] != b"\xd9":
        segments += 1
        if segments > MAX_SEGMENTS:
            raise PictureError(f"it consists of more than {MAX_SEGMENTS:,} segments; save it again")
        place = found.end()
        if found[1] != b"\xd8":  # all others have a length
            place += max(2, int.from_bytes(content[place : place + 2]))
        scans += found[1] == b"\xda"
    return scans


def _fit_jpeg(image: Any, scans: int) -> None:
    """Have a JPEG that would exceed MEMORY decoded in half size, its brightness alone.

    scans: as _count_scans has counted. Raises PictureError if there are too many, or if it still exceeds MEMORY.
    """
    if scans > MAX_SCANS:
        raise PictureError(f"its {scans:,} scans are more than {MAX_SCANS}; save it again as a plain JPEG or PNG")
    width, height = image.size
    factors = [across * down for _, across, down, _ in image.layer]
    # libjpeg holds the coefficients, of 2 bytes each, until the last scan.
    coefficients = 2 * width * height * sum(factors) // max(factors) if scans > 1 or "progressive" in image.info else 0
    if coefficients + width * height * (_bytes_per_pixel(image) + 1) > MEMORY:
        image.draft("L", (width // 2, height // 2))
    if coefficients + image.width * image.height * _bytes_per_pixel(image) > MEMORY:
        raise PictureError(
            f"its {width} x {height} pixels take more than {MEMORY // 10**6} MB of memory, since it is a progressive "
            "JPEG; save it as a plain JPEG or PNG"
        )


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Inside it a picture that takes more than MEMORY and SLACK gets a MemoryError on Linux, whatever part asks for it.

    Elsewhere there is no such limit for a process, only those of the formats.
    """
    from PIL import PngImagePlugin

    with contextlib.ExitStack() as after:
        after.callback(setattr, PngImagePlugin, "MAX_TEXT_MEMORY", PngImagePlugin.MAX_TEXT_MEMORY)
        PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT
        with contextlib.suppress(ImportError, OSError, ValueError, IndexError):  # not on Linux
            import resource

            used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
            soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
            least = used + MEMORY + SLACK
            if soft == resource.RLIM_INFINITY or soft > least:
                resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
                after.callback(resource.setrlimit, resource.RLIMIT_DATA, (soft, hard))
        yield


# --- conversion -------------------------------------------------------------------------------------------------------


def _upright_gray(image: Any, invert: bool) -> Any:
    """The picture rotated by its EXIF tag, in mode L; converted in bands, so that no second picture is in memory.

    Where even the result would exceed MEMORY, it has half the size.
    """
    from PIL import Image

    image.load()  # a PNG may have its EXIF data after the pixels
    if len(exif := image.info.get("exif", b"")) > MAX_EXIF:
        image.info["exif"] = exif[:MAX_EXIF]  # the rotation is at their beginning
    orientation = image.getexif().get(0x0112, 1)
    width, height = image.size[::-1] if orientation in (5, 6, 7, 8) else image.size
    factor = 2 if width * height * (_bytes_per_pixel(image) + 1) > MEMORY else 1
    gray = Image.new("L", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, BAND // (factor * width))
    for top in range(0, height, rows):
        band = _grayscale(_upright_band(image, orientation, top, min(top + rows, height)), invert)
        gray.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return gray


def _bytes_per_pixel(image: Any) -> int:
    return 1 if image.mode in ("1", "L", "P") else 4


def _upright_band(image: Any, orientation: int, top: int, bottom: int) -> Any:
    """The rows from top to bottom of the picture after its rotation by the EXIF tag: rows or columns of the file."""
    from PIL.Image import Transpose

    turned = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    by_columns, from_end = orientation in (5, 6, 7, 8), orientation in (3, 4, 7, 8)
    if from_end:
        length = image.width if by_columns else image.height
        top, bottom = length - bottom, length - top
    band = image.crop((top, 0, bottom, image.height) if by_columns else (0, top, image.width, bottom))
    return band.transpose(turned[orientation]) if orientation in turned else band


def _grayscale(image: Any, invert: bool) -> Any:
    """A Pillow image in mode L, with transparency blended into the background; inverted if asked."""
    from PIL import Image, ImageOps

    if image.mode.startswith("I"):  # I;16, or I in other releases of Pillow
        if "transparency" in image.info:
            raise PictureError("16 bits with transparency are not supported; save it with 8 bits")
        # Pillow would clip at 255. Rescale instead: 65535 = 257 · 255.
        gray = Image.fromarray(np.rint(np.asarray(image, np.float32) / 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("L", image.size, 255 if invert else 0)
        gray = Image.composite(image.convert("L"), background, image.getchannel("A"))
    else:
        gray = image.convert("L")
    return ImageOps.invert(gray) if invert else gray


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
