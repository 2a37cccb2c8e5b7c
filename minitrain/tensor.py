"""Tensor: an array on the tape; `apply`, which runs an operation and records it; `backward`, which walks back.

Tensor's other methods, torch's names for what can be done to an array, are in torchlike/. Each of them is about one
line: which operation of ops/ it applies.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node, walk_back
from minitrain.torchlike.grad_mode import anomaly_mode, grad_mode
from minitrain.torchlike.node_base import Version
from minitrain.torchlike.tensor_base import increment_version, legacy_array
from minitrain.torchlike.tensor_methods import TensorMethods

__all__ = ["Tensor", "apply", "increment_version", "wrap"]


@np.errstate(all="ignore")  # inf and nan come silently, as in torch
def apply(function: type[Function], *inputs: Any, compute_dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """Run an operation and, if any input requires a gradient, record it.

    function: the operation, from ops/ or your own.
    inputs: Tensors, Python numbers, or None, in the order of function.forward's positional arguments.
    compute_dtype: cast the Tensors' arrays to it first; their gradients are cast back.
    options: function.forward's keyword arguments, which get no gradient.
    Returns the result as a Tensor; a view of an input's memory if forward returned a view.
    """
    arrays = [x.array if isinstance(x, Tensor) else x for x in inputs]
    edges = [x._edge() if isinstance(x, Tensor) else None for x in (inputs if grad_mode.enabled else ())]
    if compute_dtype is not None:
        arrays = [x.astype(compute_dtype, copy=False) if isinstance(x, np.ndarray) else x for x in arrays]
    ctx: Context = Node(function, edges) if any(edges) else Context((False,) * len(inputs))
    y = function.forward(ctx, *arrays, **options)
    result = wrap(y if type(y) is np.ndarray else _as_array(y, function))
    if result.array.base is not None or id(y) in map(id, arrays):  # a write into y is a write into the input, too
        result._become_view(inputs, function, options)
    if isinstance(ctx, Node):
        result._grad_fn, result._requires_grad = ctx, True
        ctx.result_shape, ctx.result_dtype = result.array.shape, result.array.dtype
        ctx.guard(inputs, result)
    if anomaly_mode.watcher is not None:
        anomaly_mode.watcher.after_forward(function, ctx, inputs, options, result)
    return result


def wrap(array: Array) -> Tensor:
    """A new leaf around an array, which is not copied."""
    tensor = Tensor.__new__(Tensor)
    tensor.array, tensor._version = array, Version()
    if grad_mode.inference:
        tensor._inference = True
    return tensor


def _as_array(y: Any, function: type[Function]) -> Array:
    if isinstance(y, tuple):
        raise RuntimeError(f"{function.__name__}.forward returned {len(y)} values; an operation has one result.")
    return np.asarray(y)


class Tensor(TensorMethods):
    """An array that remembers how it was computed, so that gradients can be sent back through that computation.

    array: the ndarray inside. To make a Tensor of lists or numbers use minitrain.tensor(...).
    requires_grad: whether backward is to leave this Tensor's gradient in .grad.
    grad_fn: the Node of the operation whose result this is; None for a leaf.
    """

    __module__ = "minitrain"  # its public place, which its type is printed with
    _apply = staticmethod(apply)

    _new = staticmethod(wrap)

    def __init__(self, *data: Any, device: Any = None) -> None:
        """torch's old constructor: Tensor([1, 2]) holds floats, Tensor(2, 3) any values. Prefer tensor(...)."""
        self.array, self._version = legacy_array(data, device), Version()

    def _edge(self) -> Any:
        """Where this Tensor's gradient goes: to the Node that made it, to a leaf's AccumulateGrad, or None."""
        if self._base is not None and self._version.number != self._born_at_version:
            self._renew_history()  # what this is a view of was written since
        if self._grad_fn is None and self._requires_grad:
            if self._accumulator is None or (edge := self._accumulator()) is None:
                edge = AccumulateGrad(self, self.array.shape, self.array.dtype)
                self._accumulator = weakref.ref(edge)  # all uses of a leaf share one, where their gradients add up
            return edge
        return self._grad_fn

    @np.errstate(all="ignore")
    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) to the .grad of every leaf that requires it and that this Tensor was computed from.

        gradient: dL/d(self), in self's shape; may be left out for a Tensor of one element (it is 1 then).
        retain_graph: keep the arrays that the operations saved, so that backward can be called again.
        Raises RuntimeError if nothing requires a gradient, for a missing or misshapen gradient, in a second walk over
        a graph that was not retained, and if a saved array was changed in place since.
        """
        edge, grad = self._edge(), self._first_gradient(gradient, create_graph)
        walk_back(edge, grad, retain_graph=bool(retain_graph))

    def receive_grad(self, grad: Array, *, owned: bool) -> None:
        """self.grad += grad, called by backward's walk. An owned array may be kept, any other is copied.

        .grad has its Tensor's memory order, as the optimizer's state has: a pass over mixed orders is slow.
        """
        if not self._requires_grad:
            return  # it was frozen after the operation was recorded
        if self._hooks:
            grad, owned = self._hooks.run(grad), False
        if self._grad is not None:
            self._grad.array += grad
            increment_version(self._grad)
        elif owned and grad.strides == self.array.strides:
            self._grad = wrap(grad)
        else:
            self._grad = wrap(np.empty_like(self.array))
            self._grad.array[...] = grad
        if self._after_grad_hooks:
            for hook in list(self._after_grad_hooks.values()):
                hook(self)
