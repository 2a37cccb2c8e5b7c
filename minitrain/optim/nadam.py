"""NAdam: Adam with Nesterov's momentum, which looks one step ahead."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: the step uses this gradient and the momentum of the next step.

        g               = grad + weight_decay · param                          (-grad with maximize)
        exp_avg         = beta1 · exp_avg + (1 - beta1) · g
        exp_avg_sq      = beta2 · exp_avg_sq + (1 - beta2) · g²
        bias_correction = 1 - beta2 ^ step
        denom           = √(exp_avg_sq / bias_correction) + eps
        mu              = beta1 · (1 - 0.96 ^ (step · momentum_decay) / 2)     (mu_next: of step + 1)
        mu_product      = mu_product · mu                                      (starts at 1)
        param          -= lr · (1 - mu) / (1 - mu_product) · g / denom
        param          -= lr · mu_next / (1 - mu_product · mu_next) · exp_avg / denom

    With decoupled_weight_decay the decay is AdamW's: param -= lr · weight_decay · param, before the step.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", ICLR Workshop, 2016.

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
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, eps, weight_decay, decay = (options[name] for name in ("lr", "eps", "weight_decay", "momentum_decay"))
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

        mu = beta1 * (1 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
        mu_product = _buffer(state, "mu_product", STEP_0, 1)
        mu_product *= mu
        product = mu_product.item()

        # exp_avg = beta1 · exp_avg + (1 - beta1) · grad
        exp_avg = _buffer(state, "exp_avg", param)
        exp_avg *= beta1
        exp_avg += (1 - beta1) * grad
        # exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · grad²
        exp_avg_sq = _buffer(state, "exp_avg_sq", param)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * grad * grad

        denom = np.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
        param -= lr * (1 - mu) / (1 - product) * grad / denom
        param -= lr * mu_next / (1 - product * mu_next) * exp_avg / denom
