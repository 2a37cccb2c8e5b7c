"""torch.nn.functional's in-place activations: relu_(x) is relu(x, inplace=True)."""

from __future__ import annotations

from minitrain.nn import activation
from minitrain.nn import functional as F
from minitrain.tensor import Tensor


def relu_(input: Tensor) -> Tensor:
    """relu, written into input."""
    return F.relu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu, written into input."""
    return activation.leaky_relu(input, negative_slope, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu, written into input."""
    return activation.elu(input, alpha, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """celu, written into input."""
    return activation.celu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """selu, written into input."""
    return activation.selu(input, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh, written into input."""
    return activation.hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """threshold, written into input."""
    return activation.threshold(input, threshold, value, inplace=True)
