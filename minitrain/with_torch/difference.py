"""How far two arrays are apart: absolutely, relatively, in ulps, and as a share of the tolerance."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from minitrain.ops import Array
from minitrain.runs.config import ConfigError

Phase = Literal["forward", "loss", "gradient", "update"]
PHASES: tuple[Phase, ...] = ("forward", "loss", "gradient", "update")


def ulps(a: npt.ArrayLike, b: npt.ArrayLike, dtype: npt.DTypeLike) -> Array:
    """|a - b| elementwise, in units in the last place: in gaps between neighbouring numbers of dtype.

    The gap is the one above the larger of |a| and |b|, so the order of a and b does not matter. 1 is one rounding.
    2^24 in float32 (2^53 in float64) means that no digit agrees; twice that, opposite signs. Equal values, infinities
    and nans count 0; nan or an infinity against anything else counts inf.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        gap = np.spacing(np.maximum(np.abs(a), np.abs(b)).astype(dtype)).astype(np.float64)
        count = np.abs(a / gap - b / gap)  # gap is a power of two: nothing is rounded here
    return _where_equal_0(count, a, b)


def _where_equal_0(distance: Array, a: Array, b: Array) -> Array:
    """The distance, but 0 where a and b are the same, even nan or infinite; inf where it would be nan."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """How far two arrays are apart, at the element that uses up most of its tolerance.

    step: from 1. layer: the module's path. what: "output", "loss", a parameter's name, or a parameter's name and its
        state's ("weight.momentum_buffer").
    index: of that element. ours, theirs: its values; None if a side has none (no gradient, no such state).
    absolute: |ours - theirs|. relative: |ours - theirs| / |theirs|. ulps: see ulps(). inf for nan against a number.
    share: |ours - theirs| / (atol + rtol · |theirs|); above 1 they differ.
    largest, scale: over the whole array, the largest |ours - theirs| and the largest finite |theirs|.
    """

    step: int
    phase: Phase
    layer: str
    what: str
    index: tuple[int, ...]
    ours: float | None
    theirs: float | None
    absolute: float
    relative: float
    ulps: float
    share: float
    largest: float
    scale: float

    @property
    def exceeds_tolerance(self) -> bool:
        """Whether the two are farther apart than allowed."""
        return self.share > 1

    @property
    def place(self) -> str:
        """In words, without the step: 'gradient of fc1.weight'."""
        if self.phase == "loss":
            return "loss"
        if self.phase == "forward":
            return f"output of {self.layer}"
        whose = f"{self.layer}'s output" if self.what == "output" else f"{self.layer}.{self.what}"
        return f"{self.phase} of {whose}"


class Tolerance:
    """What is allowed between two numbers: atol + rtol · |theirs|.

    dtype: the coarser of the two sides', in which ulps are counted.
    rtol, atol: None for 1e-4 and 1e-5 in float32, 1e-10 and 1e-12 in float64. Two correct programs that add in a
        different order stay within these for some hundred steps. Raises ConfigError for negative or infinite ones.
    """

    def __init__(self, dtype: npt.DTypeLike, rtol: float | None, atol: float | None) -> None:
        self.dtype = np.dtype(dtype)
        for name, value in (("rtol", rtol), ("atol", atol)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a finite number from 0 up, but got {value}")
        narrow = self.dtype == np.float32
        self.rtol = (1e-4 if narrow else 1e-10) if rtol is None else rtol
        self.atol = (1e-5 if narrow else 1e-12) if atol is None else atol

    def measure(
        self, step: int, phase: Phase, layer: str, what: str, ours: Array | None, theirs: Array | None
    ) -> Difference | None:
        """The Difference; None if both are missing or empty. Raises ValueError if the shapes differ."""
        if ours is None or theirs is None:
            there = theirs if ours is None else ours
            if there is None:
                return None
            # The first element stands for the side that has one.
            x, y = (None if array is None or not array.size else float(array.flat[0]) for array in (ours, theirs))
            return Difference(
                *(step, phase, layer, what, (0,) * there.ndim, x, y),
                *(math.inf, math.inf, math.inf, math.inf, math.inf, 0.0),
            )
        if ours.shape != theirs.shape:
            raise ValueError(
                f"step {step}, {phase}, {layer} {what}: the shapes differ, {list(ours.shape)} against "
                f"{list(theirs.shape)}; compare needs two models of the same layers"
            )
        if ours.size == 0:
            return None
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(all="ignore"):
            absolute = np.abs(a - b)
            share = absolute / (self.atol + self.rtol * np.abs(b))
        absolute, share = _where_equal_0(absolute, a, b), _where_equal_0(share, a, b)
        index = tuple(int(i) for i in np.unravel_index(share.argmax(), share.shape))
        x, y, apart = float(a[index]), float(b[index]), float(absolute[index])
        relative = 0.0 if apart == 0 else apart / abs(y) if y and math.isfinite(y) else math.inf
        count = float(ulps(x, y, self.dtype))
        scale = float(np.abs(b).max(initial=0, where=np.isfinite(b)))
        return Difference(
            *(step, phase, layer, what, index, x, y, apart, relative, count),
            *(float(share[index]), float(absolute.max()), scale),
        )
