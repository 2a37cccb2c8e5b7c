"""Checks a gradient along random directions: fast_mode, for models too large to check entry by entry."""

from __future__ import annotations

import math

import numpy as np

from minitrain.diagnosis.autopsy import autopsy
from minitrain.diagnosis.entrywise import or_zeros
from minitrain.diagnosis.finite_differences import STEPS, _Measured
from minitrain.diagnosis.gradcheck_report import DIRECTIONS, Report, Worst
from minitrain.ops import Array

SAMPLED = 64  # entries to measure one by one after a direction was found wrong


def check_directions(
    measured: _Measured, report: Report, gradients: list[Array | None], row: Array, random: np.random.RandomState
) -> None:
    """Move each whole input in a few random directions, and compare how much the results change."""
    for array, gradient, found in zip(measured.problem.arrays, gradients, report.inputs, strict=True):
        if found.problem:
            continue
        analytic = or_zeros(gradient, array).reshape(-1).astype(np.float64)
        # The total distance is eps, whatever the number of entries: moving each entry by eps would cross kinks.
        length = math.sqrt(max(array.size, 1))
        allowed = report.atol + report.rtol * float(np.linalg.norm(analytic)) / length
        scale = np.maximum(1.0, np.abs(array.reshape(-1))) / length
        for _ in range(DIRECTIONS):
            direction = scale * np.where(random.random_sample(array.size) < 0.5, -1.0, 1.0)
            expected = float(analytic @ direction)
            errors = [abs(expected - along(measured, array, direction, 1.0, row))]
            if errors[0] > allowed:
                errors += [abs(expected - along(measured, array, direction, factor, row)) for factor in STEPS]
            if min(errors) <= allowed:
                found.remeasured += len(errors) > 1
                found.largest = max(found.largest, min(errors))
            else:
                found.failing += 1
        if found.failing:
            # Measure some entries one by one, so that the report can show one and the autopsy can examine them.
            entries = np.sort(random.permutation(array.size)[:SAMPLED])
            sampled, numeric = analytic[entries], measured.slopes(array, row, entries.tolist())
            worst = int(np.argmax(np.abs(sampled - numeric)))
            index = tuple(int(i) for i in np.unravel_index(entries[worst], array.shape))
            found.worst = Worst(index, (), float(sampled[worst]), float(numeric[worst]))
            found.analytic, found.numeric = sampled, numeric
            noise = measured.noise(array, row).reshape(-1)[entries]
            found.mistakes = autopsy(sampled, numeric, sizes=measured.problem.sizes, noise=noise)


def along(measured: _Measured, array: Array, direction: Array, factor: float, row: Array) -> float:
    """The slope of Σ dL/dy · y in a direction, measured with a step of eps · factor."""
    step = measured.step(0.0) * factor
    up, down, _ = measured.around(array.flat, slice(None), step * direction)
    return float((row @ up - row @ down) / (2 * step))
