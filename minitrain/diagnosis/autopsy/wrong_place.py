"""Mistakes that put the right values into the wrong places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree
from minitrain.ops import Array


def transposed(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    if n.ndim == 2 and n.shape[0] == n.shape[1] and agree(n.T, a):
        says = "The gradient is transposed: each entry stands at [column, row] instead of [row, column]."
        return Mistake("transposed", says, "analytic = numeric.T everywhere.")
    return None


def _products(case: Case) -> Iterator[tuple[str, Array]]:
    """Every product of dL/dy and another input, transposed or not, that has the input's shape."""
    g = case.grad_output
    for name, other in case.at_hand.items():
        if g is None or name == "y":
            continue
        if g.ndim == 2 and other.ndim == case.numeric.ndim == 1:
            turned = {f"dL/dy @ {name}": g, f"dL/dyᵀ @ {name}": g.T}
            yield from ((text, m @ other) for text, m in turned.items() if m.shape == (*case.numeric.shape, other.size))
        if g.ndim < 2 or other.ndim not in (2, g.ndim):
            continue
        left = {"dL/dy": g, "dL/dyᵀ": g.swapaxes(-1, -2)}
        right = {name: other, f"({name})ᵀ": other.swapaxes(-1, -2)}
        if other.ndim > 2:
            right[f"({name}).T, which reverses all axes,"] = other.T
        for (p, a), (q, b) in itertools.chain(
            itertools.product(left.items(), right.items()), itertools.product(right.items(), left.items())
        ):
            batches = a.shape[:-2] == b.shape[:-2] or 2 in (a.ndim, b.ndim)
            if a.shape[-1] == b.shape[-2] and batches and (product := a @ b).shape == case.numeric.shape:
                yield f"{p} @ {q}", product


def product_transposed(case: Case) -> Mistake | None:
    products = dict(_products(case))
    right = [name for name, product in products.items() if agree(product, case.numeric)]
    taken = [name for name, product in products.items() if agree(product, case.analytic)]
    if not right or not taken:
        return None
    same = [(t, r) for t in taken for r in right if _factors(t) == _factors(r)]
    what = "is transposed wrongly" if same else "is wrong, another array belongs there"
    ours, due = same[0] if same else (taken[0], right[0])
    says = f"A factor of the product {what}: {ours} should be {due}."
    return Mistake("transposed" if same else "operand", says, f"{ours} gives this gradient, {due} gives the right one.")


def _factors(product: str) -> list[str]:
    """The names in a product, whatever their order and transposes."""
    return sorted(name.strip("()ᵀ") for name in product.split(" @ "))


def wrong_place(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    moved: list[tuple[str, Array]] = []
    for axis in range(n.ndim):
        moved.append((f"reversed along axis {axis}", np.flip(n, axis)))
        moved += [
            (f"rolled by {shift} along axis {axis}", np.roll(n, shift, axis))
            for shift in range(-((n.shape[axis] - 1) // 2), n.shape[axis] // 2 + 1)
            if shift
        ]
    if n.ndim > 1:
        moved.append(("reversed along all axes", np.flip(n)))
    for axes in [*itertools.permutations(range(n.ndim))][1:]:  # the first is the right order
        permuted = n.transpose(axes)
        if permuted.shape == n.shape:
            moved.append((f"axes permuted to {list(axes)}", permuted))
        refilled = permuted.reshape(n.shape), n.reshape(permuted.shape).transpose(np.argsort(axes))
        moved += [("filled in another order of the axes", each) for each in refilled]
    for how, candidate in moved:
        if agree(candidate, a):
            says = f"The values are right, but in the wrong places: {how}. backward must undo forward."
            return Mistake("wrong-place", says, f"numeric, {how}, equals analytic everywhere.")
    if n.size > 2 and agree(np.sort(n, axis=None), np.sort(a, axis=None)):
        says = "The values are right, but in the wrong places: the same numbers in another order."
        return Mistake("wrong-place", says, "the sorted gradients are equal.")
    return None
