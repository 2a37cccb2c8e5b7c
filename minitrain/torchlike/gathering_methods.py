"""Tensor's methods that pick elements by index or mask, and write to places so picked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minitrain import ops
from minitrain.torchlike.arguments import (
    BOOL,
    LONG,
    Scalar,
    as_axis,
    as_number,
    check_broadcast,
    converted,
    dtype_name,
)
from minitrain.torchlike.in_place_methods import InPlaceMethods
from minitrain.torchlike.names import named, numpy_names
from minitrain.torchlike.sorting_methods import SortingMethods
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


def _on_copy(method: Callable[..., Any]) -> Callable[..., Tensor]:
    """The form of a method without the _ at its end: it writes to a copy."""
    name = method.__name__.removesuffix("_")

    @functools.wraps(method)
    def form(self: Any, *args: Any, **options: Any) -> Tensor:
        written: Tensor = method(self.clone(), *args, **options)
        return written

    return named(form, name, f"{name}_ on a copy; see there.")


class GatheringMethods(SortingMethods, InPlaceMethods):
    """Each form without _ works on a copy."""

    def _places(self, name: str, dim: int, index: Any) -> tuple[Any, ...]:
        """NumPy's index of the places that gather and scatter mean. Raises RuntimeError as torch for a bad index."""
        axis, x, places = as_axis(dim, self.array.ndim), np.atleast_1d(self.array), np.atleast_1d(index.array)
        if (places.dtype != LONG and name == "gather") or places.dtype.kind != "i":
            raise RuntimeError(f"{name}(): Expected dtype int64 for index, but got {places.dtype}; call .long() first.")
        if places.ndim != x.ndim:
            raise RuntimeError(
                f"Index tensor must have the same number of dimensions as {'input' if name == 'gather' else 'self'} "
                f"tensor, but they have {index.ndim} and {self.array.ndim}."
            )
        for i, (size, own) in enumerate(zip(places.shape, x.shape, strict=True)):
            if size > own and i != axis and places.size:
                raise RuntimeError(
                    f"Size does not match at dimension {i} expected index {list(index.shape)} to be no larger than "
                    f"self {list(self.shape)} apart from dimension {axis}"
                )
        check_range(places, x.shape[axis], dim)
        grid = list(np.ogrid[tuple(slice(size) for size in places.shape)])
        grid[axis] = places
        return tuple(grid)

    @numpy_names
    def gather(self, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
        """The element, for each of index, that lies there along dim and at the same place on the other axes."""
        if index.numel() == 0:
            return self.reshape(-1)[:0].reshape(index.array.shape)
        places = self._places("gather", dim, index)
        picked = self._apply(ops.Index, self if self.array.ndim else self.reshape(1), index=places)
        return picked if index.ndim == picked.ndim else picked.reshape(index.array.shape)

    def _source(self, name: str, index: Tensor, src: Any) -> Any:
        """src's part of index's shape; a number as it is."""
        if not isinstance(src, TensorBase):
            return src
        if src.dtype != self.dtype:
            raise RuntimeError(
                f"{name}(): Expected self.dtype to be equal to src.dtype, but got {dtype_name(self.dtype)} and "
                f"{dtype_name(src.dtype)}; convert src with .to()."
            )
        if src.ndim != index.ndim or any(a < b for a, b in zip(src.array.shape, index.array.shape, strict=True)):
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than src {list(src.shape)} in any dimension"
            )
        return src._self()[tuple(slice(size) for size in index.array.shape)]

    @numpy_names
    def scatter_(
        self, dim: int, index: Tensor, src: Any = None, *, value: Scalar | None = None, reduce: str | None = None
    ) -> Self:
        """Write each element of src, or value, where index says along dim, and at its own place on the other axes."""
        src = self._source("scatter", index, value if src is None else src)
        if reduce not in (None, "add"):
            raise NotImplementedError(f'scatter with reduce={reduce!r} is not offered; "add" is, and scatter_add.')
        if index.numel() == 0:
            return self
        places = self._places("scatter", dim, index)
        if reduce == "add":
            src = src if isinstance(src, TensorBase) else self._new(np.full(index.array.shape, src, self.dtype))
            return self._write(ops.IndexAdd, src, index=places)
        return self._put(places, src)

    def _put(self, places: tuple[Any, ...], value: Any) -> Self:
        self[tuple(places)] = value
        return self

    @numpy_names
    def scatter_add_(self, dim: int, index: Tensor, src: Tensor) -> Self:
        """Add each element of src where index says along dim, and at its own place on the other axes."""
        return self.scatter_(dim, index, src, reduce="add")

    def _slices(self, name: str, dim: int, index: Tensor) -> tuple[Any, ...]:
        """NumPy's index of the slices along dim that a vector of integers names."""
        if index.ndim > 1:
            raise IndexError(f"{name}(): Index is supposed to be a vector, but got {index.ndim}D")
        if index.dtype.kind != "i":
            raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, but got {index.dtype}")
        axis, places = as_axis(dim, self.array.ndim), np.atleast_1d(index.array)
        size = self.array.shape[axis] if self.array.ndim else 1
        if places.size and not 0 <= places.min() <= places.max() < size:
            raise IndexError(f"index out of range in self: {name} found {places.tolist()} for a size of {size}")
        return (*(slice(None),) * axis, places)

    @numpy_names
    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The slices along dim that index names, in its order."""
        return self._picked_at(self._slices("index_select", dim, index))

    @numpy_names
    def index_add_(self, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1) -> Self:
        """Add source's slices, times alpha, to the slices along dim that index names."""
        source = self._scaled(self._same_dtype("index_add", source), alpha)
        return self._write(ops.IndexAdd, source, index=self._slices("index_add", dim, index))

    @numpy_names
    def index_copy_(self, dim: int, index: Tensor, source: Tensor) -> Self:
        """Write source's slices to the slices along dim that index names."""
        return self._put(self._slices("index_copy", dim, index), self._same_dtype("index_copy", source))

    @numpy_names
    def index_fill_(self, dim: int, index: Tensor, value: Any) -> Self:
        """Write value to the slices along dim that index names."""
        return self._put(self._slices("index_fill", dim, index), value)

    def _same_dtype(self, name: str, source: Any) -> Any:
        if source.dtype != self.dtype:
            raise RuntimeError(
                f"{name}_(): self ({dtype_name(self.dtype)}) and source ({dtype_name(source.dtype)}) must have the "
                "same scalar type; convert source with .to()."
            )
        return source

    def index_put_(self, indices: Any, values: Tensor, accumulate: bool = False) -> Self:
        """self[indices] = values, or += as often as a place is named if accumulate."""
        if accumulate:
            return self._write(ops.IndexAdd, values, index=tuple([index.array for index in indices]))
        return self._put(tuple(indices), values)

    def take(self, index: Tensor) -> Tensor:
        """The elements at index, counted through all axes in order."""
        if index.dtype != LONG:
            raise RuntimeError(f"take(): Expected a long tensor for index, but got {dtype_name(index.dtype)}")
        size = self.array.size
        if index.numel() and not -size <= index.array.min() <= index.array.max() < size:
            raise IndexError(f"take(): out of range: index reaches beyond the {size} elements")
        return self.reshape(-1)[index]

    @numpy_names
    def take_along_dim(self, indices: Tensor, dim: int | None = None) -> Tensor:
        """gather, with self and indices broadcast on the other axes; without dim, take."""
        if dim is None:
            return self.reshape(-1).gather(0, indices.reshape(-1))
        axis = as_axis(dim, self.array.ndim)
        shapes = [(*x.array.shape[:axis], 1, *x.array.shape[axis + 1 :]) for x in (self, indices)]
        check_broadcast(*shapes)
        whole = list(np.broadcast_shapes(*shapes))
        x, places = (x.expand([*whole[:axis], -1, *whole[axis + 1 :]]) for x in (self, indices))
        return x.gather(axis, places)

    def _positions_of(self, name: str, mask: Tensor) -> Any:
        if mask.dtype != BOOL:
            raise RuntimeError(f"{name}: expected BoolTensor for mask, but got {dtype_name(mask.dtype)}; use .bool().")
        return mask.array

    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where mask is true, as a vector; both broadcast."""
        x, places = self._self(), self._positions_of("masked_select", mask)
        check_broadcast(x.array.shape, places.shape)
        shape = np.broadcast_shapes(x.array.shape, places.shape)
        return x.expand(shape)[np.broadcast_to(places, shape)].reshape(-1)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """self, but value, a number or a Tensor without axes, where mask is true; self and mask broadcast."""
        self._positions_of("masked_fill_", mask)
        return self._where(mask, self._filling(value), self)

    def masked_fill_(self, mask: Tensor, value: Any) -> Self:
        """Write value, a number or a Tensor without axes, where mask is true."""
        places = np.broadcast_to(self._positions_of("masked_fill_", mask), self.array.shape)
        return self._put((places,), self._filling(value))

    def _filling(self, value: Any) -> Any:
        if isinstance(value, TensorBase):
            if value.ndim:
                raise RuntimeError(
                    "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                    f"{value.ndim} dimension(s); use torch.where."
                )
            return value.to(self.dtype)
        number = as_number(value, "masked_fill(): argument 'value' (position 2)")
        return self._new(np.asarray(converted(number, self.dtype), self.dtype))

    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Self:
        """Write source's elements, in order, where mask is true."""
        places = np.broadcast_to(self._positions_of("masked_scatter_", mask), self.array.shape)
        if places.sum() > source.numel():
            raise RuntimeError("Number of elements of source < number of ones in mask")
        return self._put((places,), self._same_dtype("masked_scatter", source).reshape(-1)[: int(places.sum())])

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """The indices of the elements that are not 0: a row for each, or a Tensor for each axis; no gradient."""
        if as_tuple:
            return tuple([self._new(indices) for indices in np.nonzero(np.atleast_1d(self.array))])
        return self.argwhere()

    def argwhere(self) -> Tensor:
        """The indices of the elements that are not 0, a row for each; no gradient."""
        return self._new(np.ascontiguousarray(np.argwhere(self.array), LONG))

    def fill_diagonal_(self, fill_value: Scalar, wrap: bool = False) -> Self:
        """Write fill_value to the elements whose indices are all equal; wrap begins anew below a tall matrix."""
        shape = self.array.shape
        if len(shape) < 2:
            raise RuntimeError("dimensions must larger than 1")
        if len(shape) > 2 and len(set(shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        if wrap and len(shape) == 2:
            flat = np.arange(0, math.prod(shape), shape[1] + 1)
            return self._put(tuple(np.unravel_index(flat, shape)), fill_value)
        return self._put((np.arange(min(shape)),) * len(shape), fill_value)

    # The forms without _.

    scatter, scatter_add, index_add = _on_copy(scatter_), _on_copy(scatter_add_), _on_copy(index_add_)
    index_copy, index_fill, index_put = _on_copy(index_copy_), _on_copy(index_fill_), _on_copy(index_put_)
    masked_scatter = _on_copy(masked_scatter_)


def check_range(places: Any, size: int, dim: int) -> None:
    """Raise RuntimeError as torch for an index beyond a size, or below 0."""
    outside = places[(places < 0) | (places >= size)]
    if outside.size:
        raise RuntimeError(f"index {outside[0]} is out of bounds for dimension {dim} with size {size}")
