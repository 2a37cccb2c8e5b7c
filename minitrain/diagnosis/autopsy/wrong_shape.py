"""Mistakes that give a gradient another shape than its input's."""

from __future__ import annotations

import itertools

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, naming, number, some_axes, summed_to
from minitrain.diagnosis.autopsy.wrong_sum import summed_wrongly


def _shape_permuted(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    evidence = f"its shape is {list(a.shape)}, the input's {list(n.shape)}"
    for axes in itertools.permutations(range(a.ndim)):
        if a.ndim != n.ndim or a.transpose(axes).shape != n.shape or not agree(a.transpose(axes), n):
            continue
        if a.ndim == 2:
            says = "The gradient is transposed: each entry stands at [column, row] instead of [row, column]."
            return Mistake("transposed", says, f"{evidence}; its T is right.")
        says = "The values are right, but in the wrong places: the axes are permuted. backward must undo forward."
        return Mistake("wrong-place", says, f"{evidence}; with its axes permuted to {list(axes)} it is right.")
    return None


def _shape_of_other_axis(case: Case) -> Mistake | None:
    terms = case.own_terms()
    if terms is None:
        return None
    for axes in some_axes(terms.ndim):
        if len(axes) < terms.ndim and agree(terms.sum(axis=axes), case.analytic):
            return summed_wrongly(axes)
    return None


def _shape_unsummed(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    summed = summed_to(a, n.shape)
    if summed is None or summed.size == a.size:
        return None
    says = (
        "A sum is missing, over the batch or over the axes along which the input was broadcast. Each copy of the input "
        "has a gradient, and they add up."
    )
    right = "summed to that shape it is right" if agree(summed, n) else "summed to that shape it would still be wrong"
    return Mistake("sum-missing", says, f"its shape is {list(a.shape)}, the input's {list(n.shape)}; {right}.")


def _shape_summed(case: Case) -> Mistake | None:
    """A single number, or a row of numbers, that is the right gradient summed once more."""
    a, n = case.analytic, case.numeric
    for axes in some_axes(n.ndim):
        for keepdims in (False, True):
            summed = n.sum(axis=axes, keepdims=keepdims)
            if summed.shape == a.shape and agree(np.asarray(summed), a):
                where = "over everything" if a.size == 1 else f"over {naming(axes)} as well"
                says = (
                    f"The sum is over the wrong axis, {where}: each entry of the input has its own gradient. Sum only "
                    "over the axes along which the input was repeated (axis=0 for a bias)."
                )
                evidence = f"its shape is {list(a.shape)}; the right gradient, summed over {naming(axes)}, is equal."
                return Mistake("sum-wrong-axis", says, evidence)
    return None


def _shape_permuted_and_scaled(case: Case) -> Mistake | None:
    """The right shape once transposed, and then off by a constant."""
    a, n = case.analytic, case.numeric
    if a.ndim != 2 or a.T.shape != n.shape or not n.any():
        return None
    ratio = float((a.T * n).sum() / (n * n).sum())
    if not agree(ratio * n, a.T):
        return None
    second = (
        "the sign is wrong, too" if abs(ratio + 1) < 1e-4 else f"the rest is {number(ratio)} times what it should be"
    )
    says = f"The gradient is transposed: each entry stands at [column, row] instead of [row, column]. And {second}."
    return Mistake("transposed", says, f"its T is {number(ratio)} times the right gradient everywhere.")


def _shape_flat(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    if a.size != n.size or not agree(a.reshape(n.shape), n):
        return None
    says = "The numbers are right, but the shape is not the input's. Reshape the gradient."
    return Mistake("wrong-shape", says, f"its shape is {list(a.shape)}, the input's {list(n.shape)}.")


def _shape_any(case: Case) -> Mistake | None:
    says = "A gradient has its input's shape: one number for each number of the input."
    evidence = f"its shape is {list(case.analytic.shape)}, the input's {list(case.numeric.shape)}."
    return Mistake("wrong-shape", says, evidence)


MISSHAPEN = (
    _shape_permuted,
    _shape_unsummed,
    _shape_of_other_axis,
    _shape_flat,
    _shape_summed,
    _shape_permuted_and_scaled,
    _shape_any,
)
