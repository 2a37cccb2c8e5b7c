"""The base of Module: its parts as attributes, the walk over the tree of Modules, hooks, printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor
from minitrain.torchlike.hooks import RemovableHandle
from minitrain.torchlike.not_offered import ChecksKeywords, advice

if TYPE_CHECKING:
    from minitrain.nn.module import Module


class ModuleTree(ChecksKeywords):
    """A node of the tree: its Parameters, buffers and Modules, kept apart in the order of their assignment."""

    training: bool
    forward: Callable[..., Any]
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _forward_hooks: dict[RemovableHandle, Callable[..., Any]]
    _forward_pre_hooks: dict[RemovableHandle, Callable[..., Any]]
    _not_saved: set[str]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for name in ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"):
            object.__setattr__(self, name, {})
        object.__setattr__(self, "_not_saved", set())

    def _make_way(self, name: str, kind: str) -> None:
        """Forget what stands under this name as another kind of attribute."""
        for other in {"_parameters", "_buffers", "_modules"} - {kind}:
            self.__dict__.get(other, {}).pop(name, None)
        self.__dict__.pop(name, None)

    def _explain_missing(self, name: str) -> NoReturn:
        told = advice(f"nn.Module.{name}")
        hint = f": minitrain does not offer it: {told}" if told else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

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
        """Add a Parameter; None declares the name without one."""
        if not isinstance(param, Parameter | None):
            raise TypeError(
                f"cannot assign {type(param).__name__} as parameter {name!r}: expected nn.Parameter or None. "
                "Wrap it in nn.Parameter, or write into the one that is there with copy_() under no_grad()."
            )
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that is not learned. persistent: whether it belongs to the state_dict."""
        if not isinstance(tensor, Tensor | None):
            raise TypeError(f"cannot assign {type(tensor).__name__} as buffer {name!r}: expected Tensor or None")
        self._register("_buffers", name, tensor)
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child Module; the same as assigning it to an attribute."""
        if not isinstance(module, ModuleTree | None):
            raise TypeError(
                f"cannot assign {type(module).__name__} as child module {name!r}: it is not a Module subclass"
            )
        self._register("_modules", name, module)

    add_module = register_module

    def _forward_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What forward returns, each hook called in its turn."""
        for hook in list(self._forward_pre_hooks.values()):
            replacement = hook(self, args)
            if replacement is not None:
                args = replacement if isinstance(replacement, tuple) else (replacement,)
        output = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            replacement = hook(self, args, output)
            output = output if replacement is None else replacement
        return output

    def get_submodule(self, target: str) -> Module:
        """The Module of this dotted name; self for "". Raises AttributeError for an unknown name."""
        found: Any = self
        for name in target.split(".") if target else ():
            if name not in found._modules:
                raise AttributeError(f"{type(found).__name__} has no attribute `{name}`")
            found = found._modules[name]
        return cast("Module", found)

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter of this dotted name. Raises AttributeError for an unknown name."""
        path, _, name = target.rpartition(".")
        param = self.get_submodule(path)._parameters.get(name)
        if param is None:
            raise AttributeError(f"`{name}` is not an nn.Parameter of {path or type(self).__name__}")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of this dotted name. Raises AttributeError for an unknown name."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"`{name}` is not a buffer of {path or type(self).__name__}")
        return buffer

    def register_forward_pre_hook(
        self, hook: Callable[[Any, Any], Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Have hook(module, args) called before each forward; what it returns, if not None, takes args' place."""
        if with_kwargs:
            raise NotImplementedError("with_kwargs=True is not offered; pass the arguments by position.")
        return _add_hook(self._forward_pre_hooks, hook, prepend)

    def register_forward_hook(
        self,
        hook: Callable[[Any, Any, Any], Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Have hook(module, args, output) called after each forward, after the hooks that are there already.

        args: the positional arguments of the call. What hook returns, if it is not None, takes output's place.
        Returns a handle whose remove() takes the hook away.
        """
        if with_kwargs or always_call:
            raise NotImplementedError("with_kwargs and always_call are not offered; leave them out.")
        return _add_hook(self._forward_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[[Any, Any, Any], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Have hook(module, grad_input, grad_output) called in backward, with the gradients as tuples of Tensors.

        grad_input has the gradients of the positional arguments, None for one that requires none. What hook returns,
        if it is not None, takes the place of the only argument's gradient.
        """

        def before(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            """Other uses of an argument have a gradient of their own: each call looks at a view."""
            needs = handle in self._forward_hooks
            return tuple([x.view_as(x) if needs and _requires_grad(x) else x for x in args])

        def after(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if not _requires_grad(output):
                return
            grad_input: list[Any] = [None] * len(args)
            grad_output: list[Any] = []
            waiting = {place for place, x in enumerate(args) if _requires_grad(x)}

            def arrived(place: int, grad: Any) -> Any:
                grad_input[place] = grad
                waiting.discard(place)
                return None if waiting else self._replaced(hook(module, tuple(grad_input), tuple(grad_output)), args)

            output.register_hook(grad_output.append)
            for place in waiting:
                args[place].register_hook(lambda grad, place=place: arrived(place, grad))
            if not waiting:
                output.register_hook(lambda grad: hook(module, tuple(grad_input), (grad,)) and None)

        handle = self.register_forward_hook(after, prepend=prepend)
        self.register_forward_pre_hook(before)
        return handle

    @staticmethod
    def _replaced(result: Any, args: tuple[Any, ...]) -> Any:
        """The gradient that a backward hook has returned, for the only argument."""
        if result is None:
            return None
        result = result if isinstance(result, tuple) else (result,)
        if len(args) != 1 or len(result) != 1:
            raise NotImplementedError(
                "a full backward hook that replaces the gradients of several arguments is not offered."
            )
        return result[0]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The Modules one level down, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The Modules one level down, each once."""
        for _, module in self.named_children():
            yield module

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
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

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


def _requires_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _add_hook(
    hooks: dict[RemovableHandle, Callable[..., Any]], hook: Callable[..., Any], prepend: bool
) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    others = list(hooks) if prepend else ()
    hooks[handle] = hook
    for other in others:
        hooks[other] = hooks.pop(other)
    return handle


def add_location(error: Exception, module: ModuleTree) -> None:
    """Add to an error in forward a note with the dotted name of the Module that it came from."""
    failed = error.__dict__.setdefault("module", module)
    for name, candidate in module.named_modules():
        if candidate is failed and name:
            where = f"in {type(module).__name__}.{name}: {failed!r}"
            notes = [note for note in getattr(error, "__notes__", []) if not note.startswith("in ")]
            error.__notes__ = [*notes, where]
