"""Average and adaptive pooling of sequences: the pooling of images that have one row."""

from __future__ import annotations

from typing import Any

from minitrain.nn.convolution import (
    AdaptiveAvgPool2d,
    Size,
    _batched,
    _pair,
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
)
from minitrain.nn.function_module import FunctionModule
from minitrain.tensor import Tensor


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window: (N, C, L) or (C, L) -> (N, C, L')."""
    x, lacks_batch = _batched("avg_pool1d", input, 2)
    kernel = _pair(kernel_size, "kernel_size")[1]
    step = kernel if stride is None else _pair(stride, "stride")[1]
    border = _pair(padding, "padding")[1]
    y = avg_pool2d(x.unsqueeze(2), (1, kernel), (1, step), (0, border), ceil_mode, count_include_pad).squeeze(2)
    return y.squeeze(0) if lacks_batch else y


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over output_size windows that cover the input: (N, C, L) or (C, L) -> (N, C, output_size)."""
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, _length(output_size))).squeeze(-2)


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Maxima over output_size windows that cover the input: (N, C, L) or (C, L) -> (N, C, output_size)."""
    return adaptive_max_pool2d(input.unsqueeze(-2), (1, _length(output_size))).squeeze(-2)


def _length(output_size: Any) -> Any:
    return output_size if isinstance(output_size, int) else output_size[0]


class AvgPool1d(FunctionModule):
    """The mean of each window: (N, C, L) -> (N, C, L')."""

    function = staticmethod(avg_pool1d)
    arguments = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    shown = arguments[:3]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = (
            (size,) if isinstance(size, int) else tuple(size)
            for size in (kernel_size, kernel_size if stride is None else stride, padding)
        )
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class AdaptiveAvgPool1d(AdaptiveAvgPool2d):
    """Means over output_size windows that cover the input."""

    function = staticmethod(adaptive_avg_pool1d)


class AdaptiveMaxPool1d(AdaptiveAvgPool2d):
    """Maxima over output_size windows that cover the input."""

    function = staticmethod(adaptive_max_pool1d)
