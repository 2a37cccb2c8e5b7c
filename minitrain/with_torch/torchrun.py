"""What torchrun passes to the processes that it starts, read from the environment without importing torch."""

import os
from pathlib import Path

from minitrain.runs.resume_command import launch, of_launch


def world_size() -> int:
    """The number of processes that train together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def restart_count() -> int:
    """How often torchrun has restarted the processes (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def earlier_attempt(out: str | None, dataset: str) -> Path | None:
    """The run that torchrun is restarting; None in a first attempt, or if the run had not written anything yet."""
    started_by = launch()
    return None if started_by is None or restart_count() == 0 else of_launch(started_by, out, dataset)
