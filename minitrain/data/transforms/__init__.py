"""Transforms: functions that a data set applies to each image. The names are those of torchvision.transforms."""

from typing import TYPE_CHECKING

from minitrain.data.transforms.basic import Compose, Lambda, Normalize, ToTensor, to_unit_range
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.data.transforms import functional, v2
    from minitrain.data.transforms.functional import InterpolationMode
    from minitrain.data.transforms.geometry import (
        CenterCrop,
        ConvertImageDtype,
        Grayscale,
        Pad,
        PILToTensor,
        Resize,
        ToPILImage,
    )
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

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain.data.transforms": "functional v2",
        "minitrain.data.transforms.functional": "InterpolationMode",
        "minitrain.data.transforms.geometry": (
            "CenterCrop ConvertImageDtype Grayscale Pad PILToTensor Resize ToPILImage"
        ),
        "minitrain.data.transforms.random_transforms": (
            "RandomAffine RandomApply RandomChoice RandomCrop RandomGrayscale RandomHorizontalFlip RandomOrder "
            "RandomResizedCrop RandomRotation RandomVerticalFlip"
        ),
    },
)

__all__ = [
    "CenterCrop",
    "Compose",
    "ConvertImageDtype",
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
    "ToPILImage",
    "ToTensor",
    "functional",
    "to_unit_range",
    "v2",
]
