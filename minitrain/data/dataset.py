"""Data sets: anything that gives a sample for an index. The names are those of torch.utils.data."""

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index: a subclass defines `__getitem__`, and `__len__` for the samplers.

    Two optional methods fetch a batch faster than sample by sample:
    `__getitems__(indices)` returns the list of samples, as in torch;
    `collated_batch(indices)` returns what `default_collate` would return for these samples, or None if it cannot.
    An inherited `collated_batch` is not called in a subclass that overrides `__getitem__`.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index)")

    def __add__(self, other: Any) -> Any:
        """Both data sets, one after the other: a ConcatDataset, or a ChainDataset of IterableDatasets."""
        from minitrain.data.joined import ChainDataset, ConcatDataset

        return (ChainDataset if isinstance(self, IterableDataset) else ConcatDataset)([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples in the order in which they come: a subclass defines `__iter__`. It has no indices, so no samplers."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of the same length: sample i is a tuple of row i of each tensor.

    Args:
        tensors: one or more, each of shape (N, ...) with the same N.

    Raises:
        TypeError: an argument is not a Tensor.
        AssertionError: different N (as torch).
        ValueError: no tensors, or a tensor without dimensions.
    """

    def __init__(self, *tensors: Tensor) -> None:
        for given in tensors:
            if not isinstance(given, Tensor):
                raise TypeError(
                    f"TensorDataset expects Tensors, got {type(given).__name__}: wrap it with minitrain.tensor"
                )
        shapes = [tuple(given.shape) for given in tensors]
        if not shapes or () in shapes:
            raise ValueError(f"TensorDataset expects one or more tensors of shape (N, ...), got the shapes {shapes}")
        if len({shape[0] for shape in shapes}) != 1:
            raise AssertionError(f"Size mismatch between tensors: N differs in the shapes {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(each[index] for each in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0].array)

    def collated_batch(self, indices: list[int]) -> list[Tensor] | None:
        if (index := batch_index(indices, len(self))) is None or True in [each.requires_grad for each in self.tensors]:
            return None  # gradients flow back through samples alone
        return [wrap(np.array(each.array[index], order="C")) for each in self.tensors]


class Subset(Dataset[T_co]):
    """Some of a data set's samples: sample i is `dataset[indices[i]]`.

    Raises:
        NotImplementedError: a subclass overrides `__getitem__` but not `__getitems__`, which a DataLoader calls
            (as torch).
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        cls = type(self)
        if cls.__getitem__ is not Subset.__getitem__ and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} overrides __getitem__, which a DataLoader would not call: override __getitems__ "
                "as well, for example with `return [self[index] for index in indices]`"
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return fetch_samples(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)

    def collated_batch(self, indices: list[int]) -> Any:
        whole: Any = self.dataset
        return whole.collated_batch([self.indices[i] for i in indices]) if collates(whole) else None


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Split a data set at random into subsets that do not overlap. Draws one randperm.

    Args:
        lengths: whole numbers that add up to `len(dataset)`, or fractions that add up to 1. Fractional lengths are
            rounded down, and the remaining samples go to the first subsets, one each.
        generator: the source of the randperm; the default generator if None.

    Raises:
        ValueError: the lengths do not add up.
        TypeError: lengths that are not whole and do not add up to 1.
    """
    size = len(dataset)  # type: ignore[arg-type]
    # sum() rounds, and not on every Python in the same way: fractions that add up to 1 may then be just above it.
    if any(math.isclose(total, 1) and total <= 1 for total in (sum(lengths), math.fsum(lengths))):
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1: got {fraction}")
        counts = [math.floor(size * fraction) for fraction in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
        for i, count in enumerate(counts):
            if count == 0:
                warnings.warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2
                )
        lengths = counts
    if sum(lengths) != size:
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset: lengths {list(lengths)} add up "
            f"to {sum(lengths)}, the data set has {size} samples (fractions must add up to 1)"
        )
    if not all(isinstance(length, int | np.integer) for length in lengths):
        raise TypeError(f"random_split: lengths must be whole numbers, or fractions that add up to 1; got {lengths}")
    order = random.randperm(size, generator=generator).tolist()
    ends = itertools.accumulate(map(int, lengths))
    return [Subset(dataset, order[end - int(length) : end]) for end, length in zip(ends, lengths, strict=True)]


# --- fetching a batch ------------------------------------------------------------------------------------------


def fetch_samples(dataset: Any, indices: Iterable[int]) -> list[Any]:
    """The samples at these indices, in one call of `__getitems__` if the data set has it."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples: list[Any] = dataset.__getitems__(indices)
        return samples
    return [dataset[index] for index in indices]


def collates(dataset: Any) -> bool:
    """Whether `dataset.collated_batch` may stand for its samples, collated.

    It may if no class nearer to the object defines how to get a sample. So a subclass with a `__getitem__` of its own
    is not bypassed, nor is a wrapper that forwards unknown attributes.
    """
    for cls in type(dataset).__mro__:
        if "collated_batch" in vars(cls):
            return True
        if "__getitem__" in vars(cls) or "__getitems__" in vars(cls):
            return False
    return False


def batch_index(indices: list[int], length: int) -> slice | list[int] | None:
    """An index for a batch of an array's rows: a slice for consecutive rows, which is faster, else the list.

    None if the list is empty or contains anything but ints. Fetching sample by sample then raises the right error.
    """
    if set(map(type, indices)) != {int}:
        return None
    rows = range(length)[indices[0] : indices[0] + len(indices)]
    return slice(rows.start, rows.stop) if indices == [*rows] else indices
