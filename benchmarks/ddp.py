"""Data-parallel training in one process and in two, with torch; and a model that predicts more processes.

The model: a step in N processes takes compute / N + latency + 2 (N - 1) / N · bytes / bandwidth. compute is the time of
a step in one process. latency is the time of an all-reduce of one number, and bandwidth follows from an all-reduce of
the whole gradient, both between two processes. This is a model, not a measurement. It assumes that each process has its
own core, that the all-reduce does not overlap with anything, and that products are as fast on small batches as on large
ones.
"""

import json
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.epoch import TOLERANCE, Run, run_backend, with_data
from benchmarks.measuring import Options, alternating, ratios, require_close, run_command, watched_rounds
from benchmarks.report import Report
from benchmarks.step import SIZES

GRADIENT = sum(size_in * size_out + size_out for size_in, size_out in pairwise(SIZES))  # 669,706 numbers
BYTES = 4 * GRADIENT
IMAGES = 60_000
PREDICTED = (1, 2, 4, 8)


def launcher(processes: int) -> tuple[str, ...]:
    """The arguments of `python -m` that start a module in this many processes."""
    return ("torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))


def counts(options: Options) -> list[int]:
    """The numbers of processes to measure; always includes one."""
    return sorted({1, *options.processes})


def threads(options: Options) -> int:
    """Threads of each process, the same for any number of processes."""
    return max(1, options.threads // max(counts(options)))


def batch_size(options: Options) -> int:
    """Images of a step, over all processes; with --quick more, and so fewer steps."""
    return 512 if options.quick else 64


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {
        "processes": counts(options),
        "threads of a process": threads(options),
        "epochs": options.epochs,
        "batch size": batch_size(options),
    }


def step_model(processes: int, compute: float, latency: float, bandwidth: float, size: float = BYTES) -> float:
    """Seconds of a step in this many processes, by the formula at the top of the file."""
    if processes == 1:
        return compute
    return compute / processes + latency + 2 * (processes - 1) / processes * size / bandwidth


def fitted(one: float, gradient: float, size: float = BYTES) -> tuple[float, float]:
    """Latency in s and bandwidth in bytes/s, from the seconds of two all-reduces between two processes."""
    return one, size / max(gradient - one, 1e-9)


def measure(options: Options, report: Report) -> None:
    """Run all alternately, compare their losses, then add the seconds of an epoch and the model's prediction."""
    runs: dict[int, list[Run]] = {processes: [] for processes in counts(options)}
    reduces: list[tuple[float, float]] = []
    how = ["--device", "cpu", "--batch-size", str(batch_size(options))]
    steps = math.ceil(IMAGES / batch_size(options))
    with tempfile.TemporaryDirectory() as name:
        folder = with_data(Path(name))
        for number in watched_rounds(options, report):
            for processes in alternating(list(runs), number):
                run = run_backend(options, folder, *how, launcher=launcher(processes), threads=threads(options))
                runs[processes].append(run)
            losses = {f"{processes} processes": done[-1].losses for processes, done in runs.items()}
            require_close("data-parallel training", losses, TOLERANCE)
            command = ["-m", *launcher(2), "-m", "benchmarks.programs.allreduce", str(GRADIENT)]
            measured = json.loads(run_command(command, threads=threads(options), folder=folder)[0])
            reduces.append(fitted(measured["one"], measured["gradient"]))
    seconds = {processes: [float(np.mean(run.epochs)) for run in done] for processes, done in runs.items()}
    case = "seconds of an epoch"
    for processes, values in seconds.items():
        report.add(case, "processes", "measured", "s", values, processes)
    model = {
        processes: [
            steps * step_model(processes, epoch / steps, *reduce)
            for epoch, reduce in zip(seconds[1], reduces, strict=True)
        ]
        for processes in PREDICTED
    }
    for processes, values in model.items():
        report.add(case, "processes", "the model", "s", values, processes)
    for processes, values in seconds.items():
        if processes > 1:
            report.add(
                case,
                f"speed of {processes} processes: 1 process / {processes}",
                "",
                "times",
                ratios(seconds[1], values),
            )
        if processes > 1 and processes in model:
            report.add(
                case, f"the model / measured, {processes} processes", "", "times", ratios(model[processes], values)
            )
    report.add(case, "latency of an all-reduce", "", "ms", [1e3 * latency for latency, _ in reduces])
    report.add(case, "bandwidth of an all-reduce", "", "GB/s", [bandwidth / 1e9 for _, bandwidth in reduces])
    report.notes += [
        f"Epochs per run: {options.epochs}, train and test, batch {batch_size(options)} over all processes. "
        f"Threads per process: {threads(options)}. Losses equal within {TOLERANCE:g}.",
        "The model is calculated, not measured: a step in N processes takes compute / N + latency + "
        f"2 (N - 1) / N · {BYTES:,} bytes / bandwidth, with one core for each process.",
    ]
