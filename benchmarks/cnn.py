"""One training step of a LeNet-like network: torch, minitrain, and its matrix products alone."""

from statistics import median
from typing import Any

from benchmarks.measuring import Options, alternating, ratios, require_equal, started, watched_rounds
from benchmarks.programs.cnn_steps import CONVOLUTIONS, SIZES
from benchmarks.report import Report

BATCH_SIZE = 64
LOSSES = 5
TOLERANCE = 2e-5
TRAINED = ("torch", "minitrain")
PARTS = [(("whole step", "products alone"), ("whole step", "minitrain"))]  # both by NumPy's BLAS
CONTENDERS = {who: ("cnn_steps", who) for who in TRAINED} | {"products alone": ("cnn_steps", "products")}


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {
        "batch size": BATCH_SIZE,
        "convolutions": CONVOLUTIONS,
        "linear layers": SIZES,
        "seconds a turn": options.turn,
    }


def measure(options: Options, report: Report) -> None:
    """Compare the first losses, then time the step, with contenders alternating."""
    times: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    for number in watched_rounds(options, report):
        with started(CONTENDERS, options.threads) as workers:
            workers["products alone"].ask("begin", batch_size=BATCH_SIZE)
            begun = {who: workers[who].ask("begin", batch_size=BATCH_SIZE, losses=LOSSES) for who in TRAINED}
            require_equal(f"LeNet, batch {BATCH_SIZE}", begun, TOLERANCE)
            turns: dict[str, list[float]] = {who: [] for who in CONTENDERS}
            for i in range(options.turns):
                for who in alternating(list(CONTENDERS), number + i):
                    turns[who].append(workers[who].measure("whole", seconds=options.turn)["seconds"])
            for who, values in turns.items():
                times[who].append(median(values))
    case = f"LeNet, batch {BATCH_SIZE}"
    for who, values in times.items():
        report.add(case, "whole step", who, "ms", [1e3 * t for t in values])
    report.add(case, "whole step: torch / minitrain", "", "times", ratios(times["torch"], times["minitrain"]))
    for who in TRAINED:
        report.add(
            case, f"whole step: {who} / products alone", "", "times", ratios(times[who], times["products alone"])
        )
    report.notes.append(
        f"The losses of the first {LOSSES} steps are equal within {TOLERANCE:g}. products alone: the step's matrix "
        "products by np.matmul into preallocated memory, with the windows laid out as columns already."
    )
