"""The error of numeric gradients against their step eps: the table with its drawing, and the plot."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from minitrain.runs.gradient_table import wrap
from minitrain.runs.output_file import check_plot, write_plot

WRONG_FROM = 1e-5  # if no step brings the relative error below this, the gradient is wrong
BEST = float(np.finfo(np.float64).eps) ** (1 / 3)  # near the best step of central differences


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The difference between the numeric gradient and backward's, for each step eps. str() of it is the table.

    errors: ‖numeric - analytic‖ / ‖analytic‖ over the sampled entries, by central differences.
    smooth: the same over the entries whose step crosses no kink of a ReLU. crossing: the number of the others.
    """

    eps: list[float]
    errors: list[float]
    smooth: list[float]
    crossing: list[int]
    where: str

    @property
    def best(self) -> int:
        """The index of the step with the smallest error."""
        return int(np.argmin(self.errors))

    @property
    def ok(self) -> bool:
        """Whether some step agrees with backward; if none does, backward is wrong."""
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
            return wrap(
                f"No step comes closer than {self.errors[self.best]:.1e}: the gradient is wrong, not the measurement. "
                "Run the command without --eps-sweep to see where."
            )
        kinks = wrap(
            "kinks: the number of entries whose step moves some ReLU's input across 0, where the slope jumps. ### is "
            "the error without them, +++ is what they add."
        )
        return [
            *(kinks if any(self.crossing) else []),
            *wrap(
                "Above the best step, truncation dominates: the error of a difference grows as eps². Below it, "
                "rounding dominates: the loss has 16 digits, and their error is divided by 2 eps, so it grows as "
                f"1/eps. In float64 the two meet near {BEST:.0e}, the cube root of the machine epsilon (times the "
                "function's own scale)."
            ),
        ]


def plot_sweep(sweep: Sweep, path: str) -> None:
    """Draw a sweep as a PNG, on logarithmic axes, with the best step and the two theoretical slopes.

    Raises ConfigError if it cannot be written.
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
    write_plot(path, figure)
