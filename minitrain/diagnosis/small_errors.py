"""Finds errors that pass, because they are within the tolerances, but are far above what the measurement errs by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.finite_differences import _Measured
from minitrain.diagnosis.gradcheck_report import InputCheck, Report
from minitrain.ops import Array

STEPS = (64.0, 8.0, 1.0)  # multiples of eps; larger ones err less by rounding
FAR = 30  # times the measurement's own error
EXACT = 1e-6  # relative; a smaller error is nobody's mistake
MOST = 16  # entries of an input to measure again


def small_errors(
    measured: _Measured, report: Report, found: InputCheck, array: Array, analytic: Array, numeric: Array
) -> Iterator[str]:
    """Warnings about one input. analytic, numeric: the derivatives, (x.size, y.size)."""
    if array.dtype != np.float64 or found.excused is None:
        return
    apart = np.abs(analytic - numeric)
    distance = measured.step(0.0)
    noise = FAR * _rounding(measured) / distance
    suspicious = (apart > noise) & (apart > EXACT * np.abs(numeric)) & ~found.excused.reshape(-1, 1)
    if not suspicious.any():
        return
    entries = np.flatnonzero(suspicious.any(axis=1))
    errors = np.where(suspicious, apart / (np.abs(numeric) + noise), 0).max(axis=1)
    worst = sorted(entries, key=lambda j: -errors[j])[:MOST]
    certain = [error for j in worst if (error := _error(measured, array, int(j), analytic[j])) is not None]
    if not certain:
        return
    below = [error for error in certain if error[1] > report.rtol]
    if below:
        turned = sum(a * n < 0 for _, _, a, n in below)
        signs = f", and {turned} of them have the wrong sign" if turned else ""
        count = len(below) if len(entries) <= MOST else f"at least {len(below)}"
        _, _, a, n = max(below, key=lambda error: error[1])
        yield (
            f"{report.operation}, {found.name}: {count} of {found.entries} entries are wrong, but smaller than "
            f"atol {report.atol:g}{signs}: analytic {a:.3g}, numeric {n:.3g}. Pass a smaller atol."
        )
        return
    times, _, a, n = max(certain)
    ratios = np.array([a / n for _, _, a, n in certain if n])
    everywhere = len(ratios) == found.entries and np.ptp(ratios) < 1e-6
    ratio = f"analytic / numeric is {a / n:.6g}{' everywhere' if everywhere else ' at worst'}"
    yield (
        f"{report.operation}, {found.name}: the error is within rtol {report.rtol:g}, but far above rounding: "
        f"{times:.0e} times the measurement's own error. {ratio}. Is a constant not quite right? Pass a smaller rtol."
    )


def _rounding(measured: _Measured) -> Array:
    """How far rounding may move the results; what they are computed from is not always as small as they are."""
    return np.asarray(np.spacing(np.maximum(np.abs(measured.value()), 1)))


def _error(measured: _Measured, array: Array, j: int, analytic: Array) -> tuple[float, float, float, float] | None:
    """The largest error of an entry that is certain: (times the measurement's error, relative, analytic, numeric)."""
    here = measured.value()
    sides: list[tuple[Array, Array]] = []
    for factor in STEPS:
        up, down, distance = measured.around(array.flat, j, measured.step(float(array.flat[j])) * factor)
        sides.append(((here - down) / (distance / 2), (up - here) / (distance / 2)))
    lefts, rights = (np.array(slopes) for slopes in zip(*sides, strict=True))
    numeric = (lefts + rights) / 2
    apart = np.abs(numeric - analytic).min(axis=0)
    own = np.ptp(numeric, axis=0) + 4 * _rounding(measured) / measured.step(0.0) / STEPS[0]
    size = np.abs(numeric[0])
    gaps = np.abs(rights - lefts)
    at_kink = (np.ptp(gaps, axis=0) <= 0.3 * gaps.max(axis=0)) & (gaps.min(axis=0) > apart)  # not where it only bends
    certain = (apart > FAR * own) & (apart > EXACT * size) & ~at_kink
    if not certain.any():
        return None
    k = int(np.argmax(np.where(certain, apart / own, 0)))
    return float(apart[k] / own[k]), float(apart[k] / max(size[k], 1e-300)), float(analytic[k]), float(numeric[0, k])
