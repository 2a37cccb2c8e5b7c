"""Adadelta: RMSprop whose learning rate is the root mean square of its own recent updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class Adadelta(Optimizer):
    """RMSprop in which the root mean square of recent updates takes the learning rate's place.

        g          = grad + weight_decay · param                         (-grad with maximize)
        square_avg = rho · square_avg + (1 - rho) · g²
        delta      = √(acc_delta + eps) / √(square_avg + eps) · g
        acc_delta  = rho · acc_delta + (1 - rho) · delta²
        param     -= lr · delta

    So an update has the parameter's unit, whatever the loss's unit is. Both averages start at 0: the first step is
    about √(eps / (1 - rho)), and eps decides how fast the training starts.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701, algorithm 1. The factor lr is
    torch's.

    Raises TypeError for a hyperparameter that is no number, ValueError for a negative one, a nan, or a rho above 1;
    and whatever Optimizer raises.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        check_hyperparameters(defaults)
        if rho > 1:
            raise ValueError(f"Invalid rho value: {rho}, expected a number from 0 to 1")
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, rho, eps, weight_decay = (options[name] for name in ("lr", "rho", "eps", "weight_decay"))
        step = _buffer(state, "step", STEP_0)
        step += 1  # nothing here depends on it; torch counts, too
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0:
            grad = grad + weight_decay * param

        # square_avg = rho · square_avg + (1 - rho) · grad²
        square_avg = _buffer(state, "square_avg", param)
        square_avg *= rho
        square_avg += (1 - rho) * grad * grad

        acc_delta = _buffer(state, "acc_delta", param)
        delta = np.sqrt(acc_delta + eps) / np.sqrt(square_avg + eps) * grad
        # acc_delta = rho · acc_delta + (1 - rho) · delta²
        acc_delta *= rho
        acc_delta += (1 - rho) * delta * delta
        param -= lr * delta
