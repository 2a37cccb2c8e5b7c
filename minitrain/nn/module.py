"""Parameter and Module: a model is a tree of Modules with Parameters as its leaves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minitrain.ops import Array
from minitrain.tensor import Tensor, increment_version
from minitrain.torchlike.arguments import as_dtype


class Parameter(Tensor):
    """A Tensor that a Module learns: a leaf that asks for a gradient, on data's own memory."""

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter expects a Tensor, but got {type(data).__name__}; wrap it in minitrain.tensor()."
            )
        super().__init__(data.array, requires_grad)
        self._version = data._version

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns: the keys it missed, and those it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


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


class Module:
    """A part of a model, with Parameters and further Modules as attributes.

    Subclasses call super().__init__() first, assign their parts to attributes, and define forward(...).
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _forward_hooks: dict[RemovableHandle, Callable[..., Any]]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for name in ("_parameters", "_buffers", "_modules", "_forward_hooks"):
            object.__setattr__(self, name, {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the Module computes; every subclass has its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            output = self.forward(*args, **kwargs)
            if self._forward_hooks:
                for hook in list(self._forward_hooks.values()):
                    replacement = hook(self, args, output)
                    output = output if replacement is None else replacement
            return output
        except Exception as error:
            _say_where(error, self)
            raise

    # Attributes: Parameters, buffers and Modules are kept apart, in the order of their assignment.

    def __setattr__(self, name: str, value: Any) -> None:
        # What a name was registered as it stays, until a Parameter or a Module takes its place.
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
        if not isinstance(module, Module | None):
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

    # The tree.

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
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
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

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The Parameters, each once: what an optimizer is given."""
        return (param for _, param in self.named_parameters(recurse=recurse))

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
        fn(self)
        return self

    # Modes, gradients, dtype.

    def train(self, mode: bool = True) -> Self:
        """Set training mode (Dropout drops) here and below, or evaluation mode; returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, but got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all Parameters, or freeze them; returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all Parameters' gradients, or set them to 0."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()

    def to(self, *args: Any, dtype: npt.DTypeLike | None = None, device: Any = None, **options: Any) -> Self:
        """Change the floating dtype of all Parameters and buffers, as Tensor.to; the device is the CPU."""
        target = Tensor(np.empty(0, np.float32)).to(*args, dtype=dtype, device=device, **options).dtype
        if target.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got {target}")
        if dtype is None and not any(isinstance(arg, Tensor | np.dtype | type) for arg in args):
            return self
        for param in self.parameters():
            for part in (param, param._grad):
                if part is not None:
                    part.array = part.detach().to(target).array
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    module._buffers[name] = buffer.to(
                        target
                    )  # a new Tensor: whoever gave the buffer keeps it as it was
        return self

    def float(self) -> Self:
        """Make all Parameters and buffers float32."""
        return self.to(as_dtype(np.float32))

    def double(self) -> Self:
        """Make all Parameters and buffers float64."""
        return self.to(as_dtype(np.float64))

    def cpu(self) -> Self:
        """Self: it is on the CPU."""
        return self

    # State.

    def _state(self) -> OrderedDict[str, Tensor]:
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None:
                    state[f"{path}.{name}" if path else name] = tensor
        return state

    def state_dict(self) -> OrderedDict[str, Tensor]:
        """All Parameters and buffers by their dotted names, detached; they share memory with the Module's own."""
        return OrderedDict((name, tensor.detach()) for name, tensor in self._state().items())

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into the Parameters and buffers that are there: their memory, its order and dtype stay.

        state_dict: Tensors or arrays by name, as state_dict() gives them; torch's too.
        strict: whether missing and unexpected keys are errors; misshapen values always are.
        Raises RuntimeError with all that does not fit; nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        own = self._state()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        arrays = {name: _as_array(state_dict[name]) for name in own if name in state_dict}
        problems = []
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        for name, array in arrays.items():
            if array is None:
                problems.append(
                    f'While copying the parameter named "{name}", expected Tensor or array from checkpoint but '
                    f"received {type(state_dict[name])}"
                )
            elif array.shape != own[name].array.shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {list(array.shape)} from checkpoint, "
                    f"the shape in current model is {list(own[name].shape)}."
                )
        if problems:
            listed = "\n\t".join(problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        with np.errstate(all="ignore"):  # a float64 too large for float32 becomes inf silently, as in torch
            for name, array in arrays.items():
                own[name].array[...] = array
                increment_version(own[name])
        return IncompatibleKeys(missing, unexpected)

    # How it prints.

    def extra_repr(self) -> str:
        """What stands between the brackets of the Module's line."""
        return ""

    def __repr__(self) -> str:
        parts = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self._modules.items()]
        extra = self.extra_repr().splitlines()
        if not parts and len(extra) <= 1:
            return f"{type(self).__name__}({''.join(extra)})"
        return "\n  ".join([f"{type(self).__name__}(", *extra, *parts]) + "\n)"


def _as_array(value: Any) -> Array | None:
    """The numbers in a Tensor, a torch tensor or an array, whether or not it requires a gradient; else None."""
    if not hasattr(value, "__array__"):
        return None
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return array if array.dtype.kind in "biuf" else None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _say_where(error: Exception, module: Module) -> None:
    """Add to an error in forward a note with the dotted name of the Module that it came from."""
    failed = error.__dict__.setdefault("module", module)
    for name, candidate in module.named_modules():
        if candidate is failed and name:
            where = f"in {type(module).__name__}.{name}: {failed!r}"
            notes = [note for note in getattr(error, "__notes__", []) if not note.startswith("in ")]
            error.__notes__ = [*notes, where]
