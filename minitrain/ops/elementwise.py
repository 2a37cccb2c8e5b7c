"""Operations on each element: arithmetic with broadcasting, powers, activations, maxima, choices."""

from __future__ import annotations

import numpy as np

from minitrain.layout import zeroed
from minitrain.ops.function import Array, Context, Function, Gradients, unbroadcast


class Add(Function):
    """y = a + b;  dL/da = dL/dy,  dL/db = dL/dy."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        return a + b

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        shape_a, shape_b = ctx.shapes
        needs_a, needs_b = ctx.needs_input_grad
        return (
            unbroadcast(grad_y, shape_a) if needs_a else None,
            unbroadcast(grad_y, shape_b) if needs_b else None,
        )


class Sub(Function):
    """y = a - b;  dL/da = dL/dy,  dL/db = -dL/dy."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        return a - b

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        shape_a, shape_b = ctx.shapes
        needs_a, needs_b = ctx.needs_input_grad
        return (
            unbroadcast(grad_y, shape_a) if needs_a else None,
            unbroadcast(-grad_y, shape_b) if needs_b else None,
        )


class Mul(Function):
    """y = a · b;  dL/da = dL/dy · b,  dL/db = dL/dy · a."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        needs_a, needs_b = ctx.needs_input_grad
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a if needs_b else None, b if needs_a else None)
        return a * b

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        return (
            unbroadcast(grad_y * b, shape_a) if b is not None else None,
            unbroadcast(grad_y * a, shape_b) if a is not None else None,
        )


class Div(Function):
    """y = a / b;  dL/da = dL/dy / b,  dL/db = -dL/dy · a / b²."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        _, needs_b = ctx.needs_input_grad
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a if needs_b else None, b)
        return a / b

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        needs_a, needs_b = ctx.needs_input_grad
        return (
            unbroadcast(grad_y / b, shape_a) if needs_a else None,
            unbroadcast(-grad_y * (a / b / b), shape_b) if needs_b else None,
        )


class Pow(Function):
    """y = a^b;  dL/da = dL/dy · b · a^(b-1)  (0 where b = 0),  dL/db = dL/dy · y · ln a  (0 where a = 0, b >= 0)."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        _, needs_b = ctx.needs_input_grad
        y = np.power(a, b)
        if isinstance(b, float) and abs(b) == 0.5:  # a root, of infinities and -0.0 too, as torch
            y = np.sqrt(a) if b > 0 else 1 / np.sqrt(a)
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b, y if needs_b else None)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b, y = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        needs_a, needs_b = ctx.needs_input_grad
        grad_a = grad_b = None
        if needs_a:
            grad_a = unbroadcast(np.where(b == 0, 0, grad_y * (b * np.power(a, b - 1))), shape_a)
        if needs_b:
            flat = np.logical_and(np.equal(a, 0), b >= 0)  # 0^b is 0 for every b > 0: it does not move with b
            ln_a = np.log(np.asarray(a, y.dtype))
            grad_b = unbroadcast(grad_y * np.where(flat, 0, y * ln_a), shape_b)
        return grad_a, grad_b


class Neg(Function):
    """y = -x;  dL/dx = -dL/dy."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return -x

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return -grad_y


class Exp(Function):
    """y = exp x;  dL/dx = dL/dy · y."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = np.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return grad_y * y


class Log(Function):
    """y = ln x;  dL/dx = dL/dy / x."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.log(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y / x


class Sqrt(Function):
    """y = √x;  dL/dx = dL/dy / 2y."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = np.sqrt(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return grad_y / (2 * y)


class Abs(Function):
    """y = |x|;  dL/dx = dL/dy · sign x  (0 at 0 and at nan, as torch)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.abs(x)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        sign = np.greater(x, 0).astype(x.dtype) - np.less(x, 0)
        return grad_y * sign


class Tanh(Function):
    """y = tanh x;  dL/dx = dL/dy · (1 - y²)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = np.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return grad_y * (1 - y * y)


class Sigmoid(Function):
    """y = 1 / (1 + exp(-x));  dL/dx = dL/dy · y · (1 - y)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = 1 / (1 + np.exp(-x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return grad_y * (y * (1 - y))


class ReLU(Function):
    """y = max(x, 0);  dL/dx = dL/dy where x > 0, else 0  (0 at 0, as torch)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = np.maximum(x, np.zeros(x.shape[-1:], x.dtype))  # a row of zeros is faster than the number 0
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return zeroed(grad_y, y <= 0)  # np.where(mask, 0, grad_y); the gradient of a nan passes, as in torch


class Clamp(Function):
    """y = x between min and max;  dL/dx = dL/dy where min <= x <= max, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, min: float | None, max: float | None) -> Array:
        ctx.min, ctx.max = -np.inf if min is None else min, np.inf if max is None else max
        ctx.save_for_backward(x)
        y = x if min is None else np.maximum(x, min)
        return y if max is None else np.minimum(y, max)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return zeroed(grad_y, ~((x >= ctx.min) & (x <= ctx.max)))


def _gradients_of_taken(ctx: Context, grad_y: Array, b_taken: Array, a_taken: Array) -> Gradients:
    """All of grad_y to the operand that was taken, half to each where they tie; all to both at nan, as torch."""
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    shared = np.where(np.equal(a, b), grad_y / 2, grad_y)
    return (
        unbroadcast(zeroed(shared, b_taken), shape_a) if needs_a else None,
        unbroadcast(zeroed(shared, a_taken), shape_b) if needs_b else None,
    )


class Maximum(Function):
    """y = max(a, b);  dL/dy goes to the larger, half to each where they are equal."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return np.maximum(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return _gradients_of_taken(ctx, grad_y, b_taken=np.less(a, b), a_taken=np.greater(a, b))


class Minimum(Function):
    """y = min(a, b);  dL/dy goes to the smaller, half to each where they are equal."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(a, b)
        return np.minimum(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        a, b = ctx.saved_arrays
        return _gradients_of_taken(ctx, grad_y, b_taken=np.greater(a, b), a_taken=np.less(a, b))


class Where(Function):
    """y = a where condition, else b;  dL/da = dL/dy where condition, dL/db = dL/dy elsewhere, else 0."""

    @staticmethod
    def forward(ctx: Context, condition: Array, a: Array, b: Array) -> Array:
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(condition)
        return np.where(condition, a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (condition,) = ctx.saved_arrays
        shape_a, shape_b = ctx.shapes
        _, needs_a, needs_b = ctx.needs_input_grad
        return (
            None,
            unbroadcast(np.where(condition, grad_y, 0), shape_a) if needs_a else None,
            unbroadcast(np.where(condition, 0, grad_y), shape_b) if needs_b else None,
        )
