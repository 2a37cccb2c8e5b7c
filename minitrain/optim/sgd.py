"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from minitrain.ops import Array
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.param_groups import Params, State, _buffer, check_hyperparameters


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

        g      = grad + weight_decay · param              (-grad with maximize)
        buf    = momentum · buf + (1 - dampening) · g     (at the first step: buf = g)
        param -= lr · buf                                 (nesterov: lr · (g + momentum · buf); no momentum: lr · g)

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013. As in torch, lr multiplies the whole buffer, so a change of lr takes effect at once. In the paper lr is
    inside, buf = momentum · buf - lr · g and param += buf, so it takes effect for later gradients only. Dampening does
    not act on the first gradient.

    Raises TypeError if lr, momentum or weight_decay is not a number, ValueError if one is negative or nan, and for
    nesterov without momentum or with dampening; and the errors of Optimizer.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **switches: bool | None,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        check_hyperparameters(defaults)
        super().__init__(params, defaults, **switches)

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """The formula above, in place."""
        lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
        if options["maximize"]:
            grad = -grad
        if weight_decay != 0:
            grad = grad + weight_decay * param
        if momentum != 0:
            first = "momentum_buffer" not in state
            buf = _buffer(state, "momentum_buffer", param)
            # buf = momentum · buf + (1 - dampening) · grad
            buf *= momentum
            buf += grad if first or options["dampening"] == 0 else (1 - options["dampening"]) * grad
            grad = grad + momentum * buf if options["nesterov"] else buf
        param -= lr * grad
