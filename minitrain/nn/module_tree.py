"""The base of Module: its parts as attributes, the walk over the tree of Modules, hooks, printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, cast

from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor

if TYPE_CHECKING:
    from minitrain.nn.module import Module


class RemovableHandle:
    """What register_forward_hook returns: remove() takes the hook away; leaving a `with` block does, too."""

    def __init__(self, hooks: dict[RemovableHandle, Callable[..., Any]]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; nothing happens the second time."""
        self._hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class ModuleTree:
    """A node of the tree: its Parameters, buffers and Modules, kept apart in the order of their assignment."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _forward_hooks: dict[RemovableHandle, Callable[..., Any]]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for name in ("_parameters", "_buffers", "_modules", "_forward_hooks"):
            object.__setattr__(self, name, {})

    def __setattr__(self, name: str, value: Any) -> None:
        # What a name was registered as it stays, until a Parameter or a Module takes its place.
        if isinstance(value, Parameter) or name in self.__dict__.get("_parameters", {}):
            self._make_way(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, ModuleTree) or name in self.__dict__.get("_modules", {}):
            self._make_way(name, "_modules")
            self.register_module(name, value)
        elif name in self.__dict__.get("_buffers", {}):
            self.register_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def _make_way(self, name: str, kind: str) -> None:
        """Forget what stands under this name as another kind of attribute."""
        for other in {"_parameters", "_buffers", "_modules"} - {kind}:
            self.__dict__.get(other, {}).pop(name, None)
        self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind in attributes and name in attributes[kind]:  # before super().__init__() no kind is there
                return attributes[kind][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for kind in (self._parameters, self._buffers, self._modules):
            if name in kind:
                del kind[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _register(self, kind: str, name: str, value: Any) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {name!r} before Module.__init__() call: call super().__init__() first")
        if not isinstance(name, str):
            raise TypeError(f"the name of a part of a Module must be a string, but got {name!r}")
        if "." in name or name == "":
            raise KeyError(f"the name of a part of a Module must be non-empty and without '.', but got {name!r}")
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute {name!r} already exists")
        self.__dict__[kind][name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a Parameter, or None to say that there is none."""
        if not isinstance(param, Parameter | None):
            raise TypeError(
                f"cannot assign {type(param).__name__} as parameter {name!r}: expected nn.Parameter or None. "
                "Wrap it in nn.Parameter, or write into the one that is there with copy_() under no_grad()."
            )
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None) -> None:
        """Add a Tensor that belongs to the state but is not learned."""
        if not isinstance(tensor, Tensor | None):
            raise TypeError(f"cannot assign {type(tensor).__name__} as buffer {name!r}: expected Tensor or None")
        self._register("_buffers", name, tensor)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child Module; the same as assigning it to an attribute."""
        if not isinstance(module, ModuleTree | None):
            raise TypeError(
                f"cannot assign {type(module).__name__} as child module {name!r}: it is not a Module subclass"
            )
        self._register("_modules", name, module)

    add_module = register_module

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> RemovableHandle:
        """Have hook(module, args, output) called after each forward, after the hooks that are there already.

        args: the positional arguments of the call. What hook returns, if it is not None, takes output's place.
        Returns a handle whose remove() takes the hook away.
        """
        handle = RemovableHandle(self._forward_hooks)
        self._forward_hooks[handle] = hook
        return handle

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The Modules one level down, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The Modules one level down, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This Module (named prefix) and all below it, each once, with their dotted names."""
        memo = set() if memo is None else memo
        own: Any = self
        if self in memo:
            return
        if remove_duplicate:
            memo.add(own)
        yield prefix, own
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This Module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kind: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, kind).items():
                if value is not None and not (once and value in seen):
                    seen.add(value)
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The Parameters with their dotted names, each once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call fn on every Module below, then on this one; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(cast("Module", self))
        return self

    def extra_repr(self) -> str:
        """What stands between the brackets of the Module's line."""
        return ""

    def __repr__(self) -> str:
        parts = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self._modules.items()]
        extra = self.extra_repr().splitlines()
        if not parts and len(extra) <= 1:
            return f"{type(self).__name__}({''.join(extra)})"
        return "\n  ".join([f"{type(self).__name__}(", *extra, *parts]) + "\n)"


def add_location(error: Exception, module: ModuleTree) -> None:
    """Add to an error in forward a note with the dotted name of the Module that it came from."""
    failed = error.__dict__.setdefault("module", module)
    for name, candidate in module.named_modules():
        if candidate is failed and name:
            where = f"in {type(module).__name__}.{name}: {failed!r}"
            notes = [note for note in getattr(error, "__notes__", []) if not note.startswith("in ")]
            error.__notes__ = [*notes, where]
