"""RMSprop: SGD with steps divided by the root mean square of recent gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import STEP_0, Params, State, _buffer, check_hyperparameters


class RMSprop(Optimizer):
    """SGD with each element's step divided by the root mean square of its recent gradients.

        g          = grad + weight_decay · param                         (-grad with maximize)
        square_avg = alpha · square_avg + (1 - alpha) · g²
        grad_avg   = alpha · grad_avg + (1 - alpha) · g                  (centered only)
        avg        = √square_avg + eps                                   (centered: √(square_avg - grad_avg²) + eps)
        buf        = momentum · buf + g / avg                            (no momentum: buf = g / avg)
        param     -= lr · buf

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", Coursera, 2012; centered: Graves, "Generating Sequences With
    Recurrent Neural Networks", arXiv:1308.0850, 2013. As torch's: eps is added to the root, where Graves and
    TensorFlow add it under the root, and lr is outside of buf. The averages start at 0, without a correction, so the
    first step is about lr / √(1 - alpha): ten times lr by default.

    Raises TypeError if lr, alpha, eps, weight_decay or momentum is not a number, ValueError if one is negative or nan;
    and the errors of Optimizer.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, alpha, eps = options["lr"], options["alpha"], options["eps"]
        momentum, weight_decay = options["momentum"], options["weight_decay"]
        step = _buffer(state, "step", STEP_0)
        step += 1  # nothing here depends on it; torch counts, too
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0:
            grad = grad + weight_decay * param

        # square_avg = alpha · square_avg + (1 - alpha) · grad²
        square_avg = _buffer(state, "square_avg", param)
        square_avg *= alpha
        square_avg += (1 - alpha) * grad * grad
        if options["centered"]:
            # grad_avg = alpha · grad_avg + (1 - alpha) · grad
            grad_avg = _buffer(state, "grad_avg", param)
            grad_avg *= alpha
            grad_avg += (1 - alpha) * grad
            avg = np.sqrt(square_avg - grad_avg * grad_avg) + eps
        else:
            avg = np.sqrt(square_avg) + eps

        buf = grad / avg
        if momentum > 0:
            # momentum_buffer = momentum · momentum_buffer + grad / avg
            momentum_buffer = _buffer(state, "momentum_buffer", param)
            momentum_buffer *= momentum
            momentum_buffer += buf
            buf = momentum_buffer
        param -= lr * buf
