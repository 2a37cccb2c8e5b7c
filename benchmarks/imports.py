"""The cost of imports in time and memory: nothing, NumPy, minitrain, torch."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import PEAK_MEMORY, Options, alternating, run_python, watched_rounds
from benchmarks.report import Report

STATEMENTS = ("pass", "import numpy", "import minitrain", "import torch")
PARTS = [(("time", part), ("time", "import minitrain")) for part in ("pass", "import numpy")]
_PROGRAM = """
import time
begin = time.perf_counter()
{statement}
print(time.perf_counter() - begin, peak_memory())
"""


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"statements": STATEMENTS}


def _timed(statement: str, options: Options, folder: Path) -> tuple[float, float]:
    """The seconds that a statement takes in a new process, and its peak memory in MB."""
    program = PEAK_MEMORY + _PROGRAM.format(statement=statement)
    seconds, peak = map(float, run_python(program, threads=options.threads, folder=folder)[0].split())
    return seconds, peak


def measure(options: Options, report: Report) -> None:
    """Run all alternately, after a warm-up round that does not count."""
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    peaks: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for statement in STATEMENTS:  # a warm-up
            _timed(statement, options, Path(folder))
        for number in watched_rounds(options, report):
            for statement in alternating(STATEMENTS, number):
                took, peak = _timed(statement, options, Path(folder))
                seconds[statement].append(took)
                peaks[statement].append(peak)
    for statement in STATEMENTS:
        report.add("import", "time", statement, "ms", [1e3 * t for t in seconds[statement]])
        report.add("import", "peak memory", statement, "MB", peaks[statement])
    extra = [
        1e3 * (mine - numpys) for mine, numpys in zip(seconds["import minitrain"], seconds["import numpy"], strict=True)
    ]
    report.add("import", "time: minitrain minus NumPy", "", "ms", extra)
