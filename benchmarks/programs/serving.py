"""How a measured process answers requests: both are lines of JSON."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any


def threads() -> int:
    """The number of threads of this process, for libraries that do not read the environment."""
    return int(os.environ["OMP_NUM_THREADS"])


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each request until there are no more. What libraries print goes to stderr, away from the answers."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            out.write(json.dumps(answer(json.loads(line))) + "\n")
            out.flush()


def time_calls(call: Callable[[], object], seconds: float, least: int = 5) -> float:
    """The median seconds of a call, repeated for this many seconds, but at least so many times."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def own_memory() -> float:
    """MB of this process's own memory, without pages of files, which the system can evict; 0 if it is unknown."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024
    except OSError:
        return 0.0
