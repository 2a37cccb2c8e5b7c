"""Runs a program on torch and on minitrain, one after the other, and compares what the two print."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|\b(?:nan|inf)\b")
ROUNDING = 1e-3  # numbers that differ by less than this part of the larger are equal but for rounding
SMALLEST = 1e-2  # or of this, where both are smaller
# What differs by design, and is left out: the name of the operation that ran, where a class lives, and addresses.
LEFT_OUT = (
    (re.compile(r"grad_fn=<\w+>"), "grad_fn=<>"),
    (re.compile(r"\b(?:torch|torchvision|minitrain)\.(?:[a-z_]\w*\.)*(?=\w)"), ""),
    (re.compile(r"\b0x[0-9a-f]+"), "0x"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run: its output, exit status, wall time in seconds, and peak memory in bytes."""

    output: str
    errors: str
    status: int
    seconds: float
    peak: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Both runs, the first line that differs (its number from 1, torch's line, minitrain's), the worst difference.

    worst: of two numbers in the same place, relative to the larger, or to 0.01 where both are smaller.
    """

    torch: Outcome
    minitrain: Outcome
    first: tuple[int, str, str] | None
    worst: float

    @property
    def same(self) -> bool:
        """Whether the outputs are equal up to rounding, and both programs ended alike."""
        return self.first is None and self.torch.status == self.minitrain.status

    def __str__(self) -> str:
        rows = [("torch", self.torch), ("minitrain", self.minitrain)]
        lines = [f"{'':10}{'time':>9}{'memory':>12}  exit status"]
        lines += [f"{name:10}{run.seconds:>8.2f}s{run.peak / 1e6:>9.0f} MB  {run.status}" for name, run in rows]
        if self.first is not None:
            number, theirs, ours = self.first
            lines += [f"Line {number} differs:", f"  torch      {theirs}", f"  minitrain  {ours}"]
        elif self.same and self.worst == 0:
            lines.append("same output")
        elif self.same:
            lines.append("same output, up to rounding")
        if self.worst > 0:
            lines.append(f"The worst difference of two printed numbers is {self.worst:.2g} (relative).")
        for name, run in rows:
            if run.status and run.errors.strip():
                lines.append(f"{name} ended with: {run.errors.strip().splitlines()[-1]}")
        return "\n".join(lines)


def compare(path: Path, arguments: Sequence[str], *, threads: int | None = None) -> Comparison:
    """Run the program on both, each in a process of its own, in the same folder and with equal threads.

    threads: for each; as many as there are CPUs if None.
    """
    count = str(threads or os.cpu_count() or 1)
    torch, minitrain = (_run(path, arguments, on, count) for on in ("torch", "minitrain"))
    first, worst = difference(torch.output, minitrain.output)
    return Comparison(torch, minitrain, first, worst)


def _run(path: Path, arguments: Sequence[str], on: str, threads: str) -> Outcome:
    environment = os.environ | dict.fromkeys(THREADS, threads)
    command = [sys.executable, "-m", "minitrain", "run", "--on", on, str(path), *arguments]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        printed, told = (file.read().decode(errors="replace") for file in (output, errors))
        return Outcome(printed, told, process.returncode, seconds, peak)


def difference(theirs: str, ours: str) -> tuple[tuple[int, str, str] | None, float]:
    """The first line that differs by more than rounding, and the worst relative difference of numbers up to there."""
    worst = 0.0
    theirs, ours = (
        re.sub(r",\n +(?=grad_fn=<)", ", ", text) for text in (theirs, ours)
    )  # its length decides the place
    pairs = itertools.zip_longest(theirs.splitlines(), ours.splitlines(), fillvalue="(no such line)")
    for number, (a, b) in enumerate(pairs, start=1):
        apart = _line_difference(a, b)
        if apart > ROUNDING:
            return (number, a, b), max(worst, 0.0 if math.isinf(apart) else apart)
        worst = max(worst, apart)
    return None, worst


def _line_difference(a: str, b: str) -> float:
    """0 for equal lines, inf where more differs than numbers, else the worst relative difference of their numbers."""
    a, b = _without_names(a), _without_names(b)
    if a == b:
        return 0.0
    if [part.split() for part in NUMBER.split(a)] != [part.split() for part in NUMBER.split(b)]:
        return math.inf
    return max((_apart(x, y) for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)), default=0.0)


def _without_names(line: str) -> str:
    for pattern, left in LEFT_OUT:
        line = pattern.sub(left, line)
    return line.rstrip()


def _apart(x: str, y: str) -> float:
    a, b = float(x), float(y)
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    apart = abs(a - b) / max(abs(a), abs(b), SMALLEST)
    return apart if math.isfinite(apart) else math.inf
