"""What a run's bits depend on besides its configuration: versions, the CPU, the BLAS and its threads."""

from __future__ import annotations

import contextlib
import os
import platform
import reprlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
KERNELS = ("OPENBLAS_CORETYPE", "MKL_CBWR", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
_LONGEST = 120  # characters of a value that differences() shows


class Blas(NamedTuple):
    """NumPy's library for matrix products.

    kernels: the processor that its code is made for, "" if unknown. threads: None if unknown.
    """

    name: str
    version: str
    kernels: str
    threads: int | None


def numpy_blas() -> Blas:
    """The BLAS that NumPy was built with, and how it runs now."""
    import threadpoolctl  # type: ignore[import-untyped]  # here, so that importing minitrain costs little

    built: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    blas = built.get("Build Dependencies", {}).get("blas", {})
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    pools.sort(key=lambda pool: "numpy" not in pool["filepath"])  # scipy or torch may have loaded another
    pool = pools[0] if pools else {}
    return Blas(
        str(blas.get("name", "?")),
        str(blas.get("version", "")),
        str(pool.get("architecture", "")),
        pool.get("num_threads"),
    )


def cpus() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(backend_versions: Mapping[str, str | int]) -> dict[str, str | int]:
    """All that a run's bits depend on in this process, by readable names; environment variables only if they are set.

    backend_versions: what the backend adds, as Backend.versions() returns it.
    """
    blas = numpy_blas()
    facts: dict[str, str | int] = {
        "minitrain": metadata.version("minitrain"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": " ".join(part for part in (platform.system(), platform.machine(), *platform.libc_ver()) if part),
        "CPU": _cpu_model(),
        "NumPy's CPU features": _cpu_features(),
        "BLAS": f"{blas.name} {blas.version}".strip(),
    }
    if blas.kernels:
        facts["BLAS kernels"] = blas.kernels
    if blas.threads is not None:
        facts["BLAS threads"] = blas.threads
    facts |= {name: os.environ[name] for name in (*THREADS, *KERNELS) if name in os.environ}
    return {**facts, **backend_versions}


def _cpu_model() -> str:
    """The processor's name, as far as the system knows it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "?"


def _cpu_features() -> str:
    """The processor's instruction sets that NumPy's own loops use here, for example in exp."""
    built: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    simd = built.get("SIMD Extensions", {})
    return " ".join([*simd.get("baseline", []), *simd.get("found", [])]) or "?"


def differences(then: object, now: Mapping[str, str | int]) -> list[str]:
    """Where two descriptions differ, a line for each, such as "BLAS threads: 2 then, 1 now"; [] if nowhere.

    then: what describe() returned earlier, as read from a file; it may be anything. now: what it returns now.
    """
    if not isinstance(then, Mapping):
        return [f"the environment: {_shown(then)} then, which is not a description of one"]
    lines, nothing = [], object()
    for name in [*now, *(name for name in then if name not in now)]:
        values = before, after = then.get(name, nothing), now.get(name, nothing)
        if type(before) is not type(after) or before != after:
            texts = ["nothing" if value is nothing else _shown(value) for value in values]
            if texts[0] == texts[1]:  # text and a number, or long texts that differ near their ends
                texts = [*map(reprlib.repr, values)]
            lines.append(f"{_shown(name)}: {texts[0]} then, {texts[1]} now")
    return lines


def _shown(value: object) -> str:
    """A value on one short line, without characters that a terminal would obey."""
    if not isinstance(value, str):
        return reprlib.repr(value)
    if len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}..."
    return value if value and value.isprintable() else repr(value)
