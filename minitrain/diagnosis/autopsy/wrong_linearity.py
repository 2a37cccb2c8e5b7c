"""Mistakes that make backward return something that is no multiple of dL/dy, or something that is no float."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, fits, number
from minitrain.diagnosis.autopsy.wrong_mask import mask_wrong_side
from minitrain.ops import Array


def not_floats(case: Case) -> Mistake | None:
    """The gradient is of bools or integers."""
    if not case.returned:
        return None
    if case.returned == "bool":
        says = (
            "backward returns a mask of True and False (bool): dL/dy is not multiplied in. The mask only says where "
            "the gradient passes; multiply by grad_output."
        )
    else:
        says = (
            f"The gradient is returned in whole numbers ({case.returned}): every number is cut off at its decimal "
            "point. Keep it in the input's dtype, without astype(int) or an array of integers to write into."
        )
    cut = case.returned != "bool" and agree(np.trunc(case.numeric), case.analytic)
    evidence = "analytic is numeric without its decimals" if cut else f"its dtype is {case.returned}"
    return Mistake("grad-output-missing" if case.returned == "bool" else "whole-numbers", says, evidence)


def term_without_grad(case: Case) -> Mistake | None:
    """A term of the gradient does not contain dL/dy."""
    rest = case.without_grad
    if rest is None:
        return None
    if not rest.any():
        masked = mask_wrong_side(case)
        if masked is not None and "dL/dy > 0" in masked.says:
            return masked
        says = (
            "backward is not linear in dL/dy: it uses dL/dy's size or sign (a square, an absolute value, a clip, a "
            "comparison). The chain rule only multiplies by dL/dy and adds up."
        )
        return Mistake("not-linear", says, "for dL/dy = 0 it returns 0, for -dL/dy not the negative.")
    if agree(rest, case.analytic):
        says = (
            "dL/dy does not occur in the gradient at all: the chain rule's factor is missing. Multiply by grad_output."
        )
        return Mistake("grad-output-missing", says, "backward returns the same for dL/dy = 0.")
    named = next((name for name, z in _candidates(case) if agree(z, rest)), "")
    what = f"It is {named}. " if named else ""
    says = (
        f"A term without dL/dy: backward should be linear in dL/dy, but a part of what it returns does not depend on "
        f"dL/dy. {what}By the chain rule, every term contains dL/dy, or a sum of it. Do parentheses lack, as in "
        "dL/dy * 1 - y for dL/dy * (1 - y)?"
    )
    if rest.size > 1 and np.ptp(rest) <= 1e-9 * np.abs(rest).max():
        says = f"The same number, {number(float(rest.flat[0]))}, is added everywhere: a term without dL/dy."
        return Mistake("shifted", says, "for dL/dy = 0 backward should return 0; it returns this number.")
    evidence = f"for dL/dy = 0 backward should return 0; it returns up to {number(float(np.abs(rest).max()))}."
    return Mistake("term-without-grad", says, evidence)


def _candidates(case: Case) -> Iterator[tuple[str, Array]]:
    """Terms that a formula can have, by name."""
    for name, z in case.at_hand.items():
        if fits(z, case.numeric.shape):
            full = np.broadcast_to(z, case.numeric.shape)
            powers = {name: full, f"{name}²": full**2, f"exp {name}": np.exp(full), f"sign {name}": np.sign(full)}
            powers |= {f"{name} · (1 - {name})": full * (1 - full), f"1 / {name}": 1 / full}
            for what, values in powers.items():
                yield what, values
                yield f"-{what}", -values
