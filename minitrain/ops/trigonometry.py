"""Trigonometric functions and their inverses; angles are in radians."""

from __future__ import annotations

import numpy as np

from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients
from minitrain.ops.unary import of_input, of_result


class Sin(Function):
    """y = sin x;  dL/dx = dL/dy · cos x."""

    forward, backward = of_input(np.sin, lambda grad_y, x: grad_y * np.cos(x))


class Cos(Function):
    """y = cos x;  dL/dx = -dL/dy · sin x."""

    forward, backward = of_input(np.cos, lambda grad_y, x: grad_y * -np.sin(x))


class Tan(Function):
    """y = tan x;  dL/dx = dL/dy · (1 + y²)."""

    forward, backward = of_result(np.tan, lambda grad_y, y: grad_y * (1 + y * y))


class Asin(Function):
    """y = arcsin x;  dL/dx = dL/dy / √(1 - x²)."""

    forward, backward = of_input(np.arcsin, lambda grad_y, x: grad_y * (1 / np.sqrt(1 - x * x)))


class Acos(Function):
    """y = arccos x;  dL/dx = -dL/dy / √(1 - x²)."""

    forward, backward = of_input(np.arccos, lambda grad_y, x: grad_y * -(1 / np.sqrt(1 - x * x)))


class Atan(Function):
    """y = arctan x;  dL/dx = dL/dy / (1 + x²)."""

    forward, backward = of_input(np.arctan, lambda grad_y, x: grad_y / (1 + x * x))


class Atan2(Function):
    """y = the angle of the point (b, a);  dL/da = dL/dy · b / (a² + b²),  dL/db = -dL/dy · a / (a² + b²).

    Both are 0 at (0, 0).
    """

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a, b)
        return np.arctan2(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        share = 1 / (a * a + b * b)
        share = np.where((a == 0) & (b == 0), 0, share).astype(grad_y.dtype)
        return needed(ctx, lambda: grad_y * (b * share), lambda: grad_y * (-a * share))


class Sinc(Function):
    """y = sin(πx) / πx  (1 at 0);  dL/dx = dL/dy · (πx cos(πx) - sin(πx)) / πx²  (0 at 0)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        angle = x * np.asarray(np.pi, x.dtype)
        return np.where(x == 0, 1, np.sin(angle) / angle).astype(x.dtype)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        pi = np.asarray(np.pi, x.dtype)
        angle, square = x * pi, x * x * pi
        slope = (angle * np.cos(angle) - np.sin(angle)) / square
        return np.where(square == 0, 0, grad_y * slope).astype(x.dtype)
