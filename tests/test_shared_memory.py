"""Tensors that share memory still share it after save and load, as in torch, and a file has their memory once."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain.torchlike.shared_memory import view_of
from tests.fault_table import record

LIBRARIES: tuple[Any, Any] = (torch, minitrain)


def written(library: Any, obj: Any) -> bytes:
    file = io.BytesIO()
    library.save(obj, file)
    return file.getvalue()


def saved_and_loaded(library: Any, obj: Any) -> Any:
    return library.load(io.BytesIO(written(library, obj)))


def as_array(tensor: Any) -> np.ndarray[Any, Any]:
    return np.asarray(tensor.detach())


# A base of 24 elements, then views of what there is so far: which one, and how it is seen.
VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda x: x,
    "detached": lambda x: x.detach(),
    "half": lambda x: x[: len(x) // 2 + 1],
    "rest": lambda x: x[len(x) // 3 :],
    "every second": lambda x: x[::2],
    "odd ones": lambda x: x[1::2],
    "transposed": lambda x: x.transpose(0, -1),
    "flat": lambda x: x.reshape(-1),
    "wide": lambda x: x.reshape(2, -1),
    "first": lambda x: x[0],
    "copy": lambda x: x.clone(),
    "nothing": lambda x: x[:0],
    "repeated": lambda x: x[:1].expand(3, *x.shape[1:]),
    "integers": lambda x: x.long(),
}
RECIPES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*VIEWS])), min_size=1, max_size=6)


def make(library: Any, recipe: list[tuple[int, str]], with_base: bool) -> list[Any]:
    tensors = [library.arange(24.0).reshape(4, 6)]
    for which, how in recipe:
        source = tensors[which % len(tensors)]
        if source.ndim and len(source) and source.is_contiguous():
            tensors.append(VIEWS[how](source))
    return tensors if with_base else tensors[1:]


def effects(tensors: list[Any]) -> list[Any]:
    """The values of all after a write into each one's first element: what is shared shows."""
    seen = [[as_array(x).tolist() for x in tensors]]
    for i, tensor in enumerate(tensors):
        if tensor.ndim and tensor.numel():
            tensor[(0,) * tensor.ndim] = 100 + i
            seen.append([as_array(x).tolist() for x in tensors])
    return seen


@given(RECIPES, st.booleans(), st.booleans())
def test_whatever_is_written_into_one_after_loading_appears_in_the_others_as_in_torch(
    recipe: list[tuple[int, str]], with_base: bool, nested: bool
) -> None:
    results = []
    for library in LIBRARIES:
        tensors = make(library, [step for step in recipe if step[1] != "repeated"], with_base)
        obj: Any = {"all": [{"x": x} for x in tensors]} if nested else tensors
        again = saved_and_loaded(library, obj)
        results.append(effects([part["x"] for part in again["all"]] if nested else again))
    assert results[0] == results[1]
    record("shared tensors saved and loaded", 1, 0)


@given(RECIPES, st.booleans())
def test_values_come_back_whatever_is_shared_or_repeated(recipe: list[tuple[int, str]], with_base: bool) -> None:
    tensors = make(minitrain, recipe, with_base)
    again = saved_and_loaded(minitrain, tensors)
    assert [as_array(x).tolist() for x in again] == [as_array(x).tolist() for x in tensors]
    assert [x.dtype for x in again] == [x.dtype for x in tensors]


@given(RECIPES, st.booleans())
def test_a_file_of_torchs_gives_tensors_that_share_as_torchs_do(recipe: list[tuple[int, str]], with_base: bool) -> None:
    recipe = [step for step in recipe if step[1] != "repeated"]
    data = written(torch, make(torch, recipe, with_base))
    assert effects(minitrain.load(io.BytesIO(data))) == effects(torch.load(io.BytesIO(data)))


def tied(library: Any) -> Any:
    nn = library.nn
    library.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 40), nn.Linear(40, 30), nn.Linear(30, 40), nn.Linear(40, 50, bias=False))
    model[3].weight = model[0].weight
    return model


def is_tied(x: Any, y: Any) -> bool:
    return bool(np.shares_memory(as_array(x), as_array(y)))


def test_tied_weights_stay_tied_and_are_stored_once() -> None:
    plain = tied(minitrain)
    plain[3].weight = minitrain.nn.Parameter(plain[0].weight.detach().clone())
    sizes = []
    for library in LIBRARIES:
        model = tied(library)
        state = saved_and_loaded(library, model.state_dict())
        assert list(state) == list(model.state_dict())
        assert is_tied(state["0.weight"], state["3.weight"])
        assert state["0.weight"] is not state["3.weight"]
        other = tied(library)
        assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
        assert other[0].weight is other[3].weight
        sizes.append(len(written(library, model.state_dict())))
    assert len(written(minitrain, plain.state_dict())) - sizes[1] > 50 * 40 * 4 - 200
    stored = safetensors.numpy.load(written(minitrain, tied(minitrain).state_dict()))
    assert list(stored["0.weight"].shape) == [50, 40]  # another program finds it under one of its names
    assert "3.weight" not in stored


def through_a_file(obj: Any, library: Any) -> Any:
    return library.load(io.BytesIO(written(library, obj)), weights_only=False)


@pytest.mark.parametrize(
    "again",
    [lambda obj, _: copy.deepcopy(obj), lambda obj, _: pickle.loads(pickle.dumps(obj)), through_a_file],
    ids=["deepcopy", "pickle", "save"],
)
def test_a_tied_model_stays_tied(again: Callable[[Any, Any], Any]) -> None:
    for library in LIBRARIES:
        model = again(tied(library), library)
        assert model[0].weight is model[3].weight
        assert type(model[0].weight) is library.nn.Parameter
        assert len(list(model.parameters())) == 5
        assert len(model.state_dict()) == 6
        optimizer = library.optim.Adam(model.parameters())
        model(library.arange(3)).sum().backward()
        optimizer.step()
        assert len(optimizer.state_dict()["state"]) == 5
        state = again(copy.deepcopy(model.state_dict()), library)
        assert is_tied(state["0.weight"], state["3.weight"]) or again is not through_a_file


def test_the_same_object_is_the_same_object_again() -> None:
    for library in LIBRARIES:
        x, layer = library.ones(2), library.nn.Linear(2, 2)
        pair = saved_and_loaded(library, [x, {"again": x}])
        assert pair[0] is pair[1]["again"]
        first, second, weight = through_a_file([layer, layer, layer.weight], library)
        assert first is second
        assert first.weight is weight


def test_requires_grad_and_parameters_come_back() -> None:
    for library in LIBRARIES:
        x = library.ones(2, requires_grad=True)
        frozen = library.nn.Parameter(library.ones(1), requires_grad=False)
        leaf, result, parameter, other = saved_and_loaded(library, [x, x * 2, frozen, library.nn.Parameter(x.detach())])
        assert [y.requires_grad for y in (leaf, result, parameter, other)] == [True, True, False, True]
        assert all(y.is_leaf for y in (leaf, result, parameter, other))
        assert [type(y) is library.nn.Parameter for y in (leaf, parameter, other)] == [False, True, True]
        assert is_tied(leaf, other)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 3)])
def test_parameters_of_every_size_come_back(shape: tuple[int, ...]) -> None:
    again = saved_and_loaded(minitrain, minitrain.nn.Parameter(minitrain.ones(*shape)))
    assert again.array.shape == shape
    assert (again.array == 1).all()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, [7], [1]),
        (1, [6], [1]),
        (-1, [2], [1]),
        (0, [2, 2], [5, 1]),
        (0, [2], [-1]),
        (0, [2**62], [0]),
        (0, [2**62, 2**62], [0, 0]),
        (2**70, [1], [1]),
        (0, [2], [2**70]),
        (0, [2, 1], [1]),
        (0, [-1], [1]),
    ],
)
def test_a_view_beyond_its_memory_is_refused(offset: int, shape: list[int], strides: list[int]) -> None:
    with pytest.raises(ValueError, match=r"larger than its memory|beyond its memory"):
        view_of(np.zeros(6, np.float32), offset, shape, strides)
