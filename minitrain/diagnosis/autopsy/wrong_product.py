"""Mistakes that only show with the other inputs: spread along another axis, an inner transpose, a turned kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, fitted, is_zero, ratio_of
from minitrain.ops import Array


def spread_wrongly(case: Case) -> Mistake | None:
    """Each entry of x belongs to one element of y, but gets the dL/dy of another one."""
    g, jacobian, shape = case.grad_output, case.jacobian, case.numeric.shape
    if g is None or jacobian is None or g.size < 2 or g.ndim >= len(shape) or jacobian.shape[1] != g.size:
        return None
    if ((np.abs(jacobian) > 1e-6 * np.abs(jacobian).max()).sum(axis=1) > 1).any():
        return None
    local = jacobian.sum(axis=1).reshape(shape)
    for axis in range(len(shape)):
        for how, z in (("", g), ("ᵀ", g.T)):
            try:
                spread = np.broadcast_to(np.expand_dims(z, axis), shape)
            except ValueError:
                continue
            if agree(local * spread, case.analytic):
                says = (
                    f"dL/dy is spread along the wrong axis: as if axis {axis} were the one that was summed. Each entry "
                    "gets the dL/dy of its own result: give dL/dy the lost axis back at its place (grad_y[:, None])."
                )
                where = f"dL/dy{how} repeated along axis {axis}"
                return Mistake("sum-wrong-axis", says, f"dy/dx times {where} gives this gradient.")
    return None


def map_not_turned(case: Case) -> Mistake | None:
    """A linear operation is applied to dL/dy, and not its transpose."""
    g, jacobian, shape = case.grad_output, case.jacobian, case.numeric.shape
    if g is None or jacobian is None or g.shape != shape or g.size < 4 or jacobian.shape != (g.size, g.size):
        return None
    if not agree((jacobian.T @ g.reshape(-1)).reshape(shape), case.analytic):
        return None
    says = (
        "backward does the same to dL/dy as forward does to x (the same sum, shift, rotation or matrix). It must go "
        "the other way: each entry gets dL/dy from the results that it went into."
    )
    return Mistake("wrong-place", says, "the Jacobian, where its transpose belongs, times dL/dy gives this gradient.")


def inner_transpose(case: Case) -> Mistake | None:
    """The gradient is Mᵀ Q with another input Q, and M Q belongs there, or the other way round."""
    a, n = case.analytic, case.numeric
    if n.ndim != 2:
        return None
    for name, q in case.at_hand.items():
        if q.ndim != 2 or name in ("x", "y") or min(q.shape) < 2:
            continue
        # Qᵀ (M Q) is the transpose of Qᵀ (Mᵀ Q), whatever M is.
        for ours, right, how in ((q.T @ a, q.T @ n, "Mᵀ @ {0}, and M @ {0}"),) if len(q) == len(n) else ():
            if agree(ours, right.T) and not agree(right, right.T, 1e-2):
                return _transposed(how.format(name if " " not in name else f"({name})"))
        if q.shape[1] == n.shape[1] and q.shape[0] != q.shape[1]:
            continue
        if q.shape[1] == n.shape[1] and agree(a @ q.T, (n @ q.T).T) and not agree(n @ q.T, (n @ q.T).T, 1e-2):
            return _transposed(f"({name})ᵀ @ Mᵀ, and ({name})ᵀ @ M")
    return None


def not_symmetric(case: Case) -> Mistake | None:
    """The gradient has 2 A x, where (A + Aᵀ) x belongs: the derivative of x A x for a symmetric A."""
    a, n, x = case.analytic, case.numeric, case.x
    if x is None or x.ndim not in (1, 2) or n.size < 3:
        return None
    for name, q in case.at_hand.items():
        if name == "x" or q.ndim != 2 or q.shape[0] != q.shape[1] or agree(q, q.T, 1e-2):
            continue
        pairs = [(x @ q, x @ q.T)] if x.shape[-1] == len(q) else []
        pairs += [(q @ x, q.T @ x)] if x.ndim == 2 and len(x) == len(q) else []
        for one, other in pairs:
            due = fitted(n, [one, other])
            if due is None or abs(due[0] - due[1]) > CLOSE * abs(due[0]):
                continue
            name_t = f"({name})ᵀ" if " " in name else f"{name}ᵀ"
            if any(fitted(a, [each]) is not None for each in (one, other)):
                says = (
                    f"x stands on both sides of {name}, so both {name} and {name_t} belong in the gradient: "
                    f"(A + Aᵀ) x with A = {name}. Here only one of them is used; 2 A x is right only for a symmetric A."
                )
                return Mistake("transposed", says, "numeric is a multiple of (A + Aᵀ) x, analytic of one of the two.")
    return None


def _transposed(how: str) -> Mistake:
    here, _, due = how.partition(", and ")
    says = (
        f"A factor of the product is not transposed as it should be: this gradient is {here}, where {due} belongs, or "
        "the other way round (M: the gradient of a product in the middle). Equal sizes hide it."
    )
    return Mistake("transposed", says, "multiplied by that input's transpose, analytic is the transpose of numeric.")


def other_input_changed(case: Case) -> Mistake | None:
    """The gradient is right for another value of another input."""
    right_with = case.right_with
    if right_with is None or ratio_of(case) is not None:
        return None
    for i, z in enumerate(case.inputs):
        if i == case.which or not isinstance(z, np.ndarray) or z.dtype.kind != "f" or z.size < 2:
            continue
        if z.any() and not is_zero(case.analytic, case.numeric).all() and right_with(case.analytic, i, 0 * z):
            says = (
                f"What comes through input {i} is missing: the gradient is right for the function with input {i} set "
                "to 0. Each path from the result back to this input sends a gradient, and they add up."
            )
            return Mistake("path-forgotten", says, f"with input {i} set to 0, the measured gradient equals analytic.")
        for name, what, changed in _changes(z):
            if not agree(changed, z) and right_with(case.analytic, i, changed):
                says = f"backward uses input {i} {what}, and forward uses it as it is."
                return Mistake(name, says, f"with input {i} {what}, the measured gradient equals analytic everywhere.")
    return None


def _changes(z: Array) -> Iterator[tuple[str, str, Array]]:
    """An input as backward may use it wrongly: (mistake, in words, array)."""
    if z.ndim == 2 and z.shape[0] == z.shape[1]:
        yield "transposed", "transposed", z.T
    if z.ndim >= 2:
        yield "wrong-place", "reversed along its last two axes (a kernel turned by 180°, flipped)", z[..., ::-1, ::-1]
    for one, two, which in ((0, 1, "first"), (-2, -1, "last")):
        if z.ndim >= 3 and z.shape[one] == z.shape[two]:
            yield "transposed", f"with its {which} two axes exchanged", np.swapaxes(z, one, two)
    for axis in range(z.ndim):
        yield "wrong-place", f"reversed along axis {axis}", np.flip(z, axis)
    yield "operand", "with its negative numbers set to 0", np.maximum(z, 0)
    yield "operand", "without its sign", np.abs(z)
    yield "operand", "with the opposite sign", -z
    yield "operand", "squared", z * z
    yield "operand", "as if it were 1", np.ones_like(z)
