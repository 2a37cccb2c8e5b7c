"""Transforms that draw: each takes the same numbers from the random stream as torchvision's."""

import math
import random as python_random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.data.transforms import functional
from minitrain.data.transforms.basic import Several, Transform
from minitrain.data.transforms.functional import InterpolationMode, as_mode, get_dimensions
from minitrain.data.transforms.geometry import two_sizes
from minitrain.torchlike import random


def chance() -> Any:
    """One float32 in [0, 1), as torch.rand(1)."""
    return random.uniform((1,))[0]


def uniform(low: float, high: float) -> float:
    """One float32 in [low, high), as torch.empty(1).uniform_(low, high)."""
    return float(random.uniform((1,), float(low), float(high))[0])


def below(stop: int) -> int:
    """One of 0, ..., stop - 1, as torch.randint(0, stop, (1,))."""
    return int(random.randint(0, stop, (1,))[0])


# --- flips and colours -----------------------------------------------------------------------------------------


class RandomHorizontalFlip(Transform):
    """Exchanges left and right, with probability p."""

    shown = ("p",)

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, img: Any) -> Any:
        return functional.hflip(img) if chance() < self.p else img


class RandomVerticalFlip(RandomHorizontalFlip):
    """Exchanges top and bottom, with probability p."""

    def __call__(self, img: Any) -> Any:
        return functional.vflip(img) if chance() < self.p else img


class RandomGrayscale(RandomHorizontalFlip):
    """Makes the image gray, with probability p; the number of channels stays."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def __call__(self, img: Any) -> Any:
        channels = functional.get_image_num_channels(img)
        return functional.rgb_to_grayscale(img, channels) if chance() < self.p else img


# --- crops -----------------------------------------------------------------------------------------------------


class RandomCrop(Transform):
    """A part of the given size, from a random place.

    Args:
        size: (H, W), or one int for both.
        padding, fill, padding_mode: a border that is added first, as in Pad; None for no border.
        pad_if_needed: widen an image that is smaller than the part, instead of raising ValueError.
    """

    shown = ("size", "padding")

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = two_sizes(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        """The part's top, left, height and width. Draws its top, then its left, unless it is the whole image."""
        _, rows, columns = get_dimensions(img)
        height, width = output_size
        if rows < height or columns < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than input image size {(rows, columns)}: pass "
                "padding, or pad_if_needed=True"
            )
        if (rows, columns) == (height, width):
            return 0, 0, rows, columns
        return below(rows - height + 1), below(columns - width + 1), height, width

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = functional.pad(img, self.padding, self.fill, self.padding_mode)
        _, rows, columns = get_dimensions(img)
        if self.pad_if_needed:
            for missing in ((self.size[1] - columns, 0), (0, self.size[0] - rows)):
                if max(missing) > 0:
                    img = functional.pad(img, missing, self.fill, self.padding_mode)
        return functional.crop(img, *self.get_params(img, self.size))


class RandomResizedCrop(Transform):
    """A part of random size, ratio and place, resized.

    Args:
        size: the new (H, W), or one int for both.
        scale: the smallest and largest share of the area.
        ratio: the smallest and largest W / H.
        interpolation, antialias: as in Resize.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = two_sizes(size)
        for name, given in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(given, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias
        self.scale = scale
        self.ratio = ratio

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """The part's top, left, height and width: ten tries, then the middle of the image."""
        _, rows, columns = get_dimensions(img)
        log_ratio = np.log(np.array(ratio, np.float32))
        for _ in range(10):
            area = rows * columns * uniform(scale[0], scale[1])
            aspect = float(np.exp(np.float32(uniform(log_ratio[0], log_ratio[1]))))
            width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < width <= columns and 0 < height <= rows:
                return below(rows - height + 1), below(columns - width + 1), height, width
        width, height = columns, rows
        if columns / rows < min(ratio):
            height = round(width / min(ratio))
        elif columns / rows > max(ratio):
            width = round(height * max(ratio))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def __call__(self, img: Any) -> Any:
        place = self.get_params(img, self.scale, self.ratio)
        return functional.resized_crop(img, *place, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(each, 4) for each in given) for given in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


# --- rotations (of arrays and PIL images) ----------------------------------------------------------------------


class RandomRotation(Transform):
    """Rotates by a random angle: see functional.rotate.

    Args:
        degrees: (smallest, largest) angle, or one number for (-degrees, degrees).
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        self.degrees = _ranges(degrees, "degrees", (2,))
        self.interpolation = as_mode(interpolation)
        self.expand = expand
        self.center = center
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The angle."""
        return uniform(degrees[0], degrees[1])

    def __call__(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        return functional.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )


class RandomAffine(Transform):
    """Rotates, translates, scales and shears at random: see functional.affine.

    Args:
        degrees: (smallest, largest) angle, or one number for (-degrees, degrees).
        translate: the largest shift in x and in y, as a share of width and height.
        scale: (smallest, largest) factor.
        shear: (smallest, largest) angle in x, and two more in y; or one number for (-shear, shear) in x.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        self.degrees = _ranges(degrees, "degrees", (2,))
        if translate is not None and not all(0.0 <= each <= 1.0 for each in translate):
            raise ValueError(f"translation values should be between 0 and 1, got {translate}")
        if scale is not None and not all(each > 0 for each in scale):
            raise ValueError(f"scale values should be positive, got {scale}")
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else _ranges(shear, "shear", (2, 4))
        self.interpolation = as_mode(interpolation)
        self.fill = 0 if fill is None else fill
        self.center = center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """The angle, the shift (x, y), the factor and the shear (x, y), drawn in this order; img_size is [W, H]."""
        angle = uniform(degrees[0], degrees[1])
        shift = (0, 0)
        if translate is not None:
            reach = [float(share * size) for share, size in zip(translate, img_size, strict=True)]
            shift = (round(uniform(-reach[0], reach[0])), round(uniform(-reach[1], reach[1])))
        scale = 1.0 if scale_ranges is None else uniform(scale_ranges[0], scale_ranges[1])
        shear_x = 0.0 if shears is None else uniform(shears[0], shears[1])
        shear_y = 0.0 if shears is None or len(shears) < 4 else uniform(shears[2], shears[3])
        return angle, shift, scale, (shear_x, shear_y)

    def __call__(self, img: Any) -> Any:
        size = functional.get_image_size(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return functional.affine(img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        parts += [
            f"{name}={getattr(self, name)}"
            for name in ("translate", "scale", "shear")
            if getattr(self, name) is not None
        ]
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _ranges(given: Any, name: str, lengths: tuple[int, ...]) -> list[float]:
    """A list of floats; of one number x it is [-x, x]."""
    if isinstance(given, int | float):
        if given < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-given), float(given)]
    expected = " or ".join(map(str, lengths))
    if not isinstance(given, Sequence):
        raise TypeError(f"{name} should be a sequence of length {expected}.")
    if len(given) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {expected}.")
    return [float(each) for each in given]


# --- which transforms to apply ---------------------------------------------------------------------------------


class RandomApply(Several):
    """Applies several transforms, one after the other, with probability p."""

    def __init__(self, transforms: Sequence[Any], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = p

    def __call__(self, img: Any) -> Any:
        if self.p < chance():
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = [f"    p={self.p}", *(f"    {each}" for each in self.transforms)]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class RandomOrder(Several):
    """Applies all transforms in an order drawn from Python's random stream, as in torchvision."""

    def __init__(self, transforms: Sequence[Any]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        super().__init__(transforms)

    def __call__(self, img: Any) -> Any:
        order = [*range(len(self.transforms))]
        python_random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(RandomOrder):
    """Applies one of the transforms, chosen by Python's random stream, as in torchvision; p are weights."""

    def __init__(self, transforms: Sequence[Any], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        return python_random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
