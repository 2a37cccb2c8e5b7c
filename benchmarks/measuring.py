"""How contenders are measured: each in its own process, alternating, with equal threads, after their losses agree."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report
from minitrain.programs.busy import busy, fixed_work, slowdowns
from minitrain.runs.environment import cpus

ROOT = Path(__file__).parent.parent
# Each numeric library reads a different variable; NPROC is JAX's, NUM_CPU_THREADS tinygrad's.
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NPROC", "NUM_CPU_THREADS"),
)

PAUSE = 0.1  # seconds: after a product, BLAS threads keep a CPU busy for a while, waiting for the next one

# Source text that lets a measured process print its peak memory in MB. Linux's ru_maxrss includes the parent's.
PEAK_MEMORY = """
def peak_memory():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        import resource, sys
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
"""


class MeasuringError(RuntimeError):
    """A measurement failed. The message says which, and what to do."""


class UnequalError(MeasuringError):
    """Contenders do not do the same work, so their times must not be compared."""


class NoGpuError(MeasuringError):
    """No GPU is available."""


@dataclass(frozen=True)
class Options:
    """What the command line can change.

    rounds: how often everything is started and measured.
    threads: threads for each contender.
    turn: seconds for which a contender runs before the next one does.
    turns: how often each contender is timed in a round, by the suites of steps.
    epochs: epochs of whole programs.
    batch_sizes, dtypes: for the step suite.
    processes: for the ddp suite.
    limit: the memory limit of the scale suite, in MB.
    peers: in the step suite also measure a step written by hand in NumPy, JAX, tinygrad and HIPS autograd.
    quick: measure less, for a short try.
    """

    rounds: int = 5
    threads: int = field(default_factory=cpus)
    turn: float = 0.3
    turns: int = 3
    epochs: int = 2
    batch_sizes: tuple[int, ...] = (1, 8, 64, 512)
    dtypes: tuple[str, ...] = ("float32", "float64")
    processes: tuple[int, ...] = (1, 2)
    limit: int = 512
    peers: bool = False
    quick: bool = False


# --- processes --------------------------------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, str]:
    """This process's environment, with the thread count set for every library that reads it during its import."""
    variables = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": str(ROOT)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # measured imports are compiled already, as a user's are
    return variables


def run_command(arguments: Sequence[str], *, threads: int, folder: Path) -> tuple[str, str]:
    """Run Python with these arguments in a new process. Returns its stdout and stderr."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(threads),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise MeasuringError(f"a measured process failed:\n{result.stderr.strip()}")
    return result.stdout, result.stderr


def run_python(program: str, *, threads: int, folder: Path) -> tuple[str, str]:
    """Run a program, given as source text, in a new process. Returns its stdout and stderr."""
    return run_command(["-c", program], threads=threads, folder=folder)


class Worker:
    """A contender's process: a module of benchmarks.programs that answers requests one at a time, and sleeps otherwise.

    arguments: its command line. The end of a with statement ends the process.
    """

    def __init__(self, program: str, *arguments: str, threads: int) -> None:
        self._name = " ".join([program, *arguments])
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (__exit__ closes it)
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.programs.{program}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(threads),
            text=True,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer. Raises MeasuringError with the process's stderr if it ends instead."""
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise MeasuringError(f"the process of {self._name} failed:\n{self._errors.read().strip()}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def measure(self, do: str, **request: Any) -> dict[str, Any]:
        """ask, after a pause in which the threads of the previous contender go to sleep."""
        time.sleep(PAUSE)
        return self.ask(do, **request)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # without further requests the process ends
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


Contenders = Mapping[str, tuple[str, ...]]  # name -> program and arguments


@contextlib.contextmanager
def started(contenders: Contenders, threads: int) -> Iterator[dict[str, Worker]]:
    """A process for each contender, by its name."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Worker(*what, threads=threads)) for name, what in contenders.items()}


def alternating(names: Sequence[str], number: int) -> list[str]:
    """The order in a round: forward, then backward, so that no contender is always first."""
    return list(names) if number % 2 == 0 else list(reversed(names))


def watched_rounds(options: Options, report: Report) -> Iterator[int]:
    """The numbers of the rounds. Before each and after the last, fixed work shows how busy the machine is."""
    done = []
    for number in range(options.rounds + 1):
        time.sleep(PAUSE)
        done.append(fixed_work(options.threads))
        if number < options.rounds:
            _show(f"round {number + 1} of {options.rounds}")
            yield number
    _show("")
    report.slowdowns += slowdowns(done)


def wait_until_quiet(threads: int, seconds: float) -> None:
    """Return when fixed work shows that the machine is not busy, or after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and busy(slowdowns([fixed_work(threads) for _ in range(3)])):
        _show("waiting for a quiet moment")
        time.sleep(1)
    _show("")


def _show(progress: str) -> None:
    """Show it on a terminal, in place of what was shown before. At most 30 characters."""
    if sys.stderr.isatty():
        print(f"\r{progress:<30}\r", end="", file=sys.stderr, flush=True)


# --- comparisons ------------------------------------------------------------------------------------------------------


def require_equal(what: str, answers: Mapping[str, Mapping[str, Any]], tolerance: float) -> None:
    """Raise UnequalError unless all contenders have the same dtype and, within tolerance, the same losses.

    answers: for each contender, {"dtype": name, "losses": numbers}. All must agree with the first.
    """
    (first, expected), *others = answers.items()
    for who, answer in others:
        if answer["dtype"] != expected["dtype"]:
            raise UnequalError(
                f"not comparable: {what}: {who} computes in {answer['dtype']}, {first} in {expected['dtype']}"
            )
        require_close(what, {first: expected["losses"], who: answer["losses"]}, tolerance)


def require_close(what: str, numbers: Mapping[str, Sequence[float]], tolerance: float, name: str = "losses") -> None:
    """Raise UnequalError unless all have the same number of values, equal within tolerance at each position."""
    (first, expected), *others = numbers.items()
    for who, values in others:
        if len(values) != len(expected):
            raise UnequalError(
                f"not comparable: {what}: {who} has {len(values)} {name}, but {first} has {len(expected)}"
            )
        difference = float(np.abs(np.subtract(values, expected)).max(initial=0))
        if not difference <= tolerance:  # nan is not
            raise UnequalError(
                f"not comparable: {what}: the {name} of {who} differ from those of {first} by up to {difference:.2g}, "
                f"allowed: {tolerance:.2g}"
            )


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """slow / fast, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The p of the best fit y = c · x^p: the slope of a straight line through the logarithms."""
    return float(np.polyfit([math.log(value) for value in x], [math.log(value) for value in y], 1)[0])
