"""How things are measured: each contender in processes of its own, in turn, with equal threads; medians of ratios."""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Source text: a measured process prints its peak memory in MB. Linux's ru_maxrss would count the parent's, too.
PEAK_MEMORY = """
def peak_memory():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        import resource, sys
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
"""


def run_python(program: str, *, threads: int, folder: Path) -> tuple[str, str]:
    """Run a program in a new process with so many BLAS threads; returns what it printed on stdout and stderr."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's imports are compiled once
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"a measured process failed:\n{result.stderr}")
    return result.stdout, result.stderr


def spread(values: Sequence[float]) -> str:
    """The median and, of more than one value, the quartiles."""
    if len(values) == 1:
        return f"{values[0]:.3f} (n = 1)"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3f} [{low:.3f} to {high:.3f}] (n = {len(values)})"


def machine(threads: int) -> str:
    """The processor, the threads and the versions, in one line."""
    from importlib.metadata import version

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    versions = ", ".join(f"{package} {version(package)}" for package in ("minitrain", "numpy", "torch"))
    return f"{name}, {os.cpu_count()} CPUs, {threads} threads each; Python {platform.python_version()}, {versions}"
