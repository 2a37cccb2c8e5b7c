"""The base of Module, continued: its state as a dict, loading one, and moving to another dtype."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minitrain.nn.module_tree import ModuleTree
from minitrain.ops import Array
from minitrain.tensor import Tensor, increment_version, wrap
from minitrain.torchlike.arguments import as_dtype


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns: the keys it missed, and those it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class ModuleState(ModuleTree):
    """A tree of Modules with a state."""

    def to(self, *args: Any, dtype: npt.DTypeLike | None = None, device: Any = None, **options: Any) -> Self:
        """Change the floating dtype of all Parameters and buffers, as Tensor.to; the device is the CPU."""
        target = wrap(np.empty(0, np.float32)).to(*args, dtype=dtype, device=device, **options).dtype
        if target.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got {target}")
        if dtype is None and not any(isinstance(arg, Tensor | np.dtype | type) for arg in args):
            return self
        for _, param in self.named_parameters():
            for part in (param, param._grad):
                if part is not None:
                    part.data = part.detach().to(target)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    module._buffers[name] = buffer.to(target)  # a new Tensor: the one that was given stays as it was
        return self

    def float(self) -> Self:
        """Make all Parameters and buffers float32."""
        return self.to(as_dtype(np.float32))

    def half(self) -> Self:
        """Make all Parameters and buffers float16."""
        return self.to(as_dtype(np.float16))

    def double(self) -> Self:
        """Make all Parameters and buffers float64."""
        return self.to(as_dtype(np.float64))

    def cpu(self) -> Self:
        """Self: it is on the CPU."""
        return self

    def _state(self) -> OrderedDict[str, Tensor]:
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None and name not in module._not_saved:
                    state[f"{path}.{name}" if path else name] = tensor
        return state

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """All Parameters and saved buffers by their dotted names; they share memory with the Module's own.

        destination: a dict to add them to. prefix: of their names. keep_vars: the Parameters themselves, not detached.
        """
        state: OrderedDict[str, Tensor] = OrderedDict() if destination is None else destination
        for name, tensor in self._state().items():
            state[prefix + name] = tensor if keep_vars else tensor.detach()
        return state

    def _before_load(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        """For layers that take their sizes from what they load; prefix: of this Module's names."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into the Parameters and buffers that are there: their memory, its order and dtype stay.

        state_dict: Tensors or arrays by name, as state_dict() gives them; torch's too.
        strict: whether missing and unexpected keys are errors; misshapen values always are.
        Raises RuntimeError with all that does not fit; nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        for path, module in list(self.named_modules()):
            module._before_load(state_dict, f"{path}." if path else "")
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


def _as_array(value: Any) -> Array | None:
    """The numbers in a Tensor, a torch tensor or an array, whether or not it requires a gradient; else None."""
    if not hasattr(value, "__array__"):
        return None
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return array if array.dtype.kind in "biuf" else None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
