"""Normalization: values with mean 0 and variance 1 over chosen axes, then scaled and shifted."""

from __future__ import annotations

import math

import numpy as np

from minitrain.layout import pairwise_sum
from minitrain.ops.function import Array, Context, Function, Gradients, unbroadcast


class Normalize(Function):
    """y = z · w + b, z = (x - mean) · r, r = 1/√(var + eps), mean and var over dim;
    dL/dx = r · (g - mean g - z · mean(g · z)), g = dL/dy · w,  dL/dw = Σ dL/dy · z,  dL/db = Σ dL/dy."""

    @staticmethod
    def forward(
        ctx: Context, x: Array, weight: Array | None, bias: Array | None, *, dim: tuple[int, ...], eps: float
    ) -> Array:
        # weight and bias have x's number of axes, with size 1 where they are the same for all
        ctx.n, ctx.dim = math.prod([x.shape[axis] for axis in dim]), dim
        centred = x - pairwise_sum(x, dim, True) / x.dtype.type(ctx.n)
        rate = 1 / np.sqrt(pairwise_sum(centred * centred, dim, True) / x.dtype.type(ctx.n) + x.dtype.type(eps))
        z = centred * rate
        ctx.shapes = [() if w is None else w.shape for w in (weight, bias)]
        ctx.save_for_backward(z, rate, weight, x)
        y: Array = z if weight is None else z * weight
        return y if bias is None else y + bias

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        z, rate, weight, _ = ctx.saved_arrays
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            g = grad_y if weight is None else grad_y * weight
            n = z.dtype.type(ctx.n)
            along = pairwise_sum(g, ctx.dim, True) / n + z * (pairwise_sum(g * z, ctx.dim, True) / n)
            grad_x = rate * (g - along)
        if needs_weight:
            grad_weight = unbroadcast(grad_y * z, ctx.shapes[0])
        if needs_bias:
            grad_bias = unbroadcast(grad_y, ctx.shapes[1])
        return grad_x, grad_weight, grad_bias
