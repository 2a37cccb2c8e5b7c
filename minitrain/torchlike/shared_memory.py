"""Arrays that share memory, as a file keeps them: the memory is stored once, and each array is a view of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minitrain.layout import Array


class View(NamedTuple):
    """Where an array lies in the memory of a stored one; all numbers count elements.

    stored: the stored array's number. order: its axes from the slowest in memory to the fastest.
    offset, shape, strides: of the array.
    """

    stored: int
    order: tuple[int, ...]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def stored_once(arrays: Sequence[Array], keep_order: Sequence[bool]) -> tuple[dict[int, Array], dict[int, View]]:
    """What to store of arrays that may share memory, and which of them are views of what is stored.

    keep_order: for each array, whether its order in memory is to be kept where it shares no memory, too.
    Returns the stored arrays, each under the number of an array, and the views, by their numbers. A stored array has
    the shape of the array with its number if that one fills all the memory; else it is that memory, on one axis.
    """
    stored: dict[int, Array] = {}
    views: dict[int, View] = {}
    for group in _overlapping(arrays):
        whole = next((i for i in group if _is_whole(arrays[i], [arrays[j] for j in group])), None)
        first = group[0] if whole is None else whole
        if len(group) == 1 and not (keep_order[first] and whole is not None and arrays[first].size):
            stored[first] = arrays[first]
            continue
        low, _ = _bounds([arrays[i] for i in group])
        stored[first] = _memory([arrays[i] for i in group]) if whole is None else arrays[whole]
        order = _order(stored[first])
        for i in group:
            array, size = arrays[i], arrays[i].itemsize
            offset = (array.__array_interface__["data"][0] - low) // size
            views[i] = View(first, order, offset, array.shape, tuple(step // size for step in array.strides))
    return stored, views


def view_of(memory: Array, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """The array that lies in this memory, one axis, from an element on. Raises ValueError if it would reach beyond."""
    size = memory.itemsize
    if math.prod(shape) > memory.size:
        raise ValueError(f"an array of shape {list(shape)} is larger than its memory of {memory.size} elements")
    try:
        return np.ndarray(tuple(shape), memory.dtype, memory.data, offset * size, [step * size for step in strides])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"an array reaches beyond its memory of {memory.size} elements ({error})") from None


def _overlapping(arrays: Sequence[Array]) -> list[list[int]]:
    """The numbers of the arrays: together where memory is shared by arrays of one dtype, else each alone."""
    candidates = [i for i, array in enumerate(arrays) if _may_be_view(array)]
    clusters = [[i] for i in range(len(arrays)) if i not in candidates]
    kind, end = None, 0
    for dtype, low, high, i in sorted((arrays[i].dtype.str, *_bounds([arrays[i]]), i) for i in candidates):
        if dtype != kind or low >= end:
            clusters.append([])
            kind, end = dtype, low
        clusters[-1].append(i)
        end = max(end, high)
    groups: list[list[int]] = []
    for cluster in clusters:
        pairs = itertools.combinations([arrays[i] for i in cluster], 2)
        together = any(np.shares_memory(a, b) for a, b in pairs)  # and not only their bounds overlap, as columns' do
        groups.extend([sorted(cluster)] if together else [[i] for i in cluster])
    return groups


def _may_be_view(array: Array) -> bool:
    """Whether a View can describe an array: it is not empty, and repeats no element, as expand does."""
    low, high = _bounds([array])
    return 0 < array.nbytes <= high - low and not any(step % array.itemsize for step in array.strides)


def _bounds(arrays: Sequence[Array]) -> tuple[int, int]:
    """The first address of arrays, and the one after the last."""
    bounds = [np.lib.array_utils.byte_bounds(array) for array in arrays]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _order(array: Array) -> tuple[int, ...]:
    return tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def _is_whole(array: Array, group: Sequence[Array]) -> bool:
    """Whether an array fills the memory of its group, without gaps and in some order of its axes."""
    low, high = _bounds(group)
    return array.nbytes == high - low and bool(array.transpose(_order(array)).flags.c_contiguous)


def _memory(group: Sequence[Array]) -> Array:
    """All from the first element of a group of arrays to the last, on one axis."""
    low, high = _bounds(group)
    first = next(array for array in group if _bounds([array])[0] == low)
    first = first[tuple(slice(None, None, -1) if step < 0 else slice(None) for step in first.strides)]
    return np.lib.stride_tricks.as_strided(first, ((high - low) // first.itemsize,), (first.itemsize,))
