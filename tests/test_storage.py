"""Storages: the memory of a Tensor and its views, read and written as in torch."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import minitrain

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")


def both(compute: Any) -> list[Any]:
    return [compute(t) for t in (minitrain, torch)]


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.tensor([[1.0, 2, 3], [4, 5, 6]]),
        lambda t: t.tensor([[1.0, 2, 3], [4, 5, 6]]).t(),
        lambda t: t.tensor([[1.0, 2, 3], [4, 5, 6]])[1],
        lambda t: t.tensor([[1.0, 2, 3], [4, 5, 6]])[:, 1],
        lambda t: t.tensor([1, 2]).expand(3, 2),
        lambda t: t.arange(6, dtype=t.int16)[::2],
        lambda t: t.tensor([True, False]),
        lambda t: t.tensor(3.5, dtype=t.float64),
        lambda t: t.tensor([]),
        lambda t: t.from_numpy(np.asfortranarray([[1.0, 2, 3], [4, 5, 6]])),
        lambda t: t.ones(2, requires_grad=True) * 2,
    ],
)
def test_a_storage_is_torchs(make: Any) -> None:
    def told(t: Any) -> list[Any]:
        x = make(t)
        numbers, memory = x.storage(), x.untyped_storage()
        texts = [re.sub(r"torch\.(storage\.)?", "", repr(storage)) for storage in (numbers, memory)]
        sizes = [len(numbers), numbers.size(), numbers.nbytes(), numbers.element_size(), len(memory), memory.nbytes()]
        same = [numbers.data_ptr() == memory.data_ptr(), numbers.untyped().tolist() == memory.tolist()]
        return [texts, sizes, same, numbers.tolist(), list(memory), numbers.data_ptr() - x.data_ptr()]

    ours, theirs = both(told)
    assert ours == theirs


def test_writing_to_a_storage_writes_to_all_views() -> None:
    def told(t: Any) -> list[Any]:
        x = t.tensor([[1.0, 2, 3], [4, 5, 6]])
        columns, storage = x.t(), x.storage()
        storage[1] = 20
        storage[-1] = 60
        storage[2:4] = 7
        x.untyped_storage()[3] = 64  # the first number's sign and exponent
        assert columns[0].storage().data_ptr() == storage.data_ptr()
        return [x.tolist(), columns.tolist(), storage.fill_(2.5)[4], x.tolist(), x.untyped_storage()[2:4].tolist()]

    ours, theirs = both(told)
    assert ours == theirs


@pytest.mark.parametrize("index", [9, -3, 1.5, slice(0, 1)])
def test_what_a_storage_has_no_place_for(index: Any) -> None:
    kinds = []
    for t in (minitrain, torch):
        with pytest.raises((IndexError, RuntimeError)) as caught:
            t.ones(2).storage()[index]
        kinds.append((type(caught.value), str(caught.value)[:14]))
    assert kinds[0] == kinds[1]


def test_a_storage_says_that_its_type_will_go() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        minitrain.ones(2).storage()
    assert "TypedStorage is deprecated" in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minitrain.ones(2).untyped_storage()
