"""Layers without Parameters that pass on, drop or reshape: Identity, Unflatten, Dropout1d, Dropout2d; padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.nn.checks import check_probability
from minitrain.nn.layers import Dropout
from minitrain.nn.module import Module
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.arguments import as_axis


class Identity(Module):
    """Its input. Arguments are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """input."""
        return input


class Unflatten(Module):
    """The axis dim taken apart into unflattened_size."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """Unflatten input."""
        axis = as_axis(self.dim, input.ndim)
        shape = input.array.shape
        return input.reshape(*shape[:axis], *self.unflattened_size, *shape[axis + 1 :])

    def extra_repr(self) -> str:
        """The axis and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _drop_channels(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    check_probability(p)
    if p == 0 or not training or input.numel() == 0:
        return input
    shape = (*input.array.shape[:2], *(1,) * (input.ndim - 2))
    kept = random.bernoulli(shape, 1 - p) if p < 1 else np.zeros(shape)
    scale = wrap(np.asarray(kept.astype(input.dtype) / input.dtype.type(1 - p if p < 1 else 1)))
    return input.mul_(scale) if inplace else input * scale


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """dropout of whole channels of (N, C, L)."""
    return _drop_channels(input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """dropout of whole channels of (N, C, H, W)."""
    return _drop_channels(input, p, training, inplace)


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L)."""

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """Dropout of whole channels of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return dropout2d(input, self.p, self.training, self.inplace)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with a border of value: pad is (left, right) of the last axis, then (top, bottom), and so on."""
    if mode != "constant":
        raise NotImplementedError(f"pad(mode={mode!r}) is not offered; pad with a constant.")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise RuntimeError(f"Padding length should be an even number up to {2 * input.ndim}, but got {len(pad)}")
    shape, inside = list(input.array.shape), [slice(None)] * input.ndim
    for i in range(len(pad) // 2):
        before, after = pad[2 * i], pad[2 * i + 1]
        if before < 0 or after < 0:
            raise NotImplementedError("negative padding is not offered; slice the Tensor instead.")
        axis = input.ndim - 1 - i
        inside[axis] = slice(before, before + shape[axis])
        shape[axis] += before + after
    result = wrap(np.full(shape, value or 0, input.dtype))
    result[tuple(inside)] = input
    return result


class ZeroPad2d(Module):
    """A border of zeros: padding is one number or (left, right, top, bottom)."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        """The larger input."""
        return pad(input, self.padding)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(‖input‖_p, eps) along dim."""
    size = (input.abs() ** p).sum(dim, keepdim=True) ** (1 / p)
    return input / size.clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) along dim."""
    sizes = [(x * x).sum(dim).sqrt().clamp(min=eps) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (sizes[0] * sizes[1])


class CosineSimilarity(Module):
    """The cosine of the angle between two vectors along dim."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The similarity along dim."""
        return cosine_similarity(x1, x2, self.dim, self.eps)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """(Σ |x1 - x2 + eps|ᵖ)^(1/p) along the last axis."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


class PairwiseDistance(Module):
    """The distance of two vectors along the last axis, by the p-norm."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distances."""
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
