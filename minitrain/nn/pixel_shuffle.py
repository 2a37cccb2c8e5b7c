"""PixelShuffle and PixelUnshuffle: channels become pixels, and pixels channels."""

from __future__ import annotations

from minitrain.nn.function_module import FunctionModule
from minitrain.tensor import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C · r², H, W) -> (..., C, H · r, W · r): each r² channels become a square of r x r pixels.

    Source: Shi et al., arXiv:1609.05158, 2016. Raises RuntimeError unless r² divides the channels.
    """
    *batch, channels, H, W = _checked("pixel_shuffle", input, upscale_factor)
    r = upscale_factor
    if channels % r**2:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r**2}"
        )
    x = input.reshape(-1, channels // r**2, r, r, H, W).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(*batch, channels // r**2, H * r, W * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H · r, W · r) -> (..., C · r², H, W), the inverse of pixel_shuffle."""
    *batch, channels, height, width = _checked("pixel_unshuffle", input, downscale_factor)
    r = downscale_factor
    for name, axis, size in (("height", -2, height), ("width", -1, width)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({axis})={size} "
                f"is not divisible by {r}"
            )
    x = input.reshape(-1, channels, height // r, r, width // r, r).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(*batch, channels * r**2, height // r, width // r)


def _checked(name: str, input: Tensor, factor: int) -> tuple[int, ...]:
    if input.array.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.array.ndim} dimension(s)"
        )
    if factor < 1:
        raise RuntimeError(
            f"{name} expects a positive {'up' if name == 'pixel_shuffle' else 'down'}scale_factor, but got {factor}"
        )
    return input.array.shape


class PixelShuffle(FunctionModule):
    """(..., C · r², H, W) -> (..., C, H · r, W · r)."""

    function = staticmethod(pixel_shuffle)
    arguments = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor


class PixelUnshuffle(FunctionModule):
    """(..., C, H · r, W · r) -> (..., C · r², H, W)."""

    function = staticmethod(pixel_unshuffle)
    arguments = ("downscale_factor",)

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor
