"""A run's learning rate schedule: made from the configuration, stepped with the training, saved and resumed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from minitrain.runs.config import Config

# What a scheduler's steps change; all else comes from the configuration.
PROGRESS = ("last_epoch", "_step_count", "best", "num_bad_epochs")


def make_scheduler(config: Config, optimizer: Any, batches: int, lr_scheduler: Any) -> Any:
    """The configured scheduler, or None. batches: of an epoch. lr_scheduler: minitrain's module, or torch's."""
    if config.scheduler == "step":
        return lr_scheduler.StepLR(optimizer, config.step_size, config.gamma)
    if config.scheduler == "exponential":
        return lr_scheduler.ExponentialLR(optimizer, config.gamma)
    if config.scheduler == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    if config.scheduler == "onecycle":
        # Only the rate: the user's momentum stays, even if it is 0.
        return lr_scheduler.OneCycleLR(optimizer, config.lr, config.epochs * batches, cycle_momentum=False)
    if config.scheduler == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=config.gamma, patience=config.patience)
    return None


class Schedule:
    """Steps a scheduler, of either framework: onecycle's after each update, the others' after each epoch's test."""

    def __init__(self, config: Config, optimizer: Any, scheduler: Any) -> None:
        self._config, self._optimizer, self._scheduler = config, optimizer, scheduler
        if config.scheduler == "onecycle":
            optimizer.register_step_post_hook(lambda *_: self._step())

    def end_epoch(self, test_loss: float) -> None:
        """Set the rates of the next epoch."""
        if self._config.scheduler == "plateau":
            self._step(test_loss)
        elif self._config.scheduler not in ("none", "onecycle"):
            self._step()

    def _step(self, *metric: float) -> None:
        with warnings.catch_warnings():  # a scheduler that has just been loaded may miss the optimizer's steps
            warnings.simplefilter("ignore")
            self._scheduler.step(*metric)

    def state(self) -> dict[str, Any]:
        """What is needed to resume; {} without a scheduler."""
        if self._scheduler is None:
            return {}
        state = self._scheduler.state_dict()
        progress = {name: state[name] for name in PROGRESS if name in state}
        return {"lr": [group["lr"] for group in self._optimizer.param_groups], "progress": progress}

    def load(self, state: Mapping[str, Any], base_lr: float) -> None:
        """Resume from such a state; base_lr: the configured rate that it was saved with, which may have changed since.

        Raises ValueError, KeyError or TypeError for a state that does not fit.
        """
        if self._scheduler is None:
            return
        progress, lrs = state["progress"], [float(lr) for lr in state["lr"]]
        fresh = self._scheduler.state_dict()
        if progress.keys() != {name for name in PROGRESS if name in fresh} or not all(map(math.isfinite, lrs)):
            raise ValueError(f"its scheduler's state is not what {self._config.scheduler} has: {dict(state)}")
        if self._config.lr != base_lr:  # every rate of a schedule is proportional to the configured one
            lrs = [lr / base_lr * self._config.lr if base_lr else self._config.lr for lr in lrs]
        for group, lr in zip(self._optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._scheduler.load_state_dict({**fresh, **progress, "_last_lr": lrs})
