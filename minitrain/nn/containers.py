"""Containers: Sequential's list methods, ModuleList, ModuleDict, ParameterList."""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor


class ListOfModules(Module):
    """What Sequential and ModuleList share: Modules numbered from 0, with a list's methods."""

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass: {module!r}")
        return module

    def _key(self, index: int) -> str:
        _check_index(self._modules, index, "Modules")
        return list(self._modules)[index]

    def _renumber(self, modules: Iterable[Module]) -> None:
        modules = list(modules)
        self._modules.clear()
        for i, module in enumerate(modules):
            self._modules[str(i)] = self._checked(module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]  # there is no None among them

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._sliced(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def _sliced(self, named: list[tuple[str, Any]]) -> Module:
        return type(self)([module for _, module in named])  # type: ignore[call-arg]

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._key(index), self._checked(module))

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._key(index)
        del modules[index]
        self._renumber(modules)

    def append(self, module: Module) -> Self:
        """Add a Module at the end; returns self."""
        self.register_module(str(len(self)), self._checked(module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several Modules at the end; returns self."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a Module before the one at index; returns self."""
        modules = list(self)
        modules.insert(index, self._checked(module))
        self._renumber(modules)
        return self

    def pop(self, key: int) -> Module:
        """Remove the Module at this index and return it."""
        module: Module = self[key]
        del self[key]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> Any:
        joined = self._sliced(list(self._modules.items()))
        return joined.extend(other)


class ModuleList(ListOfModules):
    """Modules in a list: their Parameters are the model's, and what is run is up to forward."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _key(self, index: int) -> str:
        return _numbered(self._modules, index, "Modules")

    def __repr__(self) -> str:
        """Neighbours that print alike share a line: (0-1): 2 x Tanh()."""
        lines, first = [], 0
        for text, equal in itertools.groupby(map(repr, self)):
            count = len(list(equal))
            last = first + count - 1
            lines.append(f"({first}): {text}" if count == 1 else f"({first}-{last}): {count} x {text}")
            first += count
        body = "".join(f"\n  {line}" for line in "\n".join(lines).splitlines())
        return f"{type(self).__name__}({body}\n)" if lines else f"{type(self).__name__}()"


class DictOfMembers(Module):
    """What ModuleDict and ParameterDict share: a dict's methods, in the order of insertion."""

    @property
    def _members(self) -> dict[str, Any]:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        return self._members[key]

    def __delitem__(self, key: str) -> None:
        del self._members[key]

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._members.keys()

    def values(self) -> Iterable[Any]:
        """What they name."""
        return self._members.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of a name and what it names."""
        return self._members.items()

    def pop(self, key: str) -> Any:
        """Remove the one of this name and return it."""
        return self._members.pop(key)

    def clear(self) -> None:
        """Remove all."""
        self._members.clear()


class ModuleDict(DictOfMembers):
    """Modules by name, in the order of their insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    @property
    def _members(self) -> dict[str, Any]:
        return self._modules

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add Modules, or replace those of the same names."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module


class OfParameters(Module):
    """What ParameterList and ParameterDict share: how they are printed."""

    @staticmethod
    def _kind(param: Parameter) -> str:
        return str(param.dtype)

    def extra_repr(self) -> str:
        """A line for each Parameter."""
        return "\n".join(
            f"  ({name}): Parameter containing: [{self._kind(param)} of size {'x'.join(map(str, param.shape))}]"
            for name, param in self._parameters.items()
            if param is not None
        )


class ParameterList(OfParameters):
    """Parameters in a list; a Tensor becomes a Parameter."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._parameters.values()))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return self._parameters[_numbered(self._parameters, index, "Parameters")]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self.register_parameter(_numbered(self._parameters, index, "Parameters"), _as_parameter(value))

    def append(self, value: Any) -> Self:
        """Add one at the end; returns self."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end; returns self."""
        for value in values:
            self.append(value)
        return self


def _check_index(members: Mapping[str, Any], index: int, what: str) -> None:
    if not -len(members) <= operator.index(index) < len(members):
        raise IndexError(f"index {index} is out of range: there are {len(members)} {what}")


def _numbered(members: Mapping[str, Any], index: int, what: str) -> str:
    """The name of a list's member: its number, which is found at once, unless add_module gave another name."""
    _check_index(members, index, what)
    name = str(operator.index(index) % len(members))
    return name if name in members else list(members)[index]


def _as_parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def named(modules: tuple[Any, ...]) -> dict[str, Any]:
    """Sequential's arguments by name: numbered, or as the one OrderedDict names them."""
    if len(modules) == 1 and isinstance(modules[0], OrderedDict):
        return dict(modules[0])
    return {str(i): module for i, module in enumerate(modules)}
