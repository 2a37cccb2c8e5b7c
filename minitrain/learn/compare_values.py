"""Compares the arrays of a learner's piece with the expected ones, and describes the first difference."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np

from minitrain.ops import Array

CLOSE = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-10)}  # rtol, atol for the library's values
CLOSE_TO_TORCH = {"float32": (1e-4, 1e-5), "float64": (1e-6, 1e-8)}  # looser: some of the values are measured


def difference(
    got: Mapping[str, Array], expected: Mapping[str, Array], close: Mapping[str, tuple[float, float]], theirs: str
) -> str | None:
    """Describe the first difference; None if the values agree.

    got, expected: arrays by label, "case\\nwhat" or "what". close: (rtol, atol) for each dtype. theirs: how to name the
    expected values, such as "torch has".
    """
    for label, right in expected.items():
        case, _, what = label.rpartition("\n")
        begin = f"Case: {case}\n" if case else ""
        if label not in got:
            return f"{begin}There is no result for {what}."
        array = got[label]
        if array.dtype.kind not in "fiub":
            return f"{begin}{what} has dtype {array.dtype}; expected numbers."
        if array.shape != right.shape:
            return f"{begin}{what} has shape {list(array.shape)}, where {theirs} {list(right.shape)}."
        if right.dtype == bool:
            wrong = array != right
            if wrong.any():
                answers = ", ".join("yes" if value else "no" for value in array.flat)
                return f"{begin}{what}: {answers}; expected {', '.join('yes' if x else 'no' for x in right.flat)}."
            continue
        if what == "y" and array.dtype != right.dtype:
            return (
                f"{begin}y has dtype {array.dtype}, where {theirs} {right.dtype}. An operation must not change the "
                f"float type of its input. (np.zeros and np.ones make float64 unless you pass a dtype.)"
            )
        rtol, atol = close["float32" if np.float32 in (array.dtype, right.dtype) else "float64"]
        wrong = ~np.isclose(array, right, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any():
            return begin + _numbers_that_differ(what, array, right, wrong, theirs)
    return None


def _numbers_that_differ(what: str, array: Array, right: Array, wrong: Array, theirs: str) -> str:
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{what} at {list(index)}" if index else what
    text = f"{place} is {array[index]:.8g}, where {theirs} {right[index]:.8g}."
    if wrong.size > 1:
        text += f" {int(wrong.sum())} of {wrong.size} numbers differ."
    if fact := _how_they_differ(array, right):
        text += f" {fact}"
    if 1 < wrong.size <= 15 and array.ndim <= 2:
        for name, values in (("yours", array), (theirs.removesuffix(" has"), right)):
            text += f"\n{name}:\n" + textwrap.indent(np.array2string(values, precision=4, suppress_small=True), "    ")
    return text


def _how_they_differ(array: Array, right: Array) -> str:
    """A relation that holds for all numbers: one factor, one difference, or an overflow; otherwise ""."""
    if array.dtype.kind != "f" or not np.isfinite(right).all():
        return ""
    if not np.isfinite(array).all():
        return "Did a number on the way become too large (exp(1000) is inf, and inf - inf is nan)?"
    some = right != 0
    if not some.any() or (array[~some] != 0).any():
        return ""
    factors, apart = array[some] / right[some], array - right
    factor = float(factors[0])
    known = any(abs(number - round(number)) < 1e-5 and round(number) for number in (factor, factor and 1 / factor))
    if np.allclose(factors, factor, rtol=1e-5) and (right.size > 1 or (known and abs(factor) < 1000)):
        return f"Yours is {factor:.6g} times that{', everywhere' if right.size > 1 else ''}."
    if right.size > 1 and np.allclose(apart, apart.flat[0], rtol=1e-5):
        return f"Yours is {apart.flat[0]:.6g} more, everywhere."
    return ""
