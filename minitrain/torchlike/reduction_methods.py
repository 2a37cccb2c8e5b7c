"""Tensor's methods that reduce: over all axes, or over dim (one axis or several), which keepdim keeps with size 1."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.torchlike.arguments import BOOL, LONG, UINT8, as_axes, as_axis, as_keepdim, refuse_empty
from minitrain.torchlike.elementwise_methods import ElementwiseMethods
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.return_types import TYPES
from minitrain.torchlike.shape_methods import ShapeMethods
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class ReductionMethods(ElementwiseMethods, ShapeMethods):
    """Sums, means, variances, maxima, softmax."""

    @numpy_names
    def sum(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The sum; integers and bools are summed as int64, unless dtype says otherwise."""
        x = self.to(dtype) if dtype is not None else self if self.is_floating_point() else self.to(LONG)
        return self._apply(ops.Sum, x, dim=as_axes(dim, self.array.ndim), keepdim=as_keepdim(keepdim, "sum"))

    @numpy_names
    def mean(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The mean of floats; nan for no elements."""
        x = self if dtype is None else self.to(dtype)
        if x.array.dtype.kind != "f":
            raise RuntimeError(
                "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                f"Got: {x.dtype}; call .float() first, or .sum() for a count."
            )
        return self._apply(ops.Mean, x, dim=as_axes(dim, x.array.ndim), keepdim=keepdim)

    @numpy_names
    def var(
        self,
        dim: int | Sequence[int] | None = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The variance: Σ (x - mean)² / (n - correction), where correction is 1, or 0 for unbiased=False."""
        return self._variance("var", dim, unbiased, keepdim, correction)

    def _variance(
        self, name: str, dim: int | Sequence[int] | None, unbiased: bool, keepdim: bool, correction: int | None
    ) -> Tensor:
        _require_float(self, name)
        if isinstance(dim, bool):  # torch's var(unbiased)
            unbiased, dim = dim, None
        axes = as_axes(dim, self.array.ndim)
        n = math.prod(self.array.shape[axis] for axis in axes)
        lost = int(unbiased) if correction is None else correction
        if n <= lost:
            warnings.warn(f"{name}(): degrees of freedom is <= 0: too few values, the result is nan.", stacklevel=4)
        return self._apply(ops.Var, self, dim=axes, keepdim=as_keepdim(keepdim, name), correction=lost)

    @numpy_names
    def std(
        self,
        dim: int | Sequence[int] | None = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        """The standard deviation: √variance. Where it is 0 its gradient is 0, as torch."""
        variance = self._variance("std", dim, unbiased, keepdim, correction)
        constant = variance == 0
        return self._where(constant, 0.0, self._where(constant, 1.0, variance).sqrt())

    @numpy_names
    def amax(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The maximum; its gradient is shared evenly among equal maxima."""
        axes = as_axes(dim, self.array.ndim)
        refuse_empty(self.array.shape, None if dim is None else axes, "amax")
        return self._apply(ops.Amax, self, dim=axes, keepdim=keepdim)

    @numpy_names
    def amin(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The minimum; its gradient is shared evenly among equal minima."""
        if self.is_floating_point():
            return -(-self).amax(dim, keepdim)
        axes = as_axes(dim, self.array.ndim)
        refuse_empty(self.array.shape, None if dim is None else axes, "amin")
        return self._new(np.asarray(self.array.min(axis=axes, keepdims=keepdim)))

    @numpy_names
    def max(self, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
        """The maximum of all elements; with dim, (values, indices), and the gradient goes to those indices.

        max(other), with a Tensor, is maximum(other).
        """
        if isinstance(dim, TensorBase):
            dim, other = None, dim
        if other is not None:
            return self.maximum(other)
        if dim is None:
            refuse_empty(self.array.shape, None, "max")
            return self._apply(ops.Max, self, dim=tuple(range(self.array.ndim)), keepdim=False)
        return self._extreme("max", np.argmax, dim, keepdim)

    @numpy_names
    def min(self, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
        """The minimum of all elements; with dim, (values, indices), and the gradient goes to those indices.

        min(other), with a Tensor, is minimum(other).
        """
        if isinstance(dim, TensorBase):
            dim, other = None, dim
        if other is not None:
            return self.minimum(other)
        if dim is None:
            refuse_empty(self.array.shape, None, "min")
            return -(-self).max() if self.is_floating_point() else self.amin()
        return self._extreme("min", np.argmin, dim, keepdim)

    def _extreme(self, name: str, find: Callable[..., Any], dim: int, keepdim: bool) -> Any:
        """A named tuple of what find finds along dim, the first of equal ones, and of its indices."""
        indices = np.atleast_1d(self._arg(find, dim, True).array)
        return self._picked(name, indices, as_axis(dim, self.array.ndim), keepdim)

    def _picked(self, name: str, indices: Any, axis: int, keepdim: bool) -> Any:
        """A named tuple of the values at indices, an array with size 1 at axis, and of the indices."""
        grid = [
            np.arange(n).reshape([n if i == a else 1 for i in range(indices.ndim)]) for a, n in enumerate(indices.shape)
        ]
        grid[axis] = indices.astype(LONG)
        if not (keepdim and self.array.ndim):
            grid = [part.squeeze(axis) for part in grid]
        values = self if self.array.ndim else self.reshape(-1)
        return TYPES[name](self._apply(ops.Index, values, index=tuple(grid)), self._new(grid[axis].copy()))

    @numpy_names
    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the maximum (the first of equal ones), among all elements or along dim; no gradient."""
        self._refuse_bool("argmax")
        return self._arg(np.argmax, dim, keepdim)

    @numpy_names
    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the minimum (the first of equal ones), among all elements or along dim; no gradient."""
        self._refuse_bool("argmin")
        return self._arg(np.argmin, dim, keepdim)

    def _arg(self, find: Callable[..., Any], dim: int | None, keepdim: bool) -> Tensor:
        axis = None if dim is None else as_axis(dim, self.array.ndim)
        refuse_empty(self.array.shape, None if axis is None else (axis,) if self.array.ndim else (), find.__name__)
        if self.array.ndim == 0:
            return self._new(np.zeros((), LONG))
        return self._new(np.asarray(find(self.array, axis=axis, keepdims=keepdim), LONG))

    @numpy_names
    def all(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true; no gradient."""
        return self._whether(np.all, dim, keepdim)

    @numpy_names
    def any(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Whether any element is true; no gradient."""
        return self._whether(np.any, dim, keepdim)

    def _whether(self, function: Callable[..., Any], dim: int | Sequence[int] | None, keepdim: bool) -> Tensor:
        """all or any: bool, but uint8 of a uint8 Tensor; over no axis for dim=(), as torch."""
        axes = () if isinstance(dim, Sequence) and not dim else as_axes(dim, self.array.ndim)
        result = np.asarray(function(self.array, axis=axes, keepdims=as_keepdim(keepdim, function.__name__)))
        return self._new(result.astype(UINT8 if self.dtype == UINT8 else BOOL))

    @numpy_names
    def softmax(self, dim: int, dtype: npt.DTypeLike | None = None) -> Tensor:
        """exp(x) / Σ exp(x) along dim."""
        x, axis = self if dtype is None else self.to(dtype), as_axis(dim, self.array.ndim)
        _require_float(x, "softmax")
        return self._apply(ops.Softmax, x, dim=axis)

    @numpy_names
    def log_softmax(self, dim: int, dtype: npt.DTypeLike | None = None) -> Tensor:
        """x - ln Σ exp(x) along dim."""
        x, axis = self if dtype is None else self.to(dtype), as_axis(dim, self.array.ndim)
        _require_float(x, "log_softmax")
        return self._apply(ops.LogSoftmax, x, dim=axis)


def _require_float(x: TensorBase, name: str) -> None:
    if x.array.dtype.kind != "f":
        kind = NotImplementedError if "softmax" in name else RuntimeError
        raise kind(f"{name}: expected a floating point Tensor, but got {x.dtype}; call .float() first.")
