"""Activations that are 0 near 0: Hardshrink and Softshrink, as functions and as Modules."""

from __future__ import annotations

import numpy as np

from minitrain.nn.activation import require_float
from minitrain.nn.function_module import FunctionModule
from minitrain.tensor import Tensor
from minitrain.torchlike.arguments import dtype_name


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 between -lambd and lambd, else x."""
    require_float("hardshrink", input)
    return input.masked_fill((input >= -lambd) & (input <= lambd), 0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 between -lambd and lambd, else x, moved towards 0 by lambd. Raises RuntimeError for a negative lambd."""
    require_float("softshrink", input)
    if lambd < 0:
        largest = np.finfo(input.dtype).max
        raise RuntimeError(
            f"lambda must be in range [0, {largest:.6g}] for input dtype {dtype_name(input.dtype)}, but found {lambd}."
        )
    return input - input.clamp(-lambd, lambd)


class Hardshrink(FunctionModule):
    """0 between -lambd and lambd, else x."""

    function = staticmethod(hardshrink)
    arguments = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The argument."""
        return str(self.lambd)


class Softshrink(Hardshrink):
    """0 between -lambd and lambd, else x, moved towards 0 by lambd."""

    function = staticmethod(softshrink)
