"""Unfold and Fold: an image's windows as columns, and columns added back into an image. A convolution is a product
of its kernels with these columns."""

from __future__ import annotations

import math

import numpy as np

from minitrain.nn.convolution import Pair, Size, _batched, _pair
from minitrain.nn.function_module import FunctionModule
from minitrain.nn.shapes import pad
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap


class _Blocks:
    """Which pixels the windows of a padded image (H, W) hold."""

    def __init__(self, image: Pair, kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> None:
        self.image, self.kernel = image, _pair(kernel_size, "kernel_size")
        self.dilation, self.padding = _pair(dilation, "dilation"), _pair(padding, "padding")
        self.stride = _pair(stride, "stride")
        self.padded = [image[i] + 2 * self.padding[i] for i in (0, 1)]
        spans = [self.dilation[i] * (self.kernel[i] - 1) + 1 for i in (0, 1)]
        self.counts = [(self.padded[i] - spans[i]) // self.stride[i] + 1 for i in (0, 1)]

    def describe(self) -> str:
        """The arguments, for errors."""
        return f"kernel_size={self.kernel}, dilation={self.dilation}, padding={self.padding}"

    def pixels(self) -> Array:
        """The index of each window's pixels in the flattened padded image: (kH · kW, windows)."""
        rows, columns = (
            self.dilation[i] * np.arange(self.kernel[i])[:, None] + self.stride[i] * np.arange(self.counts[i])
            for i in (0, 1)
        )  # (kernel, windows) of each axis
        places = rows[:, None, :, None] * self.padded[1] + columns[None, :, None, :]
        return places.reshape(math.prod(self.kernel), math.prod(self.counts))


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """The windows of an image as columns: (N, C, H, W) -> (N, C · kH · kW, windows); or without N.

    Raises RuntimeError for another number of axes, or if no window fits into the image.
    """
    x, lacks_batch = _batched("unfold", input, 3)
    N, C, H, W = x.array.shape
    blocks = _Blocks((H, W), kernel_size, dilation, padding, stride)
    if min(blocks.counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size ({H}, {W}), {blocks.describe()}, calculated shape of the array of sliding "
            f"blocks as {tuple(blocks.counts)}, but its components must be at least one."
        )
    (up, left), pixels = blocks.padding, blocks.pixels()
    flat = pad(x, (left, left, up, up)).reshape(N, C, -1)
    y = flat[:, :, wrap(pixels)].reshape(N, C * len(pixels), -1)
    return y.squeeze(0) if lacks_batch else y


def fold(
    input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Columns added up where they lie in the image: (N, C · kH · kW, windows) -> (N, C, H, W); or without N.

    The transpose of unfold. Raises RuntimeError unless these are the windows of such an image.
    """
    x, lacks_batch = _batched("fold", input, 2)
    H, W = _pair(output_size, "output_size")
    blocks = _Blocks((H, W), kernel_size, dilation, padding, stride)
    N, rows, windows = x.array.shape
    if rows % math.prod(blocks.kernel):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={blocks.kernel}."
        )
    if windows != math.prod(blocks.counts):
        raise RuntimeError(
            f"Given output_size=({H}, {W}), {blocks.describe()}, stride={blocks.stride}, expected size of input's "
            f"dimension 2 to match the calculated number of sliding blocks {' * '.join(map(str, blocks.counts))} = "
            f"{math.prod(blocks.counts)}, but got input.size(2)={windows}."
        )
    C = rows // math.prod(blocks.kernel)
    zeros = wrap(np.zeros((N, C, math.prod(blocks.padded)), x.dtype))
    y = zeros.index_add(2, wrap(blocks.pixels().ravel()), x.reshape(N, C, -1)).reshape(N, C, *blocks.padded)
    (up, left) = blocks.padding
    y = y[:, :, up : up + H, left : left + W]
    return y.squeeze(0) if lacks_batch else y


class Unfold(FunctionModule):
    """The windows of images as columns: (N, C, H, W) -> (N, C · kH · kW, windows)."""

    function = staticmethod(unfold)
    arguments = ("kernel_size", "dilation", "padding", "stride")

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride


class Fold(FunctionModule):
    """Columns added up where they lie in images: (N, C · kH · kW, windows) -> (N, C, H, W)."""

    function = staticmethod(fold)
    arguments = ("output_size", "kernel_size", "dilation", "padding", "stride")

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride
