"""torch's worker processes, imitated in this process: the batches and the random draws of each worker are torch's.

Worker w of n loads the batches w, w + n, w + 2n, ... with random streams of its own, seeded with base_seed + w. So
random transforms in a program with `num_workers=2` give torch's numbers, and do not advance the program's own stream.
"""

import collections
import contextlib
import copy
import itertools
import random as python_random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitrain.data.dataset import IterableDataset
from minitrain.data.position import Pass, iterate
from minitrain.data.sampler import BatchSampler, SampleStream
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator


@dataclass(frozen=True)
class WorkerInfo:
    """What get_worker_info returns: the worker's number, how many there are, its seed, and its data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """The worker that loads at this moment; None outside of a DataLoader with num_workers > 0."""
    return Worker.active


class Worker:
    """One worker: its data set, and its three random streams (minitrain's, NumPy's, Python's)."""

    active: WorkerInfo | None = None

    def __init__(self, loader: Any, number: int, base_seed: int) -> None:
        seed = base_seed + number
        # torch's workers have copies of the data set. A shallow copy is enough for one that is set up per worker.
        dataset = copy.copy(loader.dataset) if isinstance(loader.dataset, IterableDataset) else loader.dataset
        self.info = WorkerInfo(number, loader.num_workers, seed, dataset)
        self._generator = Generator().manual_seed(seed % 2**64)
        self._python = python_random.Random(seed).getstate()
        words = np.random.SeedSequence([number, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]).generate_state(4)
        self._numpy: Any = np.random.RandomState(words).get_state()
        if loader.worker_init_fn is not None:
            with self.loading():
                loader.worker_init_fn(number)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Within this context the worker's random streams are the default ones, and get_worker_info returns it."""
        self._exchange_streams()
        before, Worker.active = Worker.active, self.info
        try:
            yield
        finally:
            Worker.active = before
            self._exchange_streams()

    def _exchange_streams(self) -> None:
        ours, default = self._generator, random.default_generator
        ours.__dict__, default.__dict__ = default.__dict__, ours.__dict__
        numpy, python = np.random.get_state(), python_random.getstate()
        np.random.set_state(self._numpy)
        python_random.setstate(self._python)
        self._numpy, self._python = numpy, python


class WorkerPass(Pass):
    """One pass over a DataLoader with workers: each next batch is loaded by the next worker."""

    def __init__(self, loader: Any, indices: Iterator[Any], workers: list[Worker]) -> None:
        super().__init__(loader=loader, indices=indices)
        # torch takes the first indices from the sampler at once, so a sampler's draws come that early.
        self.ahead = collections.deque(itertools.islice(indices, loader.prefetch_factor * len(workers)))
        self.turns = itertools.cycle(workers)

    def __next__(self) -> Any:
        if not self.ahead:
            raise StopIteration
        indices = self.ahead.popleft()
        self.ahead.extend(itertools.islice(self.indices, 1))
        with next(self.turns).loading():
            return self.load(indices)


class StreamPass(Pass):
    """One pass over an IterableDataset with workers: each iterates over its own copy of the data set."""

    def __init__(self, loader: Any, workers: list[Worker]) -> None:
        super().__init__(loader=loader, indices=iter(()))
        self.streams: collections.deque[tuple[Worker, Iterator[Any]]] = collections.deque()
        for worker in workers:
            source: Any = SampleStream(worker.info.dataset)
            if loader.batch_size is not None:
                source = BatchSampler(source, loader.batch_size, loader.drop_last)
            self.streams.append((worker, iterate(source)))

    def __next__(self) -> Any:
        while self.streams:
            worker, stream = self.streams.popleft()
            with worker.loading(), contextlib.suppress(StopIteration):
                samples = next(stream)
                self.streams.append((worker, stream))
                return self.load(samples)
        raise StopIteration


def start_pass(loader: Any) -> Iterator[Any]:
    """A pass over a loader with num_workers > 0. Persistent workers keep their random streams for the next pass."""
    warnings.warn(
        "DataLoader: num_workers > 0 starts no processes here. minitrain loads in this process; batches and random "
        "numbers are those of torch's workers. Pass num_workers=0 to silence this.",
        stacklevel=1,  # always this line, so that Python shows the warning once per process
    )
    indices = loader.indices()  # which draws the base seed
    base_seed = loader._position.base_seed
    workers = loader._workers or [Worker(loader, number, base_seed) for number in range(loader.num_workers)]
    if loader.persistent_workers:
        loader._workers = workers
    if isinstance(loader.dataset, IterableDataset):
        return StreamPass(loader, workers)
    return WorkerPass(loader, indices, workers)
