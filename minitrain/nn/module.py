"""Module: a model is a tree of Modules with Parameters as its leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from minitrain.nn.module_state import ModuleState
from minitrain.nn.module_tree import add_location
from minitrain.nn.parameter import Parameter


class Module(ModuleState):
    """A part of a model. Subclasses call super().__init__() first, assign their parts to attributes, define forward.

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(784, 10)

            def forward(self, x):
                return self.layer(x)

    Assigning a Parameter to an attribute registers it; assigning a Module registers all of that Module's Parameters.
    parameters() walks over all of them, for an optimizer to update.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        # A registered name keeps its kind until a Parameter or a Module replaces it.
        if isinstance(value, Parameter) or name in self.__dict__.get("_parameters", {}):
            self._make_way(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module) or name in self.__dict__.get("_modules", {}):
            self._make_way(name, "_modules")
            self.register_module(name, value)
        elif name in self.__dict__.get("_buffers", {}):
            self.register_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in (registered := self.__dict__.get(kind, {})):  # before super().__init__() there are none
                return registered[name]
        return self._explain_missing(name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the Module computes; every subclass has its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._forward_pre_hooks or self._forward_hooks:
                return self._forward_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            add_location(error, self)
            raise

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The Parameters, each once, for an optimizer to update."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def train(self, mode: bool = True) -> Self:
        """Set training mode (Dropout drops) or evaluation mode here and in all children; returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, but got {mode!r}")
        self.training = mode
        for child in [module for module in self._modules.values() if module is not None]:
            child.train(mode)
        return self

    def eval(self) -> Self:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Make all Parameters require gradients, or freeze them; returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove all Parameters' gradients, or set them to 0."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()
