"""What an import costs, in time and in memory: nothing, NumPy, minitrain, torch."""

import tempfile
from pathlib import Path

from benchmarks.measuring import PEAK_MEMORY, run_python, spread

_PROGRAM = """
import time
begin = time.perf_counter()
{statement}
print(time.perf_counter() - begin, peak_memory())
"""


def main(rounds: int, threads: int) -> None:
    """Run all in turn, round after round, after one that does not count."""
    statements = ("pass", "import numpy", "import minitrain", "import torch")
    seconds: dict[str, list[float]] = {statement: [] for statement in statements}
    peaks: dict[str, list[float]] = {statement: [] for statement in statements}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for statement in statements:
                program = PEAK_MEMORY + _PROGRAM.format(statement=statement)
                took, peak = map(float, run_python(program, threads=threads, folder=Path(folder))[0].split())
                if number:
                    seconds[statement].append(took)
                    peaks[statement].append(peak)
    for statement in statements:
        print(f"  {statement:<18} seconds {spread(seconds[statement])}, memory {spread(peaks[statement])} MB")
    extra = [mine - numpys for mine, numpys in zip(seconds["import minitrain"], seconds["import numpy"], strict=True)]
    print(f"  minitrain beyond numpy: {spread(extra)} seconds")
