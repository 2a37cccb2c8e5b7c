"""Data sets made of others: one after the other, or side by side. The names are those of torch.utils.data."""

import bisect
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from minitrain.data.dataset import Dataset, IterableDataset, T_co, fetch_samples


class ConcatDataset(Dataset[T_co]):
    """Several data sets, one after the other. `a + b` makes the same.

    Raises:
        AssertionError: no data sets, or an IterableDataset among them (as torch).
        ValueError: a negative index that goes back too far.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(each, IterableDataset) for each in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset: use ChainDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """How many samples the data sets have up to and including each one."""
        return list(itertools.accumulate(len(each) for each in sequence))

    def __getitem__(self, index: Any) -> T_co:
        if index < 0:
            if -index > len(self):
                raise ValueError(
                    f"absolute value of index should not exceed dataset length: got {index} of {len(self)} samples"
                )
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[T_co]):
    """Several IterableDatasets, one after the other. `a + b` makes the same.

    Raises:
        AssertionError: on iteration, if one of them is not an IterableDataset (as torch).
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[Any]:
        for each in self.datasets:
            if not isinstance(each, IterableDataset):
                raise AssertionError(f"ChainDataset only supports IterableDataset, got {type(each).__name__}")
            yield each

    def __iter__(self) -> Iterator[T_co]:
        for each in self._checked():
            yield from each

    def __len__(self) -> int:
        return sum(len(each) for each in self._checked())


class StackDataset(Dataset[Any]):
    """Several data sets of the same length side by side: sample i has sample i of each.

    Args:
        args, kwargs: the data sets. Samples are tuples for positional arguments, dicts for named ones.

    Raises:
        ValueError: no data sets, both kinds of arguments, or different lengths.
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or``dict``- (via ``kwargs``) like input/output, but both "
                "types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        lengths = [len(each) for each in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ValueError(f"Size mismatch between datasets: got the lengths {lengths}")
        self._length = lengths[0]
        self.datasets = args or kwargs

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: each[index] for name, each in self.datasets.items()}
        return tuple(each[index] for each in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        named = isinstance(self.datasets, dict)
        columns = [fetch_samples(each, indices) for each in (self.datasets.values() if named else self.datasets)]  # type: ignore[union-attr]
        for column in columns:
            if len(column) != len(indices):
                raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}")
        rows = zip(*columns, strict=True)
        return [dict(zip(self.datasets, row, strict=True)) for row in rows] if named else [*rows]

    def __len__(self) -> int:
        return self._length
