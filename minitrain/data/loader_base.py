"""The base of DataLoader: the checks of its arguments, and `state_dict` to save and resume a pass."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic

from minitrain.data.collate import default_collate, default_convert
from minitrain.data.dataset import Dataset, IterableDataset, T_co, collates
from minitrain.data.position import (
    PassIndices,
    Position,
    as_plain_index,
    check_state,
    mismatch,
    restored_generator,
    restored_iterator,
    saved_iterator,
    shortened,
)
from minitrain.data.sampler import BatchSampler, RandomSampler, SampleStream, SequentialSampler
from minitrain.tensor import wrap
from minitrain.torchlike import random
from minitrain.torchlike.not_offered import ChecksKeywords
from minitrain.torchlike.random import Generator

_FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last", "persistent_workers")


class LoaderBase(ChecksKeywords, Generic[T_co]):
    """A DataLoader's arguments, and its position: the latest pass, which can be saved and resumed."""

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
        prefetch_factor = _check_worker_options(
            num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context
        )
        if pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used: minitrain computes on the CPU; leave pin_memory out",
                stacklevel=2,
            )
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(
                f"generator must be a Generator, got {type(generator).__name__}: pass Generator().manual_seed(seed)"
            )
        if isinstance(dataset, IterableDataset):
            for option, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {option} option, but got "
                        f"{option}={value}"
                    )
            sampler = SampleStream(dataset)
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
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self._index_source = sampler if batch_sampler is None else batch_sampler
        self._collates = collates(dataset)
        self._position = Position(latest=_no_pass())
        self._workers: list[Any] | None = None  # those that are kept for the next pass

    def __setattr__(self, name: str, value: Any) -> None:
        fixed = name in _FIXED and name in vars(self)
        if fixed:  # the samplers would not notice the change
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized: make a new one"
            )
        super().__setattr__(name, value)

    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        """The position in the latest pass, for load_state_dict; no position if that pass is exhausted.

        It holds the order drawn so far, the position in it, and the states of the generators of the pass, of the
        loader and of its samplers. The default generator belongs to the program: save its get_state() as well.
        Call this between two batches, not from the data set.

        Args:
            again: save the position before the last batch instead of after it, so that it is given again.

        Raises:
            TypeError: the sampler's iterator cannot save its position, see Sampler.
            NotImplementedError: a pass with workers, or over an IterableDataset.
        """
        if self.num_workers or isinstance(self.dataset, IterableDataset):
            raise NotImplementedError(
                "state_dict: the position in a pass can be saved for num_workers=0 and a data set with __getitem__; "
                f"got num_workers={self.num_workers} and {type(self.dataset).__name__}"
            )
        state, latest = None, self._position.latest
        if not latest.exhausted:
            ahead = latest.last if again and latest.last is not None else latest.again
            if ahead is not None:
                batched = self.batch_sampler is not None
                ahead = [as_plain_index(index) for index in ahead] if batched else as_plain_index(ahead)
            state = {"indices": saved_iterator(latest.iterator, self._index_source), "again": ahead}
        return {"pass": state, "generators": [wrap(each.state()) for each in self._generators()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume a saved pass: the next pass gives the remaining batches, with the same random draws.

        Also restores the generators of the loader and its samplers. If no pass was saved, it restores only those.

        Raises:
            ValueError: the state does not fit: it is from another kind of sampler, for another number of samples,
                another batch_size or drop_last, or it is damaged. Nothing has changed then.
        """
        check_state(state, {}, "pass", "generators")
        loaded, saved = _no_pass(), state["pass"]
        if saved is not None:
            check_state(saved, {}, "indices", "again")
            loaded = PassIndices(iterator=restored_iterator(saved["indices"], self._index_source), again=saved["again"])
            if loaded.again is not None and not self._is_batch(loaded.again):
                raise mismatch(f"{shortened(loaded.again)}, the batch to give again, does not exist in this data set")
        generators, states = self._generators(), state["generators"]
        if not isinstance(states, list) or len(states) != len(generators):
            raise mismatch(f"generators is {shortened(states)}, expected a list of length {len(generators)}")
        for generator, restored in zip(generators, [restored_generator(each) for each in states], strict=True):
            generator.set_state(restored.get_state())
        self._position = Position(latest=loaded, resumes=saved is not None)

    def _generators(self) -> list[Generator]:
        """Those given to the loader and its samplers, each once, without the default generator."""
        owners = (self, self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None))
        given = {id(each): each for each in (getattr(owner, "generator", None) for owner in owners)}
        return [each for each in given.values() if isinstance(each, Generator) and each is not random.default_generator]

    def _is_batch(self, indices: Any) -> bool:
        """Whether these can be the indices of a batch: as many as allowed, and in the data set as far as known."""
        if self.batch_sampler is None:
            indices = [indices]
        elif not isinstance(indices, list) or len(indices) == 0 or len(indices) > (self.batch_size or len(indices)):
            return False
        if isinstance(self.dataset, Mapping):
            return all(isinstance(index, int | float | str) and index in self.dataset for index in indices)
        size = len(self.dataset) if hasattr(self.dataset, "__len__") else math.inf
        return all(type(index) is int and -size <= index < size for index in indices)


def _no_pass() -> PassIndices:
    return PassIndices(iterator=iter(()), exhausted=True)


def _check_worker_options(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool, context: Any
) -> int | None:
    """Raise torch's errors for options that exclude each other. Returns the prefetch_factor, 2 if it is left out."""
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if timeout and num_workers == 0:
        raise AssertionError(f"timeout needs num_workers > 0, got timeout={timeout}: leave it out")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None and num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
            f"num_workers={num_workers}"
        )
    return 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
