"""What the numbers show where no known mistake explains them: which entries are wrong, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, differing, listing, number
from minitrain.ops import Array


def fact(analytic: Array | None, numeric: Array | None, right: Sequence[str] = ()) -> str:
    """A few sentences about two gradients of one shape; empty if they cannot be compared.

    right: the names of the inputs whose gradients are right.
    """
    if analytic is None or numeric is None or analytic.shape != numeric.shape or not numeric.size:
        return ""
    a, n = np.asarray(analytic, np.float64), np.asarray(numeric, np.float64)
    if not np.isfinite(a).all() or not np.isfinite(n).all() or not n.any():
        return ""
    wrong = differing(a, n)
    if not wrong.any():
        return ""
    beside = ""
    if right:
        names = ", ".join(right[:4]) + (", ..." if len(right) > 4 else "")
        beside = f"Right: {names}. So what reaches these is right; look at what they do not share with this input."
    return " ".join(["What the numbers show:", _where(wrong), *_how(a, n, wrong), beside]).rstrip()


def _where(wrong: Array) -> str:
    """Which entries are wrong."""
    if wrong.all():
        return f"all {wrong.size} entries are wrong."
    for axis in range(wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        bad = wrong.any(axis=others)
        if not bad.all():
            places = [int(i) for i in np.flatnonzero(bad)]
            of = f"index {listing(places)} along axis {axis}"
            return f"{wrong.sum()} of {wrong.size} entries are wrong, all at {of}; everything else is right."
    return f"{wrong.sum()} of {wrong.size} entries are wrong, in no rows or columns of their own; the others are right."


def _how(a: Array, n: Array, wrong: Array) -> list[str]:
    """By how much the wrong ones are wrong, and what remains after the best constant."""
    ours, right = a[wrong], n[wrong]
    said = []
    if not ours.any():
        return ["There analytic is 0."]
    if not right.any():
        return ["There it should be 0."]
    turned = ours * right < 0
    if turned.any():
        equal = np.abs(np.abs(ours) - np.abs(right)) <= CLOSE * np.abs(right).max()
        sizes = ", and only the sign is wrong" if equal.all() else ""
        said.append(f"The sign is opposite at {turned.sum()} of these{sizes}.")
    if right.all():
        ratios = ours / right
        low, high = float(ratios.min()), float(ratios.max())
        if high - low <= CLOSE * max(abs(low), abs(high)):
            return [*said, f"analytic / numeric is {number(low)} at each of these."]
        said.append(f"analytic / numeric is {number(low)} to {number(high)} there.")
    best = float((a * n).sum() / (n * n).sum())
    left = float(np.linalg.norm(a - best * n) / np.linalg.norm(a)) if a.any() else 1.0
    if left < 0.1:
        said.append(
            f"Almost all of it is {number(best)} times the right gradient: look for a small term beside a factor."
        )
    elif left > 0.95:
        said.append("It has almost nothing in common with the right gradient: a wrong array, or a wrong order.")
    else:
        said.append(f"Beside {number(best)} times the right gradient, {left:.0%} of it is something else: no constant.")
    return said
