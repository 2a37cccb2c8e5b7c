"""Runs a Function whose forward and backward are written for Tensors, as torch's are, on the tape, which has arrays."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minitrain import ops
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import no_grad


class FunctionCtx:
    """The ctx that forward fills and backward reads: save_for_backward(*tensors), saved_tensors, and any attribute."""

    def __init__(self, node: Any, **attributes: Any) -> None:
        self._node = node
        vars(self).update(attributes)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """For each input, whether it requires a gradient."""
        needs: tuple[bool, ...] = self._node.needs_input_grad
        return needs

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, the result, or Tensors made from them; None passes through."""
        self._node.save_for_backward(*[_array(each) for each in tensors])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved. Raises RuntimeError if it was freed, or changed in place since."""
        return tuple([_tensor(each) for each in self._node.saved_arrays])

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Refuse: an operation here never writes into its inputs."""
        raise NotImplementedError("ctx.mark_dirty is not offered: return a new Tensor, leave the input as it is.")

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Refuse: the one result of an operation is differentiable."""
        raise NotImplementedError("ctx.mark_non_differentiable is not offered: detach() what apply returns.")

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing: the one result of an operation always has a gradient in backward."""


class OnTensors(ops.Function):
    """What the tape runs: it gives Tensors to the user's Function, and takes arrays from what the Function returns."""

    of: type[Any]

    @classmethod
    def forward(cls, ctx: Any, *inputs: Any, were_tensors: tuple[bool, ...], **options: Any) -> Any:
        """Run the user's forward, unrecorded. were_tensors: for each input, whether it was a Tensor before apply."""
        given = [wrap(x) if was else x for x, was in zip(inputs, were_tensors, strict=True)]
        users = FunctionCtx(ctx)
        with no_grad():
            if hasattr(cls.of, "setup_context"):  # forward and what it saves apart
                result = cls.of.forward(*given, **options)
                cls.of.setup_context(users, tuple(given), result)
            else:
                result = cls.of.forward(users, *given, **options)
        ctx.attributes = {
            name: value for name, value in vars(users).items() if name != "_node"
        }  # users itself: a cycle
        return _array(result)

    @classmethod
    def backward(cls, ctx: Any, grad_y: Array) -> Any:
        """Run the user's backward, unrecorded."""
        with no_grad():
            gradients = cls.of.backward(FunctionCtx(ctx, **ctx.attributes), wrap(grad_y))
        return tuple([_array(each) for each in gradients]) if isinstance(gradients, tuple) else _array(gradients)


def _array(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _tensor(value: Any) -> Any:
    return wrap(value) if isinstance(value, np.ndarray) else value


@functools.cache
def on_tensors(function: type[Any]) -> type[OnTensors]:
    """The operation that runs this Function; it has its name and its docstring."""
    names = ("__doc__", "__module__", "__qualname__")
    return type(function.__name__, (OnTensors,), {"of": function} | {name: getattr(function, name) for name in names})


def speaks_arrays(function: type[Any]) -> bool:
    """Whether the Function is written for arrays: it is one of ops/, or reads ctx.saved_arrays."""
    methods = [getattr(function, name, None) for name in ("forward", "backward")]
    if any(str(getattr(method, "__module__", "")).startswith("minitrain.ops") for method in methods):
        return True
    return any("saved_arrays" in getattr(getattr(method, "__code__", None), "co_names", ()) for method in methods)
