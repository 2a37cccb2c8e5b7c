"""DataLoader, and what it is made of: data sets, samplers that choose indices, and the collation of samples.

The names are those of torch.utils.data. Every draw from the random stream is torch's, number and order, so
that after `manual_seed` the same program sees the same batches, and the stream is at the same place after them.
"""

import copy
import itertools
import math
import operator
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from minitrain.creation import as_tensor, stack, tensor
from minitrain.tensor import Tensor
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator

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
    """Chooses the order: iterating gives indices, or lists of them; `__len__` says how many.

    For `DataLoader.state_dict` in the middle of a pass, the iterator has two methods more, as torchdata names them:
    `state_dict()` returns its place, made of what `minitrain.save` can write;
    `load_state_dict(state)` goes there, and raises ValueError for a state that does not fit.
    Such an iterator draws nothing before its first `next()`: one is made to be loaded into.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return _InOrder(range(len(self.data_source)))

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
        return _Drawn(self, self.generator)

    def __len__(self) -> int:
        return self.num_samples

    def _size(self, number: int) -> int | None:
        """How many indices the block of this number has, of those that a pass draws in turn; None after the last."""
        if self.replacement:
            left = self.num_samples - 32 * number  # torch draws 32 at a time
            return min(left, 32) if left > 0 else None
        permutations, left = divmod(self.num_samples, len(self.data_source))
        if number < permutations:
            return len(self.data_source)
        # Even for none left: torch draws here, and so moves a user's stream.
        return left if number == permutations and (left or self.generator is not None) else None

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        n = len(self.data_source)
        if self.replacement:
            return random.randint(0, n, (size,), generator=generator)
        return random.randperm(n, generator=generator)[:size]

    def _indices(self, places: list[int]) -> list[int]:
        return places

    def _fits(self) -> dict[str, Any]:
        length = len(self.data_source)
        return {"length": length, "num_samples": self.num_samples, "replacement": self.replacement}


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return _Drawn(self, self.generator or random.default_generator)

    def __len__(self) -> int:
        return len(self.indices)

    def _size(self, number: int) -> int | None:
        return len(self.indices) if number == 0 else None

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        return random.randperm(size, generator=generator)

    def _indices(self, places: list[int]) -> list[int]:
        return [self.indices[place] for place in places]

    def _fits(self) -> dict[str, Any]:
        return {"length": len(self.indices), "checksum": _checksum(list(self.indices)), "replacement": False}


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
        return _Batches(self)

    def __len__(self) -> int:
        samples = len(self.sampler)  # type: ignore[arg-type]
        return samples // self.batch_size if self.drop_last else math.ceil(samples / self.batch_size)


# --- the samplers' iterators -----------------------------------------------------------------------------------


class _Order(Iterator[Any]):
    """An order's indices: a block of them, how many of these have been given, and perhaps blocks to follow."""

    _block: Sequence[Any] = ()
    _given = 0

    def _next_block(self) -> bool:
        """Make the next block the present one; False where there is none."""
        return False

    def __next__(self) -> Any:
        while self._given == len(self._block):
            if not self._next_block():
                raise StopIteration
        self._given += 1
        return self._block[self._given - 1]

    def take(self, count: int) -> list[Any]:
        """The next `count` indices, or as many as there are: what islice gives, but a block's at once."""
        taken: list[Any] = []
        while len(taken) < count and (self._given < len(self._block) or self._next_block()):
            more = self._block[self._given : self._given + count - len(taken)]
            self._given += len(more)
            taken += more
        return taken


class _InOrder(_Order):
    """A list, tuple or range from front to back."""

    def __init__(self, sequence: Sequence[Any]) -> None:
        self._block = sequence

    def _fits(self) -> dict[str, Any]:
        return {"length": len(self._block), "checksum": _checksum(self._block)}

    def state_dict(self) -> dict[str, Any]:
        return {**self._fits(), "given": self._given}

    def load_state_dict(self, state: Any) -> None:
        _require(state, self._fits(), "given")
        self._given = _number_to(len(self._block), state, "given")


class _Drawn(_Order):
    """Blocks of places that a sampler draws, each when its first index is asked for.

    Without a generator, the first block draws a seed from the default one, for a generator of this pass alone.
    """

    def __init__(self, sampler: RandomSampler | SubsetRandomSampler, generator: Generator | None) -> None:
        self._sampler = sampler
        self._generator = generator
        self._private = generator is None
        self._blocks = 0  # how many have been drawn
        self._order: NDArray[np.int64] = np.empty(0, np.int64)  # the last of them

    def _next_block(self) -> bool:
        size = self._sampler._size(self._blocks)
        if size is None:
            return False
        if self._generator is None:
            self._generator = Generator().manual_seed(random.random_int64())
        self._order = self._sampler._draw(size, self._generator)
        self._block, self._given = self._sampler._indices(self._order.tolist()), 0
        self._blocks += 1
        return True

    def state_dict(self) -> dict[str, Any]:
        private = self._generator if self._private else None
        return {
            **self._sampler._fits(),
            "blocks": self._blocks,
            "order": Tensor(self._order.copy()),
            "given": self._given,
            "generator": None if private is None else Tensor(private.get_state()),
        }

    def load_state_dict(self, state: Any) -> None:
        fits = self._sampler._fits()
        _require(state, fits, "blocks", "order", "given", "generator")
        blocks = _number_to(None, state, "blocks")
        size = self._sampler._size(blocks - 1) if blocks else 0
        order = state["order"].array if isinstance(state["order"], Tensor) else np.empty((), object)
        if size is None or order.dtype != np.int64 or order.shape != (size,):
            raise _unfit(f"the order of block {blocks} is {_short(state['order'])}, expected {size or 0} int64 indices")
        if ((order < 0) | (order >= fits["length"])).any():
            raise _unfit(f"its order has indices from {order.min()} to {order.max()}, there are {fits['length']}")
        if not fits["replacement"] and len(np.unique(order)) < size:
            raise _unfit("its order has an index twice")
        given = _number_to(size, state, "given")
        if self._private and blocks:
            self._generator = _generator_at(state["generator"])
        elif state["generator"] is not None:
            raise _unfit("it has a generator of the pass alone, where none is used")
        self._blocks, self._order, self._given = blocks, order.copy(), given
        self._block = self._sampler._indices(order.tolist())


class _Batches(Iterator[list[Any]]):
    """Lists of a sampler's indices."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler
        self._indices: Iterator[Any] | None = None  # until the first batch: what it draws comes after the base seed

    def __next__(self) -> list[Any]:
        if self._indices is None:
            self._indices = _iterator(self._sampler.sampler)
        size = self._sampler.batch_size
        if isinstance(self._indices, _Order):
            batch = self._indices.take(size)
        else:
            batch = list(itertools.islice(self._indices, size))
        if not batch or (len(batch) < size and self._sampler.drop_last):
            raise StopIteration
        return batch

    def _fits(self) -> dict[str, Any]:
        return {"batch_size": self._sampler.batch_size, "drop_last": self._sampler.drop_last}

    def state_dict(self) -> dict[str, Any]:
        begun = self._indices is not None
        return {**self._fits(), "indices": _state_of(self._indices, self._sampler.sampler) if begun else None}

    def load_state_dict(self, state: Any) -> None:
        _require(state, self._fits(), "indices")
        begun = state["indices"] is not None
        self._indices = _iterator_at(state["indices"], self._sampler.sampler) if begun else None


class _Indices(Iterator[Any]):
    """The indices of one pass over a DataLoader, which keeps the last pass's for the sake of its state."""

    def __init__(self, iterator: Iterator[Any], again: Any = None) -> None:
        self.iterator = iterator
        self.again = again  # what is given before the rest
        self.last: Any = None  # what was given last
        self.exhausted = False

    def __next__(self) -> Any:
        if self.again is not None:
            self.last, self.again = self.again, None
            return self.last
        try:
            self.last = next(self.iterator)
        except StopIteration:
            self.exhausted, self.iterator = True, iter(())  # the order is not needed any more
            raise
        return self.last


def _iterator(sampler: Iterable[Any]) -> Iterator[Any]:
    """The sampler's iterator; one that knows its place, where a plain list stands for a sampler."""
    return _InOrder(sampler) if type(sampler) in (list, tuple, range) else iter(sampler)  # type: ignore[arg-type]


def _state_of(iterator: Any, sampler: Iterable[Any]) -> dict[str, Any]:
    _require_methods(iterator, sampler)
    return {"sampler": type(sampler).__name__, "state": iterator.state_dict()}


def _iterator_at(state: Any, sampler: Iterable[Any]) -> Iterator[Any]:
    """A new iterator of the sampler, at a place of _state_of's."""
    _require(state, {"sampler": type(sampler).__name__}, "state")
    iterator: Any = _iterator(sampler)
    _require_methods(iterator, sampler)
    iterator.load_state_dict(state["state"])
    return iterator  # type: ignore[no-any-return]


def _require_methods(iterator: Any, sampler: Iterable[Any]) -> None:
    for name in ("state_dict", "load_state_dict"):
        if not callable(getattr(iterator, name, None)):
            raise TypeError(
                f"the place in a pass cannot be told: the iterator of {type(sampler).__name__}, a "
                f"{type(iterator).__name__}, has no {name}. Give it state_dict() and load_state_dict(state), see "
                "minitrain.data.Sampler; or pass a list of indices as the sampler"
            )


# --- a state that may be another's -----------------------------------------------------------------------------


def _require(state: Any, fits: dict[str, Any], *names: str) -> None:
    """Raise ValueError unless the state is a dict of what fits, and of entries with these names."""
    if not isinstance(state, dict) or set(state) != {*fits, *names}:
        raise _unfit(f"{_short(state)} is not a dict of {', '.join([*fits, *names])}")
    for name, here in fits.items():
        if type(state[name]) is not type(here) or state[name] != here:
            raise _unfit(f"its {name} is {_short(state[name])}, here it is {here!r}")


def _number_to(largest: int | None, state: dict[str, Any], name: str) -> int:
    """The entry, a whole number from 0 to the largest."""
    number = state[name]
    if type(number) is not int or number < 0 or (largest is not None and number > largest):
        limit = "up" if largest is None else f"to {largest}"
        raise _unfit(f"{name} is {_short(number)}, expected a whole number from 0 {limit}")
    return number


def _generator_at(state: Any) -> Generator:
    """A new generator, at what get_state returned."""
    generator = Generator()
    try:
        if not isinstance(state, Tensor):
            raise TypeError(f"expected a Tensor, got {type(state).__name__}")
        generator.set_state(state.array)
    except (RuntimeError, TypeError) as error:
        raise _unfit(f"the state of a generator: {error}") from None
    return generator


def _unfit(what: str) -> ValueError:
    return ValueError(
        f"the state does not fit this DataLoader: {what}. Load what state_dict() gave for a loader with the same "
        "arguments, or load nothing, and the next pass begins anew"
    )


def _plain(index: Any) -> Any:
    """An index as a number that can be saved, if it is a NumPy integer or a Tensor."""
    return operator.index(index) if hasattr(index, "__index__") else index


def _short(value: Any) -> str:
    return f"{value!r:.100}"


def _checksum(indices: Sequence[Any]) -> int:
    return zlib.crc32(repr(indices).encode())


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

    Where a pass is can be saved, and gone on with in another process: `state_dict()`, `load_state_dict(state)`.

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
        self._pass: _Indices | None = None  # that begun last
        self._goes_on = False  # whether the next pass is that one, from a state

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
        if self._pass is None or not self._goes_on:
            self._pass = _Indices(_iterator(self._index_source))
            random.random_int64(generator=self.generator)  # the base seed
        self._goes_on = False
        return self._pass

    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        """The place in the pass that was begun last, if that is not exhausted, for load_state_dict.

        It holds the order that was drawn, the place in it, and the states of the pass's own generator and of those
        given to the loader and its samplers. The default generator is the program's: save its get_state() as well.
        To be called between two batches, not in the data set.

        again: tell the place before the batch that was given last, which then is given once more.

        Raises TypeError for a sampler whose iterator cannot tell its place, see Sampler.
        """
        state = None
        if self._pass is not None and not self._pass.exhausted:
            ahead = self._pass.last if again and self._pass.last is not None else self._pass.again
            if ahead is not None:
                ahead = _plain(ahead) if self.batch_sampler is None else [_plain(index) for index in ahead]
            state = {"indices": _state_of(self._pass.iterator, self._index_source), "again": ahead}
        return {"pass": state, "generators": [Tensor(each.get_state()) for each in self._generators()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass be the rest of that whose state this is: it draws nothing that the rest would not have.

        The generators given to the loader and its samplers are set, too. Without a pass in the state, that is all.

        Raises ValueError for a state that does not fit: from another kind of sampler, for another number of samples,
        another batch_size or drop_last, or damaged. Nothing has changed then.
        """
        _require(state, {}, "pass", "generators")
        loaded, given = None, state["pass"]
        if given is not None:
            _require(given, {}, "indices", "again")
            loaded = _Indices(_iterator_at(given["indices"], self._index_source), given["again"])
            if loaded.again is not None and not self._is_batch(loaded.again):
                raise _unfit(f"the batch to be given again, {_short(loaded.again)}, is none of this data set")
        generators, states = self._generators(), state["generators"]
        if not isinstance(states, list) or len(states) != len(generators):
            raise _unfit(f"generators is {_short(states)}, expected the states of {len(generators)} in a list")
        for generator, at in zip(generators, [_generator_at(each) for each in states], strict=True):
            generator.set_state(at.get_state())
        self._pass, self._goes_on = loaded, loaded is not None

    def _generators(self) -> list[Generator]:
        """Those given to the loader and its samplers, each once; the default generator is not theirs."""
        owners = (self, self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None))
        given = {id(each): each for each in (getattr(owner, "generator", None) for owner in owners)}
        return [each for each in given.values() if isinstance(each, Generator) and each is not random.default_generator]

    def _is_batch(self, indices: Any) -> bool:
        """Whether the data set has these indices, as far as it can be told, and a batch may have as many."""
        if self.batch_sampler is None:
            indices = [indices]
        elif not isinstance(indices, list) or len(indices) == 0 or len(indices) > (self.batch_size or len(indices)):
            return False
        if isinstance(self.dataset, Mapping):
            return all(isinstance(index, int | float | str) and index in self.dataset for index in indices)
        size = len(self.dataset) if hasattr(self.dataset, "__len__") else math.inf
        return all(type(index) is int and -size <= index < size for index in indices)

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
