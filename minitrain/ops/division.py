"""Division that rounds, and what it leaves."""

from __future__ import annotations

import numpy as np

from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients


class DivRounded(Function):
    """y = a / b, rounded down ("floor") or towards 0 ("trunc");  dL/da = dL/db = 0, as for every step."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array, *, rounding_mode: str) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        if rounding_mode == "floor":
            return np.floor_divide(a, b)
        return _truncated(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        shapes = zip(ctx.shapes, ctx.needs_input_grad, strict=True)
        return tuple(np.zeros(shape, grad_y.dtype) if needs else None for shape, needs in shapes)


def _truncated(a: Array, b: Array) -> Array:
    """a / b towards 0; of integers without a detour over floats, which do not hold all of them."""
    dtype = np.result_type(a, b)
    return np.trunc(np.true_divide(a, b)) if dtype.kind == "f" else np.floor_divide(a - np.fmod(a, b), b)


class Remainder(Function):
    """y = a - b · floor(a / b), with the sign of b;  dL/da = dL/dy,  dL/db = -dL/dy · floor(a / b)."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        y = np.fmod(a, b)  # np.remainder turns -0.0 into 0.0
        return np.where((y != 0) & (np.less(y, 0) != np.less(b, 0)), y + b, y)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return needed(ctx, lambda: grad_y, lambda: -grad_y * np.floor_divide(a, b))


class Fmod(Function):
    """y = a - b · trunc(a / b), with the sign of a;  dL/da = dL/dy,  dL/db = -dL/dy · trunc(a / b)."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return np.fmod(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return needed(ctx, lambda: grad_y, lambda: -grad_y * _truncated(a, b))
