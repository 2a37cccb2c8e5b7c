"""How the cost grows with batch size, width, depth and data set size; memory must not grow with the data set."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import MeasuringError, Options, alternating, exponent, run_command, started, watched_rounds
from benchmarks.programs.growing import BATCH_SIZE, FEATURES
from benchmarks.report import Report
from benchmarks.step import CONTENDERS, LOSSES, TOLERANCE, begin, write_case

SERIES: dict[str, tuple[int, ...]] = {
    "batch size": (1, 4, 16, 64, 256, 1024),
    "width": (64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 4, 8, 16, 32),
}
STEPS_TURN = 0.15  # seconds


def case_of(series: str, x: int) -> tuple[int, tuple[int, ...]]:
    """The batch size and the layer sizes of a series at x."""
    if series == "batch size":
        return x, (784, 512, 512, 10)
    if series == "width":
        return 64, (784, x, x, 10)
    return 64, (784, *[256] * x, 10)  # x hidden layers


def series(options: Options) -> dict[str, tuple[int, ...]]:
    """The values of each series; fewer with --quick."""
    return {name: values[1:5:2] if options.quick else values for name, values in SERIES.items()}


def counts(options: Options) -> list[int]:
    """Sizes of the data set, up to 1.25 times the memory limit."""
    most = int(1.25 * options.limit * 2**20 / FEATURES)
    return [most // 16, most // 4, most]


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"series": series(options), "images": counts(options), "limit in MB": options.limit}


def measure(options: Options, report: Report) -> None:
    """Measure three series of steps on torch and minitrain, then passes over a data set in a file."""
    _measure_steps(options, report)
    if sys.platform == "linux":
        _measure_data_set(options, report)
    else:
        report.notes.append(
            "The memory-mapped data set is measured on Linux only, which can limit and report a process's memory."
        )


def _measure_steps(options: Options, report: Report) -> None:
    times: dict[tuple[str, int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in watched_rounds(options, report):
            with started(CONTENDERS, options.threads) as workers:
                for name, values in series(options).items():
                    for x in values:
                        batch_size, sizes = case_of(name, x)
                        case = write_case(Path(folder, "case.npz"), batch_size, "float32", sizes)
                        begin(workers, f"{name} {x}", case, TOLERANCE["float32"])
                        for who in alternating(list(workers), number):
                            turn = workers[who].measure("whole", seconds=min(options.turn, STEPS_TURN))
                            times.setdefault((name, x, who), []).append(turn["seconds"])
    for name, values in series(options).items():
        for x in values:
            for who in CONTENDERS:
                report.add(name, name, who, "ms", [1e3 * t for t in times[name, x, who]], x)
        for who in CONTENDERS:
            rounds = list(zip(*(times[name, x, who] for x in values), strict=True))
            what = f"{who}: the time of a step grows as {name} to the power"
            report.add(name, what, "", "", [exponent(values, seconds) for seconds in rounds])
            ends = [exponent(values[-2:], seconds[-2:]) for seconds in rounds]
            report.add(name, f"  at the end, from {values[-2]:,} to {values[-1]:,}", "", "", ends)
    report.notes.append(
        f"Steps: float32, with batch 64 and the layers 784-512-512-10 unless varied; depth is the number of hidden "
        f"layers of 256. The losses of the first {LOSSES} steps are equal within {TOLERANCE['float32']:g}."
    )


def _measure_data_set(options: Options, report: Report) -> None:
    sizes = counts(options)
    seconds: dict[int, list[float]] = {count: [] for count in sizes}
    memory: dict[int, list[float]] = {count: [] for count in sizes}
    with tempfile.TemporaryDirectory() as folder:
        path = _write_images(Path(folder, "images"), sizes[-1])
        for _ in range(options.rounds):
            command = ["-m", "benchmarks.programs.growing", str(path), str(options.limit), *map(str, sizes)]
            measured = json.loads(run_command(command, threads=options.threads, folder=Path(folder))[0])
            if measured["fits"]:
                raise MeasuringError(
                    f"the limit of {options.limit} MB has no effect: all {sizes[-1]:,} images fit into memory"
                )
            for count, run in zip(sizes, measured["runs"], strict=True):
                seconds[count].append(run["seconds"])
                memory[count].append(run["memory"])
    for what, unit, values in (("one pass", "s", seconds), ("own memory", "MB", memory)):
        for count in sizes:
            report.add(f"data set size: {what}", "images", "minitrain", unit, values[count], count)
    rounds = zip(*(seconds[count] for count in sizes), strict=True)
    what = "minitrain: the time of a pass grows as the data set size to the power"
    report.add("data set size: one pass", what, "", "", [exponent(sizes, took) for took in rounds])
    grown = [last - first for first, last in zip(memory[sizes[0]], memory[sizes[-1]], strict=True)]
    report.add("data set size: own memory", "own memory: largest data set minus smallest", "", "MB", grown)
    report.notes.append(
        f"Data set: a memory-mapped file of {sizes[-1] * FEATURES / 2**20:,.0f} MB, in batches of {BATCH_SIZE}, with "
        f"the model 784-32-10, in a process limited to {options.limit} MB (RLIMIT_DATA). Reading the whole file at "
        "once fails there."
    )


def _write_images(path: Path, count: int) -> Path:
    """Write a file of this many images: a block of random bytes, repeated."""
    block = np.random.RandomState(0).bytes(4096 * FEATURES)
    with path.open("wb") as file:
        for _ in range(count // 4096):
            file.write(block)
        file.write(block[: count % 4096 * FEATURES])
    return path
