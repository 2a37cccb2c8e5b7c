"""Training in one process and in two, data-parallel by torch's own means; and a model on paper of what more would do.

The model: a step in N processes takes compute / N + latency + 2 (N - 1) / N · bytes / bandwidth. compute is the step
in one process, latency the all-reduce of one number, and bandwidth what the all-reduce of a gradient of so many bytes
shows, both between two processes. It is a model, no measurement: it assumes a core of its own for each process, an
all-reduce that nothing hides, and products that are as fast on small batches as on large ones.
"""

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.epoch import TOLERANCE, Run, run_backend, with_data
from benchmarks.measuring import Options, in_turn, ratios, require_close, run_command
from benchmarks.report import Report
from benchmarks.step import SIZES

GRADIENT = sum(size_in * size_out + size_out for size_in, size_out in pairwise(SIZES))  # 669,706 numbers
BYTES = 4 * GRADIENT
STEPS = 938  # of an epoch
PREDICTED = (1, 2, 4, 8)


def launcher(processes: int) -> tuple[str, ...]:
    """What python -m runs to start a module in so many processes."""
    return ("torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))


def counts(options: Options) -> list[int]:
    """The numbers of processes, one always among them."""
    return sorted({1, *options.processes})


def threads(options: Options) -> int:
    """Of each process, the same whether it is alone or not."""
    return max(1, options.threads // max(counts(options)))


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"processes": counts(options), "threads of a process": threads(options), "epochs": options.epochs}


def step_model(processes: int, compute: float, latency: float, bandwidth: float, size: float = BYTES) -> float:
    """Seconds of a step in so many processes, by the formula in the file's head."""
    if processes == 1:
        return compute
    return compute / processes + latency + 2 * (processes - 1) / processes * size / bandwidth


def fitted(one: float, gradient: float, size: float = BYTES) -> tuple[float, float]:
    """Latency in s and bandwidth in bytes/s, of the seconds of two all-reduces between two processes."""
    return one, size / max(gradient - one, 1e-9)


def measure(options: Options, report: Report) -> None:
    """Run all in turn, compare their losses, then add the seconds of an epoch and what the model says."""
    runs: dict[int, list[Run]] = {processes: [] for processes in counts(options)}
    reduces: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = with_data(Path(name))
        for number in range(options.rounds):
            for processes in in_turn(list(runs), number):
                run = run_backend(
                    options, folder, "--device", "cpu", launcher=launcher(processes), threads=threads(options)
                )
                runs[processes].append(run)
            losses = {f"{processes} processes": done[-1].losses for processes, done in runs.items()}
            require_close("data-parallel training", losses, TOLERANCE)
            command = ["-m", *launcher(2), "-m", "benchmarks.programs.allreduce", str(GRADIENT)]
            told = json.loads(run_command(command, threads=threads(options), folder=folder)[0])
            reduces.append(fitted(told["one"], told["gradient"]))
    seconds = {processes: [float(np.mean(run.epochs)) for run in done] for processes, done in runs.items()}
    case = "seconds of an epoch"
    for processes, values in seconds.items():
        report.add(case, "processes", "measured", "s", values, processes)
    model = {
        processes: [
            STEPS * step_model(processes, epoch / STEPS, *reduce)
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
        f"Epochs in each run: {options.epochs}, train and test, batch 64 over all processes. Threads in each process: "
        f"{threads(options)}. Losses equal within {TOLERANCE:g}.",
        "The model is on paper, not measured: a step in N processes takes compute / N + latency + "
        f"2 (N - 1) / N · {BYTES:,} bytes / bandwidth, each process on a core of its own.",
    ]
