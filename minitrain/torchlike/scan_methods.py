"""Tensor's further reductions, and its running sums, products, maxima and minima along an axis."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.torchlike.arguments import BOOL, LONG, as_axes, as_axis, as_keepdim, refuse_empty
from minitrain.torchlike.function_methods import require_kinds
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.reduction_methods import ReductionMethods
from minitrain.torchlike.return_types import TYPES

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class ScanMethods(ReductionMethods):
    """Integers and bools are summed and multiplied as int64."""

    def _summable(self, dtype: npt.DTypeLike | None) -> Tensor:
        return self.to(dtype) if dtype is not None else self._self() if self.is_floating_point() else self.to(LONG)

    @numpy_names
    def cumsum(self, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
        """The running sum along dim."""
        return self._apply(ops.Cumsum, self._summable(dtype), dim=as_axis(dim, self.array.ndim))

    @numpy_names
    def cumprod(self, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
        """The running product along dim."""
        return self._apply(ops.Cumprod, self._summable(dtype), dim=as_axis(dim, self.array.ndim))

    @numpy_names
    def logcumsumexp(self, dim: int) -> Tensor:
        """The running ln Σ exp(self) along dim."""
        axis = as_axis(dim, self.array.ndim)
        require_kinds(self, "f", "logcumsumexp_out_cpu")
        return self._apply(ops.LogCumsumExp, self, dim=axis)

    @numpy_names
    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None) -> Tensor:
        """The product."""
        axes = as_axes(None if dim is None else as_axis(dim, self.array.ndim), self.array.ndim)
        return self._apply(ops.Prod, self._summable(dtype), dim=axes, keepdim=as_keepdim(keepdim, "prod"))

    @numpy_names
    def nansum(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The sum of what is not nan."""
        x = self if dtype is None else self.to(dtype)
        return (self._where(x.isnan(), 0.0, x) if x.is_floating_point() else x).sum(dim, keepdim)

    @numpy_names
    def nanmean(
        self, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: npt.DTypeLike | None = None
    ) -> Tensor:
        """The mean of what is not nan, of floats."""
        as_keepdim(keepdim, "nanmean")
        if not self.is_floating_point():
            raise RuntimeError(
                f"nanmean(): expected input to have floating point or complex dtype but got {self.dtype}; call .float()"
            )
        if dtype is not None:
            return self.to(dtype).nanmean(dim, keepdim)
        return self.nansum(dim, keepdim) / (~self.isnan()).sum(dim, keepdim)

    @numpy_names
    def logsumexp(self, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
        """ln Σ exp(self) along dim, of numbers however large."""
        axes = as_axes(dim, self.array.ndim)
        x = self if self.is_floating_point() else self.float()
        return self._apply(ops.LogSumExp, x, dim=axes, keepdim=as_keepdim(keepdim, "logsumexp"))

    def dist(self, other: Tensor, p: float = 2) -> Tensor:
        """The p-norm of self - other."""
        return (self._self() - other).norm(p)

    @numpy_names
    def norm(
        self,
        p: float | str | None = "fro",
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        dtype: npt.DTypeLike | None = None,
    ) -> Tensor:
        """(Σ |self|^p)^(1/p) over dim, of all elements without it; "fro" is p = 2, inf the largest |self|."""
        x = self if dtype is None else self.to(dtype)
        if not x.is_floating_point():
            raise RuntimeError(
                f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {x.dtype}; call "
                ".float() first."
            )
        if p == "nuc":
            raise NotImplementedError('norm(p="nuc") is minitrain.linalg.matrix_norm(x, "nuc").')
        if isinstance(p, str) and p != "fro":
            raise RuntimeError(f"Unsupported norm type {p}: expected a number, 'fro' or 'nuc'")
        axes = as_axes(dim, x.array.ndim)
        order = 2.0 if p is None or p == "fro" else float(p)
        if math.isinf(order):
            refuse_empty(x.array.shape, axes, "linalg.vector_norm")
        return self._apply(ops.Norm, x, p=order, dim=axes, keepdim=keepdim)

    @numpy_names
    def count_nonzero(self, *dims: Any, dim: int | Sequence[int] | None = None) -> Tensor:
        """How many elements are not 0, count_nonzero(0, 1) over several axes; no gradient."""
        axes = as_axes(dims[0] if len(dims) == 1 else dims or dim, self.array.ndim)
        return self._new(np.asarray(np.count_nonzero(self.array, axis=axes), LONG))

    @numpy_names
    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> Any:
        """The minimum and the maximum, (min, max)."""
        return TYPES["aminmax"](self.amin(dim, keepdim), self.amax(dim, keepdim))

    @numpy_names
    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The median, the lower of two, nan if any element is; with dim, (values, indices)."""
        return self._median("median", dim, keepdim, ignore_nan=False)

    @numpy_names
    def nanmedian(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The median of what is not nan; with dim, (values, indices)."""
        return self._median("nanmedian", dim, keepdim, ignore_nan=True)

    def _median(self, name: str, dim: int | None, keepdim: bool, *, ignore_nan: bool) -> Any:
        if self.dtype == BOOL:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'; call .float() first.")
        if dim is None:
            return self._apply(ops.Median, self, ignore_nan=ignore_nan)
        axis, x = as_axis(dim, self.array.ndim), np.atleast_1d(self.array)
        refuse_empty(x.shape, (axis,), name)
        nans = np.isnan(x).sum(axis, keepdims=True) if x.dtype.kind == "f" else np.zeros((), LONG)
        known = x.shape[axis] - nans
        place = np.where(known > 0, (known - 1) // 2, 0)  # nan stands last in the order
        if not ignore_nan:
            place = np.where(nans > 0, x.shape[axis] - nans, place)
        order = np.argsort(x, axis, kind="stable")
        indices = np.take_along_axis(order, np.broadcast_to(place, np.sum(x, axis, keepdims=True).shape), axis)
        return self._picked(name, indices, axis, keepdim)

    @numpy_names
    def mode(self, dim: int = -1, keepdim: bool = False) -> Any:
        """The most frequent value along dim, the smallest of several, and where it is last: (values, indices)."""
        axis, x = as_axis(dim, self.array.ndim), np.atleast_1d(self.array)
        refuse_empty(x.shape, (axis,), "mode")

        def last_of_most_frequent(row: Any) -> Any:
            values, counts = np.unique(row, return_counts=True, equal_nan=False)
            value = values[counts.argmax()]
            return np.flatnonzero((row == value) | ((row != row) & (value != value)))[-1]

        some = 0 not in x.shape
        found = (
            np.apply_along_axis(last_of_most_frequent, axis, x) if some else np.empty(np.delete(x.shape, axis), LONG)
        )
        indices = np.expand_dims(found, axis)
        return self._picked("mode", indices, axis, keepdim)

    @numpy_names
    def cummax(self, dim: int) -> Any:
        """The running maximum along dim and where it was last, (values, indices)."""
        return self._running("cummax", np.maximum, dim)

    @numpy_names
    def cummin(self, dim: int) -> Any:
        """The running minimum along dim and where it was last, (values, indices)."""
        return self._running("cummin", np.minimum, dim)

    def _running(self, name: str, choose: np.ufunc, dim: int) -> Any:
        axis, x = as_axis(dim, self.array.ndim), np.atleast_1d(self.array)
        places = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
        reached = (x == choose.accumulate(x, axis)) | (x != x)  # a nan is the extremum from there on
        indices = np.maximum.accumulate(np.where(reached, places, 0), axis)
        return self._picked(name, indices, axis, keepdim=True)

    @numpy_names
    def diff(self, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        """The differences of neighbours along dim, n times over; prepend and append are joined on first."""
        if self.array.ndim == 0:
            raise RuntimeError("diff expects input to be at least one-dimensional")
        if n < 0:
            raise RuntimeError(f"order must be non-negative but got {n}")
        axis, x = as_axis(dim, self.array.ndim), self._self()
        parts = [part for part in (prepend, x, append) if part is not None]
        x = x if len(parts) == 1 else self._apply(ops.Cat, *parts, dim=axis)
        for _ in range(n):
            in_front = (slice(None),) * axis
            later, earlier = x[(*in_front, slice(1, None))], x[(*in_front, slice(None, -1))]
            x = later ^ earlier if x.dtype == bool else later - earlier
        return x if n else x.clone()

    @numpy_names
    def cov(self, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        """The covariances of the rows, each a variable with an observation in each column."""
        if fweights is not None or aweights is not None:
            raise NotImplementedError("cov with weights is not offered; repeat the observations, or use torch.")
        if self.array.ndim > 2:
            raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got {self.array.ndim}D")
        x = self if self.is_floating_point() else self.float()
        rows = x.reshape(1, -1) if x.array.ndim < 2 else x._self()
        left = rows.shape[1] - correction
        if left <= 0:
            warnings.warn("cov(): degrees of freedom is <= 0: too few observations, the result is nan.", stacklevel=3)
        apart = rows - rows.mean(1, keepdim=True)
        return (apart @ apart.t() / max(left, 0)).squeeze()

    def corrcoef(self) -> Tensor:
        """The correlations of the rows: their covariances divided by the product of the standard deviations."""
        covariance = self.cov()
        if covariance.ndim == 0:
            return covariance / covariance
        deviation = self._apply(ops.Diagonal, covariance, offset=0, dim1=0, dim2=1).sqrt()
        return (covariance / deviation.unsqueeze(1) / deviation).clamp(-1, 1)
