"""The samplers give torch's indices in torch's order, and make torch's random draws."""

from typing import Any

import pytest
import torch.utils.data as torch_data
from hypothesis import given
from hypothesis import strategies as st

from minitrain.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, SubsetRandomSampler
from tests.test_loader import Libraries, seeds


@given(
    length=st.integers(1, 50),
    replacement=st.booleans(),
    num_samples=st.none() | st.integers(1, 120),
    own_generator=st.booleans(),
    seed=seeds,
)
def test_random_sampler_is_torchs(
    length: int, replacement: bool, num_samples: int | None, own_generator: bool, seed: int
) -> None:
    libraries = Libraries(seed, seed)
    options: Any = {"replacement": replacement, "num_samples": num_samples}
    ours = RandomSampler(range(length), **options, generator=libraries.ours if own_generator else None)
    torchs = torch_data.RandomSampler(range(length), **options, generator=libraries.torchs if own_generator else None)
    assert list(ours) == list(torchs)
    assert len(ours) == len(torchs)
    assert libraries.at_the_same_place()


@given(indices=st.lists(st.integers(0, 9), max_size=9), own_generator=st.booleans(), seed=seeds)
def test_subset_random_sampler_is_torchs(indices: list[int], own_generator: bool, seed: int) -> None:
    libraries = Libraries(seed, seed)
    ours = SubsetRandomSampler(indices, libraries.ours if own_generator else None)
    torchs = torch_data.SubsetRandomSampler(indices, libraries.torchs if own_generator else None)
    assert list(ours) == list(torchs)
    assert len(ours) == len(indices)
    assert libraries.at_the_same_place()


@given(length=st.integers(0, 20), batch_size=st.integers(1, 7), drop_last=st.booleans())
def test_batch_sampler_is_torchs(length: int, batch_size: int, drop_last: bool) -> None:
    ours = BatchSampler(SequentialSampler(range(length)), batch_size, drop_last)
    torchs = torch_data.BatchSampler(torch_data.SequentialSampler(range(length)), batch_size, drop_last)
    assert list(ours) == list(torchs)
    assert len(ours) == len(torchs)


def test_samplers_check_their_arguments() -> None:
    with pytest.raises(ValueError, match="num_samples=0: the data set is empty"):
        DataLoader([], shuffle=True)
    with pytest.raises(ValueError, match="num_samples=-1"):
        RandomSampler(range(3), num_samples=-1)
    with pytest.raises(TypeError, match="replacement should be a boolean"):
        RandomSampler(range(3), replacement=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="generator must be a Generator, got int"):
        DataLoader(range(3), generator=42)  # type: ignore[arg-type]
