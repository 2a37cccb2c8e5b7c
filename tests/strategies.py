"""The hypothesis strategies that the tests share: shapes, arrays of every layout in memory, options."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from minitrain.ops import Array

FLOATS = ("float32", "float64")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
DTYPES = (*FLOATS, *INTEGERS, "bool")

float_dtypes = st.sampled_from(FLOATS)
dtypes = st.sampled_from(DTYPES)

# Shapes are small, since what goes wrong goes wrong at 0, 1, 2 or 3; zeros and ones are as likely as the rest.
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
shapes_with_elements = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)


def shapes_that_broadcast(count: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """Several shapes, with 0 to 3 axes each, and nothing to keep them from broadcasting to one."""
    together = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, min_side=0, max_side=3)
    return together.map(lambda found: found.input_shapes)


# --- values -----------------------------------------------------------------------------------------------------------

QUARTERS = [n / 4 for n in range(-12, 13)]  # a few values only: ties and zeros come by themselves
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf]

quarters = st.sampled_from(sorted(QUARTERS, key=abs))
ordinary = st.floats(2**-10, 30, width=32) | st.floats(-30, -(2**-10), width=32)

finite_numbers = quarters | ordinary
any_numbers = finite_numbers | st.sampled_from(SPECIAL)


def elements(dtype: str, *, finite: bool = False) -> st.SearchStrategy[Any]:
    """What an array of this dtype is filled with."""
    if dtype in FLOATS:
        return finite_numbers if finite else any_numbers
    if dtype == "bool":
        return st.booleans()
    return st.integers(0 if dtype == "uint8" else -5, 5)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] = shapes,
    dtype: str | st.SearchStrategy[str] = float_dtypes,
    *,
    values: st.SearchStrategy[Any] | None = None,
    finite: bool = False,
) -> Array:
    """An array, laid out in memory in any way: in the order of its indices, in another, or with gaps."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    dtype = draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype
    values = elements(dtype, finite=finite) if values is None else values
    flat = np.array([draw(values) for _ in range(math.prod(shape))], dtype)  # faster than hypothesis's own arrays
    return draw(laid_out(flat.reshape(shape)))


@st.composite
def laid_out(draw: st.DrawFn, array: Array) -> Array:
    """The same values in a layout of memory: by rows, by columns, or as every second element of longer rows."""
    layout = draw(st.sampled_from(["rows", "columns", "gaps"]))
    if layout == "columns":
        return array.copy(order="F")
    if layout == "gaps" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return array


@st.composite
def operands(
    draw: st.DrawFn, count: int, dtype: str | st.SearchStrategy[str] = float_dtypes, *, finite: bool = False
) -> list[Array]:
    """Arrays of one dtype whose shapes broadcast."""
    dtype = draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype
    return [draw(arrays(shape, dtype, finite=finite)) for shape in draw(shapes_that_broadcast(count))]


# --- options ----------------------------------------------------------------------------------------------------------


def axes(ndim: int) -> st.SearchStrategy[int]:
    """One axis, counted from the front or from the back; of no axes, torch's 0 and -1."""
    return st.integers(-max(ndim, 1), max(ndim, 1) - 1)


def several_axes(ndim: int) -> st.SearchStrategy[int | Sequence[int] | None]:
    """What a reduction takes for dim: nothing, an axis, or some axes, each counted from either end."""
    some = st.lists(axes(ndim), unique_by=lambda axis: axis % max(ndim, 1))
    return st.none() | axes(ndim) | some | some.map(tuple)


# --- losses over classes ----------------------------------------------------------------------------------------------

reductions = st.sampled_from(["mean", "sum", "none"])
logits = finite_numbers | st.sampled_from([1e30, -1e30, np.inf, -np.inf, np.nan])
class_weights = st.just(0.0) | st.floats(2**-5, 4, width=32)
shares = st.sampled_from([0.0, 1.0]) | st.floats(2**-10, 1, width=32)


class Classification(NamedTuple):
    """What a loss over classes takes: scores (C,), (N, C) or (N, C, d1, ...), and a target for them."""

    scores: Array
    target: Array
    weight: Array | None
    options: dict[str, Any]


@st.composite
def classifications(
    draw: st.DrawFn,
    dtype: str | st.SearchStrategy[str] = float_dtypes,
    *,
    reduction: str | None = None,
    weighted: bool | None = None,
    finite: bool = False,
    probabilities: bool = False,
    label_smoothing: bool = False,
) -> Classification:
    """Labels (some of them ignored, all at times) or probabilities for targets, and the options that go with them."""
    dtype = draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype
    weighted = draw(st.booleans()) if weighted is None else weighted
    classes, options = draw(st.integers(1, 4)), {"reduction": reduction or draw(reductions)}
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    shape = (*batch[:1], classes, *batch[1:])
    if probabilities:
        target = draw(arrays(shape, dtype, values=shares))
    else:
        options["ignore_index"] = ignored = draw(st.sampled_from([-100, -1, 0, classes - 1, classes]))
        kinds = [st.integers(0, classes - 1), st.just(ignored)]
        target = draw(arrays(batch, "int64", values=draw(st.sampled_from([kinds[0], kinds[1], kinds[0] | kinds[1]]))))
    if label_smoothing:
        options["label_smoothing"] = draw(shares)
    weight = draw(arrays((classes,), dtype, values=class_weights)) if weighted else None
    finite = finite or draw(st.booleans())  # what is not finite hides the rest in a sum
    scores = draw(arrays(shape, dtype, values=finite_numbers if finite else logits))
    return Classification(scores, target, weight, options)
