"""gradcheck: hold a gradient against differences of the function itself, and say what is wrong with it.

Every entry of every input is moved a little, up and down; what the results change by, divided by the distance, is
what the derivative should be. Where the two disagree, the entry is measured again with other steps before it counts
as wrong: a step can be too large (the function bends), too small (rounding), or cross a kink.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import autopsy
from minitrain.diagnosis.checked_function import Problem, as_problem
from minitrain.diagnosis.gradcheck_report import DIRECTIONS, GradcheckError, InputCheck, Report, Worst
from minitrain.ops import Array
from minitrain.torchlike.grad_mode import no_grad

SAMPLED = 64  # entries that the directional mode measures one by one once a direction is wrong
STEPS = (64.0, 8.0, 1.0, 1 / 8, 1 / 64, 1 / 512)  # times eps, where an entry disagrees
LARGEST = 2**30  # bytes for a Jacobian

# --- measuring --------------------------------------------------------------------------------------------------------


class _Measured:
    """The results as one row of numbers, moved at one entry at a time."""

    def __init__(self, problem: Problem, eps: float) -> None:
        self._problem, self._eps, self.sizes = problem, eps, problem.sizes
        self._copies = True
        first = problem.results()
        second = problem.results()
        others = [*first, *problem.arrays]
        self._copies = any(np.may_share_memory(y, other) for y in second for other in others)

    def value(self) -> Array:
        """The results at where the arrays are, in memory of their own."""
        results = self._problem.results()
        if len(results) != 1:
            return np.concatenate([y.reshape(-1) for y in results]) if results else np.zeros(0)
        return results[0].flatten() if self._copies else results[0].reshape(-1)

    def step(self, x: float) -> float:
        """How far to move a number: eps, as measured by 1 or by the number itself if it is larger."""
        return self._eps * max(1.0, abs(x)) if math.isfinite(x) else self._eps

    def around(self, flat: Any, j: Any, step: Any) -> tuple[Array, Array, Any]:
        """The results with entries j moved up and down by step, and the distance between, as it was rounded."""
        before = flat[j]
        try:
            flat[j] = before + step
            up, high = self.value(), flat[j]
            flat[j] = before - step
            down, low = self.value(), flat[j]
        finally:
            flat[j] = before
        return up, down, high - low

    def jacobian(self, array: Array) -> Array:
        """dy/dx of one input, (x.size, y.size), measured entry by entry."""
        jacobian = np.empty((array.size, self.value().size))
        flat = array.flat
        for j in range(array.size):
            up, down, distance = self.around(flat, j, self.step(float(flat[j])))
            np.subtract(up, down, out=jacobian[j])
            jacobian[j] /= distance
        return jacobian


def _within(a: Array, b: Array, atol: float, rtol: float) -> Any:
    return np.abs(a - b) <= atol + rtol * np.abs(b)


def _again(
    measured: _Measured, flat: Any, j: Any, analytic: Array, atol: float, rtol: float, pick: Any, edge: Array
) -> str:
    """Measure an entry that disagrees with other steps; returns right, kink, unmeasured or wrong.

    The two steps that agree best with each other give the derivative, and how well they agree its uncertainty.
    edge: for which results the function is infinite or nan near here; what comes back from there is nan (0 · inf).
    """
    x0 = measured.value()[pick]
    here = flat[j]
    steps = [measured.step(float(np.max(np.abs(here)))) * factor for factor in STEPS]
    central, left, right, rounding = [], [], [], []
    for step in steps:
        up, down, distance = measured.around(flat, j, step)
        distance = np.max(distance)
        if distance == 0:
            continue
        central.append((up[pick] - down[pick]) / distance)
        right.append((up[pick] - x0) / (distance / 2))
        left.append((x0 - down[pick]) / (distance / 2))
        rounding.append(4 * np.spacing(np.abs(x0)) / distance)
    if len(central) < 2:
        return "unmeasured"
    slopes, lefts, rights = np.array(central), np.array(left), np.array(right)
    apart = np.abs(np.diff(slopes, axis=0)) + np.array(rounding)[1:]
    apart = np.where(np.isfinite(apart), apart, np.inf)
    best = np.argmin(apart, axis=0)
    columns = np.arange(slopes.shape[1])
    uncertain, slope = apart[best, columns], slopes[best, columns]
    finite = np.isfinite(uncertain) & (np.isfinite(analytic) | ~edge)
    fits = np.abs(analytic - slope) <= atol + rtol * np.abs(slope) + 2 * uncertain
    # A kink: the slopes to the left and to the right differ, and by the same however near one looks.
    gaps = np.abs(rights - lefts)
    near = gaps[-4:-1]
    steady = np.ptp(near, axis=0) <= 0.3 * near.max(axis=0)
    kink = steady & (near.min(axis=0) > 4 * uncertain + atol)
    low, high = np.minimum(lefts[-3], rights[-3]), np.maximum(lefts[-3], rights[-3])
    margin = atol + rtol * np.maximum(np.abs(low), np.abs(high))
    between = (analytic >= low - margin) & (analytic <= high + margin)
    if (finite & ~fits & ~(kink & between)).any():  # nan fits nothing
        return "wrong"
    if (finite & ~fits).any():
        return "kink"
    precise = finite & (uncertain <= atol + rtol * np.abs(slope))
    return "right" if precise.all() else "unmeasured"


def _loose(gradient: Array | None, like: Array) -> Array:
    return np.zeros(like.shape) if gradient is None else gradient


def _irregular(shape: tuple[int, ...], dtype: Any, random: np.random.RandomState) -> Array:
    """Numbers of both signs whose sizes are all different, none of them 0 or 1."""
    sizes = random.uniform(0.5, 1.5, shape) * np.where(random.random_sample(shape) < 0.5, -1, 1)
    return np.asarray(sizes, dtype)


def _split(row: Array, like: Sequence[Array]) -> list[Array]:
    """One row of numbers as arrays of these shapes."""
    parts, begin = [], 0
    for array in like:
        parts.append(row[begin : begin + array.size].reshape(array.shape).astype(array.dtype, copy=False))
        begin += array.size
    return parts


def check_gradients(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    loss_fn: Any = None,
    options: Mapping[str, Any] | None = None,
    needs_input_grad: Sequence[bool] | None = None,
    independent_rows: bool = False,
    seed: int = 0,
) -> Report:
    """gradcheck, with all that it found as its result; see gradcheck for the arguments."""
    for name, number in (("eps", eps), ("atol", atol), ("rtol", rtol), ("nondet_tol", nondet_tol)):
        if not (isinstance(number, int | float | np.floating) and 0 <= number < math.inf) or (
            name == "eps" and number == 0
        ):
            least = "above" if name == "eps" else "from"
            raise ValueError(f"{name} must be a finite number {least} 0, but got {number}")
    if fast_mode and independent_rows:
        raise ValueError("fast_mode checks directions, not rows; give either fast_mode or independent_rows")
    problem = as_problem(func, inputs, options or {}, loss_fn, needs_input_grad)
    for name, array in zip(problem.names, problem.arrays, strict=True):
        if not array.flags.writeable:
            raise ValueError(f"{name} cannot be written, so it cannot be moved; give gradcheck a copy")
        if array.dtype != np.float64:
            warnings.warn(
                f"{name} requires gradient and is not a double precision floating point: in {array.dtype} rounding "
                "hides small errors and looks like one. Convert it (and the model) with .double().",
                stacklevel=3,
            )
    with np.errstate(all="ignore"), no_grad():
        return _checked(problem, eps, atol, rtol, nondet_tol, fast_mode, independent_rows, seed)


def _checked(
    problem: Problem,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    fast_mode: bool,
    independent_rows: bool,
    seed: int,
) -> Report:
    before = [array.copy() for array in problem.arrays]
    try:
        return _examined(problem, before, eps, atol, rtol, nondet_tol, fast_mode, independent_rows, seed)
    finally:
        for array, old in zip(problem.arrays, before, strict=True):
            array[...] = old


def _examined(
    problem: Problem,
    before: list[Array],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    fast_mode: bool,
    independent_rows: bool,
    seed: int,
) -> Report:
    random = np.random.RandomState(seed)
    problem.results()
    for name, array, old in zip(problem.names, problem.arrays, before, strict=True):
        if not np.array_equal(array, old, equal_nan=True):
            raise GradcheckError(f"{problem.operation} changes {name} in place; the check needs it as it is: clone it.")
    measured = _Measured(problem, eps)
    value = measured.value()
    if not np.array_equal(value, measured.value(), equal_nan=True):
        raise GradcheckError(
            f"{problem.operation} gives other values each time it is called: does it draw random numbers (dropout: "
            "call model.eval()), or keep something from call to call?"
        )
    results = problem.prepare()
    weights = [_irregular(y.shape, y.dtype, random) for y in results]
    given = [w.copy() for w in weights]
    gradients = [None if gradient is None else gradient.copy() for gradient in problem.backward(given)]
    if not all(np.array_equal(w, g) for w, g in zip(weights, given, strict=True)):
        raise GradcheckError(
            f"{problem.operation}.backward writes into the gradient that it is given, which others may need; compute a "
            "new array instead (x = x * 2, not x *= 2)."
        )
    again = [None if gradient is None else gradient.copy() for gradient in problem.backward(given)]
    turned = problem.backward([np.asarray(-w) for w in weights])
    report = Report(problem.operation, [], atol, rtol, fast_mode)
    if not sum(y.size for y in results):
        report.inputs = [InputCheck(n, a.shape, a.size) for n, a in zip(problem.names, problem.arrays, strict=True)]
        return report
    cases = zip(problem.names, problem.arrays, gradients, again, turned, strict=True)
    for name, array, gradient, second, negative in cases:
        found = InputCheck(name, array.shape, array.size)
        report.inputs.append(found)
        if gradient is not None and gradient.shape != array.shape:
            found.problem = f"its gradient has shape {list(gradient.shape)}, where {list(array.shape)} is expected"
        elif gradient is not None and second is not None:
            difference = np.abs(gradient - second)
            if (difference > nondet_tol).any():
                found.problem = "backward gave two different gradients for one dL/dy: does it change what was saved?"
            elif negative is not None and not np.allclose(-negative, gradient, rtol=1e-6, equal_nan=True):
                found.problem = "for -dL/dy backward does not give the negative: it must be linear in grad_output"
    row = np.concatenate([w.reshape(-1) for w in weights])
    if fast_mode:
        _check_directions(problem, measured, report, gradients, row, random)
        return report
    measure = _independent if independent_rows else _whole
    jacobians = measure(problem, measured, report, results, row, random)
    _compare_sums(report, problem, results, weights, gradients, jacobians)
    if not report.ok:
        _diagnose(problem, measured, report, weights)
    for found in report.inputs:
        if found.ok and found.entries and found.kinks + found.unmeasured == found.entries:
            warnings.warn(
                f"{report.operation}, {found.name}: every entry lies at a kink or cannot be measured; nothing was "
                "checked. Choose other inputs.",
                stacklevel=4,
            )
        elif found.ok and found.numeric is not None and found.analytic is not None:
            size = max(np.abs(part[np.isfinite(part)]).max(initial=0) for part in (found.numeric, found.analytic))
            if 1e-9 < size < atol and found.largest > rtol * size:
                warnings.warn(
                    f"{report.operation}, {found.name}: the whole gradient (up to {size:.2g}) is smaller than atol "
                    f"{atol:g}, so that a wrong one would pass; give a smaller atol.",
                    stacklevel=4,
                )
    return report


def _analytic(
    problem: Problem, report: Report, results: list[Array], columns: Sequence[Any], random: np.random.RandomState
) -> list[Array]:
    """dy/dx by backward: for each input (x.size, columns), a column for each dL/dy that is 0 but at columns[k].

    There dL/dy is not 1 but has a size and a sign of its own, which is divided out at the end.
    """
    scales = _irregular((len(columns),), np.float64, random)
    found = [np.zeros((len(columns), array.size)) for array in problem.arrays]
    size = sum(y.size for y in results)
    for k, (column, scale) in enumerate(zip(columns, scales, strict=True)):
        row = np.zeros(size)
        row[column] = scale
        for of_input, gradient, check in zip(found, problem.backward(_split(row, results)), report.inputs, strict=True):
            if gradient is not None and not check.problem:
                of_input[k] = gradient.reshape(-1)
    return [(of_input / scales[:, np.newaxis]).T for of_input in found]


def _whole(
    problem: Problem,
    measured: _Measured,
    report: Report,
    results: list[Array],
    row: Array,
    random: np.random.RandomState,
) -> list[Array]:
    """Compare every dy/dx; returns the measured ones, (x.size, y.size) for each input."""
    outputs, sizes = row.size, [array.size for array in problem.arrays]
    if 16 * outputs * max(sizes) > LARGEST:
        raise ValueError(
            f"{problem.operation} has {outputs} results and an input of {max(sizes)} numbers: their Jacobian takes "
            f"{16 * outputs * max(sizes) / 2**30:.1f} GiB. Sum the results (loss), check less, or give fast_mode=True."
        )
    analytic = _analytic(problem, report, results, range(outputs), random)
    jacobians = []
    for array, expected, found in zip(problem.arrays, analytic, report.inputs, strict=True):
        jacobian = measured.jacobian(array)
        if not found.problem:
            _compare(measured, found, report, expected, jacobian, [slice(None)] * array.size, array, results)
        jacobians.append(jacobian)
    return jacobians


def _independent(
    problem: Problem,
    measured: _Measured,
    report: Report,
    results: list[Array],
    row: Array,
    random: np.random.RandomState,
) -> list[Array]:
    """Compare dy[r]/dx[r] of every row r at once, since the caller has said that rows do not touch each other."""
    (y,) = results if len(results) == 1 else (None,)
    rows = None if y is None or y.ndim == 0 else len(y)
    for name, array in zip(problem.names, problem.arrays, strict=True):
        if y is None or array.ndim == 0 or len(array) != rows:
            raise ValueError(
                f"independent_rows wants one result and inputs of as many rows; {name} has shape {list(array.shape)}, "
                f"the results {[list(y.shape) for y in results]}"
            )
    assert y is not None
    assert rows is not None
    wide = y.size // max(rows, 1)
    analytic = _analytic(problem, report, results, [slice(k, None, wide) for k in range(wide)], random)
    jacobians = []
    for array, expected, found in zip(problem.arrays, analytic, report.inputs, strict=True):
        size = array.size // max(rows, 1)
        by_row = np.empty((rows, size, wide))
        flat = array.flat
        for j in range(size):
            column = slice(j, None, size)
            steps = np.array([measured.step(float(x)) for x in flat[column]])
            up, down, distance = measured.around(flat, column, steps)
            by_row[:, j] = (up - down).reshape(rows, wide) / distance[:, np.newaxis]
        jacobian = by_row.reshape(array.size, wide)
        if not found.problem:
            picks = [slice(r * wide, (r + 1) * wide) for r in range(rows) for _ in range(size)]
            _compare(measured, found, report, expected, jacobian, picks, array, results)
        jacobians.append(jacobian)
    return jacobians


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
    """Judge every entry of an input; picks[j] says which results its row of derivatives belongs to."""
    fits = _within(analytic, numeric, report.atol, report.rtol)
    apart = np.where(np.isfinite(analytic - numeric), np.abs(analytic - numeric), np.inf)
    counted = fits.all(axis=1)
    found.at_kink = np.zeros(array.shape, bool)
    worst = -1.0
    values = np.concatenate([y.reshape(-1) for y in results])
    broken = ~np.isfinite(numeric)
    # Where a result is not a number, whatever comes back from it is not either: 0 · nan.
    beyond = np.full(values.size, not np.isfinite(values).all())
    if numeric.shape[1] == values.size:
        beyond |= broken.any(axis=0)
    found.excused = np.zeros(array.shape, bool)
    for j in map(int, np.flatnonzero(~counted)):
        edge = beyond[picks[j]] | broken[j].any()
        verdict = _again(measured, array.flat, j, analytic[j], report.atol, report.rtol, picks[j], edge)
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


def _compare_sums(
    report: Report,
    problem: Problem,
    results: list[Array],
    weights: list[Array],
    gradients: list[Array | None],
    jacobians: list[Array],
) -> None:
    """Compare the gradients for a dL/dy that is nowhere 0, which shows what no one-hot one does: backward is linear."""
    row = np.concatenate([w.reshape(-1) for w in weights])
    for found, array, gradient, jacobian in zip(report.inputs, problem.arrays, gradients, jacobians, strict=True):
        if not array.size or found.problem:
            continue
        if jacobian.shape[1] == row.size:
            numeric, size = jacobian @ row, np.abs(jacobian) @ np.abs(row)
        else:  # of independent rows: each entry has the results of its own row
            own = row.reshape(len(array), 1, -1)
            by_row = jacobian.reshape(len(array), -1, own.shape[-1])
            numeric, size = (by_row * own).sum(axis=2), np.abs(by_row * own).sum(axis=2)
        found.analytic, found.numeric = _loose(gradient, array), numeric.reshape(array.shape)
        if found.failing or found.excused is None:
            continue
        allowed = report.atol * np.abs(row).sum() + report.rtol * size.reshape(array.shape)
        if not ((np.abs(found.analytic - found.numeric) <= allowed) | found.excused).all():
            found.problem = (
                "for each single result the gradient is right, but for several together it is not their sum: backward "
                "must be linear in grad_output"
            )


def _diagnose(problem: Problem, measured: _Measured, report: Report, weights: list[Array]) -> None:
    """Have the wrong gradients examined, with all that is known; away from kinks, where they are measured well."""
    before = [array.copy() for array in problem.arrays]
    random = np.random.RandomState(1)
    try:
        for array, found in zip(problem.arrays, report.inputs, strict=True):
            if found.at_kink is not None and found.at_kink.any():
                array[found.at_kink] += 0.05 * _irregular((int(found.at_kink.sum()),), np.float64, random)
        results = problem.prepare()
        analytics = [_loose(gradient, a) for gradient, a in zip(problem.backward(weights), problem.arrays, strict=True)]
        row = np.concatenate([w.reshape(-1) for w in weights])
        jacobians = [measured.jacobian(array) for array in problem.arrays]
        numerics = [(j @ row).reshape(array.shape) for j, array in zip(jacobians, problem.arrays, strict=True)]
        walks = problem.walks(weights)
        places = problem.places()
        single = len(results) == 1
        for i, found in enumerate(report.inputs):
            if found.ok:
                continue
            others: list[Array | None] = [None] * len(problem.inputs)
            for place, right in zip(places, numerics, strict=True):
                others[place] = right
            found.mistakes = autopsy(
                analytics[i],
                numerics[i],
                x=problem.arrays[i].copy(),
                y=results[0] if single else None,
                grad_output=weights[0] if single else None,
                inputs=problem.inputs,
                which=places[i],
                others=others,
                given=dict(zip(places, analytics, strict=True)),
                jacobian=jacobians[i] if single else None,
                derivative_at=_derivative_at(problem, measured, i, row) if single else None,
                walks=walks[i],
                options=problem.options,
                sizes=problem.sizes,
                at_kink=np.zeros(numerics[i].shape, bool),
            )
    finally:
        for array, old in zip(problem.arrays, before, strict=True):
            array[...] = old


def _derivative_at(problem: Problem, measured: _Measured, which: int, row: Array) -> Callable[[Array], Array]:
    """Measures the gradient with another array in this input's place."""

    def at(point: Array) -> Array:
        array = problem.arrays[which]
        before = array.copy()
        gradient = np.empty(array.size)
        try:
            array[...] = point
            for j in range(array.size):
                up, down, distance = measured.around(array.flat, j, measured.step(float(array.flat[j])))
                gradient[j] = (row @ up - row @ down) / distance
        finally:
            array[...] = before
        return gradient.reshape(array.shape)

    return at


def _check_directions(
    problem: Problem,
    measured: _Measured,
    report: Report,
    gradients: list[Array | None],
    row: Array,
    random: np.random.RandomState,
) -> None:
    """For each input: move all of it at once, in a few random directions, and compare what the results change by."""
    for array, gradient, found in zip(problem.arrays, gradients, report.inputs, strict=True):
        if found.problem:
            continue
        analytic = _loose(gradient, array).reshape(-1).astype(np.float64)
        # The distance moved is eps, whatever the number of entries: a step of eps by each would cross kinks.
        length = math.sqrt(max(array.size, 1))
        allowed = report.atol + report.rtol * float(np.linalg.norm(analytic)) / length
        scale = np.maximum(1.0, np.abs(array.reshape(-1))) / length
        for _ in range(DIRECTIONS):
            direction = scale * np.where(random.random_sample(array.size) < 0.5, -1.0, 1.0)
            expected = float(analytic @ direction)
            errors = [abs(expected - _along(measured, array, direction, 1.0, row))]
            if errors[0] > allowed:
                errors += [abs(expected - _along(measured, array, direction, factor, row)) for factor in STEPS]
            if min(errors) <= allowed:
                found.remeasured += len(errors) > 1
                found.largest = max(found.largest, min(errors))
            else:
                found.failing += 1
        if found.failing:
            _sample(measured, found, array, analytic, row, random)


def _along(measured: _Measured, array: Array, direction: Array, factor: float, row: Array) -> float:
    """The slope of Σ dL/dy · y in a direction, by a step of eps times factor."""
    step = measured.step(0.0) * factor
    up, down, _ = measured.around(array.flat, slice(None), step * direction)
    return float((row @ up - row @ down) / (2 * step))


def _sample(
    measured: _Measured, found: InputCheck, array: Array, analytic: Array, row: Array, random: np.random.RandomState
) -> None:
    """Measure some entries one by one, so that the report can name one, and the autopsy has something to look at."""
    entries = np.sort(random.permutation(array.size)[:SAMPLED])
    numeric = np.empty(entries.size)
    for i, j in enumerate(entries):
        up, down, distance = measured.around(array.flat, int(j), measured.step(float(array.flat[j])))
        numeric[i] = (row @ up - row @ down) / distance
    sampled = analytic[entries]
    worst = int(np.argmax(np.abs(sampled - numeric)))
    index = tuple(int(i) for i in np.unravel_index(entries[worst], array.shape))
    found.worst = Worst(index, (), float(sampled[worst]), float(numeric[worst]))
    found.analytic, found.numeric = sampled, numeric
    found.mistakes = autopsy(sampled, numeric, sizes=measured.sizes)


def gradcheck(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    loss_fn: Any = None,
    options: Mapping[str, Any] | None = None,
    needs_input_grad: Sequence[bool] | None = None,
    independent_rows: bool = False,
    seed: int = 0,
) -> bool:
    """Whether the gradients of func at inputs are what small differences of it say, within atol + rtol · |numeric|.

    func: a function of Tensors that returns one or several; or an nn.Module, whose Parameters are checked, too; or
        anything with forward(ctx, *arrays, **options) and backward(ctx, grad_y), such as an operation of ops.py or
        your own.
    inputs: its arguments, a tuple or one: of a function or Module Tensors, those that require a gradient are checked;
        of a forward and backward arrays, those of floats are (or those that needs_input_grad says).
    eps: how far each number is moved, times its own size if that is above 1.
    raise_exception: raise GradcheckError with the report, rather than return False.
    nondet_tol: how far two runs of backward may be apart.
    fast_mode: move each input in a few random directions instead of entry by entry: seconds for a large model, where
        the report says what that does not prove.
    loss_fn: of a Module: what is checked is loss_fn(func(*inputs[:-1]), inputs[-1]).
    options: of a forward and backward, forward's keyword arguments.
    independent_rows: say that row r of the result depends on row r of each input alone; then all rows are moved at
        once. This is believed, not checked.
    seed: of the random dL/dy and directions.

    At a kink (ReLU at 0, ties of a maximum) any slope between the left and the right one is right. What disagrees at
    first is measured again with other steps. Inputs are moved in place and put back, and every .grad is left as it was.

    Source: torch.autograd.gradcheck, whose arguments these are. Its check_batched_grad, check_forward_ad and the like
    are not offered, as there is nothing here for them to check. Beyond it: the report's diagnosis, kinks, other steps,
    loss_fn, options, independent_rows.
    Raises GradcheckError for a wrong gradient, a function that draws random numbers or writes into its inputs, or one
    whose forward or backward returns what it should not; ValueError where there is nothing to check, or a Jacobian is
    too large. Warns of floats that are not float64.
    """
    report = check_gradients(
        func,
        inputs,
        eps=eps,
        atol=atol,
        rtol=rtol,
        nondet_tol=nondet_tol,
        fast_mode=fast_mode,
        loss_fn=loss_fn,
        options=options,
        needs_input_grad=needs_input_grad,
        independent_rows=independent_rows,
        seed=seed,
    )
    if not report.ok and raise_exception:
        raise GradcheckError(f"gradcheck failed.\n{report}")
    return report.ok
