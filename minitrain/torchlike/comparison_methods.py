"""Tensor's methods that compare elements, or combine them by logic or bit by bit; none has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.torchlike.arguments import check_broadcast, dtype_name, floating
from minitrain.torchlike.binary_methods import BinaryMethods
from minitrain.torchlike.elementwise_methods import binary
from minitrain.torchlike.function_methods import require_kinds

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
