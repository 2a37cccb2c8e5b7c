"""Which backend a configuration asks for, and whether it can be had here; torch is imported only where it is."""

import os
from importlib.util import find_spec

from minitrain.training.backend import Backend
from minitrain.training.config import Config, ConfigError


def require_torch(what: str) -> None:
    """Raise ConfigError, with the line that installs it, if torch is not there; `what` needs it."""
    if find_spec("torch") is None:
        raise ConfigError(f'{what} needs torch, which is not installed: pip install -e ".[torch]"')


def choose_backend(config: Config) -> Backend:
    """The configured backend. Raises ConfigError if torch, or the device, is not there."""
    if config.backend == "torch":
        require_torch("--backend torch")
        from minitrain.accelerated.backend import TorchBackend

        return TorchBackend(config)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("torchrun has started several processes, but NumPy trains in one; add --backend torch")
    return Backend()
