"""What torchrun passes to the processes that it starts, read from the environment without importing torch."""

import contextlib
import os
from pathlib import Path

from minitrain.runs.config import ConfigError
from minitrain.runs.config_file import read_sessions
from minitrain.runs.resume_command import launch
from minitrain.runs.run_files import RunError


def world_size() -> int:
    """The number of processes that train together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def restart_count() -> int:
    """How often torchrun has restarted the processes (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def earlier_attempt(out: str | None, dataset: str) -> Path | None:
    """The run, in out or in runs/, that torchrun is restarting; None if no earlier attempt has written one."""
    started_by = launch()
    if started_by is None or restart_count() == 0:
        return None
    for path in [Path(out)] if out is not None else sorted(Path("runs").glob(f"{dataset}-*")):
        with contextlib.suppress(RunError, ConfigError):
            if any(session.get("launch") == started_by for session in read_sessions(path)):
                return path
    return None
