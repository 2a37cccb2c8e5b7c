"""DataLoader gives torch's batches in torch's order, and leaves the random stream where torch leaves it."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minitrain.data as our_data
from minitrain.creation import from_numpy, tensor
from minitrain.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
    ToTensor,
    random_split,
)
from minitrain.data.datasets import Digits
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random

seeds = st.integers(0, 2**64 - 1)


def plain(value: Any) -> Any:
    """A batch of either library as plain Python: containers by name, tensors as dtype, shape and values."""
    if isinstance(value, Tensor | torch.Tensor):
        array = np.asarray(value.detach())
        return "tensor", array.dtype.name, array.shape, array.tolist()
    if isinstance(value, Mapping):
        return type(value).__name__, {key: plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return type(value).__name__, [plain(each) for each in value]
    return type(value).__name__, value


class Libraries:
    """Both libraries, each with the default generator and another generator at the same seeds."""

    def __init__(self, seed: int, own_seed: int) -> None:
        torch.manual_seed(seed)
        random.manual_seed(seed)
        self.ours = random.Generator().manual_seed(own_seed)
        self.torchs = torch.Generator().manual_seed(own_seed)

    def at_the_same_place(self) -> bool:
        pairs = ((random.default_generator, torch.default_generator), (self.ours, self.torchs))
        return all(ours.get_state().tobytes() == torchs.get_state().numpy().tobytes() for ours, torchs in pairs)


# --- order and draws -------------------------------------------------------------------------------------------

# What a program does with one loader: start a pass, take a batch from one of the passes, draw numbers of its own.
programs = st.lists(
    st.one_of(
        st.just(("start", 0)),
        st.tuples(st.just("next"), st.integers(0, 2)),
        st.just(("draw", 0)),
        st.tuples(st.just("finish"), st.integers(0, 2)),
    ),
    max_size=12,
)


def run(program: list[tuple[str, int]], loader: Any, draw: Callable[[], int]) -> list[Any]:
    passes: list[Any] = []
    seen: list[Any] = []
    for action, which in program:
        if action == "start":
            passes.append(iter(loader))
        elif action == "draw":
            seen.append(draw())
        elif passes:
            chosen = passes[which % len(passes)]
            batches = list(chosen) if action == "finish" else [next(chosen, None)]
            seen += [None if batch is None else batch.tolist() for batch in batches]
    return seen


@given(
    program=programs,
    length=st.integers(1, 20),
    batch_size=st.integers(1, 7),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    own_generator=st.booleans(),
    seed=seeds,
    own_seed=seeds,
)
@example(  # two passes at once
    program=[("start", 0), ("start", 0), ("next", 0), ("next", 1), ("draw", 0), ("finish", 1), ("finish", 0)],
    length=10, batch_size=3, shuffle=True, drop_last=False, own_generator=False, seed=0, own_seed=1,
)  # fmt: skip
@example(  # interrupted early, then from the start again
    program=[("start", 0), ("next", 0), ("draw", 0), ("start", 0), ("finish", 1), ("start", 0), ("finish", 2)],
    length=10, batch_size=5, shuffle=True, drop_last=False, own_generator=True, seed=0, own_seed=1,
)  # fmt: skip
def test_batches_and_draws_are_torchs(
    program: Any,
    length: int,
    batch_size: int,
    shuffle: bool,
    drop_last: bool,
    own_generator: bool,
    seed: int,
    own_seed: int,
) -> None:
    libraries = Libraries(seed, own_seed)
    options: Any = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last}
    ours = DataLoader(range(length), **options, generator=libraries.ours if own_generator else None)
    torchs = torch_data.DataLoader(
        range(length),  # type: ignore[arg-type]
        **options,
        generator=libraries.torchs if own_generator else None,
    )
    assert len(ours) == len(torchs)
    assert run(program, ours, random.random_int64) == run(
        program, torchs, lambda: int(torch.empty((), dtype=torch.int64).random_())
    )
    assert libraries.at_the_same_place()


def test_a_draw_left_out_would_be_noticed() -> None:
    class Forgetful(DataLoader[int]):
        def __iter__(self) -> Any:  # without the base seed
            return map(self._fetch, self.batch_sampler)

    libraries = Libraries(0, 0)
    list(Forgetful(range(3)))
    list(torch_data.DataLoader(range(3)))  # type: ignore[arg-type]
    assert not libraries.at_the_same_place()


@given(data=st.data(), length=st.integers(1, 40), seed=seeds, own_generator=st.booleans())
def test_random_split_is_torchs(data: st.DataObject, length: int, seed: int, own_generator: bool) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=3)))
    counts = np.diff([0, *cuts, length]).tolist()
    fractions = [count / length for count in counts]
    lengths = data.draw(st.sampled_from([counts, fractions]))
    libraries = Libraries(seed, seed)
    outcomes = []
    for split, generator in (
        (random_split, libraries.ours if own_generator else None),
        (torch_data.random_split, libraries.torchs if own_generator else torch.default_generator),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                subsets = split(range(length), lengths, generator=generator)  # type: ignore[operator]
                outcomes.append(([list(each) for each in subsets], len(caught)))
            except ValueError:  # torch, on fractions whose rounded sum is above 1
                outcomes.append("refused")
    if outcomes[1] != "refused":
        assert outcomes[0] == outcomes[1]
        assert libraries.at_the_same_place()
    else:
        assert [len(part) for part in outcomes[0][0]] == rounded_down(lengths, length)


def rounded_down(fractions: list[Any], size: int) -> list[int]:
    counts = [math.floor(size * fraction) for fraction in fractions]
    rest = size - sum(counts)
    return [count + (i < rest) for i, count in enumerate(counts)]


@given(
    parts=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    exact=st.booleans(),
    size=st.integers(100, 200),
    start=st.integers(0, 11),
)
@settings(max_examples=200)
def test_fractions_that_add_up_to_1_are_taken_in_every_order(
    parts: list[int], exact: bool, size: int, start: int
) -> None:
    parts = parts[start:] + parts[:start]
    fractions: list[Any] = [Fraction(part, sum(parts)) if exact else part / sum(parts) for part in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subsets = random_split(range(size), fractions)  # type: ignore[arg-type]
    assert [len(subset) for subset in subsets] == rounded_down(fractions, size)
    assert sorted(index for subset in subsets for index in subset) == [*range(size)]


@pytest.mark.parametrize(
    "fractions",
    [
        [0.7, 0.2, 0.1],
        [0.1, 0.2, 0.7],
        [1 / 3] * 3,
        [0.1] * 10,
        [0.1, 0.7, 0.2],
        [Fraction(1, 3)] * 3,
        [0.6, 0.3, 0.1],
        [0.56, 0.34, 0.1],
    ],
)
def test_usual_fractions_are_taken(fractions: list[Any]) -> None:
    assert [len(subset) for subset in random_split(range(99), fractions)] == rounded_down(fractions, 99)  # type: ignore[arg-type]


@pytest.mark.parametrize("fractions", [[0.5, 0.51], [0.5, 0.49], [0.1] * 9, [0.1] * 11, [Fraction(1, 3)] * 2])
def test_fractions_that_do_not_add_up_to_1_are_refused(fractions: list[Any]) -> None:
    with pytest.raises(ValueError, match="fractions must add up to 1"):
        random_split(range(99), fractions)  # type: ignore[arg-type]


def test_random_split_says_what_does_not_add_up() -> None:
    with pytest.raises(ValueError, match="add up to 9, the data set has 10 samples"):
        random_split(range(10), [4, 5])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        random_split(range(10), [1.0, 0.0])


def test_without_batches_samples_come_one_by_one() -> None:
    libraries = Libraries(3, 3)
    samples = [(np.float32(i), {"a": np.arange(i)}, "x", i) for i in range(5)]
    ours = DataLoader(samples, batch_size=None, shuffle=True)
    torchs = torch_data.DataLoader(samples, batch_size=None, shuffle=True)  # type: ignore[arg-type]
    assert [plain(each) for each in ours] == [plain(each) for each in torchs]
    assert len(ours) == 5
    assert libraries.at_the_same_place()


def test_a_users_samplers_are_followed() -> None:
    class Backwards(Sampler[int]):
        def __iter__(self) -> Any:
            return iter([3, 1, 0])

        def __len__(self) -> int:
            return 3

    batches = DataLoader(range(4), batch_size=2, sampler=Backwards())
    assert [each.tolist() for each in batches] == [[3, 1], [0]]
    assert len(batches) == 2
    given_batches = DataLoader(range(4), batch_sampler=[[0], [2, 3, 1]])
    assert [each.tolist() for each in given_batches] == [[0], [2, 3, 1]]
    assert (len(given_batches), given_batches.batch_size) == (2, None)


# --- whole batches ---------------------------------------------------------------------------------------------


class OneByOne(Dataset[Any]):
    """Another data set's samples, without a way to get a whole batch."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


def small_digits(transform: Any = None, target_transform: Any = None) -> Digits:
    digits = Digits(train=False, transform=transform, target_transform=target_transform)
    digits.data, digits.targets = wrap(digits.data.array[:12]), wrap(digits.targets.array[:12])
    return digits


def tensor_dataset(layout: Any) -> TensorDataset:
    images = np.arange(12 * 2 * 3, dtype=np.float32).reshape(12, 2, 3)
    return TensorDataset(wrap(layout(images)), wrap(np.arange(12)), wrap(np.zeros((12, 0), np.uint8)))


class BrighterTensor(ToTensor):
    def __call__(self, pic: Any) -> Tensor:
        return wrap(np.minimum(super().__call__(pic).array * 2, 1))


transforms = st.sampled_from(
    [
        None,
        ToTensor(),
        BrighterTensor(),
        lambda image: from_numpy(image[::-1].copy()),
        lambda image: image.astype(np.float64) * 2,
        lambda image: image.mean(),
        lambda image: {"sum": int(image.sum()), "mean": float(image.mean())},
        our_data.Compose([ToTensor(), our_data.Normalize((0.5,), (0.5,))]),
    ]
)
target_transforms = st.sampled_from([None, float, str, lambda label: tensor([label]), lambda label: label + 1])
datasets = st.one_of(
    st.builds(small_digits, transforms, target_transforms),
    st.builds(small_digits, st.sampled_from([None, ToTensor()])),
    st.builds(
        tensor_dataset,
        st.sampled_from([lambda x: x, np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2], lambda x: x[::-1]]),
    ),
)


def whole_batches_are_right(dataset: Any, batches: list[Any]) -> bool:
    whole = DataLoader(dataset, batch_sampler=batches)
    one_by_one = DataLoader(OneByOne(dataset), batch_sampler=batches)
    return [plain(batch) for batch in whole] == [plain(batch) for batch in one_by_one]


@given(data=st.data(), dataset=datasets)
def test_whole_batches_are_what_the_samples_would_make(data: st.DataObject, dataset: Any) -> None:
    for _ in range(data.draw(st.integers(0, 2))):
        indices = data.draw(st.lists(st.integers(-len(dataset), len(dataset) - 1), min_size=1, max_size=12))
        dataset = Subset(dataset, data.draw(st.sampled_from([indices, np.array(indices), wrap(np.array(indices))])))
    index = st.integers(-len(dataset), len(dataset) - 1)
    runs = st.tuples(index, st.integers(1, 5)).map(lambda run: list(range(run[0], min(sum(run), len(dataset)))))
    indices = st.one_of(st.lists(index, min_size=1, max_size=5), runs, st.lists(index.map(np.int64), min_size=1))
    batches = data.draw(st.lists(indices, min_size=1, max_size=3))

    assert whole_batches_are_right(dataset, batches)


def test_wrong_whole_batches_would_be_noticed() -> None:
    class Floats(Digits):
        def collated_batch(self, indices: list[int]) -> list[Tensor]:
            images, labels = super().collated_batch(indices) or ()
            return [images, wrap(labels.array.astype(np.float32))]

    assert whole_batches_are_right(Digits(train=False), [[0, 1]])
    assert not whole_batches_are_right(Floats(train=False), [[0, 1]])


@pytest.mark.parametrize("dataset", [small_digits(ToTensor()), small_digits(), tensor_dataset(np.asarray)])
def test_whole_batches_are_used(dataset: Any) -> None:
    subset: Any = Subset(Subset(dataset, range(10)), [1, 2, 3, 8])
    for source in (dataset, subset):
        assert source.collated_batch([0, 1]) is not None
        samples_asked_for = []
        source_class = type(source)
        counting = type(  # the same class, with both methods redefined side by side
            "Counting",
            (source_class,),
            {
                "collated_batch": lambda self, indices: source_class.collated_batch(self, indices),  # noqa: B023
                "__getitem__": lambda self, index: samples_asked_for.append(index),  # noqa: B023
                "__getitems__": lambda self, indices: samples_asked_for.extend(indices),  # noqa: B023
            },
        )
        counted = object.__new__(counting)
        counted.__dict__ = vars(source)
        assert len(list(DataLoader(counted, batch_size=2))) == len(source) // 2
        assert samples_asked_for == []


@pytest.mark.parametrize("indices", [range(4), [3, 1, 2, 0]])
@pytest.mark.parametrize("transform", [None, ToTensor()])
def test_a_batch_is_a_copy(indices: Any, transform: Any) -> None:
    for dataset in (small_digits(transform), tensor_dataset(np.asarray), tensor_dataset(np.asfortranarray)):
        before = plain(DataLoader(dataset, batch_size=4)._fetch([0, 1, 2, 3]))
        for batch in DataLoader(dataset, batch_sampler=[list(indices)]):
            for each in batch:
                assert each.array.flags.c_contiguous
                each.array[...] = 1
        assert plain(DataLoader(dataset, batch_size=4)._fetch([0, 1, 2, 3])) == before


@pytest.mark.parametrize("indices", [[12], [10, 11, 12], [-13], [0, 99]])
def test_an_index_out_of_range_is_an_error(indices: list[int]) -> None:
    for dataset in (small_digits(ToTensor()), tensor_dataset(np.asarray), Subset(small_digits(), range(12))):
        for source in (dataset, OneByOne(dataset)):
            with pytest.raises(IndexError):
                list(DataLoader(source, batch_sampler=[indices]))


def test_an_empty_batch_is_an_error_either_way() -> None:
    for dataset in (small_digits(ToTensor()), tensor_dataset(np.asarray), Subset(small_digits(), [1])):
        with pytest.raises(IndexError, match="the batch is empty"):
            list(DataLoader(dataset, batch_sampler=[[]]))


def ones_everywhere(batch: list[Any]) -> bool:
    return bool((batch[0].array == 1).all())


class OnesForSamples(Digits):
    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        return np.ones((8, 8), np.uint8), 0


class OnesForLists(TensorDataset):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(tensor(1.0), 0) for _ in indices]


class Wrapper:
    """Forwards every attribute, including collated_batch, but has its own samples."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        return np.ones((8, 8), np.uint8), 0


@pytest.mark.parametrize(
    "dataset",
    [
        OnesForSamples(train=False),
        Subset(OnesForSamples(train=False), [1, 2]),
        OnesForLists(wrap(np.zeros(4))),
        Subset(OnesForLists(wrap(np.zeros(4))), [1, 2]),
        Wrapper(small_digits()),
        Subset(Wrapper(small_digits()), [1, 2]),  # type: ignore[arg-type]
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_the_samples_of_a_subclass_or_a_wrapper_are_not_bypassed(dataset: Any) -> None:
    assert all(ones_everywhere(batch) for batch in DataLoader(dataset, batch_size=2))


def test_what_a_user_puts_into_a_data_set_is_used() -> None:
    digits = small_digits(ToTensor())
    digits.data = wrap(np.full((2, 8, 8), 0.5, np.float32))
    digits.targets = [7, 8]  # type: ignore[assignment]
    images, labels = next(iter(DataLoader(digits, batch_size=2)))
    assert (images.array == 0.5).all()
    assert labels.tolist() == [7, 8]


@pytest.mark.parametrize("indices", [[3, 4, 5], [5, 0]])
def test_a_missing_label_is_an_error(indices: list[int]) -> None:
    digits = small_digits(ToTensor())
    digits.targets = wrap(digits.targets.array[:5])
    with pytest.raises(IndexError):
        list(DataLoader(digits, batch_sampler=[indices]))


def test_an_overridden_length_does_not_shorten_a_batch() -> None:
    class Longer(Digits):
        def __len__(self) -> int:
            return 300

    with pytest.raises(IndexError):
        list(DataLoader(Longer(train=False), batch_sampler=[[296, 297]]))


def test_a_collate_fn_gets_the_samples() -> None:
    dataset = small_digits(ToTensor())
    (samples,) = DataLoader(dataset, batch_sampler=[[0, 5]], collate_fn=list)
    assert [(image.shape, label) for image, label in samples] == [((1, 8, 8), int(dataset.targets[i])) for i in (0, 5)]


def test_getitems_gives_the_samples_where_there_is_one() -> None:
    class Squares(Dataset[int]):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [i * i for i in indices]

        def __len__(self) -> int:
            return 5

    assert [each.tolist() for each in DataLoader(Squares(), batch_size=3)] == [[0, 1, 4], [9, 16]]
    assert [each.tolist() for each in DataLoader(Subset(Squares(), [4, 2]), batch_size=3)] == [[16, 4]]


def test_gradients_reach_the_tensors_of_a_data_set() -> None:
    rows = tensor([1.0, 2.0, 3.0], requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(rows), batch_size=2):
        (batch * batch).sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [2.0, 4.0, 6.0]


# --- data sets and arguments -----------------------------------------------------------------------------------


def test_tensor_dataset_gives_rows() -> None:
    dataset = TensorDataset(tensor([[1, 2], [3, 4]]), tensor([5, 6]))
    assert len(dataset) == 2
    assert [plain(each)[3] for each in dataset[1]] == [[3, 4], 6]


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ((np.zeros(3),), TypeError, "expects Tensors, got ndarray"),
        (
            (tensor([1, 2]), tensor([1])),
            AssertionError,
            r"Size mismatch between tensors: N differs in the shapes \[\(2,\), \(1,\)\]",
        ),
        ((tensor(1),), ValueError, r"tensors of shape \(N, ...\), got the shapes \[\(\)\]"),
        ((), ValueError, "expects one or more tensors"),
    ],
)
def test_tensor_dataset_refuses_what_does_not_belong_together(tensors: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        TensorDataset(*tensors)


def test_a_subset_that_overrides_samples_alone_is_refused() -> None:
    class Doubled(Subset[int]):
        def __getitem__(self, index: Any) -> int:
            return 2 * super().__getitem__(index)

    with pytest.raises(NotImplementedError, match=r"Doubled overrides __getitem__.*override __getitems__"):
        Doubled(range(3), [0])  # type: ignore[arg-type]


def test_a_data_set_without_samples_says_so() -> None:
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        Dataset[int]()[0]
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(Sampler[int]())


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_sampler": [[0]], "sampler": [0]},
        {"batch_sampler": [[0]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"batch_size": 2.0},
        {"batch_size": True},
        {"drop_last": 1},
    ],
)
def test_arguments_that_exclude_each_other_or_make_no_sense_are_errors_as_in_torch(options: Any) -> None:
    with pytest.raises(ValueError, match=r"mutually exclusive|should be") as torchs:
        torch_data.DataLoader(range(3), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"mutually exclusive|should be") as ours:
        DataLoader(range(3), **options)
    assert str(ours.value) == str(torchs.value)


def test_a_loader_shows_its_arguments_and_does_not_let_them_be_changed() -> None:
    generator = random.Generator()
    dataset = range(5)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, drop_last=True, generator=generator)
    assert (loader.dataset, loader.batch_size, loader.drop_last, loader.generator) == (dataset, 2, True, generator)
    assert isinstance(loader.sampler, RandomSampler)
    assert isinstance(loader.batch_sampler, BatchSampler)
    for name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"):
            setattr(loader, name, None)


def test_an_empty_data_set_has_no_batches() -> None:
    assert list(DataLoader([])) == []
    assert len(DataLoader([])) == 0


def test_a_pass_continues_after_an_exception() -> None:
    class Holey(Dataset[int]):
        def __getitem__(self, index: int) -> int:
            return 6 // index

        def __len__(self) -> int:
            return 4

    batches = iter(DataLoader(Holey(), batch_size=2))
    assert len(batches) == 2
    with pytest.raises(ZeroDivisionError):
        next(batches)
    assert next(batches).tolist() == [3, 2]
    with pytest.raises(StopIteration):
        next(batches)


def test_stop_iteration_in_a_data_set_does_not_end_the_pass_unnoticed() -> None:
    class Broken(Dataset[int]):
        def __getitem__(self, index: int) -> int:
            return next(iter([]))

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(DataLoader(Broken(), sampler=[0]))
