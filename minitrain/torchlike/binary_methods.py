"""Tensor's methods that are functions of two or three elements: division that rounds, interpolation, and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import ops
from minitrain.ops import Array, Context, Function, Gradients
from minitrain.torchlike.arguments import BOOL, Scalar, dtype_name, floating
from minitrain.torchlike.elementwise_methods import _operator
from minitrain.torchlike.function_methods import FunctionMethods
from minitrain.torchlike.tensor_base import TensorBase, result_type

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class NotDifferentiable(Function):
    """y = compute(a, b), recorded as in torch, which raises only if backward comes by."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array, *, compute: Callable[[Array, Array], Array], remedy: str) -> Array:
        ctx.name_of_compute, ctx.remedy = compute.__name__, remedy
        return compute(a, b)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        raise RuntimeError(f"derivative for {ctx.name_of_compute} is not implemented; {ctx.remedy}")


class BinaryMethods(FunctionMethods):
    """Shapes broadcast, and dtypes are promoted as in torch."""

    def _divided(self, function: type[Function], a: Any, b: Any, name: str, **options: Any) -> Tensor:
        """Apply an operation that divides and rounds; integers stay integers, and may not be divided by 0."""
        operands = self._operand(a), self._operand(b)
        dtype = result_type(*operands)
        if dtype == BOOL:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'; convert with .long() first.")
        divisor = getattr(operands[1], "array", operands[1])
        if dtype.kind != "f" and not np.all(divisor) and all(x.numel() for x in operands if isinstance(x, TensorBase)):
            raise RuntimeError("ZeroDivisionError: an integer is divided by 0; divide by a float for inf and nan.")
        return self._elementwise(function, *operands, dtype=dtype, **options)

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """self / other. Integers are divided as floats, but stay integers where the quotient is rounded.

        rounding_mode: "floor" rounds down, "trunc" towards 0.
        """
        if rounding_mode is None:
            return super().div(other)
        if rounding_mode not in ("floor", "trunc"):
            raise RuntimeError(
                f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
            )
        return self._divided(ops.DivRounded, self, other, f"div_{rounding_mode}", rounding_mode=rounding_mode)

    def floor_divide(self, other: Any) -> Tensor:
        """self / other, rounded down; it has no gradient (div with rounding_mode="floor" has one, of 0)."""
        return self._floor_divided(self, other)

    def _floor_divided(self, a: Any, b: Any) -> Tensor:
        remedy = 'use div(other, rounding_mode="floor"), whose gradient is 0, or detach() the operands first.'
        return self._divided(NotDifferentiable, a, b, "div_floor", compute=np.floor_divide, remedy=remedy)

    def remainder(self, other: Any) -> Tensor:
        """What is left of self after division by other, with other's sign."""
        return self._divided(ops.Remainder, self, other, "remainder")

    def fmod(self, other: Any) -> Tensor:
        """What is left of self after division by other, with self's sign."""
        return self._divided(ops.Fmod, self, other, "fmod")

    def __rmod__(self, other: Any) -> Tensor:
        return self._divided(ops.Remainder, other, self, "remainder")

    def __rfloordiv__(self, other: Any) -> Tensor:
        return self._floor_divided(other, self)

    __mod__, __floordiv__ = _operator(remainder), _operator(floor_divide)

    def atan2(self, other: Tensor) -> Tensor:
        """The angle in radians of the point with x = other and y = self."""
        self._require_tensor("atan2", other)
        return self._elementwise(ops.Atan2, self, other, dtype=floating(result_type(self, other)))

    def _of_two_floats(self, function: type[Function], other: Tensor) -> Tensor:
        name = function.__name__.lower()
        self._require_tensor(name, other)
        dtype = result_type(self, other)
        if dtype.kind != "f":
            raise NotImplementedError(f'"{name}_cpu" not implemented for {dtype_name(dtype)!r}; use .float().')
        return self._elementwise(function, self, other)

    def hypot(self, other: Tensor) -> Tensor:
        """√(self² + other²), without overflow."""
        return self._of_two_floats(ops.Hypot, other)

    def logaddexp(self, other: Tensor) -> Tensor:
        """ln(exp(self) + exp(other)), without overflow."""
        return self._of_two_floats(ops.Logaddexp, other)

    def logaddexp2(self, other: Tensor) -> Tensor:
        """log₂(2^self + 2^other), without overflow."""
        return self._of_two_floats(ops.Logaddexp2, other)

    def xlogy(self, other: Any) -> Tensor:
        """self · ln(other), and 0 where self is 0."""
        return self._elementwise(ops.Xlogy, self, other, dtype=floating(result_type(self, self._operand(other))))

    def copysign(self, other: Any) -> Tensor:
        """|self| with other's sign."""
        return self._elementwise(ops.Copysign, self, other, dtype=floating(result_type(self, self._operand(other))))

    def heaviside(self, values: Tensor) -> Tensor:
        """0 below 0, 1 above, and values at 0; it has no gradient. Both need the same dtype."""
        if not isinstance(values, TensorBase):
            raise TypeError(f"heaviside(): argument 'values' must be Tensor, not {type(values).__name__}")
        if values.dtype != self.dtype:
            raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
        return self._elementwise(NotDifferentiable, self, values, compute=_heaviside, remedy="detach() the operands.")

    def float_power(self, exponent: Any) -> Tensor:
        """self to the power of exponent, in float64."""
        power: Tensor = self.double().pow(exponent.double() if isinstance(exponent, TensorBase) else float(exponent))
        return power

    def fmax(self, other: Tensor) -> Tensor:
        """The larger of each pair, or the one that is not nan."""
        self._require_tensor("fmax", other)
        return self._elementwise(ops.Fmax, self, other)

    def fmin(self, other: Tensor) -> Tensor:
        """The smaller of each pair, or the one that is not nan."""
        self._require_tensor("fmin", other)
        return self._elementwise(ops.Fmin, self, other)

    def clamp_min(self, min: Any) -> Tensor:
        """Each element, moved to min if it is below."""
        return self.clamp(min=min)

    def clamp_max(self, max: Any) -> Tensor:
        """Each element, moved to max if it is above."""
        return self.clamp(max=max)

    def lerp(self, end: Tensor, weight: Any) -> Tensor:
        """self + weight · (end - self), in floats of one dtype; weight is a number, or a Tensor that broadcasts."""
        require = {"end": end, "weight": weight} if isinstance(weight, TensorBase) else {"end": end}
        for name, x in require.items():
            if not isinstance(x, TensorBase):
                raise TypeError(f"lerp(): argument {name!r} must be Tensor, not {type(x).__name__}")
            if x.dtype != self.dtype:
                raise RuntimeError(f"expected dtype {self.dtype} for `{name}` but got dtype {x.dtype}")
        if not self.is_floating_point():
            raise NotImplementedError(f'"lerp_kernel" not implemented for {dtype_name(self.dtype)!r}; use .float().')
        return self._elementwise(ops.Lerp, self, end, weight)

    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
        """self + value · tensor1 · tensor2."""
        start, tensor1, tensor2 = _alike(self, tensor1, tensor2)
        return start + (tensor1 if type(value) is int and value == 1 else tensor1 * _number(value, start)) * tensor2

    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
        """self + value · tensor1 / tensor2, of floats."""
        if tensor1.dtype.kind != "f" and tensor2.dtype.kind != "f":
            raise RuntimeError("Integer division with addcdiv is no longer supported; convert with .float() first.")
        start, tensor1, tensor2 = _alike(self, tensor1, tensor2)
        return start + (tensor1 if type(value) is int and value == 1 else tensor1 * _number(value, start)) / tensor2

    true_divide = FunctionMethods.div
    divide, arctan2, clip = div, atan2, FunctionMethods.clamp
    multiply, subtract = FunctionMethods.mul, FunctionMethods.sub


def _alike(*tensors: Any) -> list[Tensor]:
    """Tensors in the dtype of an operation on all of them."""
    dtype = result_type(*tensors)
    return [x if x.dtype == dtype else x.to(dtype) for x in tensors]


def _number(value: Scalar, like: Tensor) -> Scalar:
    """A number as the Tensor's elements are: whole among whole ones."""
    return value if like.is_floating_point() else int(value)


def _heaviside(a: Array, b: Array) -> Array:
    return np.where(np.equal(a, 0), b, np.greater(a, 0)).astype(a.dtype)
