"""torch.random: the seed and the state of the default generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from minitrain.creation import get_rng_state, set_rng_state
from minitrain.torchlike.not_offered import torch_names
from minitrain.torchlike.random import default_generator, initial_seed, manual_seed, seed

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

__getattr__, __dir__ = torch_names(__name__)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **options: Any) -> Iterator[None]:
    """Put the default generator's state back at the end of the with block, also after an error."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)
