"""Linear interpolation, and the larger or smaller of two numbers that may be nan."""

from __future__ import annotations

import numpy as np

from minitrain.layout import zeroed
from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients


class Lerp(Function):
    """y = a + w (b - a);  dL/da = dL/dy · (1 - w),  dL/db = dL/dy · w,  dL/dw = dL/dy · (b - a)."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array, w: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b), np.shape(w)
        ctx.save_for_backward(a, b, w)
        # From the nearer end, so that w = 1 gives b itself.
        return np.asarray(np.where(np.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w)))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b, w = ctx.saved_arrays
        return needed(ctx, lambda: grad_y * (1 - w), lambda: grad_y * w, lambda: grad_y * (b - a))


def _to_the_taken(ctx: Context, grad_y: Array) -> Gradients:
    (takes_a,) = ctx.saved_arrays
    return needed(ctx, lambda: zeroed(grad_y, ~takes_a), lambda: zeroed(grad_y, takes_a))


class Fmax(Function):
    """y = the larger of a and b, or the one that is not nan;  dL/dy goes to it, to a where they are equal."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(np.greater_equal(a, b) | np.isnan(b))
        return np.fmax(a, b)

    backward = staticmethod(_to_the_taken)


class Fmin(Function):
    """y = the smaller of a and b, or the one that is not nan;  dL/dy goes to it, to a where they are equal."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(np.less_equal(a, b) | np.isnan(b))
        return np.fmin(a, b)

    backward = staticmethod(_to_the_taken)
