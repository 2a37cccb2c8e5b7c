"""The built-in model's gradients on real data: checked parameter by parameter, and their error against the step eps."""

from __future__ import annotations

import dataclasses
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minitrain import nn
from minitrain.autograd import check_gradients
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.diagnosis.gradcheck_report import DIRECTIONAL, DIRECTIONS, InputCheck, Report
from minitrain.runs.config import DATASETS, Config, ConfigError
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import manual_seed

# The gradients of a mean loss are small: torch's atol of 1e-5 would hide wrong ones.
ATOL, RTOL, EPS = 1e-8, 1e-4, 1e-6
EPS_FROM = 1e-15
FULL_UP_TO = 10_000  # parameters
LAYER_ROWS = 4  # samples on which a layer is checked by itself
SAMPLE = 40  # entries, over all parameters, whose error is swept
SWEPT = [10.0 ** (-k / 2) for k in range(2, 29)]  # 1e-1 to 1e-14, two a decade
WRONG_FROM = 1e-5  # a relative error that no step falls below is the gradient's own
WIDTH = 79

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


@contextmanager
def _watched(model: Any, watch: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call watch(layer, its input) for each layer without layers of its own that a forward pass meets."""
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    handles = [leaf.register_forward_hook(lambda layer, inputs, _: watch(layer, inputs[0])) for leaf in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _counted(found: InputCheck) -> int:
    """How many entries the verdict rests on: not those at a kink, nor those that cannot be measured."""
    return found.entries - found.kinks - found.unmeasured


@dataclasses.dataclass(frozen=True)
class Checked:
    """The report on every parameter. str() of it is the table.

    eps: the step of its differences.
    layers: where a parameter is wrong, the reports on the loss and on each layer by itself, from the loss back, by the
        step EPS.
    """

    report: Report
    where: str
    eps: float
    layers: list[tuple[str, Report]]

    @property
    def unchecked(self) -> list[str]:
        """The parameters of which no entry could be checked."""
        return [found.name for found in self.report.inputs if found.entries and not _counted(found)]

    @property
    def ok(self) -> bool:
        """Whether every gradient was checked and is right."""
        return self.report.ok and not self.unchecked

    def __str__(self) -> str:
        found = self.report.inputs
        lines = [*_table(self.report), ""]
        remeasured, unmeasured = sum(f.remeasured for f in found), sum(f.unmeasured for f in found)
        unit = "directions" if self.report.directional else "entries"
        if remeasured:
            lines += _wrap(
                f"Right by another step than eps, which bends too much or crosses a kink: {remeasured} {unit}."
            )
        if unmeasured:
            lines += _wrap(f"Excluded, since rounding or an infinity hides the derivative: {unmeasured} {unit}.")
        wrong = [f for f in found if not f.ok]
        if wrong:
            lines += [_only(self.report, wrong), "", *self._layers(), ""]
        if self.report.directional:
            lines += _wrap(DIRECTIONAL)
        return "\n".join([*lines, *_wrap(self._closing(len(wrong)))])

    def _layers(self) -> list[str]:
        lines = ["Each layer by itself, on what it is given, from the loss back:"]
        for name, report in self.layers:
            bad = [found for found in report.inputs if not found.ok]
            lines.append(f"  {name}: {'WRONG' if bad else 'right'}")
            if bad:
                lines.append(textwrap.indent(_only(report, bad), "    "))
        return lines

    def _closing(self, wrong: int) -> str:
        found = self.report.inputs
        if not wrong and self.unchecked:
            return f"Nothing is known of {', '.join(self.unchecked)} {self.where}: choose another eps, near {EPS:g}."
        if not wrong:
            count, counted = sum(f.entries for f in found), sum(map(_counted, found))
            if counted < count:
                return f"All gradients that could be checked are right: {counted:,} of {count:,} {self.where}."
            return f"All gradients are right: {count:,} parameters {self.where}."
        says = f"{wrong} of {len(found)} parameters {'has' if wrong == 1 else 'have'} a wrong gradient {self.where}."
        culprits = []
        for name, report in self.layers:
            likely = next((f.mistakes[0].name for f in report.inputs if f.mistakes), None)
            culprits += [] if report.ok else [f"{name}: {likely}" if likely else name]
        if not culprits and self.eps != EPS:
            return f"{says} But each layer is right by itself with the step {EPS:g}: choose another eps, near that."
        if not culprits:
            return f"{says} Each layer is right by itself: look at how the model joins them."
        return f"{says} The mistake is in {', and in '.join(culprits)}."


def _only(report: Report, inputs: list[InputCheck]) -> str:
    """The report on these alone, without what the directional mode says of itself."""
    return str(dataclasses.replace(report, inputs=inputs)).removesuffix(f"\n{DIRECTIONAL}")


def _table(report: Report) -> list[str]:
    """One row for each parameter. The directional mode knows of no kinks, so it has no column of them."""
    rows = [["parameter", "shape", "directions" if report.directional else "entries", "wrong", "largest error", ""]]
    for found in report.inputs:
        largest = found.largest
        if found.worst is not None:
            largest = max(largest, abs(found.worst.analytic - found.worst.numeric))
        checked = _counted(found)
        verdict = "right" if checked else "NOT CHECKED"
        if not found.ok:
            verdict = f"WRONG{f': {found.mistakes[0].name}' if found.mistakes else ''}"
        rows.append(
            [
                found.name,
                " x ".join(map(str, found.shape)),
                str(DIRECTIONS) if report.directional else f"{checked:,}",
                f"{found.failing:,}",
                f"{largest:.1e}" if checked else "-",
                verdict,
            ]
        )
    if not report.directional:
        for row, kinks in zip(rows, ["at a kink", *(f"{found.kinks:,}" for found in report.inputs)], strict=True):
            row.insert(4, kinks)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def check_model(
    config: Config,
    *,
    mode: Literal["full", "directional"] | None = None,
    eps: float = EPS,
    atol: float = ATOL,
    rtol: float = RTOL,
    plant: Callable[[Any, Any, Any], Any] | None = None,
) -> Checked:
    """check_gradients of the configured model on the first batch, and of each of its layers where it is wrong.

    mode: every entry, or a few random directions of each parameter; None for every entry of a model of up to 10,000
    parameters. plant: see subject. Raises ConfigError for an eps, atol or rtol that cannot be.
    """
    if not EPS_FROM <= eps <= 1:
        raise ConfigError(
            f"eps must be from {EPS_FROM:g} (a smaller step moves no number of float64) to 1, but is {eps}"
        )
    if not (0 <= atol < math.inf and 0 <= rtol < math.inf):
        raise ConfigError(f"atol and rtol must be finite and not negative, but got {atol} and {rtol}")
    model, loss_fn, batch = subject(config, plant)
    count = sum(param.numel() for param in model.parameters())
    directional = mode == "directional" or (mode is None and count > FULL_UP_TO)
    limits: dict[str, Any] = {"atol": atol, "rtol": rtol}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*nothing was checked", UserWarning)  # the table says so
        report = check_gradients(model, batch, loss_fn=loss_fn, eps=eps, fast_mode=directional, **limits)
        layers = [] if report.ok else _check_layers(model, loss_fn, batch, {"eps": EPS, **limits})
    return Checked(report, f"on {_samples(batch)} of {config.dataset}, in float64", eps, layers)


def _samples(batch: tuple[Tensor, Tensor]) -> str:
    count = len(batch[1])
    return f"{count} sample{'' if count == 1 else 's'}"


def _check_layers(
    model: Any, loss_fn: Any, batch: tuple[Tensor, Tensor], limits: dict[str, Any]
) -> list[tuple[str, Report]]:
    """check_gradients of the loss and of each layer by itself, on the first samples of what it is given in the model.

    Layers whose gradient nothing needs are left out. From the loss back, the way the gradients go: what is wrong with
    one layer is seen in all parameters before it, but here in that layer alone.
    """
    given: list[tuple[Any, Tensor]] = []
    with _watched(model, lambda layer, x: given.append((layer, x))):
        scores = model(batch[0])
    names = {module: name for name, module in model.named_modules()}
    of_loss = check_gradients(loss_fn, (_part(scores), batch[1][:LAYER_ROWS]), **limits)
    reports = [("the loss", of_loss)]
    for layer, x in reversed(given):
        params = sum(param.numel() for param in layer.parameters())
        if params or x.requires_grad:
            part = _part(x)
            large = params + part.numel() > FULL_UP_TO
            reports.append((names[layer], check_gradients(layer, part, fast_mode=large, **limits)))
    return reports


def _part(x: Tensor) -> Tensor:
    """The first samples, as an input of its own that needs a gradient where x does."""
    return Tensor(x.array[:LAYER_ROWS].copy()).requires_grad_(x.requires_grad)


# --- the error against eps --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How far the numeric gradient is from backward's, at each step eps. str() of it is the table with its drawing.

    errors: ‖numeric - analytic‖ / ‖analytic‖ over the sampled entries, central differences.
    smooth: the same over those entries whose step crosses no kink of a ReLU; crossing: how many others there are.
    """

    eps: list[float]
    errors: list[float]
    smooth: list[float]
    crossing: list[int]
    where: str

    @property
    def best(self) -> int:
        """Which step has the smallest error."""
        return int(np.argmin(self.errors))

    @property
    def ok(self) -> bool:
        """Whether some step agrees with backward; else backward is wrong, whatever the step."""
        return self.errors[self.best] < WRONG_FROM

    def __str__(self) -> str:
        logs = [math.log10(max(error, 1e-16)) for error in (*self.errors, *self.smooth)]
        low, high = min(logs), max(logs)

        def length(error: float) -> int:
            return 1 + round(44 * (math.log10(max(error, 1e-16)) - low) / max(high - low, 1e-9))

        lines = ["The numeric gradient's relative error, by the step eps:", self.where, ""]
        lines.append("     eps    error  kinks")
        rows = zip(self.eps, self.errors, self.smooth, self.crossing, strict=True)
        for i, (eps, error, smooth, crossing) in enumerate(rows):
            bar = ("#" * length(smooth)).ljust(length(error), "+") if crossing else "#" * length(error)
            mark = "  <- best" if self.ok and i == self.best else ""
            lines.append(f"  {eps:7.1e}  {error:7.1e}  {crossing or '':>5}  {bar}{mark}".rstrip())
        return "\n".join([*lines, "", *self._explained()])

    def _explained(self) -> list[str]:
        if not self.ok:
            return _wrap(
                f"No step comes nearer than {self.errors[self.best]:.1e}: that is no error of the measurement, but of "
                "the gradient. Without --eps-sweep, the command says where it is wrong."
            )
        crossed = (
            "kinks: so many entries have a step that moves some ReLU's input across 0, where the slope jumps. ### is "
            "the error without those entries, +++ what they add to it. "
        )
        return [
            *(_wrap(crossed) if any(self.crossing) else []),
            *_wrap(
                "Above the best step the error is truncation's: what a difference leaves out grows as eps². Below it, "
                "it is rounding's: the loss has 16 digits, and what is left of them in the difference is divided by "
                "2 eps, so it grows as 1/eps. In float64 the two meet near "
                f"{_MEET:.0e}, the cube root of the machine's epsilon (times the function's own scale)."
            ),
        ]


_MEET = float(np.finfo(np.float64).eps) ** (1 / 3)


def sweep_eps(config: Config, plant: Callable[[Any, Any, Any], Any] | None = None) -> Sweep:
    """Measure a sample of the gradient's entries with every step from 1e-1 to 1e-14. plant: see subject."""
    model, loss_fn, (X, y) = subject(config, plant)
    parameters = [*model.parameters()]
    loss_fn(model(X), y).backward()
    random = np.random.RandomState(0)
    each = max(1, SAMPLE // len(parameters))
    entries = [(param, int(j)) for param in parameters for j in random.permutation(param.numel())[:each]]
    analytic = np.array([param.grad.array.flat[j] for param, j in entries])
    sides: list[bytes] = []  # of each ReLU in a forward pass: which of its inputs are above 0

    def watch(layer: Any, x: Tensor) -> None:
        if isinstance(layer, nn.ReLU):
            sides.append((x.array > 0).tobytes())

    def loss() -> tuple[float, list[bytes]]:
        sides.clear()
        return loss_fn(model(X), y).item(), sides.copy()

    errors, smooth, crossing = [], [], []
    with no_grad(), _watched(model, watch):
        _, here = loss()
        for eps in SWEPT:
            measured = [_central(loss, param.array.flat, j, eps, here) for param, j in entries]
            numeric = np.array([slope for slope, _ in measured])
            clean = np.array([not crosses for _, crosses in measured])
            errors.append(_apart(numeric, analytic))
            smooth.append(_apart(numeric[clean], analytic[clean]))
            crossing.append(int((~clean).sum()))
    where = f"{len(entries)} entries, {_samples((X, y))} of {config.dataset}"
    return Sweep(SWEPT, errors, smooth, crossing, where)


def _apart(numeric: Any, analytic: Any) -> float:
    """‖numeric - analytic‖ / ‖analytic‖; 0 where both are 0."""
    size = float(np.linalg.norm(analytic))
    apart = float(np.linalg.norm(numeric - analytic))
    return apart / size if size else apart and math.inf


def _central(
    loss: Callable[[], tuple[float, list[bytes]]], flat: Any, j: int, eps: float, here: list[bytes]
) -> tuple[float, bool]:
    """The slope at entry j by a central difference, and whether its step crosses a kink."""
    before = flat[j]
    try:
        flat[j] = before + eps
        (up, above), high = loss(), flat[j]
        flat[j] = before - eps
        (down, below), low = loss(), flat[j]
    finally:
        flat[j] = before
    return float((up - down) / (high - low)) if high != low else 0.0, not above == here == below


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
    eps = np.array(sweep.eps)
    if any(sweep.crossing):
        crossing = np.array(sweep.crossing) > 0
        axes.plot(eps[crossing], np.array(sweep.errors)[crossing], "x", color="tab:orange", label="with crossed kinks")
    axes.loglog(eps, sweep.smooth, "o-", color="tab:blue", label="error, no kink of a ReLU crossed")
    if sweep.ok:
        best = sweep.eps[sweep.best], sweep.errors[sweep.best]
        label = f"best: eps = {best[0]:.1e}"
        axes.plot(*best, "o", markersize=12, markerfacecolor="none", color="tab:red", label=label)
        for slope, name, style in ((2, "truncation, as eps²", "--"), (-1, "rounding, as 1/eps", ":")):
            part = eps[eps >= best[0]] if slope > 0 else eps[eps <= best[0]]
            axes.plot(part, best[1] * (part / best[0]) ** slope, style, color="0.5", label=name)
    axes.set_xlabel("eps, the step of the central difference")
    axes.set_ylabel("‖numeric - analytic‖ / ‖analytic‖")
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
