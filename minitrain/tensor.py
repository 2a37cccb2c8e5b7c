"""Tensor: an array on the tape, with torch's names for all that can be done to it; and `apply`, which records.

Most methods are one line: which operation of ops.py they run. What is recorded, and how backward walks over it,
is in tape.py; torch's rules for dtypes, shapes and indices are in arguments.py.
"""

from __future__ import annotations

import functools
import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node, Version, anomaly_mode, is_grad_enabled, walk_back
from minitrain.torchlike import random
from minitrain.torchlike.arguments import (
    BOOL,
    FLOAT,
    LONG,
    TYPE_NAMES,
    Scalar,
    Size,
    as_axes,
    as_axis,
    as_dtype,
    as_indices,
    as_shape,
    by_x,
    category,
    check_broadcast,
    dtype_of_number,
    floating,
    promote_types,
    refuse_empty,
)
from minitrain.torchlike.device import CPU
from minitrain.torchlike.device import device as Device
from minitrain.torchlike.printing import format_tensor


def apply(function: type[Function], *inputs: Any, compute_dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """Run an operation and, if any input asks for a gradient, record it.

    function: the operation, from ops.py or your own.
    inputs: Tensors, Python numbers, or None, in the order of function.forward's positional arguments.
    compute_dtype: cast the Tensors' arrays to it first; their gradients are cast back.
    options: function.forward's keyword arguments, which get no gradient.
    Returns the result as a Tensor; a view of an input's memory where forward returned a view.
    """
    recording = is_grad_enabled()
    tensors: list[Tensor | None] = []
    arrays: list[Any] = []
    edges: list[Node | AccumulateGrad | None] = []
    for x in inputs:
        if not isinstance(x, Tensor):
            tensors.append(None)
            arrays.append(x)
            edges.append(None)
            continue
        if recording and x._base is not None:
            x._refuse_outdated_view()
        tensors.append(x)
        arrays.append(x.array if compute_dtype is None else x.array.astype(compute_dtype, copy=False))
        edges.append(x._edge() if recording and x._requires_grad else None)
    ctx: Context = Node(function, edges) if any(edges) else Context((False,) * len(inputs))
    with np.errstate(all="ignore"):  # inf and nan come silently, as in torch
        y = function.forward(ctx, *arrays, **options)
    if type(y) is not np.ndarray:
        if isinstance(y, tuple):
            raise RuntimeError(f"{function.__name__}.forward returned {len(y)} values; an operation makes one array.")
        y = np.asarray(y)
    result = Tensor(y)
    for x in tensors:
        if x is not None and (y is x.array or (y.base is not None and np.may_share_memory(y, x.array))):
            result._become_view_of(x)
    if isinstance(ctx, Node):
        ctx.result_shape, ctx.result_dtype = y.shape, y.dtype
        ctx.guard(tensors, result)
        result._requires_grad, result.grad_fn = True, ctx
    if anomaly_mode.watcher is not None:
        anomaly_mode.watcher.after_forward(function, ctx, inputs, options, result)
    return result


def increment_version(tensor: Tensor) -> None:
    """Say that tensor.array was written in place, so that a backward that still needs the old values refuses."""
    tensor._version.number += 1


class ValuesAndIndices(NamedTuple):
    """What max(dim) and min(dim) return."""

    values: Tensor
    indices: Tensor


class _Conversions:
    """Tensor's methods named after built-in types, kept apart so that Tensor's annotations can use those types."""

    array: Array

    def to(self, *args: Any, **options: Any) -> Tensor:
        """Self in another dtype; Tensor has the body."""
        raise NotImplementedError

    def type(self, dtype: npt.DTypeLike | None = None) -> Any:
        """Self in another dtype; without an argument, the name of this one."""
        return TYPE_NAMES[self.array.dtype] if dtype is None else self.to(dtype)

    def float(self) -> Tensor:
        """Self as float32."""
        return self.to(FLOAT)

    def double(self) -> Tensor:
        """Self as float64."""
        return self.to(np.float64)

    def int(self) -> Tensor:
        """Self as int32."""
        return self.to(np.int32)

    def long(self) -> Tensor:
        """Self as int64."""
        return self.to(LONG)

    def bool(self) -> Tensor:
        """Self as bool: whether each element is not 0."""
        return self.to(BOOL)


class Tensor(_Conversions):
    """An array that remembers how it was made, so that gradients can be sent back through its making.

    array: the ndarray inside, not copied. To make a Tensor from lists or numbers use minitrain.tensor(...).
    requires_grad: whether backward is to leave this Tensor's gradient in .grad.
    """

    # What most Tensors never have otherwise stands here, not in each of them.
    grad_fn: Node | None = None
    _grad: Tensor | None = None
    _requires_grad = False
    _base: Tensor | None = None  # whose memory this is a view of
    _born_at_version = 0
    _recorded_at_version = 0  # the version that the last write recorded on the tape made
    _accumulator: weakref.ref[AccumulateGrad] | None = None

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"Tensor wraps an ndarray, but got {type(array).__name__}; use minitrain.tensor(data).")
        self.array = array
        self._version = Version()
        if requires_grad:
            self.requires_grad = True

    def _become_view_of(self, viewed: Tensor) -> None:
        self._base = viewed if viewed._base is None else viewed._base
        self._version = viewed._version
        self._born_at_version = self._version.number

    def _refuse_outdated_view(self) -> None:
        if self._base is not None and self._base._recorded_at_version > self._born_at_version:
            raise RuntimeError(
                "This view was taken before its memory was changed by a recorded in-place operation; its gradient "
                "would be wrong. Take the view again, after the change."
            )

    def _edge(self) -> Node | AccumulateGrad:
        """Where this Tensor's gradient goes: to the Node that made it, or to a leaf's AccumulateGrad."""
        if self._base is not None:
            self._refuse_outdated_view()
        if self.grad_fn is not None:
            return self.grad_fn
        # Held weakly, since it holds this leaf: it lives as long as a graph needs it.
        accumulator = self._accumulator() if self._accumulator is not None else None
        if accumulator is None:
            accumulator = AccumulateGrad(self)
            self._accumulator = weakref.ref(accumulator)
        return accumulator

    def receive_grad(self, grad: Array, *, owned: bool) -> None:
        """self.grad += grad, called by backward's walk. An owned array may be kept, any other is copied.

        .grad has its Tensor's memory order, as the optimizer's state has: a pass over mixed orders is slow.
        """
        if self._grad is not None:
            self._grad.array += grad
            increment_version(self._grad)
        elif owned and grad.strides == self.array.strides:
            self._grad = Tensor(grad)
        else:
            self._grad = Tensor(np.empty_like(self.array))
            self._grad.array[...] = grad

    # What it is.

    @property
    def shape(self) -> Size:
        """The size along each axis."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' type, a NumPy dtype."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def device(self) -> Device:
        """The CPU."""
        return CPU

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one axis."""
        return self.shape if dim is None else self.array.shape[as_axis(dim, self.ndim)]

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float's."""
        return self.array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in the order of their indices."""
        return self.array.flags.c_contiguous

    def __repr__(self) -> str:
        suffixes = []
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        return format_tensor(self.array, suffixes)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self.array)))

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}: minitrain does not offer it")

    # Out of the Tensor: Python numbers and arrays.

    def item(self) -> Any:
        """The only element, as a Python number. Raises RuntimeError if there are more, or none."""
        if self.array.size != 1:
            raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
        return self.array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    def numpy(self) -> Array:
        """The array inside, sharing memory. Raises RuntimeError where a gradient would be lost unnoticed."""
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    # ndarray * Tensor is left to Tensor.__rmul__.
    __array_priority__ = 1000

    def __bool__(self) -> bool:
        if self.array.size != 1:
            kind = "no value" if self.array.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype.kind not in "biu":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    # Gradients.

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is asked for, here or by a Tensor that this one was made from."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.grad_fn is not None:
            if not value:
                raise RuntimeError("you can only change requires_grad flags of leaf variables; use detach() instead.")
            return
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, but this is {self.dtype}")
        self._requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for a gradient, or no longer; returns self."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by hand, not by a recorded operation; only leaves get a .grad of themselves."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients that backward has brought so far; None before the first, and after zero_grad."""
        if self.grad_fn is not None and self.grad_fn._retain_for is None and self._grad is None:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. It is None, unless "
                "retain_grad() is called on that Tensor before backward().",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"assigned grad has shape {list(value.shape)} and dtype {value.dtype}, but the Tensor has shape "
                    f"{list(self.shape)} and dtype {self.dtype}; a gradient has its Tensor's."
                )
        self._grad = value

    def retain_grad(self) -> None:
        """Have backward leave this Tensor's gradient in .grad although it is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self.grad_fn._retain_for = weakref.ref(self)

    def detach(self) -> Tensor:
        """The same memory as a Tensor with no history."""
        detached = Tensor(self.array)
        detached._version = self._version
        return detached

    @property
    def data(self) -> Tensor:
        """The same memory with no history; writing to it goes unnoticed by backward's guards (prefer detach())."""
        return Tensor(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, but got {type(value).__name__}")
        if value.array.shape == self.array.shape and value.array.dtype == self.array.dtype:
            self.array[...] = value.array  # the memory that is there stays, and its order with it
        elif self._requires_grad and not value.is_floating_point():
            raise RuntimeError(
                f"data set to a tensor that requires gradients must be floating point, not {value.dtype}"
            )
        else:
            self.array = value.array

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) to the .grad of every leaf that this Tensor was made from and that asks for it.

        gradient: dL/d(self), of self's shape; may be left out for a Tensor of one element (it is 1 then).
        retain_graph: keep what the operations saved, so that backward can be called again.
        Raises RuntimeError if nothing asks for a gradient, for a missing or misshapen gradient, in a second walk
        over a graph that was not retained, and if a saved array was changed in place since.
        """
        if create_graph:
            raise NotImplementedError("create_graph=True (gradients of gradients) is not offered; use torch for it.")
        if not self.requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn: nothing that this Tensor was "
                "made from asks for a gradient, or it was made under no_grad()."
            )
        if gradient is None:
            if self.array.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, but this Tensor has shape "
                    f"{list(self.shape)}; reduce it first (.sum() or .mean()), or pass gradient=."
                )
            grad = np.ones(self.array.shape, self.array.dtype)
        else:
            if not isinstance(gradient, Tensor):
                raise TypeError(f"gradient must be a Tensor or None, but got {type(gradient).__name__}")
            grad = gradient.array.astype(self.dtype, copy=False)
            if grad.shape != self.array.shape:
                raise RuntimeError(
                    f"Mismatch in shape: gradient has a shape of {list(grad.shape)} and the Tensor has a shape of "
                    f"{list(self.shape)}."
                )
        with np.errstate(all="ignore"):
            walk_back(self._edge(), grad, retain_graph=bool(retain_graph))

    # Arithmetic. Shapes broadcast, dtypes are promoted as in torch.

    def add(self, other: Any, *, alpha: Scalar = 1) -> Tensor:
        """self + alpha · other."""
        return _elementwise(ops.Add, self, other if alpha == 1 else _elementwise(ops.Mul, other, alpha))

    def sub(self, other: Any, *, alpha: Scalar = 1) -> Tensor:
        """self - alpha · other."""
        return _elementwise(ops.Sub, self, other if alpha == 1 else _elementwise(ops.Mul, other, alpha))

    def mul(self, other: Any) -> Tensor:
        """self · other."""
        return _elementwise(ops.Mul, self, other)

    def div(self, other: Any) -> Tensor:
        """self / other; integers are divided as floats."""
        return _true_divide(self, other)

    def neg(self) -> Tensor:
        """-self."""
        return apply(ops.Neg, self)

    def pow(self, exponent: Any) -> Tensor:
        """self to the power of exponent."""
        return _elementwise(ops.Pow, self, exponent)

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return _of_floats(ops.Exp, self)

    def log(self) -> Tensor:
        """The natural logarithm; -inf at 0, nan below."""
        return _of_floats(ops.Log, self)

    def sqrt(self) -> Tensor:
        """The square root; nan below 0."""
        return _of_floats(ops.Sqrt, self)

    def abs(self) -> Tensor:
        """The absolute value."""
        return apply(ops.Abs, self)

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return _of_floats(ops.Tanh, self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-self))."""
        return _of_floats(ops.Sigmoid, self)

    def relu(self) -> Tensor:
        """max(self, 0)."""
        return apply(ops.ReLU, self)

    def clamp(self, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
        """Each element, moved to min or max where it lies outside."""
        if min is None and max is None:
            raise RuntimeError("clamp: at least one of 'min' or 'max' must not be None")
        bounds = [bound for bound in (min, max) if bound is not None]
        return apply(ops.Clamp, self, compute_dtype=result_type(self, *bounds), min=min, max=max)

    def maximum(self, other: Tensor) -> Tensor:
        """The larger of each pair."""
        return _elementwise(ops.Maximum, self, other)

    def minimum(self, other: Tensor) -> Tensor:
        """The smaller of each pair."""
        return _elementwise(ops.Minimum, self, other)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition is true, other elsewhere; all three broadcast."""
        return where(condition, self, other)

    def __add__(self, other: Any) -> Tensor:
        return _elementwise(ops.Add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _elementwise(ops.Add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _elementwise(ops.Sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _elementwise(ops.Sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _elementwise(ops.Mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _elementwise(ops.Mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _true_divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _true_divide(other, self)

    def __pow__(self, exponent: Any) -> Tensor:
        return _elementwise(ops.Pow, self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return _elementwise(ops.Pow, base, self)

    def __neg__(self) -> Tensor:
        return self.neg()

    def __abs__(self) -> Tensor:
        return self.abs()

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.matmul(other)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product: (..., N, K) @ (..., K, M) -> (..., N, M); a vector is a row on the left, a column on
        the right. Raises RuntimeError for shapes that do not fit and for mixed dtypes, as torch."""
        if not isinstance(other, Tensor):
            raise TypeError(f"matmul(): argument 'other' must be Tensor, not {type(other).__name__}")
        a, b = self.array, other.array
        if a.ndim == 0 or b.ndim == 0:
            raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
        if a.dtype != b.dtype:
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
        if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({by_x(a.shape)} and {by_x(b.shape)})")
        check_broadcast(a.shape[:-2], b.shape[:-2])
        return apply(ops.Matmul, self, other)

    # Comparison: bool Tensors, no gradient.

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare(np.greater_equal, self, other)

    def __invert__(self) -> Tensor:
        return Tensor(np.asarray(~self.array))

    def __and__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __mod__(self, other: Any) -> Tensor:
        return _without_gradient(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _without_gradient(np.remainder, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _without_gradient(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _without_gradient(np.floor_divide, other, self)

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).array.any())

    def isnan(self) -> Tensor:
        """True where an element is nan."""
        return Tensor(np.asarray(np.isnan(self.array)))

    def isfinite(self) -> Tensor:
        """True where an element is neither nan nor infinite."""
        return Tensor(np.asarray(np.isfinite(self.array)))

    def equal(self, other: Tensor) -> bool:
        """Whether both have the same shape and the same elements."""
        return bool(np.array_equal(self.array, other.array))

    def allclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether |self - other| <= atol + rtol · |other| everywhere."""
        return bool(np.allclose(self.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan))

    # Reductions: over all axes, or over dim (an axis or several), which keepdim keeps with size 1.

    def sum(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The sum; integers and bools are summed as int64."""
        x = self.to(dtype) if dtype is not None else self if self.is_floating_point() else self.to(LONG)
        return apply(ops.Sum, x, dim=as_axes(dim, self.ndim), keepdim=keepdim)

    def mean(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The mean of floats; nan for no elements."""
        x = self if dtype is None else self.to(dtype)
        if not x.is_floating_point():
            raise RuntimeError(
                f"mean(): the input's dtype must be a floating point one, but it is {x.dtype}; "
                "call .float() first, or .sum() for a count."
            )
        return apply(ops.Mean, x, dim=as_axes(dim, x.ndim), keepdim=keepdim)

    def var(
        self,
        dim: int | Sequence[int] | None = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The variance: Σ (x - mean)² / (n - correction), where correction is 1, or 0 for unbiased=False."""
        if isinstance(dim, bool):  # torch's var(unbiased)
            unbiased, dim = dim, None
        n = math.prod(self.array.shape[axis] for axis in as_axes(dim, self.ndim))
        distance = self - self.mean(dim, keepdim=True)
        lost = int(unbiased) if correction is None else correction
        return (distance * distance).sum(dim, keepdim) / float(max(n - lost, 0))

    def std(
        self,
        dim: int | Sequence[int] | None = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The standard deviation: √variance. Where it is 0 its gradient is 0, as torch."""
        variance = self.var(dim, unbiased, keepdim, correction=correction)
        constant = variance == 0
        return where(constant, 0.0, where(constant, 1.0, variance).sqrt())

    def amax(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The maximum; its gradient is shared evenly among equal maxima."""
        axes = as_axes(dim, self.ndim)
        refuse_empty(self.array.shape, axes, "amax")
        return apply(ops.Amax, self, dim=axes, keepdim=keepdim)

    def amin(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The minimum; its gradient is shared evenly among equal minima."""
        if self.is_floating_point():
            return -(-self).amax(dim, keepdim)
        axes = as_axes(dim, self.ndim)
        refuse_empty(self.array.shape, axes, "amin")
        return Tensor(np.asarray(self.array.min(axis=axes, keepdims=keepdim)))

    def max(self, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
        """The maximum of all elements; with dim, (values, indices), and the gradient goes to those indices.

        max(other), with a Tensor, is maximum(other).
        """
        if isinstance(dim, Tensor):
            return self.maximum(dim)
        return self.amax() if dim is None else self._pick(self.argmax(dim, keepdim=True), dim, keepdim)

    def min(self, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
        """The minimum of all elements; with dim, (values, indices), and the gradient goes to those indices.

        min(other), with a Tensor, is minimum(other).
        """
        if isinstance(dim, Tensor):
            return self.minimum(dim)
        return self.amin() if dim is None else self._pick(self.argmin(dim, keepdim=True), dim, keepdim)

    def _pick(self, indices: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
        axis = as_axis(dim, self.ndim)
        if self.ndim == 0:
            return ValuesAndIndices(self.clone(), indices)
        grid = list(np.ogrid[tuple(slice(size) for size in indices.array.shape)])
        grid[axis] = indices.array
        values = self[tuple(grid)]
        if keepdim:
            return ValuesAndIndices(values, indices)
        return ValuesAndIndices(values.squeeze(axis), indices.squeeze(axis))

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the maximum (the first of equal ones), among all elements or along dim; no gradient."""
        return self._arg(np.argmax, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the minimum (the first of equal ones), among all elements or along dim; no gradient."""
        return self._arg(np.argmin, dim, keepdim)

    def _arg(self, find: Callable[..., Any], dim: int | None, keepdim: bool) -> Tensor:
        axis = None if dim is None else as_axis(dim, self.ndim)
        refuse_empty(self.array.shape, as_axes(dim, self.ndim), find.__name__)
        if self.ndim == 0:
            return Tensor(np.zeros((), LONG))
        return Tensor(np.asarray(find(self.array, axis=axis, keepdims=keepdim), LONG))

    def all(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true; no gradient."""
        return Tensor(np.asarray(self.array.all(axis=as_axes(dim, self.ndim), keepdims=keepdim)))

    def any(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Whether any element is true; no gradient."""
        return Tensor(np.asarray(self.array.any(axis=as_axes(dim, self.ndim), keepdims=keepdim)))

    def softmax(self, dim: int, dtype: npt.DTypeLike | None = None) -> Tensor:
        """exp(x) / Σ exp(x) along dim."""
        x = self if dtype is None else self.to(dtype)
        _require_float(x, "softmax")
        return apply(ops.Softmax, x, dim=as_axis(dim, self.ndim))

    def log_softmax(self, dim: int, dtype: npt.DTypeLike | None = None) -> Tensor:
        """x - ln Σ exp(x) along dim."""
        x = self if dtype is None else self.to(dtype)
        _require_float(x, "log_softmax")
        return apply(ops.LogSoftmax, x, dim=as_axis(dim, self.ndim))

    # Shapes.

    def reshape(self, *shape: Any) -> Tensor:
        """The elements in another shape; one size may be -1 and follows from the others."""
        sizes = as_shape(shape)
        try:
            return apply(ops.Reshape, self, shape=sizes)
        except ValueError:
            raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {self.numel()}") from None

    def view(self, *shape: Any) -> Tensor:
        """reshape that never copies: raises RuntimeError where the memory's order would need it."""
        result = self.reshape(*shape)
        if result.numel() and not np.may_share_memory(result.array, self.array):
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            )
        return result

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes start_dim to end_dim made one; self, where that is one axis already."""
        start, end = as_axis(start_dim, self.ndim), as_axis(end_dim, self.ndim)
        if start > end:
            raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
        if start == end and self.ndim > 0:
            return self
        return apply(ops.Flatten, self, start_dim=start, end_dim=end)

    def squeeze(self, dim: int | Sequence[int] | None = None) -> Tensor:
        """Without its axes of size 1, or without those of them that dim names."""
        shape = self.array.shape
        axes = as_axes(dim, self.ndim)
        return self.reshape([size for axis, size in enumerate(shape) if size != 1 or axis not in axes])

    def unsqueeze(self, dim: int) -> Tensor:
        """With an axis of size 1 put in at dim."""
        axis = as_axis(dim, self.ndim + 1)
        return self.reshape([*self.array.shape[:axis], 1, *self.array.shape[axis:]])

    def expand(self, *sizes: Any) -> Tensor:
        """Repeated along axes of size 1 to a larger shape, without copying; -1 keeps a size."""
        shape = list(as_shape(sizes))
        added = len(shape) - self.ndim
        for axis, size in enumerate(self.array.shape, start=added):
            if added < 0 or (size not in (1, shape[axis]) and shape[axis] != -1):
                raise RuntimeError(f"expand: shape {list(self.shape)} cannot be expanded to {shape}")
            shape[axis] = size if shape[axis] == -1 else shape[axis]
        if any(size < 0 for size in shape):
            raise RuntimeError(f"expand: shape {list(self.shape)} cannot be expanded to {shape}")
        return apply(ops.Expand, self, shape=tuple(shape))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes swapped."""
        axis0, axis1 = as_axis(dim0, self.ndim), as_axis(dim1, self.ndim)
        return apply(ops.Transpose, self, dim0=axis0, dim1=axis1) if self.ndim else self.reshape(())

    def permute(self, *dims: Any) -> Tensor:
        """The axes in the order dims."""
        given = as_shape(dims)
        order = tuple(as_axis(dim, self.ndim) for dim in given) if len(given) == self.ndim else ()
        if len(given) != self.ndim or len(set(order)) != self.ndim:
            raise RuntimeError(f"permute(dims): dims {list(given)} are not an order of the {self.ndim} axes")
        return apply(ops.Permute, self, dims=order)

    def t(self) -> Tensor:
        """A matrix transposed; a vector as it is."""
        if self.ndim > 2:
            raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
        return self.transpose(0, 1) if self.ndim == 2 else self.reshape(self.array.shape)

    @property
    def T(self) -> Tensor:  # noqa: N802, torch's name
        """A matrix transposed; a vector as it is."""
        return self.t()

    @property
    def mT(self) -> Tensor:  # noqa: N802, torch's name
        """The last two axes swapped."""
        return self.transpose(-2, -1)

    def contiguous(self) -> Tensor:
        """Self if its elements lie in the order of their indices, else a copy in which they do."""
        return self if self.is_contiguous() else self.clone(order="C")

    def clone(self, *, order: Literal["K", "C"] = "K") -> Tensor:
        """A copy, in the same memory order; gradients flow back through it."""
        return apply(ops.Clone, self, order=order)

    def __getitem__(self, index: Any) -> Tensor:
        result = self
        for step in as_indices(index, self.ndim):
            result = apply(ops.Index, result, index=step)
        return result

    # dtypes.

    def to(self, *args: Any, dtype: npt.DTypeLike | None = None, device: Any = None, **options: Any) -> Tensor:
        """Self in another dtype: to(dtype), to(device), to(device, dtype) or to(other Tensor). The device is the CPU.

        copy=True copies even where nothing changes; non_blocking has no meaning here.
        """
        copy = options.pop("copy", False)
        options.pop("non_blocking", False)
        if options:
            raise TypeError(f"to() got an unexpected keyword argument {next(iter(options))!r}")
        for arg in args:
            if isinstance(arg, Tensor):
                dtype = arg.dtype
            elif isinstance(arg, Device | str):
                device = arg
            else:
                dtype = arg
        if device is not None:
            Device(device)
        target = self.dtype if dtype is None else as_dtype(dtype)
        if target == self.dtype:
            return self.clone() if copy else self
        if target.kind != "f":
            with np.errstate(invalid="ignore"):
                return Tensor(self.array.astype(target))
        return apply(ops.ToCopy, self, dtype=target)

    def cpu(self) -> Tensor:
        """Self: it is on the CPU."""
        return self

    # In place: the trailing underscore says that self's own memory is written.

    def _records_write(self, *operands: Any) -> bool:
        """Whether an in-place operation is to be recorded. Raises RuntimeError where it must not happen at all."""
        if not self.array.flags.writeable:
            raise RuntimeError(
                "this Tensor's memory cannot be written: elements of an expanded Tensor share a place, or it wraps a "
                "read-only array. clone() it first."
            )
        on_tape = [isinstance(x, Tensor) and x.requires_grad for x in (self, self._base, *operands)]
        if not is_grad_enabled() or not any(on_tape):
            return False
        if self.grad_fn is None and self.requires_grad:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation. Change it inside "
                "`with no_grad():`, or write the change out of place."
            )
        if self._base is not None:
            raise RuntimeError(
                "an in-place operation on a view of another tensor cannot be recorded here. Write to the tensor "
                "itself (x[i] = x[i] + y, not x[i] += y), or clone() the view first."
            )
        return True

    def _write(self, function: type[Function], *operands: Any, **options: Any) -> Self:
        """self[...] = function(self, *operands); if that is recorded, self has a new history from then on."""
        recording = self._records_write(*operands)
        # The value before the write stands for self on the tape, with a memory of its own: backward may need it.
        before = Tensor(self.array.copy() if recording else self.array)
        before._requires_grad, before.grad_fn = self._requires_grad, self.grad_fn
        after = apply(function, before, *operands, **options)
        if after.array.shape != self.array.shape:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(after.shape)}"
            )
        if category(after.dtype) > category(self.dtype):
            raise RuntimeError(f"result type {after.dtype} can't be cast to the desired output type {self.dtype}")
        with np.errstate(all="ignore"):
            self.array[...] = after.array
        increment_version(self)
        if recording and after.grad_fn is not None:
            if self.grad_fn is not None:  # what retain_grad() asked for is the gradient of self as it is now
                after.grad_fn._retain_for, self.grad_fn._retain_for = self.grad_fn._retain_for, None
            self.grad_fn, self._requires_grad = after.grad_fn, True
            self._recorded_at_version = self._version.number
        return self

    def add_(self, other: Any, *, alpha: Scalar = 1) -> Self:
        """self += alpha · other."""
        other = _operand(other) if alpha == 1 else _elementwise(ops.Mul, other, alpha)
        return self._write(ops.Add, other, compute_dtype=result_type(self, other))

    def sub_(self, other: Any, *, alpha: Scalar = 1) -> Self:
        """self -= alpha · other."""
        other = _operand(other) if alpha == 1 else _elementwise(ops.Mul, other, alpha)
        return self._write(ops.Sub, other, compute_dtype=result_type(self, other))

    def mul_(self, other: Any) -> Self:
        """self *= other."""
        other = _operand(other)
        return self._write(ops.Mul, other, compute_dtype=result_type(self, other))

    def div_(self, other: Any) -> Self:
        """self /= other."""
        other = _operand(other)
        return self._write(ops.Div, other, compute_dtype=floating(result_type(self, other)))

    def __setitem__(self, index: Any, value: Any) -> None:
        value = _operand(value)
        *first, last = as_indices(index, self.ndim)
        target = self
        for step in first:
            target = apply(ops.Index, target, index=step)
        try:
            if target._records_write(value):
                target._write(ops.IndexPut, value, index=last, compute_dtype=self.dtype)
            else:
                with np.errstate(all="ignore"):
                    target.array[last] = value.array if isinstance(value, Tensor) else value
                increment_version(self)
        except (TypeError, ValueError) as error:
            raise RuntimeError(
                f"cannot assign to these elements of a Tensor of shape {list(self.shape)}: {error}"
            ) from None

    def copy_(self, src: Tensor) -> Self:
        """self[...] = src, in self's dtype and memory order."""
        self[...] = src
        return self

    def fill_(self, value: Any) -> Self:
        """self[...] = value."""
        self[...] = value
        return self

    def zero_(self) -> Self:
        """self[...] = 0."""
        return self.fill_(0)

    def clamp_(self, min: Scalar | None = None, max: Scalar | None = None) -> Self:
        """Move each element to min or max where it lies outside."""
        return self._write(ops.Clamp, min=min, max=max)

    def relu_(self) -> Self:
        """max(self, 0) in self's memory."""
        return self._write(ops.ReLU)

    def uniform_(self, from_: Scalar = 0.0, to: Scalar = 1.0, *, generator: random.Generator | None = None) -> Self:
        """Fill with values drawn evenly from [from_, to): torch's, bit for bit (see minitrain.random)."""
        return self.copy_(Tensor(random.uniform(self.shape, from_, to, dtype=self.dtype, generator=generator)))

    def normal_(self, mean: Scalar = 0.0, std: Scalar = 1.0, *, generator: random.Generator | None = None) -> Self:
        """Fill with values drawn from a normal distribution (see minitrain.random on which are torch's bits)."""
        return self.copy_(Tensor(random.normal(self.shape, mean, std, dtype=self.dtype, generator=generator)))

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    # Copying whole Tensors, as copy.deepcopy(model) and pickle do: leaves only, with their memory order.

    def __getstate__(self) -> dict[str, Any]:
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol; "
                "use detach() or clone() on a result."
            )
        return {"array": self.array, "_requires_grad": self._requires_grad, "_grad": self._grad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Tensor.__init__(self, state["array"])
        self.__dict__.update(state)


# --- what several methods share -------------------------------------------------------------------------------


def result_type(*operands: Tensor | Scalar) -> np.dtype[Any]:
    """The dtype of an operation on these operands, as torch's.

    A float decides over an integer, an integer over a bool. Among operands of one such kind, Tensors with axes
    decide over Tensors without (0-d), and these over Python numbers.
    """
    with_axes = [x.dtype for x in operands if isinstance(x, Tensor) and x.array.ndim]
    without_axes = [x.dtype for x in operands if isinstance(x, Tensor) and not x.array.ndim]
    numbers = [dtype_of_number(x) for x in operands if not isinstance(x, Tensor)]
    by_weight = [functools.reduce(promote_types, group) for group in (with_axes, without_axes, numbers) if group]
    return max(by_weight, key=category)  # the first of equals


def _operand(x: Any) -> Tensor | Scalar:
    """x as an operand: a Tensor, a Python number (for a NumPy scalar too), a Tensor around an ndarray."""
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, np.ndarray):
        as_dtype(x.dtype)
        return Tensor(x)
    if isinstance(x, Tensor | bool | int | float):
        return x
    raise TypeError(f"an operand must be a Tensor or a number, but got {type(x).__name__}")


def _wrapped(x: Tensor | Scalar, dtype: np.dtype[Any]) -> Any:
    """An int beside integers as one of theirs, wrapped around where it does not fit, as in torch."""
    return np.asarray(x).astype(dtype)[()] if isinstance(x, int) and dtype.kind in "iu" else x


def _elementwise(function: type[Function], *operands: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """apply, with the operands' dtypes promoted and their shapes broadcast as torch does."""
    converted = [_operand(x) for x in operands]
    dtype = result_type(*converted) if dtype is None else np.dtype(dtype)
    try:
        return apply(function, *(_wrapped(x, dtype) for x in converted), compute_dtype=dtype)
    except ValueError as error:
        check_broadcast(*(x.array.shape for x in converted if isinstance(x, Tensor)))
        raise RuntimeError(str(error)) from None


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """input where condition is true, other elsewhere; all three broadcast."""
    if not isinstance(condition, Tensor) or condition.dtype != BOOL:
        raise RuntimeError(f"where expected condition to be a bool Tensor, but got {_dtype_or_type(condition)}")
    operands = _operand(input), _operand(other)
    dtype = result_type(*operands)
    a, b = (x.to(dtype) if isinstance(x, Tensor) else Tensor(np.asarray(x, dtype)) for x in operands)
    check_broadcast(condition.array.shape, a.array.shape, b.array.shape)
    return apply(ops.Where, condition, a, b)


def _dtype_or_type(x: Any) -> str:
    return str(x.dtype) if isinstance(x, Tensor) else type(x).__name__


def _true_divide(a: Any, b: Any) -> Tensor:
    return _elementwise(ops.Div, a, b, dtype=floating(result_type(_operand(a), _operand(b))))


def _of_floats(function: type[Function], x: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{function.__name__.lower()}(): argument must be Tensor, not {type(x).__name__}")
    return apply(function, x, compute_dtype=floating(x.dtype))


def _compare(compare: Callable[..., Any], a: Any, b: Any) -> Tensor:
    """compare's result on both arrays, without a gradient; Python's own fallback for a foreign type."""
    try:
        operands = _operand(a), _operand(b)
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    dtype = result_type(*operands)
    check_broadcast(*(x.array.shape for x in operands if isinstance(x, Tensor)))
    arrays = [x.array.astype(dtype, copy=False) if isinstance(x, Tensor) else _wrapped(x, dtype) for x in operands]
    with np.errstate(all="ignore"):
        try:
            return Tensor(np.asarray(compare(*arrays)))
        except TypeError:
            raise NotImplementedError(f"{compare.__name__} is not offered for {dtype}") from None


def _without_gradient(function: Callable[..., Any], a: Any, b: Any) -> Tensor:
    if is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in (a, b)):
        raise NotImplementedError(f"{function.__name__} has no gradient in minitrain; detach() its operands first.")
    result = _compare(function, a, b)
    if result is not NotImplemented and result.dtype.kind != "f":
        divisor = b.array if isinstance(b, Tensor) else np.asarray(b)
        if result.numel() and not divisor.all():
            raise RuntimeError("ZeroDivisionError: an integer is divided by 0")
    return result


def _require_float(x: Tensor, name: str) -> None:
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: expected a floating point Tensor, but got {x.dtype}; call .float() first.")
