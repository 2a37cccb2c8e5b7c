"""Softmax and the losses: LogSoftmax followed by NLLLoss is cross-entropy; MSELoss is the mean squared error.

In cross-entropy's mean the two backwards together give dL/d(logits) = (softmax - 1 at the label) / N, which is why the
two are used as one: how far each probability is from what it should be.
"""

from __future__ import annotations

import math

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients, Reduction


class Softmax(Function):
    """y = exp x / Σ exp x over dim;  dL/dx = y · (dL/dy - Σ dL/dy · y)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int) -> Array:
        # Softmax does not change when x is shifted; with its maximum at 0, exp cannot overflow.
        exp = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
        y = exp / exp.sum(axis=dim, keepdims=True)
        ctx.dim = dim
        ctx.save_for_backward(y)
        return np.asarray(y)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return y * (grad_y - (grad_y * y).sum(axis=ctx.dim, keepdims=True))


class LogSoftmax(Function):
    """y = x - ln Σ exp x over dim;  dL/dx = dL/dy - exp y · Σ dL/dy."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: int) -> Array:
        shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)  # so that exp cannot overflow
        y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))
        ctx.dim = dim
        ctx.save_for_backward(y)
        return np.asarray(y)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return grad_y - np.exp(y) * grad_y.sum(axis=ctx.dim, keepdims=True)


class NLLLoss(Function):
    """y = Σ -w[t_i] · x[i, t_i] / n;  dL/dx[i, t_i] = -w[t_i] · dL/dy / n, else 0.

    n = Σ w[t_i] for the mean, 1 for the sum. With "none" nothing is summed: y_i and dL/dy_i, with n = 1.
    """

    @staticmethod
    def forward(
        ctx: Context, x: Array, target: Array, weight: Array | None, *, ignore_index: int, reduction: Reduction
    ) -> Array:
        # x: log-probabilities (N, C, d1, ...) or (C,); target: classes (N, d1, ...) or (); weight (C,) or None
        # rows: one row of x for each label; kept: the positions of the labels that are not ignore_index
        class_dim = 0 if x.ndim == 1 else 1
        rows = x if x.ndim == 2 else np.moveaxis(x, class_dim, -1).reshape(target.size, x.shape[class_dim])
        (kept,) = (target.reshape(-1) != ignore_index).nonzero()
        labels = target.reshape(-1)[kept]
        w, total = (1, kept.size) if weight is None else (weight[labels], np.sum(weight[labels]))
        losses = -w * rows[kept, labels]
        ctx.shape, ctx.class_dim, ctx.target_shape, ctx.reduction = x.shape, class_dim, target.shape, reduction
        ctx.save_for_backward(kept, labels, w, total)
        if reduction == "none":
            y = np.zeros(target.size, x.dtype)
            y[kept] = losses
            return y.reshape(target.shape)
        return np.asarray(losses.sum() if reduction == "sum" else losses.sum() / total)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        kept, labels, w, total = ctx.saved_arrays
        if ctx.reduction == "mean":
            grad_y = grad_y / total
        elif ctx.reduction == "none":
            grad_y = grad_y.reshape(-1)[kept]
        grad_rows = np.zeros((math.prod(ctx.target_shape), ctx.shape[ctx.class_dim]), grad_y.dtype)
        grad_rows[kept, labels] = -w * grad_y
        if len(ctx.shape) == 2:
            return grad_rows, None, None
        return np.moveaxis(grad_rows.reshape(*ctx.target_shape, grad_rows.shape[1]), -1, ctx.class_dim), None, None


class MSELoss(Function):
    """y_i = (x_i - t_i)², their sum, or their mean over all n elements;  dL/dx = 2 (x - t) · dL/dy (/ n)."""

    @staticmethod
    def forward(ctx: Context, x: Array, target: Array, *, reduction: Reduction) -> Array:
        difference = np.asarray(x - target)
        ctx.reduction = reduction
        ctx.save_for_backward(difference)
        if reduction == "none":
            return np.asarray(np.square(difference))
        squares = np.square(difference).sum()
        return np.asarray(squares if reduction == "sum" else squares / x.dtype.type(difference.size))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (difference,) = ctx.saved_arrays
        scale = 2 / difference.size if ctx.reduction == "mean" and difference.size else 2
        grad_x = scale * difference * grad_y
        needs_x, needs_target = ctx.needs_input_grad
        return grad_x if needs_x else None, -grad_x if needs_target else None
