"""The running logarithm of a sum of exponentials."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


class LogCumsumExp(Function):
    """y_i = ln(exp x_1 + ... + exp x_i) along dim;  dL/dx_i = Σ_(j ≥ i) dL/dy_j · exp(x_i - y_j)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int) -> Array:
        y = np.logaddexp.accumulate(x, axis=dim) if x.ndim else x.copy()
        ctx.dim = dim
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        if not x.ndim:
            return grad_y
        rows, grad = np.moveaxis(y, ctx.dim, 0), np.moveaxis(grad_y, ctx.dim, 0).copy()
        for i in reversed(range(len(rows) - 1)):  # y never falls, so that no power here exceeds 1
            grad[i] += grad[i + 1] * np.exp(rows[i] - rows[i + 1])
        return np.moveaxis(grad, 0, ctx.dim) * np.exp(x - y)
