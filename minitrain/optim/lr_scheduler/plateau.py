"""ReduceLROnPlateau: the scheduler that looks at a metric, and reduces the rate when it stops improving."""

from __future__ import annotations

import math
import warnings
from typing import Any, SupportsFloat

from minitrain.optim.lr_scheduler.scheduler import LRScheduler, check_optimizer, current_lrs
from minitrain.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by factor after more than `patience` epochs without improvement: scheduler.step(loss).

    mode: "min" for a loss, "max" for an accuracy.
    threshold: how much better than the best so far counts; threshold_mode "rel": as a fraction of it, "abs": in itself.
    cooldown: epochs after a reduction in which nothing is counted.
    min_lr: a bound for all groups, or a list with one for each. eps: smaller reductions are not made.

    Raises ValueError for a factor from 1 up, an unknown mode, or a list of another length than the groups'.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"Factor should be < 1.0, but got {factor}.")
        self.factor, self.optimizer = factor, check_optimizer(optimizer)
        groups, given = len(optimizer.param_groups), isinstance(min_lr, list | tuple)
        self.default_min_lr = None if given else min_lr
        self.min_lrs: list[Any] = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise ValueError(f"expected {groups} min_lrs, got {len(self.min_lrs)}; give one for each group.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Choose min or max.")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Choose rel or abs.")
        self.patience, self.cooldown, self.eps, self.last_epoch = patience, cooldown, eps, 0
        self._last_lr = current_lrs(optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count this epoch's metric, a number or a Tensor of one, and reduce the rates if it is time to."""
        if epoch is not None:
            warnings.warn("The epoch parameter in `scheduler.step()` is deprecated; leave it out.", stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        current = float(metrics)
        self.num_bad_epochs += 1
        if self._is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = current_lrs(self.optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether the epochs after a reduction are not over."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        """Whether a metric is better than the best so far by more than the threshold."""
        sign = 1 if self.mode == "max" else -1
        margin = sign * self.threshold
        bound = best * (1.0 + margin) if self.threshold_mode == "rel" else best + margin
        return a > bound if self.mode == "max" else a < bound

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}): a group was added; append its bound "
                    "to `min_lrs`."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, min_lr in zip(groups, self.min_lrs, strict=True):
            lr = float(group["lr"])
            reduced = max(lr * self.factor, min_lr)
            if lr - reduced > self.eps:
                group["lr"] = reduced
