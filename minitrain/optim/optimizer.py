"""Optimizer: a step updates every parameter that has a gradient; each rule is a subclass with one method, update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.blocks import in_blocks
from minitrain.optim.param_groups import ParamGroups, State


class Optimizer(ParamGroups):
    """What all optimizers share. A training step is `loss.backward(); optimizer.step(); optimizer.zero_grad()`.

    params: Tensors, (name, Tensor) pairs, or groups: dicts with such a list under "params". A group can also hold
        options, which replace the defaults for this group. model.parameters() is the usual argument.
    defaults: the options of groups that do not set their own.
    switches: torch's foreach, fused, capturable and differentiable are accepted, but must not be True.

    param_groups is the list of groups with all their options. A change there takes effect at the next step
    (`optimizer.param_groups[0]["lr"] = 0.01`). state maps each parameter to its Tensors by name.
    To write your own optimizer, subclass this and define `update`.

    Raises TypeError if params is a single Tensor or a set (a set has no order), or contains something that is not a
    Tensor. Raises ValueError for an empty list, the result of an operation, a parameter in two groups, or a nan.
    """

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Discard the gradients; otherwise backward adds to them. With set_to_none=False, set them to 0.

        The two differ: step() skips a parameter without a gradient, but momentum keeps moving one with gradient 0.
        """
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.detach().zero_()

    @np.errstate(all="ignore")  # inf and nan appear silently, as in torch
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        closure: computes the loss again and calls backward. It runs first, and step returns its result.
        """
        loss = self._before_step(closure)
        update = in_blocks(self.update) if self._in_blocks else self.update
        for group in self.param_groups:
            # As Python numbers, which leave float32 arrays float32; a NumPy number would not.
            options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
            for param, grad in [(p, grad) for p in group["params"] if (grad := p.grad) is not None]:
                state = self.state.get(param, {})
                update(param.array, grad.array, state, options)
                if state:
                    self.state[param] = state
                param._version.number += 1  # it was written: a backward that still needs the old values raises
        self._after_step()
        return loss

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """Change one parameter's array in place; must not write into grad. options are those of its group."""
        raise NotImplementedError(f"{type(self).__name__} has no update: a subclass of Optimizer must define it.")
