"""DataLoader, and what it is made of: data sets, samplers that choose indices, and the collation of samples.

The names are those of torch.utils.data. Every draw from the random stream is torch's, number and order, so
that after `manual_seed` the same program sees the same batches, and the stream is at the same place after them.
"""

import copy
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from minitrain import random
from minitrain.creation import as_tensor, stack, tensor
from minitrain.random import Generator
from minitrain.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


# --- data sets -------------------------------------------------------------------------------------------------


class Dataset(Generic[T_co]):
    """Anything with samples by number: a subclass gives `__getitem__`, and `__len__` for the samplers' sake.

    Two methods may be added, so that a batch is not fetched sample by sample:
    `__getitems__(indices)` returns the list of samples, as in torch;
    `collated_batch(indices)` returns what `default_collate` would make of them, or None where it cannot. It
    speaks for the `__getitem__` of its own class: a subclass that overrides that one is asked for samples.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index)")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors that belong together: sample i is the tuple of each one's i-th row.

    Args:
        tensors: one or more, each of shape (N, ...) with the same N.

    Raises:
        TypeError: something else than a Tensor.
        ValueError: no tensor, one without rows, or different N (torch: AssertionError).
    """

    def __init__(self, *tensors: Tensor) -> None:
        for given in tensors:
            if not isinstance(given, Tensor):
                raise TypeError(
                    f"TensorDataset expects Tensors, got {type(given).__name__}: wrap it with minitrain.tensor"
                )
        shapes = [tuple(given.shape) for given in tensors]
        if len({shape[:1] for shape in shapes}) != 1 or () in shapes:
            raise ValueError(f"TensorDataset expects tensors with the same number of rows, got the shapes {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(each[index] for each in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def collated_batch(self, indices: list[int]) -> list[Tensor] | None:
        index = batch_index(indices, len(self.tensors[0]))
        if index is None or any(each.requires_grad for each in self.tensors):
            return None  # gradients take the way through each sample
        return [Tensor(np.array(each.array[index], order="C")) for each in self.tensors]


class Subset(Dataset[T_co]):
    """Some of a data set's samples: number i is `dataset[indices[i]]`.

    Raises:
        NotImplementedError: a subclass overrides `__getitem__` alone, which `__getitems__` would bypass (as torch).
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
        return _samples(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)

    def collated_batch(self, indices: list[int]) -> Any:
        return _collated_batch(self.dataset, [self.indices[i] for i in indices])


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Split a data set at random into subsets that do not overlap; one randperm is drawn.

    Args:
        lengths: whole numbers that add up to `len(dataset)`, or fractions that add up to 1. Fractions are rounded
            down, and the samples left over go to the first subsets, one to each.
        generator: where to draw from; the default generator if None.

    Raises:
        ValueError: the lengths do not add up.
    """
    size = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1: got {fraction}")
        counts = [math.floor(size * fraction) for fraction in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
        for i, count in enumerate(counts):
            if count == 0:
                warnings.warn(f"Length of split at index {i} is 0: that subset is empty.", stacklevel=2)
        lengths = counts
    if sum(lengths) != size:
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset: lengths {list(lengths)} add up "
            f"to {sum(lengths)}, the data set has {size} samples (fractions must add up to 1)"
        )
    order = iter(random.randperm(size, generator=generator).tolist())
    return [Subset(dataset, list(itertools.islice(order, length))) for length in map(int, lengths)]


# --- samplers --------------------------------------------------------------------------------------------------


class Sampler(Generic[T_co]):
    """Chooses the order: iterating gives indices, or lists of them; `__len__` says how many."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order.

    Args:
        data_source: anything with a length, n.
        replacement: draw each index from all n anew, instead of permutations of them.
        num_samples: how many indices; n if None. More than n means several permutations.
        generator: where to draw from. If None, each pass draws a seed from the default generator at its first
            index, and all else from a generator of its own, so that two passes at once do not disturb each other.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={self.num_samples!r}"
                + (": the data set is empty, there is nothing to shuffle" if num_samples is None else "")
            )

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(random.random_int64())
        if self.replacement:
            for drawn in range(0, self.num_samples, 32):  # in blocks of 32, as torch draws them
                yield from random.randint(0, n, (min(32, self.num_samples - drawn),), generator=generator).tolist()
            return
        for _ in range(self.num_samples // n):
            yield from random.randperm(n, generator=generator).tolist()
        left = self.num_samples % n
        if left or self.generator is not None:  # even for none left: torch draws here, and so moves a user's stream
            yield from random.randperm(n, generator=generator)[:left].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in random.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class BatchSampler(Sampler[list[int]]):
    """Another sampler's indices in lists of `batch_size`; `drop_last` drops the last list if it is shorter."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        samples = len(self.sampler)  # type: ignore[arg-type]
        return samples // self.batch_size if self.drop_last else math.ceil(samples / self.batch_size)


# --- from samples to a batch -----------------------------------------------------------------------------------


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch out of a list of samples of the same kind.

    Tensors, NumPy arrays and NumPy scalars are stacked along a new first dimension; ints become an int64 tensor,
    floats a float64 one, bools a bool one; str and bytes stay as they are. Of dicts, tuples (in their place: a
    list), named tuples and lists, each entry becomes a batch.

    Raises:
        IndexError: an empty batch.
        TypeError: samples of another kind.
        RuntimeError: sequences of different lengths.
    """
    if len(batch) == 0:
        raise IndexError("default_collate: the batch is empty; a batch_sampler must give one index at least")
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray) and first.dtype.kind not in "SUO":
        return stack([as_tensor(array) for array in batch])
    if isinstance(first, np.number | np.bool_):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return Tensor(np.array(batch, np.float64))
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
        "give the data set a transform that makes one of these, or the DataLoader a collate_fn"
    )


def default_convert(sample: Any) -> Any:
    """One sample with its NumPy arrays and scalars made Tensors: the collation where there are no batches."""
    if isinstance(sample, np.ndarray | np.number | np.bool_):
        array = np.asarray(sample)
        return sample if array.dtype.kind in "SUO" else as_tensor(array)
    if isinstance(sample, Mapping):
        return _container_like(sample, {key: default_convert(sample[key]) for key in sample})
    if isinstance(sample, Sequence) and not isinstance(sample, str | bytes):
        return _container_like(sample, [default_convert(each) for each in sample])
    return sample


def _container_like(first: Any, contents: Any) -> Any:
    """The contents, a dict or a list, in a container of the kind of `first`; as they are where that fails."""
    if isinstance(first, tuple):
        return type(first)(*contents) if hasattr(first, "_fields") else contents
    try:
        if isinstance(first, MutableMapping | MutableSequence):
            clone = copy.copy(first)  # it may hold more than its entries
            for key, value in contents.items() if isinstance(contents, dict) else enumerate(contents):
                clone[key] = value
            return clone
        return type(first)(contents)
    except TypeError:
        return contents


def batch_index(indices: list[int], length: int) -> slice | list[int] | None:
    """What indexes an array's rows for a batch: a slice for neighbours, which is cheap, else the list.

    None where the indices are not plain ints, or there are none: samples one by one then say what is wrong.
    """
    if set(map(type, indices)) != {int}:
        return None
    first, stop = indices[0], indices[0] + len(indices)
    neighbours = first >= 0 and stop <= length and indices == list(range(first, stop))
    return slice(first, stop) if neighbours else indices


def _collated_batch(dataset: Any, indices: list[int]) -> Any:
    """The batch from `dataset.collated_batch`, or None where the samples have to be asked for.

    The class nearest to the object that says what a sample is decides, so that a subclass with a `__getitem__`
    of its own is not bypassed; nor is a wrapper that hands unknown attributes on.
    """
    for cls in type(dataset).__mro__:
        if "collated_batch" in vars(cls):
            return dataset.collated_batch(indices)
        if "__getitem__" in vars(cls) or "__getitems__" in vars(cls):
            break
    return None


def _samples(dataset: Any, indices: Iterable[int]) -> list[Any]:
    """The samples, from `__getitems__` at once where the data set has it."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples: list[Any] = dataset.__getitems__(indices)
        return samples
    return [dataset[index] for index in indices]


# --- the loader ------------------------------------------------------------------------------------------------


class DataLoader(Generic[T_co]):
    """Batches of a data set: each `for` over it is one pass, in the order its sampler gives.

    Args:
        dataset: anything with `__getitem__` and, for the samplers made here, `__len__`.
        batch_size: samples in a batch; None for samples without batches (only NumPy becomes Tensor then).
        shuffle: a new random order in each pass.
        sampler: gives the order of indices itself; not together with shuffle.
        batch_sampler: gives lists of indices; not together with batch_size, shuffle, sampler or drop_last.
        collate_fn: makes the batch out of a list of samples; `default_collate` if None.
        drop_last: leave out the last batch if it is shorter than batch_size.
        generator: where all draws come from; the default generator if None. Each `iter()` draws one 64-bit word:
            torch's seed for its workers, of no use here, but the numbers after it must be torch's.

    The other arguments of torch's steer worker processes and a GPU's memory; they are refused. A pass goes on
    after an exception: the next `next()` gives the next batch.

    Raises:
        NotImplementedError: an argument that is not offered.
        ValueError: arguments that exclude each other, as torch's.
    """

    dataset: Any
    batch_size: int | None
    sampler: Iterable[Any]
    batch_sampler: Iterable[Any] | None
    drop_last: bool

    def __init__(
        self,
        dataset: Dataset[T_co] | Sequence[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        for name, given, offered in (
            ("num_workers", num_workers, 0),
            ("pin_memory", pin_memory, False),
            ("timeout", timeout, 0),
            ("worker_init_fn", worker_init_fn, None),
            ("multiprocessing_context", multiprocessing_context, None),
            ("prefetch_factor", prefetch_factor, None),
            ("persistent_workers", persistent_workers, False),
            ("pin_memory_device", pin_memory_device, ""),
            ("in_order", in_order, True),
        ):
            if given != offered:
                raise NotImplementedError(
                    f"DataLoader loads in this process and into plain memory: {name}={given!r} is not offered; "
                    f"leave it out, or pass {name}={offered!r}"
                )
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(
                f"generator must be a Generator, got {type(generator).__name__}: pass Generator().manual_seed(seed)"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")

        if sampler is None:
            sized: Any = dataset
            sampler = RandomSampler(sized, generator=generator) if shuffle else SequentialSampler(sized)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.generator = generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)

    def __setattr__(self, name: str, value: Any) -> None:
        fixed = name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last") and name in vars(self)
        if fixed:  # the samplers would not hear of it
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized: make a new one"
            )
        super().__setattr__(name, value)

    def __iter__(self) -> "_Pass":
        return _Pass(self)

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return len(self._index_source)  # type: ignore[arg-type]

    def indices(self) -> Iterator[Any]:
        """A pass's lists of indices, one for each batch; or its indices, where there are no batches.

        It draws what a pass over the batches draws, so that either stands for the other.
        """
        indices = iter(self._index_source)
        random.random_int64(generator=self.generator)  # the base seed
        return indices

    @property
    def _index_source(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetch(self, indices: Any) -> Any:
        """The batch of these indices; without batches, the sample of this one index."""
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[indices])
        if self.collate_fn is default_collate and isinstance(indices, list):
            batch = _collated_batch(self.dataset, indices)
            if batch is not None:
                return batch
        return self.collate_fn(_samples(self.dataset, indices))


class _Pass:
    """One pass over a DataLoader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self._indices = loader.indices()

    def __iter__(self) -> "_Pass":
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        indices = next(self._indices)
        try:
            return self._loader._fetch(indices)
        except StopIteration as error:  # would end the pass early, and silently
            raise RuntimeError("the data set or the collate_fn raised StopIteration") from error
