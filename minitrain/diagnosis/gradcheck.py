"""gradcheck: compares a gradient with finite differences of the function, and names the likely mistake.

Each number is moved a little, up and down. The change of the results, divided by the distance, is the numeric gradient.
entrywise.py and directional.py compare it with what backward returns; autopsy/ explains a difference.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import agree, autopsy, fact, together
from minitrain.diagnosis.autopsy.case import CLOSE
from minitrain.diagnosis.checked_function import Problem, as_problem
from minitrain.diagnosis.directional import along, check_directions
from minitrain.diagnosis.entrywise import analytic_jacobians, check_entries, check_sums, or_zeros, random_numbers
from minitrain.diagnosis.finite_differences import _Measured, restoring
from minitrain.diagnosis.gradcheck_report import GradcheckError, InputCheck, Report
from minitrain.diagnosis.network import explain_network
from minitrain.diagnosis.second_look import hidden_mistakes
from minitrain.diagnosis.tape_check import explain_tape
from minitrain.ops import Array
from minitrain.torchlike.grad_mode import no_grad

MOST_COLUMNS = 512  # results for which backward is called one by one, for the diagnosis
TWICE = "backward returned two different gradients for one dL/dy"
LINEAR = "it must be linear in grad_output"


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
    """Like gradcheck, but returns the whole Report; see gradcheck for the arguments."""
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
            raise ValueError(f"{name} is read-only, but gradcheck must change it; pass a copy")
        if array.dtype != np.float64:
            warnings.warn(
                f"{name} requires gradient and is not a double precision floating point: in {array.dtype}, rounding "
                "hides small errors and can look like an error. Convert it (and the model) with .double().",
                stacklevel=3,
            )
    with np.errstate(all="ignore"), no_grad(), restoring(problem.arrays) as before:
        random = np.random.RandomState(seed)
        measured = _measurable(problem, before, eps)
        results = problem.prepare()
        weights = [random_numbers(y.shape, y.dtype, random) for y in results]
        report = Report(problem.operation, [], atol, rtol, fast_mode)
        gradients = _check_backward(problem, report, weights, nondet_tol)
        if not sum(y.size for y in results):
            return report
        row = np.concatenate([w.reshape(-1) for w in weights])
        if fast_mode:
            check_directions(measured, report, gradients, row, random)
            explain_tape(problem, report, check_gradients)
            return report
        jacobians, analytic = check_entries(measured, report, results, random, independent_rows)
        check_sums(problem, report, row, gradients, jacobians)
        if not report.ok:
            explain_tape(problem, report, check_gradients)
            _diagnose(measured, report, weights, *((None, None) if independent_rows else (jacobians, analytic)))
            explain_network(problem, report, weights, check_gradients)
        else:
            report.warnings += hidden_mistakes(problem, report, eps)
        report.warnings += getattr(getattr(problem, "pair", None), "warnings", [])
    for warning in report.warnings:
        warnings.warn(warning, stacklevel=2)
    for found in report.inputs:
        if found.ok and found.entries and not found.counted:
            warnings.warn(
                f"{report.operation}, {found.name}: every entry is at a kink or cannot be measured, so nothing was "
                "checked. Choose other inputs.",
                stacklevel=2,
            )
        elif found.ok and not found.warned and found.numeric is not None and found.analytic is not None:
            size = max(np.abs(part[np.isfinite(part)]).max(initial=0) for part in (found.numeric, found.analytic))
            if 1e-9 < size < atol and found.largest > rtol * size:
                warnings.warn(
                    f"{report.operation}, {found.name}: the whole gradient (up to {size:.2g}) is smaller than atol "
                    f"{atol:g}, so a wrong one would pass. Pass a smaller atol.",
                    stacklevel=2,
                )
    return report


def _measurable(problem: Problem, before: list[Array], eps: float) -> _Measured:
    """Finite differences of the problem. Raises GradcheckError if it changes its inputs, or its results vary."""
    problem.results()
    for name, array, old in zip(problem.names, problem.arrays, before, strict=True):
        if not np.array_equal(array, old, equal_nan=True):
            raise GradcheckError(f"{problem.operation} changes {name} in place; it must not. Work on a clone of it.")
    measured = _Measured(problem, eps)
    if not np.array_equal(measured.value(), measured.value(), equal_nan=True):
        raise GradcheckError(
            f"{problem.operation} gives different values each time it is called. Does it draw random numbers (for "
            "dropout, call model.eval()), or keep state between calls?"
        )
    return measured


def _check_backward(problem: Problem, report: Report, weights: list[Array], nondet_tol: float) -> list[Array | None]:
    """The gradients for dL/dy = weights. Reports wrong shapes, and a backward that is not a linear function of dL/dy.

    Raises GradcheckError if backward writes into dL/dy.
    """
    given = [w.copy() for w in weights]
    gradients = [None if gradient is None else gradient.copy() for gradient in problem.backward(given)]
    if not all(np.array_equal(w, g) for w, g in zip(weights, given, strict=True)):
        raise GradcheckError(
            f"{problem.operation}.backward writes into grad_output, which other code may use. Make a new array instead "
            "(x = x * 2, not x *= 2)."
        )
    again = [None if gradient is None else gradient.copy() for gradient in problem.backward(given)]
    negatives = problem.backward([np.asarray(-w) for w in weights])
    cases = zip(problem.names, problem.arrays, gradients, again, negatives, strict=True)
    for name, array, gradient, second, negative in cases:
        found = InputCheck(name, array.shape, array.size)
        report.inputs.append(found)
        if gradient is not None and gradient.shape != array.shape:
            found.problem = f"its gradient has shape {list(gradient.shape)}, but expected {list(array.shape)}"
        elif gradient is not None and second is not None:
            if (np.abs(gradient - second) > nondet_tol).any():
                found.problem = f"{TWICE}; does it change saved arrays, or draw random numbers (a mask of its own)?"
            elif negative is not None and not np.allclose(-negative, gradient, rtol=1e-6, equal_nan=True):
                found.problem = f"backward does not return the negative for -dL/dy; {LINEAR}"
    return gradients


def _diagnose(
    measured: _Measured,
    report: Report,
    weights: list[Array],
    jacobians: list[Array] | None,
    columns: list[Array] | None,
) -> None:
    """Run the autopsy on the wrong gradients. Entries at a kink are moved away first, where a measurement is exact.

    jacobians, columns: dy/dx of each input as measured and from backward, if that is known.
    """
    problem, random = measured.problem, np.random.RandomState(1)
    if all(found.ok or found.mistakes for found in report.inputs):
        return
    for array, found in zip(problem.arrays, report.inputs, strict=True):
        if found.at_kink is not None and found.at_kink.any():
            array[found.at_kink] += 0.05 * random_numbers((int(found.at_kink.sum()),), np.float64, random)
            jacobians = columns = None
    results = problem.prepare()
    analytics = [or_zeros(gradient, a) for gradient, a in zip(problem.backward(weights), problem.arrays, strict=True)]
    row = np.concatenate([w.reshape(-1) for w in weights])
    if jacobians is None:
        jacobians = [measured.jacobian(array) for array in problem.arrays]
    numerics = [(j @ row).reshape(array.shape) for j, array in zip(jacobians, problem.arrays, strict=True)]
    walks, places = problem.walks(weights), problem.places()
    saved, returned = problem.saved(), problem.returned()
    if columns is None and row.size <= MOST_COLUMNS:
        columns = analytic_jacobians(problem, report, results, random)
    without_grad: list[Array] = []
    if any(LINEAR in found.problem for found in report.inputs):
        nothing = problem.backward([np.zeros_like(w) for w in weights])
        without_grad = [or_zeros(z, a).copy() for z, a in zip(nothing, problem.arrays, strict=True)]
    others: list[Array | None] = [None] * len(problem.inputs)
    for place, right in zip(places, numerics, strict=True):
        others[place] = right
    for i, found in enumerate(report.inputs):
        if found.ok or found.mistakes:
            continue
        known: dict[str, Any] = {}
        if len(results) == 1:
            known = {"y": results[0], "grad_output": weights[0], "jacobian": jacobians[i]}
            known["right_at"] = _right_at(measured, problem.arrays[i], row)
            known["right_with"] = _right_with(measured, problem.arrays[i], row)
            known["local_at"] = _local_at(measured, problem.arrays[i])
            known["analytic_jacobian"] = columns[i] if columns else None
        if LINEAR in found.problem:
            known["without_grad"] = without_grad[i]
        elif TWICE in found.problem:
            continue  # what differs from call to call is no wrong formula
        found.mistakes = autopsy(
            analytics[i],
            numerics[i],
            x=problem.arrays[i].copy(),
            inputs=problem.inputs,
            which=places[i],
            others=others,
            given=dict(zip(places, analytics, strict=True)),
            walks=walks[i],
            options=problem.options,
            sizes=problem.sizes,
            at_kink=np.zeros(numerics[i].shape, bool),
            noise=measured.noise(problem.arrays[i], row),
            saved={name: z for name, z in saved.items() if not np.array_equal(z, analytics[i])},
            returned=returned[i],
            **known,
        )
        if not found.mistakes and not found.problem:
            right = [each.name for each in report.inputs if each.ok and each.counted]
            found.fact = fact(found.analytic, found.numeric, right)
    for found, mistakes in zip(report.inputs, together([found.mistakes for found in report.inputs]), strict=True):
        found.mistakes = mistakes


def _is_gradient(measured: _Measured, array: Array, row: Array, gradient: Array) -> bool:
    """Whether this is the gradient of row · y. Most are not, which one random direction shows."""
    direction = np.where(np.random.RandomState(5).random_sample(array.size) < 0.5, -1.0, 1.0)
    slope = along(measured, array, direction, 1.0, row)
    size = np.abs(gradient)
    if not abs(slope - gradient.reshape(-1) @ direction) <= CLOSE * (2 * size.sum() + gradient.size * size.max()):
        return False
    return agree(measured.slopes(array, row, range(array.size)).reshape(array.shape), gradient)


def _right_at(measured: _Measured, array: Array, row: Array) -> Callable[[Array, Array], bool]:
    """A function that says whether a gradient is right at another value of this input."""

    def right(gradient: Array, point: Array) -> bool:
        with restoring([array]):
            array[...] = point
            return _is_gradient(measured, array, row, gradient)

    return right


def _right_with(measured: _Measured, array: Array, row: Array) -> Callable[[Array, int, Array], bool]:
    """A function that says whether a gradient is right with other values of another input."""

    def right(gradient: Array, which: int, values: Array) -> bool:
        other = measured.problem.inputs[which]
        if other is array or not other.flags.writeable or other.shape != values.shape:
            return False
        with restoring([other]):
            other[...] = values
            return _is_gradient(measured, array, row, gradient)

    return right


def _local_at(measured: _Measured, array: Array) -> Callable[[Array], Array]:
    """A function that measures dy/dx of an operation on single numbers at another x, all entries at once."""

    def at(point: Array) -> Array:
        with restoring([array]):
            array[...] = point
            up, down, distance = measured.around(array.flat, slice(None), measured.step(0.0))
            return np.asarray((up - down) / distance).reshape(array.shape)

    return at


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
    """Check the gradients of func against finite differences, within atol + rtol · |numeric|; True if they are right.

    func: a function of Tensors that returns one or more Tensors; or an nn.Module, whose Parameters are checked, too; or
        anything with forward(ctx, *arrays, **options) and backward(ctx, grad_y), such as an operation of ops/ or your
        own.
    inputs: func's arguments, as a tuple, or a single one. For a function or Module: Tensors, of which those that
        require a gradient are checked. For a forward and backward: arrays, of which those of floats are checked (or
        those that needs_input_grad selects).
    eps: how far each number is moved, multiplied by the number's size if that is above 1.
    raise_exception: raise GradcheckError with the report instead of returning False.
    nondet_tol: the largest difference that is allowed between two runs of backward.
    fast_mode: move each input in a few random directions instead of entry by entry. It takes seconds for a large model;
        the report says what it does not prove.
    loss_fn: only for a Module; checks loss_fn(func(*inputs[:-1]), inputs[-1]).
    options: only for a forward and backward: forward's keyword arguments.
    independent_rows: promise that row r of the result depends only on row r of each input. All rows are then moved at
        once. The promise is not checked.
    seed: the seed of the random dL/dy and directions.

    At a kink (ReLU at 0, ties of a maximum), any slope between the left one and the right one counts as right. An entry
    that disagrees is measured again with other steps. Inputs are moved in place and restored; no .grad is changed.

    Source: torch.autograd.gradcheck, with its argument names. check_batched_grad, check_forward_ad and similar options
    are not offered, because there is nothing here for them to check. Additions: the diagnosis in the report, kinks,
    other steps, loss_fn, options, independent_rows.
    Raises GradcheckError for a wrong gradient; for a function that draws random numbers or writes into its inputs; and
    if forward or backward returns something of a wrong type. Raises ValueError if there is nothing to check, or if the
    Jacobian is too large. Warns about floats that are not float64, about errors that pass but are far above
    rounding, and about inputs that hide a mistake.
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
