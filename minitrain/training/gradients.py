"""The built-in model's gradients on real data: checked parameter by parameter, and their error against the step eps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minitrain import nn
from minitrain.autograd import check_gradients
from minitrain.autograd.report import DIRECTIONAL, DIRECTIONS, Report
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.random import manual_seed
from minitrain.tape import no_grad
from minitrain.tensor import Tensor
from minitrain.training.config import DATASETS, Config, ConfigError
from minitrain.training.model import build_model

# The gradients of a mean loss are small: torch's atol of 1e-5 would hide wrong ones.
ATOL, RTOL, EPS = 1e-8, 1e-4, 1e-6
FULL_UP_TO = 10_000  # parameters
SAMPLE = 40  # entries, over all parameters, whose error is swept
SWEPT = [10.0 ** (-k / 2) for k in range(2, 29)]  # 1e-1 to 1e-14, two a decade

Subject = tuple[Any, Any, tuple[Tensor, Tensor]]  # a model, its loss, a batch (X, y)


def subject(config: Config, plant: Callable[[Any, Any, Any], Any] | None = None) -> Subject:
    """What is checked: the configured model and its loss in float64, and the first batch of the training data.

    plant: puts a fault into (model, loss, None), as those of `minitrain compare` do.
    Raises DataError where there is no data.
    """
    dataset: Any = DATASETS[config.dataset]
    data = dataset(root=config.data_dir, train=True, download=True, transform=ToTensor())
    sample, _ = data[0]
    manual_seed(config.seed)
    model = build_model(nn, sample.numel(), config.hidden, len(data.classes)).double()
    X, y = next(iter(DataLoader(data, batch_size=config.batch_size, shuffle=config.shuffle)))
    loss_fn: Any = nn.CrossEntropyLoss()
    if plant is not None:
        (model, loss_fn, _), _ = plant(model, loss_fn, None)
    return model, loss_fn, (X.double(), y)


@dataclasses.dataclass(frozen=True)
class Checked:
    """The report on every parameter. str() of it is the table."""

    report: Report
    where: str

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return self.report.ok

    def __str__(self) -> str:
        report = self.report
        what = f"{DIRECTIONS} directions" if report.directional else "entries"
        rows = [("parameter", "shape", what, "wrong", "at a kink", "largest error", "")]
        for found in report.inputs:
            checked = "" if report.directional else f"{found.entries:,}"
            shape = " x ".join(map(str, found.shape))
            error = "-" if found.failing else f"{found.largest:.1e}"
            verdict = "right" if found.ok else f"WRONG{f': {found.mistakes[0].name}' if found.mistakes else ''}"
            rows.append((found.name, shape, checked, str(found.failing), str(found.kinks), error, verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        lines += ["", *([str(report)] if not report.ok else [DIRECTIONAL] if report.directional else [])]
        count = sum(found.entries for found in report.inputs)
        if report.ok:
            lines.append(f"All gradients are right: {count:,} parameters {self.where}.")
        else:
            wrong = [found for found in report.inputs if not found.ok]
            lines.append(f"{len(wrong)} of {len(report.inputs)} parameters have a wrong gradient {self.where}.")
            if len(wrong) < len(report.inputs) and report.inputs[: len(wrong)] == wrong:
                first = report.inputs[len(wrong)].name.rpartition(".")[0]
                lines.append(
                    f"From {first} on they are right: look at what it sends back, and at what stands before it."
                )
        return "\n".join(line for i, line in enumerate(lines) if line or i == len(rows))


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Names and verdicts to the left, the rest to the right."""
    last = len(row) - 1
    return [
        cell.ljust(width) if i in (0, last) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def check_model(
    config: Config,
    *,
    mode: Literal["full", "directional"] | None = None,
    eps: float = EPS,
    atol: float = ATOL,
    rtol: float = RTOL,
    plant: Callable[[Any, Any, Any], Any] | None = None,
) -> Checked:
    """check_gradients of the configured model on the first batch.

    mode: every entry, or a few random directions of each parameter; None for every entry of a model of up to 10,000
    parameters. plant: see subject.
    """
    if not (0 < eps < math.inf and 0 <= atol < math.inf and 0 <= rtol < math.inf):
        raise ConfigError(f"eps must be above 0, atol and rtol from 0, all finite, but got {eps}, {atol} and {rtol}")
    model, loss_fn, batch = subject(config, plant)
    count = sum(param.numel() for param in model.parameters())
    directional = mode == "directional" or (mode is None and count > FULL_UP_TO)
    report = check_gradients(model, batch, loss_fn=loss_fn, eps=eps, atol=atol, rtol=rtol, fast_mode=directional)
    report.inputs = [found for found in report.inputs if not found.name.startswith("input ")]
    return Checked(report, f"on {len(batch[1])} samples of {config.dataset}, in float64")


# --- the error against eps --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How far the numeric gradient is from backward's, at each step eps. str() of it is the table with its drawing.

    errors: ‖numeric - analytic‖ / ‖analytic‖ over the sampled entries, central differences.
    """

    eps: list[float]
    errors: list[float]
    where: str

    @property
    def best(self) -> int:
        """Which step has the smallest error."""
        return int(np.argmin(self.errors))

    def __str__(self) -> str:
        logs = [math.log10(max(error, 1e-16)) for error in self.errors]
        low, high = min(logs), max(logs)
        lines = ["The numeric gradient's relative error, by the step eps:", f"{self.where}", "", "     eps    error"]
        for i, (eps, error, log) in enumerate(zip(self.eps, self.errors, logs, strict=True)):
            bar = "#" * (1 + round(44 * (log - low) / max(high - low, 1e-9)))
            mark = "  <- best" if i == self.best else ""
            lines.append(f"  {eps:7.1e}  {error:7.1e}  {bar}{mark}")
        lines += [
            "",
            "Above the best step the error is truncation's: what a difference leaves out",
            "grows as eps² (and a large step crosses ReLU's kinks). Below it, it is",
            "rounding's: the loss has 16 digits, and what is left of them in the difference",
            "is divided by 2 eps, so it grows as 1/eps. In float64 the two meet near",
            f"{_MEET:.0e}, the cube root of the machine's epsilon.",
        ]
        return "\n".join(lines)


_MEET = float(np.finfo(np.float64).eps) ** (1 / 3)


def sweep_eps(config: Config, plant: Callable[[Any, Any, Any], Any] | None = None) -> Sweep:
    """Measure a sample of the gradient's entries with every step from 1e-1 to 1e-14."""
    model, loss_fn, (X, y) = subject(config, plant)
    parameters = [*model.parameters()]
    loss_fn(model(X), y).backward()
    random = np.random.RandomState(0)
    each = max(1, SAMPLE // len(parameters))
    entries = [(param, int(j)) for param in parameters for j in random.permutation(param.numel())[:each]]
    analytic = np.array([param.grad.array.flat[j] for param, j in entries])
    errors = []
    with no_grad():
        for eps in SWEPT:
            slopes = [_central(lambda: loss_fn(model(X), y).item(), p.array.flat, j, eps) for p, j in entries]
            numeric = np.array(slopes)
            errors.append(float(np.linalg.norm(numeric - analytic) / np.linalg.norm(analytic)))
    return Sweep(SWEPT, errors, f"{len(entries)} entries, {len(y)} samples of {config.dataset}")


def _central(loss: Callable[[], float], flat: Any, j: int, eps: float) -> float:
    before = flat[j]
    try:
        flat[j] = before + eps
        up, high = loss(), flat[j]
        flat[j] = before - eps
        down, low = loss(), flat[j]
    finally:
        flat[j] = before
    return float((up - down) / (high - low)) if high != low else 0.0


def check_plot(path: str) -> None:
    """Raise ConfigError, before a long run, if a plot of this name cannot be made."""
    if find_spec("matplotlib") is None:
        raise ConfigError('plotting needs matplotlib: pip install -e ".[plot]"')
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"the plot is a PNG file, but its name is {path!r}; end it in .png")


def plot_sweep(sweep: Sweep, path: str) -> None:
    """Draw it as a PNG, both axes logarithmic, the best step marked, with the two slopes to compare with.

    Raises ConfigError without matplotlib, or if path does not end in .png.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"The numeric gradient's error by the step\n{sweep.where}", fontsize=11)
    axes.loglog(sweep.eps, sweep.errors, "o-", color="tab:blue", label="error")
    best = sweep.eps[sweep.best], sweep.errors[sweep.best]
    axes.plot(*best, "o", markersize=12, markerfacecolor="none", color="tab:red", label=f"best: eps = {best[0]:.1e}")
    eps = np.array(sweep.eps)
    for slope, name, style in ((2, "truncation, as eps²", "--"), (-1, "rounding, as 1/eps", ":")):
        part = eps[eps >= best[0]] if slope > 0 else eps[eps <= best[0]]
        axes.plot(part, best[1] * (part / best[0]) ** slope, style, color="0.5", label=name)
    axes.set_xlabel("eps, the step of the central difference")
    axes.set_ylabel("‖numeric - analytic‖ / ‖analytic‖")
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
