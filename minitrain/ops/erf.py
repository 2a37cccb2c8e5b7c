"""The error function, the share of a normal distribution between two bounds, and its complement."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.ops.function import Array, Function
from minitrain.ops.unary import of_input

SLOPE_AT_0 = 2 / math.sqrt(math.pi)


def _of_each(function: Callable[[float], float], x: Array) -> Array:
    """The standard library's function, which takes one number."""
    return np.array([function(value) for value in x.ravel().tolist()], x.dtype).reshape(x.shape)


# NumPy has no erf, and a Python call per element is slow. Around a center c the Taylor series is
#     erf(c + d) = erf c + 2/√π exp(-c²) Σ aₖ dᵏ / k,  where a₁ = 1 and k aₖ₊₁ = -2 (c aₖ + aₖ₋₁),
# since Σ aₖ₊₁ dᵏ = exp(-2cd - d²). With a center every 1/32, |d| is at most 1/64.
STEP, TERMS, LAST = 1 / 32, 8, 6  # erf is 1 in float64 from 6 on


@functools.cache
def _series(dtype: np.dtype[Any]) -> list[Array]:
    """The series' coefficients of 1, d, d², ..., each for all centers from 0 to 6."""
    centers = np.arange(0, LAST + STEP, STEP)
    slopes = SLOPE_AT_0 * np.exp(-centers * centers)
    coefficients = [_of_each(math.erf, centers), slopes]
    before, last = np.zeros_like(centers), np.ones_like(centers)
    for k in range(1, TERMS):
        before, last = last, -2 * (centers * last + before) / k
        coefficients.append(slopes * last / (k + 1))
    return [c.astype(dtype) for c in coefficients[: TERMS + 1 if dtype == np.float64 else TERMS // 2 + 1]]


def erf(x: Array) -> Array:
    """The error function of each element, from the Taylor series around the nearest center."""
    size = np.minimum(np.abs(x), LAST)
    steps = np.rint(size * (1 / STEP))
    d = size - steps * STEP  # nan comes back with d
    place = np.where(np.isnan(x), 0, steps).astype(np.intp)
    first, *rest = _series(x.dtype)
    y = rest[-1][place]
    for coefficient in rest[-2::-1]:
        y = y * d + coefficient[place]
    return np.copysign(first[place] + y * d, x)


class Erf(Function):
    """y = 2/√π ∫₀ˣ exp(-t²) dt;  dL/dx = dL/dy · 2/√π · exp(-x²)."""

    forward, backward = of_input(erf, lambda grad_y, x: SLOPE_AT_0 * np.exp(-x * x) * grad_y)


class Erfc(Function):
    """y = 1 - erf x, exact where erf x is close to 1;  dL/dx = -dL/dy · 2/√π · exp(-x²)."""

    forward, backward = of_input(
        lambda x: _of_each(math.erfc, x), lambda grad_y, x: -SLOPE_AT_0 * np.exp(-x * x) * grad_y
    )
