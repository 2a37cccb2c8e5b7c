"""Line charts as SVG: lines labelled at their ends, raw values as a band behind, linear or logarithmic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LINE = 14.5  # pixels between two labels
BIN = 2  # pixels that the band takes together
MOST = 4096  # values that a smoothed line is made of
LEAST_SPAN = 0.02  # of a linear axis, relative to its values: what hardly changes shall look so
LARGEST = 1e300  # of the values that are drawn, so that their axis has ends


@dataclasses.dataclass(frozen=True)
class Line:
    """x, y: (S,); values that are not finite, or not above 0 on a logarithmic axis, are left out.

    colour: the name of a CSS variable. smooth: draw the median of neighbours, and the raw values as a band behind.
    dots: mark each value. dash: an SVG dash pattern.
    """

    label: str
    x: Floats
    y: Floats
    colour: str = "--ink"
    smooth: bool = False
    dots: bool = False
    dash: str = ""


@dataclasses.dataclass(frozen=True)
class Axis:
    """low, high: its ends. ticks: values with their texts."""

    low: float
    high: float
    ticks: list[tuple[float, str]]
    log: bool = False

    def place(self, values: Any) -> Any:
        """Values as shares of the axis."""
        if self.log:
            return (np.log10(values) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (values - self.low) / (self.high - self.low)


def linear_axis(low: float, high: float, show: Callable[[float], str], ticks: int = 5) -> Axis:
    """An axis with about so many round ticks that covers these values."""
    least = LEAST_SPAN * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    step = 10 ** math.floor(math.log10((high - low) / ticks))
    step = next(step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, [(n * step, show(n * step)) for n in range(first, last + 1)])


def epoch_axis(last: float) -> Axis:
    """From 0 to the last epoch, with whole numbers as ticks, or tenths within the first epoch."""
    axis = linear_axis(0, max(last, 1e-9), lambda value: f"{value:.4g}", 6)
    return Axis(0, last, [(value, shown) for value, shown in axis.ticks if value <= last * 1.0001])


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis that covers these positive values, with a tick at each power of ten, or more if short."""
    span = math.log10(high / low)
    marks = (1, 2, 5) if span < 1.4 else (1,)
    every = max(1, math.ceil(span / 6))
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    all_ticks = [m * 10.0**p for p in powers if p % every == 0 for m in marks]
    below = max((t for t in all_ticks if t <= low * 1.0000001), default=low)
    above = min((t for t in all_ticks if t >= high * 0.9999999), default=high)
    above = above if above > below else below * 10
    return Axis(below, above, [(t, power(t)) for t in all_ticks if below <= t <= above], log=True)


def power(value: float) -> str:
    """A tick: four significant digits, and 2·10⁻⁵ or 10⁵ for what is small or large."""
    if value == 0 or 1e-4 * 0.999 <= abs(value) < 1e4:
        return f"{value:.4g}".replace("-", "\u2212")
    digits, exponent = f"{value:.3e}".split("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "\u2212")
    raised = f"10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return f"{digits}·{raised}".replace("1·", "") if digits in ("1", "\u22121") else f"{digits}·{raised}"


def chart(
    lines: Sequence[Line],
    title: str,
    *,
    width: int,
    height: int,
    last: float,
    log: bool = False,
    show: Callable[[float], str] = power,
    ends: tuple[float, float] | None = None,
    guide: tuple[float, str] | None = None,
) -> str:
    """An SVG.

    title: what it shows, for those who do not see it. last: the end of the x axis, in epochs.
    show: the text of a tick. ends: what the y axis covers, if not just the values. guide: a value with its text.
    """
    kept = [(line, (line.y > 1 / LARGEST if log else line.y > -LARGEST) & (line.y < LARGEST)) for line in lines]
    values = np.concatenate([line.y[mask] for line, mask in kept] or [np.empty(0)])
    if not len(values):
        return '<p class="note">There are no finite values to draw.</p>'
    low, high = float(values.min()), float(values.max())
    if ends is not None:
        low, high = min(low, ends[0]), max(high, ends[1])
    log = log and high > 4 * low  # a logarithmic axis without a power of ten says little
    y_axis = log_axis(low, high) if log else linear_axis(low, high, show)
    x_axis = epoch_axis(last)
    longest = max(len(line.label) for line in lines)
    left, right, top, bottom = 50, width - (20 + 8 * longest), 10, height - 24

    def across(x: Any) -> Any:
        return left + x_axis.place(x) * (right - left)

    def up(y: Any) -> Any:
        return bottom - y_axis.place(y) * (bottom - top)

    parts: list[str] = []
    note: list[str] = []
    for value, shown in y_axis.ticks:
        at = float(up(value))
        parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{escape(shown)}</text>')
    for value, shown in x_axis.ticks:
        parts.append(
            f'<text class="tick" x="{float(across(value)):.1f}" y="{height - 6}" text-anchor="middle">{shown}</text>'
        )
    parts.append(f'<text class="tick" x="{left - 8}" y="{height - 6}" text-anchor="end">epoch</text>')
    if guide is not None and y_axis.low <= guide[0] <= y_axis.high:
        at = float(up(guide[0]))
        parts.append(f'<path class="guide" d="M{left} {at:.1f}H{right}"/>')
        below = at + 14 if at + 18 < bottom else at - 5  # never on the numbers of the x axis
        note.append(f'<text class="tick halo" x="{left + 4}" y="{below:.1f}">{escape(guide[1])}</text>')
    drawn: list[str] = []
    labels: list[tuple[float, Line]] = []
    for line, mask in kept:
        if not mask.any():
            continue
        x, y = across(line.x[mask]), up(line.y[mask])
        style = f'style="--c:var({line.colour})"'
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        if line.smooth:
            parts.append(f'<path class="band" {style} d="{_band(x, y)}"/>')
            x, y = _smoothed(x, y)
        drawn.append(f'<polyline class="line" {style}{dash} points="{_points(x, y)}"/>')
        if line.dots or len(x) == 1:
            drawn += [f'<circle {style} cx="{a:.1f}" cy="{b:.1f}" r="2.2"/>' for a, b in zip(x, y, strict=True)]
        labels.append((float(y[-1]), line))
    places = spread([y for y, _ in labels], top, bottom)
    for (_, line), place in zip(labels, places, strict=True):
        text = f'<text class="end" style="--c:var({line.colour})" x="{right + 8}" y="{place + 4:.1f}">'
        drawn.append(f"{text}{escape(line.label)}</text>")
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return "".join([head, *parts, *drawn, *note, "</svg>"])


def spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Places near the wanted ones, at least LINE apart, in the same order, and within the ends if there is room."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[tuple[float, int]] = []  # the middle and the number of labels that touch one another
    for i in order:
        middle, count = wanted[i], 1
        while groups and groups[-1][0] + groups[-1][1] * LINE / 2 > middle - count * LINE / 2:
            other, many = groups.pop()
            middle, count = (middle * count + other * many) / (count + many), count + many
        half = (count - 1) * LINE / 2
        groups.append((min(max(middle, top + half), bottom - half), count))
    places = [0.0] * len(wanted)
    flat = [middle + (k - (count - 1) / 2) * LINE for middle, count in groups for k in range(count)]
    for i, place in zip(order, flat, strict=True):
        places[i] = place
    return places


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _band(x: Floats, y: Floats) -> str:
    """The outline of the least and the greatest in each BIN pixels."""
    bins = np.floor(x / BIN).astype(int)
    starts = np.flatnonzero(np.r_[True, np.diff(bins) != 0])
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    middle = np.add.reduceat(x, starts) / np.diff(np.r_[starts, len(x)])
    there = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(middle, low, strict=True))
    back = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(middle[::-1], high[::-1], strict=True))
    return f"M{there}L{back}Z"


def smoothing_window(count: int) -> int:
    """How many neighbouring values a smoothed line takes the median of: an odd number, about a thirtieth of all."""
    return max(count // 30, min(5, count // 8)) | 1


def running_median(y: Floats) -> Floats:
    """The median of each value and its neighbours; near the ends of those that exist."""
    window = smoothing_window(len(y))
    padded = np.pad(y, window // 2, constant_values=np.nan)
    return np.asarray(np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1))


def _smoothed(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most a point for each BIN pixels."""
    together = -(-len(y) // MOST)
    if together > 1:  # a long run: the window would hold too many values
        whole = len(y) // together * together
        x, y = (np.median(values[:whole].reshape(-1, together), axis=1) for values in (x, y))
    smooth = running_median(y)
    bins = np.floor(x / BIN).astype(int)
    ends = np.flatnonzero(np.r_[np.diff(bins) != 0, True])
    return x[ends], smooth[ends]
