"""Mistakes over time: of a weight that every step uses, only some steps are counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree
from minitrain.ops import Array


def one_step(case: Case) -> Mistake | None:
    """The gradient is the contribution of one time step, or lacks that of one."""
    for contributions, time in _by_step(case):
        total = contributions.sum(axis=0)
        if not agree(total, case.numeric):
            continue
        for t, alone in enumerate(contributions):
            if agree(alone, case.analytic):
                return _forgotten(f"only step {t} of {len(contributions)} is counted", time)
            if len(contributions) > 2 and agree(total - alone, case.analytic):
                return _forgotten(f"step {t} of {len(contributions)} is not counted", time)
    for x, time in _sequences(case):
        found = [t for t, now in enumerate(x) if _made_of(case.analytic, now)]
        if len(found) == 1 and not _made_of(case.numeric, x[found[0]]):
            return _forgotten(f"only step {found[0]} of {len(x)} is counted", time)
    return None


def _forgotten(what: str, time: str) -> Mistake:
    says = (
        "A value that is used more than once gets a gradient from each use, and they add up (+=). Here "
        f"{what} ({time}): is it overwritten (=) instead of accumulated?"
    )
    return Mistake("path-forgotten", says, f"of that weight's gradient, {what}.")


def _sequences(case: Case) -> Iterator[tuple[Array, str]]:
    """The inputs that are sequences, (time, batch, features), where this gradient is (features, ...)."""
    for i, x in enumerate(case.inputs):
        if i == case.which or not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.ndim != 3:
            continue
        if case.numeric.ndim == 2 and x.shape[2] in case.numeric.shape:
            yield x, f"axis 0 of input {i}"
            yield np.swapaxes(x, 0, 1), f"axis 1 of input {i}"


def _made_of(gradient: Array, now: Array) -> bool:
    """Whether the gradient is nowᵀ @ something, or its transpose; now has fewer rows than columns."""
    if np.linalg.matrix_rank(now) >= now.shape[1] or not gradient.any():
        return False
    onto = np.linalg.pinv(now) @ now
    return any(z.shape[0] == now.shape[1] and agree(onto @ z, z) for z in (gradient, gradient.T))


def _by_step(case: Case) -> Iterator[tuple[Array, str]]:
    """What each step contributes, (time, *shape), if input i, a sequence, meets a weight: x[t] @ W in each step.

    The right gradient of x[t] is D[t] @ Wᵀ, which gives D[t], the gradient of the product, if W has enough rows.
    """
    for i, x in enumerate(case.inputs):
        right = case.others[i] if i < len(case.others) else None
        if right is None or not isinstance(x, np.ndarray) or x.ndim != 3 or right.shape != x.shape:
            continue
        for j, w in enumerate(case.inputs):
            if j == i or not isinstance(w, np.ndarray) or w.ndim != 2 or w.dtype.kind != "f":
                continue
            for flipped, weight in ((False, w), (True, w.T)):
                if weight.shape[0] != x.shape[2] or np.linalg.matrix_rank(weight) < weight.shape[1]:
                    continue
                deltas = right @ np.linalg.pinv(weight.T)
                for axis in (0, 1):
                    time = f"axis {axis} of input {i}"
                    steps, inputs = (np.moveaxis(z, axis, 0) for z in (deltas, x))
                    if case.numeric.shape == steps.shape[2:]:
                        yield steps.sum(axis=1), time
                    elif case.which == j:
                        products = np.swapaxes(inputs, 1, 2) @ steps
                        yield (np.swapaxes(products, 1, 2) if flipped else products), time


def together(found: Sequence[list[Mistake]]) -> list[list[Mistake]]:
    """The mistakes of all inputs, where one explains another: the one use that is kept may contribute 0."""
    if not any(mistakes and mistakes[0].name == "path-forgotten" for mistakes in found):
        return [*found]
    says = (
        "The gradient is 0 everywhere. As for another input here, only one of its uses is counted (= for +=), and that "
        "one contributes 0 (the state before the first step is 0)."
    )

    def read(mistakes: list[Mistake]) -> list[Mistake]:
        if not mistakes or mistakes[0].name != "detached":
            return mistakes
        return [Mistake("path-forgotten", says, mistakes[0].evidence), *mistakes[1:]]

    return [read(mistakes) for mistakes in found]
