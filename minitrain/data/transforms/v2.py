"""torchvision.transforms.v2: the transforms that have the same name and numbers there, and ToImage and ToDtype."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minitrain.data.transforms import functional
from minitrain.data.transforms.basic import Compose, Lambda, Normalize, ToTensor, Transform
from minitrain.data.transforms.functional import InterpolationMode
from minitrain.data.transforms.geometry import CenterCrop, Grayscale, Pad, PILToTensor, Resize, ToPILImage
from minitrain.data.transforms.random_transforms import (
    RandomAffine,
    RandomApply,
    RandomChoice,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomOrder,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from minitrain.tensor import Tensor

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToTensor",
    "functional",
]


class ToImage(Transform):
    """Converts an array or PIL image to a Tensor (C, H, W) of the same dtype, not scaled. A Tensor stays as it is."""

    def __call__(self, pic: Any) -> Tensor:
        return pic if isinstance(pic, Tensor) else functional.pil_to_tensor(pic)


class ToDtype(Transform):
    """Converts a Tensor to another dtype; with `scale` as ConvertImageDtype does."""

    shown = ("scale",)

    def __init__(self, dtype: DTypeLike, scale: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.scale = scale

    def __call__(self, image: Tensor) -> Tensor:
        if self.scale:
            return functional.convert_image_dtype(image, self.dtype)
        return image.to(self.dtype)
