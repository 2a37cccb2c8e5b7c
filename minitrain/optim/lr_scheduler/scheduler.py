"""LRScheduler: the base of all schedulers, which counts the steps and writes each group's new learning rate."""

from __future__ import annotations

import warnings
from typing import Any

from minitrain.optim.kinds import SCHEDULERS, check_kind
from minitrain.optim.optimizer import Optimizer
from minitrain.torchlike.not_offered import ChecksKeywords


def _note_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    optimizer._opt_called = True


class LRScheduler(ChecksKeywords):
    """Sets the learning rate of each group of an optimizer, at its creation and at each step().

    last_epoch: the number of steps done, -1 for a new training. To resume one, load both state_dicts instead; a
        last_epoch from 0 up needs groups that have an "initial_lr".

    A rule of your own is a subclass with a `get_lr`: the new rates, a list with one for each group, from last_epoch,
    base_lrs (the initial rates) and optimizer.param_groups.

    Raises TypeError for something other than an Optimizer, KeyError for a missing initial_lr.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    f"last_epoch >= 0: load the optimizer's state_dict first, or leave out last_epoch={last_epoch}."
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        if not hasattr(optimizer, "_opt_called"):
            optimizer._opt_called = False  # whether step() was called since
            optimizer.register_step_post_hook(_note_step)
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the first rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last step() has set."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The rate of each group at last_epoch; for step() only. Programs call get_last_lr()."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr: a subclass of LRScheduler must define it.")

    def step(self, epoch: int | None = None) -> None:
        """Count one more epoch (or batch), and set the new rates. Call it after optimizer.step().

        epoch: deprecated in torch, too: jump to it.
        """
        # A step() that a subclass of Optimizer has of its own is not counted.
        counts = type(self.optimizer).step is Optimizer.step
        if self._step_count == 1 and counts and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`; call them in the opposite order, or "
                "the first value of the learning rate schedule is skipped.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(
                "The epoch parameter in `scheduler.step()` is deprecated; call `scheduler.step()` after each epoch.",
                stacklevel=2,
            )
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of this one: by its closed form, if the rule has one."""
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed_form = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            self._set(self.get_lr() if closed_form is None else closed_form())
        finally:
            self._get_lr_called_within_step = False

    def _set(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr: list[float] = current_lrs(self.optimizer)

    def _warn_outside_of_step(self) -> None:
        """get_lr computes the next rates from the current ones, so that it gives a wrong answer outside of step()."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", stacklevel=3
            )

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to resume, without the optimizer, which has a state_dict of its own."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another scheduler of this class was, minitrain's or torch's; load the optimizer's, too.

        Raises ValueError for the state of another class.
        """
        self._check_state(state_dict)
        self._load_state(state_dict)

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        check_kind(self, vars(self).keys(), state_dict.keys(), SCHEDULERS)

    def _load_state(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


class Rule(LRScheduler):
    """A scheduler with one formula for all groups, in two forms: from the rate before, and closed."""

    def next_lr(self, lr: float, base_lr: float) -> float:
        """The rate at last_epoch, from the one before and the initial one."""
        raise NotImplementedError

    def closed_form(self, base_lr: float) -> float:
        """The rate at last_epoch, from the initial one."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """next_lr for each group."""
        self._warn_outside_of_step()
        lrs = current_lrs(self.optimizer)
        base_lrs = self.base_lrs + lrs[len(self.base_lrs) :]  # groups may have been added since
        return [self.next_lr(lr, base_lr) for lr, base_lr in zip(lrs, base_lrs, strict=True)]

    def _get_closed_form_lr(self) -> list[float]:
        return [self.closed_form(base_lr) for base_lr in self.base_lrs]


def current_lrs(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group."""
    return [group["lr"] for group in optimizer.param_groups]


def check_optimizer(optimizer: Any) -> Optimizer:
    """The argument itself. Raises TypeError if it is not one of minitrain's optimizers."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer; pass one of minitrain.optim's.")
    return optimizer


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A value for each group: those of a list, or the same for all. Raises ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, param_groups "
            f"has {groups}."
        )
    return list(value)


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Change a group's momentum, or beta1, which is Adam's."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
