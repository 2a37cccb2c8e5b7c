"""ParameterDict: Parameters by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from minitrain.nn.containers import _as_parameter
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor


class ParameterDict(Module):
    """Parameters by name, in the order in which they came; a Tensor becomes a Parameter.

    parameters: a dict, whose names are sorted, as in torch; an OrderedDict, a ParameterDict, or pairs. Values that are
    no Tensors are refused: keep them as attributes of your Module.
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | ParameterDict | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"a ParameterDict holds Tensors, but {key!r} is a {type(value).__name__}")
        self.register_parameter(key, value if isinstance(value, Parameter) else _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The Parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and Parameters."""
        return self._parameters.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The Parameter of this name, or the default."""
        return self._parameters.get(key, default)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | ParameterDict) -> None:
        """Add Parameters, or replace those of the same names."""
        ordered = not isinstance(parameters, Mapping) or isinstance(parameters, OrderedDict)
        pairs = parameters.items() if isinstance(parameters, Mapping | ParameterDict) else parameters
        for name, value in pairs if ordered else sorted(pairs):
            self[name] = value

    def pop(self, key: str) -> Any:
        """Remove a Parameter and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all."""
        self._parameters.clear()

    def extra_repr(self) -> str:
        """A line for each Parameter."""
        return "\n".join(
            f"({name}): Parameter containing: [{param.dtype} of size {'x'.join(map(str, param.shape))}]"
            for name, param in self._parameters.items()
            if param is not None
        )
