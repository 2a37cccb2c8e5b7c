"""Operations that move values without changing them: reshaping, indexing, joining, copying."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients, unbroadcast


class Reshape(Function):
    """y = x in another shape;  dL/dx = dL/dy in x's shape."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y.reshape(ctx.shape)


class Flatten(Function):
    """y = x with its axes start_dim to end_dim made one;  dL/dx = dL/dy in x's shape."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, start_dim: int, end_dim: int) -> Array:
        ctx.shape = x.shape
        flat = math.prod(x.shape[start_dim : end_dim + 1])
        return x.reshape(*x.shape[:start_dim], flat, *x.shape[end_dim + 1 :])

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y.reshape(ctx.shape)


class Transpose(Function):
    """y = x with two axes swapped;  dL/dx = dL/dy with them swapped back."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim0: int, dim1: int) -> Array:
        ctx.dims = dim0, dim1
        return np.swapaxes(x, dim0, dim1)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.swapaxes(grad_y, *ctx.dims)


class Permute(Function):
    """y's axis i is x's axis dims[i];  dL/dx = dL/dy with the axes put back."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dims: tuple[int, ...]) -> Array:
        ctx.dims = dims
        return np.transpose(x, dims)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.transpose(grad_y, np.argsort(ctx.dims))


class Expand(Function):
    """y = x repeated to a larger shape without copying;  dL/dx = dL/dy summed over the repeats."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        repeats = math.prod(shape) != x.size
        return np.broadcast_to(x, shape) if repeats else x.reshape(shape)  # what is not repeated may be written to

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return unbroadcast(grad_y, ctx.shape)


def _may_name_a_place_twice(index: Any) -> bool:
    """Only an array of integers can; numbers, slices and masks cannot."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, np.ndarray) and part.dtype != bool for part in parts)


class Index(Function):
    """y = x[index];  dL/dx = dL/dy at index (added up where index names a place twice), else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, index: Any) -> Array:
        ctx.shape, ctx.index = x.shape, index
        y: Array = x[index]
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x = np.zeros(ctx.shape, grad_y.dtype)
        if _may_name_a_place_twice(ctx.index):
            np.add.at(grad_x, ctx.index, grad_y)
        else:
            grad_x[ctx.index] = grad_y
        return grad_x


class IndexPut(Function):
    """y = x with y[index] = v;  dL/dx = dL/dy, but 0 at index,  dL/dv = dL/dy[index]."""

    @staticmethod
    def forward(ctx: Context, x: Array, v: Array, *, index: Any) -> Array:
        ctx.index, ctx.shape_v = index, np.shape(v)
        y = x.copy()
        y[index] = v
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        needs_x, needs_v = ctx.needs_input_grad
        grad_x = grad_v = None
        if needs_x:
            grad_x = grad_y.copy()
            grad_x[ctx.index] = 0
        if needs_v:
            grad_v = np.asarray(grad_y[ctx.index])
            axes = ctx.shape_v[max(len(ctx.shape_v) - grad_v.ndim, 0) :]  # v may have more axes, of size 1, in front
            grad_v = unbroadcast(grad_v, axes).reshape(ctx.shape_v)
        return grad_x, grad_v


class ViewPut(Function):
    """y = x with v in place of one of its views;  dL/dx = dL/dy, but 0 in the view,  dL/dv = dL/dy in the view."""

    @staticmethod
    def forward(ctx: Context, x: Array, v: Array, *, view: Callable[[Array], Array]) -> Array:
        ctx.view, ctx.x = view, x  # for x's memory order: in another one, view might have to copy
        y: Array = np.empty_like(x)
        y[...] = x
        view(y)[...] = v
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        needs_x, needs_v = ctx.needs_input_grad
        grad_x = np.empty_like(ctx.x, grad_y.dtype)
        grad_x[...] = grad_y
        grad_v = ctx.view(grad_x).copy() if needs_v else None
        ctx.view(grad_x)[...] = 0
        return grad_x if needs_x else None, grad_v


class Cat(Function):
    """y = the inputs one after another along dim;  dL/d(input) = its own stretch of dL/dy."""

    @staticmethod
    def forward(ctx: Context, *arrays: Array, dim: int) -> Array:
        ctx.dim = dim
        ctx.ends = np.cumsum([array.shape[dim] for array in arrays])
        return np.ascontiguousarray(np.concatenate(arrays, axis=dim))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        parts = np.split(grad_y, ctx.ends[:-1], axis=ctx.dim)
        return tuple([part if needed else None for part, needed in zip(parts, ctx.needs_input_grad, strict=True)])


class Clone(Function):
    """y = a copy of x;  dL/dx = dL/dy."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, order: Literal["K", "C"]) -> Array:
        return x.copy(order=order)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y


class ToCopy(Function):
    """y = x in another floating dtype;  dL/dx = dL/dy in x's dtype."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dtype: np.dtype[Any]) -> Array:
        ctx.dtype = x.dtype
        return x.astype(dtype)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y.astype(ctx.dtype)
