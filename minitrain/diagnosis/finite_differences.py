"""Measures derivatives: moves numbers up and down, and divides the results' change by the distance."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.checked_function import Problem
from minitrain.ops import Array

STEPS = tuple(64 / 8**k for k in range(8))  # multiples of eps, tried if an entry disagrees


COARSE = 2e-3  # the least eps in float32, in which a step of 1e-6 is mostly rounding


class _Measured:
    """Finite differences of a function whose results are one row of numbers, (y.size,)."""

    def __init__(self, problem: Problem, eps: float) -> None:
        self.in_float64 = all(array.dtype == np.float64 for array in problem.arrays)
        self.problem, self._eps = problem, eps if self.in_float64 else max(eps, COARSE)
        self._results = problem.results
        self._moved: Array | None = None
        self._copies = True
        first = problem.results()
        second = problem.results()
        others = [*first, *problem.arrays]
        self._copies = any(np.may_share_memory(y, other) for y in second for other in others)

    def value(self) -> Array:
        """The function's results for the arrays' current values, copied if their memory is reused."""
        results = self._results()
        if len(results) != 1:
            return np.concatenate([y.reshape(-1) for y in results]) if results else np.zeros(0)
        return results[0].flatten() if self._copies else results[0].reshape(-1)

    def step(self, x: float) -> float:
        """How far to move a number: eps, multiplied by the number's size if that is above 1."""
        if not self.in_float64:
            return max(self._eps, 64 * float(np.spacing(np.float32(abs(x))))) if math.isfinite(x) else self._eps
        return self._eps * max(1.0, abs(x)) if math.isfinite(x) else self._eps

    def around(self, flat: Any, j: Any, step: Any) -> tuple[Array, Array, Any]:
        """The results with the entries j moved up and down by step, and the rounded distance between the two."""
        before = flat[j]
        try:
            flat[j] = before + step
            up, high = self.value(), flat[j]
            flat[j] = before - step
            down, low = self.value(), flat[j]
        finally:
            flat[j] = before
        return up, down, high - low

    def jacobian(self, array: Array) -> Array:
        """dy/dx of one input, (x.size, y.size), measured entry by entry."""
        jacobian = np.empty((array.size, self.value().size))
        flat = array.flat
        with self._moving(array):
            for j in range(array.size):
                up, down, distance = self.around(flat, j, self.step(float(flat[j])))
                np.subtract(up, down, out=jacobian[j])
                jacobian[j] /= distance
        return jacobian

    @contextlib.contextmanager
    def _moving(self, array: Array) -> Iterator[None]:
        """Evaluate the function in the fastest way that is right while only this array changes."""
        before = self._results, self._moved
        if self._moved is not array:
            self._results, self._moved = self.problem.results_after_moving(array, self._eps), array
        try:
            yield
        finally:
            self._results, self._moved = before

    def slopes(self, array: Array, row: Array, entries: Sequence[int]) -> Array:
        """d(row · y)/dx at these entries of one input, (len(entries),)."""
        slopes = np.empty(len(entries))
        with self._moving(array):
            for i, j in enumerate(entries):
                up, down, distance = self.around(array.flat, j, self.step(float(array.flat[j])))
                slopes[i] = (row @ up - row @ down) / distance
        return slopes

    def rounding(self, y: Array) -> Array:
        """The last digit of the results y; in float32, of the larger numbers that they may be computed from."""
        if self.in_float64:
            return np.asarray(np.spacing(np.abs(y)))
        largest = max([1.0, *(float(np.abs(array).max(initial=0)) for array in self.problem.arrays)])
        return np.asarray(4 * np.spacing(np.maximum(np.abs(y), largest).astype(np.float32)), np.float64)

    def noise(self, array: Array, row: Array) -> Array:
        """How far rounding can move the measured slopes of row · y: the results err by a few of their last digits."""
        digits = 8 * self.rounding(self.value())
        steps = np.array([self.step(float(x)) for x in array.flat]).reshape(array.shape)
        return np.asarray(digits @ np.abs(row) / (2 * steps))


@contextlib.contextmanager
def restoring(arrays: Sequence[Array]) -> Iterator[list[Array]]:
    """Write the arrays' old values back at the end of the block. Gives copies of them."""
    before = [array.copy() for array in arrays]
    try:
        yield before
    finally:
        for array, old in zip(arrays, before, strict=True):
            array[...] = old
