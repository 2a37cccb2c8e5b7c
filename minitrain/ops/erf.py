"""The error function, the share of a normal distribution between two bounds, and its complement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients

SLOPE_AT_0 = 2 / math.sqrt(math.pi)


def _of_each(function: Callable[[float], float], x: Array) -> Array:
    """NumPy has no erf; the standard library has, for one number."""
    return np.array([function(value) for value in x.ravel().tolist()], x.dtype).reshape(x.shape)


class Erf(Function):
    """y = 2/√π ∫₀ˣ exp(-t²) dt;  dL/dx = dL/dy · 2/√π · exp(-x²)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return _of_each(math.erf, x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return SLOPE_AT_0 * np.exp(-x * x) * grad_y


class Erfc(Function):
    """y = 1 - erf x, exact where erf x is close to 1;  dL/dx = -dL/dy · 2/√π · exp(-x²)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return _of_each(math.erfc, x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return -SLOPE_AT_0 * np.exp(-x * x) * grad_y
