"""Collation: one batch out of a list of samples. The names are those of torch.utils.data."""

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from minitrain.creation import as_tensor, stack, tensor
from minitrain.tensor import Tensor, wrap


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch out of a list of samples of the same kind.

    Tensors, NumPy arrays and NumPy scalars are stacked along a new first dimension. Python numbers become a tensor:
    int64 for ints, float64 for floats, bool for bools. str and bytes stay a list. Dicts, tuples (which become
    lists), named tuples and lists are collated entry by entry.

    Raises:
        IndexError: the batch is empty.
        TypeError: a sample is of any other kind.
        RuntimeError: sequences of different lengths.
    """
    if len(batch) == 0:
        raise IndexError("default_collate: the batch is empty; a batch_sampler must give at least one index")
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray) and first.dtype.kind not in "SUO":
        return stack([as_tensor(array) for array in batch])
    if isinstance(first, np.number | np.bool_):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return wrap(np.array(batch, np.float64))
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return _container_like(first, {key: default_collate([each[key] for each in batch]) for key in first})
    if isinstance(first, Sequence):
        lengths = {len(each) for each in batch}
        if len(lengths) > 1:
            raise RuntimeError(
                f"each element in list of batch should be of equal size, got sizes from {min(lengths)} to "
                f"{max(lengths)}: pass a collate_fn that pads or packs them"
            )
        return _container_like(first, [default_collate(column) for column in zip(*batch, strict=True)])
    found = f"an array of {first.dtype}" if isinstance(first, np.ndarray) else type(first)
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {found}: "
        "give the data set a transform that returns one of these, or pass a collate_fn to the DataLoader"
    )


def default_convert(sample: Any) -> Any:
    """One sample with its NumPy arrays and scalars converted to Tensors: the collate_fn of a loader without batches."""
    if isinstance(sample, np.ndarray | np.number | np.bool_):
        array = np.asarray(sample)
        return sample if array.dtype.kind in "SUO" else as_tensor(array)
    if isinstance(sample, Mapping):
        return _container_like(sample, {key: default_convert(sample[key]) for key in sample})
    if isinstance(sample, Sequence) and not isinstance(sample, str | bytes):
        return _container_like(sample, [default_convert(each) for each in sample])
    return sample


def _container_like(first: Any, contents: Any) -> Any:
    """The contents, a dict or list, in a container of the type of `first`; unchanged if that type refuses them."""
    if isinstance(first, tuple):
        return type(first)(*contents) if hasattr(first, "_fields") else contents
    try:
        if isinstance(first, MutableMapping | MutableSequence):
            clone = copy.copy(first)  # it may have attributes besides its entries
            for key, value in contents.items() if isinstance(contents, dict) else enumerate(contents):
                clone[key] = value
            return clone
        return type(first)(contents)
    except TypeError:
        return contents
