"""Tensor's methods that are functions of one element: trigonometry, exponentials, logarithms, rounding, signs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minitrain import ops
from minitrain.ops import Function
from minitrain.torchlike.arguments import BOOL, Scalar, dtype_name
from minitrain.torchlike.elementwise_methods import ElementwiseMethods, unary
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


def require_kinds(tensor: TensorBase, kinds: str, name: str) -> None:
    """Raise NotImplementedError, as torch, for a dtype whose kind, as NumPy has it, is not among these."""
    if tensor.dtype.kind not in kinds:
        remedy = "an integer or bool Tensor" if "f" not in kinds else ".float()" if kinds == "f" else ".long()"
        raise NotImplementedError(f'"{name}" not implemented for {dtype_name(tensor.dtype)!r}; use {remedy}.')


class FunctionMethods(ElementwiseMethods):
    """Where nothing else is said, integers and bools become floats of the default dtype first."""

    sin = unary("sin", ops.Sin, "The sine of an angle in radians.")
    cos = unary("cos", ops.Cos, "The cosine of an angle in radians.")
    tan = unary("tan", ops.Tan, "The tangent of an angle in radians.")
    asin = unary("asin", ops.Asin, "The angle in [-π/2, π/2] with this sine; nan outside [-1, 1].")
    acos = unary("acos", ops.Acos, "The angle in [0, π] with this cosine; nan outside [-1, 1].")
    atan = unary("atan", ops.Atan, "The angle in [-π/2, π/2] with this tangent.")
    sinh = unary("sinh", ops.Sinh, "The hyperbolic sine.")
    cosh = unary("cosh", ops.Cosh, "The hyperbolic cosine.")
    asinh = unary("asinh", ops.Asinh, "The inverse of sinh.")
    acosh = unary("acosh", ops.Acosh, "The inverse of cosh; nan below 1.")
    atanh = unary("atanh", ops.Atanh, "The inverse of tanh; nan outside [-1, 1].")

    lgamma = unary("lgamma", ops.Lgamma, "ln |Γ(x)|: ln (x - 1)! for whole x.")
    digamma = unary("digamma", ops.Digamma, "Γ'(x) / Γ(x), the derivative of lgamma.")

    def logit(self, eps: float | None = None) -> Tensor:
        """ln(x / (1 - x)), the inverse of sigmoid; eps: x is first clamped to eps and 1 - eps."""
        x = self._self() if self.is_floating_point() else self.float()
        if eps is not None:
            x = x.clamp(eps, 1 - eps)
        y: Tensor = x.log() - (-x).log1p()
        return y * self._where((x >= 0) & (x <= 1), 1.0, math.nan)  # outside the gradient is nan, too, as torch's

    sinc = unary("sinc", ops.Sinc, "sin(πx) / πx, and 1 at 0.")

    def deg2rad(self) -> Tensor:
        """An angle in degrees, in radians."""
        return self * (math.pi / 180)

    def rad2deg(self) -> Tensor:
        """An angle in radians, in degrees."""
        return self * (180 / math.pi)

    arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh

    exp2 = unary("exp2", ops.Exp2, "2 to the power of each element.")
    expm1 = unary("expm1", ops.Expm1, "exp(x) - 1, exact near 0.")
    log2 = unary("log2", ops.Log2, "The logarithm to base 2.")
    log10 = unary("log10", ops.Log10, "The logarithm to base 10.")
    log1p = unary("log1p", ops.Log1P, "ln(1 + x), exact near 0.")
    erf = unary("erf", ops.Erf, "The error function.")
    erfc = unary("erfc", ops.Erfc, "1 - erf(x), exact where erf(x) is close to 1.")
    reciprocal = unary("reciprocal", ops.Reciprocal, "1 / x.")
    rsqrt = unary("rsqrt", ops.Rsqrt, "1 / √x.")

    def square(self) -> Tensor:
        """x²."""
        return self.pow(2)

    def _rounded(self, function: type[Function], **options: int) -> Tensor:
        """Integers stay as they are."""
        require_kinds(self, "fiu", f"{function.__name__.lower()}_cpu")
        return self._apply(function, self, **options) if self.is_floating_point() else self._new(self.array.copy())

    def ceil(self) -> Tensor:
        """The smallest integer that is not below x, in x's dtype."""
        return self._rounded(ops.Ceil)

    def floor(self) -> Tensor:
        """The largest integer that is not above x, in x's dtype."""
        return self._rounded(ops.Floor)

    def round(self, *, decimals: int | None = None) -> Tensor:
        """The nearest number with this many decimals (0), in x's dtype; halves go to the even digit."""
        if decimals is not None:
            require_kinds(self, "f", "round_cpu")
        return self._rounded(ops.Round, decimals=decimals or 0)

    def trunc(self) -> Tensor:
        """X without its fraction, in x's dtype."""
        return self._rounded(ops.Trunc)

    def frac(self) -> Tensor:
        """The fraction of a float, with its sign."""
        require_kinds(self, "f", "frac_cpu")
        return self._apply(ops.Frac, self)

    def sign(self) -> Tensor:
        """1, 0 or -1, as x is above, at or below 0; in x's dtype."""
        return self._new(self.array.copy()) if self.dtype == BOOL else self._apply(ops.Sign, self)

    sgn, fix = sign, trunc

    def positive(self) -> Tensor:
        """Self. Raises RuntimeError for bools, as torch."""
        if self.dtype == BOOL:
            raise RuntimeError("The `+` operator, on a bool tensor is not supported; convert with .long() first.")
        return self._self()

    __pos__ = positive

    def nan_to_num(
        self, nan: Scalar | None = None, posinf: Scalar | None = None, neginf: Scalar | None = None
    ) -> Tensor:
        """X with numbers in place of nan (0), inf and -inf (the largest and smallest numbers of the dtype)."""
        if not self.is_floating_point():
            return self._new(self.array.copy())
        return self._apply(ops.NanToNum, self, nan=nan or 0.0, posinf=posinf, neginf=neginf)

    def isinf(self) -> Tensor:
        """True where an element is infinite."""
        return self._new(np.asarray(np.isinf(self.array)))

    def isposinf(self) -> Tensor:
        """True where an element is inf."""
        return self._new(np.asarray(self.array == np.inf))

    def isneginf(self) -> Tensor:
        """True where an element is -inf."""
        return self._new(np.asarray(self.array == -np.inf))

    def isreal(self) -> Tensor:
        """True everywhere: minitrain has no complex numbers."""
        return self._new(np.ones(self.array.shape, BOOL))

    def signbit(self) -> Tensor:
        """True where an element is negative, -0.0 among them."""
        return self._new(np.asarray(np.signbit(self.array) if self.is_floating_point() else self.array < 0))

    absolute, negative = ElementwiseMethods.abs, ElementwiseMethods.neg
