"""FunctionModule: the base of layers that apply a function and have no Parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from minitrain.nn.checks import check_tensors
from minitrain.nn.module import Module
from minitrain.tensor import Tensor


class FunctionModule(Module):
    """Calls function(input, ...) with the attributes that `arguments` names, in the function's order."""

    function: ClassVar[Callable[..., Tensor]]
    arguments: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[tuple[str, ...] | None] = None  # the arguments that print() shows; None for all

    def forward(self, input: Tensor) -> Tensor:
        """The function's result for the input."""
        check_tensors(type(self).function.__name__, input=input)
        return type(self).function(input, *[getattr(self, name) for name in self.arguments])

    def extra_repr(self) -> str:
        """The arguments; inplace only where it is True."""
        shown = [name for name in (self.arguments if self.shown is None else self.shown) if name != "inplace"]
        parts = [f"{name}={getattr(self, name)!r}" for name in shown]
        return ", ".join(parts + (["inplace=True"] if getattr(self, "inplace", False) else []))
