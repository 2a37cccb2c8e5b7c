"""ParameterDict: Parameters by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from minitrain.nn.containers import DictOfMembers, OfParameters, _as_parameter
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor


class ParameterDict(OfParameters, DictOfMembers):
    """Parameters by name, in the order in which they came; a Tensor becomes a Parameter.

    parameters: a dict, whose names are sorted, as in torch; an OrderedDict, a ParameterDict, or pairs. Values that are
    no Tensors are refused: keep them as attributes of your Module.
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | ParameterDict | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    @staticmethod
    def _kind(param: Parameter) -> str:
        return str(param.type())

    @property
    def _members(self) -> dict[str, Any]:
        return self._parameters

    def __setitem__(self, key: str, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"a ParameterDict holds Tensors, but {key!r} is a {type(value).__name__}")
        self.register_parameter(key, value if isinstance(value, Parameter) else _as_parameter(value))

    def get(self, key: str, default: Any = None) -> Any:
        """The Parameter of this name, or the default."""
        return self._parameters.get(key, default)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | ParameterDict) -> None:
        """Add Parameters, or replace those of the same names."""
        ordered = not isinstance(parameters, Mapping) or isinstance(parameters, OrderedDict)
        pairs = parameters.items() if isinstance(parameters, Mapping | ParameterDict) else parameters
        for name, value in pairs if ordered else sorted(pairs):
            self[name] = value
