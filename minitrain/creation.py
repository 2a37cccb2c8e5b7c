"""New Tensors: from data, filled, random; and joined from others."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.ops import Array
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike import random
from minitrain.torchlike.arguments import (
    DOUBLE,
    FLOAT,
    LONG,
    TYPE_NAMES,
    Scalar,
    as_axis,
    as_dtype,
    as_new_shape,
    as_number,
    as_shape,
    converted,
    dtype_of_number,
    fits,
    get_default_dtype,
    promote_types,
)
from minitrain.torchlike.device import device as Device
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.out_argument import takes_out
from minitrain.torchlike.random import Generator
from minitrain.torchlike.tensor_base import legacy_array


def float_dtype(dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    """The dtype asked for, else the default of floats."""
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def _finished(array: Array, device: Any, requires_grad: bool) -> Tensor:
    if device is not None:
        Device(device)
    return wrap(array).requires_grad_(requires_grad)


def creates(function: Callable[..., Array]) -> Callable[..., Tensor]:
    """Make a function that returns an array return a Tensor, and take the keywords device and requires_grad."""
    signature = inspect.signature(function)
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, default, annotation in (("device", None, "Any"), ("requires_grad", False, "bool"))
    ]

    @functools.wraps(function)
    def create(*args: Any, device: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
        return _finished(function(*args, **options), device, requires_grad)

    parameters = [*signature.parameters.values(), *keywords]
    vars(create)["__signature__"] = signature.replace(parameters=parameters, return_annotation="Tensor")
    return create


# --- from data --------------------------------------------------------------------------------------------------------


def tensor(data: Any, *, dtype: npt.DTypeLike | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of data: a number, nested lists, an ndarray or a Tensor.

    dtype: by default an array's own; for Python numbers float32, int64 or bool.
    Raises ValueError for ragged lists, TypeError for dtypes that are not offered.
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            stacklevel=2,
        )
    array = _array_of(data, None if dtype is None else as_dtype(dtype))
    return _finished(np.array(array, dtype=as_dtype(array.dtype), order="C"), device, requires_grad)


def as_tensor(data: Any, dtype: npt.DTypeLike | None = None, device: Any = None) -> Tensor:
    """data as a Tensor, sharing memory with an ndarray or a Tensor where dtype allows."""
    if device is not None:
        Device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data) if dtype is None else from_numpy(data).to(dtype)
    return tensor(data, dtype=dtype)


def from_numpy(array: Array) -> Tensor:
    """A Tensor on the array's own memory: a change of one is a change of the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if any(stride < 0 for stride in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. Make a copy of the array first: array.copy()."
        )
    as_dtype(array.dtype)
    return wrap(array)


def _array_of(data: Any, dtype: np.dtype[Any] | None) -> Array:
    """data as an array of this dtype; if None, of its own, where Python numbers have torch's widths."""
    if isinstance(data, Tensor):
        data = data.detach().array
    if hasattr(data, "__array__"):
        return np.asarray(data, dtype)
    if not isinstance(data, Sequence | bool | int | float) or isinstance(data, str | bytes):
        expected, found = "expected numbers, nested lists, an ndarray or a Tensor", type(data).__name__
        if isinstance(data, str | bytes | complex):
            raise TypeError(f"{expected}, but got {found}")
        raise RuntimeError(f"Could not infer dtype of {found}: {expected}")
    if isinstance(data, int) and not -(2**63) <= data < 2**63 and dtype is None:
        raise ValueError(f"Overflow when unpacking long long: {data} does not fit into int64")
    if not isinstance(data, Sequence):
        return _as_rectangle(data, dtype_of_number(data) if dtype is None else dtype)
    if not data:
        return np.empty(0, float_dtype(dtype))
    if _is_plain(data):
        return _as_rectangle(data, dtype)
    if isinstance(data[0], str):
        raise ValueError("too many dimensions 'str': expected numbers, nested lists, an ndarray or a Tensor")
    parts = [_array_of(_only_element(item), dtype) for item in data]
    promoted = functools.reduce(promote_types, [part.dtype for part in parts]) if dtype is None else dtype
    return _as_rectangle(parts, promoted)


def _only_element(item: Any) -> Any:
    """In a list a Tensor of one element stands for its number, as torch has it."""
    if not isinstance(item, Tensor):
        return item
    if item.numel() != 1:
        raise ValueError(
            f"only one element tensors can be converted to Python scalars, but a list holds one of shape "
            f"{list(item.shape)}; join Tensors with torch.stack() or torch.cat()."
        )
    return item.reshape([])


def _is_plain(data: Sequence[Any]) -> bool:
    """Whether nested lists hold nothing but Python numbers, which NumPy converts fastest."""
    first = data[0]
    if isinstance(first, list | tuple):
        return all(isinstance(item, list | tuple) and len(item) > 0 and _is_plain(item) for item in data)
    return all(type(item) in (int, float, bool) for item in data)


@np.errstate(over="ignore")  # a float that is too large becomes inf, as in torch
def _as_rectangle(data: Any, dtype: np.dtype[Any] | None) -> Array:
    try:
        array = np.array(data, dtype)
    except (ValueError, OverflowError) as error:
        if dtype is not None and (own := _as_rectangle(data, None)).dtype != object:  # it has a shape
            if not fits(own, dtype):
                raise RuntimeError(f"value cannot be converted to type {dtype} without overflow: {error}") from None
            return own.astype(dtype)
        raise ValueError(f"expected sequences of equal lengths at every depth: {error}") from None
    if array.dtype not in TYPE_NAMES:
        raise ValueError(f"Overflow when unpacking long long: {data} does not fit into int64")
    return array.astype(get_default_dtype()) if dtype is None and array.dtype.kind == "f" else array


def _typed(dtype: np.dtype[Any]) -> Callable[..., Tensor]:
    def constructor(*data: Any, device: Any = None) -> Tensor:
        """torch's old constructor of this dtype: of a list, an ndarray or a Tensor, or of sizes."""
        array = legacy_array(data, device, dtype)
        if array.dtype != dtype:
            raise TypeError(f"expected {TYPE_NAMES[dtype]} (got {TYPE_NAMES[array.dtype]})")
        return wrap(array)

    constructor.dtype = dtype  # type: ignore[attr-defined]  # x.type(torch.FloatTensor) reads it
    return constructor


TYPED = {name: _typed(dtype) for dtype, name in TYPE_NAMES.items()}  # FloatTensor, LongTensor, ...


# --- filled -----------------------------------------------------------------------------------------------------------


@takes_out
@creates
def empty(*sizes: Any, size: Sequence[int] | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """A Tensor whose values are whatever lay in memory."""
    return np.empty(as_new_shape("empty", sizes, size), float_dtype(dtype))


@takes_out
@creates
def zeros(*sizes: Any, size: Sequence[int] | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """A Tensor of 0."""
    return np.zeros(as_new_shape("zeros", sizes, size), float_dtype(dtype))


@takes_out
@creates
def ones(*sizes: Any, size: Sequence[int] | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """A Tensor of 1."""
    return np.ones(as_new_shape("ones", sizes, size), float_dtype(dtype))


def asarray(
    obj: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """as_tensor, which shares memory if it can; copy: True for memory of its own."""
    made = (tensor if copy and not isinstance(obj, Tensor) else as_tensor)(obj, dtype=dtype, device=device)
    if copy and made is obj:
        made = made.clone()
    return made.requires_grad_() if requires_grad else made


def scalar_tensor(s: Scalar, *, dtype: npt.DTypeLike | None = None, device: Any = None) -> Tensor:
    """A 0-d Tensor; a number becomes a float, unless dtype says otherwise."""
    return tensor(s, dtype=get_default_dtype() if dtype is None else dtype, device=device)


@takes_out
@creates
def full(size: Sequence[int], fill_value: Scalar, *, dtype: npt.DTypeLike | None = None) -> Array:
    """A Tensor of fill_value, with the dtype that number has."""
    if not isinstance(size, Sequence):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    number = as_number(fill_value, "full(): argument 'fill_value' (position 2)")
    target = dtype_of_number(number) if dtype is None else as_dtype(dtype)
    return np.full(as_new_shape("full", (), size), converted(number, target), target)


def _dtype_like(input: Tensor, dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    return input.dtype if dtype is None else as_dtype(dtype)


@creates
def empty_like(input: Tensor, *, dtype: npt.DTypeLike | None = None) -> Array:
    """empty, in input's shape, dtype and memory order."""
    return np.empty_like(input.array, _dtype_like(input, dtype))


@creates
def zeros_like(input: Tensor, *, dtype: npt.DTypeLike | None = None) -> Array:
    """zeros, in input's shape, dtype and memory order."""
    return np.zeros_like(input.array, _dtype_like(input, dtype))


@creates
def ones_like(input: Tensor, *, dtype: npt.DTypeLike | None = None) -> Array:
    """ones, in input's shape, dtype and memory order."""
    return np.ones_like(input.array, _dtype_like(input, dtype))


@creates
def full_like(input: Tensor, fill_value: Scalar, *, dtype: npt.DTypeLike | None = None) -> Array:
    """full, in input's shape, dtype and memory order."""
    number, target = as_number(fill_value, "full_like(): argument 'fill_value' (position 2)"), _dtype_like(input, dtype)
    return np.full_like(input.array, converted(number, target), target)


@takes_out
@creates
def arange(
    start: Any = None, end: Scalar | None = None, step: Scalar = 1, *, dtype: npt.DTypeLike | None = None
) -> Array:
    """start, start + step, ... up to but without end; arange(end) starts at 0. int64 if all are whole numbers."""
    if start is None and end is None:
        raise TypeError('arange() missing 1 required positional argument: "end"')
    if end is None:
        start, end = 0, start
    start = 0 if start is None else start
    start, end, step = (x.item() if isinstance(x, Tensor | np.generic) else x for x in (start, end, step))
    if dtype is not None and as_dtype(dtype).kind != "f":
        start, end, step = int(start), int(end), int(step)  # torch counts in the result's dtype
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: from {start} to {end} by {step}")
    whole = all(isinstance(x, int) for x in (start, end, step))
    target = LONG if dtype is None and whole else float_dtype(dtype)
    return np.arange(start, end, step).astype(target)


@takes_out
@creates
def linspace(start: Scalar, end: Scalar, steps: int, *, dtype: npt.DTypeLike | None = None) -> Array:
    """steps values, evenly spaced, from start to end inclusive; torch's bits in float32 and float64."""
    target = float_dtype(dtype)
    if target in (FLOAT, DOUBLE) and steps > 1:
        first, last = target.type(start), target.type(end)
        step = (last - first) / target.type(steps - 1)
        count = np.arange(steps, dtype=target)
        half = steps // 2  # the second half is counted back from the end
        rising = random.multiply_add(count[:half], step, first)
        falling = random.multiply_add(count[: steps - half], -step, last)
        return np.concatenate([rising, falling[::-1]])
    if target.kind != "f":
        start, end = int(start), int(end)  # torch counts in the result's dtype
    return np.linspace(start, end, steps).astype(target)


@takes_out
@creates
def eye(n: int, m: int | None = None, *, dtype: npt.DTypeLike | None = None) -> Array:
    """The n x m matrix (n x n without m) with 1 on its diagonal, else 0."""
    return np.eye(n, m, dtype=float_dtype(dtype))


# --- random: torch's stream, see torchlike/random.py on which are torch's bits ----------------------------------------


@takes_out
@creates
def rand(
    *sizes: Any,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """Values drawn evenly from [0, 1): torch's, bit for bit."""
    shape = as_new_shape("rand", sizes, size)
    return random.uniform(shape, dtype=float_dtype(dtype), generator=generator)


@takes_out
@creates
def randn(
    *sizes: Any,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """Values from the normal distribution of mean 0 and standard deviation 1.

    torch's bit for bit in float64, and in float32 below 16 values; from 16 on, torch's to within a few units in
    the last place.
    """
    shape = as_new_shape("randn", sizes, size)
    return random.normal(shape, dtype=float_dtype(dtype), generator=generator)


@takes_out
@creates
def randint(
    low: int = 0,
    high: Any = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """randint(high, size) or randint(low, high, size): whole numbers from low (0) up to but without high.

    torch's, bit for bit.
    """
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    elif high is None:  # randint(high, size=size)
        low, high = 0, low
    if not isinstance(size, Sequence):
        raise TypeError(f"randint expects a size such as (2, 3), but got {size!r}")
    target = LONG if dtype is None else as_dtype(dtype)
    return random.randint(low, high, as_shape((size,)), dtype=target, generator=generator)


@takes_out
@creates
def randperm(n: int, *, generator: Generator | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """The numbers 0 to n - 1 in random order, int64 unless dtype says otherwise: torch's, bit for bit."""
    target = LONG if dtype is None else as_dtype(dtype)
    return random.randperm(n, generator=generator).astype(target)


@creates
def rand_like(input: Tensor, *, generator: Generator | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """rand, in input's shape and dtype."""
    drawn = random.uniform(input.shape, dtype=_dtype_like(input, dtype), generator=generator)
    return input._in_memory_order(drawn)


@creates
def randn_like(input: Tensor, *, generator: Generator | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """randn, in input's shape and dtype."""
    target, blocks = _dtype_like(input, dtype), input._lies_in_order()
    drawn = random.normal(input.shape, dtype=target, generator=generator, blocks=blocks)
    return input._in_memory_order(drawn)


# --- joined -----------------------------------------------------------------------------------------------------------


def _list_of_tensors(tensors: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        raise TypeError("argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a list of Tensors, but element {i} is {type(x).__name__}")
    return list(tensors)


@takes_out
@numpy_names
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along dim; their other sizes must agree. Tensors of shape (0,) are left out."""
    tensors = _list_of_tensors(tensors)
    if not tensors:
        raise ValueError("cat: expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if x.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated; use stack")
    joined = [x for x in tensors if x.array.shape != (0,)]
    if not joined:
        joined, dim = tensors[:1], 0
    axis = as_axis(dim, joined[0].ndim)
    for i, x in enumerate(joined):
        sizes = [(*shape[:axis], *shape[axis + 1 :]) for shape in (joined[0].array.shape, x.array.shape)]
        if x.ndim != joined[0].ndim or sizes[0] != sizes[1]:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}: tensor number {i} has shape {list(x.shape)}, "
                f"the first has {list(joined[0].shape)}."
            )
    dtype = functools.reduce(promote_types, [x.dtype for x in tensors])
    return apply(ops.Cat, *joined, compute_dtype=dtype, dim=axis)


@takes_out
@numpy_names
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, side by side along a new axis dim."""
    tensors = _list_of_tensors(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if x.array.shape != tensors[0].array.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and "
                f"{list(x.shape)} at entry {i}"
            )
    axis = as_axis(dim, tensors[0].ndim + 1)
    return cat([x.unsqueeze(axis) for x in tensors], axis)


@takes_out
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """input where condition is true, other elsewhere; all three broadcast. where(condition) is its nonzero indices."""
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' must be Tensor, not {type(condition).__name__}")
    if input is None and other is None:
        return tuple([wrap(indices) for indices in np.nonzero(np.atleast_1d(condition.array))])
    return condition._where(condition, input, other)


# --- the random stream's state ----------------------------------------------------------------------------------------


def get_rng_state() -> Tensor:
    """The state of the default generator, as torch.get_rng_state: a uint8 Tensor, (5056,), bit for bit torch's."""
    return wrap(random.default_generator.state())


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on from there: from what get_rng_state returned, here or in torch.

    Raises TypeError for another dtype than uint8, RuntimeError for what is no such state.
    """
    random.default_generator.set_state(new_state)
