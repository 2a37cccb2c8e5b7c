"""Activations beyond ReLU: each as a function, and as a Module that applies it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.nn.checks import check_dim, check_tensors
from minitrain.nn.function_module import FunctionModule
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.ops import Function
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import BOOL, as_axis, dtype_name


def require_float(name: str, input: Tensor) -> None:
    """Raise TypeError unless input is a Tensor, NotImplementedError unless it holds floats."""
    check_tensors(name, input=input)
    if not input.is_floating_point():
        raise NotImplementedError(f'"{name}_cpu" not implemented for {dtype_name(input.dtype)!r}; call .float() first.')


def _activate(function: type[Function], input: Tensor, inplace: bool, **options: Any) -> Tensor:
    require_float(function.__name__.lower(), input)
    return input._write(function, **options) if inplace else apply(function, input, **options)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x."""
    return _activate(ops.LeakyReLU, input, inplace, slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (exp x - 1)."""
    return _activate(ops.ELU, input, inplace, alpha=alpha, scale=1.0, rate=1.0)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (exp(x / alpha) - 1)."""
    return _activate(ops.ELU, input, inplace, alpha=alpha, scale=1.0, rate=1 / alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 · (x where x > 0, else 1.6733 · (exp x - 1)). Source: Klambauer et al., arXiv:1706.02515, 2017."""
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return _activate(ops.ELU, input, inplace, alpha=alpha, scale=scale, rate=1.0)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), Φ the normal distribution's cumulative; with approximate="tanh" by a tanh.

    Source: Hendrycks and Gimpel, arXiv:1606.08415, 2016.
    """
    require_float("gelu", input)
    if approximate == "tanh":
        return 0.5 * input * (1 + (math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)).tanh())
    if approximate != "none":
        raise RuntimeError(f"approximate argument must be either none or tanh, but got {approximate!r}")
    half: Tensor = 0.5 * input
    cumulative: Tensor = 1 + (input * math.sqrt(0.5)).erf()
    return half * cumulative


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + exp(-x))."""
    return _activate(ops.SiLU, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(ln(1 + exp x))."""
    require_float("mish", input)
    x = input.clone() if inplace else input  # the product keeps its factors for backward
    result = x * softplus(x).tanh()
    return input.copy_(result) if inplace else result


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + exp(beta · x)) / beta; x where beta · x > threshold."""
    return _activate(ops.Softplus, input, False, beta=beta, threshold=threshold)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x, but at least min_val and at most max_val."""
    check_tensors("hardtanh", input=input)
    if input.dtype == BOOL:
        require_float("hardtanh", input)
    options: dict[str, Any] = {"low": min_val, "high": max_val}
    return input._write(ops.Hardtanh, **options) if inplace else apply(ops.Hardtanh, input, **options)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x, but at least 0 and at most 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    require_float("hardsigmoid", input)
    result = relu6(input + 3) / 6
    return input.copy_(result) if inplace else result


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · relu6(x + 3) / 6."""
    require_float("hardswish", input)
    x = input.clone() if inplace else input
    result = x * relu6(x + 3) / 6
    return input.copy_(result) if inplace else result


def logsigmoid(input: Tensor) -> Tensor:
    """-ln(1 + exp(-x))."""
    return _activate(ops.LogSigmoid, input, False)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1 + input.abs())


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x."""
    return input - input.tanh()


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value; nan stays."""
    result = input.where((input <= threshold).logical_not(), value)
    return input.copy_(result) if inplace else result


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x; weight (C,) has one value for each channel, or (1,) one for all."""
    check_tensors("prelu", input=input, weight=weight)
    if input.dtype != weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}; convert one.")
    if weight.numel() > 1:
        weight = weight.reshape([-1 if axis == 1 else 1 for axis in range(input.ndim)])
    elif input.ndim == 0:
        weight = weight.reshape([])
    return input.where(input > 0, weight * input)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: npt.DTypeLike | None = None) -> Tensor:
    """softmax(-x) along dim."""
    return (-input).softmax(check_dim("softmin", dim, input.ndim), dtype)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), a and b the halves of x along dim."""
    require_float("glu", input)
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    axis = as_axis(dim, input.ndim)
    if input.shape[axis] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {input.shape[axis]}")
    first, second = input.chunk(2, axis)
    return first * second.sigmoid()


class LeakyReLU(FunctionModule):
    """x where x > 0, else negative_slope · x."""

    function = staticmethod(leaky_relu)
    arguments = ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace


class ELU(FunctionModule):
    """x where x > 0, else alpha · (exp x - 1)."""

    function = staticmethod(elu)
    arguments = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace


class CELU(ELU):
    """x where x > 0, else alpha · (exp(x / alpha) - 1)."""

    function = staticmethod(celu)


class _InPlace(FunctionModule):
    arguments = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class SELU(_InPlace):
    """ELU with the constants that keep mean 0 and variance 1."""

    function = staticmethod(selu)


class SiLU(_InPlace):
    """x / (1 + exp(-x))."""

    function = staticmethod(silu)


class Mish(_InPlace):
    """x · tanh(ln(1 + exp x))."""

    function = staticmethod(mish)


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6."""

    function = staticmethod(hardsigmoid)


class Hardswish(_InPlace):
    """x · relu6(x + 3) / 6."""

    function = staticmethod(hardswish)


class LogSigmoid(FunctionModule):
    """-ln(1 + exp(-x))."""

    function = staticmethod(logsigmoid)


class Softsign(FunctionModule):
    """x / (1 + |x|)."""

    function = staticmethod(softsign)


class Tanhshrink(FunctionModule):
    """x - tanh x."""

    function = staticmethod(tanhshrink)


class GELU(FunctionModule):
    """x · Φ(x), Φ the normal distribution's cumulative."""

    function = staticmethod(gelu)
    arguments = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Softplus(FunctionModule):
    """ln(1 + exp(beta · x)) / beta; x where beta · x > threshold."""

    function = staticmethod(softplus)
    arguments = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Hardtanh(FunctionModule):
    """x, but at least min_val and at most max_val."""

    function = staticmethod(hardtanh)
    arguments = ("min_val", "max_val", "inplace")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if max_val <= min_val:
            raise ValueError(f"max_val must be larger than min_val, but they are {max_val} and {min_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class ReLU6(Hardtanh):
    """x, but at least 0 and at most 6."""

    shown = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Threshold(FunctionModule):
    """x where x > threshold, else value."""

    function = staticmethod(threshold)
    arguments = ("threshold", "value", "inplace")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace


class PReLU(Module):
    """x where x > 0, else weight · x, with a learned weight: one for all, or one for each channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(wrap(np.full(num_parameters, init, dtype or np.float32)))

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


class Softmin(FunctionModule):
    """softmax(-x) along dim."""

    function = staticmethod(softmin)
    arguments = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class GLU(FunctionModule):
    """a · sigmoid(b), a and b the halves of x along dim."""

    function = staticmethod(glu)
    arguments = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim
