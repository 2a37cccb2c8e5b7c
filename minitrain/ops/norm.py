"""Further numbers that stand for many: norms, the logarithm of a sum of exponentials, the median."""

from __future__ import annotations

import math

import numpy as np

from minitrain.layout import pairwise_sum
from minitrain.ops.function import Array, Context, Function, Gradients
from minitrain.ops.reduce import Max, _expanded


class Norm(Function):
    """y = (Σ |x|^p)^(1/p) over dim, max |x| for p = inf;  dL/dx = dL/dy · sign(x) · (|x| / y)^(p-1), 0 where y is 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, p: float, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.p, ctx.dim, ctx.keepdim = p, dim, keepdim
        size = np.abs(x)
        if math.isinf(p):
            y = (size.max if p > 0 else size.min)(axis=dim, keepdims=keepdim)
        elif p == 0:
            y = np.asarray((x != 0).sum(axis=dim, keepdims=keepdim, dtype=x.dtype))
        elif p == 2:
            y = np.sqrt(pairwise_sum(x * x, dim, keepdim))
        else:
            y = pairwise_sum(size if p == 1 else size**p, dim, keepdim)
            y = y if p == 1 else y ** (1 / p)
        y = np.asarray(y, x.dtype)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        p, grad_y, y = ctx.p, _expanded(grad_y, ctx), _expanded(y, ctx)
        if p == 0:
            return None
        if math.isinf(p):  # shared evenly among the equal ones
            reached = np.abs(x) == y
            return grad_y * np.sign(x) * reached / reached.sum(axis=ctx.dim, keepdims=True, dtype=x.dtype)
        if p == 1:
            return grad_y * np.sign(x)
        if p == 2:
            return np.where(y == 0, 0, x * (grad_y / y)).astype(x.dtype, copy=False)
        grad_x = grad_y * np.sign(x) * np.abs(x) ** (p - 1) / y ** (p - 1)
        return np.where((y == 0) | (x == 0), 0, grad_x).astype(x.dtype, copy=False)


class LogSumExp(Function):
    """y = ln Σ exp(x) over dim;  dL/dx = dL/dy · exp(x - y)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.dim, ctx.keepdim = dim, keepdim
        largest = x.max(axis=dim, keepdims=True, initial=-np.inf)
        shift = np.where(np.isinf(largest), 0, largest).astype(x.dtype)  # no power of e is then beyond the dtype
        y = np.log(pairwise_sum(np.exp(x - shift), dim, True)) + shift
        y = np.asarray(y if keepdim else np.squeeze(y, dim), x.dtype)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        y = _expanded(y, ctx)
        shift = np.where(np.isneginf(y), 0, y).astype(x.dtype)  # -inf - -inf is not defined; there every weight is 0
        return _expanded(grad_y, ctx) * np.exp(x - shift)


class Median(Max):
    """y = the median of all x, the lower of two;  dL/dx = dL/dy at the elements equal to it, shared evenly, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, ignore_nan: bool) -> Array:  # type: ignore[override]
        ctx.dim, ctx.keepdim = tuple(range(x.ndim)), False
        known = np.sort(x[~np.isnan(x)] if x.dtype.kind == "f" else x.ravel())
        nan_decides = known.size == 0 or (known.size < x.size and not ignore_nan)
        y = np.asarray(np.nan if nan_decides else known[(known.size - 1) // 2], x.dtype)
        ctx.save_for_backward(x, y)
        return y
