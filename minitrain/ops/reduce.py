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
        return pairwise_sum(x, dim, keepdim)

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
