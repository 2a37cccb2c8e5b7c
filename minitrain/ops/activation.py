"""Activations beyond ReLU, Sigmoid and Tanh, element by element."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


class LeakyReLU(Function):
    """y = x where x > 0, else slope · x;  dL/dx = dL/dy where x > 0, else slope · dL/dy."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, slope: float) -> Array:
        ctx.slope = slope
        ctx.save_for_backward(x)
        return np.where(x > 0, x, x * slope)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return np.where(x > 0, grad_y, grad_y * ctx.slope)


class ELU(Function):
    """y = scale · x where x > 0, else scale · alpha · (exp(rate · x) - 1);  dL/dx = dL/dy · dy/dx, its slope there."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, alpha: float, scale: float, rate: float) -> Array:
        ctx.alpha, ctx.scale, ctx.rate = alpha, scale, rate
        ctx.save_for_backward(x)
        return np.where(x > 0, x * scale, np.expm1(x * rate) * (alpha * scale))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        below = grad_y * (ctx.alpha * ctx.scale * ctx.rate) * np.exp(x * ctx.rate)
        return np.where(x > 0, grad_y * ctx.scale, below)


class SiLU(Function):
    """y = x · s, s = 1 / (1 + exp(-x));  dL/dx = dL/dy · s · (1 + x · (1 - s))."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.asarray(x / (1 + np.exp(-x)))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        s = 1 / (1 + np.exp(-x))
        return grad_y * s * (1 + x * (1 - s))


class Softplus(Function):
    """y = ln(1 + exp(beta · x)) / beta, or x where beta · x > threshold;  dL/dx = dL/dy / (1 + exp(-beta · x))."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, beta: float, threshold: float) -> Array:
        ctx.beta, ctx.threshold = beta, threshold
        ctx.save_for_backward(x)
        return np.where(x * beta > threshold, x, np.log1p(np.exp(x * beta)) / x.dtype.type(beta))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        steep = x * ctx.beta
        return np.where(steep > ctx.threshold, grad_y, grad_y / (1 + np.exp(-steep)))


class LogSigmoid(Function):
    """y = -ln(1 + exp(-x));  dL/dx = dL/dy / (1 + exp x)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))  # so that exp cannot overflow

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y / (1 + np.exp(x))


class Hardtanh(Function):
    """y = x between low and high, else the bound;  dL/dx = dL/dy where low < x < high, else 0 (0 at them, as torch)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, low: float, high: float) -> Array:
        ctx.save_for_backward((x <= low) | (x >= high))
        return np.clip(x, x.dtype.type(low), x.dtype.type(high))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (cut,) = ctx.saved_arrays
        return np.where(cut, 0, grad_y)
