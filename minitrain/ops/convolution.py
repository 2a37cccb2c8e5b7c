"""Convolution and pooling over windows: a window is a view of the image, and one matrix product does all of them.

    x (H = 4, W = 4), kernel (2 x 2)        the windows, stride 1        y (3, 3)
      a b c d                                 a b   b c   c d
      e f g h                                 e f   f g   g h              y[0, 0] = Σ kernel · (a b
      i j k l                                 e f   f g   g h                                    e f)
      m n o p                                 i j   j k   k l  ...

windows(x)[n, c, i, j, p, q] = x[n, c, i · stride + p · dilation, j · stride + q · dilation]: no copy is made.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minitrain.ops.function import Array, Context, Function, Gradients

Pair = tuple[int, int]


def padded(x: Array, padding: Pair, value: float = 0) -> Array:
    """x (N, C, H, W) with a border of value."""
    h, w = padding
    return np.pad(x, ((0, 0), (0, 0), (h, h), (w, w)), constant_values=value) if h or w else x


def windows(x: Array, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Array:
    """All windows of x (N, C, H, W): a view (N, C, H', W', kH, kW)."""
    reach = [dilation[i] * (size[i] - 1) + 1 for i in (0, 1)]
    seen = sliding_window_view(x, reach, axis=(2, 3))
    view: Array = seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return view


def add_windows(grads: Array, shape: tuple[int, ...], stride: Pair, dilation: Pair = (1, 1)) -> Array:
    """The transpose of windows: each window's gradient (N, C, H', W', kH, kW), added up where windows overlap."""
    grad_x = np.zeros(shape, grads.dtype)
    H, W = grads.shape[2:4]
    for p, q in np.ndindex(*grads.shape[4:]):
        rows = slice(p * dilation[0], p * dilation[0] + stride[0] * (H - 1) + 1, stride[0])
        columns = slice(q * dilation[1], q * dilation[1] + stride[1] * (W - 1) + 1, stride[1])
        grad_x[:, :, rows, columns] += grads[..., p, q]
    return grad_x


def unpadded(grad: Array, padding: Pair) -> Array:
    """grad without the border that padded added."""
    h, w = padding
    return grad[:, :, h : grad.shape[2] - h, w : grad.shape[3] - w]


def first(chosen: Array) -> Array:
    """The index of the first True along axis 0; argmax(axis=0) takes ten times as long."""
    n = len(chosen)
    countdown = np.arange(n, 0, -1, dtype=np.int32).reshape(-1, *(1,) * (chosen.ndim - 1))
    place: Array = n - (chosen * countdown).max(axis=0)
    return place


class Conv2d(Function):
    """y[n, o, i, j] = b[o] + Σ_cpq W[o, c, p, q] · window[n, c, i, j, p, q];  dL/dW = Σ_nij dL/dy · window,
    dL/dwindow = Σ_o dL/dy · W, added up where windows overlap,  dL/db = Σ_nij dL/dy."""

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight: Array,
        bias: Array | None,
        *,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Array:
        # x (N, C, H, W), weight (O, C / groups, kH, kW), bias (O,) -> y (N, O, H', W')
        out, _, kH, kW = weight.shape
        seen = windows(padded(x, padding), (kH, kW), stride, dilation)
        N, C, H, W = seen.shape[:4]
        # One column for each window, one matrix for each group: (G, C/G·kH·kW, N·H'·W')
        columns = seen.transpose(1, 4, 5, 0, 2, 3).reshape(groups, C // groups * kH * kW, N * H * W)
        y = weight.reshape(groups, out // groups, -1) @ columns  # (G, O/G, N·H'·W')
        y = y.reshape(out, N, H, W).transpose(1, 0, 2, 3)
        ctx.x_shape, ctx.window_shape = x.shape, seen.shape
        ctx.stride, ctx.padding, ctx.dilation, ctx.groups = stride, padding, dilation, groups
        ctx.columns = columns if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(x, weight)
        return np.ascontiguousarray(y) if bias is None else np.add(y, bias[:, np.newaxis, np.newaxis], order="C")

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        _, weight = ctx.saved_arrays
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        N, C, H, W, kH, kW = ctx.window_shape
        G, out = ctx.groups, weight.shape[0]
        grad_columns = grad_y.transpose(1, 0, 2, 3).reshape(G, out // G, N * H * W)
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            grads = weight.reshape(G, out // G, -1).transpose(0, 2, 1) @ grad_columns  # (G, C/G·kH·kW, N·H'·W')
            grads = grads.reshape(C, kH, kW, N, H, W).transpose(3, 0, 4, 5, 1, 2)
            h, w = ctx.padding
            shape = (*ctx.x_shape[:2], ctx.x_shape[2] + 2 * h, ctx.x_shape[3] + 2 * w)
            grad_x = unpadded(add_windows(grads, shape, ctx.stride, ctx.dilation), ctx.padding)
        if needs_weight:
            grad_weight = (grad_columns @ ctx.columns.transpose(0, 2, 1)).reshape(weight.shape)
        if needs_bias:
            grad_bias = grad_y.sum(axis=(0, 2, 3))
        return grad_x, grad_weight, grad_bias


class MaxPool2d(Function):
    """y = the largest value of each window;  dL/dx = dL/dy at the place it came from (the first of equal ones)."""

    @staticmethod
    def forward(
        ctx: Context, x: Array, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil: Pair
    ) -> Array:
        # x (N, C, H, W) -> y (N, C, H', W'); ceil: rows and columns added at the end for windows that reach beyond it
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        border = ((0, 0), (0, 0), *((padding[i], padding[i] + ceil[i]) for i in (0, 1)))
        whole = np.pad(x, border, constant_values=least)
        seen = windows(whole, size, stride, dilation)
        flat = np.stack([seen[..., p, q] for p, q in np.ndindex(*size)])  # (kH·kW, N, C, H', W')
        y: Array = flat.max(axis=0)
        largest = first((flat == y) | np.isnan(flat))  # a nan counts as the largest, as in torch
        ctx.x_shape, ctx.whole_shape, ctx.window_shape = x.shape, whole.shape, seen.shape
        ctx.stride, ctx.padding, ctx.dilation = stride, padding, dilation
        ctx.save_for_backward(largest, x)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        largest, _ = ctx.saved_arrays
        grads = np.zeros((*largest.shape, math.prod(ctx.window_shape[4:])), grad_y.dtype)
        np.put_along_axis(grads, largest[..., np.newaxis], grad_y[..., np.newaxis], axis=-1)
        grad = add_windows(grads.reshape(ctx.window_shape), ctx.whole_shape, ctx.stride, ctx.dilation)
        h, w = ctx.padding
        return grad[:, :, h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]]


class AvgPool2d(Function):
    """y = Σ window / n, n values each;  dL/dx = Σ of dL/dy / n over the windows that x lies in."""

    @staticmethod
    def forward(
        ctx: Context, x: Array, divisor: Array, *, size: Pair, stride: Pair, padding: Pair, ceil: Pair
    ) -> Array:
        # divisor (H', W'): n of each window
        whole = np.pad(x, ((0, 0), (0, 0), *((padding[i], padding[i] + ceil[i]) for i in (0, 1))))
        seen = windows(whole, size, stride)
        ctx.x_shape, ctx.whole_shape, ctx.window_shape = x.shape, whole.shape, seen.shape
        ctx.stride, ctx.padding = stride, padding
        ctx.save_for_backward(divisor)
        return np.asarray(seen.sum(axis=(4, 5)) / divisor)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (divisor,) = ctx.saved_arrays
        grads = np.broadcast_to((grad_y / divisor)[..., np.newaxis, np.newaxis], ctx.window_shape)
        grad = add_windows(grads, ctx.whole_shape, ctx.stride)
        h, w = ctx.padding
        return grad[:, :, h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]], None
