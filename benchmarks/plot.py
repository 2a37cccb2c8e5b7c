"""Plots of a report: bars with quartiles for contenders, lines for a series."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, Report, short

# Colours that colour-blind readers can distinguish (most are Okabe and Ito's): torch is blue, minitrain orange.
COLOURS = {
    "torch": ("#0072B2", "#56B4E9", "#004466"),
    "minitrain": ("#E69F00", "#D55E00"),
    "": ("#777777", "#009E73", "#CC79A7", "#BBBBBB"),
}


def draw(report: Report, path: Path, drawn: Sequence[str] = ()) -> Path:
    """Plot the report as a PNG and return the path. Raises ImportError without matplotlib.

    drawn: the quantities to plot; all if empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    panels = _panels(report, drawn)
    columns = min(len(panels), 4 if len(panels) > 6 else 3)
    rows = math.ceil(len(panels) / columns)
    lines = any(figure.x is not None for figure in report.figures)
    bars = max(map(len, panels.values()))
    height = 3.4 if lines else 1.3 + 0.36 * bars
    width = max(4.3 * columns, 6)
    canvas = Canvas(figsize=(width, height * rows + 0.8), layout="constrained")
    FigureCanvasAgg(canvas)
    colours = _colours(dict.fromkeys(figure.who for figure in report.figures if figure.who))
    axes = canvas.subplots(rows, columns, squeeze=False).ravel()
    for ax, ((case, what), figures) in zip(axes, panels.items(), strict=False):
        if figures[0].x is None:
            _bars(ax, figures, colours)
            ax.set_title(f"{case}\n{what}", fontsize=10, loc="left")
        else:
            _lines(ax, figures, colours)
            ax.set_title(case, fontsize=10, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    machine = report.machine
    title = (
        f"python -m benchmarks {report.suite}: {machine['cpu']}, threads for each contender: {machine['threads']}, "
        f"rounds: {report.rounds}"
    )
    canvas.suptitle("\n".join(textwrap.wrap(title, int(14 * width))), fontsize=9, x=0.01, ha="left")
    canvas.savefig(path, dpi=120)
    return path


def _panels(report: Report, drawn: Sequence[str]) -> dict[tuple[str, str], list[Figure]]:
    """(case, quantity) -> figures. A series, whose figures have an x, is one panel."""
    panels: dict[tuple[str, str], list[Figure]] = {}
    for figure in report.figures:
        if figure.who and (not drawn or figure.what in drawn):
            panels.setdefault((figure.case, "" if figure.x is not None else figure.what), []).append(figure)
    return panels


def _colours(whos: Iterable[str]) -> dict[str, str]:
    """A colour for each contender, from its family's colours."""
    left = {family: list(colours) for family, colours in COLOURS.items()}
    chosen = {}
    for who in whos:
        family = next(family for family in COLOURS if who.startswith(family))
        chosen[who] = left[family].pop(0)
        left[family].append(chosen[who])
    return chosen


def _bars(ax: Any, figures: Sequence[Figure], colours: dict[str, str]) -> None:
    """A bar for each contender, the first at the top, with whiskers from quartile to quartile."""
    for place, figure in enumerate(figures):
        low, middle, high = figure.quartiles
        ax.barh(place, middle, color=colours[figure.who], height=0.7)
        if high > low:
            ax.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color="black", capsize=2, linewidth=1)
        ax.annotate(short(middle), (high, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(range(len(figures)), [figure.who for figure in figures], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.2 * max(figure.quartiles[2] for figure in figures) or 1)
    ax.set_xlabel(figures[0].unit, fontsize=8)
    ax.tick_params(axis="x", labelsize=8)


def _lines(ax: Any, figures: Sequence[Figure], colours: dict[str, str]) -> None:
    """A line for each contender over x, on logarithmic axes, with a band from quartile to quartile."""
    from matplotlib.ticker import LogLocator, NullLocator

    for who in dict.fromkeys(figure.who for figure in figures):
        series = sorted((figure for figure in figures if figure.who == who), key=lambda figure: figure.x or 0)
        x = [figure.x for figure in series]
        low, middle, high = zip(*(figure.quartiles for figure in series), strict=True)
        ax.plot(x, middle, "o-", color=colours[who], markersize=3, linewidth=1.2, label=who)
        ax.fill_between(x, low, high, color=colours[who], alpha=0.25, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ticks = sorted({figure.x for figure in figures if figure.x is not None})
    ax.set_xticks(ticks, [f"{tick:,g}" for tick in ticks], minor=False)
    ax.set_xticks([], minor=True)
    bottom, top = ax.get_ylim()
    stretch = max(1.0, (8 / (top / bottom)) ** 0.5)  # at least a factor of 8, so that a flat line looks flat
    ax.set_ylim(bottom / stretch, top * stretch)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(figures[0].what, fontsize=8)
    ax.set_ylabel(figures[0].unit, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3, linewidth=0.5)
    ax.legend(fontsize=8, frameon=False)
