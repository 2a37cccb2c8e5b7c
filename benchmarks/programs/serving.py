"""How a measured process answers: requests come as lines of JSON, and so go the answers."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any


def threads() -> int:
    """How many threads this process was given, for libraries that want to be told."""
    return int(os.environ["OMP_NUM_THREADS"])


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each request until there are no more. What libraries print goes to stderr, not among the answers."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            out.write(json.dumps(answer(json.loads(line))) + "\n")
            out.flush()


def time_calls(call: Callable[[], object], seconds: float) -> float:
    """The median time of a call, in seconds: of as many as so many seconds take, but five at least."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
