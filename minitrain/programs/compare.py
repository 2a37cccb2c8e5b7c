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

from minitrain.programs.run import read_source
from minitrain.runs.environment import THREADS, cpus

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|\b(?:nan|inf)\b")
ROUNDING = 1e-3  # numbers that differ by less than this part of the larger are equal but for rounding
SMALLEST = 1e-2  # or of this, where both are smaller
# What differs by design, and is left out: the name of the operation that ran, where a class lives, and addresses.
LEFT_OUT = (
    (re.compile(r"grad_fn=<\w+>"), "grad_fn=<>"),
    (re.compile(r"\b(?:torch|torchvision|minitrain)\.(?:[a-z_]\w*\.)*(?=\w)"), ""),
    (re.compile(r"\b0x[0-9a-f]+"), "0x"),
)


# Beside some builds of torch, torchvision can only be imported with help. The rest of minitrain stays out of it.
TORCHVISION_FAILS = "operator torchvision::nms does not exist"
IMPORT_TORCHVISION = Path(__file__).parents[1] / "with_torch" / "import_torchvision.py"
WITH_HELP = """
import os, runpy, sys
_, helper, program = sys.argv[:3]
runpy.run_path(helper)["import_torchvision"]()
del sys.argv[:2]
sys.path[0] = os.path.dirname(os.path.realpath(program))
runpy.run_path(program, run_name="__main__")
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run: its output, exit status, wall time in seconds, and peak memory in bytes."""

    output: str
    errors: str
    status: int
    seconds: float
    peak: int

    @property
    def last_error(self) -> str:
        """The last line of its stderr."""
        return (self.errors.strip().splitlines() or [""])[-1]


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
        lines = [f"{'':10}{'time':>9}{'memory':>12}  exit status"]
        for name, run in (("torch", self.torch), ("minitrain", self.minitrain)):
            lines.append(f"{name:10}{run.seconds:>8.2f}s{run.peak / 1e6:>9.0f} MB  {run.status}")
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """What differs, or that nothing does, and how a failed program ended."""
        lines = []
        if self.first is not None:
            number, theirs, ours = self.first
            lines += [f"Line {number} differs:", f"  torch      {theirs}", f"  minitrain  {ours}"]
        elif self.same:
            rounding = ", up to rounding" if self.worst else ""
            failed = f", but both ended with status {self.torch.status}" if self.torch.status else ""
            lines.append(f"same output{rounding}{failed}")
        if self.worst > 0:
            lines.append(f"The worst difference of two printed numbers is {self.worst:.2g} (relative).")
        for name, run in (("torch", self.torch), ("minitrain", self.minitrain)):
            if run.status and run.last_error:
                lines.append(f"{name} ended with: {run.last_error}")
        return "\n".join(lines)


class Runner:
    """Runs programs on torch or on minitrain, each in a process of its own, and measures them.

    threads: for each process, in the variables that BLAS libraries read; as many as there are CPUs if None.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cpus()
        self._torch: list[str] = []  # what stands before the program

    def run(self, on: str, path: Path, arguments: Sequence[str] = ()) -> Outcome:
        """Run `minitrain run program.py`, or on "torch" `python program.py`, so that minitrain's import costs nothing.

        The program's stdin is empty. Ctrl-C ends the process.
        """
        before = self._torch if on == "torch" else ["-m", "minitrain", "run"]
        outcome = self._measure([sys.executable, *before, str(path), *arguments])
        if on == "torch" and not before and TORCHVISION_FAILS in outcome.errors:
            self._torch = ["-c", WITH_HELP, str(IMPORT_TORCHVISION)]
            return self.run(on, path, arguments)
        return outcome

    def _measure(self, command: list[str]) -> Outcome:
        environment = os.environ | dict.fromkeys(THREADS, str(self.threads))
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


def compare(path: Path, arguments: Sequence[str], runner: Runner) -> Comparison:
    """Run the program on both, one after the other in the same folder. Raises ProgramError if it cannot be read."""
    read_source(path)
    torch, minitrain = (runner.run(on, path, arguments) for on in ("torch", "minitrain"))
    first, worst = difference(torch.output, minitrain.output)
    return Comparison(torch, minitrain, first, worst)


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
