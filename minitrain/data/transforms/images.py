"""The kinds of images that transforms take, and how one operation serves all of them.

A Tensor has the shape (..., H, W). A uint8 array of shape (H, W) or (H, W, C), as data sets give it, stands for a PIL
image of mode L or RGB: the transforms compute Pillow's pixels for it. PIL images are taken where Pillow is installed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.tensor import Tensor, wrap

Planes = npt.NDArray[Any]  # (..., H, W)


def pillow() -> Any:
    """The module PIL.Image. Raises ImportError with the remedy if Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('this needs Pillow: pip install "minitrain[images]"') from error
    return Image


def is_pil_image(img: Any) -> bool:
    """Whether it is a PIL image; found without importing PIL."""
    return not isinstance(img, np.ndarray | Tensor) and hasattr(img, "mode") and hasattr(img, "getbands")


def planes_of(img: Any) -> Planes:
    """The image's pixels with the shape (..., H, W).

    Raises:
        TypeError: not a Tensor of at least 2 dimensions, an array of 2 or 3, or a PIL image of mode L or RGB.
        NotImplementedError: a Tensor that requires a gradient.
    """
    if isinstance(img, Tensor):
        if img.requires_grad:
            raise NotImplementedError("transforms record no gradients: pass img.detach()")
        if img.ndim < 2:
            raise TypeError(f"Tensor is not a torch image: expected the shape (..., H, W), got {tuple(img.shape)}")
        return img.array
    if is_pil_image(img):
        if img.mode not in ("L", "RGB"):
            raise TypeError(f"img should be a PIL image of mode L or RGB, got mode {img.mode}: use img.convert('RGB')")
        img = np.asarray(img)
    if not isinstance(img, np.ndarray) or img.ndim not in (2, 3):
        shape = f" of shape {img.shape}" if isinstance(img, np.ndarray) else ""
        raise TypeError(
            f"img should be an ndarray (H, W) or (H, W, C), a Tensor or a PIL Image. Got {type(img)}{shape}"
        )
    return img if img.ndim == 2 else np.moveaxis(img, -1, 0)


def like(img: Any, planes: Planes) -> Any:
    """These pixels as an image of the same kind as `img`."""
    if isinstance(img, Tensor):
        return wrap(np.ascontiguousarray(planes))
    array = np.ascontiguousarray(planes if planes.ndim == 2 else np.moveaxis(planes, 0, -1))
    return pillow().fromarray(array) if is_pil_image(img) else array


def on_planes(img: Any, operation: Callable[[Planes], Planes]) -> Any:
    """The operation's result for the image's pixels (..., H, W), as an image of the same kind."""
    return like(img, operation(planes_of(img)))


def get_dimensions(img: Any) -> list[int]:
    """The image's [C, H, W]."""
    planes = planes_of(img)
    return [1 if planes.ndim == 2 else planes.shape[-3], *planes.shape[-2:]]
