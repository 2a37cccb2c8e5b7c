"""Tensor's methods that cut it into parts, repeat, turn and move it, and move its axes."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import ops
from minitrain.torchlike.arguments import as_axes, as_axis, as_shape
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.shape_methods import ShapeMethods
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class ArrangementMethods(ShapeMethods):
    """Parts, and whatever moves axes only, are views; repeats, flips and rolls are copies."""

    # Parts.

    def _part(self, axis: int, start: int, stop: int) -> Tensor:
        return self._apply(ops.Index, self, index=(*(slice(None),) * axis, slice(start, stop), Ellipsis))

    def _one_of_several(self, parts: Sequence[Tensor], name: str) -> tuple[Tensor, ...]:
        """The parts, marked: as in torch, a write into a view that is one of several is not recorded."""
        for i, part in enumerate(parts):
            part._refusal = part._refusal or (
                f"Output {i} of {name}Backward0 is a view and is being modified inplace. This view is the output of a "
                "function that returns multiple views. Such functions do not allow the output views to be modified "
                "inplace. You should replace the inplace operation by an out-of-place one."
            )
        return tuple(parts)

    @numpy_names
    def narrow(self, dim: int, start: Any, length: int) -> Tensor:
        """The elements start to start + length - 1 along dim."""
        if self.array.ndim == 0:
            raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
        axis, first = as_axis(dim, self.array.ndim), operator.index(start)
        size = self.array.shape[axis]
        if length < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        if not -size <= first <= size:
            raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {first})")
        first += size if first < 0 else 0
        if first + length > size:
            raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({size}).")
        return self._part(axis, first, first + length)

    @numpy_names
    def select(self, dim: int, index: int) -> Tensor:
        """The slice at index along dim, without that axis."""
        if self.array.ndim == 0:
            raise IndexError("select() cannot be applied to a 0-dim tensor.")
        axis = as_axis(dim, self.array.ndim)
        size = self.array.shape[axis]
        if not -size <= index < size:
            raise IndexError(
                f"select(): index {index} out of range for tensor of size {list(self.shape)} at dimension {axis}"
            )
        return self._apply(ops.Index, self, index=(*(slice(None),) * axis, index, Ellipsis))

    @numpy_names
    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts along dim of split_size each, the last perhaps smaller, or of the sizes in a list."""
        if self.array.ndim == 0:
            raise RuntimeError("split expects at least a 1-dimensional tensor")
        axis = as_axis(dim, self.array.ndim)
        size = self.array.shape[axis]
        if isinstance(split_size, Sequence):
            if sum(split_size) != size or any(part < 0 for part in split_size):
                raise RuntimeError(
                    f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                    f"{axis}), but got split_sizes={list(split_size)}"
                )
            ends = np.cumsum(split_size).tolist()
            parts = [self._part(axis, end - part, end) for part, end in zip(split_size, ends, strict=True)]
            return self._one_of_several(parts, "SplitWithSizes")
        if split_size < 0 or (split_size == 0 and size):
            raise RuntimeError(f"split expects split_size be non-negative, and 0 of size 0 only, but got {split_size}")
        starts = range(0, size, split_size) if size else [0]
        return self._one_of_several([self._part(axis, i, min(i + split_size, size)) for i in starts], "Split")

    @numpy_names
    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most so many parts along dim, all of one size but the last."""
        if self.array.ndim == 0:
            raise RuntimeError("chunk expects at least a 1-dimensional tensor")
        if chunks <= 0:
            raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
        size = self.array.shape[as_axis(dim, self.array.ndim)]
        return self.split(-(-size // chunks), dim) if size else self.split([0] * chunks, dim)

    @numpy_names
    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """So many parts along dim, nearly equal, or the parts before, between and after indices."""
        if self.array.ndim == 0:
            raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
        axis, given = as_axis(dim, self.array.ndim), indices_or_sections
        size, given = self.array.shape[axis], given.tolist() if isinstance(given, TensorBase) else given
        if isinstance(given, int):
            if given <= 0:
                raise RuntimeError(f"number of sections must be larger than 0, got {given}")
            edges = [i * (size // given) + min(i, size % given) for i in range(1, given)]
        else:
            edges = [slice(end).indices(size)[1] for end in given]
        pairs = zip([0, *edges], [*edges, size], strict=True)
        return tuple([self._part(axis, start, max(start, stop)) for start, stop in pairs])

    def _split_along(self, name: str, given: Any, dim: int, least: int) -> tuple[Tensor, ...]:
        if self.array.ndim < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension(s)")
        size = self.array.shape[dim]
        if isinstance(given, int) and (given <= 0 or size % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is not "
                f"divisible by the split_size {given}!"
            )
        return self.tensor_split(given, dim)

    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split into equal parts along axis 1, of a vector along its axis."""
        return self._split_along("hsplit", indices_or_sections, min(self.array.ndim - 1, 1), 1)

    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split into equal parts along axis 0."""
        return self._split_along("vsplit", indices_or_sections, 0, 2)

    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split into equal parts along axis 2."""
        return self._split_along("dsplit", indices_or_sections, 2, 3)

    @numpy_names
    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The slices along dim, without that axis."""
        if self.array.ndim == 0:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        axis = as_axis(dim, self.array.ndim)
        return self._one_of_several([self.select(axis, i) for i in range(self.array.shape[axis])], "Unbind")

    @numpy_names
    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """The windows of this size along an axis, every step-th, each on a new last axis; a view."""
        axis = as_axis(dimension, self.array.ndim)
        own = self.array.shape[axis] if self.array.ndim else 1
        if not 0 <= size <= own:
            raise RuntimeError(f"maximum size for tensor at dimension {axis} is {own} but size is {size}")
        if step <= 0:
            raise RuntimeError(f"step is {step} but must be > 0")
        x = self if self.array.ndim else self.reshape(1)
        windows = self._apply(ops.Unfold, x, dim=axis, size=size, step=step)
        return windows if self.array.ndim else windows.reshape(-1)

    # Repeats.

    def repeat(self, *repeats: Any) -> Tensor:
        """Copied along each axis so often; more numbers than axes add axes in front."""
        times = as_shape(repeats)
        added = len(times) - self.array.ndim
        if added < 0:
            raise RuntimeError(
                "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
            )
        sizes = (*(1,) * added, *self.array.shape)
        if any(n < 0 for n in times):
            raise RuntimeError(f"Trying to create tensor with negative dimension: repeats are {list(times)}")
        apart = self.reshape([n for size in sizes for n in (1, size)])
        whole = apart.expand([n for time, size in zip(times, sizes, strict=True) for n in (time, size)])
        return whole.clone(order="C").reshape([time * size for time, size in zip(times, sizes, strict=True)])

    def tile(self, *repeats: Any, dims: Sequence[int] | None = None) -> Tensor:
        """repeat, with 1 for axes in front that dims leaves out."""
        times = as_shape(repeats if dims is None else (dims,))
        return self.repeat((1,) * (self.array.ndim - len(times)) + times)

    @numpy_names
    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        """Each element along dim so often in a row; of all elements in order without dim."""
        x = self.reshape(-1) if dim is None or self.array.ndim == 0 else self._self()
        axis = 0 if dim is None else as_axis(dim, self.array.ndim)
        times = repeats.array if isinstance(repeats, TensorBase) else np.asarray(repeats)
        if times.size not in (1, x.shape[axis]) or times.ndim > 1:
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = {times.size} and "
                f"input.size({axis}) = {x.shape[axis]}"
            )
        if times.dtype.kind not in "iu":
            raise RuntimeError(f"repeats has to be Long or Int tensor, but is {times.dtype}")
        if (times < 0).any():
            raise RuntimeError("repeats can not be negative")
        places = np.repeat(np.arange(x.shape[axis]), times)
        return self._apply(ops.Index, x, index=(*(slice(None),) * axis, places))

    # Turns.

    def flip(self, *axes: Any, dims: Sequence[int] | None = None) -> Tensor:
        """In the opposite order along dims: flip(0, 1), flip((0, 1)) or flip(dims=(0, 1))."""
        if not axes and dims is None:
            raise TypeError('flip() missing 1 required positional arguments: "dims"')
        given = as_shape(axes if dims is None else (dims,))
        return self._apply(ops.Flip, self, dims=as_axes(given, self.array.ndim) if given else ())

    def fliplr(self) -> Tensor:
        """In the opposite order along axis 1."""
        if self.array.ndim < 2:
            raise RuntimeError("Input must be >= 2-d.")
        return self.flip(1)

    def flipud(self) -> Tensor:
        """In the opposite order along axis 0."""
        if self.array.ndim < 1:
            raise RuntimeError("Input must be >= 1-d.")
        return self.flip(0)

    @numpy_names
    def roll(self, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
        """Moved on along dims, or through all elements in order; what leaves at the end comes in at the start."""
        by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
        if dims is None or (isinstance(dims, Sequence) and not dims):
            if len(by) != 1:
                raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:0")
            return self._apply(ops.Roll, self.reshape(-1), shifts=by, dims=(0,)).reshape(self.array.shape)
        axes = [as_axis(dim, self.array.ndim) for dim in ((dims,) if isinstance(dims, int) else dims)]
        if len(by) != len(axes):
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(axes)}")
        return self._apply(ops.Roll, self, shifts=by, dims=tuple(axes))

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
        """Turned by k quarters in the plane of two axes, from the first towards the second."""
        if len(dims) != 2:
            raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
        if self.array.ndim < 2:
            raise RuntimeError(f"expected total dims >= 2, but got total dims = {self.array.ndim}")
        a, b = (as_axis(dim, self.array.ndim) for dim in dims)
        if a == b:
            raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
        match k % 4:
            case 1:
                return self.flip(b).transpose(a, b)
            case 2:
                return self.flip(a, b)
            case 3:
                return self.flip(a).transpose(a, b)
        return self.clone()

    # Axes.

    def movedim(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """With the axes source at the places destination; the others keep their order."""
        given = [(dims,) if isinstance(dims, int) else tuple(dims) for dims in (source, destination)]
        if len(given[0]) != len(given[1]):
            raise RuntimeError("movedim: Invalid source or destination dims: they must have the same number of dims")
        taken, places = (as_axes(dims, self.array.ndim) if dims else () for dims in given)
        order = [axis for axis in range(self.array.ndim) if axis not in taken]
        for place, axis in sorted(zip(places, taken, strict=True)):
            order.insert(place, axis)
        return self.permute(order)

    moveaxis = movedim

    def swapaxes(self, axis0: int, axis1: int) -> Tensor:
        """Two axes swapped."""
        return self.transpose(axis0, axis1)

    def swapdims(self, dim0: int, dim1: int) -> Tensor:
        """Two axes swapped."""
        return self.transpose(dim0, dim1)

    def adjoint(self) -> Tensor:
        """The last two axes swapped."""
        if self.array.ndim == 0:
            warnings.warn("adjoint() is deprecated on 0-D tensors: it changes nothing. Leave it out.", stacklevel=2)
            return self._self()
        return self.transpose(-2, -1)

    @numpy_names
    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """One axis made several of these sizes, of which one may be -1."""
        axis = as_axis(dim, self.array.ndim)
        if not len(sizes):
            raise RuntimeError("unflatten: sizes must be non-empty")
        return self.reshape([*self.array.shape[:axis], *sizes, *self.array.shape[axis + 1 :]])

    def ravel(self) -> Tensor:
        """All axes made one."""
        return self.reshape(-1)

    def broadcast_to(self, *sizes: Any, size: Sequence[int] | None = None) -> Tensor:
        """expand."""
        return self.expand(*sizes, size=size)
