"""The tutorial's program on a GPU: torch with .to(device), minitrain's torch backend, and the matrix products alone."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.epoch import ROUNDING, TOLERANCE, run_backend, run_tutorial, with_data
from benchmarks.measuring import NoGpuError, Options, alternating, ratios, require_close, run_command, watched_rounds
from benchmarks.report import Report

CASE = "the tutorial's program on the GPU"
SEED = "torch, .to(device)"
BACKEND = "minitrain --backend torch"
FLOOR = "products alone"
BACKEND_EPOCHS = 10  # its epochs are short
GOAL = 40

ON_GPU = {
    "model = NeuralNetwork()\n": 'model = NeuralNetwork().to("cuda")\n',
    "    for batch, (X, y) in enumerate(dataloader):\n": (
        '    for batch, (X, y) in enumerate(dataloader):\n        X, y = X.to("cuda"), y.to("cuda")\n'
    ),
    "        for X, y in dataloader:\n": (
        '        for X, y in dataloader:\n            X, y = X.to("cuda"), y.to("cuda")\n'
    ),
}


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared. The first epoch is a warm-up, so there are at least two."""
    return {"epochs": max(2, options.epochs), "epochs of the backend": BACKEND_EPOCHS}


def measure(options: Options, report: Report) -> None:
    """Run all alternately, compare their losses, then add the seconds of an epoch. Raises NoGpuError."""
    if report.machine["gpu"] is None:
        raise NoGpuError("no GPU here: torch does not see a CUDA device, so the gpu suite has nothing to measure")
    options = replace(options, epochs=max(2, options.epochs))
    longer = replace(options, epochs=max(BACKEND_EPOCHS, options.epochs))
    seconds: dict[str, list[float]] = {who: [] for who in (SEED, BACKEND, FLOOR)}
    with tempfile.TemporaryDirectory() as name:
        folder = with_data(Path(name))
        for number in watched_rounds(options, report):
            losses: dict[str, list[float]] = {}
            for who in alternating(list(seconds), number):
                if who == FLOOR:
                    command = ["-m", "benchmarks.programs.gpu_products"]
                    output = run_command(command, threads=options.threads, folder=folder)[0]
                    seconds[who].append(json.loads(output)["seconds"])
                    continue
                if who == SEED:
                    run = run_tutorial("torch", ON_GPU, options, folder, finish="torch.cuda.synchronize(); ")
                else:
                    run = run_backend(longer, folder, "--device", "cuda")
                losses[who] = run.losses
                seconds[who].append(float(np.mean(run.epochs[1:])))
            first_epochs = {who: losses[who][: len(losses[SEED])] for who in (SEED, BACKEND)}
            require_close("the program on the GPU", first_epochs, TOLERANCE + ROUNDING)
    for who, values in seconds.items():
        report.add(CASE, "an epoch", who, "s", values)
    report.add(
        CASE, f"an epoch: {SEED} / {BACKEND} (goal: {GOAL})", "", "times", ratios(seconds[SEED], seconds[BACKEND])
    )
    report.add(CASE, f"an epoch: {BACKEND} / {FLOOR}", "", "times", ratios(seconds[BACKEND], seconds[FLOOR]))
    report.notes.append(
        "An epoch after warm-up, float32: 60,000 training and 10,000 test images, batch 64. The clock is read after "
        f"the GPU has finished. Losses are equal within {TOLERANCE:g}. products alone: the matrix products of all "
        "these steps, captured in CUDA graphs."
    )
