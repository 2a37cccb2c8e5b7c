"""With num_workers > 0 everything loads in this process, but batches and draws are those of torch's workers."""

import contextlib
import random as python_random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from hypothesis import given
from hypothesis import strategies as st

import minitrain
import minitrain.data as our_data
from minitrain.data import DataLoader
from minitrain.data.workers import Worker
from tests.test_loader import plain

NOTICE = "num_workers > 0 starts no processes here"


def drawn(library: Any) -> list[Any]:
    """A number from each of the three random streams."""
    return [int(library.randint(0, 2**20, (1,))), int(np.random.randint(2**20)), python_random.randrange(2**20)]


def seed_all(library: Any) -> None:
    library.manual_seed(5)
    np.random.seed(6)
    python_random.seed(7)


def noisy(data: Any, library: Any) -> Any:
    """A data set whose samples are random, as those of random transforms."""

    class Noisy(data.Dataset):
        def __len__(self) -> int:
            return 11

        def __getitem__(self, index: int) -> Any:
            return [index, *drawn(library), data.get_worker_info().id, data.get_worker_info().seed]

    return Noisy()


def seen(data: Any, library: Any, options: dict[str, Any], make: Callable[[Any, Any], Any] = noisy) -> list[Any]:
    """Two passes over a loader, and where the program's own random streams stand after each."""
    seed_all(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "init" in options:
            options = {**options, "worker_init_fn": lambda number: reseed(library, number)}
            del options["init"]
        loader = data.DataLoader(make(data, library), **options)
        result: list[Any] = []
        for _ in range(2):
            passing = iter(loader)
            result.append(drawn(library))  # a draw of the program's own, after the pass has begun
            result.append([plain(batch) for batch in passing])
            result.append(drawn(library))
    return result


def reseed(library: Any, number: int) -> None:
    """What programs commonly do in a worker_init_fn."""
    np.random.seed(library.initial_seed() % 2**32)
    python_random.seed(number)


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": 2, "batch_size": 2, "shuffle": True},
        {"num_workers": 3, "batch_size": 4, "drop_last": True, "persistent_workers": True, "prefetch_factor": 1},
        {"num_workers": 1, "batch_size": None, "init": True, "timeout": 60},
    ],
)
def test_batches_and_random_numbers_are_those_of_torchs_workers(options: dict[str, Any]) -> None:
    assert seen(our_data, minitrain, options) == seen(torch_data, torch, options)


def test_streams_left_alone_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"num_workers": 2, "batch_size": 2}
    right = seen(our_data, minitrain, options)
    monkeypatch.setattr(Worker, "_exchange_streams", lambda self: None)
    assert seen(our_data, minitrain, options) != right


def counting(data: Any, library: Any) -> Any:
    """An IterableDataset whose workers share its numbers unevenly."""

    class Counting(data.IterableDataset):
        def __init__(self) -> None:
            self.start, self.end = 0, 13

        def __iter__(self) -> Iterator[Any]:
            info = data.get_worker_info()
            for i in range(self.start, self.end, 1 if info is None else info.id + 2):
                yield [i, *drawn(library)]

    return Counting()


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"batch_size": None},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": 2, "num_workers": 3},
        {"batch_size": None, "num_workers": 2, "persistent_workers": True},
    ],
)
def test_an_iterable_data_set_gives_torchs_batches(options: dict[str, Any]) -> None:
    assert seen(our_data, minitrain, options, counting) == seen(torch_data, torch, options, counting)


def test_a_worker_init_fn_can_share_an_iterable_data_set_among_workers() -> None:
    def share(number: int) -> None:
        info: Any = our_data.get_worker_info()
        info.dataset.start, info.dataset.end = (0, 6) if number == 0 else (6, 13)

    dataset = counting(our_data, minitrain)
    with pytest.warns(UserWarning, match=NOTICE):
        batches = [*DataLoader(dataset, batch_size=None, num_workers=2, worker_init_fn=share)]
    assert [int(batch[0]) for batch in batches] == [0, 6, 2, 9, 4, 12]
    assert (dataset.start, dataset.end) == (0, 13)  # each worker has had a copy
    assert our_data.get_worker_info() is None


def test_the_length_of_an_iterable_data_set_is_its_own() -> None:
    class Sized(our_data.IterableDataset[int]):
        def __len__(self) -> int:
            return 10

    assert [len(DataLoader(Sized(), batch_size=size)) for size in (None, 3)] == [10, 4]
    assert len(DataLoader(Sized(), batch_size=3, drop_last=True)) == 3
    with pytest.raises(TypeError, match="has no len"):
        len(DataLoader(counting(our_data, minitrain)))


def test_the_notice_comes_once_per_process() -> None:
    program = (
        "from minitrain.data import DataLoader\n"
        "for n in (0, 2, 3):\n"
        "    loader = DataLoader(range(4), num_workers=n)\n"
        "    print(sum(int(x) for _ in range(2) for x in loader))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "12\n12\n12\n"
    assert result.stderr.count("UserWarning") == result.stderr.count(NOTICE) == 1


def test_streams_come_back_after_an_error_in_a_worker() -> None:
    class Failing(our_data.Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            drawn(minitrain)
            raise ValueError("no sample")

    loader = DataLoader(Failing(), num_workers=1)
    seed_all(minitrain)
    with pytest.warns(UserWarning, match=NOTICE):
        batches = iter(loader)
    for _ in range(2):
        with pytest.raises(ValueError, match="no sample"):
            next(batches)
    seed_all(minitrain)
    fresh = drawn(minitrain)
    seed_all(minitrain)
    with contextlib.suppress(StopIteration):
        next(batches)
    assert drawn(minitrain) == fresh
    assert our_data.get_worker_info() is None


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"prefetch_factor": -1, "num_workers": 1},
        {"persistent_workers": True},
        {"multiprocessing_context": "fork"},
    ],
)
def test_options_that_exclude_each_other_are_torchs_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"option|can only be used") as torchs:
        torch_data.DataLoader(range(3), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"option|can only be used") as ours:
        DataLoader(range(3), **options)  # type: ignore[arg-type]
    assert str(ours.value) == str(torchs.value)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_an_iterable_data_set_takes_no_sampler(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="with IterableDataset: expected unspecified") as torchs:
        torch_data.DataLoader(counting(torch_data, torch), **options)
    with pytest.raises(ValueError, match="with IterableDataset: expected unspecified") as ours:
        DataLoader(counting(our_data, minitrain), **options)
    assert str(ours.value) == str(torchs.value)


def test_what_has_no_effect_is_said_or_harmless() -> None:
    with pytest.warns(UserWarning, match="no accelerator is found"):
        DataLoader(range(3), pin_memory=True)
    with pytest.raises(AssertionError, match="needs num_workers > 0, got timeout=5"):  # torch: when a pass begins
        DataLoader(range(3), timeout=5)
    loader = DataLoader(range(3), worker_init_fn=print, in_order=False)  # ignored without workers, as in torch
    assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers) == (0, None, False)


@pytest.mark.parametrize("make", [noisy, counting])
def test_a_position_that_cannot_be_saved_says_so(make: Any) -> None:
    loader: Any = DataLoader(make(our_data, minitrain), num_workers=0 if make is counting else 2)
    with pytest.raises(NotImplementedError, match=r"num_workers=0 and a data set with __getitem__; got num_workers="):
        loader.state_dict()


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=12),
    zeros=st.integers(0, 3),
    count=st.integers(1, 20),
    replacement=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_weighted_sampling_is_torchs(weights: Any, zeros: int, count: int, replacement: bool, seed: int) -> None:
    count = count if replacement else min(count, len(weights))
    on_intel = "GenuineIntel" in cpu_vendor()
    results = []
    for library, data in ((minitrain, our_data), (torch, torch_data)):
        library.manual_seed(seed)
        sampler: Any = data.WeightedRandomSampler([*weights, *[0.0] * zeros], count, replacement)
        assert len(sampler) == count
        results.append([list(sampler), int(library.randint(0, 2**20, (1,)))])
    if on_intel and (not replacement or count == 1):  # torch draws from MKL's generator there
        assert len(set(results[0][0])) == count
    else:
        assert results[0] == results[1]


def cpu_vendor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        return file.read(2000)
    return ""


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "error"),
    [
        ([1.0], 0, True, ValueError),
        ([1.0], True, True, ValueError),
        ([1.0], 1, 1, ValueError),
        ([[1.0]], 1, True, ValueError),
        ([0.0, 0.0], 2, True, RuntimeError),
        ([-1.0, 2.0], 2, True, RuntimeError),
        ([float("nan"), 2.0], 1, False, RuntimeError),
        ([1.0, 2.0], 3, False, RuntimeError),
    ],
)
def test_weighted_sampling_refuses_what_torch_refuses(weights: Any, count: Any, replacement: Any, error: Any) -> None:
    for data in (our_data, torch_data):
        with pytest.raises(error, match=r"sample|multinomial|replacement|weights|probability"):
            list(data.WeightedRandomSampler(weights, count, replacement))  # type: ignore[attr-defined]
