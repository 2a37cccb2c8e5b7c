"""Rounding, signs, and numbers in place of nan and infinity: all flat, or straight, between their jumps."""

from __future__ import annotations

import numpy as np

from minitrain.layout import zeroed
from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients


def _no_slope(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 0: a step is flat, and its jumps have no slope."""
    return np.zeros_like(grad_y)


class Ceil(Function):
    """y = the smallest integer >= x;  dL/dx = 0."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return np.ceil(x)

    backward = staticmethod(_no_slope)


class Floor(Function):
    """y = the largest integer <= x;  dL/dx = 0."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return np.floor(x)

    backward = staticmethod(_no_slope)


class Round(Function):
    """y = x rounded to this many decimals, halves to the even digit;  dL/dx = 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, decimals: int = 0) -> Array:
        if decimals == 0:
            return np.rint(x)
        scale = np.asarray(10.0 ** abs(decimals), x.dtype)
        return np.asarray(np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale)

    backward = staticmethod(_no_slope)


class Trunc(Function):
    """y = x without its fraction;  dL/dx = 0."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return np.trunc(x)

    backward = staticmethod(_no_slope)


class Frac(Function):
    """y = the fraction of x, with its sign;  dL/dx = dL/dy."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return x - np.trunc(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y


class Sign(Function):
    """y = 1, 0 or -1, as x is above, at or below 0 (0 at nan);  dL/dx = 0."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return np.greater(x, 0).astype(x.dtype) - np.less(x, 0)

    backward = staticmethod(_no_slope)


class Copysign(Function):
    """y = |a| with the sign of b;  dL/da = dL/dy · y / a  (0 where a = 0),  dL/db = 0."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        y = np.copysign(a, b)
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, y = ctx.saved_arrays
        kept = np.where(np.equal(a, 0), 0, y / a).astype(grad_y.dtype)
        return needed(ctx, lambda: grad_y * kept, lambda: np.zeros_like(grad_y))


class NanToNum(Function):
    """y = x with numbers in place of nan, inf and -inf;  dL/dx = dL/dy where x is finite, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, nan: float, posinf: float | None, neginf: float | None) -> Array:
        ctx.save_for_backward(x)
        return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return zeroed(grad_y, ~np.isfinite(x))
