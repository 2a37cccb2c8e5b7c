"""Mistakes in which entries of the input a result sends its gradient to: others, too many, too few, or with a mean.

Column k of a Jacobian is what result k sends to the input. Comparing the columns of the two Jacobians shows what the
gradient alone hides, because the gradient adds all columns up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import CLOSE, Case, Mistake, agree, fits, listing, naming, number
from minitrain.ops import Array


def _jacobians(case: Case) -> tuple[Array, Array] | None:
    """The Jacobians of analytic and numeric, with what is 0 up to rounding set to 0; None if they are unknown."""
    ours, right, g = case.analytic_jacobian, case.jacobian, case.grad_output
    if ours is None or right is None or g is None or ours.shape != right.shape or g.size < 2:
        return None
    if not np.isfinite(ours).all() or not agree((ours @ g.reshape(-1)).reshape(case.numeric.shape), case.analytic):
        return None  # not linear in dL/dy
    ours, right = (np.where(np.abs(z) > 1e-6 * np.abs(z).max(initial=0), z, 0.0) for z in (ours, right))
    return ours, right


def moved(case: Case) -> Mistake | None:
    """Each result sends the right values, but to other entries."""
    jacobians = _jacobians(case)
    if jacobians is None or case.y is None or case.numeric.size < 3:
        return None
    ours, right = jacobians
    if agree(ours, right):
        return None
    apart = [k for k in range(ours.shape[1]) if not agree(ours[:, k], right[:, k])]
    sent = [k for k in apart if ours[:, k].any()]
    if not sent:
        return None
    cut = 0  # of some results, a part is lost at an edge
    for k in sent:
        mine, due = (np.sort(z[z != 0]) for z in (ours[:, k], right[:, k]))
        if len(mine) == len(due) and agree(mine, due):
            continue
        if len(mine) < len(due) and all(np.isclose(due, value, rtol=CLOSE, atol=0).any() for value in mine):
            cut += 1
            continue
        return None
    if cut > len(sent) / 2 or len(apart) - len(sent) > len(apart) / 2:
        return None
    k = max(sent, key=lambda i: np.count_nonzero(ours[:, i]))
    shape, where = case.numeric.shape, [int(i) for i in np.unravel_index(k, case.y.shape)]
    here, there = (_first(z[:, k], shape) for z in (ours, right))
    says = (
        f"The values are right, but in the wrong places. Result {where} depends on x{there}, but its gradient goes to "
        f"x{here}. backward must undo forward: each dL/dy goes to the entries that the result was computed from (look "
        "at the index, an offset, a stride, a crop, or the order of a reshape)."
    )
    return Mistake("wrong-place", says, f"{len(apart)} of {ours.shape[1]} results send their gradient elsewhere.")


def taken_elsewhere(case: Case) -> Mistake | None:
    """The way back is right, but dL/dy is read in another order, or a part of it stands for all."""
    jacobians, g = _jacobians(case), case.grad_output
    if jacobians is None or g is None or g.size < 4 or case.numeric.size < 3 or agree(*jacobians):
        return None
    ours, right = jacobians
    for how, taken in _readings(g.shape):
        if not agree((right @ g.reshape(-1)[taken.reshape(-1)]).reshape(case.numeric.shape), case.analytic):
            continue
        sent = np.zeros_like(right)
        np.add.at(sent.T, taken.reshape(-1), right.T)
        if agree(sent, ours):
            says = (
                f"The way back is right, but dL/dy is taken from the wrong places: {how}. dL/dy[i, ...] belongs to "
                "y[i, ...]."
            )
            return Mistake("grad-output-moved", says, "with dL/dy read like this, the measured gradient is analytic.")
    return None


def _readings(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Wrong ways to read an array of this shape: how, and the number of the entry that is read at each place."""
    order = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    for axis in range(order.ndim):
        if shape[axis] > 1:
            yield f"reversed along axis {axis}", np.flip(order, axis)
            for index, which in ((0, "index 0"), (-1, "the last index")):
                yield f"{which} along axis {axis} for all", np.broadcast_to(order.take([index], axis), shape)
    for axes in [*itertools.permutations(range(order.ndim))][1:]:
        turned = order.transpose(axes)
        if turned.shape == shape:
            yield f"axes permuted to {list(axes)}", turned
        yield f"filled in another order of the axes ({list(axes)})", turned.reshape(shape)
    for axis in range(1, order.ndim):
        for parts in (h for h in range(2, shape[axis] + 1) if shape[axis] % h == 0):
            split = (*shape[: axis - 1], parts, shape[axis - 1], shape[axis] // parts, *shape[axis + 1 :])
            how = f"reshaped to {list(split)} where axis {axis} is split first, and its {parts} parts then moved"
            yield how, order.reshape(split).swapaxes(axis - 1, axis).reshape(shape)


def _first(column: Array, shape: tuple[int, ...]) -> str:
    return str([int(i) for i in np.unravel_index(int(np.flatnonzero(column)[0]), shape)])


def mixed(case: Case) -> Mistake | None:
    """A result depends on some indices along an axis of the input, but sends something to the others, too."""
    jacobians, shape = _jacobians(case), case.numeric.shape
    if jacobians is None or len(shape) < 2:
        return None
    ours, right = ((z != 0).reshape(*shape, -1) for z in jacobians)
    if (right & ~ours).any():
        return None
    for axis in range(len(shape)):
        used, reached = (z.any(axis=tuple(i for i in range(len(shape)) if i != axis)) for z in (right, ours))
        too_far = (reached & ~used).any(axis=0)
        if shape[axis] < 2 or not too_far.mean() > 0.5:
            continue
        k = int(np.argmax(too_far))
        due, taken = (listing([*np.flatnonzero(z[:, k])]) for z in (used, reached))
        says = (
            f"The gradient is mixed along axis {axis}: the first result depends only on index {due} along axis {axis} "
            f"of x, but its gradient goes to index {taken}. A sum or a mean is taken over too many axes, or a "
            "statistic (a mean, a variance) that does not depend on these entries is treated as if it did."
        )
        evidence = f"{too_far.sum()} of {too_far.size} results send something to an index that they do not depend on."
        return Mistake("sum-wrong-axis", says, evidence)
    return None


def shifted(case: Case) -> Mistake | None:
    """All results send the right values a few places too far: an offset, a stride's start, a wrong crop."""
    jacobians, shape = _jacobians(case), case.numeric.shape
    if jacobians is None or not shape or agree(*jacobians):
        return None
    ours, right = (z.reshape(*shape, -1) for z in jacobians)
    choices = [(axis,) for axis in range(len(shape))] + ([(len(shape) - 2, len(shape) - 1)] if len(shape) > 1 else [])
    for axes in choices:
        for step in (1, -1, 2, -2, 3, -3):
            if any(abs(step) >= shape[axis] for axis in axes):
                continue
            to, start = [slice(None)] * len(shape), [slice(None)] * len(shape)
            for axis in axes:
                to[axis] = slice(step, None) if step > 0 else slice(None, step)
                start[axis] = slice(None, -step) if step > 0 else slice(-step, None)
            there, due = ours[tuple(to)], right[tuple(start)]
            if due.size < 4 or np.count_nonzero(due) < 3 or not agree(there, due):
                continue
            says = (
                f"The values are right, but {abs(step)} place{'s' if abs(step) > 1 else ''} too far "
                f"{'up' if step > 0 else 'down'} along {naming(axes)}: an index is off, or padding is cut off at the "
                "wrong end. backward must undo forward (what was padded by p in front is x[p:])."
            )
            return Mistake("wrong-place", says, f"shifted by {-step} along {naming(axes)}, it is the right gradient.")
    return None


def not_spread(case: Case) -> Mistake | None:
    """Of the entries that a result depends on, only some get its gradient."""
    jacobians = _jacobians(case)
    if jacobians is None:
        return None
    ours, right = jacobians
    sent, due = np.count_nonzero(ours, axis=0), np.count_nonzero(right, axis=0)
    if ((ours != 0) & (right == 0)).any() or not (sent >= 1).all() or not (sent < due).mean() > 0.5:
        return None
    ratio = ours[ours != 0] / right[ours != 0]
    if np.ptp(ratio) > CLOSE * np.abs(ratio).max():
        return None
    c = float(ratio.mean())
    if not any(abs(c - whole) < CLOSE * whole for whole in (1, due.max())):
        return None  # neither each entry's own share nor all of it
    factor = "" if abs(c - 1) < CLOSE else f", and {number(c)} times what it should be"
    says = (
        f"Each result depends on up to {due.max()} entries of x, but only {sent.max()} of them "
        f"{'gets' if sent.max() == 1 else 'get'} its gradient{factor}. Spread it over all of them: each gets dL/dy "
        "times its own derivative."
    )
    return Mistake("not-spread", says, f"{(sent < due).sum()} of {sent.size} results send nothing to some entries.")


def averaged_uses(case: Case) -> Mistake | None:
    """An entry that several results use gets the mean of their gradients."""
    jacobians = _jacobians(case)
    if jacobians is None:
        return None
    ours, right = jacobians
    uses = np.count_nonzero(right, axis=1)
    if not uses.any() or np.ptp(uses[uses > 0]) == 0 or not agree(ours, right / np.maximum(uses, 1)[:, np.newaxis]):
        return None
    says = (
        f"An entry that is used several times (up to {uses.max()} times) gets the mean of the gradients of its uses. "
        "They add up: take the sum, do not divide by the number of uses."
    )
    return Mistake("averaged", says, "each entry's gradient is the right one divided by the number of its uses.")


def normalised_wrongly(case: Case) -> Mistake | None:
    """Weights that add up to 1 along one axis add up to 1 along another: a softmax over the wrong axis."""
    g, jacobians, shape = case.grad_output, _jacobians(case), case.numeric.shape
    if g is None or jacobians is None or len(shape) < 2:
        return None
    if any((np.count_nonzero(z, axis=1) > 1).any() for z in jacobians):
        return None
    ours, right = (z.sum(axis=1).reshape(shape) for z in jacobians)
    for due in range(len(shape)):
        for taken in range(len(shape)):
            sums, wrong = ours.sum(axis=taken), ours.sum(axis=due)
            whole = right.sum(axis=due)
            same = agree(whole, np.ones(whole.shape)) and agree(sums, np.ones(sums.shape))
            if due != taken and same and not agree(wrong, np.ones(wrong.shape), 1e-2):
                says = (
                    f"The softmax, or what divides by a sum, is over the wrong axis: dy/dx must add up to 1 along "
                    f"{naming((due,))}, but here it adds up to 1 along {naming((taken,))}."
                )
                evidence = f"along {naming((due,))} it adds up to {number(float(wrong.flat[0]))} at the first index."
                return Mistake("sum-wrong-axis", says, evidence)
    return None


def factor_on_the_other_side(case: Case) -> Mistake | None:
    """A sum or mean and a factor are exchanged: the factor is multiplied in behind the sum, or the other way round."""
    g, right, shape = case.grad_output, case.jacobian, case.numeric.shape
    if g is None or right is None or g.shape != shape or right.shape != (g.size, g.size) or g.size < 4:
        return None
    if agree(right, right.T) or not agree((right.T @ g.reshape(-1)).reshape(shape), case.analytic):
        return None
    for name, z in case.at_hand.items():
        if z.size < 2 or not z.all() or not fits(z, shape):
            continue
        d = np.broadcast_to(z, shape).reshape(-1)
        for what, first in ((f"dL/dy · {name}", d), (f"dL/dy / {name}", 1 / d)):
            inner = right / first  # what stands behind the factor
            if agree(inner, inner.T):
                says = (
                    f"The factor {name} is applied on the wrong side of the sums or means over the row: it belongs "
                    f"before them. Compute {what} first, and use that in every term."
                )
                return Mistake("wrong-order", says, f"with {name} behind the sums, the formula gives this gradient.")
    return None
