"""DataLoader: the batches of a data set, a new pass for each `for` loop over it."""

from collections.abc import Iterator
from typing import Any

from minitrain import data
from minitrain.data.collate import default_collate
from minitrain.data.dataset import IterableDataset, T_co, fetch_samples
from minitrain.data.loader_base import LoaderBase
from minitrain.data.position import Pass, PassIndices, iterate
from minitrain.torchlike import random


class DataLoader(LoaderBase[T_co]):
    """Batches of a data set. A pass is this loop:

        for indices in BatchSampler(sampler, batch_size, drop_last):
            yield collate_fn([dataset[index] for index in indices])

    Args:
        dataset: anything with `__getitem__` and, unless a sampler is given, `__len__`; or an IterableDataset.
        batch_size: samples per batch; None for single samples, whose NumPy arrays are converted to Tensors.
        shuffle: a new random order in each pass (RandomSampler); else in order (SequentialSampler).
        sampler: gives the indices in an order of its own; excludes shuffle.
        batch_sampler: gives lists of indices; excludes batch_size, shuffle, sampler and drop_last.
        collate_fn: converts a list of samples to a batch; `default_collate` if None.
        drop_last: drop the last batch if it is shorter than batch_size.
        generator: the source of all random draws; the default generator if None.

    torch's arguments for worker processes are accepted. Loading stays in this process, but the batches, and the random
    numbers that a data set draws, are those of torch's workers: see workers.py. `pin_memory` has no effect.
    The position in a pass can be saved, and resumed in another process: `state_dict()`, `load_state_dict(state)`.
    A pass continues after an exception: the next `next()` gives the next batch.

    Raises:
        ValueError: arguments that exclude each other, as in torch.

    Source: https://docs.pytorch.org/docs/2.13/data.html
    """

    def __iter__(self) -> Iterator[Any]:
        """Begin a pass. Each `next()` of a Pass (position.py) is `self._fetch(next(indices))`."""
        return data.workers.start_pass(self) if self.num_workers else Pass(loader=self, indices=self.indices())

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return len(self._index_source)  # type: ignore[arg-type]

    def indices(self) -> Iterator[Any]:
        """The indices of a pass: a list for each batch, or single indices if there are no batches.

        It makes the same random draws as a pass over the batches, so either can replace the other.
        """
        if self._position.resumes:
            self._position.resumes = False
            return self._position.latest
        self._position.latest = PassIndices(iterator=iterate(self._index_source))
        if not self._workers:  # torch draws this even without workers: all later random numbers depend on it
            self._position.base_seed = random.random_int64(generator=self.generator)
        return self._position.latest

    def _fetch(self, indices: Any) -> Any:
        """The batch of these indices; without batches, the sample at this index."""
        # Some data sets fetch a whole batch at once, with the same result as the samples collated.
        at_once = self._collates and self.collate_fn is default_collate and isinstance(indices, list)
        if at_once and (batch := self.dataset.collated_batch(indices)) is not None:
            return batch
        if isinstance(self.dataset, IterableDataset):
            return self.collate_fn(indices)  # they are the samples themselves
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[indices])
        return self.collate_fn(fetch_samples(self.dataset, indices))
