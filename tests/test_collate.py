"""Samples are collated and converted as in torch."""

from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minitrain.creation import from_numpy
from minitrain.data import default_collate, default_convert
from minitrain.tensor import Tensor
from tests.test_loader import plain

Point = namedtuple("Point", ["x", "y"])

# A kind of sample is drawn first, so that all samples of a batch are of one kind. It is a strategy for the values.
arrays = st.builds(
    lambda dtype, shape: hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False)),
    st.sampled_from(["float32", "float64", "int64", "int32", "uint8", "bool"]),
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
)
kinds = st.recursive(
    st.one_of(
        st.sampled_from(
            [
                st.integers(-(2**40), 2**40),
                st.floats(allow_nan=False),
                st.booleans(),
                st.text(max_size=2),
                st.binary(max_size=2),
                st.floats(-10, 10, width=32).map(np.float32),
                st.floats(-10, 10).map(np.float64),
                st.integers(0, 100).map(np.int64),
                st.integers(0, 100).map(np.uint8),
                st.booleans().map(np.bool_),
            ]
        ),
        arrays,
        arrays.map(lambda kind: kind.map(from_numpy)),
    ),
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(lambda kinds: st.tuples(*kinds)),
        st.lists(parts, min_size=1, max_size=3).map(lambda kinds: st.tuples(*kinds).map(list)),
        st.tuples(parts, parts).map(lambda kinds: st.tuples(*kinds).map(lambda values: Point(*values))),
        st.dictionaries(st.sampled_from("abc"), parts, min_size=1).map(st.fixed_dictionaries),
        st.dictionaries(st.sampled_from("abc"), parts, min_size=1).map(
            lambda kinds: st.fixed_dictionaries(kinds).map(OrderedDict)
        ),
    ),
    max_leaves=4,
)


def for_torch(value: Any) -> Any:
    """The same sample with torch's tensors."""
    if isinstance(value, Tensor):
        return torch.from_numpy(value.array)
    if isinstance(value, Mapping):
        return type(value)({key: for_torch(each) for key, each in value.items()})  # type: ignore[call-arg]
    if isinstance(value, Point):
        return Point(*map(for_torch, value))
    return type(value)(map(for_torch, value)) if isinstance(value, list | tuple) else value


@given(data=st.data(), kind=kinds)
def test_samples_are_collated_as_in_torch(data: st.DataObject, kind: Any) -> None:
    batch = data.draw(st.lists(kind, min_size=1, max_size=3))
    theirs = [for_torch(sample) for sample in batch]
    assert plain(default_collate(batch)) == plain(torch_data.default_collate(theirs))


def test_floats_keep_their_precision_and_ints_their_width() -> None:
    assert plain(default_collate([0.1, 1e300])) == ("tensor", "float64", (2,), [0.1, 1e300])
    assert plain(default_collate([2**62 + 1])) == ("tensor", "int64", (1,), [2**62 + 1])


@given(data=st.data(), kind=kinds)
def test_a_sample_is_converted_as_in_torch(data: st.DataObject, kind: Any) -> None:
    sample = data.draw(kind)
    assert plain(default_convert(sample)) == plain(torch_data.default_convert(for_torch(sample)))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([None, None], TypeError, "must contain tensors, numpy arrays, numbers, dicts or lists; found .*NoneType"),
        ([np.array(["a"])], TypeError, "found an array of <U1"),
        ([[1, 2], [1]], RuntimeError, "should be of equal size, got sizes from 1 to 2"),
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"stack expects each tensor to be equal size.*\[3\] at entry 1"),
        ([{"a": 1}, {"b": 1}], KeyError, "a"),
        ([], IndexError, "the batch is empty"),
    ],
)
def test_samples_that_make_no_batch_are_refused(batch: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        default_collate(batch)
    with pytest.raises(error):
        torch_data.default_collate(batch)
