"""Tensor's methods that compare elements, or combine them by logic or bit by bit; none has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.ops import Array
from minitrain.torchlike.arguments import check_broadcast, dtype_name, floating
from minitrain.torchlike.binary_methods import BinaryMethods
from minitrain.torchlike.elementwise_methods import _operator, binary
from minitrain.torchlike.function_methods import require_kinds
from minitrain.torchlike.tensor_base import result_type

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class ComparisonMethods(BinaryMethods):
    """Shapes broadcast; dtypes are promoted as in torch."""

    eq = binary("eq", np.equal, "self == other, element by element.")
    ne = binary("ne", np.not_equal, "self != other, element by element.")
    lt = binary("lt", np.less, "self < other, element by element.")
    le = binary("le", np.less_equal, "self <= other, element by element.")
    gt = binary("gt", np.greater, "self > other, element by element.")
    ge = binary("ge", np.greater_equal, "self >= other, element by element.")

    not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

    def isclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
        """Whether |self - other| <= atol + rtol · |other|. Raises RuntimeError for two dtypes."""
        self._require_tensor("isclose", other)
        if self.dtype != other.dtype:
            raise RuntimeError(f"{dtype_name(self.dtype)} did not match {dtype_name(other.dtype)}")
        check_broadcast(self.shape, other.shape)
        a, b = self.array, other.array
        with np.errstate(all="ignore"):
            close = (a == b) | (equal_nan & (a != a) & (b != b))
            if rtol or atol:
                a, b = (x.astype(floating(x.dtype)) if x.dtype.kind != "f" else x for x in (a, b))
                close |= np.isfinite(a - b) & (np.abs(a - b) <= atol + np.abs(rtol * b))
        return self._new(np.asarray(close))

    # Logic: 0 is False, everything else True.

    def _logic(self, combine: Callable[..., Any], other: Any) -> Tensor:
        self._require_tensor(combine.__name__, other)
        check_broadcast(self.shape, other.shape)
        return self._new(np.asarray(combine(self.array, other.array)))

    def logical_and(self, other: Tensor) -> Tensor:
        """Whether both are not 0."""
        return self._logic(np.logical_and, other)

    def logical_or(self, other: Tensor) -> Tensor:
        """Whether one is not 0, or both are not."""
        return self._logic(np.logical_or, other)

    def logical_xor(self, other: Tensor) -> Tensor:
        """Whether one is not 0, but not both."""
        return self._logic(np.logical_xor, other)

    def logical_not(self) -> Tensor:
        """Whether an element is 0."""
        return self._new(np.asarray(np.logical_not(self.array)))

    # Bit by bit: of integers and bools.

    bitwise_and = binary("bitwise_and", np.bitwise_and, "self & other.")
    bitwise_or = binary("bitwise_or", np.bitwise_or, "self | other.")
    bitwise_xor = binary("bitwise_xor", np.bitwise_xor, "self ^ other.")

    def bitwise_not(self) -> Tensor:
        """~self."""
        require_kinds(self, "biu", "bitwise_not_cpu")
        return self._new(np.asarray(~self.array))

    def __invert__(self) -> Tensor:
        if self.is_floating_point():
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return self.bitwise_not()

    # Integers.

    def _of_integers(self, name: str, compute: Callable[..., Any], a: Any, b: Any) -> Tensor:
        operands = self._operand(a), self._operand(b)
        dtype = result_type(*operands)
        if dtype.kind not in "iu":
            raise NotImplementedError(f'"{name}_cpu" not implemented for {dtype_name(dtype)!r}; use .long().')
        return self._compare(compute, *operands)

    def gcd(self, other: Tensor) -> Tensor:
        """The greatest common divisor of each pair of integers."""
        self._require_tensor("gcd", other)
        return self._of_integers("gcd", np.gcd, self, other)

    def lcm(self, other: Tensor) -> Tensor:
        """The least common multiple of each pair of integers."""
        self._require_tensor("lcm", other)
        return self._of_integers("lcm", np.lcm, self, other)

    def bitwise_left_shift(self, other: Any) -> Tensor:
        """self << other: the bits of integers moved up, which multiplies by 2 to the power of other."""
        return self._of_integers("lshift", np.left_shift, self, other)

    def bitwise_right_shift(self, other: Any) -> Tensor:
        """self >> other: the bits of integers moved down, which divides by 2 to the power of other and rounds down."""
        return self._of_integers("rshift", _right_shift, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return self._of_integers("lshift", np.left_shift, other, self)

    def __rrshift__(self, other: Any) -> Tensor:
        return self._of_integers("rshift", _right_shift, other, self)

    __lshift__, __rshift__ = _operator(bitwise_left_shift), _operator(bitwise_right_shift)


def _right_shift(a: Array, b: Array) -> Array:
    """np.right_shift, but a negative or large b leaves the sign alone, as torch's does (NumPy gives 0 for it)."""
    b = np.asarray(b)
    bits = 8 * b.itemsize - 1
    return np.asarray(np.right_shift(a, np.where((b < 0) | (b > bits), bits, b).astype(b.dtype)))
