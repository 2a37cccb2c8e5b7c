"""Adagrad: SGD with steps divided by the root of all squared gradients so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class Adagrad(Optimizer):
    """SGD with each element's step divided by the root of the sum of all its squared gradients.

        g      = grad + weight_decay · param                        (-grad with maximize)
        sum    = sum + g²                                           (starts at initial_accumulator_value)
        clr    = lr / (1 + (step - 1) · lr_decay)
        param -= clr · g / (√sum + eps)

    The sum only grows, so the steps shrink for good: where RMSprop forgets old gradients, Adagrad does not.

    Source: Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR
    12, 2011. As torch's: eps is added to the root, and the state exists before the first step.

    Raises TypeError for a hyperparameter that is no number, ValueError for a negative one or a nan; and whatever
    Optimizer raises.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)
        for group in self.param_groups:
            for param in group["params"]:
                _buffer(self.state[param], "step", STEP_0)
                _buffer(self.state[param], "sum", param.array, initial_accumulator_value)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, lr_decay, eps, weight_decay = (options[name] for name in ("lr", "lr_decay", "eps", "weight_decay"))
        step = _buffer(state, "step", STEP_0)
        step += 1
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0:
            grad = grad + weight_decay * param

        total = _buffer(state, "sum", param, self.defaults["initial_accumulator_value"])
        total += grad * grad
        clr = lr / (1 + (step.item() - 1) * lr_decay)
        param -= clr * grad / (np.sqrt(total) + eps)
