"""The logarithm of the gamma function, and its derivatives digamma and trigamma."""

from __future__ import annotations

import math

import numpy as np

from minitrain.ops.function import Array, Context, Function, Gradients

FAR = 10  # from here on the asymptotic series below are exact in float64
# The coefficients of x⁻², x⁻⁴, ... in digamma, and of x⁻³, x⁻⁵, ... in trigamma: Bernoulli numbers.
DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)
TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # at 0, -1, -2, ...; beyond the largest float
        return math.inf


def _series(x: Array, coefficients: tuple[float, ...]) -> Array:
    """c₁ + c₂ x⁻² + c₃ x⁻⁴ + ..."""
    y, square = np.zeros_like(x), 1 / (x * x)
    for coefficient in reversed(coefficients):
        y = y * square + coefficient
    return y


def digamma(x: Array) -> Array:
    """ψ(x) = Γ'(x) / Γ(x), in float64.

    ψ(x) = ψ(x + 1) - 1 / x leads to a large x, ψ(x) = ψ(1 - x) - π / tan πx to a positive one.
    """
    x = x.astype(np.float64)
    z = np.where(x < 0, 1 - x, x)
    y = np.zeros_like(z)
    for _ in range(FAR):
        near = z < FAR
        y, z = np.where(near, y - 1 / z, y), np.where(near, z + 1, z)
    y += np.log(z) - 0.5 / z + np.where(np.isinf(z), 0.0, _series(z, DIGAMMA) / (z * z))
    reflected = y - np.pi / np.tan(np.pi * (x - np.rint(x)))
    return np.where(x >= 0, y, np.where(x == np.floor(x), np.nan, reflected))


def trigamma(x: Array) -> Array:
    """ψ'(x), in float64.

    ψ'(x) = ψ'(x + 1) + 1 / x² leads to a large x, ψ'(x) = π² / sin² πx - ψ'(1 - x) to a positive one.
    """
    x = x.astype(np.float64)
    z = np.where(x < 0.5, 1 - x, x)
    y = np.zeros_like(z)
    for _ in range(FAR):
        near = z < FAR
        y, z = np.where(near, y + 1 / (z * z), y), np.where(near, z + 1, z)
    y += 1 / z + 0.5 / (z * z) + _series(z, TRIGAMMA) / (z * z * z)
    return np.where(x < 0.5, (np.pi / np.sin(np.pi * (x - np.rint(x)))) ** 2 - y, y)


class Lgamma(Function):
    """y = ln |Γ(x)|;  dL/dx = dL/dy · ψ(x)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.array([_lgamma(value) for value in x.ravel().tolist()], np.float64).astype(x.dtype).reshape(x.shape)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return digamma(x).astype(x.dtype) * grad_y


class Digamma(Function):
    """y = ψ(x) = Γ'(x) / Γ(x);  dL/dx = dL/dy · ψ'(x)."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.where(x == 0, np.copysign(np.inf, -x), digamma(x)).astype(x.dtype)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return trigamma(x).astype(x.dtype) * grad_y
