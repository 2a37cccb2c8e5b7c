"""Prints what the measurements depend on, as JSON: CPU, versions, and the BLAS of each side with its threads."""

import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import threadpoolctl

from benchmarks.programs.serving import threads

PACKAGES = ("minitrain", "numpy", "torch", "torchvision", "jax", "tinygrad", "autograd")


def cpu() -> str:
    """The CPU's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the installed packages."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def numpy_blas() -> str:
    """Name, version and build of NumPy's BLAS, its kernels, and its actual number of threads."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = " ".join(str(blas.get("openblas configuration") or f"{blas.get('name')} {blas.get('version')}").split())
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    kernels = " ".join(str(pool["architecture"]) for pool in pools if "architecture" in pool) or "unknown"
    chosen = ", forced by OPENBLAS_CORETYPE" if os.environ.get("OPENBLAS_CORETYPE") else ""
    threads_there = " ".join(str(pool["num_threads"]) for pool in pools) or "unknown"
    return f"{name}; kernels: {kernels}{chosen}; threads: {threads_there}"


def describe() -> dict[str, object]:
    """Everything that a report stores about the machine."""
    blas = numpy_blas()  # before torch loads its own
    import torch

    torch.set_num_threads(threads())
    config = torch.__config__.show()
    library = re.search(r"- (Intel\(R\) oneAPI Math Kernel Library Version \S+)", config)
    chosen = re.search(r"BLAS_INFO=(\w+)", config)
    torch_blas = library[1] if library else f"BLAS_INFO={chosen[1]}" if chosen else "unknown"
    capability = re.search(r"CPU capability usage: (\w+)", config)
    return {
        "cpu": cpu(),
        "cpus": os.cpu_count(),
        "threads": threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "blas": {
            "numpy": blas,
            "torch": f"{torch_blas}{f', {capability[1]}' if capability else ''}; threads: {torch.get_num_threads()}",
        },
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


if __name__ == "__main__":
    print(json.dumps(describe()))
