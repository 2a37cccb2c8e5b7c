"""Data sets made of others, and splits, are torch's."""

import warnings
from typing import Any

import pytest
import torch
import torch.utils.data as torch_data
from hypothesis import given
from hypothesis import strategies as st

import minitrain
import minitrain.data as our_data
from tests.test_loader import plain

LIBRARIES: list[tuple[Any, Any]] = [(minitrain, our_data), (torch, torch_data)]


def outcome(action: Any) -> Any:
    """What it returns, with the warnings' texts; or the kind of error and its first words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = action()
        except Exception as error:
            return type(error), str(error).replace(":", " ").replace("!", " ").split()[:3]
    return result, [str(each.message) for each in caught]


def tensors(library: Any, data: Any, *lengths: int) -> list[Any]:
    return [data.TensorDataset(library.arange(n) + 100 * i) for i, n in enumerate(lengths)]


@given(lengths=st.lists(st.integers(0, 4), max_size=4), index=st.integers(-20, 20), batch_size=st.integers(1, 5))
def test_concatenated_data_sets(lengths: list[int], index: int, batch_size: int) -> None:
    def sample(library: Any, data: Any) -> Any:
        joined = data.ConcatDataset(tensors(library, data, *lengths))
        return [len(joined), joined.cumulative_sizes, plain(joined[index])]

    def batches(library: Any, data: Any) -> Any:
        joined = data.ConcatDataset(tensors(library, data, *lengths))
        library.manual_seed(0)
        return [plain(batch) for batch in data.DataLoader(joined, batch_size, shuffle=len(joined) > 0)]

    for action in (sample, batches):
        ours, torchs = (outcome(lambda pair=pair, action=action: action(*pair)) for pair in LIBRARIES)
        if torchs[0] is IndexError:
            assert ours[0] is IndexError
        else:
            assert ours == torchs


def test_adding_data_sets() -> None:
    for library, data in LIBRARIES:
        a, b = tensors(library, data, 2, 3)
        assert type(a + b) is data.ConcatDataset
        assert [int(x[0]) for x in a + b + a] == [0, 1, 100, 101, 102, 0, 1]

        class Stream(data.IterableDataset):
            def __iter__(self) -> Any:
                return iter([1, 2])

            def __len__(self) -> int:
                return 2

        chained = Stream() + Stream()
        assert type(chained) is data.ChainDataset
        assert (list(chained), len(chained)) == ([1, 2, 1, 2], 4)
        with pytest.raises(AssertionError, match="ConcatDataset does not support IterableDataset"):
            a + Stream()
        with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
            list(Stream() + a)


@pytest.mark.parametrize("named", [False, True])
def test_stacked_data_sets(named: bool) -> None:
    def batches(library: Any, data: Any) -> Any:
        a, b = tensors(library, data, 5, 5)
        both = data.StackDataset(a=a, b=data.Subset(b, range(5))) if named else data.StackDataset(a, b)
        return [plain(both[-1]), len(both), *map(plain, data.DataLoader(both, 2))]

    assert batches(*LIBRARIES[0]) == batches(*LIBRARIES[1])


def test_data_sets_that_cannot_be_stacked() -> None:
    class Short(list[int]):
        def __getitems__(self, indices: Any) -> Any:
            return [1]

    for action in (
        lambda data: data.StackDataset(),
        lambda data: data.StackDataset([1], [1, 2]),
        lambda data: data.StackDataset([1], a=[1]),
        lambda data: data.StackDataset(Short([1, 2])).__getitems__([0, 1]),
    ):
        ours, torchs = (outcome(lambda pair=pair, action=action: action(pair[1])) for pair in LIBRARIES)
        assert ours == torchs
        assert ours[0] is ValueError


def test_tensors_of_different_lengths_are_torchs_error() -> None:
    for library, data in LIBRARIES:
        with pytest.raises(AssertionError, match="Size mismatch between tensors"):
            data.TensorDataset(library.zeros(2), library.zeros(3, 1))


lengths = st.one_of(
    st.lists(st.integers(-3, 12), max_size=4),
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0, -0.5, 1.5, 2.5, 7.5, 3.0, 7.0]), max_size=4),
    st.lists(st.integers(-3, 12), min_size=1, max_size=3).map(lambda given: [*given, 10 - sum(given)]),
)


@given(size=st.sampled_from([0, 1, 10]), lengths=lengths, seed=st.integers(0, 100))
def test_random_split_is_torchs(size: int, lengths: Any, seed: int) -> None:
    def split(library: Any, data: Any) -> Any:
        library.manual_seed(seed)
        parts = data.random_split(range(size), lengths)
        return [list(part.indices) for part in parts], int(library.randint(0, 1000, (1,)))

    ours, torchs = (outcome(lambda pair=pair: split(*pair)) for pair in LIBRARIES)
    assert ours[0] is TypeError if torchs[0] is TypeError else ours == torchs
