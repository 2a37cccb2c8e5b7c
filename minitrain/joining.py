"""torch's functions of several Tensors that join, stack, combine or lay out, and einsum and tensordot."""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.creation import cat, stack
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import LONG, as_axis, as_dtype, check_broadcast, promote_types
from minitrain.torchlike.matrix_methods import as_dims
from minitrain.torchlike.out_argument import takes_out
from minitrain.torchlike.tensor_base import result_type

# --- stacks -----------------------------------------------------------------------------------------------------------


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The area under the values y along dim, by the trapezoidal rule; x: where they are, or dx: how far apart."""
    y = y.movedim(dim, -1)
    steps = dx if x is None else (x.movedim(dim, -1) if x.ndim > 1 else x).diff()
    return ((y[..., 1:] + y[..., :-1]) / 2 * steps).sum(-1)


trapz = trapezoid


def atleast_1d(*tensors: Any) -> Any:
    """With one axis at least; of several Tensors, a tuple."""
    return _each(tensors, lambda x: x.reshape(1) if x.ndim == 0 else x)


def atleast_2d(*tensors: Any) -> Any:
    """With two axes at least: a vector is a row; of several Tensors, a tuple."""
    return _each(tensors, lambda x: x.reshape(1, -1) if x.ndim < 2 else x)


def atleast_3d(*tensors: Any) -> Any:
    """With three axes at least, of which a vector fills the middle one and a matrix the first two."""

    def raised(x: Tensor) -> Tensor:
        return x.reshape(1, -1, 1) if x.ndim < 2 else x.unsqueeze(-1) if x.ndim == 2 else x

    return _each(tensors, raised)


def _each(tensors: Any, function: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple([function(x) for x in given])


@takes_out
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along axis 1, vectors along axis 0."""
    parts = atleast_1d(list(tensors))
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@takes_out
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below the other, along axis 0; vectors as rows."""
    return cat(atleast_2d(list(tensors)), 0)


row_stack = vstack


@takes_out
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind the other, along axis 2."""
    return cat(atleast_3d(list(tensors)), 2)


@takes_out
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side, vectors as columns."""
    return cat([x.reshape(-1, 1) if x.ndim < 2 else x for x in tensors], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices one after the other along the diagonal, 0 elsewhere."""
    blocks = atleast_2d(list(tensors))
    width = sum(block.shape[1] for block in blocks)
    dtype = functools.reduce(promote_types, [block.dtype for block in blocks])
    rows, start = [], 0
    for block in blocks:
        sides = [wrap(np.zeros((block.shape[0], n), dtype)) for n in (start, width - start - block.shape[1])]
        rows.append(cat([sides[0], block, sides[1]], 1))
        start += block.shape[1]
    return cat(rows)


# --- grids and combinations -------------------------------------------------------------------------------------------


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid over vectors, a Tensor for each: axis i runs along vector i.

    indexing: "xy" swaps the first two axes of each.
    """
    given = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    if not given:
        raise ValueError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for x in given:
        if x.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x.ndim}D")
        if x.dtype != given[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    shape = [x.numel() for x in given]
    grid = [x.reshape([-1 if i == j else 1 for j in range(len(given))]).expand(shape) for i, x in enumerate(given)]
    return tuple([x.transpose(0, 1) for x in grid] if indexing == "xy" and len(given) > 1 else grid)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All tuples with an element from each vector, a row for each; of one vector, itself."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([x.reshape(-1) for x in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, in order, a row for each."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r == 0:
        return input[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.numel()), r)), LONG).reshape(-1, r)
    return input[places]


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The Tensors expanded to their common shape."""
    given = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    shape = broadcast_shapes(*(x.shape for x in given))
    return tuple([x.expand(shape) for x in given])


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape to which all of them broadcast."""
    sizes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    check_broadcast(*sizes)
    return wrap(np.empty(np.broadcast_shapes(*sizes), bool)).shape


def _triangle_indices(name: str, lower: bool, row: int, col: int, offset: int, dtype: npt.DTypeLike | None) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row and col must be non-negative, got {row} and {col}")
    rows, columns = np.ogrid[:row, :col]
    inside = columns - rows <= offset if lower else columns - rows >= offset
    return wrap(np.stack(np.nonzero(inside)).astype(LONG if dtype is None else as_dtype(dtype)))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: npt.DTypeLike | None = None, device: Any = None
) -> Tensor:
    """The rows and columns of the elements up to the diagonal offset: (2, n)."""
    return _triangle_indices("tril_indices", True, row, col, offset, dtype)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: npt.DTypeLike | None = None, device: Any = None
) -> Tensor:
    """The rows and columns of the elements from the diagonal offset on: (2, n)."""
    return _triangle_indices("triu_indices", False, row, col, offset, dtype)


# --- sums of products -------------------------------------------------------------------------------------------------


def einsum(*args: Any) -> Tensor:
    """The sum of products that subscripts describe: einsum("bij,bjk->bik", a, b), or einsum(a, [0, 1], b, [1, 2]).

    Without -> the result has the letters that occur once, in alphabetical order, after those of an ellipsis.
    Raises RuntimeError for subscripts that do not fit the operands.
    """
    if isinstance(args[0], str):
        equation, operands = args[0].replace(" ", ""), list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = list(operands[0])
    else:
        equation, operands = _equation(args)
    subscripts, result = _explicit(equation, operands)
    _check_sizes(subscripts, operands)
    dtype = functools.reduce(promote_types, [x.dtype for x in operands])
    if any(x.dtype != dtype for x in operands):
        raise RuntimeError(f"einsum(): operands must have one dtype, but got {[str(x.dtype) for x in operands]}")
    return apply(ops.Einsum, *operands, subscripts=tuple(subscripts), result=result)


def _equation(args: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """The equation of operands with lists of numbers; ... is an ellipsis."""

    def text(numbers: Sequence[Any]) -> str:
        return "".join(["..." if n is Ellipsis else string.ascii_letters[n] for n in numbers])

    pairs = len(args) // 2
    equation = ",".join(text(numbers) for numbers in args[1 : 2 * pairs : 2])
    return equation + (f"->{text(args[-1])}" if len(args) % 2 else ""), list(args[: 2 * pairs : 2])


def _explicit(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """Each operand's letters and the result's, with letters in the place of an ellipsis."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        more = "more" if len(terms) < len(operands) else "fewer"
        raise RuntimeError(f"einsum(): {more} operands were provided than specified in the equation {equation!r}")
    for letter in equation.replace("...", "").replace("->", ""):
        if letter not in string.ascii_letters + ",":
            raise RuntimeError(f"einsum(): invalid subscript given in the equation {equation!r}, {letter!r}")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    hidden = [
        x.ndim - len(term.replace("...", "")) if "..." in term else 0 for term, x in zip(terms, operands, strict=True)
    ]
    for i, (term, x, n) in enumerate(zip(terms, operands, hidden, strict=True)):
        if n < 0 or (len(term) != x.ndim and "..." not in term):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(term.replace('...', ''))}) does not match "
                f"the number of dimensions ({x.ndim}) for operand {i}"
            )
    ellipsis = "".join(free[: max(hidden, default=0)])
    subscripts = [term.replace("...", ellipsis[len(ellipsis) - n :]) for term, n in zip(terms, hidden, strict=True)]
    if arrow:
        result = right.replace("...", ellipsis)
    else:
        once = sorted(letter for letter in set(left) - {",", "."} if left.count(letter) == 1)
        result = ellipsis + "".join(once)
    for letter in result:
        if result.count(letter) > 1:
            raise RuntimeError(f"einsum(): output subscript {letter} appears more than once in the output")
        if not any(letter in term for term in subscripts):
            raise RuntimeError(
                f"einsum(): output subscript {letter} does not appear in the equation for any input operand"
            )
    return subscripts, result


def _check_sizes(subscripts: Sequence[str], operands: Sequence[Tensor]) -> None:
    sizes: dict[str, int] = {}
    for i, (letters, x) in enumerate(zip(subscripts, operands, strict=True)):
        for letter, size in zip(letters, x.shape, strict=True):
            known = sizes.get(letter, 1)
            if size not in (1, known) and known != 1:
                raise RuntimeError(
                    f"einsum(): operands do not broadcast with remapped shapes: subscript {letter} has size {size} "
                    f"for operand {i}, which does not broadcast with previously seen size {known}"
                )
            sizes[letter] = max(size, known) if size else 0


@takes_out
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sums of products over a's last and b's first dims axes, or over two lists of axes."""
    first, second = as_dims(dims.tolist() if isinstance(dims, Tensor) else dims, a.ndim)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    letters = string.ascii_letters
    of_a = list(letters[: a.ndim])
    of_b = list(letters[a.ndim : a.ndim + b.ndim])
    pairs = [(as_axis(i, a.ndim), as_axis(j, b.ndim)) for i, j in zip(first, second, strict=True)]
    for i, j in pairs:
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has size "
                f"{b.shape[j]} in dim {j}"
            )
        of_b[j] = of_a[i]
    summed = {of_a[i] for i, _ in pairs}
    rest = [letter for letter in of_a + of_b if letter not in summed]
    return einsum(f"{''.join(of_a)},{''.join(of_b)}->{''.join(rest)}", a, b)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The distances of all pairs of rows, as norms of order p: (..., N, K), (..., M, K) -> (..., N, M)."""
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, dim=-1)


# --- places -----------------------------------------------------------------------------------------------------------


@takes_out
def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None
) -> Tensor:
    """Where each value of input would go into a sorted sequence; rows of several go into the row at the same place."""
    values = input.array if isinstance(input, Tensor) else np.asarray(input)
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    sequence = sorted_sequence.array
    where: Literal["left", "right"] = "right" if right or side == "right" else "left"
    if sequence.ndim == 1:
        found = np.searchsorted(sequence, values, where)
    else:
        if sequence.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                f"boundaries tensor and input value tensor must match, but we got {list(sequence.shape)} and "
                f"{list(values.shape)}"
            )
        found = np.empty(values.shape, LONG)
        for row in np.ndindex(sequence.shape[:-1]):
            found[row] = np.searchsorted(sequence[row], values[row], where)
    return wrap(np.asarray(found, np.int32 if out_int32 else LONG))


@takes_out
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the interval between boundaries in which each value lies; right closes it on the left."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is one of test_elements."""
    dtype = result_type(elements, test_elements)
    a, b = (np.asarray(x.array if isinstance(x, Tensor) else x, dtype) for x in (elements, test_elements))
    return wrap(np.asarray(np.isin(a, b, invert=invert)))


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """tensor.split(split_size_or_sections, dim)."""
    return tensor.split(split_size_or_sections, dim)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Each label as a row of num_classes (the largest label + 1) with 1 at the label's place, else 0."""
    if tensor.dtype != LONG:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}.")
    labels = tensor.array
    if labels.size == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if labels.size and labels.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes != -1 and labels.size and labels.max() >= num_classes:
        raise RuntimeError(f"Class values must be smaller than num_classes: {labels.max()} >= {num_classes}.")
    classes = int(labels.max()) + 1 if num_classes == -1 else num_classes
    return wrap((labels[..., None] == np.arange(classes)).astype(LONG))
