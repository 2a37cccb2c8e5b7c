"""Optimizer: a step updates every parameter that has a gradient; each rule is a subclass with one method, update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.param_groups import ParamGroups, State
from minitrain.tensor import increment_version


class Optimizer(ParamGroups):
    """What all optimizers share. A training step is `loss.backward(); optimizer.step(); optimizer.zero_grad()`.

    params: Tensors, (name, Tensor) pairs, or groups: dicts with such a list under "params" and, beside it, options
        that hold for this group instead of the defaults. model.parameters() is the usual argument.
    defaults: the options of groups that give none of their own.
    switches: torch's foreach, fused, capturable and differentiable may be given, but not be True.

    param_groups is the list of groups, with all their options; a change there holds from the next step on
    (`optimizer.param_groups[0]["lr"] = 0.01`). state maps each parameter to its Tensors by name.
    A rule of your own is a subclass with an `update`.

    Raises TypeError for a Tensor instead of a list of them, a set (it has no order), or something in the list that
    is no Tensor; ValueError for an empty list, a Tensor that an operation made, a parameter in two groups, or a nan.
    """

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, which backward would otherwise add to; or set them to 0, which is not the same:
        step() leaves a parameter without gradient alone, but momentum goes on moving one whose gradient is 0."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        closure: computes the loss anew and calls backward; run first, and what it returns is returned.
        """
        loss = self._loss_of(closure)
        self._notify("before_step")
        with np.errstate(all="ignore"):  # inf and nan come silently, as in torch
            for group in self.param_groups:
                # As Python numbers, which leave float32 arrays float32; a NumPy number would not.
                options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
                grads = [(param, param.grad) for param in group["params"] if param.grad is not None]
                for param, grad in grads:
                    state = self.state.get(param) or {}
                    self.update(param.array, grad.array, state, options)
                    if state:
                        self.state[param] = state
                for param, _ in grads:
                    increment_version(param)
        self._notify("after_step")
        return loss

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """Change one parameter's array in place. grad is never written; options are those of its group."""
        raise NotImplementedError(f"{type(self).__name__} has no update: a subclass of Optimizer gives the rule.")
