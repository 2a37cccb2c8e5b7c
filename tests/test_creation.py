"""New tensors are torch's: values, dtypes, shapes, memory order, and what is refused."""

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import minitrain
from minitrain.creation import as_tensor, cat, from_numpy, full_like, ones_like, stack, tensor, zeros_like
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from tests import strategies as own
from tests.comparing import MINITRAIN, TORCH, assert_agree, assert_ends_alike, assert_text_ends_alike, evaluate

# --- from data --------------------------------------------------------------------------------------------------------

python_numbers = st.booleans() | st.integers(-(2**40), 2**40) | own.any_numbers


def nested(numbers: list[Any], shape: tuple[int, ...]) -> Any:
    """The numbers in lists of lists, as deep as the shape is long."""
    if not shape:
        return numbers.pop()
    return [nested(numbers, shape[1:]) for _ in range(shape[0])]


@given(own.shapes, st.lists(python_numbers, min_size=27, max_size=27))
def test_nested_numbers_become_what_torch_makes_of_them(shape: tuple[int, ...], numbers: list[Any]) -> None:
    data = nested(numbers, shape)
    assert_ends_alike(lambda lib: lib.tensor(data))


@given(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0).flatmap(lambda s: hnp.arrays("int64", s)), own.dtypes)
def test_nested_lists_of_a_dtype_have_it(array: Array, dtype: str) -> None:
    values = (array % 100).tolist()  # within every dtype
    assert_ends_alike(lambda lib: lib.tensor(values, dtype=getattr(lib, dtype)))


@given(own.dtypes, st.integers(0, 100) | st.lists(st.integers(0, 100), min_size=1, max_size=3))
def test_numpys_scalars_keep_their_dtype(dtype: str, data: Any) -> None:
    scalar = np.dtype(dtype).type
    scalars = [scalar(n) for n in data] if isinstance(data, list) else scalar(data)
    assert_ends_alike(lambda lib: lib.tensor(scalars))


@given(own.arrays(dtype=own.dtypes))
def test_an_array_is_copied_with_its_dtype(array: Array) -> None:
    assert_ends_alike(lambda lib: lib.tensor(array))
    assert not np.shares_memory(tensor(array).array, array)


@given(own.arrays(dtype=own.dtypes))
def test_from_numpy_shares_memory(array: Array) -> None:
    assert from_numpy(array).array is array
    assert as_tensor(array).array is array


def test_as_tensor_copies_only_for_another_dtype() -> None:
    x = tensor([1.0])
    assert as_tensor(x) is x
    assert as_tensor(x, dtype=minitrain.float32) is x
    assert as_tensor(x, dtype=minitrain.float64).dtype == minitrain.float64


def test_a_tensor_of_a_tensor_is_a_leaf_of_its_own() -> None:
    x = tensor([1.0], requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        copied = tensor(x * 2, requires_grad=True)
    assert copied.is_leaf
    assert copied.tolist() == [2]


@pytest.mark.parametrize(
    "line",
    [
        "tensor('a')",
        "tensor(np.array(['a']))",
        "tensor([tensor(1.), tensor(2.)])",
        "tensor([1., 2.], requires_grad=True)",
        "tensor([1, 2], requires_grad=True)",
        "tensor([1., 2.], dtype=float, device='cpu')",
        "tensor(range(3))",
        "tensor([])",
        "tensor([[], []])",
        "torch.as_tensor([1, 2])",
        "torch.as_tensor(3.5)",
        "torch.from_numpy([1])",
        "torch.from_numpy(np.float32(1))",
    ],
)
def test_data_ends_alike(line: str) -> None:
    assert_text_ends_alike(line)


@pytest.mark.parametrize(
    "data", [np.ones(1, np.longdouble), np.ones(1, np.uint16), np.array([1j]), [1j], None, [None], ["a"], "a"]
)
def test_what_no_dtype_holds_is_refused(data: Any) -> None:
    expected = RuntimeError if data is None or data == [None] else ValueError if data == ["a"] else TypeError
    with pytest.raises(expected):
        tensor(data)


# --- filled -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zeros", "ones"])
@given(shape=own.shapes, dtype=own.dtypes, together=st.booleans())
def test_filled_tensors_have_torchs_shape_and_dtype(
    name: str, shape: tuple[int, ...], dtype: str, together: bool
) -> None:
    size = (shape,) if together or not shape else shape
    assert_ends_alike(lambda lib: getattr(lib, name)(*size, dtype=getattr(lib, dtype)))
    assert_ends_alike(lambda lib: getattr(lib, name)(*size))


@given(own.shapes, st.booleans() | st.integers(-5, 5) | own.any_numbers, st.none() | own.float_dtypes)
def test_full_takes_its_dtype_from_the_number(shape: tuple[int, ...], value: Any, dtype: str | None) -> None:
    assert_ends_alike(lambda lib: lib.full(shape, value, dtype=None if dtype is None else getattr(lib, dtype)))


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "full_like"])
@given(x=own.arrays(dtype=own.dtypes), dtype=st.none() | own.dtypes)
def test_likenesses_have_shape_and_dtype_of_their_model(name: str, x: Array, dtype: str | None) -> None:
    value = [1] if name == "full_like" else []
    assert_ends_alike(lambda lib, x: getattr(lib, name)(x, *value, dtype=dtype and getattr(lib, dtype)), [x])


@pytest.mark.parametrize("like", [zeros_like, ones_like, lambda x: full_like(x, 2), minitrain.empty_like])
def test_likenesses_have_the_memory_order_of_their_model(like: Callable[[Tensor], Tensor]) -> None:
    x = from_numpy(np.ones((3, 2)).T)
    assert like(x).array.strides == x.array.strides


@given(st.integers(-20, 20), st.none() | st.integers(-20, 20), st.integers(-5, 5))
def test_ranges_of_whole_numbers_are_torchs(start: int, end: int | None, step: int) -> None:
    assert_ends_alike(lambda lib: lib.arange(start) if end is None else lib.arange(start, end, step))


@given(own.ordinary, own.ordinary, own.ordinary, own.float_dtypes)
def test_ranges_of_floats_are_torchs(start: float, end: float, step: float, dtype: str) -> None:
    assert_ends_alike(lambda lib: lib.arange(start, end, step, dtype=getattr(lib, dtype)), scale=abs(start) + abs(end))


@given(own.ordinary, own.ordinary, st.integers(0, 20), own.float_dtypes)
def test_linspace_is_torchs(start: float, end: float, steps: int, dtype: str) -> None:
    scale = abs(start) + abs(end)
    assert_ends_alike(lambda lib: lib.linspace(start, end, steps, dtype=getattr(lib, dtype)), scale=scale)


@given(own.ordinary, own.ordinary, st.integers(2, 300), own.float_dtypes)
def test_linspace_has_torchs_bits(start: float, end: float, steps: int, dtype: str) -> None:
    ours, theirs = (lib.linspace(start, end, steps, dtype=getattr(lib, dtype)).numpy() for lib in (minitrain, torch))
    np.testing.assert_array_equal(ours, theirs)


@given(st.integers(0, 4), st.none() | st.integers(0, 4), own.dtypes)
def test_eye_is_torchs(n: int, m: int | None, dtype: str) -> None:
    assert_ends_alike(lambda lib: lib.eye(n, *([] if m is None else [m]), dtype=getattr(lib, dtype)))


@pytest.mark.parametrize(
    "line",
    [
        "torch.zeros(2, 3, requires_grad=True)",
        "torch.zeros(2, dtype=torch.int64, requires_grad=True)",
        "torch.zeros(2, dtype=float)",
        "torch.zeros(2, dtype=int)",
        "torch.zeros(2, dtype=bool)",
        "torch.zeros(2.0)",
        "torch.zeros(2, 'a')",
        "torch.zeros(np.int64(3))",
        "torch.zeros(tensor(3))",
        "torch.zeros(torch.ones(2, 3).shape)",
        "torch.zeros(2, device='nonsense')",
        "torch.empty(2, 3).shape == (2, 3)",
        "torch.empty(2, dtype=torch.int32).dtype",
        "torch.full((2,), fill_value=2.5, dtype=torch.int64)",
        "torch.full_like(tensor([1, 2]), 2.5)",
        "torch.zeros_like(tensor([1.]), requires_grad=True)",
        "torch.arange(0, 5, 0)",
        "torch.arange(0, -5)",
        "torch.arange(start=1, end=5, step=2)",
        "torch.arange(1, 2.5, 0.5)",
        "torch.arange(np.int64(5))",
        "torch.arange(tensor(5))",
        "torch.arange(3, requires_grad=True)",
        "torch.arange(3., requires_grad=True)",
        "torch.linspace(0, 1, steps=3)",
        "torch.linspace(0, 10, 4, dtype=torch.int64)",
        "torch.eye(n=2)",
        "torch.rand(2, 3).shape == (2, 3)",
        "torch.rand((2, 3), dtype=torch.float64).dtype",
        "torch.rand(2, dtype=torch.int64)",
        "torch.randn(2, requires_grad=True).requires_grad",
        "torch.randint(10, (3,)).dtype",
        "torch.randint(0, 10, size=(3,)).numel()",
        "torch.randint(low=3, high=4, size=(3,))",
        "torch.randint(high=1, size=(2,))",
        "torch.randint(5, 5, (3,))",
        "torch.randint(10)",
        "torch.randperm(1)",
        "torch.randperm(-1)",
        "torch.rand_like(tensor([1.])).dtype",
        "torch.rand_like(tensor([1]))",
        "torch.randn_like(torch.ones(2, 3)).shape == (2, 3)",
    ],
)
def test_arguments_are_torchs(line: str) -> None:
    assert_text_ends_alike(line)


# --- joined -----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_cat_joins_and_promotes_as_torchs(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    dim = data.draw(own.axes(len(shape)))
    parts = []
    for _ in range(data.draw(st.integers(1, 3))):
        sizes = list(shape)
        sizes[dim] = data.draw(st.integers(0, 3))
        odd = data.draw(st.sampled_from([None, None, None, (0,), (), (1, 1)]))
        parts.append(data.draw(own.arrays(tuple(sizes) if odd is None else odd, own.dtypes)))
    assert_ends_alike(lambda lib, *parts: lib.cat(parts, dim), parts)


@given(own.shapes, st.integers(1, 3), st.integers(-5, 4), st.data())
def test_stack_joins_and_promotes_as_torchs(shape: tuple[int, ...], count: int, dim: int, data: st.DataObject) -> None:
    parts = [data.draw(own.arrays(shape, own.dtypes)) for _ in range(count)]
    assert_ends_alike(lambda lib, *parts: lib.stack(list(parts), dim=dim), parts)


@pytest.mark.parametrize("name", ["cat", "stack"])
@given(data=st.data())
def test_what_was_joined_gets_its_own_gradient_in_its_own_dtype(name: str, data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    assume(shape != (0,))  # cat leaves it out, and torch gives it a gradient of no elements
    dim = data.draw(own.axes(len(shape)))
    parts = [data.draw(own.arrays(shape)) for _ in range(2)]
    value = getattr(minitrain, name)([wrap(part) for part in parts], dim).array
    grad_y = data.draw(own.arrays(value.shape, value.dtype.name))
    computed = [
        evaluate(library, lambda *parts, lib=library.module: getattr(lib, name)(parts, dim), parts, [True] * 2, grad_y)
        for library in (MINITRAIN, TORCH)
    ]
    assert_agree(*computed)


@given(st.data())
def test_where_promotes_and_broadcasts_as_torchs(data: st.DataObject) -> None:
    shapes = data.draw(own.shapes_that_broadcast(3))
    choices: list[Any] = [data.draw(own.arrays(shape, own.dtypes)) for shape in shapes[1:]]
    for i in range(2):
        if data.draw(st.booleans()):
            choices[i] = data.draw(st.booleans() | st.integers(0, 3) | own.quarters)
    assume(not any(isinstance(x, np.ndarray) and x.dtype == np.uint8 for x in choices))  # negatives beside uint8
    condition = data.draw(own.arrays(shapes[0], "bool"))
    assert_ends_alike(lambda lib, *x: lib.where(*x), [condition, *choices])


@pytest.mark.parametrize(
    "line",
    [
        "torch.cat([])",
        "torch.cat([1, 2])",
        "torch.cat([tensor([1.]), np.ones(1)])",
        "torch.cat([torch.ones(2, 3), torch.ones(3, 2)])",
        "torch.cat([torch.ones(2, 3), torch.ones(2)])",
        "torch.cat([torch.ones(2, 3), torch.ones(2, 3)], 2)",
        "torch.cat((torch.ones(2, 3), torch.ones(2, 3)), dim=-1)",
        "torch.cat([torch.zeros(0), torch.ones(2, 3)], 1)",
        "torch.cat([tensor(1.), tensor(2.)])",
        "torch.stack([])",
        "torch.stack([1, 2])",
        "torch.stack([torch.ones(2), torch.ones(3)])",
        "torch.stack([torch.ones(2), torch.ones(2)], dim=2)",
    ],
)
def test_joining_ends_alike(line: str) -> None:
    assert_text_ends_alike(line)


def test_joined_tensors_share_no_memory() -> None:
    x = tensor([1.0])
    assert not np.shares_memory(cat([x]).array, x.array)
    assert not np.shares_memory(stack([x]).array, x.array)
