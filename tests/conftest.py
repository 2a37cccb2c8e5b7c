"""Two hypothesis profiles, one thread pool setting for every test, a fixture, and the table of faults at the end.

`pytest` runs the derandomized profile: the same examples every time, and 30 of them, which catch all but a few of the
planted faults; what needs more says so. The thorough profile draws new examples: HYPOTHESIS_PROFILE=thorough pytest.
"""

import ast
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import fault_table

# Before NumPy is imported. A result then does not depend on how many cores there are, nor its time on who else is busy.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile(
    "ci", derandomize=True, max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every later garbage collection: torch alone is half a second."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which faults the tests caused, how often, and what was lost."""
    lines = fault_table.recorded()
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def parsing_one_at_a_time() -> Iterator[None]:
    """CPython 3.11's ast.parse fails now and then where several threads are at it."""
    lock, parse = threading.Lock(), ast.parse

    def parse_alone(*arguments: Any, **options: Any) -> Any:
        with lock:
            return parse(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ast, "parse", parse_alone)
        yield
