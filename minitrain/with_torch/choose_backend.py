"""Which backend a configuration asks for, and whether it can be had here; torch is imported only where it is."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from minitrain.runs.backend import Backend
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.resume_command import launch, of_launch
from minitrain.runs.run_files import check_not_of_a_run


def require_torch(what: str) -> None:
    """Raise ConfigError, with the line that installs it, if torch cannot be imported; `what` needs it."""
    if find_spec("torch") is None:
        raise ConfigError(f'{what} needs torch, which is not installed: pip install -e ".[torch]"')
    try:
        import torch  # noqa: F401
    except Exception as error:
        raise ConfigError(f"{what} needs torch, whose import fails: {error}; `minitrain doctor` tells more") from error


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would use for a CPU, CXX or the usual one; None if it is not there."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)


def check_writable(path: str, option: str) -> None:
    """Raise ConfigError, before a long computation, if no file could be written at path, which an option has named."""
    file = Path(path)
    if not path or file.is_dir():
        raise ConfigError(f"{option} must name a file, but got {path!r}")
    check_not_of_a_run(file)
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"there is no directory {folder} for {option} {path}; make it first")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written: no permission; choose another {option}")


def choose_backend(config: Config) -> Backend:
    """The configured backend. Raises ConfigError if torch, or the device, is not there."""
    if config.backend == "torch":
        require_torch("--backend torch")
        from minitrain.with_torch.backend import TorchBackend

        return TorchBackend(config)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("torchrun has started several processes, but NumPy trains in one; add --backend torch")
    return Backend()


def earlier_attempt(out: str | None, dataset: str) -> Path | None:
    """The run that torchrun starts again (--max-restarts), if one of its processes had ended; None if it is the first.

    A run that had not begun to write is begun.
    """
    started_by = launch()
    if started_by is None or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) == 0:
        return None
    return of_launch(started_by, out, dataset)
