"""The base of Optimizer: which parameters there are, with which options, what is remembered of each, and saving it."""

from __future__ import annotations

import copy
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim.blocks import LARGE, are_faster
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import anomaly_mode, enable_grad
from minitrain.torchlike.hooks import RemovableHandle
from minitrain.torchlike.not_offered import unknown_keyword

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
State = dict[str, Tensor]
StepHook = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

SWITCHES = ("foreach", "fused", "capturable", "differentiable")  # torch's choices among its implementations
STEP_0 = np.zeros((), np.float32)  # a count of steps, as torch keeps it
SCALARS = {"step", "mu_product"}  # what is remembered once a parameter, and not for each of its elements

# What torch's errors call the hyperparameters that must not be negative.
LABELS = {
    "lr": "learning rate",
    "eps": "epsilon value",
    "momentum": "momentum value",
    "alpha": "alpha value",
    "weight_decay": "weight_decay value",
    "lr_decay": "lr_decay value",
    "initial_accumulator_value": "initial_accumulator_value value",
    "rho": "rho value",
    "momentum_decay": "momentum_decay value",
}


class ParamGroups:
    """Groups of parameters with their options, and a state for each parameter."""

    _opt_called: bool  # whether step() was called since a scheduler was made, which sets this
    _in_blocks = False  # whether large parameters are updated in blocks

    def __init__(self, params: Params, defaults: dict[str, Any], **switches: bool | None) -> None:
        self.defaults = _offered({**defaults, **switches})
        for name in self.defaults.keys() - defaults.keys():
            raise unknown_keyword(f"{type(self).__name__}.__init__", name, ["params", *defaults])
        if isinstance(params, Tensor):
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
        self._pre_hooks: dict[RemovableHandle, StepHook] = {}
        self._post_hooks: dict[RemovableHandle, StepHook] = {}
        self.param_groups: list[dict[str, Any]] = []
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters: those under "params", with the options given beside it, else the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be in an order, and a set has none; pass a list.")
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
                raise ValueError("can't optimize a non-leaf Tensor: it is the result of an operation; pass its leaves.")
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
        self._in_blocks = self._in_blocks or (any(param.array.size >= LARGE for param in params) and are_faster())

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
        """Continue where another optimizer stopped, this class's or torch's, with parameters of the same shapes.

        Values are copied, each into the memory order and dtype of its parameter. Raises ValueError for the state of
        another class (AdamW's is Adam's), other numbers of groups or parameters, or other shapes, and
        NotImplementedError for a switch of torch's that is on.
        """
        from minitrain.optim.kinds import OPTIMIZERS, check_kind  # here, since few programs load a state

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
            added = group.keys() - self.defaults.keys()
            check_kind(self, self.defaults.keys(), saved.keys() - added, OPTIMIZERS)
            params.update(zip(saved["params"], group["params"], strict=True))
            groups.append(_offered({**group, **copy.deepcopy(saved), "params": group["params"]}))
        state: defaultdict[Tensor, State] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"loaded state dict has a state for parameter {number!r}, which is in no group.")
            param = params[number]
            for name, value in values.items():
                like = STEP_0 if name in SCALARS else param.array
                if value is None:  # as older torch has a momentum_buffer that it does not use
                    continue
                if np.shape(value) != like.shape:
                    raise ValueError(
                        f"loaded state dict has a {name} of shape {list(np.shape(value))} for parameter {number}, "
                        f"where {list(like.shape)} is expected."
                    )
                _buffer(state[param], name, like)[...] = np.asarray(value)
        self.state, self.param_groups = state, groups

    def register_step_pre_hook(self, hook: StepHook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) before each step; the returned handle's remove() ends that."""
        handle = RemovableHandle(self._pre_hooks)
        self._pre_hooks[handle] = hook
        return handle

    def register_step_post_hook(self, hook: StepHook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) after each step; the returned handle's remove() ends that."""
        handle = RemovableHandle(self._post_hooks)
        self._post_hooks[handle] = hook
        return handle

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            options = [f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"]
            lines.append(f"Parameter Group {i}\n{''.join(options)}")
        return "\n".join(lines) + ")"

    def _before_step(self, closure: Callable[[], Any] | None) -> Any:
        """Call the pre-step hooks, then the closure with gradients on, and return the closure's result."""
        for hook in tuple(self._pre_hooks.values()):
            hook(self, (), {} if closure is None else {"closure": closure})
        loss = None if closure is None else enable_grad()(closure)()
        if anomaly_mode.watcher is not None:
            anomaly_mode.watcher.before_step(self)
        return loss

    def _after_step(self) -> None:
        """Report the step to anomaly detection, to schedulers and to the post-step hooks."""
        if anomaly_mode.watcher is not None:
            anomaly_mode.watcher.after_step(self)
        for hook in tuple(self._post_hooks.values()):
            hook(self, (), {})


def _offered(options: dict[str, Any]) -> dict[str, Any]:
    """The options without torch's switches, an lr that is a Tensor as a number.

    Raises NotImplementedError for a switch that is on, ValueError for a nan.
    """
    if "lr" in options:
        options = {**options, "lr": _number("lr", options["lr"])}
    for name, value in options.items():
        if name in SWITCHES and value:
            raise NotImplementedError(
                f"{name}={value} is not offered, since there is one implementation; leave it out."
            )
        if isinstance(value, float | np.floating) and math.isnan(value):
            raise ValueError(f"Invalid {name}: {value}, expected a number")
    return {name: value for name, value in options.items() if name not in SWITCHES}


def _number(name: str, value: Any) -> Any:
    """A Tensor's number, and anything else as it is. Raises ValueError for a Tensor of another size than 1."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, but {name} has shape {list(value.shape)}; pass a number.")
    return value.item()


def check_hyperparameters(options: dict[str, Any]) -> None:
    """Raise TypeError unless each is a number, and ValueError for a negative one or a beta from 1 up.

    Hyperparameters are known by torch's names for them: LABELS, and betas.
    """
    for name, label in LABELS.items():
        if name in options:
            _check(label, options[name])
    if "betas" in options:
        beta1, beta2 = options["betas"]
        if isinstance(beta1, float) != isinstance(beta2, float):
            raise ValueError(f"betas must be either both floats or both Tensors, but got {options['betas']}")
        _check("beta parameter at index 0", beta1, below=1)
        _check("beta parameter at index 1", beta2, below=1)


def _check(what: str, value: Any, below: float | None = None) -> None:
    """Raise TypeError unless value is a number, and ValueError unless it is 0 or larger, and below a bound."""
    value = _number(what, value)
    if not isinstance(value, int | float | np.number):
        raise TypeError(f"{what} must be a Python number, but got {type(value).__name__}")
    if not value >= 0 or (below is not None and value >= below):  # nan >= 0 is False
        bound = "" if below is None else f" and below {below}"
        raise ValueError(f"Invalid {what}: {value}, expected a number from 0 up{bound}")


def _buffer(state: State, name: str, like: Array, start: float = 0) -> Array:
    """The array that state has under this name; filled with `start`, in `like`'s shape, dtype and order, at first."""
    if name not in state:
        state[name] = wrap(np.full_like(like, start))
    return state[name].array
