"""Hyperbolic functions and their inverses; tanh, an activation, is in elementwise.py."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


class Sinh(Function):
    """y = sinh x;  dL/dx = dL/dy · cosh x."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.sinh(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y * np.cosh(x)


class Cosh(Function):
    """y = cosh x;  dL/dx = dL/dy · sinh x."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.cosh(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y * np.sinh(x)


class Asinh(Function):
    """y = arsinh x;  dL/dx = dL/dy / √(x² + 1)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.arcsinh(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y * (1 / np.sqrt(x * x + 1))


class Acosh(Function):
    """y = arcosh x;  dL/dx = dL/dy / √(x² - 1)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.arccosh(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y * (1 / np.sqrt(x * x - 1))


class Atanh(Function):
    """y = artanh x;  dL/dx = dL/dy / (1 - x²)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.arctanh(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y / (1 - x * x)
