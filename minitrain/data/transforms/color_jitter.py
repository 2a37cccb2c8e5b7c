"""ColorJitter: random brightness, contrast, saturation and hue. Its draws are torchvision's, bit for bit."""

from collections.abc import Sequence
from typing import Any

from minitrain.data.transforms import colors
from minitrain.data.transforms.random_transforms import uniform
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.not_offered import ChecksKeywords

Range = tuple[float, float] | None
ADJUSTMENTS = (colors.adjust_brightness, colors.adjust_contrast, colors.adjust_saturation, colors.adjust_hue)


class ColorJitter(ChecksKeywords):
    """Changes an image's colours at random, in random order.

    Args:
        brightness, contrast, saturation: the factor is drawn from [max(0, 1 - x), 1 + x], or from a pair (min, max).
        hue: the turn of the colour circle is drawn from [-x, x], x at most 0.5, or from a pair.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = _range(brightness, "brightness", 1, (0, float("inf")))
        self.contrast = _range(contrast, "contrast", 1, (0, float("inf")))
        self.saturation = _range(saturation, "saturation", 1, (0, float("inf")))
        self.hue = _range(hue, "hue", 0, (-0.5, 0.5))

    @staticmethod
    def get_params(
        brightness: Range, contrast: Range, saturation: Range, hue: Range
    ) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four adjustments, then the factor of each; None for one that is left out."""
        order = wrap(random.randperm(4))
        b, c, s, h = (None if each is None else uniform(*each) for each in (brightness, contrast, saturation, hue))
        return order, b, c, s, h

    def __call__(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        for place in order.tolist():
            if (factor := factors[place]) is not None:
                img = ADJUSTMENTS[place](img, factor)
        return img

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)}" for name in ("brightness", "contrast", "saturation", "hue"))
        return f"{type(self).__name__}({parts})"


def _range(given: Any, name: str, center: float, bound: tuple[float, float]) -> Range:
    if isinstance(given, int | float):
        if given < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(given), center + float(given)
        low = max(low, 0.0) if center else low
    elif isinstance(given, tuple | list) and len(given) == 2:
        low, high = float(given[0]), float(given[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= low <= high <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
    return None if low == high == center else (low, high)
