"""Checks every entry of a gradient against its finite difference.

An entry that disagrees is measured again with other steps before it counts as wrong. A step can be too large (the
function bends), too small (rounding), or cross a kink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.checked_function import Problem
from minitrain.diagnosis.finite_differences import STEPS, _Measured
from minitrain.diagnosis.gradcheck_report import InputCheck, Report, Worst
from minitrain.diagnosis.small_errors import small_errors
from minitrain.diagnosis.ties import check_ties
from minitrain.ops import Array

LARGEST = 2**30  # bytes for a Jacobian


def _again(
    measured: _Measured,
    flat: Any,
    j: Any,
    analytic: Array,
    atol: float,
    rtol: float,
    pick: Any,
    edge: Array,
    values: Array,
    others_wrong: bool,
) -> str:
    """Measure a disagreeing entry again with other steps; returns right, kink, unmeasured or wrong.

    The two neighbouring steps that agree best give the derivative, and their difference gives its uncertainty.
    edge: the results for which the function is infinite or nan nearby; the gradient from there is nan (0 · inf).
    values: the results, before anything is moved. others_wrong: whether another entry is wrong; then three steps can
    be enough.
    """
    x0 = values[pick]
    here = flat[j]
    steps = [measured.step(float(np.max(np.abs(here)))) * factor for factor in STEPS]
    central: list[Array] = []
    left: list[Array] = []
    right: list[Array] = []
    rounding: list[Array] = []
    for step in steps:
        if others_wrong and len(central) == 3 and _plainly_wrong(central, left, right, rounding, analytic, atol, rtol):
            return "wrong"
        up, down, distance = measured.around(flat, j, step)
        distance = np.max(distance)
        if distance == 0:
            continue
        central.append((up[pick] - down[pick]) / distance)
        right.append((up[pick] - x0) / (distance / 2))
        left.append((x0 - down[pick]) / (distance / 2))
        rounding.append(4 * measured.rounding(x0) / distance)
    if len(central) < 2:
        return "unmeasured"
    slopes = np.array(central)
    apart = np.abs(np.diff(slopes, axis=0)) + np.array(rounding)[1:]
    apart = np.where(np.isfinite(apart), apart, np.inf)
    best = np.argmin(apart, axis=0)
    columns = np.arange(slopes.shape[1])
    uncertain, slope = apart[best, columns], slopes[best, columns]
    if not measured.in_float64 and len(apart) > 1:  # where two of these may agree by chance
        uncertain = np.sort(apart, axis=0)[1]
    finite = np.isfinite(uncertain) & (np.isfinite(analytic) | ~edge)
    fits = np.abs(analytic - slope) <= atol + rtol * np.abs(slope) + 2 * uncertain
    first, count, spread = (2, 3, 0.3) if measured.in_float64 else (0, 2, 0.75)  # float32 has few usable steps
    lefts, rights = np.array(left[first:]), np.array(right[first:])
    least = np.maximum(4 * uncertain + atol, 2 * np.array(rounding[first:]))
    excused = _at_kink(lefts, rights, analytic, least, (atol, rtol), count, spread)
    if (finite & ~fits & ~excused).any():  # nan fits nothing
        return "wrong"
    if (finite & ~fits).any():
        return "kink"
    precise = finite & (uncertain <= atol + rtol * np.abs(slope))
    return "right" if precise.all() else "unmeasured"


def _plainly_wrong(
    central: list[Array],
    left: list[Array],
    right: list[Array],
    rounding: list[Array],
    analytic: Array,
    atol: float,
    rtol: float,
) -> bool:
    """Whether the largest steps agree on a slope far from analytic, without a kink: no smaller one is needed."""
    slope = central[-1]
    apart = np.abs(analytic - slope)
    uncertain = np.ptp([*central, *left[1:], *right[1:]], axis=0) + rounding[-1]
    return bool((100 * (uncertain + atol + rtol * np.abs(slope)) < apart).any())


def _at_kink(
    lefts: Array,
    rights: Array,
    analytic: Array,
    least: Array,
    tolerances: tuple[float, float],
    count: int,
    spread: float,
) -> Array:
    """For which results the gradient lies between the slopes to the left and to the right, and these differ by a kink.

    At a kink the two slopes differ by about the same amount for `count` steps, one after the other; spread: how far the
    smallest may be below the largest. Where a function only bends, the difference shrinks with the step, to an eighth.
    Steps smaller than the distance to the kink do not see it.
    """
    atol, rtol = tolerances
    gaps, found = np.abs(rights - lefts), np.zeros(analytic.shape, bool)
    for i in range(len(gaps) - count + 1):
        near = gaps[i : i + count]
        steady = (np.ptp(near, axis=0) <= spread * near.max(axis=0)) & (near > least[i : i + count]).all(axis=0)
        low, high = np.minimum(lefts[i + 1], rights[i + 1]), np.maximum(lefts[i + 1], rights[i + 1])
        margin = atol + rtol * np.maximum(np.abs(low), np.abs(high))
        found |= steady & (analytic >= low - margin) & (analytic <= high + margin)
    return found


def or_zeros(gradient: Array | None, like: Array) -> Array:
    return np.zeros(like.shape) if gradient is None else gradient


def random_numbers(shape: tuple[int, ...], dtype: Any, random: np.random.RandomState) -> Array:
    """Random numbers of both signs and different sizes from 0.5 to 1.5."""
    sizes = random.uniform(0.5, 1.5, shape) * np.where(random.random_sample(shape) < 0.5, -1, 1)
    return np.asarray(sizes, dtype)


def _analytic(
    problem: Problem, report: Report, results: list[Array], columns: Sequence[Any], random: np.random.RandomState
) -> list[Array]:
    """dy/dx from backward, for each input (x.size, len(columns)): in column k, dL/dy is 0 except at columns[k].

    There dL/dy is not 1, but a random number, which is divided out at the end. So a backward that ignores dL/dy fails.
    """
    scales = random_numbers((len(columns),), np.float64, random)
    found = [np.zeros((len(columns), array.size)) for array in problem.arrays]
    size = sum(y.size for y in results)
    for k, (column, scale) in enumerate(zip(columns, scales, strict=True)):
        row = np.zeros(size)
        row[column] = scale
        parts = np.split(row, np.cumsum([y.size for y in results])[:-1])
        grads = [part.reshape(y.shape).astype(y.dtype) for part, y in zip(parts, results, strict=True)]
        for of_input, gradient, check in zip(found, problem.backward(grads), report.inputs, strict=True):
            if gradient is not None and not check.problem:
                of_input[k] = gradient.reshape(-1)
    return [(of_input / scales[:, np.newaxis]).T for of_input in found]


def analytic_jacobians(
    problem: Problem, report: Report, results: list[Array], random: np.random.RandomState
) -> list[Array]:
    """dy/dx from backward, for each input (x.size, y.size)."""
    return _analytic(problem, report, results, range(sum(y.size for y in results)), random)


def check_entries(
    measured: _Measured, report: Report, results: list[Array], random: np.random.RandomState, independent_rows: bool
) -> tuple[list[Array], list[Array]]:
    """Compare the Jacobian; returns the measured one of each input, and the one from backward, (x.size, y.size).

    independent_rows: row r of the result depends only on row r of each input. All rows are then moved at once, and the
        Jacobians are (x.size, y.size / rows).
    """
    problem = measured.problem
    outputs, largest = sum(y.size for y in results), max(array.size for array in problem.arrays)
    rows = 0
    if independent_rows:
        rows = _rows(problem, results)
        outputs //= max(rows, 1)
    elif 16 * outputs * largest > LARGEST:
        raise ValueError(
            f"{problem.operation} has {outputs} results and an input of {largest} numbers: the Jacobian takes "
            f"{16 * outputs * largest / 2**30:.1f} GiB. Sum the results, use smaller inputs, or pass fast_mode=True."
        )
    columns = [slice(k, None, outputs) if independent_rows else k for k in range(outputs)]
    analytic = _analytic(problem, report, results, columns, random)
    jacobians = []
    for array, expected, found in zip(problem.arrays, analytic, report.inputs, strict=True):
        with measured._moving(array):
            if independent_rows:
                jacobian = _jacobian_of_rows(measured, array, rows, outputs)
                picks = [slice(r * outputs, (r + 1) * outputs) for r in range(rows) for _ in range(array.size // rows)]
            else:
                jacobian, picks = measured.jacobian(array), [slice(None)] * array.size
            if not found.problem:
                _compare(measured, found, report, expected, jacobian, picks, array, results)
                if found.ok and not independent_rows:
                    warnings = [*small_errors(measured, report, found, array, expected, jacobian)]
                    found.warned = bool(warnings)
                    report.warnings += warnings
        jacobians.append(jacobian)
    if not independent_rows:
        check_ties(measured, report, analytic)
    return jacobians, analytic


def _rows(problem: Problem, results: list[Array]) -> int:
    """The number of rows of the result. Raises ValueError unless each input has as many."""
    shapes = [y.shape for y in results]
    for name, array in zip(problem.names, problem.arrays, strict=True):
        if len(shapes) != 1 or not shapes[0] or array.shape[:1] != shapes[0][:1]:
            raise ValueError(
                "independent_rows needs one result, and inputs with as many rows as the result; "
                f"{name} has shape {list(array.shape)}, the results have {[*map(list, shapes)]}"
            )
    return len(results[0])


def _jacobian_of_rows(measured: _Measured, array: Array, rows: int, outputs: int) -> Array:
    """dy[r]/dx[r] for all rows r, (x.size, outputs of a row)."""
    size = array.size // max(rows, 1)
    by_row = np.empty((rows, size, outputs))
    for j in range(size):
        column = slice(j, None, size)
        steps = np.array([measured.step(float(x)) for x in array.flat[column]])
        up, down, distance = measured.around(array.flat, column, steps)
        by_row[:, j] = (up - down).reshape(rows, outputs) / distance[:, np.newaxis]
    return by_row.reshape(array.size, outputs)


def _compare(
    measured: _Measured,
    found: InputCheck,
    report: Report,
    analytic: Array,
    numeric: Array,
    picks: Sequence[slice],
    array: Array,
    results: list[Array],
) -> None:
    """Judge every entry of an input; picks[j] are the results that row j of the derivatives belongs to."""
    apart = np.abs(analytic - numeric)
    fits = apart <= report.atol + report.rtol * np.abs(numeric)
    apart[~np.isfinite(apart)] = np.inf
    counted = fits.all(axis=1)
    found.at_kink = np.zeros(array.shape, bool)
    worst = -1.0
    values = np.concatenate([y.reshape(-1) for y in results])
    broken = ~np.isfinite(numeric)
    # If a result is nan or infinite, so is the gradient from it: 0 · nan.
    beyond = np.full(values.size, not np.isfinite(values).all())
    if numeric.shape[1] == values.size:
        beyond |= broken.any(axis=0)
    found.excused = np.zeros(array.shape, bool)
    for j in map(int, np.flatnonzero(~counted)):
        edge = beyond[picks[j]] | broken[j].any()
        verdict = _again(
            measured,
            array.flat,
            j,
            analytic[j],
            report.atol,
            report.rtol,
            picks[j],
            edge,
            values,
            found.failing > 0,
        )
        found.excused.flat[j] = verdict != "wrong"
        match verdict:
            case "right":
                found.remeasured += 1
            case "kink":
                found.kinks += 1
                found.at_kink.flat[j] = True
            case "unmeasured":
                found.unmeasured += 1
            case _:
                found.failing += 1
                k = int(np.argmax(np.where(fits[j], -1, apart[j])))
                if apart[j, k] > worst:
                    worst = apart[j, k]
                    index = tuple(int(i) for i in np.unravel_index(j, array.shape))
                    output = _output_index(results, (picks[j].start or 0) + k)
                    found.worst = Worst(index, output, float(analytic[j, k]), float(numeric[j, k]))
    found.largest = float(apart[counted].max(initial=0))


def _output_index(results: list[Array], k: int) -> tuple[int, ...]:
    for y in results:
        if k < y.size:
            return tuple(int(i) for i in np.unravel_index(k, y.shape))
        k -= y.size
    raise IndexError(k)


def check_sums(
    problem: Problem, report: Report, row: Array, gradients: list[Array | None], jacobians: list[Array]
) -> None:
    """Compare the gradients for a dL/dy without zeros, row: unlike a one-hot one, it shows if backward is linear."""
    for found, array, gradient, jacobian in zip(report.inputs, problem.arrays, gradients, jacobians, strict=True):
        if not array.size or found.problem:
            continue
        if jacobian.shape[1] == row.size:
            numeric, size = jacobian @ row, np.abs(jacobian) @ np.abs(row)
        else:  # independent rows: each entry has only the results of its own row
            own = row.reshape(len(array), 1, -1)
            by_row = jacobian.reshape(len(array), -1, own.shape[-1])
            numeric, size = (by_row * own).sum(axis=2), np.abs(by_row * own).sum(axis=2)
        found.analytic, found.numeric = or_zeros(gradient, array), numeric.reshape(array.shape)
        if found.failing or found.excused is None:
            continue
        allowed = report.atol * np.abs(row).sum() + report.rtol * size.reshape(array.shape)
        if not ((np.abs(found.analytic - found.numeric) <= allowed) | found.excused).all():
            found.problem = (
                "the gradient is right for each single result, but for several results it is not their sum: backward "
                "must be linear in grad_output"
            )
