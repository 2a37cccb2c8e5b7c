"""Linear algebra: sums of products by subscripts, inverses, determinants, linear equations, singular values."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients, unbroadcast
from minitrain.ops.scan import _product_before


def _t(x: Array) -> Array:
    return np.swapaxes(x, -2, -1)


class Einsum(Function):
    """y = Σ of the products of the inputs' elements over all subscripts that y lacks;  dL/d(input) = the same with
    dL/dy in the input's place."""

    @staticmethod
    def forward(ctx: Context, *arrays: Array, subscripts: tuple[str, ...], result: str) -> Array:
        """subscripts: a letter for each axis of each array; result: the letters of y's axes."""
        ctx.subscripts, ctx.result = subscripts, result
        ctx.save_for_backward(*arrays)
        return np.asarray(np.einsum(f"{','.join(subscripts)}->{result}", *arrays, optimize=True))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        arrays = ctx.saved_arrays
        sizes: dict[str, int] = {}
        for array, letters in zip(arrays, ctx.subscripts, strict=True):
            for letter, size in zip(letters, array.shape, strict=True):
                sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
        gradients: list[Array | None] = []
        for i, x in enumerate(arrays):
            if not ctx.needs_input_grad[i]:
                gradients.append(None)
                continue
            others = [*ctx.subscripts[:i], ctx.result, *ctx.subscripts[i + 1 :]]
            own = "".join(dict.fromkeys(ctx.subscripts[i]))  # each letter once
            known = "".join([letter for letter in own if any(letter in other for other in others)])
            grad = np.einsum(f"{','.join(others)}->{known}", *arrays[:i], grad_y, *arrays[i + 1 :], optimize=True)
            summed = [place for place, letter in enumerate(own) if letter not in known]  # over x alone
            grad = np.broadcast_to(np.expand_dims(grad, tuple(summed)), [sizes[letter] for letter in own])
            grad_x = np.zeros(x.shape, grad_y.dtype)
            place = np.einsum(f"{ctx.subscripts[i]}->{own}", grad_x)  # a view: the diagonal of a letter named twice
            place[...] = unbroadcast(grad, place.shape)
            gradients.append(grad_x)
        return tuple(gradients)


class Inv(Function):
    """y = x⁻¹;  dL/dx = -yᵀ · dL/dy · yᵀ."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = np.linalg.inv(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return -_t(y) @ grad_y @ _t(y)


class Det(Function):
    """y = det x;  dL/dx = dL/dy · x's cofactors, det(u · v) · u · diag(Π of the other s) · v of x = u · diag(s) · v."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.asarray(np.linalg.det(x), x.dtype)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        u, s, v = np.linalg.svd(x)
        rows = np.moveaxis(s, -1, 0)
        others = np.moveaxis(_product_before(rows) * _product_before(rows[::-1])[::-1], 0, -1)
        sign = np.linalg.det(u) * np.linalg.det(v)
        return np.asarray((grad_y * sign)[..., None, None] * ((u * others[..., None, :]) @ v), x.dtype)


class Solve(Function):
    """y = a⁻¹ · b;  dL/db = (aᵀ)⁻¹ · dL/dy,  dL/da = -dL/db · yᵀ."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        y = np.linalg.solve(a, b)
        ctx.shape_b = b.shape
        ctx.save_for_backward(a, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, y = ctx.saved_arrays
        needs_a, needs_b = ctx.needs_input_grad
        grad_b = np.linalg.solve(_t(a), grad_y)
        grad_a = unbroadcast(-grad_b @ _t(y), a.shape) if needs_a else None
        return grad_a, unbroadcast(grad_b, ctx.shape_b) if needs_b else None


class SingularValues(Function):
    """y = the singular values s of x = u · diag(s) · v;  dL/dx = u · diag(dL/dy) · v."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.linalg.svd(x, compute_uv=False)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        u, _, v = np.linalg.svd(x, full_matrices=False)
        return (u * grad_y[..., None, :]) @ v
