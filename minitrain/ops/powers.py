"""Powers with operations of their own: reciprocals, and the length of the hypotenuse."""

from __future__ import annotations

import numpy as np

from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients
from minitrain.ops.unary import of_result


class Reciprocal(Function):
    """y = 1 / x;  dL/dx = -dL/dy · y²."""

    forward, backward = of_result(lambda x: 1 / x, lambda grad_y, y: -grad_y * (y * y))


class Rsqrt(Function):
    """y = 1 / √x;  dL/dx = -dL/dy · y³ / 2."""

    forward, backward = of_result(lambda x: 1 / np.sqrt(x), lambda grad_y, y: grad_y * (y * y * y) / -2)


class Hypot(Function):
    """y = √(a² + b²), without overflow;  dL/da = dL/dy · a / y,  dL/db = dL/dy · b / y."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        y = np.hypot(a, b)
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a, b, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b, y = ctx.saved_arrays
        return needed(ctx, lambda: grad_y * (a / y), lambda: grad_y * (b / y))
