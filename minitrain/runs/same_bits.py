"""Whether two states, or a model's weights and a checkpoint, are the same, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minitrain.runs.checkpoints import Checkpoint
from minitrain.runs.messages import are, counted
from minitrain.tensor import Tensor


def same(recorded: Any, now: Any) -> bool:
    """Whether two states have the same structure, numbers, and bits of their Tensors."""
    if isinstance(recorded, Tensor):
        return isinstance(now, Tensor) and _bits(recorded) == _bits(now)
    if isinstance(recorded, Mapping):
        fits = isinstance(now, Mapping) and now.keys() == recorded.keys()
        return fits and all(same(value, now[key]) for key, value in recorded.items())
    if type(now) is not type(recorded):
        return False
    if isinstance(recorded, list | tuple):
        return len(now) == len(recorded) and all(map(same, recorded, now))
    return bool(recorded == now or (recorded != recorded and now != now))  # nan, too


def _bits(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.array.shape, np.ascontiguousarray(tensor.array).tobytes()


def other_weights(weights: object, checkpoint: Checkpoint) -> str:
    """How weights differ from the model in a checkpoint, in words; "" if every bit is the same."""
    model = checkpoint.state.get("model")
    if not isinstance(model, Mapping) or not isinstance(weights, Mapping) or weights.keys() != model.keys():
        return f"the arrays have other names than those in {checkpoint.path}"
    other = [name for name in model if not same(model[name], weights[name])]
    if not other:
        return ""
    names = ", ".join(other[:3]) + ", ..." * (len(other) > 3)
    return f"{len(other)} of {counted(len(model), 'array')} differ from those in {checkpoint.path}: {names}"


def not_finite(weights: object) -> str:
    """How many weights are nan or infinite, in words; "" if none is."""
    tensors = [each for each in weights.values() if isinstance(each, Tensor)] if isinstance(weights, Mapping) else []
    count = sum(int(np.count_nonzero(~np.isfinite(tensor.array))) for tensor in tensors)
    return f"{counted(count, 'weight')} {are(count)} nan or infinite" if count else ""
