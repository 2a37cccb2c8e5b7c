"""Running sums and products along an axis, and the product over axes."""

from __future__ import annotations

import math

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


class Cumsum(Function):
    """y_i = x_1 + ... + x_i along dim;  dL/dx_i = dL/dy_i + dL/dy_(i+1) + ... to the end."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int) -> Array:
        ctx.dim = dim
        return np.cumsum(x, axis=dim, dtype=x.dtype) if x.ndim else x.copy()

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.flip(np.cumsum(np.flip(grad_y, ctx.dim), axis=ctx.dim), ctx.dim) if grad_y.ndim else grad_y


class Cumprod(Function):
    """y_i = x_1 · ... · x_i along dim;  dL/dx_i = x_1 · ... · x_(i-1) · (dL/dy_i + x_(i+1) · (dL/dy_(i+1) + ...))."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int) -> Array:
        ctx.dim = dim
        ctx.save_for_backward(x)
        return np.cumprod(x, axis=dim, dtype=x.dtype) if x.ndim else x.copy()

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        if not x.ndim:
            return grad_y
        rows, grad = np.moveaxis(x, ctx.dim, 0), np.moveaxis(grad_y, ctx.dim, 0).copy()
        for i in reversed(range(len(rows) - 1)):  # Horner's rule, from the end: no division, so no trouble at 0
            grad[i] += rows[i + 1] * grad[i + 1]
        return np.moveaxis(grad * _product_before(rows), 0, ctx.dim)


def _product_before(rows: Array) -> Array:
    """The product of the rows in front of each row; 1 for the first."""
    before = np.ones_like(rows)
    np.cumprod(rows[:-1], axis=0, out=before[1:])
    return before


class Prod(Function):
    """y = Π x over dim;  dL/dx_i = dL/dy · the product of the other x."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.dim, ctx.keepdim = dim, keepdim
        ctx.save_for_backward(x)
        return np.asarray(np.prod(x, axis=dim, keepdims=keepdim, dtype=x.dtype))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        grad_y = grad_y if ctx.keepdim else np.expand_dims(grad_y, ctx.dim)
        in_front = np.moveaxis(x, ctx.dim, range(len(ctx.dim)))
        reduced = len(ctx.dim)
        rows = in_front.reshape(math.prod(in_front.shape[:reduced]), math.prod(in_front.shape[reduced:]))
        others = _product_before(rows) * _product_before(rows[::-1])[::-1]
        return grad_y * np.moveaxis(others.reshape(in_front.shape), range(len(ctx.dim)), ctx.dim)
