"""Normalization by magnitude, without a mean: RMSNorm and LocalResponseNorm, as functions and as Modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.nn.shapes import pad
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.arguments import as_dtype, get_default_dtype


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / √(mean(x²) + eps) · weight, the mean over the last axes, normalized_shape.

    eps: the dtype's machine epsilon if None. Source: Zhang and Sennrich, arXiv:1910.07467, 2019.
    Raises RuntimeError unless input ends with normalized_shape.
    """
    sizes = tuple(normalized_shape)
    if input.array.shape[max(input.array.ndim - len(sizes), 0) :] != sizes:
        raise RuntimeError(
            f"Given normalized_shape={list(sizes)}, expected input with shape [*"
            f"{', '.join(map(str, sizes))}], but got input of size{list(input.shape)}"
        )
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    axes = tuple(range(-len(sizes), 0))
    y = input * ((input * input).mean(axes, keepdim=True) + eps).rsqrt()
    return y if weight is None else y * weight


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha · mean(x²))^beta, the mean over `size` neighbouring channels; those beyond the edge count as 0.

    input (N, C, ...). Source: Krizhevsky, Sutskever and Hinton, 2012.
    """
    if input.array.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.array.ndim} dimensions): (N, C, ...)")
    border = (0, 0) * (input.array.ndim - 2) + (size // 2, (size - 1) // 2)
    near = pad(input * input, border).unfold(1, size, 1).mean(-1)
    return input / (near * alpha + k).pow(beta)


class RMSNorm(Module):
    """x / √(mean(x²) + eps) over the last axes, normalized_shape, with a learned weight of that shape."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = sizes, eps, elementwise_affine
        ones = np.ones(sizes, get_default_dtype() if dtype is None else as_dtype(dtype))
        self.register_parameter("weight", Parameter(wrap(ones)) if elementwise_affine else None)

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """x / (k + alpha · mean(x²))^beta over `size` neighbouring channels: (N, C, ...) in its shape."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
