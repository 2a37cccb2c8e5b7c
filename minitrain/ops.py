"""Every differentiable operation on plain NumPy arrays: forward and backward side by side, with the formula.

An operation is a class with two static methods. forward(ctx, *arrays, **options) computes the result and leaves
on ctx what the derivative needs; backward(ctx, grad_y) receives dL/dy, the loss's gradient with respect to the
result, and returns dL/d(input) for each input in order (None where none is asked for). The first line of each
docstring is the formula. Nothing here knows Tensors, the tape or torch.

Three rules hold throughout. backward never writes into grad_y. What it returns is fresh or a view of grad_y,
never a saved array. An operand of an arithmetic operation may be a Python number, which takes the other
operand's dtype; it gets no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Gradients = Any  # an Array for an operation of one input, else a tuple with an Array or None for each input
Reduction = Literal["none", "mean", "sum"]


class Context:
    """What forward leaves for backward: arrays by save_for_backward, anything else as attributes.

    needs_input_grad[i] says whether input i asks for a gradient, so that neither pass does needless work.
    """

    _saved: tuple[Any, ...] = ()

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad

    if TYPE_CHECKING:  # forward may leave any attribute

        def __setattr__(self, name: str, value: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep inputs, the result, or arrays made from them; None and numbers pass through."""
        self._saved = arrays

    @property
    def saved_arrays(self) -> tuple[Any, ...]:
        """What save_for_backward kept, in the same order."""
        return self._saved


class Function:
    """An operation: forward and backward on arrays. Subclasses give both as static methods."""

    forward: ClassVar[Callable[..., Any]]
    backward: ClassVar[Callable[..., Any]]


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum grad over the axes along which an operand of this shape was repeated to make the result's shape.

    Broadcasting copies a value; each copy sends back a gradient, and they add up.
    """
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    repeated = [added + axis for axis, size in enumerate(shape) if size == 1]
    return np.asarray(grad.sum(axis=(*range(added), *repeated), keepdims=True).reshape(shape))


_BITS: dict[int, type[np.signedinteger[Any]]] = {2: np.int16, 4: np.int32, 8: np.int64}  # by the bytes of a float


def zeroed(grad: Array, mask: Array) -> Array:
    """grad, but 0 where mask holds: np.where(mask, 0, grad), three to ten times as fast.

    Each number's bits are ANDed with none or all of them. (A product with 0 would make an infinite gradient nan.)
    """
    bits = _BITS[grad.dtype.itemsize]
    kept = (mask.view(np.int8) - 1).astype(bits)  # 0, no bit, where mask holds; else -1, all of them
    kept &= grad.view(bits)
    return kept.view(grad.dtype)


# --- arithmetic, element by element ---------------------------------------------------------------------------


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
        y = np.maximum(x, np.zeros(x.shape[-1:], x.dtype))  # NumPy takes the larger of two rows faster than of x and 0
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (y,) = ctx.saved_arrays
        return zeroed(grad_y, y <= 0)  # which is false for nan: its gradient passes, as torch has it


class Clamp(Function):
    """y = x between min and max;  dL/dx = dL/dy where min <= x <= max, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, min: float | None, max: float | None) -> Array:
        inside = np.ones(x.shape, bool)
        y = x
        if min is not None:
            inside &= x >= min
            y = np.maximum(y, min)
        if max is not None:
            inside &= x <= max
            y = np.minimum(y, max)
        ctx.save_for_backward(~inside)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (outside,) = ctx.saved_arrays
        return zeroed(grad_y, outside)


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


# --- reductions: dim is a tuple of axes, the result keeps them with size 1 if keepdim -------------------------


def _expanded(reduced: Array, ctx: Context) -> Array:
    """A reduction's result or gradient with its lost axes back, at size 1."""
    return reduced if ctx.keepdim else np.expand_dims(reduced, ctx.dim)


class Sum(Function):
    """y = Σ x over dim;  dL/dx = dL/dy, repeated along dim."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.shape, ctx.dim, ctx.keepdim = x.shape, dim, keepdim
        return np.asarray(x.sum(axis=dim, keepdims=keepdim))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.broadcast_to(_expanded(grad_y, ctx), ctx.shape)


class Mean(Function):
    """y = 1/n · Σ x over dim, n values each;  dL/dx = dL/dy / n, repeated along dim."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.shape, ctx.dim, ctx.keepdim = x.shape, dim, keepdim
        ctx.n = int(np.prod([x.shape[axis] for axis in dim]))
        return np.asarray(x.sum(axis=dim, keepdims=keepdim) / x.dtype.type(ctx.n))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return np.broadcast_to(_expanded(grad_y / ctx.n, ctx), ctx.shape)


class Amax(Function):
    """y = max x over dim;  dL/dx = dL/dy at the maximum, shared evenly among equal maxima, else 0."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
        ctx.dim, ctx.keepdim = dim, keepdim
        y = np.asarray(x.max(axis=dim, keepdims=keepdim))
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, y = ctx.saved_arrays
        largest = x == _expanded(y, ctx)
        return _expanded(grad_y, ctx) * largest / largest.sum(axis=ctx.dim, keepdims=True, dtype=x.dtype)


# --- shape: values keep, places change ------------------------------------------------------------------------


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
        return np.broadcast_to(x, shape)

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
            axes = ctx.shape_v[max(len(ctx.shape_v) - grad_v.ndim, 0) :]  # v may have further ones in front
            grad_v = unbroadcast(grad_v, axes).reshape(ctx.shape_v)
        return grad_x, grad_v


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


# --- matrices -------------------------------------------------------------------------------------------------


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


def _rows(x: Array) -> Array:
    """x (..., K) as a matrix (N, K): one large product is faster than many small ones."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


class Linear(Function):
    """y = x Wᵀ + b;  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch."""

    @staticmethod
    def forward(ctx: Context, x: Array, weight: Array, bias: Array | None) -> Array:
        # x (..., in), weight (out, in), bias (out,) -> y (..., out)
        needs_x, needs_weight, _ = ctx.needs_input_grad
        ctx.shape = x.shape
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        y = _rows(x) @ weight.T
        if bias is not None:
            y += bias
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        x, weight = ctx.saved_arrays
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_rows = _rows(grad_y)  # (N, out)
        N, out_features = grad_rows.shape
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            # dL/dy W; of few rows (Wᵀ (dL/dy)ᵀ)ᵀ is the same and faster, since Wᵀ is how nn.Linear's weight lies
            few = out_features >= 16 * N
            grad_x = np.ascontiguousarray((weight.T @ grad_rows.T).T) if few else grad_rows @ weight
            grad_x = grad_x if len(ctx.shape) == 2 else grad_x.reshape(ctx.shape)
        if needs_weight:
            # (dL/dy)ᵀ x, as (xᵀ dL/dy)ᵀ in the memory order of nn.Linear's weight; of one row it has no sums
            columns = _rows(x).T
            grad_weight = (columns * grad_rows if N == 1 else columns @ grad_rows).T
        if needs_bias:
            grad_bias = grad_rows.sum(axis=0)
        return grad_x, grad_weight, grad_bias


# --- softmax and losses ---------------------------------------------------------------------------------------


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
    """y_i = -w[t_i] · x[i, t_i], their sum, or Σ y_i / Σ w[t_i] (mean);  dL/dx[i, t_i] = -w[t_i] · dL/dy_i, else 0."""

    @staticmethod
    def forward(
        ctx: Context, x: Array, target: Array, weight: Array | None, *, ignore_index: int, reduction: Reduction
    ) -> Array:
        # x: log-probabilities (N, C, d1, ...) or (C,); target: classes (N, d1, ...) or (); weight (C,) or None
        # rows: one row of x for each label; kept: the numbers of those that count
        class_dim = 0 if x.ndim == 1 else 1
        rows = x if x.ndim == 2 else np.moveaxis(x, class_dim, -1).reshape(target.size, x.shape[class_dim])
        labels = target.reshape(-1)
        kept = np.flatnonzero(labels != ignore_index)
        labels = labels[kept]
        w = 1 if weight is None else weight[labels]
        total = kept.size if weight is None else np.sum(w)
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
        classes = ctx.shape[ctx.class_dim]
        grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
        grad_rows[kept, labels] = -w * grad_y
        if len(ctx.shape) == 2:
            return grad_rows, None, None
        return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


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
