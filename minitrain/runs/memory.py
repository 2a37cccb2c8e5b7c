"""How much memory a run takes, in proportion to its files: a configuration from a stranger may ask for any amount."""

from __future__ import annotations

from minitrain.runs.config import SAMPLES, Config
from minitrain.runs.run_files import RunError

USUAL = 2**27  # bytes that every run may take
TIMES = 50  # so many times the size of its weights, too, if a file has them
COPIES = 12  # of the weights: with gradients, an optimizer's state, and a checkpoint that is written and read back


def check_memory(config: Config, *, testing: bool = False, known: bool = True, large: bool = False) -> None:
    """Raise RunError if a run needs memory out of proportion to its files, before it is taken.

    testing: whether the model is only tested. known: whether a file has been found to hold as many weights as the
    configuration needs. large: whether the user allows any amount.
    """
    samples = min(config.batch_size, SAMPLES[config.dataset][int(testing)])
    needed = 4 * (COPIES * config.parameters + 3 * samples * sum(config.sizes))  # x, its gradient, one for an operation
    size = 4 * config.parameters if known else 0
    if needed > USUAL + TIMES * size and not large:
        files = f"its weights have {size / 1e6:,.1f} MB" if known else "it has no checkpoint that shows this size"
        raise RunError(
            f"with {config.parameters:,} weights and batches of {samples:,} samples, this run needs about "
            f"{needed / 1e6:,.0f} MB of memory, but {files}; if the run is yours, add --large"
        )
