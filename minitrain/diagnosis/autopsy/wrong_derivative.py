"""Mistakes in the operation's own derivative."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minitrain.diagnosis.autopsy.case import (
    Case,
    Mistake,
    agree,
    constant_in_rows,
    fits,
    is_zero,
    naming,
    number,
    some_axes,
    summed_to,
)
from minitrain.ops import Array


def derivative_missing(case: Case) -> Mistake | None:
    spread = case.spread
    if spread is None or not agree(spread, case.analytic) or _only_moves(case.jacobian):
        return None
    says = "dL/dy is passed on unchanged: the operation's own derivative is missing. Multiply by it."
    for name, z in case.known.items() if case.local else ():
        if name.startswith("input") and fits(z, spread.shape) and agree(spread * (1 + z), case.numeric):
            says = (
                f"dL/dy is passed on unchanged, but that is only one term: dL/dy · {name} belongs beside it. Every use "
                "of a value sends a gradient, and they add up (+=, not =)."
            )
            return Mistake("term-missing", says, f"analytic = dL/dy, and numeric = dL/dy + dL/dy · {name}.")
    if (axes := _shared(case)) is not None:
        says = (
            f"dL/dy is passed on unchanged, but that is only one term: through what all entries along {naming(axes)} "
            "share (a mean, a sum), each entry gets a second term from all results along it, and that one is missing."
        )
        return Mistake(
            "term-missing", says, f"analytic = dL/dy, and numeric - dL/dy is one number along {naming(axes)}."
        )
    g = case.grad_output
    for name, z in case.at_hand.items() if g is not None and g.shape != case.numeric.shape else ():
        due = summed_to(g * z, case.numeric.shape) if g is not None and fits(z, g.shape) else None
        if due is not None and agree(due, case.numeric):
            says = f"dL/dy is passed on unchanged and summed: the factor {name} is missing. Sum dL/dy · {name}."
            break
    if at_output(case) is not None:
        says += " Or it is taken at the result y, where it happens to be 1, instead of the input x."
    return Mistake("derivative-missing", says, "analytic = dL/dy everywhere.")


def _shared(case: Case) -> tuple[int, ...] | None:
    """The axes along which numeric - dL/dy is one number, in each row another one."""
    if case.spread is None or case.local is not None:
        return None
    rest = case.numeric - case.spread
    for axes in some_axes(rest.ndim):
        count = math.prod(rest.shape[axis] for axis in axes)
        if count >= 3 and np.ptp(rest, axis=axes).max() <= 1e-5 * np.abs(rest).max():
            return axes
    return None


def _only_moves(jacobian: Array | None) -> bool:
    """Whether the operation only puts each number in another place."""
    if jacobian is None or jacobian.shape[0] != jacobian.shape[1]:
        return False
    ones = np.abs(jacobian - 1) < 1e-6
    return bool((ones | (np.abs(jacobian) < 1e-6)).all() and (ones.sum(axis=0) == 1).all())


# Derivatives as functions of one number t, which is the result (for exp, tanh, sigmoid, sqrt) or the input.
LOCAL: dict[str, Callable[[Array], Array]] = {
    "t": lambda t: t,
    "1 - t²": lambda t: 1 - t * t,
    "t · (1 - t)": lambda t: t * (1 - t),
    "1 / 2t": lambda t: 1 / (2 * t),
    "1 / t": lambda t: 1 / t,
    "2 · t": lambda t: 2 * t,
    "exp t": np.exp,
    "sign t": np.sign,
}


def other_end(case: Case) -> Mistake | None:
    x, y, g = case.x, case.y, case.grad_output
    if x is None or y is None or g is None or not x.shape == y.shape == case.numeric.shape == g.shape:
        return None
    for formula, local in LOCAL.items():
        for name, belongs, taken, right, wrong in (("at-input", y, x, "y", "x"), ("at-output", x, y, "x", "y")):
            if agree(g * local(taken), case.analytic) and agree(g * local(belongs), case.numeric):
                what = {"x": "the input x", "y": "the result y"}
                says = (
                    f"The derivative is computed from {what[wrong]} instead of {what[right]}: t = {right} in {formula}."
                )
                evidence = f"dL/dy · ({formula}) gives this gradient with t = {wrong}, the right one with t = {right}."
                return Mistake(name, says, evidence)
    return None


def at_output(case: Case) -> Mistake | None:
    if case.right_at is None or case.x is None or case.y is None or case.x.shape != case.y.shape:
        return None
    if _only_moves(case.jacobian) or constant_in_rows(case):
        return None  # the same at many points, up to a factor
    if not case.right_at(case.analytic, case.y):
        return None
    says = "The derivative is computed at the result y instead of the input x."
    return Mistake("at-output", says, "the numeric gradient at x = y equals analytic everywhere.")


def off_diagonal(case: Case) -> Mistake | None:
    g, jacobian = case.grad_output, case.jacobian
    if g is None or jacobian is None or g.shape != case.numeric.shape or jacobian.shape[0] != jacobian.shape[1]:
        return None
    diagonal = (np.diag(jacobian) * g.reshape(-1)).reshape(g.shape)
    if not agree(diagonal, case.analytic):
        return None
    says = (
        "Each result depends on all inputs of its row (they share a sum), but only its own input is counted. The "
        "off-diagonal part of the Jacobian, the term with the sum over the row, is missing."
    )
    return Mistake("off-diagonal-missing", says, "the Jacobian's diagonal alone gives this gradient.")


def one_hot(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart = a - n
    if n.ndim == 0 or n.size < 3:
        return None
    for axis in range(n.ndim):
        if n.shape[axis] < 2:
            continue
        one_each = (~is_zero(apart, n)).sum(axis=axis) == 1
        if not one_each.all():
            continue
        differences = apart[~is_zero(apart, n)]
        rows = a.sum(axis=axis).reshape(-1)  # for a softmax: what the one-hot would subtract
        probabilities = np.allclose(rows, rows[0], rtol=1e-3) and (a * rows[0] >= 0).all()
        if probabilities and np.allclose(differences, rows[0], rtol=1e-3):
            says = (
                "The one-hot of the right class is missing. The gradient of softmax with cross-entropy is softmax - "
                "onehot(target), but here it is softmax alone."
            )
            evidence = f"along axis {axis} exactly one entry differs in each row, by {number(float(differences[0]))}."
            return Mistake("one-hot-missing", says, evidence)
    return None


def input_for_result(case: Case) -> Mistake | None:
    """An operation of two inputs: an input is used instead of the result."""
    terms, y = case.own_terms(), case.y
    if terms is None or y is None or terms.shape != y.shape:
        return None
    for name, z in case.known.items():
        summed = summed_to(terms * z / y, case.numeric.shape) if name != "y" and fits(z, y.shape) else None
        if summed is not None and agree(summed, case.analytic):
            says = f"The derivative has the factor y, the result, but {name} is used instead."
            return Mistake("at-input", says, f"the right terms with {name} in place of y give this gradient.")
    return None
