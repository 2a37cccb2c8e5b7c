"""Times a program on torch and on minitrain in several rounds, after a first run on each has compared their outputs."""

from __future__ import annotations

import ast
import dataclasses
import math
import statistics
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from minitrain.programs.busy import busy, fixed_work, slowdowns
from minitrain.programs.compare import Comparison, Outcome, Runner, compare, difference
from minitrain.programs.finder import ROOTS
from minitrain.programs.run import read_source
from minitrain.runs.environment import cpus, describe
from minitrain.runs.messages import counted

SIDES = ("torch", "minitrain")
PAUSE = 0.1  # seconds: after a product, BLAS threads keep a CPU busy for a while, waiting for the next one
WIDTH = 60  # characters of a line
ENOUGH = 5  # rounds: the quartiles of fewer are rough


@dataclasses.dataclass(frozen=True)
class Round:
    """A run of the program on each side, and a run of its imports of torch alone: the start-up.

    The methods measure one side. They return nan if the run failed.
    """

    program: dict[str, Outcome]
    imports: dict[str, Outcome]

    def whole(self, side: str) -> float:
        """The wall time of the program, in seconds."""
        return self.program[side].seconds if self.program[side].status == 0 else math.nan

    def start(self, side: str) -> float:
        """The wall time of the start-up, in seconds."""
        return self.imports[side].seconds if self.imports[side].status == 0 else math.nan

    def rest(self, side: str) -> float:
        """The wall time of the program without the start-up of the same round, in seconds."""
        return self.whole(side) - self.start(side)

    def memory(self, side: str) -> float:
        """The peak memory of the program, in MB."""
        return self.program[side].peak / 1e6 if self.program[side].status == 0 else math.nan


@dataclasses.dataclass(frozen=True)
class Timing:
    """The comparison of the first runs, which warm up the disk's cache and are not timed, and the rounds.

    If a first run failed, there are no rounds.
    """

    comparison: Comparison
    rounds: Sequence[Round]
    slowdowns: Sequence[float] = ()  # of fixed work, before each round and after the last

    @property
    def same(self) -> bool:
        """Whether every run succeeded or failed alike, and printed the same up to rounding."""
        return self.comparison.same and not any(map(self.remarks, self.rounds))

    def remarks(self, ended: Round) -> list[str]:
        """What went otherwise in a round than in the first runs, a line each."""
        lines = []
        for side in SIDES:
            run = ended.program[side]
            if run.status:
                lines.append(f"{side} ended with status {run.status}, its time is left out: {run.last_error}")
            elif self._varied(side, ended):
                lines.append(f"{side} printed other output than in its first run")
        return lines

    def not_comparable(self) -> str:
        """Why no ratio is given; "" if one is."""
        varied = [side for side in SIDES if any(self._varied(side, ended) for ended in self.rounds)]
        if varied:
            where = " and on ".join(varied)
            return f"No ratio: the output on {where} differs from run to run.\nSet a seed, and do not print times."
        if not self.comparison.same:
            return "No ratio: the outputs differ, so the two may not do the same work."
        if why := busy(self.slowdowns):
            return textwrap.fill(f"No ratio: {why}. Measure again while nothing else runs.", WIDTH)
        return ""

    def _varied(self, side: str, ended: Round) -> bool:
        first, run = getattr(self.comparison, side), ended.program[side]
        return run.status == 0 and difference(first.output, run.output)[0] is not None

    def figures(self) -> dict[str, Any]:
        """The values of each round, for a JSON file; None for a failed run."""
        quantities = {"seconds": Round.whole, "start_up_seconds": Round.start, "peak_memory_mb": Round.memory}
        sides = {
            side: {
                name: [None if math.isnan(x := value(ended, side)) else x for ended in self.rounds]
                for name, value in quantities.items()
            }
            for side in SIDES
        }
        return {"same": self.same, "not_comparable": self.not_comparable(), "slowdowns": [*self.slowdowns], **sides}

    def __str__(self) -> str:
        if not self.rounds:
            return "Not timed: the program must end with status 0 on both."
        lines = ["Measured on a busy machine, so times are too long:"] if busy(self.slowdowns) else []
        lines += [f"{'':21}median [quartiles] of {counted(len(self.rounds), 'round')}"]
        lines += self._section("whole program, s", Round.whole, compared=True)
        lines += self._section("start-up, s (only the program's imports of torch)", Round.start)
        lines += self._section("without start-up, s", Round.rest, compared=True)
        lines += self._section("peak memory, MB", Round.memory)
        if 1 < len(self.rounds) < ENOUGH:
            lines.append(f"Quartiles of fewer than {ENOUGH} rounds are rough.")
        if why := self.not_comparable():
            lines.append(why)
        return "\n".join(lines)

    def _section(self, title: str, value: Callable[[Round, str], float], *, compared: bool = False) -> list[str]:
        """A title, a line for each side, and if compared one for the ratio within each round, and what it means."""
        pairs = [(value(ended, "torch"), value(ended, "minitrain")) for ended in self.rounds]
        lines = [title]
        for side, values in zip(SIDES, zip(*pairs, strict=True), strict=True):
            valid = [x for x in values if not math.isnan(x)]
            missing = f" ({counted(len(valid), 'run')})" if len(valid) < len(values) else ""
            lines.append(f"  {side:19}{_spread(valid)}{missing}")
        pairs = [pair for pair in pairs if not math.isnan(sum(pair))]
        if not compared or self.not_comparable() or not pairs:
            return lines
        if min(map(min, pairs)) <= 0:
            return [*lines, "  too short to be compared"]
        ratios = [theirs / ours for theirs, ours in pairs]
        return [*lines, f"  {'torch / minitrain':19}{_spread(ratios)}", f"  {_meaning(ratios)}"]


def repeat(
    path: Path, arguments: Sequence[str], runner: Runner, *, rounds: int, report: Callable[[str], object]
) -> Timing:
    """Compare the first runs on torch and on minitrain, then time the program on both in so many rounds.

    Each run has a process of its own. The order is reversed in every second round, and a pause before each run lets
    the threads of the previous one go to sleep. Fixed work before each round and after the last one shows whether the
    machine was busy; then no ratio is given. report is called with what is known: the comparison, then each round.
    Raises ProgramError if the program cannot be read.
    """
    timing = Timing(compare(path, arguments, runner), done := [])
    report(timing.comparison.verdict())
    if timing.comparison.torch.status or timing.comparison.minitrain.status:
        return timing
    with tempfile.TemporaryDirectory() as folder:
        imports = Path(folder) / "imports.py"
        imports.write_text(torch_imports(read_source(path)), encoding="utf-8")
        work = [fixed_work(runner.threads)]
        for number in range(rounds):
            ended = Round({}, {})
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                time.sleep(PAUSE)
                ended.imports[side] = runner.run(side, imports)
                time.sleep(PAUSE)
                ended.program[side] = runner.run(side, path, arguments)
            time.sleep(PAUSE)
            work.append(fixed_work(runner.threads))
            done.append(ended)
            times = ", ".join(f"{side} {ended.program[side].seconds:.2f} s" for side in SIDES)
            report("\n  ".join([f"round {number + 1} of {rounds}: {times}", *timing.remarks(ended)]))
    return dataclasses.replace(timing, slowdowns=slowdowns(work))


def torch_imports(source: bytes) -> str:
    """A program that only imports torch, and what the program imports from torch and torchvision at its top level."""
    lines = ["import torch"]
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        else:
            continue
        if all(name.partition(".")[0] in ROOTS for name in names):
            lines.append(ast.unparse(node))
    return "\n".join(lines) + "\n"


def machine(threads: int) -> str:
    """What the times depend on: the processor, the threads, and both libraries with their BLAS; imports torch."""
    from minitrain.with_torch.doctor import torch_blas

    facts = describe({})
    kernels = f", {facts['BLAS kernels']} kernels" if "BLAS kernels" in facts else ""
    blas, capability = torch_blas()
    return (
        f"{facts['CPU']}, {counted(cpus(), 'CPU')}, {counted(threads, 'thread')} for each\n"
        f"minitrain {facts['minitrain']}, NumPy {facts['numpy']}: {facts['BLAS']}{kernels}\n"
        f"torch {metadata.version('torch')}: {blas}, CPU capability {capability}"
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; all three are the value if there is only one."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, middle, high = map(_short, _quartiles(values))
    return middle if len(values) == 1 else f"{middle} [{low} to {high}]"


def _meaning(ratios: Sequence[float]) -> str:
    low, middle, high = _quartiles(ratios)
    if len(ratios) == 1:
        return "one round: the spread is unknown"
    if low <= 1 <= high:
        return "no difference beyond the spread"
    faster, times = ("minitrain", middle) if low > 1 else ("torch", 1 / middle)
    return f"{faster} is {_short(times)} times as fast"


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"
