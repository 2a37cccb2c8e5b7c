"""What `x.storage()` and `x.untyped_storage()` give: the memory of a Tensor and its views, as numbers or as bytes."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from minitrain.ops import Array
from minitrain.torchlike.device import Device


def warn_of_types() -> None:
    """torch's warning that storages of numbers will go."""
    warnings.warn(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage "
        "class. This should only matter to you if you are using storages directly.  To access UntypedStorage directly, "
        "use tensor.untyped_storage() instead of tensor.storage()",
        UserWarning,
        stacklevel=3,
    )


class UntypedStorage:
    """The bytes of a Tensor's memory. Writing changes the Tensor and all its views."""

    device = Device("cpu")

    def __init__(self, memory: Array) -> None:
        self._memory = memory.ravel("K")  # in the order of memory, on one axis
        self._values = self._memory.view(np.uint8)

    def __len__(self) -> int:
        return self._values.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self._values[index])
        return self._values[self._place(index)].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index if isinstance(index, slice) else self._place(index)] = value

    def _place(self, index: Any) -> int:
        try:
            place = operator.index(index)
        except TypeError:
            raise RuntimeError(f"can't index a {type(self).__name__} with {type(index).__name__}; use an int") from None
        if not -len(self) <= place < len(self):
            raise IndexError(f"index {place} out of range for storage of size {len(self)}")
        return place

    def size(self) -> int:
        """How many there are."""
        return len(self)

    def nbytes(self) -> int:
        """The size in bytes."""
        return self._values.nbytes

    def element_size(self) -> int:
        """The size of one, in bytes."""
        return self._values.itemsize

    def data_ptr(self) -> int:
        """The address: equal for Tensors that share their memory."""
        address: int = self._values.ctypes.data
        return address

    def tolist(self) -> list[Any]:
        """All of them."""
        values: list[Any] = self._values.tolist()
        return values

    def fill_(self, value: Any) -> Self:
        """Set all of them to value."""
        self._values[...] = value
        return self

    def _told(self) -> str:
        return f"device={self.device}"

    def __repr__(self) -> str:
        values = "\n ".join(map(str, self))
        return f" {values}\n[{type(self).__name__}({self._told()}) of size {len(self)}]"


class TypedStorage(UntypedStorage):
    """The numbers in a Tensor's memory, in one row, whatever the Tensor's shape and strides are."""

    def __init__(self, memory: Array) -> None:
        super().__init__(memory)
        self._values = self._memory

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numbers' dtype."""
        return self._values.dtype

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return super().__getitem__(index)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(self._memory)

    def _told(self) -> str:
        return f"dtype={self.dtype}, {super()._told()}"
