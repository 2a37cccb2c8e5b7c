"""Mistakes that change what each result sends back by a factor of its own: an activation behind a product, a mask.

Column k of the Jacobian is what result k sends to the input. If each column of analytic is a multiple of numeric's, the
product behind it is right, and the factors show what is wrong between it and the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, constant_in_rows, fits, number, places
from minitrain.diagnosis.autopsy.wrong_local import FORMULAS
from minitrain.ops import Array

POWERS = ("{}", "{}²", "{}³")
# The derivatives of activations.
USUAL = ("1 - {}²", "{} · (1 - {})", "{}", "sigmoid({})", "sigmoid({}) · (1 - sigmoid({}))", "1 - tanh² {}", "1 / {}")


def between(case: Case) -> Mistake | None:
    """The derivative of an activation, or a mask, is wrong between the result and a product."""
    return _between(case, _named)


def between_unnamed(case: Case) -> Mistake | None:
    """Each result's factor is wrong, and no array at hand has these factors."""
    return _between(case, _unnamed)


def _between(case: Case, named: Callable[[Case, Array], Mistake | None]) -> Mistake | None:
    ours, right, y = case.analytic_jacobian, case.jacobian, case.y
    if ours is None or right is None or y is None or ours.shape != right.shape or y.size < 4 or case.local is not None:
        return None
    with np.errstate(all="ignore"):
        sizes, mine = np.abs(right).max(axis=0), np.abs(ours).max(axis=0)
        stopped, cut = sizes < 1e-7 * sizes.max(), mine < 1e-7 * mine.max()
        if not agree(ours[:, ~stopped & ~cut], right[:, ~stopped & ~cut] * _factors(ours, right)[~stopped & ~cut]):
            return None
        factors = _factors(ours, right)
        told = ~stopped & ~cut
        alike = agree(factors[told], np.ones(told.sum()))
        if (stopped != cut).all() and stopped.any() and cut.any():
            says = "The mask is inverted: the gradient passes where it should stop, and stops where it should pass."
            return Mistake("mask-inverted", says, "results that should send nothing back do, and the others do not.")
        if (stopped & ~cut).any() and alike and not (cut & ~stopped).any():
            says = (
                "The mask is missing between the result and this input (such as a ReLU's): the gradient passes "
                "everywhere, even where the function is flat and it should be 0."
            )
            where = f"{(stopped & ~cut).sum()} of {y.size} results send a gradient back, and should send none"
            return Mistake("mask-missing", says, f"{where}; the others are right.")
        if (cut & ~stopped).any() and alike and not (stopped & ~cut).any():
            return _nothing_sent((cut & ~stopped).reshape(y.shape))
        if stopped.any() or cut.any() or np.ptp(factors) <= CLOSE * np.abs(factors).max():
            return None
        return named(case, factors.reshape(y.shape))


def _factors(ours: Array, right: Array) -> Array:
    """The multiple of each column."""
    return np.asarray((ours * right).sum(axis=0) / (right * right).sum(axis=0))


def _nothing_sent(missing: Array) -> Mistake:
    which = places(missing, 3)
    more, count = ", ..." if missing.sum() > 3 else "", f"{missing.sum()} of {missing.size} results"
    for axis in reversed(range(missing.ndim)):  # all at once, not in a loop
        if (missing == missing.take([0], axis=axis)).all():
            missing = missing.take(0, axis=axis)
    flat = missing.reshape(-1)
    if flat[int(np.argmax(flat)) :].all():
        why = "a loop ends too early (a return inside it), a slice is too short, or a mask stops what should pass"
    elif not flat[-1]:
        why = "a later step overwrites what they sent (= for +=, where windows or uses overlap), or a mask stops it"
    else:
        why = "a slice is too short, or a mask stops what should pass"
    says = f"The results at {which}{more} send nothing back, and all others are right: {why}."
    return Mistake("rows-missing", says, f"{count} have a gradient of 0 here.")


def _named(case: Case, factors: Array) -> Mistake | None:
    """Which derivatives, of the result or of what forward saved, have these factors as their ratio."""
    known, usual, powers = {}, [], []
    for name, z in case.at_hand.items():
        for pattern, of in FORMULAS.items() if fits(z, factors.shape) else ():
            values = np.asarray(of(np.broadcast_to(z, factors.shape)))
            if np.isfinite(values).all() and values.all():
                text = pattern.replace("{}", f"({name})" if " " in name and pattern != "{}" else name)
                known[text] = values
                usual += [text] * (pattern in USUAL)
                powers += [text] * (pattern in POWERS)
    for due in usual:
        if agree(factors * known[due], np.ones(factors.shape)):
            says = (
                f"The derivative of the activation is missing: between the result and the product, dL/dy is to be "
                f"multiplied by {due}. The rest is right."
            )
            return Mistake("derivative-missing", says, f"analytic / numeric is 1 / ({due}), for each result its own.")
    for taken in powers:  # simpler than y³ where y belongs
        if agree(factors, known[taken]):
            return _once_too_often(taken)
    all_known = np.array([*known.values()]).reshape(len(known), -1)
    allowed = CLOSE * (np.abs(all_known) + 0.1 * np.abs(all_known).max(axis=1, keepdims=True, initial=0))
    for due in usual if not constant_in_rows(case) else ():
        alike = (np.abs((factors * known[due]).reshape(-1) - all_known) <= allowed).all(axis=1)  # agree(), all at once
        for taken in itertools.compress(known, alike):
            if not agree(known[due], known[taken]):
                says = (
                    f"The derivative of the activation is wrong: dL/dy is multiplied by {taken}, and {due} belongs "
                    "there. The product behind it is right."
                )
                evidence = f"analytic / numeric is ({taken}) / ({due}), for each result its own."
                return Mistake("wrong-derivative", says, evidence)
    return next((_once_too_often(taken) for taken, ours in known.items() if agree(factors, ours)), None)


def _once_too_often(taken: str) -> Mistake:
    says = f"Between the result and the product, dL/dy is multiplied by {taken} once too often."
    return Mistake("operand", says, f"analytic / numeric is {taken}, for each result its own.")


def _unnamed(_: Case, factors: Array) -> Mistake:
    least, most = number(float(factors.min())), number(float(factors.max()))
    says = (
        "What each result sends back is off by a factor of its own, and the product behind it is right: the mistake is "
        "between the result and the product (the derivative of an activation, a mask, a weight of each sample)."
    )
    return Mistake("wrong-derivative", says, f"for each result analytic / numeric is one number, {least} to {most}.")
