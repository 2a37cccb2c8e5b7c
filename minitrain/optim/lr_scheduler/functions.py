"""Schedulers whose factor is a function of the epoch: LambdaLR and MultiplicativeLR."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from minitrain.optim.lr_scheduler.scheduler import LRScheduler, check_optimizer, current_lrs
from minitrain.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class _OfFunctions(LRScheduler):
    """lr_lambda: a function of the epoch for all groups, or a list with one for each.

    Their state is saved only if they are objects with a __call__, not for functions and lambdas.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        groups = len(check_optimizer(optimizer).param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}; give one for each group.")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As LRScheduler's; the functions as None, objects with a __call__ as their attributes."""
        states = [
            None if isinstance(function, types.FunctionType) else vars(function).copy() for function in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": states}

    def _load_state(self, state_dict: dict[str, Any]) -> None:
        """The functions stay, and get their attributes back."""
        super()._load_state({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, state in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if state is not None:
                vars(function).update(state)


class LambdaLR(_OfFunctions):
    """The initial rate times a function of the epoch: lr = base_lr · lr_lambda(epoch)."""

    def get_lr(self) -> list[float]:
        self._warn_outside_of_step()
        return [
            base_lr * function(self.last_epoch)
            for function, base_lr in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_OfFunctions):
    """The rate before times a function of the epoch: lr = base_lr · lr_lambda(1) · ... · lr_lambda(epoch)."""

    def get_lr(self) -> list[float]:
        self._warn_outside_of_step()
        lrs = current_lrs(self.optimizer)
        if self._is_initial:
            return lrs
        return [lr * function(self.last_epoch) for lr, function in zip(lrs, self.lr_lambdas, strict=True)]
