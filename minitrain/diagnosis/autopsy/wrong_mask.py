"""Mistakes in the mask that lets a gradient pass."""

from __future__ import annotations

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, is_zero, places


def mask_inverted(case: Case) -> Mistake | None:
    a, n, spread = case.analytic, case.numeric, case.spread
    turned = spread is not None and agree(spread - n, a) and not agree(spread, a)
    if turned and spread is not None and case.grad_output is not None and case.grad_output.shape == n.shape:
        turned = bool((is_zero(n, n) | is_zero(n - spread, n)).all())  # a mask passes everything or nothing
    if not turned:
        zero_a, zero_n = is_zero(a, a), is_zero(n, n)
        opposite = (zero_a ^ zero_n).all() and zero_a.any() and zero_n.any()
        if not opposite or n.size < 2:
            return None
    says = "The mask is inverted: the gradient passes where it should stop, and stops where it should pass."
    return Mistake("mask-inverted", says, "analytic is 0 where numeric is not, and not 0 where numeric is.")


def mask_missing(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    stopped = is_zero(n, n) & ~is_zero(a, n)
    if not stopped.any() or not agree(np.where(stopped, n, a), n) or (~stopped & ~is_zero(n, n)).sum() == 0:
        return None
    spread = case.spread
    if spread is not None:
        passed = spread[stopped]
        c = float((a[stopped] * passed).sum() / (passed * passed).sum()) if passed.any() else 0.0
        if not agree(np.where(stopped, a, 0), np.where(stopped, c * spread, 0)):
            return None
    says = "The mask is missing: the gradient passes everywhere, even where the function is flat and it should be 0."
    where = f"{stopped.sum()} of {n.size} entries are not 0 where numeric is, the first at {places(stopped)}"
    return Mistake("mask-missing", says, f"{where}; the others are right.")


def mask_wrong_side(case: Case) -> Mistake | None:
    spread = case.spread
    if spread is None or not is_zero(case.numeric, case.numeric).any() or case.grad_output is None:
        return None
    candidates = {"dL/dy": (spread > 0, spread), "-dL/dy": (spread < 0, spread)}
    for name, z in case.known.items():
        if z.shape == spread.shape:
            candidates |= {name: (z > 0, spread), f"-{name}": (z < 0, spread)}
    for name, (mask, values) in candidates.items():
        masked = np.where(mask, values, 0)
        if agree(masked, values):
            continue  # it stops nothing
        if agree(masked, case.analytic) or agree(np.where(mask, case.numeric, 0), case.analytic):
            says = (
                f"The mask is computed from the wrong array: where {name} > 0. The input decides where the gradient "
                "passes."
            )
            return Mistake("mask-wrong-side", says, f"analytic is dL/dy where {name} > 0, else 0.")
    return None
