"""The base of Tensor: its attributes, conversions to Python and NumPy, .grad and its warnings, views, copies."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.ops import Array, Context, Function
from minitrain.torchlike.arguments import (
    Scalar,
    Size,
    as_axis,
    as_dtype,
    category,
    dtype_of_number,
    get_default_dtype,
    promote_types,
)
from minitrain.torchlike.device import CPU
from minitrain.torchlike.device import device as Device
from minitrain.torchlike.grad_mode import enable_grad, grad_mode
from minitrain.torchlike.hooks import GradientHooks, RemovableHandle
from minitrain.torchlike.node_base import Version
from minitrain.torchlike.not_offered import explanation
from minitrain.torchlike.printing import format_tensor

if TYPE_CHECKING:
    from minitrain.tape import Node
    from minitrain.tensor import Tensor


VIEWS = {ops.Reshape, ops.Flatten, ops.Transpose, ops.Permute, ops.Expand, ops.Index}
VIEWS |= {ops.Diagonal, ops.Unfold}
CUSTOM_VIEW = "it is a view made by an operation of your own, which cannot be taken again; clone() it first"
RESHAPED = "it is a view of a Tensor whose shape was changed in place; write the change out of place: x = x.squeeze()"
NO_GRAD_VIEW = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled, or its base was written "
    "to since. Take the view and write to the memory both inside no_grad, or both outside."
)


class TensorBase:
    """What the methods of a Tensor rest on; tensor.py has the rest: how it is recorded, and backward."""

    array: Array
    _version: Version
    _apply: ClassVar[Callable[..., Tensor]]  # tensor.apply: runs an operation and records it
    _new: ClassVar[Callable[..., Tensor]]  # a Tensor around an array

    # Defaults that few Tensors override; kept on the class to save memory and time.
    _grad_fn: Node | None = None
    _accumulator: weakref.ref[Any] | None = None  # a leaf's edge, while a graph holds it
    _grad: Tensor | None = None
    _requires_grad = False
    _base: TensorBase | None = None  # the Tensor whose memory this one is a view of
    # The operation that made it a view, after those of the view it was taken from: (earlier, function, options).
    _view: tuple[Any, type[Function], dict[str, Any]] | None = None
    _inference = False  # whether it was made in inference_mode
    _reshaped = 0  # how often its shape was changed in place: views from before such a change cannot be taken again
    _born_at_shape = 0  # how often that had happened to its base
    _refusal = ""  # why a write into this view cannot be recorded
    _born_at_version = 0  # the version that its history belongs to
    _recorded_at_version = 0  # the version that the last recorded in-place operation made
    _hooks: GradientHooks | None = None  # a leaf's; those of a result hang on its Node
    _after_grad_hooks: GradientHooks | None = None

    def _self(self) -> Tensor:
        return self  # type: ignore[return-value]  # every TensorBase is a Tensor

    def _become_view(self, inputs: Sequence[Any], function: type[Function], options: dict[str, Any]) -> None:
        """Note that this Tensor, the operation's result, is a view of whichever input it shares memory with."""
        for x in inputs:
            if isinstance(x, TensorBase) and np.may_share_memory(self.array, x.array):
                self._base, self._born_at_shape = (x, x._reshaped) if x._base is None else (x._base, x._born_at_shape)
                self._version, self._born_at_version = x._version, x._version.number
                if function not in VIEWS or (x._base is not None and x._view is None):
                    self._refusal = x._refusal or CUSTOM_VIEW
                else:
                    self._view, self._refusal = (x._view, function, options), x._refusal
                if not grad_mode.enabled:
                    self._requires_grad, self._refusal = x._requires_grad, NO_GRAD_VIEW

    def _views(self) -> list[tuple[type[Function], dict[str, Any]]]:
        """The operations that made it from _base, in order."""
        operations, view = [], self._view
        while view is not None:
            view, function, options = view
            operations.append((function, options))
        return operations[::-1]

    def _see(self, array: Array) -> Array:
        """This view of another array like its base's."""
        for function, options in self._views():
            array = function.forward(Context(()), array, **options)
        return array

    def _renew_history(self) -> None:
        """Take the view again, if a recorded write has changed its base since."""
        if self._base is None or self._version.number == self._born_at_version or not self._base._requires_grad:
            return
        if self._refusal == NO_GRAD_VIEW:
            raise RuntimeError(NO_GRAD_VIEW)
        if self._base._recorded_at_version > self._born_at_version:
            if self._view is None or self._base._reshaped != self._born_at_shape:
                why = CUSTOM_VIEW if self._view is None else RESHAPED
                raise RuntimeError(f"This view's memory was changed by a recorded in-place operation: {why}.")
            with enable_grad():
                renewed = self._base
                for function, options in self._views():
                    renewed = self._apply(function, renewed, **options)
            self._grad_fn, self._requires_grad = renewed._grad_fn, renewed._requires_grad
            self._born_at_version = self._version.number

    @property
    def grad_fn(self) -> Node | None:
        """The Node of the operation whose result this Tensor is; None for a leaf."""
        self._renew_history()
        return self._grad_fn

    @property
    def shape(self) -> Size:
        """The size along each axis."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' type, a NumPy dtype."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def device(self) -> Device:
        """The CPU."""
        return CPU

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one axis."""
        return self.shape if dim is None else self.array.shape[as_axis(dim, self.ndim)]

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float's."""
        return self.array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in the order of their indices."""
        return self.array.flags.c_contiguous

    def __repr__(self) -> str:
        suffixes = []
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        return format_tensor(self.array, suffixes)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __len__(self) -> int:
        if not self.array.shape:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self._self().unbind())

    __hash__ = object.__hash__

    def __delitem__(self, index: Any) -> None:
        raise TypeError("Tensor does not support deleting items; select those to keep: x[mask], or torch.cat([...]).")

    def __reversed__(self) -> Tensor:
        return self._self()[np.arange(len(self) - 1, -1, -1)]

    def __getattr__(self, name: str) -> Any:
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name.startswith("_"):  # NumPy and others ask for many of these
            raise AttributeError(text)
        raise AttributeError(f"{text}: {explanation(f'Tensor.{name}', dir(type(self)))}")

    def item(self) -> Any:
        """The only element, as a Python number. Raises RuntimeError if there are more, or none."""
        if self.array.size != 1:
            raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
        return self.array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    def numpy(self) -> Array:
        """The array inside, sharing memory. Raises RuntimeError where a gradient would be lost unnoticed."""
        if self.requires_grad and grad_mode.enabled:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    __array_priority__ = 1000  # ndarray * Tensor is left to Tensor.__rmul__

    def __bool__(self) -> bool:
        if self.array.size != 1:
            kind = "no value" if self.array.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self._only_element())

    def __int__(self) -> int:
        return int(self._only_element())

    def _only_element(self) -> Any:
        if self.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.array.item()

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype.kind not in "biu":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is asked for, here or by a Tensor that this one was made from."""
        return self._requires_grad or (self._base is not None and self._base._requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.grad_fn is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables; use detach() instead.")
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, but this is {self.dtype}")
        if value and not self.requires_grad:
            self._base = self._view = None  # a leaf of its own from now on, whatever memory it shares
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Require a gradient, or no longer; returns self."""
        if not (requires_grad and self.requires_grad):
            self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by hand, not by a recorded operation; only leaves get a .grad of themselves."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients that backward has brought so far; None before the first, and after zero_grad."""
        if self._grad is None and self._grad_fn is not None and self._grad_fn._retain_for is None:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. It is None, unless "
                "retain_grad() is called on that Tensor before backward().",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"assigned grad has shape {list(value.shape)} and dtype {value.dtype}, but the Tensor has shape "
                    f"{list(self.shape)} and dtype {self.dtype}; a gradient has its Tensor's."
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def retain_grad(self) -> None:
        """Have backward leave this Tensor's gradient in .grad although it is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self.grad_fn._retain_for = weakref.ref(self)

    def detach(self) -> Tensor:
        """The same memory as a Tensor with no history."""
        detached = self._new(self.array)
        detached._version = self._version
        return detached

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Have backward call hook with this Tensor's gradient; a Tensor that it returns takes the gradient's place.

        The gradient is complete then. A leaf's hooks are called at the end of the walk, before it comes into .grad.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        owner: Any = self if self.grad_fn is None else self.grad_fn
        if owner._hooks is None:
            owner._hooks = GradientHooks(self._new)
        return owner._hooks.add(hook)  # type: ignore[no-any-return]

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Have backward call hook with this leaf after its gradient has come into .grad."""
        if not self.requires_grad or self.grad_fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._after_grad_hooks is None:
            self._after_grad_hooks = GradientHooks(self._new)
        return self._after_grad_hooks.add(hook)

    def _first_gradient(self, gradient: Tensor | None, create_graph: bool) -> Array:
        """The gradient that backward starts from: the caller's, checked, or 1 for a Tensor of one element."""
        if create_graph:
            raise NotImplementedError("create_graph=True (gradients of gradients) is not offered; use torch for it.")
        if not self._requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn: nothing that this Tensor was "
                "computed from requires a gradient, or it was computed under no_grad()."
            )
        if gradient is None:
            if self.array.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, but this Tensor has shape "
                    f"{list(self.shape)}; reduce it first (.sum() or .mean()), or pass gradient=."
                )
            return np.ones(self.array.shape, self.array.dtype)
        if not isinstance(gradient, TensorBase):
            raise TypeError(f"gradient must be a Tensor or None, but got {type(gradient).__name__}")
        grad = gradient.array.astype(self.dtype, copy=False)
        if grad.shape != self.array.shape:
            raise RuntimeError(
                f"Mismatch in shape: gradient has a shape of {list(grad.shape)} and the Tensor has a shape of "
                f"{list(self.shape)}."
            )
        return grad

    @property
    def data(self) -> Tensor:
        """The same memory with no history; writing to it goes unnoticed by backward's guards (prefer detach())."""
        return self._new(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(f"data must be a Tensor, but got {type(value).__name__}")
        if self._base is not None:  # a view's memory is its base's, which keeps its values
            self.array, self._base, self._view, self._version = value.array, None, None, Version()
        elif value.array.shape == self.array.shape and value.array.dtype == self.array.dtype:
            self.array[...] = value.array  # the memory that is there stays, and its order with it
        elif self._requires_grad and not value.is_floating_point():
            raise RuntimeError(
                f"data set to a tensor that requires gradients must be floating point, not {value.dtype}"
            )
        else:
            self.array, self._accumulator = value.array, None

    def __getstate__(self) -> dict[str, Any]:
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol; "
                "use detach() or clone() on a result."
            )
        return {"array": self.array, "_requires_grad": self._requires_grad, "_grad": self._grad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._version = Version()
        self.__dict__.update(state)

    def _operand(self, x: Any) -> Any:
        """x as an operand: a Tensor, a Python number (also for a NumPy scalar), a Tensor around an ndarray."""
        if isinstance(x, np.generic):
            x = x.item()
        if isinstance(x, (TensorBase, bool, int, float)):  # a third of the time of X | Y
            return x
        if isinstance(x, np.ndarray):
            as_dtype(x.dtype)
            return self._new(x)
        raise TypeError(f"an operand must be a Tensor or a number, but got {type(x).__name__}")


def legacy_array(data: tuple[Any, ...], device: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """The array of torch's old constructors: of a list, an ndarray or a Tensor, or of sizes, with arbitrary values."""
    if device is not None:
        Device(device)
    dtype = get_default_dtype() if dtype is None else dtype
    if len(data) == 1 and isinstance(data[0], TensorBase):
        return data[0].array
    if len(data) == 1 and isinstance(data[0], Size):
        data = tuple(data[0])
    if len(data) == 1 and isinstance(data[0], list | tuple | np.ndarray):
        return np.array(data[0], dtype)
    if not all(isinstance(size, int) and not isinstance(size, bool) for size in data):
        raise TypeError(f"new(): data must be a sequence (got {type(data[0]).__name__}); use torch.tensor(number).")
    return np.empty(data or 0, dtype)


def increment_version(tensor: TensorBase) -> None:
    """Note that tensor.array was written in place, so that a backward that still needs the old values refuses."""
    tensor._version.number += 1


def result_type(*operands: TensorBase | Scalar) -> np.dtype[Any]:
    """The dtype of an operation on these operands, as in torch.

    A float outranks an integer, an integer a bool. Among operands of one such kind, Tensors with axes outrank Tensors
    without (0-d), and these outrank Python numbers.
    """
    return _promoted(
        *[
            (x.array.dtype, 2 if x.array.ndim else 1) if isinstance(x, TensorBase) else (dtype_of_number(x), 0)
            for x in operands
        ]
    )


@functools.lru_cache(256)
def _promoted(*operands: tuple[np.dtype[Any], int]) -> np.dtype[Any]:
    """result_type of operands with these dtypes and ranks: 2 for a Tensor with axes, 1 for one without, 0 a number."""
    groups = [[dtype for dtype, rank in operands if rank == wanted] for wanted in (2, 1, 0)]
    by_rank = [functools.reduce(promote_types, group) for group in groups if group]
    return max(by_rank, key=category)  # the first of equals
