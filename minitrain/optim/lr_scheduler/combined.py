"""Schedulers made of others: one after the other (SequentialLR), or all at once (ChainedScheduler)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from minitrain.optim.lr_scheduler.plateau import ReduceLROnPlateau
from minitrain.optim.lr_scheduler.scheduler import LRScheduler, current_lrs
from minitrain.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """Holds schedulers of one optimizer, and saves their states with its own."""

    _schedulers: list[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
        """Their optimizer. Raises ValueError or TypeError for schedulers that cannot be combined."""
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{name} expects at least one scheduler, but got no scheduler.")
        optimizer = optimizer or schedulers[0].optimizer
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau`, whose step needs a metric, but got one at index "
                    f"{i}; step it on its own."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(scheduler).__name__} at index {i} of another one."
                )
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        """As LRScheduler's, with the state of each scheduler."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        super()._check_state(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler._check_state(state)

    def _load_state(self, state_dict: dict[str, Any]) -> None:
        super()._load_state({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler._load_state(state)


class SequentialLR(_Combined):
    """One scheduler after the other, each from its milestone on: a warm-up, then a decay.

    schedulers: of this optimizer. milestones: the epochs at which the second, the third, ... begin, at their epoch 0.
    Raises ValueError unless there is one milestone fewer than schedulers, and for schedulers of another optimizer.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._schedulers, self._milestones, self.optimizer = schedulers, milestones, optimizer
        self.last_epoch = last_epoch + 1
        # Each scheduler has set its first rates when it was made; undo that, and let the first one do it again.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _undo_first_step(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """The step of the scheduler whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo_first_step(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Combined):
        for inner in scheduler._schedulers:
            _undo_first_step(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Combined):
    """Several schedulers at once: each step is a step of all, so that their factors multiply.

    Raises ValueError for no schedulers, a ReduceLROnPlateau, or schedulers of several optimizers.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.optimizer = self._check(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._last_lr = current_lrs(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        """The step of each scheduler, in their order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = current_lrs(self.optimizer)
