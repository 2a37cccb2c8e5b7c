"""The rules that turn gradients into updates, in order of complexity: SGD, RMSprop, Adam, AdamW.

Optimizer holds what they share: which parameters there are, with which options, and what is remembered of each
from step to step. A rule is one method, `update`, on plain arrays; the docstring of its class is the formula, in
the code's own names. All of them write into the parameter's own memory, and keep its memory order in what they
remember, since a pass over two arrays in different orders takes several times as long.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.tensor import Tensor, increment_version
from minitrain.torchlike.grad_mode import anomaly_mode, enable_grad

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
State = dict[str, Tensor]

SWITCHES = ("foreach", "fused", "capturable", "differentiable")  # torch's choices among its implementations
STEP_0 = np.zeros((), np.float32)  # a count of steps, as torch keeps it


class Optimizer:
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

    def __init__(self, params: Params, defaults: dict[str, Any], **switches: bool | None) -> None:
        self.defaults = _offered({**defaults, **switches})
        for name in self.defaults.keys() - defaults.keys():
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        if isinstance(params, Tensor | set):
            raise TypeError(
                "params argument given to the optimizer should be an ordered iterable of Tensors or dicts, but got "
                f"a {type(params).__name__}; pass model.parameters(), or a list."
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list: the model has no parameters, or their iterator was used before."
            )
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters: those under "params", with the options given beside it, else the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need an order, which a set has not; use a list instead.")
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [param[0] for param in params if isinstance(param, tuple)]
        if names and len(names) < len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing.")
        params = [param[1] if isinstance(param, tuple) else param for param in params]
        for param in params:
            if not isinstance(param, Tensor):
                kind = f"{type(param).__module__}.{type(param).__qualname__}".removeprefix("builtins.")
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {kind}; for a model pass "
                    "model.parameters()."
                )
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor: an operation made it; optimize what it was made of")
        if len(set(params)) < len(params):
            warnings.warn("a parameter group has a parameter twice: each step will update it twice.", stacklevel=2)
        group = {**param_group, "params": params}
        if names:
            group["param_names"] = names
        for name, default in self.defaults.items():
            group.setdefault(name, default)
        for other in self.param_groups:
            if not set(params).isdisjoint(other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")
            if ("param_names" in group) != ("param_names" in other):
                raise ValueError("all optimizer param groups should be with/without names.")
        self.param_groups.append(_offered(group))

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
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        watcher = anomaly_mode.watcher
        if watcher is not None:
            watcher.before_step(self)
        with np.errstate(all="ignore"):  # inf and nan come silently, as in torch
            for group in self.param_groups:
                # As Python numbers, which leave float32 arrays float32; a NumPy number would not.
                options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
                for param in group["params"]:
                    grad = param.grad
                    if grad is not None:
                        self.update(param.array, grad.array, self.state[param], options)
                        increment_version(param)
        if watcher is not None:
            watcher.after_step(self)
        return loss

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """Change one parameter's array in place. grad is never written; options are those of its group."""
        raise NotImplementedError(f"{type(self).__name__} has no update: a subclass of Optimizer gives the rule.")

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on: {"state": {0: {name: Tensor}}, "param_groups": [{..., "params": [0]}]}.

        Parameters are numbered in the order of the groups. The Tensors are the live ones: the next step changes them.
        """
        numbers: dict[Tensor, int] = {}
        for i, param in enumerate([param for group in self.param_groups for param in group["params"]]):
            numbers.setdefault(param, i)
        groups = []
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [numbers[param] for param in group["params"]]})
        state = {numbers[param]: dict(tensors) for param, tensors in self.state.items() if tensors}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another optimizer was: this class's or torch's, over parameters of the same shapes and order.

        Values are copied, each into the memory order and dtype of its parameter. Raises ValueError for other numbers
        of groups or parameters, or other shapes, and NotImplementedError for a switch of torch's that is on.
        """
        saved_groups = state_dict["param_groups"]
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved_groups)}, where the "
                f"optimizer has {len(self.param_groups)}."
            )
        groups: list[dict[str, Any]] = []
        params: dict[Any, Tensor] = {}
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(saved["params"]) != len(group["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"{len(saved['params'])} parameters in group {i}, where the optimizer has {len(group['params'])}."
                )
            params.update(zip(saved["params"], group["params"], strict=True))
            groups.append(_offered({**group, **copy.deepcopy(saved), "params": group["params"]}))
        state: defaultdict[Tensor, State] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"loaded state dict has a state for parameter {number!r}, which is in no group.")
            param = params[number]
            for name, value in values.items():
                like = STEP_0 if name == "step" else param.array
                if value is None:  # as older torch has a momentum_buffer that it does not use
                    continue
                if np.shape(value) != like.shape:
                    raise ValueError(
                        f"loaded state dict has a {name} of shape {list(np.shape(value))} for parameter {number}, "
                        f"where {list(like.shape)} is expected."
                    )
                _buffer(state[param], name, like)[...] = np.asarray(value)
        self.state, self.param_groups = state, groups

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            options = [f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"]
            lines.append(f"Parameter Group {i}\n{''.join(options)}")
        return "\n".join(lines) + ")"


def _offered(options: dict[str, Any]) -> dict[str, Any]:
    """The options without torch's switches. Raises NotImplementedError for one that is on, ValueError for a nan."""
    for name, value in options.items():
        if name in SWITCHES and value:
            raise NotImplementedError(
                f"{name}={value} is not offered, since there is one implementation; leave it out."
            )
        if isinstance(value, float | np.floating) and math.isnan(value):
            raise ValueError(f"Invalid {name}: {value}, expected a number")
    return {name: value for name, value in options.items() if name not in SWITCHES}


def _check(what: str, value: Any, below: float | None = None) -> None:
    """Raise TypeError unless value is a number, and ValueError unless it is 0 or larger, and below a bound."""
    if not isinstance(value, int | float | np.number):
        raise TypeError(f"{what} must be a Python number, but got {type(value).__name__}")
    if not value >= 0 or (below is not None and value >= below):  # nan >= 0 is False
        bound = "" if below is None else f" and below {below}"
        raise ValueError(f"Invalid {what}: {value}, expected a number from 0 up{bound}")


def _buffer(state: State, name: str, like: Array) -> Array:
    """The array that state has under this name; zeros in the shape, dtype and memory order of `like` at first."""
    if name not in state:
        state[name] = Tensor(np.zeros_like(like))
    return state[name].array


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

        g      = grad + weight_decay · param              (-grad with maximize)
        buf    = momentum · buf + (1 - dampening) · g     (at the first step: buf = g)
        param -= lr · buf                                 (nesterov: lr · (g + momentum · buf); no momentum: lr · g)

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013. As torch's, not as theirs: they have the rate inside, buf = momentum · buf - lr · g and param += buf,
    where a change of lr acts on later gradients only; here it acts at once on all that the buffer has gathered.
    Dampening does not act on the first gradient.

    Raises TypeError for an lr, momentum or weight_decay that is no number, ValueError for a negative one or a nan,
    and for nesterov without momentum or with dampening; and whatever Optimizer raises.
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
        _check("learning rate", lr)
        _check("momentum value", momentum)
        _check("weight_decay value", weight_decay)
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
    TensorFlow add it under the root, and the rate is outside of buf. All averages start at 0 and are not corrected
    for it, so that the first step is about lr / √(1 - alpha), ten times lr by default.

    Raises TypeError for an lr, alpha, eps, weight_decay or momentum that is no number, ValueError for a negative one
    or a nan; and whatever Optimizer raises.
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
        _check("learning rate", lr)
        _check("epsilon value", eps)
        _check("momentum value", momentum)
        _check("weight_decay value", weight_decay)
        _check("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
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

    Raises TypeError for an lr, beta, eps or weight_decay that is no number, ValueError for a negative one, a nan, or
    a beta from 1 up; and whatever Optimizer raises.
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
        _check("learning rate", lr)
        _check("epsilon value", eps)
        _check("weight_decay value", weight_decay)
        beta1, beta2 = betas
        _check("beta parameter at index 0", beta1, below=1)
        _check("beta parameter at index 1", beta2, below=1)
        defaults = {
            "lr": lr,
            "betas": (float(beta1), float(beta2)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
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
    """Adam with a weight decay of its own, which neither average sees and no denominator divides.

        param -= lr · weight_decay · param,  then Adam's step with the bare gradient

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2. As torch's:
    the decay is multiplied by lr, where the paper has a schedule's factor only, so a weight_decay of the paper is one
    of weight_decay / lr here.
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
