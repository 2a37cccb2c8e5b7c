"""Looks again at a gradient that is right, where the given inputs could hide a mistake, and warns if they do.

A factor cannot be seen if it is all 1, a sum over rows if the batch has one row, and the wrong divisor if N equals C.
Each gradient is therefore measured once more with other values or another number of rows. If it is right there, too,
nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from minitrain.diagnosis.checked_function import Problem
from minitrain.diagnosis.directional import along
from minitrain.diagnosis.entrywise import random_numbers
from minitrain.diagnosis.finite_differences import _Measured, restoring
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.ops import Array

WRONG = 1e-3  # relative to the gradient
STEPS = (64.0, 8.0, 1.0)
MOST = 4  # inputs to change; of inputs of as many rows, every choice is tried


def hidden_mistakes(problem: Problem, report: Report, eps: float) -> Iterator[str]:
    """Warnings about mistakes that show only at other inputs. The problem's arrays are changed and restored."""
    random = np.random.RandomState(2)
    if any(array.dtype != np.float64 for array in problem.arrays):
        return  # rounding hides what is to be seen here
    found = [*_hidden(problem, report, eps, random)]
    if found and not _wrong(problem, eps, random):  # here, too: within the tolerances, which small_errors warns about
        yield from found


def _hidden(problem: Problem, report: Report, eps: float, random: np.random.RandomState) -> Iterator[str]:
    yield from _by_values(problem, report, eps, random)
    yield from _without_influence(problem, report, random)
    yield from _negative_loss(problem, report)
    shapes = [array.shape for array in problem.arrays if array.ndim > 1]
    if any(shape[0] == 1 for shape in shapes):
        where, wanted = "With one row, a sum or a mean over the rows cannot be seen", "Check several rows."
        yield from _by_rows(problem, report, 1, eps, random, f"{where}. {wanted}")
    for rows in sorted({shape[0] for shape in shapes if shape[0] > 1 and shape[0] in shape[1:]}):
        where, wanted = f"With {rows} rows and {rows} columns, it cannot be seen which of them", "Give unequal sizes."
        yield from _by_rows(problem, report, rows, eps, random, f"{where} a mean divides by. {wanted}")


# --- other values -----------------------------------------------------------------------------------------------------


Move = Callable[[Array, np.random.RandomState], Array]


def _other_numbers(array: Array, random: np.random.RandomState) -> Array:
    """Numbers near the old ones, and of both signs where these are 0."""
    numbers = random_numbers(array.shape, array.dtype, random)
    return np.where(array == 0, numbers, array * np.abs(numbers))


def _other_signs(array: Array, random: np.random.RandomState) -> Array:
    return array * np.where(random.random_sample(array.shape) < 0.5, -1, 1)


def _special(array: Array, is_loss: bool) -> tuple[str, str, str, Move] | None:
    """What is special about an input's values, what that hides, which values show it, and a move to such; or None."""
    if not array.size:
        return None
    first = float(array.flat[0])
    if (array == first).all() and (array.size > 1 or first in (-1, 0, 1)):
        return f"all {first:g}", "a factor that is wrong or missing", "random values", _other_numbers
    if array.ndim == 2 and array.shape[0] == array.shape[1] and np.array_equal(array, array.T):
        return "equal to its own transpose", "a transpose that is wrong or missing", "random values", _other_numbers
    if array.ndim > 1 and len(array) > 1 and (array == array[:1]).all():
        return "the same in every row", "a row in the place of another one", "random values", _other_numbers
    if (
        array.size > 1
        and (array > 0).all() != (array < 0).all()
        and not (is_loss and (array >= 0).all() and (array <= 1).all())
    ):
        sign = "positive" if first > 0 else "negative"
        return f"{sign} everywhere", "what happens on the other side of 0", "values of both signs", _other_signs
    return None


def _by_values(problem: Problem, report: Report, eps: float, random: np.random.RandomState) -> Iterator[str]:
    is_loss = sum(y.size for y in problem.results()) == 1
    looked = 0
    for name, array in zip(problem.names, problem.arrays, strict=True):
        special = _special(array, is_loss)
        if special is None or looked == MOST:
            continue
        looked += 1
        what, hides, wanted, move = special
        with restoring(problem.arrays):
            array[...] = move(array, random)
            bad = _wrong(problem, eps, random)
        if bad:
            names = " and ".join(problem.names[i] for i in bad)
            yield (
                f"{report.operation}: {name} is {what}, so {hides} cannot be seen. With {wanted} there, "
                f"the gradient of {names} is wrong. Give {name} {wanted}."
            )
            return


def _without_influence(problem: Problem, report: Report, random: np.random.RandomState) -> Iterator[str]:
    """Warn about an input that cannot change the result, as the sum of a softmax: a gradient of 0 proves nothing."""
    before = [y.copy() for y in problem.results()]
    if sum(y.size for y in before) != 1 or not np.isfinite(before[0]).all():
        return
    for found, array in zip(report.inputs, problem.arrays, strict=True):
        flat = found.numeric is not None and np.abs(found.numeric).max(initial=0) < 1e-9
        if not flat or array.size < 2 or not found.name.startswith("input"):  # a bias before a BatchNorm has none
            continue
        with restoring([array]):
            array += random.uniform(-1, 1, array.shape) * (1 + np.abs(array))
            same = np.allclose(before[0], problem.results()[0], rtol=1e-9, atol=1e-12)
        if same:
            yield (
                f"{report.operation}, {found.name}: the result does not depend on it, so the gradient is 0 and a "
                "mistake cannot be seen. (The sum of a softmax, or of normalised rows, is constant.) Check the results "
                "without summing them."
            )


def _negative_loss(problem: Problem, report: Report) -> Iterator[str]:
    """Warn about the negated log-probability of the right class, if what it was given are no log-probabilities."""
    for scores in problem.picked():
        if scores.size and np.exp(scores - scores.max()).sum(axis=1).max() * np.exp(scores.max()) > 1 + 1e-6:
            yield (
                f"{report.operation}: the loss is minus the number of the right class (NLL), and expects "
                f"log-probabilities, which are never positive; but it is given numbers up to {scores.max():.3g}. "
                "The gradient is right, the loss is not: it can be negative. Apply log_softmax first."
            )
            return


def _wrong(problem: Problem, eps: float, random: np.random.RandomState) -> list[int] | None:
    """The inputs whose gradient is wrong along a random direction, none where that cannot be measured.

    None: the function does not take such inputs.
    """
    try:
        results = problem.prepare()
        weights = [random_numbers(y.shape, y.dtype, random) for y in results]
        row = np.concatenate([w.reshape(-1) for w in weights])
        gradients = problem.backward(weights)
        measured = _Measured(problem, eps)
        wrong = []
        for i, (array, gradient) in enumerate(zip(problem.arrays, gradients, strict=True)):
            gradient = np.zeros(array.shape) if gradient is None else gradient
            if gradient.shape != array.shape:
                wrong.append(i)
                continue
            direction = np.where(random.random_sample(array.size) < 0.5, -1.0, 1.0) / max(array.size, 1) ** 0.5
            terms = gradient.reshape(-1) * direction
            if abs(along(measured, array, direction, STEPS[1], row) - terms.sum()) <= WRONG * np.linalg.norm(terms):
                continue
            slopes = np.array([along(measured, array, direction, factor, row) for factor in STEPS])
            apart = np.abs(slopes - terms.sum())
            rounding = np.finfo(array.dtype).eps * (np.abs(row) @ np.abs(measured.value())) / eps
            if not np.isfinite(slopes).all() or _bent(measured, array, direction, row, np.linalg.norm(terms)):
                return []
            if apart.min() > WRONG * np.linalg.norm(terms) + 30 * np.ptp(slopes) + 30 * rounding:
                wrong.append(i)
    except Exception:
        return None
    return wrong


def _bent(measured: _Measured, array: Array, direction: Array, row: Array, size: Any) -> bool:
    """Whether there is a kink, where the slopes to the left and to the right differ."""
    step = STEPS[1] * measured.step(0.0)
    up, down, _ = measured.around(array.flat, slice(None), step * direction)
    here = row @ measured.value()
    left, right = (here - row @ down) / step, (row @ up - here) / step
    return bool(abs(right - left) > WRONG * max(abs(left), abs(right), size))


# --- another number of rows -------------------------------------------------------------------------------------------


def _by_rows(
    problem: Problem, report: Report, rows: int, eps: float, random: np.random.RandomState, says: str
) -> Iterator[str]:
    """Warn if the gradient is wrong with one row more, whichever inputs get it: a bias, say, has no row per sample."""
    candidates = [i for i, x in enumerate(problem.inputs) if isinstance(x, np.ndarray) and x.ndim and len(x) == rows]
    parts = [part for count in range(1, len(candidates) + 1) for part in combinations(candidates, count)]
    wrong: list[int] | None = None
    for part in parts if len(candidates) <= MOST else ():
        found = _wrong_with_more_rows(problem, part, rows, eps, random)
        if found == []:
            return
        wrong = wrong or found
    if wrong:
        names = " and ".join(problem.names[i] for i in wrong)
        yield f"{report.operation}: {says} With {rows + 1} rows, the gradient of {names} is wrong."


def _wrong_with_more_rows(
    problem: Problem, chosen: Sequence[int], rows: int, eps: float, random: np.random.RandomState
) -> list[int] | None:
    inputs = list(problem.inputs)
    for i in chosen:
        added = inputs[i][-1:].copy()
        if added.dtype.kind == "f":
            added *= np.abs(random_numbers(added.shape, added.dtype, random)) / 1.5  # a probability stays one
        inputs[i] = np.concatenate([inputs[i], added])
    other = problem.with_inputs(inputs)
    if other is None:
        return None
    wrong = _wrong(other, eps, random)
    if wrong and rows > 1 and any(g is None or g.shape != a.shape for a, g in _gradients(other)):
        return None  # the sizes stand in the function
    return wrong


def _gradients(problem: Problem) -> Iterator[tuple[Array, Array | None]]:
    yield from zip(problem.arrays, problem.backward([np.ones_like(y) for y in problem.prepare()]), strict=True)
