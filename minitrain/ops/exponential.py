"""Exponentials and logarithms to other bases, near 0, and of sums."""

from __future__ import annotations

import numpy as np

from minitrain.layout import zeroed
from minitrain.ops.broadcast import needed
from minitrain.ops.function import Array, Context, Function, Gradients
from minitrain.ops.unary import of_input, of_result

LN_2, LN_10 = 0.6931471805599453, 2.302585092994046


class Exp2(Function):
    """y = 2^x;  dL/dx = dL/dy · y · ln 2."""

    forward, backward = of_result(np.exp2, lambda grad_y, y: grad_y * y * LN_2)


class Expm1(Function):
    """y = exp(x) - 1, exact near 0;  dL/dx = dL/dy · (y + 1)."""

    forward, backward = of_result(np.expm1, lambda grad_y, y: grad_y * (y + 1))


class Log2(Function):
    """y = log₂ x;  dL/dx = dL/dy / (x ln 2)."""

    forward, backward = of_input(np.log2, lambda grad_y, x: grad_y / (x * LN_2))


class Log10(Function):
    """y = log₁₀ x;  dL/dx = dL/dy / (x ln 10)."""

    forward, backward = of_input(np.log10, lambda grad_y, x: grad_y / (x * LN_10))


class Log1P(Function):
    """y = ln(1 + x), exact near 0;  dL/dx = dL/dy / (x + 1)."""

    forward, backward = of_input(np.log1p, lambda grad_y, x: grad_y / (x + 1))


class Logaddexp(Function):
    """y = ln(exp a + exp b);  dL/da = dL/dy / (1 + exp(b - a)),  dL/db = dL/dy / (1 + exp(a - b))."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return np.logaddexp(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return needed(ctx, lambda: grad_y / (1 + np.exp(b - a)), lambda: grad_y / (1 + np.exp(a - b)))


class Logaddexp2(Function):
    """y = log₂(2^a + 2^b);  dL/da = dL/dy / (1 + 2^(b - a)),  dL/db = dL/dy / (1 + 2^(a - b))."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return np.logaddexp2(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return needed(ctx, lambda: grad_y / (1 + np.exp2(b - a)), lambda: grad_y / (1 + np.exp2(a - b)))


class Xlogy(Function):
    """y = a · ln b  (0 where a = 0, unless b is nan);  dL/da = dL/dy · ln b,  dL/db = dL/dy · a / b.

    dL/da is 0 where dL/dy is 0, and where a = 0 and b <= 0.
    """

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        dtype = np.result_type(a, b)
        a, b = np.asarray(a, dtype), np.asarray(b, dtype)
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a, b)
        return _times_log(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        flat = np.equal(a, 0) & np.less_equal(b, 0)
        return needed(ctx, lambda: zeroed(_times_log(grad_y, b), flat), lambda: grad_y * a / b)


def _times_log(a: Array, b: Array) -> Array:
    return zeroed(np.asarray(a * np.log(b)), np.equal(a, 0) & ~np.isnan(b))
