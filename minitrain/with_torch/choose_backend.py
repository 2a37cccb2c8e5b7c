"""From a configuration to the backend that computes it; torch is imported only if the configuration needs it."""

from minitrain.runs.backend import Backend
from minitrain.runs.config import Config, ConfigError
from minitrain.with_torch.installed import require_torch
from minitrain.with_torch.torchrun import world_size


def choose_backend(config: Config) -> Backend:
    """The configured backend. Raises ConfigError if torch or the device is not available."""
    if config.backend == "torch":
        require_torch("--backend torch")
        from minitrain.with_torch.backend import TorchBackend

        return TorchBackend(config)
    if world_size() > 1:
        raise ConfigError("torchrun started several processes, but NumPy trains in one; add --backend torch")
    return Backend()
