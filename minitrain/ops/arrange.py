"""Further operations that move values without changing them: diagonals, windows, flips, rolls, and adding at places."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


def _diagonal(x: Array, offset: int, dim1: int, dim2: int) -> Array:
    """A view of the diagonals that may be written to, as np.diagonal's may not."""
    view = np.diagonal(x, offset, dim1, dim2)
    if x.flags.writeable:
        view.flags.writeable = True
    return view


class Diagonal(Function):
    """y = x's elements with index dim2 = index dim1 + offset, as the last axis;  dL/dx = dL/dy there, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, offset: int, dim1: int, dim2: int) -> Array:
        ctx.shape, ctx.where = x.shape, (offset, dim1, dim2)
        return _diagonal(x, offset, dim1, dim2)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x = np.zeros(ctx.shape, grad_y.dtype)
        _diagonal(grad_x, *ctx.where)[...] = grad_y
        return grad_x


class Unfold(Function):
    """y = x's windows of this size along dim, every step-th, each on a new last axis;  dL/dx = Σ dL/dy where it is."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int, size: int, step: int) -> Array:
        ctx.shape, ctx.dim, ctx.size, ctx.step = x.shape, dim, size, step
        windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim, writeable=x.flags.writeable)
        return np.asarray(windows[(slice(None),) * dim + (slice(None, None, step),)])

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x = np.zeros(ctx.shape, grad_y.dtype)
        end = (grad_y.shape[ctx.dim] - 1) * ctx.step + 1
        for place in range(ctx.size):
            grad_x[(slice(None),) * ctx.dim + (slice(place, place + end, ctx.step),)] += grad_y[..., place]
        return grad_x


class Flip(Function):
    """y = x in the opposite order along dims;  dL/dx = dL/dy in the opposite order."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dims: tuple[int, ...]) -> Array:
        ctx.dims = dims
        return np.flip(x, dims).copy()  # no Tensor has a negative step

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.flip(grad_y, ctx.dims)


class Roll(Function):
    """y = x moved on along dims, what leaves at the end comes in at the start;  dL/dx = dL/dy moved back."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Array:
        ctx.shifts, ctx.dims = shifts, dims
        return np.roll(x, shifts, dims)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.roll(grad_y, [-shift for shift in ctx.shifts], ctx.dims)


class IndexAdd(Function):
    """y = x with y[index] += v, as often as index names a place;  dL/dx = dL/dy,  dL/dv = dL/dy[index]."""

    @staticmethod
    def forward(ctx: Context, x: Array, v: Array, *, index: tuple[Any, ...]) -> Array:
        ctx.index = index
        y = x.copy()
        np.add.at(y, index, v)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y, grad_y[ctx.index] if ctx.needs_input_grad[1] else None
