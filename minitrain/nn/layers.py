"""Layers: Linear, the activations, Flatten, Dropout, and Sequential, which runs them one after another."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from minitrain.layout import empty_at_line
from minitrain.nn import functional as F
from minitrain.nn import init
from minitrain.nn.checks import check_probability
from minitrain.nn.containers import ListOfModules, named
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.arguments import as_dtype, get_default_dtype
from minitrain.torchlike.device import device as Device


class Linear(Module):
    """y = x Wᵀ + b.

    in_features, out_features: the sizes of x's and y's last axis.
    bias: whether there is a b.
    Shapes: x (..., in_features) -> y (..., out_features).
    Attributes: weight (out_features, in_features) and bias (out_features,), both drawn uniformly from
    [-1/√in_features, 1/√in_features], the weight first: after the same manual_seed they are torch's, bit for bit.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__()
        if device is not None:
            Device(device)
        self.in_features, self.out_features = in_features, out_features
        float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
        # In memory the weight lies as (in, out): BLAS multiplies faster by it, forward and backward.
        self.weight = Parameter(wrap(empty_at_line((in_features, out_features), float_type).T))
        if bias:
            self.bias = Parameter(wrap(np.empty(out_features, float_type)))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # with this a, the bound is 1/√in_features
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """input (..., in_features) -> (..., out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """The axes start_dim to end_dim made one: by default (N, d1, d2, ...) -> (N, d1·d2·...)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Flatten input."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class ReLU(Module):
    """max(x, 0); inplace writes it into x."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """max(input, 0), in input's shape."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """Whether it is in place."""
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """The sigmoid, in input's shape."""
        return input.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """The hyperbolic tangent, in input's shape."""
        return input.tanh()


class Softmax(Module):
    """exp(x) / Σ exp(x) along dim."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Softmax, in input's shape."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - ln Σ exp(x) along dim."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Log-softmax, in input's shape."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Dropout(Module):
    """In training, each value becomes 0 with probability p, else x / (1 - p); in evaluation, x.

    Source: Srivastava et al. (2014). As torch, it scales in training, so that evaluation need not.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Dropout, in input's shape."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Sequential(ListOfModules):
    """Modules one after another: the output of each is the input of the next.

    modules: the Modules, named 0, 1, ...; or one OrderedDict of them, which names them.
    """

    @overload
    def __init__(self, *modules: Module) -> None: ...
    @overload
    def __init__(self, modules: OrderedDict[str, Module], /) -> None: ...
    def __init__(self, *modules: Any) -> None:
        super().__init__()
        for name, module in named(modules).items():
            self.register_module(name, self._checked(module))

    def forward(self, input: Any) -> Any:
        """Run all of them on input."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]  # there is no None among them
        return input

    def _sliced(self, named: list[tuple[str, Module]]) -> Sequential:
        return Sequential(OrderedDict(named))
