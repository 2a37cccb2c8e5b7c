"""Convolution and pooling: conv1d, conv2d, max, average and adaptive pooling, as functions and as Modules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minitrain import ops
from minitrain.nn import init
from minitrain.nn.function_module import FunctionModule
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.nn.shapes import MODES, pad
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import as_dtype, get_default_dtype
from minitrain.torchlike.device import device as Device

Size = int | Sequence[int]
Pair = tuple[int, int]


def _pair(value: Size | str, name: str) -> Pair:
    numbers: tuple[Any, ...] = (value, value) if isinstance(value, int) else tuple(value)
    if len(numbers) == 1:
        numbers = (numbers[0], numbers[0])
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise RuntimeError(f"{name} must be an int or a pair of ints, but got {value!r}")
    least = 1 if name in ("kernel_size", "stride", "dilation") else 0
    if min(numbers) < least:
        raise RuntimeError(f"{name} must be at least {least}, but got {value!r}")
    return numbers[0], numbers[1]


def _batched(name: str, input: Tensor, axes: int, channels: int | None = None) -> tuple[Tensor, bool]:
    """input with a batch axis, and whether it lacked one. Raises RuntimeError for another number of axes."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if input.ndim not in (axes, axes + 1):
        raise RuntimeError(
            f"Expected {axes}D (unbatched) or {axes + 1}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )
    lacks = input.ndim == axes
    x = input.unsqueeze(0) if lacks else input
    if channels is not None and x.array.shape[1] != channels:
        raise RuntimeError(
            f"{name} expected an input with {channels} channels, (N, {channels}, ...), but got one of shape "
            f"{list(input.shape)}."
        )
    return x, lacks


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, o, i, j] = b[o] + Σ_cpq W[o, c, p, q] · x[n, c, i · stride + p, j · stride + q].

    input (N, C, H, W) or (C, H, W), weight (O, C / groups, kH, kW), bias (O,) -> (N, O, H', W'), where
    H' = (H + 2 · padding - dilation · (kH - 1) - 1) / stride + 1, rounded down.
    Raises RuntimeError if shapes or dtypes do not fit.
    """
    x, lacks_batch = _batched("conv2d", input, 3, weight.array.shape[1] * groups)
    kernel, steps, spread = weight.array.shape[2:], _pair(stride, "stride"), _pair(dilation, "dilation")
    border = _border(padding, kernel, steps, spread)
    if padding == "same" and (more := [spread[i] * (kernel[i] - 1) % 2 for i in (1, 0)]) != [0, 0]:
        warnings.warn(
            "Using padding='same' with even kernel lengths and odd dilation may require a zero-padded copy of the "
            "input be created",
            stacklevel=3,
        )
        x = pad(x, (0, more[0], 0, more[1]))  # an even kernel reaches one place further to the right, and below
    for other in (weight, bias):
        if other is not None and other.dtype != x.dtype:
            raise RuntimeError(f"Input type ({x.dtype}) and weight type ({other.dtype}) should be the same")
    for i in (0, 1):
        reach, size = spread[i] * (kernel[i] - 1) + 1, x.array.shape[2 + i] + 2 * border[i]
        if size < reach:
            raise RuntimeError(
                f"Kernel size can't be greater than actual input size: the kernel reaches over {reach}, the padded "
                f"input has {size}; input {list(input.shape)}"
            )
    y = apply(ops.Conv2d, x, weight, bias, stride=steps, padding=border, dilation=spread, groups=groups)
    return y.squeeze(0) if lacks_batch else y


def _border(padding: Size | str, kernel: Sequence[int], stride: Pair, dilation: Pair) -> Pair:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
        if stride != (1, 1):
            raise ValueError("padding='same' is not supported for strided convolutions")
        return total[0] // 2, total[1] // 2
    if isinstance(padding, str):
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    return _pair(padding, "padding")


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """conv2d of images of one row: input (N, C, L) or (C, L), weight (O, C / groups, k) -> (N, O, L')."""
    x, lacks_batch = _batched("conv1d", input, 2, weight.array.shape[1] * groups)
    step, spread = (_pair(value, "stride")[1] for value in (stride, dilation))
    border = padding if isinstance(padding, str) else (0, _pair(padding, "padding")[1])
    y = conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, (1, step), border, (1, spread), groups).squeeze(2)
    return y.squeeze(0) if lacks_batch else y


# --- pooling ----------------------------------------------------------------------------------------------------------


def _pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> tuple[int, int]:
    """How many windows there are along an axis, and how far the last one reaches beyond the padded input."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:  # a window must begin in the input or its left padding
        count -= 1
    return count, max(0, (count - 1) * stride - room)


def _check_padding(kernel: Pair, padding: Pair) -> None:
    if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got {padding} and {kernel}")


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest value of each window: (N, C, H, W) or (C, H, W) -> (N, C, H', W'). stride: kernel_size if None."""
    if return_indices:
        raise NotImplementedError("return_indices=True is not offered; use x.argmax on the windows you need.")
    x, lacks_batch = _batched("max_pool2d", input, 3)
    kernel, spread, border = _pair(kernel_size, "kernel_size"), _pair(dilation, "dilation"), _pair(padding, "padding")
    steps = kernel if stride is None or stride == [] else _pair(stride, "stride")
    _check_padding(kernel, border)
    counts = [_pooled_size(x.array.shape[2 + i], kernel[i], steps[i], border[i], spread[i], ceil_mode) for i in (0, 1)]
    _require_windows("max_pool2d", input, counts)
    beyond = counts[0][1], counts[1][1]
    y = apply(ops.MaxPool2d, x, size=kernel, stride=steps, padding=border, dilation=spread, ceil=beyond)
    return y.squeeze(0) if lacks_batch else y


def _require_windows(name: str, input: Tensor, counts: list[tuple[int, int]]) -> None:
    if any(count < 1 for count, _ in counts):
        raise RuntimeError(
            f"{name}: Given input size {list(input.shape)}, the output size would be {[count for count, _ in counts]}. "
            "Output size is too small: use a smaller kernel, or a larger input."
        )


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window: (N, C, H, W) or (C, H, W) -> (N, C, H', W'). stride: kernel_size if None.

    count_include_pad: whether the padding's zeros count. divisor_override: what to divide by instead.
    """
    x, lacks_batch = _batched("avg_pool2d", input, 3)
    kernel, border = _pair(kernel_size, "kernel_size"), _pair(padding, "padding")
    steps = kernel if stride is None or stride == [] else _pair(stride, "stride")
    _check_padding(kernel, border)
    counts = [_pooled_size(x.array.shape[2 + i], kernel[i], steps[i], border[i], 1, ceil_mode) for i in (0, 1)]
    _require_windows("avg_pool2d", input, counts)
    lengths = []
    for i, (count, _) in enumerate(counts):
        size = x.array.shape[2 + i]
        begin = np.arange(count) * steps[i] - border[i]
        end = np.minimum(begin + kernel[i], size + border[i])
        lengths.append(end - begin if count_include_pad else np.minimum(end, size) - np.maximum(begin, 0))
    divisor = np.multiply.outer(lengths[0], lengths[1]).astype(x.dtype)
    if divisor_override is not None:
        divisor[...] = divisor_override
    beyond = counts[0][1], counts[1][1]
    y = apply(ops.AvgPool2d, x, wrap(divisor), size=kernel, stride=steps, padding=border, ceil=beyond)
    return y.squeeze(0) if lacks_batch else y


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """max_pool2d of images of one row: (N, C, L) or (C, L) -> (N, C, L')."""
    kernel, border, spread = (_pair(value, "size")[1] for value in (kernel_size, padding, dilation))
    step = kernel if stride is None else _pair(stride, "stride")[1]
    pooled = max_pool2d(
        input.unsqueeze(-2), (1, kernel), (1, step), (0, border), (1, spread), ceil_mode, return_indices
    )
    return pooled.squeeze(-2)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen such that output_size (H', W') of them cover the input; None keeps a size."""
    return _adaptive(input, output_size, lambda window: window.mean((-2, -1)))


def adaptive_max_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Maxima over windows chosen such that output_size (H', W') of them cover the input; None keeps a size."""
    return _adaptive(input, output_size, lambda window: window.amax((-2, -1)))


def _adaptive(input: Tensor, output_size: Any, reduce: Any) -> Tensor:
    wanted = (output_size, output_size) if isinstance(output_size, int | None) else tuple(output_size)
    sizes = input.array.shape[-2:]
    counts = [size if count is None else count for size, count in zip(sizes, wanted, strict=True)]
    edges = [
        [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        for size, count in zip(sizes, counts, strict=True)
    ]
    rows = [
        _stacked([reduce(input[..., top:bottom, left:right]) for left, right in edges[1]], -1)
        for top, bottom in edges[0]
    ]
    return _stacked(rows, -2)


def _stacked(parts: list[Tensor], dim: int) -> Tensor:
    joined = [part.unsqueeze(dim) for part in parts]
    return apply(ops.Cat, *joined, dim=joined[0].ndim + dim)


# --- Modules ----------------------------------------------------------------------------------------------------------


class _Conv(Module):
    """What convolutions share: weight (O, C / groups, *kernel) and bias (O,), torch's bits after manual_seed.

    transposed: weight is (C, O / groups, *kernel).
    """

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    output_padding: Pair = (0, 0)  # of transposed ones

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if device is not None:
            Device(device)
        modes = ["zeros"] if self.transposed else ["zeros", *MODES]
        if padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {', '.join(modes)}, but got {padding_mode!r}")
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError(f"in_channels {in_channels} and out_channels {out_channels} must be divisible by {groups}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = (
            self._sizes(value, name)
            for value, name in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
        )
        self.padding = padding if isinstance(padding, str) else self._sizes(padding, "padding")
        self.padding_mode = padding_mode
        float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(wrap(np.empty((first, second // groups, *self.kernel_size), float_type)))
        self.bias: Parameter | None
        if bias:
            self.bias = Parameter(wrap(np.empty(out_channels, float_type)))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _sizes(self, value: Size, name: str) -> tuple[int, ...]:
        return _pair(value, name)[-self.axes :]

    def _bordered(self, input: Tensor) -> tuple[Tensor, Size | str]:
        """The input and the zeros still to add; with another padding_mode the border is input's own values."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        else:
            total = [0] * self.axes if isinstance(self.padding, str) else [2 * p for p in self._sizes(self.padding, "")]
        border = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
        return pad(input, border, self.padding_mode), 0

    def reset_parameters(self) -> None:
        """Draw weight and bias again, evenly from ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.array.shape[1:])
            bound = 1 / math.sqrt(fan_in) if fan_in else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what is not the default."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.axes:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.axes:
            text += f", dilation={self.dilation}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else text + f", padding_mode={self.padding_mode}"


class Conv2d(_Conv):
    """Convolution of images: (N, C, H, W) or (C, H, W) -> (N, O, H', W'). See ops/convolution.py."""

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """input (N, in_channels, H, W) -> (N, out_channels, H', W')."""
        x, padding = self._bordered(input)
        return conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Convolution of sequences: (N, C, L) or (C, L) -> (N, O, L')."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """input (N, in_channels, L) -> (N, out_channels, L')."""
        x, padding = self._bordered(input)
        return conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class MaxPool2d(FunctionModule):
    """The largest value of each window: (N, C, H, W) -> (N, C, H', W')."""

    function = staticmethod(max_pool2d)
    arguments = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    shown = arguments[:-1]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode


class MaxPool1d(MaxPool2d):
    """The largest value of each window: (N, C, L) -> (N, C, L')."""

    function = staticmethod(max_pool1d)


class AvgPool2d(FunctionModule):
    """The mean of each window: (N, C, H, W) -> (N, C, H', W')."""

    function = staticmethod(avg_pool2d)
    arguments = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    shown = arguments[:3]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override


class AdaptiveAvgPool2d(FunctionModule):
    """Means over output_size (H', W') windows that cover the input."""

    function = staticmethod(adaptive_avg_pool2d)
    arguments = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class AdaptiveMaxPool2d(AdaptiveAvgPool2d):
    """Maxima over output_size (H', W') windows that cover the input."""

    function = staticmethod(adaptive_max_pool2d)
