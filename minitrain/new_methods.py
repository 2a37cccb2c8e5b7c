"""Tensor's methods that make new Tensors in its dtype: x.new_zeros(2, 3) is zeros(2, 3, dtype=x.dtype)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from minitrain import creation
from minitrain.tensor import Tensor
from minitrain.torchlike.arguments import Scalar, Size


def new_zeros(self: Tensor, *size: Any, dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """A Tensor of 0 in this dtype, or in another. options: device, requires_grad."""
    return creation.zeros(*size, dtype=self.dtype if dtype is None else dtype, **options)


def new_ones(self: Tensor, *size: Any, dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """A Tensor of 1 in this dtype, or in another. options: device, requires_grad."""
    return creation.ones(*size, dtype=self.dtype if dtype is None else dtype, **options)


def new_empty(self: Tensor, *size: Any, dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """A Tensor of arbitrary values in this dtype, or in another. options: device, requires_grad."""
    return creation.empty(*size, dtype=self.dtype if dtype is None else dtype, **options)


def new_full(
    self: Tensor, size: Sequence[int], fill_value: Scalar, *, dtype: npt.DTypeLike | None = None, **options: Any
) -> Tensor:
    """A Tensor of fill_value in this dtype, or in another. options: device, requires_grad."""
    return creation.full(size, fill_value, dtype=self.dtype if dtype is None else dtype, **options)


def new_tensor(self: Tensor, data: Any, *, dtype: npt.DTypeLike | None = None, **options: Any) -> Tensor:
    """tensor(data) in this dtype, or in another. options: device, requires_grad."""
    return creation.tensor(data, dtype=self.dtype if dtype is None else dtype, **options)


def new(self: Tensor, *data_or_size: Any) -> Tensor:
    """The old form: new(2, 3) is new_empty(2, 3), new([2, 3]) is new_tensor([2, 3])."""
    if len(data_or_size) == 1 and not isinstance(data_or_size[0], int | Size):
        return new_tensor(self, data_or_size[0])
    return new_empty(self, *data_or_size or (0,))


for _method in (new, new_zeros, new_ones, new_empty, new_full, new_tensor):
    setattr(Tensor, _method.__name__, _method)
