"""How far float32 runs drift from a float64 run of the same training, step by step: a table and a plot."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.messages import counted
from minitrain.runs.model import load_data, numpy_side
from minitrain.runs.output_file import check_plot, write_plot
from minitrain.tensor import Tensor
from minitrain.with_torch.compare_recipe import describe, torch_twin
from minitrain.with_torch.comparison import milestones, plain
from minitrain.with_torch.installed import find_compiler, require_torch
from minitrain.with_torch.side import Triple, make_side

REFERENCE = "NumPy float64"


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far each run is from NumPy float64 at some of the steps; str() of it is the table.

    run: what was trained, in words. steps: the steps that were measured.
    loss: by run, |loss - loss64| / |loss64| before the step's update.
    parameters: by run, ‖p - p64‖ / ‖p64‖ after it; p is all parameters as one vector, ‖·‖ its Euclidean length.
    absent: the runs that are not possible on this machine, each with the reason.
    """

    run: str
    steps: list[int]
    loss: dict[str, list[float]]
    parameters: dict[str, list[float]]
    absent: list[str]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"Drift from {REFERENCE} over {counted(self.steps[-1], 'step')}, with the same weights and batches:",
                self.run,
                "",
                f"The loss: |loss - loss64| / |loss64|, where loss64 is the loss of {REFERENCE}",
                *self._table(self.loss),
                "",
                "The parameters: ‖p - p64‖ / ‖p64‖, all of them as one vector, after the update",
                *self._table(self.parameters),
                *([""] if self.absent else []),
                *self.absent,
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON; nan and the infinities as strings."""
        figures: dict[str, Any] = plain(dataclasses.asdict(self))
        return figures

    def _table(self, columns: dict[str, list[float]]) -> Iterator[str]:
        widths = {name: max(len(name), 8) for name in columns}
        yield "  step  " + "  ".join(f"{name:>{widths[name]}}" for name in columns)
        for row, step in enumerate(self.steps):
            yield f"{step:>6}  " + "  ".join(f"{column[row]:>{widths[name]}.1e}" for name, column in columns.items())


class _Run:
    """One of the runs, step by step."""

    def __init__(self, triple: Triple, *, compiled: bool = False, precision: str | None = None) -> None:
        self._side = make_side(triple)
        self._model = triple[0]
        if compiled:
            import torch

            self._model = torch.compile(triple[0])
        self._precision = precision

    def step(self, X: Tensor, y: Tensor) -> float:
        """One training step; returns the loss."""
        side = self._side
        with contextlib.nullcontext() if self._precision is None else _matmul_precision(self._precision):
            loss = side.loss_fn(self._model(side.own(X)), side.own(y))
            loss.backward()
            side.optimizer.step()
            side.optimizer.zero_grad()
        return float(loss.item())

    def warm_up(self, X: Tensor) -> None:
        """Run forward and backward without an update: torch.compile compiles here, or fails."""
        with warnings.catch_warnings():
            # torch.compile traces with anomaly detection, which takes Ctrl-C for an error of an operation.
            warnings.filterwarnings("ignore", "Error detected in")
            self._model(self._side.own(X)).sum().backward()
        self._side.optimizer.zero_grad()

    def parameters(self) -> Array:
        """All parameters as one vector of float64."""
        return np.concatenate([self._side.weights(name).astype(np.float64).ravel() for name in self._side.parameters])


@contextlib.contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    """Within it, torch's float32_matmul_precision is this one: 'highest' or 'high' (tf32)."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def measure_drift(config: Config, steps: int = 500) -> Drift:
    """Train what `minitrain train` would train, in several ways at once, from the same weights on the same batches.

    The ways: NumPy in float64 (the reference) and in float32; torch on the CPU in float32, eager and compiled, and in
    float64, to show that the width is what matters; torch on the GPU in float32, with and without tf32.
    Raises ConfigError without torch, DataError without data.
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, but got {steps}")
    require_torch("minitrain compare")
    import torch

    data = load_data(config)
    narrow, _ = numpy_side(config, data, "float32")
    wide, batches = numpy_side(config, data, "float64")
    first = narrow[0]
    reference = _Run(wide)
    runs = {"NumPy float32": _Run(narrow), "torch CPU float32": _Run(torch_twin(config, first, "float32"))}
    absent = []
    X, y = next(batches)
    batches = itertools.chain([(X, y)], batches)
    if find_compiler() is None:
        absent.append("torch compiled, float32: no C++ compiler here (g++, or CXX); torch.compile needs one")
    else:
        try:
            compiled = _Run(torch_twin(config, first, "float32"), compiled=True)
            compiled.warm_up(X)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            absent.append(f"torch compiled, float32: torch.compile does not work here: {reason}")
        else:
            runs["torch CPU float32 compiled"] = compiled
    if torch.cuda.is_available():
        for label, precision in (("torch GPU float32", "highest"), ("torch GPU tf32", "high")):
            runs[label] = _Run(torch_twin(config, first, "float32", "cuda"), precision=precision)
    else:
        absent.append("torch GPU, float32 and tf32: no GPU here")
    runs["torch CPU float64"] = _Run(torch_twin(config, first, "float64"))

    marks = milestones(steps)
    loss: dict[str, list[float]] = {label: [] for label in runs}
    parameters: dict[str, list[float]] = {label: [] for label in runs}
    for step, (X, y) in enumerate(itertools.islice(batches, steps), start=1):
        expected = reference.step(X, y)
        losses = {label: run.step(X, y) for label, run in runs.items()}
        if step in marks:
            p64 = reference.parameters()
            for label, run in runs.items():
                loss[label].append(abs(losses[label] - expected) / abs(expected) if expected else math.inf)
                parameters[label].append(float(np.linalg.norm(run.parameters() - p64) / np.linalg.norm(p64)))
    return Drift(describe(config), marks, loss, parameters, absent)


# --- the plot ---------------------------------------------------------------------------------------------------------

# Distinguishable with any kind of colour vision: Okabe and Ito, "Color Universal Design" (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def plot_drift(drift: Drift, path: str) -> None:
    """Draw it as a PNG: the loss above, the parameters below, both axes logarithmic, with a legend."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), dpi=120, layout="constrained")
    figure.suptitle(
        f"How far training drifts from {REFERENCE}, from the same weights on the same batches\n{drift.run}", fontsize=11
    )
    panels = figure.subplots(2, 1, sharex=True)
    for axes, columns, what in (
        (panels[0], drift.loss, "The loss:  |loss - loss64| / |loss64|"),
        (panels[1], drift.parameters, "All parameters as one vector:  ‖p - p64‖ / ‖p64‖"),
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(what, fontsize=11, loc="left")
        axes.set_ylabel("relative difference (no unit)")
        axes.grid(True, which="major", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.1)
        # Each line is thinner than those below it, so that coinciding lines can all be seen.
        widths = np.linspace(5, 1.2, len(columns))
        for (label, values), colour, width in zip(columns.items(), itertools.cycle(COLOURS), widths, strict=False):
            seen = [value if value > 0 else math.nan for value in values]  # 0 has no place on a logarithmic axis
            axes.plot(drift.steps, seen, color=colour, marker="o", markersize=width + 2, linewidth=width, label=label)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    panels[1].set_xlabel("training step")
    panels[1].set_xticks(drift.steps, labels=[f"{step:,}" for step in drift.steps])
    panels[1].minorticks_off()
    notes = ["A difference of exactly 0 is not drawn.", *(f"{reason}." for reason in drift.absent)]
    figure.text(0.02, -0.01, "  ".join(notes), fontsize=8, color="0.4", va="top")
    write_plot(path, figure, bbox_inches="tight")
