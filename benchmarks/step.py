"""One training step of the tutorial's model, total and by phase: torch, minitrain, and its matrix products alone."""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import (
    Contenders,
    MeasuringError,
    Options,
    Worker,
    alternating,
    ratios,
    require_equal,
    started,
    watched_rounds,
)
from benchmarks.programs.gemms import floating_point_operations
from benchmarks.report import Report

SIZES = (784, 512, 512, 10)
TINY = (4, 4, 4, 4)  # layers whose arithmetic takes next to no time: what is left is the work for each operation
LOSSES = 10  # steps whose losses are compared before anything is timed
LR = 0.01  # large enough that a wrong rate changes the losses
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}
APART = 2.5  # cores whose writes slow down by more do not share a cache
PHASES = ("forward", "loss", "backward", "optimizer")

CONTENDERS: dict[str, tuple[str, ...]] = {"torch": ("steps", "torch"), "minitrain": ("steps", "minitrain")}
FLOOR: dict[str, tuple[str, ...]] = {"products alone": ("gemms",)}
# Not the products alone: with few rows, the step computes them in a faster form.
PARTS = [((phase, who), ("whole step", who)) for phase in PHASES for who in CONTENDERS]
HAND: dict[str, tuple[str, ...]] = {
    "NumPy by hand": ("by_hand", "plain"),
    "NumPy by hand, memory reused": ("by_hand", "reused"),
}
PEERS = {"JAX": "jax", "tinygrad": "tinygrad", "HIPS autograd": "autograd"}


class Case(NamedTuple):
    """A training step: its dtype, its batch size, and the sizes of the layers."""

    dtype: str
    batch_size: int
    sizes: tuple[int, ...] = SIZES

    def __str__(self) -> str:
        layers = f"layers of {self.sizes[0]} numbers, " if self.sizes == TINY else ""
        return f"{layers}batch {self.batch_size}, {self.dtype}"


def write_case(path: Path, batch_size: int, dtype: str, sizes: Sequence[int] = SIZES, batches: int = 4) -> Path:
    """Draw batches and initial weights once for all contenders. Returns the path.

    X (batches, N, sizes[0]) within 0 and 1, y (batches, N) int64, parameter_0 (out, in), parameter_1 (out,), ...
    within ±1/√in, as torch's Linear draws them.
    """
    random = np.random.RandomState(0)
    X = random.random_sample((batches, batch_size, sizes[0])).astype(dtype)
    y = random.randint(sizes[-1], size=(batches, batch_size))
    parameters = {}
    for size_in, size_out in pairwise(sizes):
        for shape in ((size_out, size_in), (size_out,)):
            bound = size_in**-0.5
            parameters[f"parameter_{len(parameters)}"] = random.uniform(-bound, bound, shape).astype(dtype)
    np.savez(path, X=X, y=y, **parameters)
    return path


def begin(
    workers: dict[str, Worker], what: str, case: Path, tolerance: float, optimizer: str = "SGD", **options: Any
) -> None:
    """Let all contenders take the first steps. Raises UnequalError if their dtypes or losses differ."""
    request = {"case": str(case), "optimizer": optimizer, "options": {"lr": LR, **options}, "losses": LOSSES}
    require_equal(what, {who: worker.ask("begin", **request) for who, worker in workers.items()}, tolerance)


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {
        "sizes": SIZES,
        "batch sizes": options.batch_sizes,
        "dtypes": options.dtypes,
        "seconds a turn": options.turn,
    }


def peers(threads: int) -> tuple[Contenders, list[str]]:
    """The steps written by hand, the peers that are installed and work, and a line for each of the others."""
    there, absent = dict(HAND), []
    with tempfile.TemporaryDirectory() as folder:
        case = write_case(Path(folder, "case.npz"), 1, "float32")
        for who, module in PEERS.items():
            if find_spec(module) is None:
                absent.append(f'{who} is not installed: pip install -e ".[peers]"')
                continue
            with Worker("peers", module, threads=threads) as worker:
                try:
                    worker.ask("begin", case=str(case), options={"lr": LR}, losses=1)
                    there[who] = ("peers", module)
                except MeasuringError as error:
                    absent.append(f"{who} is left out because it fails here: {str(error).splitlines()[-1]}")
    return there, absent


def measure(options: Options, report: Report) -> None:
    """Time every case in every round, then add the figures."""
    more, absent = peers(options.threads) if options.peers else ({}, [])
    trained = {**CONTENDERS, **more}
    cases = [Case(dtype, batch_size) for dtype in options.dtypes for batch_size in options.batch_sizes]
    cases += [Case(dtype, 1, TINY) for dtype in options.dtypes[:1]]
    times: dict[tuple[Case, str, str], list[float]] = {}
    slowdowns: list[float | None] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            case: write_case(Path(folder, f"{number}.npz"), case.batch_size, case.dtype, case.sizes)
            for number, case in enumerate(cases)
        }
        for number in watched_rounds(options, report):
            slowdowns.append(cache_slowdown())
            with started({**trained, **FLOOR}, options.threads) as workers:
                for case in cases:
                    compared = {who: workers[who] for who in trained}
                    begin(compared, str(case), files[case], TOLERANCE[case.dtype])
                    for who in FLOOR:
                        workers[who].ask("begin", **case._asdict())
                    for (who, what), seconds in _one_round(workers, options, number).items():
                        times.setdefault((case, who, what), []).append(seconds)
    add_caches(report, slowdowns)
    for case in cases:
        _add(report, case, list(trained), times)
    report.notes += [
        f"The losses of the first {LOSSES} steps are equal within "
        + ", ".join(f"{TOLERANCE[dtype]:g} ({dtype})" for dtype in options.dtypes)
        + ". The whole step is timed without reading the clock between its phases.",
        "products alone: the step's matrix products by np.matmul into preallocated memory, all operands in C order.",
        *absent,
    ]


def cache_slowdown() -> float | None:
    """How much longer a core takes to write memory that another core has read; see programs/caches.py."""
    with Worker("caches", threads=1) as worker:
        slowdown: float | None = worker.ask("measure")["slowdown"]
    return slowdown


def add_caches(report: Report, slowdowns: Sequence[float | None]) -> None:
    """Add the slowdowns measured at the start of each round, if all are known, and a note if cores share no cache."""
    known = [slowdown for slowdown in slowdowns if slowdown is not None]
    if len(known) < len(slowdowns):
        return
    figure = report.add("caches", "writing memory that another core has read / other memory", "", "", known)
    if max(figure.values) > APART:
        report.notes.append(
            f"caches above {APART}: two of this machine's cores do not share a cache (on a virtual machine, perhaps "
            "only for a while). An update on a single thread, such as NumPy's, then takes several times as long."
        )


def _one_round(workers: dict[str, Worker], options: Options, number: int) -> dict[tuple[str, str], float]:
    """The median seconds of the whole step, with contenders alternating, and of each phase."""
    wholes: dict[str, list[float]] = {who: [] for who in workers}
    for worker in workers.values():
        worker.ask("whole", seconds=options.turn / 3)  # a warm-up
    for i in range(options.turns):
        for who in alternating(list(workers), number + i):
            wholes[who].append(workers[who].measure("whole", seconds=options.turn)["seconds"])
    times = {(who, "whole step"): median(values) for who, values in wholes.items()}
    for who in alternating([who for who in workers if who in CONTENDERS], number):
        for phase, seconds in workers[who].measure("phases", seconds=options.turn).items():
            times[who, phase] = seconds
    return times


def _add(report: Report, case: Case, trained: list[str], times: dict[tuple[Case, str, str], list[float]]) -> None:
    """Add the figures of one case."""
    operations = floating_point_operations(case.batch_size, list(case.sizes))
    compared = [*trained, *([] if case.sizes == TINY else FLOOR)]
    for who in compared:
        for what in (*PHASES, "whole step"):
            if (case, who, what) in times:
                report.add(str(case), what, who, "ms", [1e3 * t for t in times[case, who, what]])
        if case.sizes != TINY:
            speeds = [operations / t / 1e9 for t in times[case, who, "whole step"]]
            report.add(str(case), "products' speed", who, "GFLOP/s", speeds)
    whole = {who: times[case, who, "whole step"] for who in compared}
    for who in trained:
        if who != "minitrain":
            name = f"whole step: {who} / minitrain"
            report.add(str(case), name, "", "times", ratios(whole[who], whole["minitrain"]))
    for floor in whole.keys() & FLOOR:
        for who in ("torch", "minitrain"):
            report.add(str(case), f"whole step: {who} / {floor}", "", "times", ratios(whole[who], whole[floor]))
