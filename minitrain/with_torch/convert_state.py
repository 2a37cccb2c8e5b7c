"""State dicts converted between the frameworks: weights and optimizer states of minitrain as torch's, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from minitrain import optim
from minitrain.optim.param_groups import SWITCHES
from minitrain.tensor import Tensor, wrap

# What schedulers write into the groups.
SCHEDULED = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


def to_torch(state: Any) -> Any:
    """A state dict of minitrain with each Tensor as a torch.Tensor: a contiguous copy on the CPU.

    state: dicts, lists and tuples of Tensors and plain values, as state_dict() returns them.
    `torch_model.load_state_dict(to_torch(model.state_dict()))` makes two models of the same layers equal.
    """
    return _convert(state, Tensor, lambda tensor: torch.from_numpy(np.array(tensor.array, order="C")))


def to_minitrain(state: Any) -> Any:
    """A state dict of torch, from any device, with each torch.Tensor as a Tensor: a copy.

    bfloat16 and float16 become float32: NumPy has no bfloat16, and computes slowly in float16.
    """

    def as_tensor(tensor: torch.Tensor) -> Tensor:
        narrow = tensor.dtype in (torch.bfloat16, torch.float16)
        return wrap(tensor.detach().to("cpu", torch.float32 if narrow else tensor.dtype).numpy().copy())

    return _convert(state, torch.Tensor, as_tensor)


def load_optimizer_state(optimizer: Any, state: dict[str, Any]) -> None:
    """optimizer.load_state_dict(state), for an optimizer and a state of either framework.

    Options that only torch has (fused, capturable, ...) keep their values.
    Raises ValueError if the state belongs to another kind of optimizer: their other options are not the same.
    """
    state = to_minitrain(state) if isinstance(optimizer, optim.Optimizer) else to_torch(state)
    switches = {*SWITCHES, "param_names", *SCHEDULED}
    groups = []
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        if only_one := (group.keys() ^ saved.keys()) - switches:
            raise ValueError(
                f"the state belongs to another kind of optimizer than {type(optimizer).__name__}: only one of them "
                f"has {', '.join(sorted(only_one))}"
            )
        kept = {name: value for name, value in group.items() if name in switches}
        groups.append({**{name: value for name, value in saved.items() if name not in switches}, **kept})
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


def _convert(state: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    if isinstance(state, kind):
        return convert(state)
    if isinstance(state, Mapping):
        return {key: _convert(value, kind, convert) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_convert(value, kind, convert) for value in state)
    return state
