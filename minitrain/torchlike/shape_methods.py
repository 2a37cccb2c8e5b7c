"""Tensor's methods that change its shape, select from it, or convert its dtype."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.torchlike.arguments import (
    BOOL,
    FLOAT,
    LONG,
    TYPE_NAMES,
    as_axes,
    as_axis,
    as_dtype,
    as_indices,
    as_shape,
    dtype_of_type,
    in_torchs_words,
)
from minitrain.torchlike.device import device as Device
from minitrain.torchlike.names import named, numpy_names
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


def converts(name: str, dtype: npt.DTypeLike) -> Callable[[Any], Tensor]:
    """The method that converts a Tensor to this dtype."""

    def convert(self: Any) -> Tensor:
        return self.to(dtype)  # type: ignore[no-any-return]

    return named(convert, name, f"Self as {np.dtype(dtype)}.")


class ConversionMethods(TensorBase):
    """The methods named after built-in types, kept apart so that other methods' annotations can use those types."""

    def to(self, *args: Any, **options: Any) -> Tensor:
        """Self in another dtype; ShapeMethods has the body."""
        raise NotImplementedError

    def type(self, dtype: npt.DTypeLike | None = None) -> Any:
        """Self in another dtype; without an argument, the name of this one."""
        if dtype is None:
            return TYPE_NAMES[self.array.dtype]
        if isinstance(dtype, str):
            return self.to(dtype_of_type(dtype))
        return self.to(dtype.dtype if isinstance(dtype, FunctionType) else dtype)  # FloatTensor

    float, half, double = converts("float", FLOAT), converts("half", np.float16), converts("double", np.float64)
    int, long, bool = converts("int", np.int32), converts("long", LONG), converts("bool", BOOL)


class ShapeMethods(ConversionMethods):
    """Other shapes of the same elements, and other dtypes."""

    def reshape(self, *sizes: Any, shape: Sequence[int] | None = None) -> Tensor:
        """The elements in another shape; one size may be -1 and follows from the others."""
        sizes = as_shape(sizes if shape is None else (shape,))
        for i, number in enumerate(sizes):
            if number < -1:
                raise RuntimeError(f"invalid shape dimension {number} at index {i} of shape {list(sizes)}")
        try:
            return self._apply(ops.Reshape, self, shape=sizes)
        except ValueError:
            raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {self.numel()}") from None

    def view(self, *sizes: Any, size: Sequence[int] | None = None, dtype: npt.DTypeLike | None = None) -> Tensor:
        """reshape that never copies: raises RuntimeError where the memory's order would need it.

        A weight, which minitrain keeps as (in, out), is copied, since torch would not need to; a write to it raises.
        """
        if dtype is not None or (len(sizes) == 1 and isinstance(sizes[0], np.dtype)):
            raise NotImplementedError("view(dtype) is not offered; use .to(dtype) to convert the values.")
        result = self.reshape(*(sizes if size is None else (size,)))
        if result.numel() and not np.may_share_memory(result.array, self.array):
            if self._base is None:  # not a view: the order in memory is minitrain's choice
                result.array.flags.writeable = False
                return result
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            )
        return result

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes start_dim to end_dim made one; self, where that is one axis already."""
        start, end = as_axis(start_dim, self.array.ndim), as_axis(end_dim, self.array.ndim)
        if start > end:
            raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
        if start == end and self.array.ndim > 0:
            return self._self()
        return self._apply(ops.Flatten, self, start_dim=start, end_dim=end)

    @numpy_names
    def squeeze(self, *dims: Any, dim: int | Sequence[int] | None = None) -> Tensor:
        """Without its axes of size 1, or without those of them that dim names; squeeze(0, 1) names several."""
        shape = self.array.shape
        dim = dims[0] if len(dims) == 1 else dims or dim
        axes = () if isinstance(dim, Sequence) and not dim else as_axes(dim, self.array.ndim)
        return self.reshape([size for axis, size in enumerate(shape) if size != 1 or axis not in axes])

    @numpy_names
    def unsqueeze(self, dim: int) -> Tensor:
        """With an axis of size 1 put in at dim."""
        axis = as_axis(dim, self.array.ndim + 1)
        return self.reshape([*self.array.shape[:axis], 1, *self.array.shape[axis:]])

    def expand(self, *sizes: Any, size: Sequence[int] | None = None) -> Tensor:
        """Repeated along axes of size 1 to a larger shape, without copying; -1 keeps a size."""
        shape = list(as_shape(sizes if size is None else (size,)))
        added = len(shape) - self.array.ndim
        for axis, own in enumerate(self.array.shape, start=added):
            if added >= 0 and own not in (1, shape[axis]) and shape[axis] != -1:
                raise RuntimeError(
                    f"The expanded size of the tensor ({shape[axis]}) must match the existing size ({own}) at "
                    f"non-singleton dimension {axis}.  Target sizes: {shape}.  Tensor sizes: {list(self.shape)}"
                )
            if added < 0:
                raise RuntimeError(f"expand: shape {list(self.shape)} cannot be expanded to {shape}")
            shape[axis] = own if shape[axis] == -1 else shape[axis]
        if any(number < 0 for number in shape):
            raise RuntimeError(f"expand: shape {list(self.shape)} cannot be expanded to {shape}")
        return self._apply(ops.Expand, self, shape=tuple(shape))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes swapped."""
        axis0, axis1 = as_axis(dim0, self.array.ndim), as_axis(dim1, self.array.ndim)
        return self._apply(ops.Transpose, self, dim0=axis0, dim1=axis1) if self.array.ndim else self.reshape(())

    def permute(self, *axes: Any, dims: Sequence[int] | None = None) -> Tensor:
        """The axes in the order dims."""
        given = as_shape(axes if dims is None else (dims,))
        order = tuple(as_axis(dim, self.array.ndim) for dim in given) if len(given) == self.array.ndim else ()
        if len(given) != self.array.ndim or len(set(order)) != self.array.ndim:
            raise RuntimeError(f"permute(dims): dims {list(given)} are not an order of the {self.array.ndim} axes")
        return self._apply(ops.Permute, self, dims=order)

    def t(self) -> Tensor:
        """A matrix transposed; a vector as it is."""
        if self.array.ndim > 2:
            raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.array.ndim}D")
        return self.transpose(0, 1) if self.array.ndim == 2 else self.reshape(self.array.shape)

    @property
    def T(self) -> Tensor:  # noqa: N802, torch's name
        """A matrix transposed; other Tensors with all axes reversed, which torch deprecates."""
        if self.array.ndim != 2:
            warnings.warn(
                f"The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated; this one "
                f"has {self.array.ndim}. Use x.mT for matrices, or x.permute(...).",
                stacklevel=2,
            )
        return self.permute(*reversed(range(self.array.ndim))) if self.array.ndim > 2 else self.t()

    @property
    def H(self) -> Tensor:  # noqa: N802, torch's name
        """A matrix transposed."""
        if self.array.ndim not in (0, 2):
            raise RuntimeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {self.array.ndim}-D tensor. For batches of "
                "matrices, consider using tensor.mH"
            )
        return self.t()

    @property
    def mT(self) -> Tensor:  # noqa: N802, torch's name
        """The last two axes swapped."""
        return self._matrices_transposed("mT")

    @property
    def mH(self) -> Tensor:  # noqa: N802, torch's name
        """mT: there are no complex numbers."""
        return self._matrices_transposed("mH")

    def _matrices_transposed(self, name: str) -> Tensor:
        if self.array.ndim < 2:
            raise RuntimeError(
                f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.array.ndim}-D tensor."
            )
        return self.transpose(-2, -1)

    def contiguous(self) -> Tensor:
        """Self if its elements lie in the order of their indices, else a copy in which they do."""
        return self._self() if self.is_contiguous() else self.clone(order="C")

    def clone(self, *, order: Literal["K", "C"] = "K") -> Tensor:
        """A copy, in the same memory order; gradients flow back through it."""
        return self._apply(ops.Clone, self, order=order)

    def __getitem__(self, index: Any) -> Tensor:
        result = self._self()
        try:
            for step in as_indices(index, self.array.ndim):
                result = result._picked_at(step)
        except IndexError as error:
            raise IndexError(in_torchs_words(error, result.ndim, index)) from None
        return result

    def _picked_at(self, index: Any) -> Tensor:
        """A view; or a copy in the order of its indices, where NumPy lays out the axes of arrays first."""
        result = self._apply(ops.Index, self, index=index)
        if result._base is None:
            result.array = np.asarray(result.array, order="C")
        return result

    def to(self, *args: Any, dtype: npt.DTypeLike | None = None, device: Any = None, **options: Any) -> Tensor:
        """Self in another dtype: to(dtype), to(device), to(device, dtype) or to(other Tensor). The device is the CPU.

        copy=True copies even where nothing changes; non_blocking has no meaning here.
        """
        copy = options.pop("copy", False)
        options.pop("non_blocking", False)
        if options:
            raise TypeError(f"to() got an unexpected keyword argument {next(iter(options))!r}")
        for arg in args:
            if isinstance(arg, TensorBase):
                dtype = arg.dtype
            elif isinstance(arg, Device | str):
                device = arg
            else:
                dtype = arg
        if device is not None:
            Device(device)
        target = self.dtype if dtype is None else as_dtype(dtype)
        if target == self.dtype:
            return self.clone() if copy else self._self()
        if target.kind != "f":
            with np.errstate(invalid="ignore"):
                return self._new(self.array.astype(target))
        return self._apply(ops.ToCopy, self, dtype=target)

    def cpu(self) -> Tensor:
        """Self: it is on the CPU."""
        return self._self()
