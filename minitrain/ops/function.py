"""What every operation has: Function, with its forward and backward, and Context, which carries arrays between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from minitrain.layout import pairwise_sum

Array = npt.NDArray[Any]
Gradients = Any  # an Array for an operation of one input, else a tuple with an Array or None for each input
Reduction = Literal["none", "mean", "sum"]


class Context:
    """What forward leaves for backward: arrays by save_for_backward, anything else as attributes.

    needs_input_grad[i] says whether input i asks for a gradient, so that neither pass does needless work.
    """

    _saved: tuple[Any, ...] = ()

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad

    if TYPE_CHECKING:  # forward may leave any attribute

        def __setattr__(self, name: str, value: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep inputs, the result, or arrays made from them; None and numbers pass through."""
        self._saved = arrays

    @property
    def saved_arrays(self) -> tuple[Any, ...]:
        """What save_for_backward kept, in the same order."""
        return self._saved


class Function:
    """An operation on arrays, as two static methods.

    forward(ctx, *inputs) returns the result y. backward(ctx, grad_y) receives dL/dy, where L is the loss, a single
    number: dL/dy has y's shape and says how much L changes with each element of y. It returns dL/d(input) for each
    input, by the chain rule. So an operation need not know anything about the rest of the model.
    """

    forward: ClassVar[Callable[..., Any]]
    backward: ClassVar[Callable[..., Any]]


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum grad over the axes along which an operand of this shape was repeated to make the result's shape.

    Broadcasting copies a value; each copy sends back a gradient, and they add up.
    """
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    repeated = [added + axis for axis, size in enumerate(shape) if size == 1]
    return pairwise_sum(grad, (*range(added), *repeated), keepdims=True).reshape(shape)
