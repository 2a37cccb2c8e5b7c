"""All Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from minitrain import ops
from minitrain.tensor import Tensor, apply


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The values of all Parameters one after another, (n,)."""
    return apply(ops.Cat, *[param.reshape(-1) for param in parameters], dim=0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write a vector (n,) into the Parameters, in place."""
    place = 0
    for param in parameters:
        size = param.numel()
        param.data.copy_(vec[place : place + size].reshape(param.shape).detach())
        place += size
