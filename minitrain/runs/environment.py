"""What the bits of a run depend on besides its configuration: versions, the CPU, the BLAS and its threads."""

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
    """NumPy's library of matrix products.

    kernels: the processor that its code was written for, "" if it does not tell. threads: None if it does not tell.
    """

    name: str
    version: str
    kernels: str
    threads: int | None


def numpy_blas() -> Blas:
    """What NumPy was built with, and how that runs now."""
    import threadpoolctl  # type: ignore[import-untyped]  # here, since importing minitrain should cost little

    built: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    blas = built.get("Build Dependencies", {}).get("blas", {})
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    pools.sort(key=lambda pool: "numpy" not in pool["filepath"])  # scipy or torch may have brought another
    pool = pools[0] if pools else {}
    return Blas(
        str(blas.get("name", "?")),
        str(blas.get("version", "")),
        str(pool.get("architecture", "")),
        pool.get("num_threads"),
    )


def describe(backend_versions: Mapping[str, str | int]) -> dict[str, str | int]:
    """All that the bits of a run depend on here and now, by names that a person can read.

    backend_versions: what the backend adds, as Backend.versions() gives it.
    Of the environment's variables, those that are set are there under their own names.
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
    """The processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "?"


def _cpu_features() -> str:
    """The processor's instructions that NumPy's own loops use here, such as those of exp."""
    built: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    simd = built.get("SIMD Extensions", {})
    return " ".join([*simd.get("baseline", []), *simd.get("found", [])]) or "?"


def differences(then: object, now: Mapping[str, str | int]) -> list[str]:
    """Where two descriptions differ, a line for each, such as "BLAS threads: 2 then, 1 now"; [] if nowhere.

    then: what a file says that describe() gave, which may be anything. now: what describe() gives.
    """
    if not isinstance(then, Mapping):
        return [f"the environment: {_shown(then)} then, which is no description of one"]
    lines = []
    for name in [*now, *(name for name in then if name not in now)]:
        before, after = (facts[name] if name in facts else _Nothing() for facts in (then, now))
        if type(before) is not type(after) or before != after:
            shown = [_shown(before), _shown(after)]
            if shown[0] == shown[1]:  # text and a number, or a text whose end alone differs
                shown = [reprlib.repr(before), reprlib.repr(after)]
            lines.append(f"{_shown(name)}: {shown[0]} then, {shown[1]} now")
    return lines


class _Nothing:
    """Stands for what one of two descriptions does not hold."""


def _shown(value: object) -> str:
    """On one line, of a length that a line may have, without a character that a terminal would obey."""
    if isinstance(value, _Nothing):
        return "nothing"
    if not isinstance(value, str):
        return reprlib.repr(value)
    if len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}..."
    return value if value and value.isprintable() else repr(value)
