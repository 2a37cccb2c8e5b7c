"""Adamax: Adam with the largest recent gradient in the place of the root mean square."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class Adamax(Optimizer):
    """Adam whose steps are divided by the largest recent gradient, slowly forgotten.

        g               = grad + weight_decay · param                          (-grad with maximize)
        exp_avg         = beta1 · exp_avg + (1 - beta1) · g
        exp_inf         = max(beta2 · exp_inf, |g| + eps)
        bias_correction = 1 - beta1 ^ step
        param          -= lr / bias_correction · exp_avg / exp_inf

    exp_inf is already as large as the first gradient after one step, and needs no correction.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, algorithm 2. As torch's: eps
    is added to |g|; the paper has none.

    Raises TypeError for a hyperparameter that is no number, ValueError for a negative one, a nan, or a beta from 1 up;
    and whatever Optimizer raises.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
        beta1, beta2 = options["betas"]
        step = _buffer(state, "step", STEP_0)
        step += 1
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0:
            grad = grad + weight_decay * param

        # exp_avg = beta1 · exp_avg + (1 - beta1) · grad
        exp_avg = _buffer(state, "exp_avg", param)
        exp_avg *= beta1
        exp_avg += (1 - beta1) * grad
        # exp_inf = max(beta2 · exp_inf, |grad| + eps)
        exp_inf = _buffer(state, "exp_inf", param)
        exp_inf *= beta2
        np.maximum(exp_inf, np.abs(grad) + eps, out=exp_inf)

        bias_correction = 1 - beta1 ** step.item()
        param -= lr / bias_correction * exp_avg / exp_inf
