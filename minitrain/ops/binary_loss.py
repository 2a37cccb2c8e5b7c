"""Losses element by element: binary cross-entropy of probabilities and of logits, and smooth absolute differences."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients


class BCELoss(Function):
    """y = -(t · ln p + (1 - t) · ln(1 - p)), each ln at least -100;  dL/dp = dL/dy · (p - t) / (p · (1 - p))."""

    @staticmethod
    def forward(ctx: Context, p: Array, target: Array) -> Array:
        ctx.save_for_backward(p, target)
        return np.asarray(-(target * np.maximum(np.log(p), -100) + (1 - target) * np.maximum(np.log1p(-p), -100)))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        p, target = ctx.saved_arrays
        needs_p, needs_target = ctx.needs_input_grad
        grad_p = grad_target = None
        if needs_p:
            grad_p = (
                grad_y * (p - target) / np.maximum((1 - p) * p, p.dtype.type(np.float32(1e-12)))
            )  # torch's float, also for doubles
        if needs_target:
            grad_target = grad_y * (np.log1p(-p) - np.log(p))
        return grad_p, grad_target


class BCEWithLogitsLoss(Function):
    """y = (1 - t) · x + w · ln(1 + exp(-x)), w = 1 + (pos - 1) · t;  dL/dx = dL/dy · ((1 - t) - w · s(-x))."""

    @staticmethod
    def forward(ctx: Context, x: Array, target: Array, pos_weight: Array | None) -> Array:
        ctx.save_for_backward(x, target, pos_weight)
        w = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
        softplus = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)  # ln(1 + exp(-x)), such that exp cannot overflow
        return np.asarray((1 - target) * x + w * softplus)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, target, pos_weight = ctx.saved_arrays
        needs_x, needs_target, _ = ctx.needs_input_grad
        w = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
        grad_x = grad_y * ((1 - target) - w / (1 + np.exp(x))) if needs_x else None
        grad_target = None
        if needs_target:
            below = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)
            grad_target = grad_y * (-x + (0 if pos_weight is None else (pos_weight - 1) * below))
        return grad_x, grad_target, None


class SmoothL1Loss(Function):
    """y = d² / 2beta where |d| < beta, else |d| - beta/2, d = x - t;  dL/dx = dL/dy · d/beta, or dL/dy · sign d."""

    @staticmethod
    def forward(ctx: Context, x: Array, target: Array, *, beta: float) -> Array:
        d = np.asarray(x - target)
        ctx.beta = beta
        ctx.save_for_backward(d)
        size: Array = np.abs(d)
        return size if beta == 0 else np.where(size < beta, d * d / (2 * beta), size - beta / 2)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (d,) = ctx.saved_arrays
        needs_x, needs_target = ctx.needs_input_grad
        if ctx.beta == 0:
            slope = np.where(np.isnan(d), 0, np.sign(d))  # as torch
        else:
            slope = np.where(np.abs(d) < ctx.beta, d / ctx.beta, np.sign(d))
        grad_x = grad_y * slope
        return grad_x if needs_x else None, -grad_x if needs_target else None
