"""Tensor's methods on each element: arithmetic, functions, comparisons, and Python's operators for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.ops import Function
from minitrain.torchlike.arguments import (
    BOOL,
    Scalar,
    as_number,
    by_x,
    check_broadcast,
    converted,
    dtype_name,
    floating,
)
from minitrain.torchlike.names import named
from minitrain.torchlike.tensor_base import TensorBase, result_type

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


_OPERANDS = (TensorBase, int, float, np.generic, np.ndarray)


def _operator(method: Callable[..., Tensor]) -> Callable[[Any, Any], Tensor]:
    """A method as Python's operator: another kind of operand is asked for its own, such as __radd__."""

    def operate(self: Any, other: Any) -> Any:
        return method(self, other) if isinstance(other, _OPERANDS) else NotImplemented

    return operate


def _compares(compare: Callable[..., Any]) -> Callable[[Any, Any], Tensor]:
    """Python's operator that combines a Tensor with another operand by a NumPy function."""
    return lambda self, other: self._compare(compare, self, other)


def unary(name: str, function: type[Function], doc: str) -> Callable[[Any], Tensor]:
    """The method, and torch's function, of an operation on each element: integers and bools become floats first."""

    def method(self: Any) -> Tensor:
        if not isinstance(self, TensorBase):  # torch.exp(2.0)
            raise TypeError(f"{name}(): argument must be Tensor, not {type(self).__name__}")
        return self._apply(function, self, compute_dtype=floating(self.dtype))

    return named(method, name, doc)


def binary(name: str, compare: Callable[..., Any], doc: str) -> Callable[[Any, Any], Tensor]:
    """The method, and torch's function, that combines a Tensor with another operand by a NumPy function."""

    def method(self: Any, other: Any) -> Any:
        return self._compare(compare, self, self._operand(other))

    return named(method, name, doc)


class ElementwiseMethods(TensorBase):
    """Shapes broadcast, and dtypes are promoted as in torch."""

    def _elementwise(
        self, function: type[Function], *operands: Any, dtype: npt.DTypeLike | None = None, **options: Any
    ) -> Tensor:
        """Apply the operation to the operands, with dtypes promoted and shapes broadcast as in torch."""
        converted = [self._operand(x) for x in operands]
        dtype = result_type(*converted) if dtype is None else np.dtype(dtype)
        if dtype.kind in "iu":
            converted = [_wrapped(x, dtype) for x in converted]
        try:
            return self._apply(function, *converted, compute_dtype=dtype, **options)
        except ValueError as error:
            check_broadcast(*(x.array.shape for x in converted if isinstance(x, TensorBase)))
            raise RuntimeError(str(error)) from None

    # Arithmetic.

    def _scaled(self, other: Any, alpha: Scalar) -> Any:
        """other · alpha in the dtype of an operation of self and other. Raises RuntimeError as torch for an alpha."""
        if type(alpha) is int and alpha == 1:
            return other
        dtype = result_type(self, self._operand(other))
        if isinstance(alpha, bool) and dtype != BOOL:
            raise RuntimeError("Boolean alpha only supported for Boolean results.")
        if isinstance(alpha, float) and dtype.kind != "f":
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
        return self._elementwise(ops.Mul, other, alpha, dtype=dtype)

    def _difference(self, a: Any, b: Any) -> Tensor:
        self._refuse_bools(a, b)
        return self._elementwise(ops.Sub, a, b)

    def _refuse_bools(self, a: Any, b: Any) -> None:
        bools = [x.array.dtype == BOOL if isinstance(x, TensorBase) else isinstance(x, bool) for x in (a, b)]
        if all(bools):
            raise RuntimeError(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
                "operator instead."
            )
        if any(bools):
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                "mask, use the `~` or `logical_not()` operator instead."
            )

    def _refuse_bool(self, what: str) -> None:
        if self.dtype == BOOL:
            raise NotImplementedError(f"{what} is not implemented for bool; convert with .long() or .float() first.")

    def add(self, other: Any, *, alpha: Scalar = 1) -> Tensor:
        """self + alpha · other."""
        return self._elementwise(ops.Add, self, self._scaled(other, alpha))

    def __radd__(self, other: Any) -> Tensor:
        return self._elementwise(ops.Add, self, other)  # on the tape the Tensor comes first, as in torch

    def sub(self, other: Any, *, alpha: Scalar = 1) -> Tensor:
        """self - alpha · other."""
        return self._difference(self, self._scaled(other, alpha))

    def __rsub__(self, other: Any) -> Tensor:
        return self._difference(other, self)

    def mul(self, other: Any) -> Tensor:
        """self · other."""
        return self._elementwise(ops.Mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return self._elementwise(ops.Mul, self, other)

    def div(self, other: Any) -> Tensor:
        """self / other; integers are divided as floats."""
        return self._elementwise(ops.Div, self, other, dtype=floating(result_type(self, self._operand(other))))

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._elementwise(ops.Div, other, self, dtype=floating(result_type(self._operand(other), self)))

    def pow(self, exponent: Any) -> Tensor:
        """self to the power of exponent; an integer to the power of a negative one is 0, 1 or -1."""
        return self._power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return self._power(base, self)

    def _power(self, base: Any, exponent: Any) -> Tensor:
        dtype = result_type(self._operand(base), self._operand(exponent))
        if dtype == BOOL:
            raise NotImplementedError('"pow" is not implemented for bool; convert with .long() or .float() first.')
        if dtype.kind == "f":
            return self._elementwise(ops.Pow, base, exponent)
        if isinstance(exponent, TensorBase) and (exponent.array < 0).any():
            base, exponent = np.broadcast_arrays(np.asarray(base, dtype), exponent.array.astype(dtype))
            whole = np.power(base, np.maximum(exponent, 0))
            unit = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (exponent % 2), 0))
            return self._new(np.where(exponent < 0, unit, whole).astype(dtype))
        if isinstance(exponent, int):
            if exponent < 0:
                raise RuntimeError("Integers to negative integer powers are not allowed; convert with .float() first.")
            exponent = converted(exponent, dtype)
        try:
            return self._elementwise(ops.Pow, base, exponent)
        except ValueError as error:
            raise RuntimeError(str(error)) from None

    def neg(self) -> Tensor:
        """-self."""
        if self.dtype == BOOL:
            raise RuntimeError(
                "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
                "use the `~` or `logical_not()` operator instead."
            )
        return self._apply(ops.Neg, self)

    def abs(self) -> Tensor:
        """The absolute value."""
        self._refuse_bool("abs")
        return self._apply(ops.Abs, self)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product: (..., N, K) @ (..., K, M) -> (..., N, M); a vector is a row on the left, a column on
        the right. Raises RuntimeError for shapes that do not fit and for mixed dtypes, as torch."""
        if not isinstance(other, TensorBase):
            raise TypeError(f"matmul(): argument 'other' must be Tensor, not {type(other).__name__}")
        a, b = self.array, other.array
        if a.ndim == 0 or b.ndim == 0:
            raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
        self._refuse_bool("matmul")
        if a.dtype != b.dtype:
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
        if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({by_x(a.shape)} and {by_x(b.shape)})")
        if a.ndim > 2 or b.ndim > 2:
            check_broadcast(a.shape[:-2], b.shape[:-2])
        return self._apply(ops.Matmul, self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """The product of two matrices: (N, K), (K, M) -> (N, M)."""
        if self.ndim != 2 or mat2.ndim != 2:
            which, ndim = ("self", self.ndim) if self.ndim != 2 else ("mat2", mat2.ndim)
            raise RuntimeError(f"{which} must be a matrix, but it is {ndim}D; use matmul for vectors and batches.")
        return self.matmul(mat2)

    __add__, __sub__, __mul__, __truediv__ = _operator(add), _operator(sub), _operator(mul), _operator(div)
    __pow__, __matmul__, __neg__, __abs__ = _operator(pow), _operator(matmul), neg, abs

    # Functions of one element.

    exp = unary("exp", ops.Exp, "e to the power of each element.")
    log = unary("log", ops.Log, "The natural logarithm; -inf at 0, nan below.")
    sqrt = unary("sqrt", ops.Sqrt, "The square root; nan below 0.")
    tanh = unary("tanh", ops.Tanh, "The hyperbolic tangent.")
    sigmoid = unary("sigmoid", ops.Sigmoid, "1 / (1 + exp(-self)).")

    def relu(self) -> Tensor:
        """max(self, 0)."""
        if self.array.dtype == BOOL:
            raise RuntimeError("Boolean inputs not supported for relu")
        return self._apply(ops.ReLU, self)

    # Choices.

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Each element, moved to min or max if it lies outside. The bounds are numbers, or Tensors that broadcast."""
        if isinstance(min, TensorBase) or isinstance(max, TensorBase):
            raised = self._self() if min is None else self._elementwise(ops.Maximum, self, min)
            return raised if max is None else self._elementwise(ops.Minimum, raised, max)
        if min is None and max is None:
            raise RuntimeError("clamp: at least one of 'min' or 'max' must not be None")
        min, max = (None if bound is None else as_number(bound, "clamp(): a bound") for bound in (min, max))
        dtype = result_type(self, *[bound for bound in (min, max) if bound is not None])
        if dtype == BOOL:
            raise NotImplementedError('"clamp" is not implemented for bool; convert with .long() or .float() first.')
        min, max = (None if bound is None else converted(bound, dtype) for bound in (min, max))
        return self._apply(ops.Clamp, self, compute_dtype=dtype, min=min, max=max)

    def maximum(self, other: Tensor) -> Tensor:
        """The larger of each pair."""
        self._require_tensor("maximum", other)
        return self._elementwise(ops.Maximum, self, other)

    def minimum(self, other: Tensor) -> Tensor:
        """The smaller of each pair."""
        self._require_tensor("minimum", other)
        return self._elementwise(ops.Minimum, self, other)

    def _require_tensor(self, name: str, other: Any) -> None:
        if not isinstance(other, TensorBase):
            raise TypeError(f"{name}(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition is true, other elsewhere; all three broadcast."""
        return self._where(condition, self, other)

    def _where(self, condition: Any, input: Any, other: Any) -> Tensor:
        if not isinstance(condition, TensorBase) or condition.dtype != BOOL:
            found = condition.dtype if isinstance(condition, TensorBase) else type(condition).__name__
            raise RuntimeError(f"where expected condition to be a bool Tensor, but got {found}")
        operands = self._operand(input), self._operand(other)
        dtype = result_type(*operands)
        with np.errstate(over="ignore"):
            operands = tuple(_wrapped(x, dtype) for x in operands)
            a, b = (x.to(dtype) if isinstance(x, TensorBase) else self._new(np.asarray(x, dtype)) for x in operands)
        check_broadcast(condition.array.shape, a.array.shape, b.array.shape)
        return self._apply(ops.Where, condition, a, b)

    # Comparison and logic: no gradient.

    def _compare(self, compare: Callable[..., Any], a: Any, b: Any) -> Tensor:
        """compare's result on both arrays; Python's own fallback for a foreign type."""
        try:
            operands = self._operand(a), self._operand(b)
        except TypeError:
            return NotImplemented  # type: ignore[no-any-return]
        dtype = result_type(*operands)
        arrays = [
            x.array.astype(dtype, copy=False) if isinstance(x, TensorBase) else _wrapped(x, dtype) for x in operands
        ]
        try:
            with np.errstate(all="ignore"):
                return self._new(np.asarray(compare(*arrays)))
        except TypeError:
            raise NotImplementedError(f"{compare.__name__} is not offered for {dtype}") from None
        except ValueError:
            check_broadcast(*(x.array.shape for x in operands if isinstance(x, TensorBase)))
            raise

    __eq__, __ne__ = _compares(np.equal), _compares(np.not_equal)  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = map(_compares, (np.less, np.less_equal, np.greater, np.greater_equal))
    __and__, __or__, __xor__ = map(_compares, (np.bitwise_and, np.bitwise_or, np.bitwise_xor))
    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).array.any())

    def isnan(self) -> Tensor:
        """True where an element is nan."""
        return self._new(np.asarray(np.isnan(self.array)))

    def isfinite(self) -> Tensor:
        """True where an element is neither nan nor infinite."""
        return self._new(np.asarray(np.isfinite(self.array)))

    def equal(self, other: Tensor) -> bool:
        """Whether both have the same shape and the same elements."""
        return bool(np.array_equal(self.array, other.array))

    def allclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether |self - other| <= atol + rtol · |other| everywhere. Raises RuntimeError for two dtypes."""
        if self.dtype != other.dtype:
            raise RuntimeError(f"{dtype_name(self.dtype)} did not match {dtype_name(other.dtype)}")
        return bool(np.allclose(self.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan))

    __hash__ = object.__hash__


def _wrapped(x: Any, dtype: np.dtype[Any]) -> Any:
    """An int beside integers as one of theirs, wrapped around where it does not fit, as in torch."""
    return np.asarray(x).astype(dtype)[()] if isinstance(x, int) and dtype.kind in "iu" else x
