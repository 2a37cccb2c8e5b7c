"""The tutorial's whole program: torch unchanged, fed from memory, compiled, and minitrain's two backends."""

import itertools
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import (
    PEAK_MEMORY,
    Options,
    alternating,
    ratios,
    require_close,
    run_command,
    run_python,
    watched_rounds,
)
from benchmarks.programs import tutorial
from benchmarks.report import Report
from minitrain.data import datasets
from minitrain.with_torch.installed import find_compiler

CASE = "the tutorial's program"
TOLERANCE = 2e-5
ROUNDING = 1e-6  # a printed loss has 6 digits

_EPOCHS_BEGIN = "for t in range(epochs):\n"
_EPOCH_ENDS = "    test_loop(test_dataloader, model, loss_fn)\n"
_LOADING = "for dataloader in (train_dataloader, test_dataloader):\n    for X, y in dataloader:\n        pass\n"


def timed(finish: str = "") -> dict[str, str]:
    """Changes that make the tutorial's program print the time of each epoch and of loading alone, and its memory.

    finish: a statement to run each time before the clock is read.
    """
    stamp = f'{finish}print("stamp", time.perf_counter(), file=sys.stderr)\n'
    peak = 'print("peak", peak_memory(), file=sys.stderr)\n'
    return {
        _EPOCHS_BEGIN: f"{PEAK_MEMORY}\nimport sys, time\n{stamp}{_EPOCHS_BEGIN}",
        _EPOCH_ENDS: f"{_EPOCH_ENDS}    {stamp}",
        'print("Done!")\n': f'print("Done!")\n{peak}{stamp}{_LOADING}{stamp}',
    }


_FROM_MEMORY = {
    "from torch.utils.data import DataLoader\n": "from benchmarks.programs.in_memory import DataLoader\n",
}
_COMPILED = {"model = NeuralNetwork()\n": "model = torch.compile(NeuralNetwork())\n"}

COMPILED = "torch compiled, from memory"
PROGRAMS: dict[str, tuple[str, Mapping[str, str]]] = {
    "torch": ("torch", {}),
    "torch from memory": ("torch", _FROM_MEMORY),
    COMPILED: ("torch", {**_FROM_MEMORY, **_COMPILED}),
    "minitrain": ("minitrain", {}),
}
BACKEND = "minitrain --backend torch"  # minitrain's own command
PARTS = [(("loading alone", who), ("first epoch", who)) for who in PROGRAMS]


@dataclass
class Run:
    """What one process measured: seconds of each epoch, of the whole program and of one pass without training, its peak
    memory in MB, and the losses that it printed or wrote."""

    epochs: list[float]
    losses: list[float]
    whole: float
    loading: float | None = None
    peak: float | None = None


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"epochs": options.epochs, "contenders": _contenders(options.quick)}


def _contenders(quick: bool) -> list[str]:
    """The contenders that can run here: torch.compile needs a C++ compiler. With --quick, only torch and minitrain."""
    if quick:
        return ["torch", "minitrain"]
    return [who for who in (*PROGRAMS, BACKEND) if who != COMPILED or find_compiler() is not None]


def with_data(folder: Path) -> Path:
    """A folder to run the programs in, with a copy of the data, because torchvision unpacks files in place."""
    datasets.verify()
    shutil.copytree(datasets.raw_folder(), folder / "data" / "FashionMNIST" / "raw")
    return folder


def run_tutorial(framework: str, changes: Mapping[str, str], options: Options, folder: Path, finish: str = "") -> Run:
    """Run the tutorial's program, changed and timed, in its own process."""
    began = time.perf_counter()
    program = tutorial(framework, epochs=options.epochs, changes={**changes, **timed(finish)})
    if framework == "torch":
        program = f"import torch\ntorch.set_num_threads({options.threads})\n{program}"
    log, stderr = run_python(program, threads=options.threads, folder=folder)
    whole = time.perf_counter() - began
    *stamps, loading_begins, loading_ends = (float(text) for text in re.findall(r"^stamp (\S+)$", stderr, re.MULTILINE))
    peak = re.search(r"^peak (\S+)$", stderr, re.MULTILINE)
    losses = [float(text) for text in re.findall(r"loss: +(\S+)", log)]
    loading = loading_ends - loading_begins
    epochs = [end - begin for begin, end in itertools.pairwise(stamps)]
    return Run(epochs, losses, whole - loading, loading, float(peak[1]) if peak else None)


def run_backend(
    options: Options, folder: Path, *arguments: str, launcher: tuple[str, ...] = (), threads: int = 0
) -> Run:
    """Run `minitrain train --backend torch`, and read the directory that it writes.

    launcher: arguments of `python -m` before minitrain, such as torch's launcher. threads: 0 for the options' number.
    """
    out = Path(tempfile.mkdtemp(dir=folder)) / "run"
    command = ["-m", *launcher, *(["-m"] if launcher else []), "minitrain", "train", "--backend", "torch"]
    command += ["--data-dir", str(folder / "data"), "--epochs", str(options.epochs), "--out", str(out), *arguments]
    began = time.perf_counter()
    run_command(command, threads=threads or options.threads, folder=folder)
    whole = time.perf_counter() - began
    steps = np.genfromtxt(out / "steps.csv", delimiter=",", names=True, ndmin=1)
    epochs = np.genfromtxt(out / "epochs.csv", delimiter=",", names=True, ndmin=1)
    losses: list[float] = []
    for row in epochs:  # in the order in which the tutorial prints them
        losses += [float(step["loss"]) for step in steps[steps["epoch"] == row["epoch"]] if step["batch"] % 100 == 0]
        losses.append(float(row["loss"]))
    return Run([float(row["seconds"]) for row in epochs], losses, whole)


def measure(options: Options, report: Report) -> None:
    """Run all alternately, compare their losses, then add times and memory."""
    runs: dict[str, list[Run]] = {who: [] for who in _contenders(options.quick)}
    if options.quick:
        report.notes.append("Left out to be quick: torch from memory, compiled, and as minitrain's backend.")
    elif COMPILED not in runs:
        report.notes.append(f"{COMPILED}: left out, because no C++ compiler was found (g++, or CXX).")
    with tempfile.TemporaryDirectory() as name:
        folder = with_data(Path(name))
        for number in watched_rounds(options, report):
            for who in alternating(list(runs), number):
                run = (
                    run_tutorial(*PROGRAMS[who], options, folder)
                    if who in PROGRAMS
                    else run_backend(options, folder, "--device", "cpu")
                )
                runs[who].append(run)
            require_close("the program", {who: done[-1].losses for who, done in runs.items()}, TOLERANCE + ROUNDING)
    for who, done in runs.items():
        report.add(CASE, "whole program", who, "s", [run.whole for run in done])
        report.add(CASE, "first epoch", who, "s", [run.epochs[0] for run in done])
        if options.epochs > 1:
            report.add(CASE, "later epochs, each", who, "s", [float(np.mean(run.epochs[1:])) for run in done])
        if done[0].loading is not None:
            report.add(CASE, "loading alone", who, "s", [run.loading or 0 for run in done])
        if done[0].peak is not None:
            report.add(CASE, "peak memory", who, "MB", [run.peak or 0 for run in done])
    for who, done in runs.items():
        if who != "minitrain":
            for what, seconds in (("epochs", lambda run: sum(run.epochs)), ("whole program", lambda run: run.whole)):
                values = ratios([seconds(run) for run in done], [seconds(run) for run in runs["minitrain"]])
                report.add(CASE, f"{what}: {who} / minitrain", "", "times", values)
    report.notes += [
        f"Epochs per process: {options.epochs}, train and test. All printed losses, in training and tests, are equal "
        f"within {TOLERANCE:g}. The whole program includes imports, reading files, and compilation, if any.",
        "Loading alone: another pass over training and test set without training, not part of the other times. "
        f"{BACKEND} does not report it.",
    ]
