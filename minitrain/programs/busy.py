"""Whether the machine was busy while something was timed: fixed work between the measurements then takes longer."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from minitrain.runs.environment import cpus

BLOCK, BLOCKS = bytes(2**20), 32  # the fixed work: to hash these bytes, which takes some 30 ms
BUSY = 1.5  # the slowdown above which times mean nothing

Done = tuple[float, float]  # wall time of the slowest thread, least CPU time of a thread, in seconds


def fixed_work(threads: int) -> Done:
    """Do the same work on so many threads at once, but not on more than there are CPUs. Returns how long it took."""

    def work(_: int) -> Done:
        began, began_cpu = time.perf_counter(), time.thread_time()
        digest = hashlib.blake2b()
        for _ in range(BLOCKS):
            digest.update(BLOCK)  # other threads run meanwhile
        return time.perf_counter() - began, time.thread_time() - began_cpu

    threads = min(threads, cpus())
    with ThreadPoolExecutor(threads) as pool:
        seconds, cpu = zip(*pool.map(work, range(threads)), strict=True)
    return max(seconds), min(cpu)


def slowdowns(done: Sequence[Done]) -> list[float]:
    """How many times its best time the work took, each time.

    The best time is the least CPU time that it took: it does not grow while other processes use the CPU.
    """
    best = min(cpu for _, cpu in done)
    return [seconds / best for seconds, _ in done]


def busy(slowdowns: Sequence[float]) -> str:
    """In words, that the median of these is too large; "" if it is not."""
    slowdown = statistics.median(slowdowns) if slowdowns else 1.0
    return f"the machine was busy: fixed work took {slowdown:.1f} times its best time" if slowdown > BUSY else ""
