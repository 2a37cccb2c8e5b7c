"""Whether torch and a C++ compiler are installed."""

import os
import shutil
import sys
from importlib.util import find_spec

from minitrain.runs.config import ConfigError


def require_installed_torch(what: str) -> None:
    """Raise ConfigError, with the remedy, unless torch is installed; imports nothing. what: the thing that needs it."""
    if find_spec("torch") is None:
        raise ConfigError(f'{what} needs torch, which is not installed: pip install -e ".[torch]"')


def require_torch(what: str) -> None:
    """Raise ConfigError, with the remedy, unless torch can be imported. what: the thing that needs it."""
    require_installed_torch(what)
    try:
        import torch  # noqa: F401
    except Exception as error:
        raise ConfigError(f"{what} needs torch, but its import fails: {error}; see `minitrain doctor`") from error


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU: CXX, or the system's usual one; None without one."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)
