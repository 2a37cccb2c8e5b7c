"""Products of matrices: Matmul, and Linear, the layer y = x Wᵀ + b."""

from __future__ import annotations

import numpy as np

from minitrain.layout import as_rows, pairwise_sum, product, transposed_product
from minitrain.ops.function import Array, Context, Function, Gradients, unbroadcast


class Matmul(Function):
    """y = a @ b;  dL/da = dL/dy @ bᵀ,  dL/db = aᵀ @ dL/dy  (a vector a is a row, a vector b a column)."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        needs_a, needs_b = ctx.needs_input_grad
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a if needs_b else None, b if needs_a else None)
        return np.asarray(np.matmul(a, b))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes  # (..., N, K), (..., K, M)
        if len(shape_b) == 1:
            grad_y = grad_y[..., np.newaxis]
        if len(shape_a) == 1:
            grad_y = grad_y[..., np.newaxis, :]  # (..., N, M)
        grad_a = grad_b = None
        if b is not None:
            columns = b[:, np.newaxis] if b.ndim == 1 else b
            row = (1, *shape_a) if len(shape_a) == 1 else shape_a
            grad_a = unbroadcast(grad_y @ np.swapaxes(columns, -1, -2), row).reshape(shape_a)
        if a is not None:
            rows = a[np.newaxis, :] if a.ndim == 1 else a
            column = (*shape_b, 1) if len(shape_b) == 1 else shape_b
            grad_b = unbroadcast(np.swapaxes(rows, -1, -2) @ grad_y, column).reshape(shape_b)
        return grad_a, grad_b


class Linear(Function):
    """y = x Wᵀ + b;  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch."""

    @staticmethod
    def forward(ctx: Context, x: Array, weight: Array, bias: Array | None) -> Array:
        # x (..., in), weight (out, in), bias (out,) -> y (..., out)
        needs_x, needs_weight, _ = ctx.needs_input_grad
        ctx.shape = x.shape
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        y = as_rows(x) @ weight.T
        if bias is not None:
            y += bias
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, weight = ctx.saved_arrays
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_rows = as_rows(grad_y)  # (N, out)
        grad_x = product(grad_rows, weight).reshape(ctx.shape) if needs_x else None  # dL/dy W
        grad_weight = transposed_product(grad_rows, as_rows(x)) if needs_weight else None  # dL/dyᵀ x
        grad_bias = pairwise_sum(grad_rows, (0,)) if needs_bias else None  # Σ dL/dy
        return grad_x, grad_weight, grad_bias
