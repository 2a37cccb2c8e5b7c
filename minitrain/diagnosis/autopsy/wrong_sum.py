"""Mistakes in a sum: over the batch, over broadcast axes, or over several uses of a value."""

from __future__ import annotations

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, is_zero, naming, slices, some_axes
from minitrain.ops import Array


def one_term(case: Case) -> Mistake | None:
    """Only one index of an axis of y is counted."""
    terms = case.terms()
    if terms is None or case.y is None or case.y.ndim == 0:
        return None
    by_place = terms.reshape(*case.y.shape, *case.numeric.shape)
    for axis in range(case.y.ndim):
        others = tuple(i for i in range(case.y.ndim) if i != axis)
        summed = by_place.sum(axis=others)
        for index in range(case.y.shape[axis]):
            if case.y.shape[axis] > 1 and agree(summed[index], case.analytic):
                says = (
                    f"The sum over axis {axis} of the result (the batch, or a broadcast axis) is missing: only index "
                    f"{index} is counted. Each copy of the input has a gradient, and they add up."
                )
                return Mistake("sum-missing", says, f"it equals the contribution of index {index} alone.")
    return None


def wrong_axis(case: Case) -> Mistake | None:
    """Each element of y belongs to one entry of x, but its contribution is added to another entry."""
    terms = case.own_terms()
    for axes in some_axes(terms.ndim) if terms is not None else ():
        summed = np.asarray(terms).sum(axis=axes)
        if summed.size == case.numeric.size and agree(summed.reshape(case.numeric.shape), case.analytic):
            return summed_wrongly(axes)
    return None


def summed_wrongly(axes: tuple[int, ...]) -> Mistake:
    where = naming(axes)
    says = f"The sum is over the wrong axis, {where} of dL/dy. Sum over the axes along which the input was repeated."
    return Mistake("sum-wrong-axis", says, f"the terms of dL/dy summed over {where} give this gradient.")


def overwritten(case: Case) -> Mistake | None:
    """Only the last, or the first, of an entry's contributions is kept."""
    terms, y = case.terms(), case.y
    if terms is None or y is None or y.ndim == 0:
        return None
    by_place = terms.reshape((*y.shape, *case.numeric.shape))
    # The loop may go over some axes of the result alone, with a sum over the others in each step.
    for summed in ((), *some_axes(y.ndim)) if terms.size < 200_000 else ((),):
        steps = by_place.sum(axis=summed).reshape(-1, *case.numeric.shape)
        which = _kept(steps, case.analytic) if len(steps) > 1 else ""
        if which:
            says = (
                "A value that is used more than once gets a gradient from each use, and they add up (+=). Here each "
                f"entry keeps only the {which} one: it is overwritten (=) instead of accumulated."
            )
            return Mistake("path-forgotten", says, f"each entry equals its {which} contribution.")
    return None


def _kept(steps: Array, analytic: Array) -> str:
    """Whether each entry has the last or the first of its contributions that are not 0; "" if neither."""
    there = steps != 0
    if not (there.sum(axis=0) > 1).any():
        return ""
    order = np.arange(len(steps)).reshape(-1, *[1] * analytic.ndim)
    for which, chosen in (
        ("last", np.where(there, order, -1).max(axis=0)),
        ("first", np.where(there, order, len(steps)).min(axis=0)),
    ):
        kept = np.take_along_axis(steps, np.clip(chosen, 0, len(steps) - 1)[np.newaxis], axis=0)[0]
        if agree(kept, analytic):
            return which
    return ""


def averaged(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    for axis in range(n.ndim):
        if n.shape[axis] < 2:
            continue
        for what, reduced in (("mean", n.mean(axis=axis, keepdims=True)), ("sum", n.sum(axis=axis, keepdims=True))):
            if agree(np.broadcast_to(reduced, n.shape), a):
                says = f"All entries along axis {axis} are the {what} over that axis; each must have its own gradient."
                return Mistake("averaged", says, f"analytic equals numeric's {what} over axis {axis}, repeated.")
    return None


def rows_missing(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    missing = is_zero(a, n) & ~is_zero(n, n)
    if not missing.any() or not agree(np.where(missing, n, a), n):
        return None
    found = slices(missing, ~is_zero(n, n))
    if found is None or (n.ndim == 1 and len(found[1]) > n.size / 2):
        return None
    axis, indices = found
    says = (
        f"Part of the gradient is missing: it is 0 at index {', '.join(map(str, indices[:4]))} along axis {axis}, and "
        "right elsewhere. Does a loop end too early, or is a slice one too short?"
    )
    return Mistake("rows-missing", says, f"{missing.sum()} of {n.size} entries are 0 where numeric is not.")
