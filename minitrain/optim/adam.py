"""Adam: RMSprop with momentum, both corrected for starting at 0; and AdamW, with a weight decay of its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class Adam(Optimizer):
    """RMSprop with momentum in which both averages are corrected for having started at 0.

        g               = grad + weight_decay · param                          (-grad with maximize)
        exp_avg         = beta1 · exp_avg + (1 - beta1) · g
        exp_avg_sq      = beta2 · exp_avg_sq + (1 - beta2) · g²
        max_exp_avg_sq  = max(max_exp_avg_sq, exp_avg_sq)                      (amsgrad only, for exp_avg_sq below)
        bias_correction = 1 - beta ^ step                                      (1: of beta1, 2: of beta2)
        denom           = √exp_avg_sq / √bias_correction2 + eps
        param          -= lr / bias_correction1 · exp_avg / denom

    At step t an average of equal gradients g has reached (1 - beta^t) · g, which is what the corrections undo: the
    first step is lr · sign(g). With decoupled_weight_decay the decay is AdamW's.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, algorithm 1; amsgrad: Reddi,
    Kale, Kumar, "On the Convergence of Adam and Beyond", arXiv:1904.09237. As torch's: eps is added after the
    correction, as in algorithm 1. (The paper's faster form, with both corrections folded into lr, means an eps
    divided by √bias_correction2.) Amsgrad takes the maximum before the correction, and its paper has no correction.
    Weight decay is not in the paper.

    Raises TypeError if lr, a beta, eps or weight_decay is not a number, ValueError if one is negative or nan, or a
    beta is 1 or more; and the errors of Optimizer.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
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
        if weight_decay != 0 and options["decoupled_weight_decay"]:
            param *= 1 - lr * weight_decay
        elif weight_decay != 0:
            grad = grad + weight_decay * param

        # exp_avg = beta1 · exp_avg + (1 - beta1) · grad
        exp_avg = _buffer(state, "exp_avg", param)
        exp_avg *= beta1
        exp_avg += (1 - beta1) * grad
        # exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · grad²
        exp_avg_sq = _buffer(state, "exp_avg_sq", param)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * grad * grad
        if options["amsgrad"]:
            max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
            np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
            exp_avg_sq = max_exp_avg_sq

        bias_correction1 = 1 - beta1 ** step.item()
        bias_correction2 = 1 - beta2 ** step.item()
        denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
        param -= lr / bias_correction1 * exp_avg / denom


class AdamW(Adam):
    """Adam with decoupled weight decay: it is applied to the parameter directly, not added to the gradient.

        param -= lr · weight_decay · param,  then Adam's step with the bare gradient

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2. As in
    torch, the decay is multiplied by lr. In the paper it is not: divide the paper's value by lr.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True, **switches
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As Optimizer's; the decay stays AdamW's where the state is an Adam's, as in torch."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
