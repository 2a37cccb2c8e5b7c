"""Plots of a report: bars with quartiles for contenders, lines for a series; the same colour for the same contender."""

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, Report, short
from minitrain.runs.output_file import write_plot

# Blue for torch, orange for minitrain: most are Okabe and Ito's, which colour-blind readers can distinguish. All have
# enough contrast with a light page and with a dark one.
COLOURS = {
    "torch": "#0072B2",
    "torch default": "#0072B2",
    "import torch": "#0072B2",
    "torch, .to(device)": "#0072B2",
    "torch from memory": "#56A4DE",
    "torch foreach": "#56A4DE",
    "torch, num_workers=2": "#56A4DE",
    "torch compiled, from memory": "#5B6FC4",
    "torch fused": "#5B6FC4",
    "minitrain": "#E08A00",
    "import minitrain": "#E08A00",
    "minitrain --backend torch": "#C8501E",
    "minitrain, on arrays": "#C8501E",
    "minitrain from memory": "#F2BE6A",
    "minitrain, independent_rows": "#B98A4B",
    "products alone": "#808080",
    "import numpy": "#009E73",
    "NumPy by hand": "#009E73",
    "NumPy by hand, memory reused": "#6CC4A8",
    "JAX": "#CC79A7",
    "tinygrad": "#8F7A1F",
    "HIPS autograd": "#8A4F9E",
}
OTHERS = ("#5C8A8A", "#A0616A", "#708238", "#7F6BA8", "#9A9A9A")  # for contenders without a colour of their own
DRAWN = {"step": ("whole step",)}  # the quantities in a suite's plots, if not all
WIDTH = 4.4  # of a panel, in inches
LETTERS = 50  # of a title in that width
INK = "#010203"  # stands for the page's own text colour in an SVG

Panel = tuple[str, list[Figure]]  # title, figures


def draw(report: Report, path: Path) -> Path:
    """Plot the report as a PNG and return the path. Raises ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    shown, colours = panels(report), colours_of(report)
    columns = max(1, min(len(shown), 4 if len(shown) > 6 else 3))
    lines = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    heights = [max(_height(panel) for panel in line) for line in lines] or [1.0]
    width = max(WIDTH * columns, 2 * WIDTH)
    title = [
        f"python -m benchmarks {report.suite}, {report.date[:10]}",
        *(part for line in [*report.conditions(), report.busy] for part in textwrap.wrap(line, int(14 * width))),
    ]
    top = 0.16 * len(title) + 0.1
    canvas = Canvas(figsize=(width, sum(heights) + top), layout="constrained")
    FigureCanvasAgg(canvas)
    head, body = canvas.subfigures(2, 1, height_ratios=[top, sum(heights)])
    head.text(0.1 / width, 1 - 0.1 / top, "\n".join(title), fontsize=9, va="top")
    places = body.subfigures(len(heights), columns, squeeze=False, height_ratios=heights)
    for line, row in zip(lines, places, strict=False):
        for panel, place in zip(line, row, strict=False):
            _draw(panel, place, colours)
    write_plot(str(path), canvas, dpi=120)
    return path


def drawings(report: Report) -> list[str]:
    """Each panel as an SVG element, whose text has the colour and the font of the page that contains it.

    Raises ImportError without matplotlib.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    colours, elements = colours_of(report), []
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    for number, panel in enumerate(panels(report)):
        page = {"svg.fonttype": "none", "svg.hashsalt": f"{report.suite} {number}"}
        with matplotlib.rc_context({**page, **dict.fromkeys(inks, INK)}):
            canvas = Canvas(figsize=(WIDTH, _height(panel)), layout="constrained")
            FigureCanvasSVG(canvas)
            _draw(panel, canvas, colours, INK)
            file = io.StringIO()
            canvas.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        elements.append(_embedded(file.getvalue(), panel[0].replace("\n", ", ")))
    return elements


def _embedded(svg: str, title: str) -> str:
    """An SVG file as an element of a page: without its preamble, metadata, names, fonts and text colour."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|text|matplotlib|xtick|ytick|line2d|Line|legend|Fill)\w*"', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title.replace(chr(34), "")}"', 1).strip()


def panels(report: Report) -> list[Panel]:
    """Title and figures of each panel: one for each quantity of a case, or for a series, whose figures have an x.

    The title says so if the machine was busy, or if the case has no comparison.
    """
    lost = "(not comparable: see the report)"
    drawn, refused = DRAWN.get(report.suite, ()), {lost.case for lost in report.refused}
    found: dict[tuple[str, str], list[Figure]] = {}
    for figure in report.figures:
        if figure.who and (not drawn or figure.what in drawn):
            found.setdefault((figure.case, "" if figure.x is not None else figure.what), []).append(figure)
    return [
        ("\n".join(part for text in texts for part in textwrap.wrap(text, LETTERS)), figures)
        for (case, what), figures in found.items()
        for texts in [(case, what, "(measured on a busy machine)" if report.busy else lost if case in refused else "")]
    ]


def colours_of(report: Report) -> dict[str, str]:
    """A colour for each contender: its own, or the next one that nobody has."""
    whos = dict.fromkeys(figure.who for figure in report.figures if figure.who)
    unknown = [who for who in whos if who not in COLOURS]
    return {who: COLOURS.get(who) or OTHERS[unknown.index(who) % len(OTHERS)] for who in whos}


def _height(panel: Panel) -> float:
    """Of a panel with its title, in inches."""
    title, figures = panel
    return 0.17 * title.count("\n") + (3.4 if figures[0].x is not None else 0.8 + 0.3 * len(figures))


def _draw(panel: Panel, place: Any, colours: dict[str, str], ink: str = "black") -> None:
    """Draw a panel into a figure or a part of one."""
    title, figures = panel
    place.suptitle(title, fontsize=10, x=0.02, ha="left", linespacing=1.1)
    ax = place.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    if figures[0].x is None:
        _bars(ax, figures, colours, ink)
    else:
        _lines(ax, figures, colours)


def _bars(ax: Any, figures: Sequence[Figure], colours: dict[str, str], ink: str) -> None:
    """A bar for each contender, the first at the top, with whiskers from quartile to quartile."""
    for place, figure in enumerate(figures):
        low, middle, high = figure.quartiles
        ax.barh(place, middle, color=colours[figure.who], height=0.7)
        if high > low:
            ax.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color=ink, capsize=2, linewidth=1)
        right = max(high, 0)
        ax.annotate(short(middle), (right, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(range(len(figures)), [figure.who for figure in figures], fontsize=8)
    ax.set_ylim(len(figures) - 0.5, -0.5)
    ends = [end for figure in figures for end in figure.quartiles]
    ax.set_xlim(1.1 * min(0, *ends), 1.22 * max(0, *ends) or 1)
    ax.set_xlabel(figures[0].unit, fontsize=8)
    ax.xaxis.set_major_locator(_few_ticks())
    ax.tick_params(axis="x", labelsize=8)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


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
