"""Two hypothesis profiles, one thread pool setting for every test, and the table of faults at the end.

`pytest` runs the derandomized profile: the same examples every time, and 30 of them, which catch all but a few of the
planted faults; what needs more says so. The thorough profile draws new examples: HYPOTHESIS_PROFILE=thorough pytest.
"""

import gc
import os

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
