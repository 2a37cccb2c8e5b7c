"""An array is printed as torch prints the tensor of the same values, but for the 'torch.' before a dtype."""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minitrain.torchlike.printing import format_tensor

FLOATS = ("float32", "float64")
DTYPES = (*FLOATS, "int64", "int32", "uint8", "bool")


def as_torch(array: np.ndarray, requires_grad: bool = False) -> str:
    return without_torch(torch.from_numpy(array.copy()).requires_grad_(requires_grad))


def without_torch(tensor: torch.Tensor) -> str:
    return repr(tensor).replace("torch.", "")


@st.composite
def spread_out(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]]) -> np.ndarray:
    """Many values from one drawn seed, of one drawn magnitude and spread, some of them special."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, dtype = draw(shapes), draw(st.sampled_from(DTYPES))
    scale, spread = draw(st.integers(-6, 10)), draw(st.sampled_from([0, 1, 6]))
    values = rng.normal(size=shape) * 10.0 ** (scale + spread * rng.random(shape))
    if dtype not in FLOATS:
        return np.asarray(values.astype("int64").astype(dtype))
    if draw(st.booleans()):
        values = np.round(values)
    special = draw(st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf]))
    values = np.where(rng.random(shape) < draw(st.sampled_from([0, 0.2, 1])), special, values)
    return np.asarray(values.astype(dtype))


SMALL = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SMALL)))
def test_any_value_prints_as_in_torch(array: np.ndarray) -> None:
    assert format_tensor(array) == as_torch(array)


@given(spread_out(SMALL))
def test_magnitudes_choose_the_notation_as_in_torch(array: np.ndarray) -> None:
    assert format_tensor(array) == as_torch(array)


@given(
    st.lists(st.sampled_from([0, 1, 1.5, 1000, 1001, 1500, 1501, 1e-4, 9.9e-5, 1e8, 1e8 + 8]), min_size=1),
    st.sampled_from(FLOATS),
)
def test_the_thresholds_of_the_notation_are_on_the_same_side_as_in_torch(values: list[float], dtype: str) -> None:
    assert format_tensor(np.array(values[:1], dtype)) == as_torch(np.array(values[:1], dtype))
    assert format_tensor(np.array(values, dtype)) == as_torch(np.array(values, dtype))


LONG_ROWS = st.builds(
    lambda outer, length: (*outer, length),
    hnp.array_shapes(min_dims=0, max_dims=2, max_side=2),
    st.integers(0, 120),
)


@given(spread_out(LONG_ROWS))
def test_a_long_row_wraps_where_torch_wraps_it(array: np.ndarray) -> None:
    assert format_tensor(array) == as_torch(array)


LARGE = [(1000,), (10, 10, 10), (1001,), (3, 400), (400, 3), (7, 6, 30), (40, 1, 40), (6, 7, 5, 8)]


@pytest.mark.parametrize("shape", LARGE)
@given(data=st.data())
@settings(max_examples=10)
def test_beyond_1000_elements_only_the_edges_are_shown_as_in_torch(shape: tuple[int, ...], data: st.DataObject) -> None:
    array = data.draw(spread_out(st.just(shape)))
    assert format_tensor(array) == as_torch(array)


@given(spread_out(st.one_of(SMALL, st.tuples(st.integers(0, 40)))).filter(lambda a: a.dtype.name in FLOATS))
def test_a_leaf_says_that_it_requires_grad_where_torch_says_it(array: np.ndarray) -> None:
    assert format_tensor(array, ["requires_grad=True"]) == as_torch(array, requires_grad=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [1, 8, 18, 40, (3, 3)])
def test_notes_move_to_a_new_line_where_torch_moves_them(shape: Any, dtype: str) -> None:
    identity = {"forward": staticmethod(lambda ctx, x: x.clone()), "backward": staticmethod(lambda ctx, g: g)}
    array = np.ones(shape, dtype)
    for name in ("F" * length for length in range(1, 70)):
        function: Any = type(name, (torch.autograd.Function,), identity)
        result = function.apply(torch.from_numpy(array).requires_grad_())
        assert format_tensor(array, [f"grad_fn=<{name}Backward>"]) == without_torch(result)


@given(spread_out(hnp.array_shapes(min_dims=2, max_dims=3, max_side=12)))
def test_the_order_in_memory_does_not_show(array: np.ndarray) -> None:
    assert format_tensor(np.asfortranarray(array)) == format_tensor(array)
    assert format_tensor(array[::-1].T) == format_tensor(array[::-1].T.copy())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (1.5, "tensor(1.5000, dtype=float64)"),
        (np.float32(-0.0), "tensor(-0.)"),
        (True, "tensor(True)"),
        ([1, -20], "tensor([  1, -20])"),
        (np.array([1, np.nan, 1000], "float32"), "tensor([   1.,   nan, 1000.])"),
        (np.array([1, 1001], "float32"), "tensor([1.0000e+00, 1.0010e+03])"),
        (np.array([1.5, 1500], "float32"), "tensor([   1.5000, 1500.0000])"),
        (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
        ([[1.0, 2.0], [3.0, 4.0]], "tensor([[1., 2.],\n        [3., 4.]], dtype=float64)"),
        (np.zeros((2, 1, 1), "float32"), "tensor([[[0.]],\n\n        [[0.]]])"),
        (np.zeros(0, "float32"), "tensor([])"),
        (np.zeros((0, 3), "float32"), "tensor([], size=(0, 3))"),
        (np.zeros((0, 3), "int64"), "tensor([], size=(0, 3), dtype=int64)"),
    ],
)
def test_known_texts(values: Any, text: str) -> None:
    assert format_tensor(np.asarray(values)) == text


def test_notes_follow_the_dtype() -> None:
    text = format_tensor(np.array([2.0]), ["grad_fn=<MulBackward0>"])
    assert text == "tensor([2.], dtype=float64, grad_fn=<MulBackward0>)"


def test_lines_are_indented_to_where_the_prefix_ends() -> None:
    assert format_tensor(np.eye(2, dtype="int64"), prefix="T(") == "T([[1, 0],\n   [0, 1]])"
