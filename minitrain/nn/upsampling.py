"""Layers that make pictures larger: transposed convolution and interpolation, as functions and as Modules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.nn.convolution import Pair, Size, _batched, _Conv, _pair, adaptive_avg_pool2d, conv2d
from minitrain.nn.function_module import FunctionModule
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y[n, o, i · stride + p, j · stride + q] += x[n, c, i, j] · W[c, o, p, q]: the transpose of conv2d.

    It is conv2d of x with stride - 1 zeros between its values, a border, and the kernel turned by 180 degrees:

        x        stride 2    border 1, kernel 2 x 2
        a b      a 0 b       0 0 0 0 0         y[0, 0] = a · W[0, 0]
        c d      0 0 0       0 a 0 b 0         y[0, 1] = a · W[0, 1]
                 c 0 d       0 0 0 0 0 ...

    input (N, C, H, W) or (C, H, W), weight (C, O / groups, kH, kW), bias (O,) -> (N, O, H', W'), where
    H' = (H - 1) · stride - 2 · padding + dilation · (kH - 1) + output_padding + 1.
    """
    x, lacks_batch = _batched("conv_transpose2d", input, 3, weight.array.shape[0])
    steps, border, spread = _pair(stride, "stride"), _pair(padding, "padding"), _pair(dilation, "dilation")
    extra = _pair(output_padding, "output_padding")
    if any(extra[i] >= max(steps[i], spread[i]) for i in (0, 1)):
        raise RuntimeError(
            f"output padding must be smaller than either stride or dilation, but got output_padding={extra}, "
            f"stride={steps}, dilation={spread}"
        )
    C, out, *kernel = weight.array.shape
    N, _, H, W = x.array.shape
    before = [spread[i] * (kernel[i] - 1) - border[i] for i in (0, 1)]
    size = [(n - 1) * steps[i] + 1 for i, n in enumerate((H, W))]
    total = [size[i] + 2 * before[i] + extra[i] for i in (0, 1)]
    # Where x's values come to lie; a negative border cuts off its outermost ones.
    places = [before[i] + steps[i] * np.arange(n) for i, n in enumerate((H, W))]
    kept = [np.flatnonzero((places[i] >= 0) & (places[i] < total[i])) for i in (0, 1)]
    seen, spaced = (
        (..., slice(rows[0], rows[-1] + 1, step[0]), slice(columns[0], columns[-1] + 1, step[1]))
        for (rows, columns), step in ((kept, (1, 1)), ([places[i][kept[i]] for i in (0, 1)], steps))
    )
    wide = wrap(np.zeros((N, C, *total), x.dtype))
    wide[spaced] = x[seen]
    turned = weight.flip(2, 3).reshape(groups, C // groups, out, *kernel).transpose(1, 2)
    y = conv2d(wide, turned.reshape(groups * out, C // groups, *kernel), bias, dilation=spread, groups=groups)
    return y.squeeze(0) if lacks_batch else y


class ConvTranspose2d(_Conv):
    """Transposed convolution of images, also called deconvolution: (N, C, H, W) -> (N, O, H', W'), larger by stride."""

    axes, transposed = 2, True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = padding, dilation, groups, bias, padding_mode, device, dtype
        super().__init__(in_channels, out_channels, kernel_size, stride, *options)
        self.output_padding = _pair(output_padding, "output_padding")

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """input (N, in_channels, H, W) -> (N, out_channels, H', W'). output_size (H', W'): instead of output_padding.

        Raises ValueError if no output_padding gives output_size.
        """
        extra = self.output_padding if output_size is None else self._padding_for(input, tuple(output_size)[-2:])
        border = _pair(self.padding, "padding")
        return conv_transpose2d(input, self.weight, self.bias, self.stride, border, extra, self.groups, self.dilation)

    def _padding_for(self, input: Tensor, wanted: tuple[int, ...]) -> Pair:
        border = _pair(self.padding, "padding")
        smallest = [
            (n - 1) * self.stride[i] - 2 * border[i] + self.dilation[i] * (self.kernel_size[i] - 1) + 1
            for i, n in enumerate(input.array.shape[-2:])
        ]
        extra = [size - least for size, least in zip(wanted, smallest, strict=True)]
        if any(not 0 <= extra[i] < self.stride[i] for i in (0, 1)):
            largest = [least + step - 1 for least, step in zip(smallest, self.stride, strict=True)]
            raise ValueError(
                f"requested an output size of {list(wanted)}, but valid sizes range from {smallest} to {largest} (for "
                f"an input of {list(input.shape)})"
            )
        return extra[0], extra[1]


# --- interpolation ----------------------------------------------------------------------------------------------------

MODES = {
    "nearest": (1, 2),
    "linear": (1,),
    "bilinear": (2,),
    "area": (2,),
}  # with the number of axes after the channels


def interpolate(
    input: Tensor,
    size: Size | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """input (N, C, L) or (N, C, H, W) in another size, or scale_factor times as large.

    mode: "nearest" repeats values; "linear" and "bilinear" lie on the line between two; "area" takes means.
    align_corners: whether the outermost values stay outermost, or the pictures' edges do (False).
    """
    axes = input.ndim - 2
    if antialias or axes not in MODES.get(mode, ()):
        raise NotImplementedError(
            f"interpolate(mode={mode!r}, antialias={antialias}) of {input.ndim} axes is not offered; modes are nearest "
            "(3 or 4 axes), linear (3), bilinear and area (4)."
        )
    if align_corners is not None and mode in ("nearest", "area"):
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear")
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined")
    old = input.array.shape[2:]
    sizes = (size,) * axes if isinstance(size, int) else size
    factors = (scale_factor,) * axes if isinstance(scale_factor, int | float) else scale_factor
    if len(sizes or factors or ()) != axes:
        raise ValueError(f"Input and output must have the same number of spatial dimensions, {axes}")
    new = tuple(sizes) if sizes else tuple(math.floor(n * f) for n, f in zip(old, factors or (), strict=True))
    if mode == "area":
        return adaptive_avg_pool2d(input, new)
    exact = factors if factors and not recompute_scale_factor else [None] * axes
    for axis, (count, factor) in enumerate(zip(new, exact, strict=True), start=2):
        n = input.array.shape[axis]
        scale = n / count if factor is None else 1 / factor
        if mode == "nearest":
            places = np.minimum(np.floor(np.arange(count) * np.float32(scale)).astype(np.int64), n - 1)
            input = input.index_select(axis, wrap(places))
        else:
            weights = wrap(_line_weights(n, count, scale, bool(align_corners)).astype(input.dtype))
            input = weights @ input if axis == input.ndim - 2 else input @ weights.T
    return input


def _line_weights(n: int, count: int, scale: float, align_corners: bool) -> Array:
    """How much of each of n values is in each of count values on the lines between them: (count, n)."""
    if align_corners:
        places = np.arange(count) * ((n - 1) / (count - 1) if count > 1 else 0.0)
    else:
        places = np.maximum((np.arange(count) + 0.5) * scale - 0.5, 0)
    left = np.minimum(places.astype(np.int64), n - 1)
    share = np.clip(places - left, 0, 1)
    weights = np.zeros((count, n))
    np.add.at(weights, (np.arange(count), left), 1 - share)
    np.add.at(weights, (np.arange(count), np.minimum(left + 1, n - 1)), share)
    return weights


class Upsample(FunctionModule):
    """interpolate as a layer."""

    function = staticmethod(interpolate)
    arguments = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor = tuple(map(float, scale_factor)) if isinstance(scale_factor, Sequence) else scale_factor
        if isinstance(scale_factor, int):
            self.scale_factor = float(scale_factor)
        self.recompute_scale_factor = recompute_scale_factor

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample of images by repeating pixels."""

    def __init__(self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample of images on the line between two pixels; the outermost pixels stay outermost."""

    def __init__(self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


def upsample(
    input: Tensor,
    size: Size | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """interpolate under its old name, with torch's warning."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)
