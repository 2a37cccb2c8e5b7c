"""Single pictures of runs, drawn by matplotlib as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.runs.config import SHAPES, ConfigError
from minitrain.runs.output_file import check_plot, write_plot
from minitrain.study.line_chart import running_median
from minitrain.study.report_page import labels_of, symbols
from minitrain.study.run_record import RunRecord

LAYERED = {
    "gradients": ("gradient", "‖dL/dW‖"),
    "weights": ("weight", "‖W‖"),
    "updates": ("relative_change", "‖change‖ / ‖W‖"),
    "zeros": ("zeros", "zeros after ReLU"),
}


def plot(runs: Sequence[RunRecord], figure: str, path: str) -> None:
    """Draw one picture, named as `minitrain report --figure` does, as a PNG.

    Raises ConfigError if the runs do not have it, or if it cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    if figure in ("confusion", "first-layer") and len(runs) > 1:
        raise ConfigError(f"--figure {figure} shows one run, but {len(runs)} are given; name one")
    canvas = Figure(figsize=(8, 4.8), dpi=120, layout="constrained")
    if figure == "first-layer":
        _draw_first_layer(canvas, runs[0])
    elif figure == "confusion":
        _draw_confusion(canvas, runs[0])
    else:
        axes = canvas.subplots()
        axes.set_xlabel("epoch")
        axes.grid(True, color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        (_draw_curves if figure in ("loss", "accuracy") else _draw_layers)(axes, runs, figure)
    write_plot(path, canvas)


def _draw_curves(axes: Any, runs: Sequence[RunRecord], figure: str) -> None:
    labels = labels_of(runs)
    for k, (run, label) in enumerate(zip(runs, labels, strict=True)):
        if figure == "accuracy":
            axes.plot(run.epochs[:, 0], 100 * run.epochs[:, 1], ".-", color=f"C{k}", label=label)
        else:
            axes.semilogy(run.at, run.losses, color=f"C{k}", alpha=0.25, linewidth=0.6)
            axes.semilogy(run.at, running_median(run.losses), color=f"C{k}", label=label)
    axes.set_ylabel("test accuracy, %" if figure == "accuracy" else "loss of each update")
    if len(runs) > 1:
        axes.legend(frameon=False)


def _draw_layers(axes: Any, runs: Sequence[RunRecord], figure: str) -> None:
    attribute, text = LAYERED[figure]
    styles = ("-", "--", ":", "-.")
    for k, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
        layers = [x for x in run.layers if (x.zeros is not None) == (figure == "zeros")]
        if not layers:
            raise ConfigError(f"{run.path} has no table of its layers; leave out --figure {figure}")
        names = symbols([x.name for x in layers], "h" if figure == "zeros" else "W")
        for depth, (name, layer) in enumerate(zip(names, layers, strict=True)):
            # One run: a colour for each layer. Several: a colour for each run, a style for each layer.
            colour, style = (f"C{depth}", "-") if len(runs) == 1 else (f"C{k}", styles[depth % 4])
            values = running_median(np.asarray(getattr(layer, attribute)))
            axes.plot(layer.at, values, style, color=colour, label=name if len(runs) == 1 else f"{name}, {label}")
    if figure in ("gradients", "updates"):
        axes.set_yscale("log")
    axes.set_ylabel(text)
    axes.legend(frameon=False)


def _draw_confusion(canvas: Any, run: RunRecord) -> None:
    if run.tested is None:
        raise ConfigError(f"the test images could not be read: {run.why_not}")
    confusion, axes = run.tested.evaluation.confusion, canvas.subplots()
    canvas.set_size_inches(7, 6.4)
    axes.imshow(np.sqrt(confusion), cmap="Blues")
    for (i, j), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if np.sqrt(count) > np.sqrt(confusion.max()) / 2 else "black"
            axes.text(j, i, f"{count}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(run.classes)), run.classes, rotation=45, ha="right")
    axes.set_yticks(range(len(run.classes)), run.classes)
    axes.set_xlabel("what the model says")
    axes.set_ylabel("class")


def _draw_first_layer(canvas: Any, run: RunRecord) -> None:
    shape, count = SHAPES[run.config.dataset], min(64, len(run.now))
    largest = float(np.abs(run.now[:count]).max())
    canvas.set_size_inches(8, 8)
    grid = canvas.subplots(-(-count // 8), 8, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, weights in zip(grid.flat, run.now[:count], strict=False):
        shown = axes.imshow(weights.reshape(shape), cmap="RdBu", vmin=-largest, vmax=largest)
    canvas.colorbar(shown, ax=grid, shrink=0.5)
