"""Tensor's methods that sort, choose by rank, count, and find what is unique."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.torchlike.arguments import LONG, Scalar, as_axis
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.return_types import TYPES
from minitrain.torchlike.scan_methods import ScanMethods

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class SortingMethods(ScanMethods):
    """nan counts as larger than every number. Equal elements keep their order, whether stable= asks for it or not."""

    def _order(self, axis: int, descending: bool) -> Any:
        """The indices that sort along an axis, as an array."""
        x = np.atleast_1d(self.array)
        if not descending:
            return np.argsort(x, axis, kind="stable")
        from_the_end = np.argsort(np.flip(x, axis), axis, kind="stable")
        return np.flip(x.shape[axis] - 1 - from_the_end, axis)

    @numpy_names
    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        """In order along dim, (values, indices)."""
        axis = as_axis(dim, self.array.ndim)
        return self._picked("sort", self._order(axis, descending), axis, keepdim=True)

    @numpy_names
    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        """The indices that sort along dim; no gradient."""
        order = self._order(as_axis(dim, self.array.ndim), descending)
        return self._new(np.ascontiguousarray(order, LONG).reshape(self.array.shape))

    def msort(self) -> Tensor:
        """In order along the first axis."""
        return self.sort(0)[0]  # type: ignore[no-any-return]

    @numpy_names
    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """The k largest (or smallest) along dim, the first first: (values, indices)."""
        axis = as_axis(dim, self.array.ndim)
        if not 0 <= k <= np.atleast_1d(self.array).shape[axis]:
            raise RuntimeError(f"selected index k out of range: k is {k}, and dim {dim} of {list(self.shape)} is short")
        return self._picked("topk", self._order(axis, largest).take(range(k), axis), axis, keepdim=True)

    @numpy_names
    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        """The k-th smallest along dim, counted from 1, and where it is: (values, indices)."""
        axis = as_axis(dim, self.array.ndim)
        if not 1 <= k <= np.atleast_1d(self.array).shape[axis]:
            raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: k is {k}")
        return self._picked("kthvalue", self._order(axis, False).take([k - 1], axis), axis, keepdim)

    @numpy_names
    def quantile(
        self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Tensor:
        """The value below which the share q lies: between two values, interpolation decides; nan if there is one.

        q: from 0 to 1, a number or a Tensor of them (Q,), which are the result's first axis. dim: None for all values.
        interpolation: "linear", "lower", "higher", "nearest" or "midpoint".
        """
        if self.array.dtype.kind != "f":
            raise RuntimeError("quantile() input tensor must be either float or double dtype; call .float() first.")
        shares = np.asarray(q, self.array.dtype)
        if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
            raise RuntimeError(f"quantile() q values must be in the range [0, 1], 0D or 1D, but got {q!r}")
        x = self._self().reshape(-1) if dim is None else self._self()
        axis = as_axis(0 if dim is None else dim, x.ndim)
        if x.array.size == 0:
            raise RuntimeError("quantile() input tensor must be non-empty")
        rank = np.atleast_1d(shares * (x.array.shape[axis] - 1))
        below, above = np.floor(rank), np.ceil(rank)
        choices = {"linear": rank, "lower": below, "higher": above, "nearest": np.rint(rank)}
        choices["midpoint"] = (below + above) / 2
        if interpolation not in choices:
            raise RuntimeError(f"quantile() interpolation must be one of {', '.join(choices)}, but got {interpolation}")
        share = np.asarray(choices[interpolation] - below, x.array.dtype)
        values = x.sort(axis)[0].where(~x.isnan().any(axis, True), math.nan).movedim(axis, 0)  # nan anywhere: nan
        weights = share.reshape(-1, *(1,) * (values.ndim - 1))
        low, high = values[below.astype(np.int64)], values[above.astype(np.int64)]
        result: Tensor = low.lerp(high, values._new(np.broadcast_to(weights, low.array.shape)))
        if keepdim:
            result = result.unsqueeze(axis + 1) if dim is not None else result.reshape(-1, *(1,) * self.ndim)
        return result if shares.ndim else result.squeeze(0)

    @numpy_names
    def unique(
        self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The different elements, or slices along dim, in order; also where each went, and how often each is."""
        axis = None if dim is None else as_axis(dim, self.array.ndim)
        found = np.unique(self.array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
        values, inverse, counts = found
        inverse = inverse.reshape(self.array.shape if axis is None else -1)
        return self._asked_for(values, inverse, counts, return_inverse, return_counts)

    @numpy_names
    def unique_consecutive(
        self, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The elements, or slices along dim, that differ from the one before; also as unique."""
        rows = self.array.reshape(-1) if dim is None else np.moveaxis(self.array, as_axis(dim, self.array.ndim), 0)
        new = np.ones(len(rows), bool)
        new[1:] = (rows[1:] != rows[:-1]).reshape(max(len(rows) - 1, 0), math.prod(rows.shape[1:])).any(1)
        inverse = np.cumsum(new) - 1
        values = rows[new] if dim is None else np.moveaxis(rows[new], 0, as_axis(dim, self.array.ndim))
        inverse = inverse.reshape(self.array.shape) if dim is None else inverse
        counts = np.bincount(inverse.ravel(), minlength=int(new.sum()))
        return self._asked_for(np.ascontiguousarray(values), inverse, counts, return_inverse, return_counts)

    def _asked_for(self, values: Any, inverse: Any, counts: Any, with_inverse: bool, with_counts: bool) -> Any:
        more = [inverse] * with_inverse + [counts] * with_counts
        result = self._new(np.asarray(values)), *(self._new(np.asarray(array, LONG)) for array in more)
        return result if more else result[0]

    def bincount(self, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        """How often each of 0, 1, 2, ... is an element, or the sum of the weights there; no gradient."""
        if self.array.ndim != 1 or self.array.dtype.kind not in "iu" or (self.array < 0).any():
            raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
        if minlength < 0:
            raise RuntimeError("minlength should be >= 0")
        given = None if weights is None else weights.detach().array
        counts = np.bincount(self.array, given, minlength)
        if given is None:
            return self._new(counts.astype(LONG))
        return self._new(counts.astype(given.dtype if given.dtype.kind == "f" else np.float64))

    def histc(self, bins: int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor:
        """How many elements lie in each of bins equal parts of min to max, of the elements' range if both are equal."""
        x = self.array
        if x.dtype.kind != "f":
            raise NotImplementedError(f"histc is not implemented for {x.dtype}; call .float() first.")
        low, high = (x.min(initial=np.inf), x.max(initial=-np.inf)) if min == max and x.size else (min, max)
        if low == high:
            low, high = low - 1, high + 1
        return self._new(self._counts(np.linspace(low, high, bins + 1)).astype(x.dtype))

    def _counts(self, edges: Any, weight: Any = None) -> Any:
        """How many elements lie between each two edges, the last included; or the sum of their weights."""
        x = self.array.ravel()
        if not np.isfinite(edges).all():
            raise RuntimeError(f"histogram: range of [{edges[0]}, {edges[-1]}] is not finite")
        if edges[0] > edges[-1]:
            raise RuntimeError("histogram: max must be larger than min")
        return np.histogram(x[~np.isnan(x)], edges, weights=None if weight is None else weight[~np.isnan(x)])[0]

    def histogram(
        self,
        bins: int | Tensor = 100,
        *,
        range: Sequence[float] | None = None,
        weight: Tensor | None = None,
        density: bool = False,
    ) -> Any:
        """(hist, bin_edges): how many elements, or which sum of weights, each of bins equal parts of range holds.

        bins: their number, or a Tensor of their edges. density: the shares of all, divided by the bins' widths.
        """
        x = self.array
        if isinstance(bins, int):
            low, high = (x.min(initial=np.inf), x.max(initial=-np.inf)) if range is None and x.size else range or (0, 0)
            if low == high:
                low, high = low - (range is None) * 0.5, high + (range is None) * 0.5
            edges = np.linspace(low, high, bins + 1).astype(x.dtype)
        else:
            edges = bins.array
        counts = self._counts(edges, None if weight is None else weight.array.ravel()).astype(x.dtype)
        counts = counts / counts.sum() / np.diff(edges) if density else counts
        return TYPES["histogram"](self._new(counts), self._new(edges))
