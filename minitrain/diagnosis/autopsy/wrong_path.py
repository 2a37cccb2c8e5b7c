"""Mistakes on the way through the graph: nothing arrives, nan arrives, or another input's gradient arrives."""

from __future__ import annotations

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, number, places


def not_finite(case: Case) -> Mistake | None:
    bad = ~np.isfinite(case.analytic)
    if not bad.any():
        return None
    says = "The gradient is nan or infinite where the right one is finite: a division by 0, a log of 0, or an overflow."
    first = places(bad)
    return Mistake("not-finite", says, f"{bad.sum()} of {bad.size} entries, the first at {first}.")


def detached(case: Case) -> Mistake | None:
    if case.analytic.any():
        return None
    says = (
        "The gradient is 0 everywhere, but the result depends on this input. Either the graph is cut (detach(), .data, "
        "no_grad, or a new Tensor made from an array), or the gradient was never filled in."
    )
    return Mistake("detached", says, f"the largest entry of numeric is {number(np.abs(case.numeric).max())}.")


def inputs_swapped(case: Case) -> Mistake | None:
    for i, other in enumerate(case.others):
        if i == case.which or other is None or i not in case.given:
            continue
        if agree(case.analytic, other) and agree(case.given[i], case.numeric):
            says = f"The gradients are returned in the wrong order: this one belongs to input {i}."
            return Mistake("inputs-swapped", says, f"it equals the right gradient of input {i} everywhere.")
    return None


def walked(case: Case) -> Mistake | None:
    if "" not in case.walks or not agree(case.walks[""], case.numeric):
        return None  # an operation is wrong, not the walk
    for what, gradient in case.walks.items():
        if agree(gradient, case.analytic):
            says = (
                f"A value that is used more than once gets a gradient from each use, and they add up (+=). Here {what}."
            )
            return Mistake("path-forgotten", says, "a walk over the tape with that mistake gives this gradient.")
    return None
