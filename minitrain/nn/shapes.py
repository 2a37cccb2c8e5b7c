"""Layers without Parameters that pass on, drop or reshape: Identity, Unflatten, Dropout1d, Dropout2d; padding."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minitrain.nn.checks import check_probability, check_tensors
from minitrain.nn.function_module import FunctionModule
from minitrain.nn.layers import Dropout
from minitrain.nn.module import Module
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.arguments import check_broadcast
from minitrain.torchlike.grad_mode import no_grad


class Identity(Module):
    """Its input. Arguments are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """input."""
        return input


class Unflatten(FunctionModule):
    """The axis dim taken apart into unflattened_size."""

    function = staticmethod(Tensor.unflatten)
    arguments = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)


def _drop_channels(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if p == 0 or not training or input.numel() == 0:
        return input
    shape = (*input.array.shape[:2], *(1,) * (input.ndim - 2))
    kept = random.bernoulli(shape, 1 - p) if p < 1 else np.zeros(shape)
    scale = wrap(np.asarray(kept.astype(input.dtype) / input.dtype.type(1 - p if p < 1 else 1)))
    return input.mul_(scale) if inplace else input * scale


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """dropout of whole channels of (N, C, L) or (C, L)."""
    check_probability(p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. It drops whole channels of (N, "
            "C, L) or (C, L); dropout drops single elements."
        )
    if input.ndim == 2:
        dropped = _drop_channels(input.unsqueeze(0), p, training, inplace)
        return input if inplace else dropped.squeeze(0)
    return _drop_channels(input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """dropout of whole channels of (N, C, H, W); of (N, C) and (N, C, L), with a warning."""
    check_probability(p)
    if input.ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated and will result in an error "
            "in a future release. To drop single elements, use dropout.",
            stacklevel=2,
        )
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L). Use dropout1d for this.",
            stacklevel=2,
        )
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input; use dropout.")
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
    """input with a border: pad is (left, right) of the last axis, then (top, bottom), and so on.

    mode: "constant", of value; "reflect" mirrors the input at its edge, "replicate" repeats the edge, "circular" begins
    again at the other side.
    """
    check_tensors("pad", input=input)
    if mode != "constant":
        return _padded_with_itself(input, pad, mode)
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


MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # with NumPy's names


def _padded_with_itself(input: Tensor, pad: Sequence[int], mode: str) -> Tensor:
    """A border of input's own values: along each axis, the places to take them from."""
    if mode not in MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}; expected constant, {', '.join(MODES)}.")
    if len(pad) % 2 or len(pad) // 2 not in (input.ndim - 1, input.ndim - 2):
        raise NotImplementedError(f"{mode} padding pads all axes after the channels, but got {pad} for {input.ndim}D")
    for i in range(len(pad) // 2):
        axis, border = input.ndim - 1 - i, (pad[2 * i], pad[2 * i + 1])
        size = input.array.shape[axis]
        most = {"reflect": size - 1, "circular": size}.get(mode, max(border))
        if min(border) < 0 or max(border) > most:
            raise RuntimeError(f"Padding size should be less than the input's, {size}, but got {border} ({mode})")
        numpys: Any = MODES[mode]
        input = input.index_select(axis, wrap(np.pad(np.arange(size), border, mode=numpys)))
    return input


class ZeroPad2d(Module):
    """A border of zeros: padding is one number or (left, right, top, bottom)."""

    mode: ClassVar[str] = "constant"
    value: float | None = None
    axes: ClassVar[int] = 2

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = (padding,) * 2 * self.axes if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        """The larger input."""
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(‖input‖_p, eps) along dim."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) along dim."""
    check_broadcast(x1.array.shape, x2.array.shape)
    shape = np.broadcast_shapes(x1.array.shape, x2.array.shape)
    directions = []
    for x in (x1.expand(shape), x2.expand(shape)):
        size = x.norm(2, dim, keepdim=True).clone()
        with no_grad():  # as torch: the gradient is that of the size itself, also below eps
            size.clamp_min_(eps)
        directions.append(x / size)
    return (directions[0] * directions[1]).sum(dim)


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


class ZeroPad1d(ZeroPad2d):
    """A border of zeros: padding is one number or (left, right)."""

    axes = 1


class ConstantPad2d(ZeroPad2d):
    """A border of value."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The border and its value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad2d):
    """A border of value for sequences."""

    axes = 1


class ReflectionPad2d(ZeroPad2d):
    """A border that mirrors the input at its edge."""

    mode = "reflect"


class ReflectionPad1d(ReflectionPad2d):
    """A border that mirrors a sequence at its ends."""

    axes = 1


class ReplicationPad2d(ZeroPad2d):
    """A border that repeats the input's edge."""

    mode = "replicate"


class ReplicationPad1d(ReplicationPad2d):
    """A border that repeats a sequence's ends."""

    axes = 1
