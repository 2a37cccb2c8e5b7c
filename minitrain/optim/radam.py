"""RAdam: Adam that takes plain momentum steps until its average of squares can be relied on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class RAdam(Optimizer):
    """Adam that divides by the root mean square only once it rests on enough gradients: a warm-up without options.

        g               = grad + weight_decay · param                          (-grad with maximize)
        exp_avg         = exp_avg + (1 - beta1) · (g - exp_avg)
        exp_avg_sq      = beta2 · exp_avg_sq + (1 - beta2) · g²
        bias_correction = 1 - beta ^ step                                      (1: of beta1, 2: of beta2)
        rho_inf         = 2 / (1 - beta2) - 1
        rho             = rho_inf - 2 · step · beta2 ^ step / bias_correction2
        rect            = √((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
        adaptive        = rect · √bias_correction2 / (√exp_avg_sq + eps)       (1 while rho <= 5)
        param          -= lr · exp_avg / bias_correction1 · adaptive

    rho is the number of gradients that the average of squares rests on, rho_inf its limit: above 5 from step 6 on
    with the default betas. With decoupled_weight_decay the decay is AdamW's.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", arXiv:1908.03265, algorithm 2.
    As torch's: eps, and 5 as the limit, where the paper has 4.

    Raises TypeError for a hyperparameter that is no number, ValueError for a negative one, a nan, or a beta from 1 up;
    and whatever Optimizer raises.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
        beta1, beta2 = options["betas"]
        step_array = _buffer(state, "step", STEP_0)
        step_array += 1
        step = step_array.item()
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0 and options["decoupled_weight_decay"]:
            param *= 1 - lr * weight_decay
        elif weight_decay != 0:
            grad = grad + weight_decay * param

        # Adam's average in torch's form. An infinite gradient shows the difference: here nothing divides it away.
        exp_avg = _buffer(state, "exp_avg", param)
        exp_avg += (1 - beta1) * (grad - exp_avg)
        # exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · grad²
        exp_avg_sq = _buffer(state, "exp_avg_sq", param)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * grad * grad

        bias_correction1, bias_correction2 = 1 - beta1**step, 1 - beta2**step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / bias_correction2
        move = lr / bias_correction1 * exp_avg
        if rho > 5:
            rect = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            move *= rect * math.sqrt(bias_correction2) / (np.sqrt(exp_avg_sq) + eps)
        param -= move
