"""Tensor's methods about what it is rather than what it holds: its kind and size, likeness to another, its shape."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minitrain.ops import Array
from minitrain.torchlike import random
from minitrain.torchlike.arguments import BOOL, INT8, INT16, UINT8, as_axis, as_new_shape
from minitrain.torchlike.in_place_forms import InPlaceForms
from minitrain.torchlike.shape_methods import ShapeMethods, converts

if TYPE_CHECKING:
    from minitrain.tensor import Tensor
    from minitrain.torchlike.storage import TypedStorage, UntypedStorage


def _memory(array: Array) -> Array:
    """The array whose memory this one is a view of, or the array itself."""
    while isinstance(array.base, np.ndarray) and array.base.dtype == array.dtype:
        array = array.base
    return array


class MetadataMethods(InPlaceForms, ShapeMethods):
    """In-place changes of shape are recorded as in torch: self becomes the view of its memory."""

    byte, char, short = converts("byte", UINT8), converts("char", INT8), converts("short", INT16)

    def type_as(self, other: Tensor) -> Tensor:
        """Self in other's dtype."""
        return self.to(other.dtype)

    def view_as(self, other: Tensor) -> Tensor:
        """The same memory in other's shape."""
        return self.view(other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """Self in other's shape."""
        return self.reshape(other.shape)

    def expand_as(self, other: Tensor) -> Tensor:
        """Self expanded to other's shape."""
        return self.expand(other.shape)

    def nelement(self) -> int:
        """The number of elements."""
        return self.array.size

    def ndimension(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def element_size(self) -> int:
        """The size of an element, in bytes."""
        return self.array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element: equal for Tensors that begin at the same memory."""
        address: int = self.array.ctypes.data
        return address

    @property
    def itemsize(self) -> int:
        """The size of an element, in bytes."""
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """The size of all elements, in bytes."""
        return self.array.nbytes

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart in memory two neighbours along an axis are, for one axis or all."""
        strides = [step // self.array.itemsize for step in self.array.strides]
        for axis in reversed(range(self.ndim)):  # NumPy's stride of a new axis of size 1 is 0
            if self.array.shape[axis] == 1 and not strides[axis]:
                strides[axis] = self.array.shape[axis + 1] * strides[axis + 1] if axis + 1 < self.ndim else 1
        if not self.array.size:  # NumPy's are 0
            strides = [math.prod(max(size, 1) for size in self.array.shape[axis + 1 :]) for axis in range(self.ndim)]
        return tuple(strides) if dim is None else strides[as_axis(dim, self.array.ndim)]

    is_cpu = True
    is_cuda = is_mps = is_xpu = is_meta = is_sparse = is_quantized = False

    @property
    def volatile(self) -> bool:
        """False; it is what no_grad was before torch 0.4."""
        warnings.warn("volatile was removed (Variable.volatile is always False)", UserWarning, stacklevel=2)
        return False

    def get_device(self) -> int:
        """-1, the CPU."""
        return -1

    def storage_offset(self) -> int:
        """How many elements after the beginning of its memory the first element lies."""
        return (self.array.ctypes.data - _memory(self.array).ctypes.data) // self.array.itemsize

    def storage(self) -> TypedStorage:
        """The numbers in its memory, in one row: all of them, where this Tensor is a view of a part."""
        from minitrain.torchlike.storage import TypedStorage, warn_of_types  # here, since few programs need it

        warn_of_types()
        return TypedStorage(_memory(self.array))

    def untyped_storage(self) -> UntypedStorage:
        """The bytes of its memory."""
        from minitrain.torchlike.storage import UntypedStorage

        return UntypedStorage(_memory(self.array))

    def is_nonzero(self) -> bool:
        """Whether the only element is not 0. Raises RuntimeError if there are more, or none."""
        return bool(self)

    def is_same_size(self, other: Tensor) -> bool:
        """Whether both have the same shape."""
        return self.array.shape == other.array.shape

    def is_complex(self) -> bool:
        """False: minitrain has no complex numbers."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.array.dtype not in (BOOL, UINT8)

    # In place.

    def detach_(self) -> Self:
        """Forget the history. Raises RuntimeError for a view, as torch."""
        if self._base is not None and self.requires_grad:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._grad_fn, self._requires_grad = None, False
        return self

    def _become(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Take the shape and the history of change(self), a view of self's memory."""
        self._records_write()
        after = change(self._self())
        if after is self:
            return self
        self.array, self._accumulator = after.array, None
        if self._base is None:
            self._reshaped += 1
        else:
            self._view, self._refusal, self._born_at_version = after._view, after._refusal, after._born_at_version
        if after._grad_fn is not None:
            self._grad_fn, self._requires_grad = after._grad_fn, True
        return self

    def unsqueeze_(self, dim: int) -> Self:
        """Insert an axis of size 1."""
        return self._become(lambda x: x.unsqueeze(dim))

    def squeeze_(self, *dims: Any, dim: Any = None) -> Self:
        """Remove the axes of size 1, or those of them that dim names."""
        return self._become(lambda x: x.squeeze(*dims, dim=dim))

    def t_(self) -> Self:
        """Transpose."""
        return self._become(lambda x: x.t())

    def transpose_(self, dim0: int, dim1: int) -> Self:
        """Swap two axes."""
        return self._become(lambda x: x.transpose(dim0, dim1))

    swapaxes_ = swapdims_ = transpose_

    def resize_(self, *sizes: Any, size: Sequence[int] | None = None) -> Self:
        """Another shape for the same elements in memory order; new elements, if there are more, are arbitrary."""
        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad; use reshape().")
        shape = as_new_shape("resize_", sizes, size)
        resized = np.zeros(shape, self.dtype)
        kept = min(resized.size, self.array.size)
        resized.ravel()[:kept] = self.array.ravel("K")[:kept]
        if kept == resized.size == self.array.size and self.is_contiguous():
            resized = self.array.reshape(shape)
        self.array = resized
        return self

    def random_(self, from_: int = 0, to: int | None = None, *, generator: random.Generator | None = None) -> Self:
        """Fill with integers from from_ to to - 1; random_(to) starts at 0. torch's, bit for bit."""
        low, high = (from_, to) if to is not None else (0, from_)
        if high == 0 and to is None:
            raise NotImplementedError("random_() without bounds is not offered; give it to=, such as random_(0, 256).")
        return self._draw(random.randint(low, high, self.shape, dtype=self.dtype, generator=generator))
