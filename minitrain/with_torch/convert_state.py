"""Weights and optimizer states cross over: state dicts of minitrain as torch's, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from minitrain import optim
from minitrain.tensor import Tensor


def to_torch(state: Any) -> Any:
    """A state dict of minitrain's with each Tensor as a torch.Tensor: a contiguous copy on the CPU.

    state: dicts, lists and tuples of Tensors and plain values, as state_dict() gives them.
    `torch_model.load_state_dict(to_torch(model.state_dict()))` makes two models of the same layers equal.
    """
    return _with_each(state, Tensor, lambda tensor: torch.from_numpy(np.array(tensor.array, order="C")))


def to_minitrain(state: Any) -> Any:
    """A state dict of torch's, from any device, with each torch.Tensor as a Tensor: a copy.

    bfloat16 and float16, which NumPy has not or computes slowly, come as float32.
    """

    def as_tensor(tensor: torch.Tensor) -> Tensor:
        narrow = tensor.dtype in (torch.bfloat16, torch.float16)
        return Tensor(tensor.detach().to("cpu", torch.float32 if narrow else tensor.dtype).numpy().copy())

    return _with_each(state, torch.Tensor, as_tensor)


def load_optimizer_state(optimizer: Any, state: dict[str, Any]) -> None:
    """optimizer.load_state_dict(state) for an optimizer of either framework, state being of either.

    Options that the other framework does not have (fused, capturable, ...) stay as they are.
    Raises ValueError where the state belongs to another kind of optimizer: it has options, or it lacks some, of
    those that both frameworks know.
    """
    ours = isinstance(optimizer, optim.Optimizer)
    state = to_minitrain(state) if ours else to_torch(state)
    switches = {*optim.SWITCHES, "param_names"}
    groups = []
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        only_one = (group.keys() ^ saved.keys()) - switches
        if only_one:
            raise ValueError(
                f"the state is of another kind of optimizer than {type(optimizer).__name__}: only one of them has "
                f"{', '.join(sorted(only_one))}"
            )
        kept = {name: value for name, value in group.items() if name in switches}
        groups.append({**{name: value for name, value in saved.items() if name not in switches}, **kept})
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


def _with_each(state: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(state, kind):
        return change(state)
    if isinstance(state, Mapping):
        return {key: _with_each(value, kind, change) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_with_each(value, kind, change) for value in state)
    return state
