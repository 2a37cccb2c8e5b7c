"""Lazy layers: their input size is what the first input has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minitrain.nn.convolution import Conv2d
from minitrain.nn.layers import Linear
from minitrain.nn.module import Module
from minitrain.nn.normalization import BatchNorm1d, BatchNorm2d
from minitrain.nn.parameter import Parameter
from minitrain.tensor import wrap
from minitrain.torchlike.random import default_generator


class UninitializedParameter(Parameter):
    """A Parameter whose shape is not known yet."""

    def __init__(self) -> None:
        super().__init__(wrap(np.empty(0, np.float32)))

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


class _Lazy(Module):
    """Becomes the layer of its base class at the first forward, when the input says the missing size."""

    cls: type[Module]
    axis = 1

    def __init__(self, *args: Any, **options: Any) -> None:
        Module.__init__(self)
        self._given = args, options
        self.weight = UninitializedParameter()
        if options.get("bias", True):
            self.bias = UninitializedParameter()

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._become(args[0].array.shape[self.axis])
        return self(*args, **options)

    def _before_load(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        if f"{prefix}running_mean" in state_dict:
            self._become(state_dict[f"{prefix}running_mean"].shape[0])
            return
        for name, parameter in self._parameters.items():
            value = state_dict.get(prefix + name)
            if isinstance(parameter, UninitializedParameter) and value is not None:
                parameter.__class__, parameter.data = Parameter, wrap(np.zeros(tuple(value.shape), parameter.dtype))  # type: ignore[assignment]

    def _become(self, size: int) -> None:
        """Become the layer, for inputs of this size. Parameters that were loaded keep their values and draw none."""
        kept = dict(vars(self))
        given, named = self._given
        self.__class__ = self.cls  # type: ignore[assignment]  # torch's lazy layers change their class as well
        vars(self).clear()
        state = default_generator.get_state()
        self.__init__(size, *given, **named)  # type: ignore[misc]
        if not any(isinstance(each, UninitializedParameter) for each in kept["_parameters"].values()):
            default_generator.set_state(state)
        for name in ("training", "_forward_hooks", "_forward_pre_hooks"):
            if name in kept:
                vars(self)[name] = kept[name]
        for name, old in kept["_parameters"].items():  # the same objects, which an optimizer may hold already
            new = self._parameters.get(name)
            if new is not None and old is not None:
                if not isinstance(old, UninitializedParameter):
                    new.data[...] = old.data
                old.__class__, old.array = Parameter, new.array  # in the order in memory that the layer chose
                self._parameters[name] = old

    def extra_repr(self) -> str:
        """What was given."""
        given, named = self._given
        return ", ".join([*map(str, given), *(f"{name}={value}" for name, value in named.items())])


class LazyLinear(_Lazy):
    """Linear(in_features=the first input's last size, out_features, bias)."""

    cls, axis = Linear, -1

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(out_features, bias=bias, device=device, dtype=dtype)

    def extra_repr(self) -> str:
        """The sizes, of which one is not known."""
        given, named = self._given
        return f"in_features=0, out_features={given[0]}, bias={named['bias']}"


class LazyConv2d(_Lazy):
    """Conv2d(in_channels=the first input's channels, ...)."""

    cls = Conv2d


class LazyBatchNorm1d(_Lazy):
    """BatchNorm1d(num_features=the first input's channels, ...)."""

    cls = BatchNorm1d


class LazyBatchNorm2d(_Lazy):
    """BatchNorm2d(num_features=the first input's channels, ...)."""

    cls = BatchNorm2d
