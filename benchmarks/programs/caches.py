"""How much longer a core takes to write into memory that another core has just read.

If both cores share a cache, the difference is small. If they do not, as on chips with several dies, writing takes
several times as long. The hypervisor can move a virtual machine's cores apart, and together again, at any time. Weights
are such memory: all threads of a matrix product read them, then one thread updates them.
"""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.programs.serving import serve

ELEMENTS = 2**19  # 2 MB of float32
TIMES = 100


def pin(core: int) -> None:
    """Keep the calling thread on one core."""
    os.sched_setaffinity(0, {core})


def slowdown() -> float | None:
    """The median time to write memory that another core has read, over that of other memory. None if unknown."""
    if not hasattr(os, "sched_setaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        return None
    weights, change = np.zeros((2, ELEMENTS), np.float32)
    times: dict[bool, list[float]] = {False: [], True: []}
    with ThreadPoolExecutor(1, initializer=pin, initargs=(cores[1],)) as other:
        try:
            pin(cores[0])
            for i in range(2 * TIMES):
                read = i % 2 == 1
                other.submit(weights.max if read else int).result()
                began = time.perf_counter()
                np.subtract(weights, change, out=weights)
                times[read].append(time.perf_counter() - began)
        finally:
            os.sched_setaffinity(0, cores)
    return statistics.median(times[True]) / statistics.median(times[False])


def main() -> None:
    """Answer measure."""

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {"slowdown": slowdown()}

    serve(answer)


if __name__ == "__main__":
    main()
