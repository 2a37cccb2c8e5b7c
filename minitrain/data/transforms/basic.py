"""Transforms: functions that a data set applies to each image. The names are those of torchvision.transforms."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.not_offered import ChecksKeywords


def to_unit_range(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bytes as float32 in [0, 1]: k / 255, rounded once. A new array of the same shape, in C order."""
    values = pixels.astype(np.float32, order="C")
    values /= np.float32(255)  # in place: values is a new array
    return values


class Transform(ChecksKeywords):
    """The base of transforms: prints the arguments whose names are in `shown`."""

    shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.shown}
        arguments = [f"{name}={x.value if isinstance(x, enum.Enum) else x}" for name, x in values.items()]
        return f"{type(self).__name__}({', '.join(arguments)})"


class ToTensor(Transform):
    """Converts an image to a Tensor of shape (C, H, W).

    Takes an ndarray of shape (H, W), which has one channel, or (H, W, C), or a PIL image of mode L or RGB. uint8
    becomes float32 in [0, 1], with the same bits as in torchvision. Other dtypes are not scaled.

    Raises:
        TypeError: the image is neither an ndarray nor a PIL image of mode L or RGB.
        ValueError: the image does not have 2 or 3 dimensions.
    """

    def __call__(self, pic: Any) -> Tensor:
        if not isinstance(pic, np.ndarray):
            mode = getattr(pic, "mode", None)  # recognizes a PIL image without importing PIL
            if mode not in ("L", "RGB"):
                raise TypeError(
                    "pic should be an ndarray or a PIL image of mode L or RGB (convert others with "
                    f"pic.convert('RGB')). Got {type(pic)}" + (f" of mode {mode}" if mode else "")
                )
            pic = np.asarray(pic)
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions: shape {pic.shape}")
        channels_first = pic[None] if pic.ndim == 2 else pic.transpose(2, 0, 1)
        if pic.dtype == np.uint8:
            return wrap(to_unit_range(channels_first))
        return wrap(np.ascontiguousarray(channels_first))


class Several(Transform):
    """The base of transforms that apply other transforms; prints each on a line of its own."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *(f"    {each}" for each in self.transforms), ")"])


class Compose(Several):
    """Applies several transforms, one after the other."""

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img


class Lambda(Transform):
    """Wraps a function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)


class Normalize(Transform):
    """(tensor - mean) / std for each channel of a float tensor of shape (..., C, H, W). Use it after ToTensor.

    Args:
        mean, std: one number per channel, or one for all channels.
        inplace: write the result into the given tensor.

    Raises:
        TypeError: the argument is not a Tensor, or its dtype is not a float.
        ValueError: fewer than 3 dimensions, or a std of 0.
    """

    shown = ("mean", "std")

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(tensor)}: apply Normalize after ToTensor")
        if not tensor.is_floating_point():
            raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
        if tensor.ndim < 3:
            raise ValueError(
                f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.shape}"
            )
        mean = np.asarray(self.mean, tensor.dtype).reshape(-1, 1, 1)
        std = np.asarray(self.std, tensor.dtype).reshape(-1, 1, 1)
        if (std == 0).any():
            raise ValueError(f"std evaluated to zero in {tensor.dtype}, leading to division by zero: {self.std}")
        normalized = (tensor - wrap(mean)) / wrap(std)
        return tensor.copy_(normalized) if self.inplace else normalized
