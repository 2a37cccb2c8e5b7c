"""torchvision.io: image files as Tensors (C, H, W) of bytes, and back. All of it needs Pillow."""

import enum
import io
import os
from typing import Any

import numpy as np

from minitrain.data.transforms.functional import to_pil_image
from minitrain.data.transforms.images import pillow
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["ImageReadMode", "decode_image", "read_image", "write_jpeg", "write_png"]


class ImageReadMode(enum.Enum):
    """Which channels to read."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_PILLOWS_MODES = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}


def read_image(
    path: str | os.PathLike[str],
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """The image in a file, as a uint8 Tensor (C, H, W).

    Args:
        mode: which channels; UNCHANGED keeps those of the file (a palette becomes RGB).
        apply_exif_orientation: rotate the image as its EXIF tag says.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: not an image that Pillow reads, or one with other than 8 bits per channel.
        ImportError: Pillow is not installed.
    """
    return _read(os.fspath(path), mode, apply_exif_orientation)


def decode_image(
    input: Tensor | str | os.PathLike[str],
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """read_image, also from the file's bytes in a uint8 Tensor (N,)."""
    if isinstance(input, Tensor):
        return _read(io.BytesIO(input.array.tobytes()), mode, apply_exif_orientation)
    return read_image(input, mode, apply_exif_orientation)


def _read(source: Any, mode: ImageReadMode | str, apply_exif_orientation: bool) -> Tensor:
    image = pillow()
    from PIL import ImageOps

    wanted = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    try:
        with image.open(source) as picture:
            picture.load()
    except image.UnidentifiedImageError as error:
        raise RuntimeError(f"not an image that Pillow can read: {source}") from error
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        raise RuntimeError(f"expected an image of 8 bits per channel, got Pillow's mode {picture.mode}: {source}")
    if apply_exif_orientation:
        picture = ImageOps.exif_transpose(picture)
    if wanted in _PILLOWS_MODES:
        picture = picture.convert(_PILLOWS_MODES[wanted])
    elif picture.mode not in ("L", "LA", "RGB", "RGBA"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    pixels = np.asarray(picture)
    return wrap(np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C"))


def write_png(input: Tensor, filename: str | os.PathLike[str], compression_level: int = 6) -> None:
    """Write a uint8 Tensor (1, H, W) or (3, H, W) as a PNG file."""
    _picture(input).save(filename, format="PNG", compress_level=compression_level)


def write_jpeg(input: Tensor, filename: str | os.PathLike[str], quality: int = 75) -> None:
    """Write a uint8 Tensor (1, H, W) or (3, H, W) as a JPEG file of the given quality, 1 to 100."""
    _picture(input).save(filename, format="JPEG", quality=quality)


def _picture(image: Tensor) -> Any:
    if not isinstance(image, Tensor) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        found = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise RuntimeError(f"expected a uint8 Tensor of shape (1, H, W) or (3, H, W), got {found}")
    return to_pil_image(image)
