"""Sum, mean and maximum over axes. dim is a tuple of axes; the result keeps them with size 1 if keepdim."""

from __future__ import annotations

import math

import numpy as np

from minitrain.layout import pairwise_sum
from minitrain.ops.function import Array, Context, Function, Gradients


def _expanded(reduced: Array, ctx: Context) -> Array:
    """A reduction's result or gradient with its lost axes back, at size 1."""
    return reduced if ctx.keepdim else np.expand_dims(reduced, ctx.dim)


class Sum(Function):
    """y = Σ x over dim;  dL/dx = dL/dy, repeated along dim."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.shape, ctx.dim, ctx.keepdim = x.shape, dim, keepdim
        return pairwise_sum(x, dim, keepdim).astype(x.dtype, copy=False)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.broadcast_to(_expanded(grad_y, ctx), ctx.shape)


class Mean(Function):
    """y = 1/n · Σ x over dim, n values each;  dL/dx = dL/dy / n, repeated along dim."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.shape, ctx.dim, ctx.keepdim = x.shape, dim, keepdim
        ctx.n = math.prod([x.shape[axis] for axis in dim])
        return np.asarray(pairwise_sum(x, dim, keepdim) / x.dtype.type(ctx.n))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.broadcast_to(_expanded(grad_y / ctx.n, ctx), ctx.shape)


class Var(Function):
    """y = Σ (x - mean)² / (n - correction) over dim;  dL/dx = dL/dy · 2 (x - mean) / (n - correction)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> Array:
        ctx.dim, ctx.keepdim = dim, keepdim
        n = math.prod([x.shape[axis] for axis in dim])
        ctx.n, ctx.divisor = n, x.dtype.type(max(n - correction, 0))
        ctx.save_for_backward(x)
        distance = x - pairwise_sum(x, dim, True) / x.dtype.type(n)
        return np.asarray(pairwise_sum(distance * distance, dim, keepdim) / ctx.divisor)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        distance = x - pairwise_sum(x, ctx.dim, True) / x.dtype.type(ctx.n)
        return _expanded(grad_y, ctx) * (2 * distance / ctx.divisor)


class Amax(Function):
    """y = max x over dim;  dL/dx = dL/dy at the maximum, shared evenly among equal maxima, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.dim, ctx.keepdim = dim, keepdim
        y = np.asarray(x.max(axis=dim, keepdims=keepdim))
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        largest = x == _expanded(y, ctx)
        return _expanded(grad_y, ctx) * largest / largest.sum(axis=ctx.dim, keepdims=True, dtype=x.dtype)


class Max(Amax):
    """y = max x over all;  dL/dx = dL/dy at the maximum or the nan that is y, shared evenly, else 0."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        largest = np.isnan(x) if np.isnan(y) else x == y
        return np.where(largest, grad_y / largest.sum(dtype=x.dtype), 0).astype(x.dtype)
