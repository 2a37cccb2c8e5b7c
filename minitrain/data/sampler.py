"""Samplers: the order in which a DataLoader visits a data set. Names and random draws are torch.utils.data's."""

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from minitrain.creation import as_tensor
from minitrain.data.position import BatchOrder, DrawnOrder, DrawnSampler, ListOrder, checksum
from minitrain.torchlike import random
from minitrain.torchlike.multinomial import multinomial
from minitrain.torchlike.random import Generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An order: iterating gives indices, or lists of them; `__len__` returns how many.

    `DataLoader.state_dict` saves the position in a pass if the iterator has two more methods, named as in torchdata:
    `state_dict()` returns the iterator's position, in types that `minitrain.save` can write;
    `load_state_dict(state)` moves there, and raises ValueError for a state that does not fit.
    Such an iterator must not draw before its first `next()`: a loader creates one in order to load a state.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return ListOrder(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(DrawnSampler, Sampler[int]):
    """Indices in random order: randperm(n), or randint(0, n) with replacement.

    Args:
        data_source: anything with a length, n.
        replacement: draw each index from all n, so that indices can repeat.
        num_samples: how many indices; n if None. More than n without replacement gives several permutations.
        generator: the source of all draws. If None, each pass draws a seed from the default generator at its first
            index, and the rest from a generator of its own. So two passes at the same time do not affect each other.
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
        return DrawnOrder(self, self.generator)

    def __len__(self) -> int:
        return self.num_samples

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        n = len(self.data_source)
        if self.replacement:
            return random.randint(0, n, (size,), generator=generator)
        return random.randperm(n, generator=generator)[:size]

    def _block_size(self, number: int) -> int | None:
        if self.replacement:
            left = self.num_samples - 32 * number  # torch draws 32 at a time
            return min(left, 32) if left > 0 else None
        permutations, left = divmod(self.num_samples, len(self.data_source))
        if number < permutations:
            return len(self.data_source)
        # torch draws the last permutation even if none of it is used, which advances a user's generator.
        return left if number == permutations and (left or self.generator is not None) else None

    def _identity(self) -> dict[str, Any]:
        length = len(self.data_source)
        return {"length": length, "num_samples": self.num_samples, "replacement": self.replacement}


class SubsetRandomSampler(DrawnSampler, Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return DrawnOrder(self, self.generator or random.default_generator)

    def __len__(self) -> int:
        return len(self.indices)

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        return random.randperm(size, generator=generator)

    def _block_size(self, number: int) -> int | None:
        return len(self.indices) if number == 0 else None

    def _indices_at(self, places: list[int]) -> list[int]:
        return [self.indices[place] for place in places]

    def _identity(self) -> dict[str, Any]:
        return {"length": len(self.indices), "checksum": checksum(list(self.indices)), "replacement": False}


class WeightedRandomSampler(DrawnSampler, Sampler[int]):
    """Indices 0 to N - 1, each drawn with a probability proportional to its weight: one multinomial draw.

    Args:
        weights: N numbers >= 0; they need not add up to 1.
        num_samples: how many indices.
        replacement: whether an index can be drawn again.
        generator: the source of the draw; the default generator if None.

    Raises:
        ValueError: num_samples is not a positive int, replacement not a bool, or weights not one-dimensional.
        RuntimeError: on iteration: a weight is negative, infinite or nan, all are 0, or there are too few of them.
    """

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = as_tensor(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "weights should be a 1d sequence but given weights have shape " + str(tuple(self.weights.shape))
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return DrawnOrder(self, self.generator or random.default_generator)

    def __len__(self) -> int:
        return self.num_samples

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        return multinomial(self.weights.array, size, self.replacement, generator=generator)

    def _block_size(self, number: int) -> int | None:
        return self.num_samples if number == 0 else None

    def _identity(self) -> dict[str, Any]:
        weights = self.weights.array.tolist()
        return {"length": len(weights), "checksum": checksum(weights), "replacement": self.replacement}


class SampleStream(Sampler[Any]):
    """The sampler of an IterableDataset: it gives the samples themselves, where other samplers give indices."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        yield from self.dataset  # begins at the first sample, after the loader has drawn its base seed

    def __len__(self) -> int:
        return len(self.dataset)


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; `drop_last` drops the last list if it is shorter."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return BatchOrder(sampler=self)

    def __len__(self) -> int:
        samples = len(self.sampler)  # type: ignore[arg-type]
        return samples // self.batch_size if self.drop_last else math.ceil(samples / self.batch_size)
