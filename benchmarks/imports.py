"""The cost of imports in time and memory: nothing, NumPy, minitrain, torch."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import PEAK_MEMORY, Options, alternating, run_python
from benchmarks.report import Report

STATEMENTS = ("pass", "import numpy", "import minitrain", "import torch")
_PROGRAM = """
import time
begin = time.perf_counter()
{statement}
print(time.perf_counter() - begin, peak_memory())
"""


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"statements": STATEMENTS}


def measure(options: Options, report: Report) -> None:
    """Run all alternately, after a warm-up round that does not count."""
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    peaks: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, options.rounds):
            for statement in alternating(STATEMENTS, number):
                program = PEAK_MEMORY + _PROGRAM.format(statement=statement)
                took, peak = map(float, run_python(program, threads=options.threads, folder=Path(folder))[0].split())
                if number >= 0:
                    seconds[statement].append(took)
                    peaks[statement].append(peak)
    for statement in STATEMENTS:
        report.add("import", "time", statement, "ms", [1e3 * t for t in seconds[statement]])
        report.add("import", "peak memory", statement, "MB", peaks[statement])
    extra = [
        1e3 * (mine - numpys) for mine, numpys in zip(seconds["import minitrain"], seconds["import numpy"], strict=True)
    ]
    report.add("import", "time: minitrain minus NumPy", "", "ms", extra)
