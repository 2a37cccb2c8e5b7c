"""torch's rules for what users pass (dtypes, shapes, axes, indices), and torch's words where they are broken."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.ops import Array

Scalar = bool | int | float

# --- dtypes -----------------------------------------------------------------------------------------------------------

BOOL, UINT8, INT8, INT16 = (np.dtype(name) for name in ("bool", "uint8", "int8", "int16"))
INT, LONG, HALF, FLOAT, DOUBLE = (np.dtype(name) for name in ("int32", "int64", "float16", "float32", "float64"))

TYPE_NAMES = {
    BOOL: "BoolTensor",
    UINT8: "ByteTensor",
    INT8: "CharTensor",
    INT16: "ShortTensor",
    INT: "IntTensor",
    LONG: "LongTensor",
    HALF: "HalfTensor",
    FLOAT: "FloatTensor",
    DOUBLE: "DoubleTensor",
}


class _Default:
    dtype = FLOAT


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of new Tensors of floats, float32 unless set_default_dtype has changed it."""
    return _Default.dtype


def set_default_dtype(d: npt.DTypeLike) -> None:
    """The dtype of new Tensors of floats, and of results of integers, from now on. Raises TypeError for non-floats."""
    dtype = as_dtype(d)
    if dtype.kind != "f":
        raise TypeError(f"only floating-point types are supported as the default type, but got {dtype}")
    _Default.dtype = dtype


def dtype_name(dtype: np.dtype[Any]) -> str:
    """A dtype as torch's errors call it: Float, Long, Byte."""
    return TYPE_NAMES[dtype].removesuffix("Tensor")


def dtype_of_type(name: str) -> np.dtype[Any]:
    """The dtype of a type by torch's name, such as 'torch.FloatTensor'. Raises ValueError for any other text."""
    for dtype, known in TYPE_NAMES.items():
        if name.removeprefix("torch.") == known:
            return dtype
    raise ValueError(f"invalid type: {name!r}; give a dtype such as torch.float32, or 'torch.FloatTensor'.")


def as_dtype(dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    """A dtype that Tensors can have, from a dtype or from bool, int or float. Raises TypeError for any other."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found not in TYPE_NAMES:
        offered = ", ".join(map(str, TYPE_NAMES))
        raise TypeError(f"dtype {dtype!r} is not offered; minitrain has {offered}.")
    return found


def dtype_of_number(number: Scalar) -> np.dtype[Any]:
    """The dtype that a Python number has of itself."""
    return BOOL if isinstance(number, bool) else LONG if isinstance(number, int) else _Default.dtype


def as_number(value: Any, argument: str) -> Scalar:
    """A Python number, also from a NumPy scalar or a Tensor without axes. Raises TypeError for anything else."""
    number = value.item() if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0 else value
    if not isinstance(number, bool | int | float):
        raise TypeError(f"{argument} must be Number, not {type(number).__name__}")
    return number


def fits(numbers: Array, dtype: np.dtype[Any]) -> bool:
    """Whether torch converts these numbers to dtype: in range; inf and nan for floats, negative ints for uint8."""
    if dtype.kind == "b":
        return True
    if dtype.kind == "f":
        numbers = numbers.astype(DOUBLE)
        return bool(np.all((np.abs(numbers) <= np.finfo(dtype).max) | ~np.isfinite(numbers)))
    largest = np.iinfo(dtype).max
    smallest = -largest if dtype.kind == "u" and numbers.dtype.kind != "f" else np.iinfo(dtype).min
    return bool(np.all((numbers >= smallest) & (numbers <= largest)))


def converted(number: Scalar, dtype: np.dtype[Any]) -> Scalar:
    """A Python number as one of dtype's: cut to a whole number, wrapped around. Raises RuntimeError out of range."""
    if dtype.kind == "f" and abs(number) < 2**15:  # every float dtype has it
        return float(number)
    array = np.asarray(number)
    if not fits(array, dtype):
        raise RuntimeError(f"value cannot be converted to type {dtype} without overflow, but got {number}")
    return array.astype(dtype).item()  # type: ignore[no-any-return]


def floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype, or float32 where it is not a float's."""
    return dtype if dtype.kind == "f" else _Default.dtype


def category(dtype: np.dtype[Any]) -> int:
    """bool 0, integers 1, floats 2: in a mixed operation the higher decides."""
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def promote_types(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that holds both, as torch has it: a float beside an integer keeps its width."""
    if category(a) != category(b):
        return a if category(a) > category(b) else b
    return np.promote_types(a, b)


# --- shapes and axes --------------------------------------------------------------------------------------------------


class Size(tuple[int, ...]):
    """A Tensor's shape: a tuple that prints as torch prints it."""

    def numel(self) -> int:
        """The number of elements: the product of the sizes."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"Size([{', '.join(map(str, self))}])"


def as_shape(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape from torch's variable arguments: f(2, 3), f((2, 3)) and f([2, 3]) mean the same."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    return tuple([operator.index(size) for size in sizes])


def as_new_shape(name: str, sizes: tuple[Any, ...], size: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of a new Tensor: f(2, 3), f((2, 3)) or f(size=(2, 3)). Raises TypeError and RuntimeError as torch."""
    if not sizes and size is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    shape = as_shape(sizes if size is None else (size,))
    for number in shape:
        if number < 0:
            raise RuntimeError(f"{name}: Dimension size must be non-negative, but got {number} in {list(shape)}.")
    return shape


def by_x(shape: tuple[int, ...]) -> str:
    """A shape as torch writes it in errors about matrices: 64x784."""
    return "x".join(map(str, shape))


def check_broadcast(*shapes: tuple[int, ...]) -> None:
    """Raise RuntimeError, in torch's words, if the shapes do not broadcast."""
    result: tuple[int, ...] = ()
    for shape in shapes:
        width = max(len(result), len(shape))
        a, b = ((1,) * (width - len(s)) + tuple(s) for s in (result, shape))
        for dim in reversed(range(width)):
            if a[dim] != b[dim] and 1 not in (a[dim], b[dim]):
                raise RuntimeError(
                    f"The size of tensor a ({a[dim]}) must match the size of tensor b ({b[dim]}) at non-singleton "
                    f"dimension {dim}: shapes {list(result)} and {list(shape)} do not broadcast."
                )
        result = tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


def as_axis(dim: Any, ndim: int) -> int:
    """dim as an axis from 0 up. Raises IndexError, in torch's words, if there is no such axis."""
    dim, size = (dim if type(dim) is int else _as_int(dim)), max(ndim, 1)  # a 0-d tensor counts as having one axis
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return int(dim % size)


def _as_int(dim: Any) -> int:
    if isinstance(dim, bool) or getattr(dim, "ndim", 0) > 0:
        raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
    return operator.index(dim)


def as_axes(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The axes to reduce: all of them for None, () and []."""
    if getattr(dim, "ndim", 0) == 1:
        dim = list(dim)  # type: ignore[arg-type]  # a Tensor of axes
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return tuple(range(ndim))
    axes = [as_axis(d, ndim) for d in (dim if isinstance(dim, Sequence) else [dim])]
    for axis in axes:
        if axes.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return tuple(axes) if ndim else ()


def as_keepdim(keepdim: Any, name: str) -> bool:
    """keepdim, if it is a bool. Raises TypeError, as torch, for anything else: sum(0, 1) means sum((0, 1))."""
    if not isinstance(keepdim, bool):
        raise TypeError(
            f"{name}(): argument 'keepdim' must be bool, not {type(keepdim).__name__}; give several dims as a tuple."
        )
    return keepdim


def refuse_empty(shape: tuple[int, ...], axes: tuple[int, ...] | None, name: str) -> None:
    """Raise as torch if there is no element along one of the axes (None: all), so that there can be no maximum."""
    if axes is None and 0 in shape:
        raise (IndexError if name.startswith("arg") else RuntimeError)(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
            "the 'dim' argument."
        )
    for axis in axes or ():
        if shape[axis] == 0:
            raise IndexError(
                f"{name}(): expected reduction dim {axis} to have non-zero size, but shape is {list(shape)}"
            )


# --- what stands between brackets -------------------------------------------------------------------------------------


def as_indices(index: Any, ndim: int) -> list[tuple[Any, ...]]:
    """The index of x[index] for NumPy, from one of torch's: one index, or two to be applied one after the other.

    Numbers, slices, None and ... alone make a view, of a single element too: then there is always a ... .
    Beside arrays torch lets numbers go first and keeps the place of the arrays' axes, where NumPy takes a number for
    an array of one, and may move the axes to the front: so numbers beside arrays are an index of their own. A ...
    that stands for no axis of x's ndim keeps arrays apart in NumPy, and is left out beside them.
    Raises IndexError for a type or dtype that cannot index, and ValueError for a negative step, as torch.
    """
    if isinstance(index, list) and len(index) < 32 and any(_is_index_of_its_own(x) for x in index):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated: use x[tuple(seq)] instead of "
            "x[seq], or x[torch.tensor(seq)] for an index of numbers.",
            stacklevel=4,
        )
        index = tuple(index)  # torch reads a list of lists as a tuple of indices
    parts = [_as_part(part) for part in (index if isinstance(index, tuple) else (index,))]
    if not any(isinstance(part, np.ndarray) for part in parts):
        return [_with_ellipsis(parts)]
    if sum(_axes_of(part) for part in parts) == ndim:
        parts = [part for part in parts if part is not Ellipsis]
    if not any(isinstance(part, int) for part in parts):
        return [tuple(parts)]
    first: list[Any] = []
    second: list[Any] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            first += [slice(None)] * _axes_of(part)
            second.append(part)
        else:
            first.append(part)
            second += [] if isinstance(part, int) else [part if part is Ellipsis else slice(None)]
    return [_with_ellipsis(first), tuple(second)]


def _is_index_of_its_own(x: Any) -> bool:
    """Whether torch reads a list that holds x as a tuple of indices."""
    return x is None or x is Ellipsis or isinstance(x, list | tuple | slice | np.ndarray) or hasattr(x, "array")


def _axes_of(part: Any) -> int:
    """How many of x's axes a part takes: a mask as many as it has, None and ... none by themselves."""
    if isinstance(part, np.ndarray) and part.dtype == BOOL:
        return part.ndim
    return 0 if part is None or part is Ellipsis else 1


def _with_ellipsis(parts: list[Any]) -> tuple[Any, ...]:
    return tuple(parts if any(part is Ellipsis for part in parts) else [*parts, Ellipsis])


def _as_part(index: Any) -> Any:
    """One of the comma's parts as an int, slice, None, ... or an array, copied since backward needs it unchanged."""
    if type(index) is int:
        return index
    if isinstance(index, slice):
        if index.step is not None and index.step < 0:
            raise ValueError(f"slice step must be positive, but got {index.step}; torch has no negative steps either")
        if index.step is not None and operator.index(index.step) == 0:
            raise ValueError("slice step cannot be zero")
        return slice(*(None if x is None else operator.index(x) for x in (index.start, index.stop, index.step)))
    if index is None or index is Ellipsis:
        return index
    if isinstance(index, str):
        raise TypeError(f"new(): invalid data type 'str': the index {index!r} is not a number, slice or Tensor")
    if isinstance(index, Sequence | bool) or hasattr(index, "__array__"):
        array = np.array(index, dtype=np.int64 if isinstance(index, Sequence) and not index else None)
        if array.dtype == UINT8 and array.ndim:
            warnings.warn(
                "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                stacklevel=4,
            )
            array = array.astype(BOOL)
        narrow = hasattr(index, "array") and array.ndim and array.dtype in (INT8, INT16)  # torch takes NumPy's
        if narrow or array.dtype.kind not in "bi":
            raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, but got {array.dtype}")
        return array if array.ndim or array.dtype == BOOL else int(array)
    try:
        return operator.index(index)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or bool Tensors are valid indices "
            f"(got {type(index).__name__})"
        ) from None


def in_torchs_words(error: IndexError, ndim: int, index: Any) -> str:
    """NumPy's message about an index as torch has it."""
    message = str(error).replace("for axis", "for dimension")
    if ndim == 0 and isinstance(index, slice):
        return "slice() cannot be applied to a 0-dim tensor."
    if ndim == 0 and isinstance(index, int):  # loss.data[0], as programs before torch 0.4 have it
        return "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim tensor to a number"
    return f"too many indices for tensor of dimension {ndim}" if message.startswith("too many indices") else message
