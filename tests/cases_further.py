"""The cases of test_ops.py for activations, pairwise losses, convolution, scans, norms, arrangement, linear algebra."""

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from minitrain import ops
from minitrain.ops import Array, Function
from tests import strategies as own
from tests.cases import Call, Case, one, with_options
from tests.comparing import TORCH, Outcome, evaluate, magnitude_of_products, magnitude_of_units

shapes_with_an_axis = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)
small = st.sampled_from(own.QUARTERS)  # products of 27 of them do not overflow

positive = st.sampled_from([0.5, 1.0, 1.75])

# --- losses of pairs --------------------------------------------------------------------------------------------------


@st.composite
def probabilities(draw: st.DrawFn) -> Call:
    shape, dtype = draw(own.shapes), draw(own.float_dtypes)
    return Call([draw(own.arrays(shape, dtype, values=own.shares)) for _ in range(2)], {})


@st.composite
def logits(draw: st.DrawFn) -> Call:
    shape, dtype = draw(own.shapes), draw(own.float_dtypes)
    x, pos_weight = (draw(own.arrays(shape, dtype, values=own.finite_numbers)) for _ in range(2))
    target = draw(own.arrays(shape, dtype, values=own.shares))
    return Call([x, target, pos_weight if draw(st.booleans()) else None], {})


def torch_logits(x: Any, target: Any, pos_weight: Any) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(x, target, reduction="none", pos_weight=pos_weight)


def magnitude_of_logits(compute: Any, inputs: Any, asks: Any, grad_y: Any) -> Outcome:
    """The terms (1 - t) · x and w · ln(1 + exp(-x)) have opposite signs; ln 2 is the least such logarithm at 0."""
    x, target, pos_weight = inputs
    weight = 1 if pos_weight is None else 1 + np.abs(pos_weight) * target
    grads = None if grad_y is None else np.abs(grad_y)
    size = (1 + np.abs(x)) * (1 + weight)
    return Outcome(size, [size * grads if ask and grads is not None else None for ask in asks])


@st.composite
def differences(draw: st.DrawFn) -> Call:
    shape, dtype = draw(own.shapes), draw(own.float_dtypes)
    return Call(
        [draw(own.arrays(shape, dtype)) for _ in range(2)], {"beta": draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))}
    )


def torch_smooth(x: Any, target: Any, beta: float) -> torch.Tensor:
    return F.smooth_l1_loss(x, target, reduction="none", beta=beta)


# --- windows ----------------------------------------------------------------------------------------------------------

pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))


@st.composite
def windowed(draw: st.DrawFn, *, dilated: bool) -> Any:
    """The sizes of an image and the options of windows that fit into it."""
    size, stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(pairs)
    dilation = draw(pairs) if dilated else (1, 1)
    padding = tuple(draw(st.integers(0, side // 2)) for side in size)
    reach = [dilation[i] * (size[i] - 1) + 1 for i in (0, 1)]
    # No window may lie in the padding alone: where a dilated one does, torch's maximum has no place.
    image = [max(dilation[i], reach[i] - 2 * padding[i]) + draw(st.integers(0, 2)) for i in (0, 1)]
    return image, {"size": size, "stride": stride, "padding": padding, **({"dilation": dilation} if dilated else {})}


@st.composite
def convolved(draw: st.DrawFn) -> Call:
    image, options = draw(windowed(dilated=True))
    size = options.pop("size")
    groups, dtype = draw(st.integers(1, 2)), draw(own.float_dtypes)
    each_in, each_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    shapes = [
        (draw(st.integers(1, 2)), groups * each_in, *image),
        (groups * each_out, each_in, *size),
        (groups * each_out,),
    ]
    x, weight, bias = (draw(own.arrays(shape, dtype, finite=True)) for shape in shapes)
    return Call([x, weight, bias if draw(st.booleans()) else None], {**options, "groups": groups})


@st.composite
def pooled(draw: st.DrawFn) -> Call:
    image, options = draw(windowed(dilated=True))
    channels = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    return Call([draw(own.arrays((*channels, *image), finite=True))], {**options, "ceil": (0, 0)})


@st.composite
def averaged(draw: st.DrawFn) -> Call:
    image, options = draw(windowed(dilated=False))
    x = draw(own.arrays((1, draw(st.integers(1, 2)), *image), finite=True))
    size, stride, padding = options["size"], options["stride"], options["padding"]
    counts = [(image[i] + 2 * padding[i] - size[i]) // stride[i] + 1 for i in (0, 1)]
    return Call([x, np.full(counts, math.prod(size), x.dtype)], {**options, "ceil": (0, 0)})


def torch_max_pool(x: Any, size: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> torch.Tensor:
    return F.max_pool2d(x, size, stride, padding, dilation)


def torch_avg_pool(x: Any, divisor: Any, size: Any, stride: Any, padding: Any, ceil: Any) -> torch.Tensor:
    return F.avg_pool2d(x, size, stride, padding)


# --- along axes -------------------------------------------------------------------------------------------------------


@st.composite
def along(draw: st.DrawFn, values: Any = own.finite_numbers) -> Call:
    x = draw(own.arrays(values=values))
    return Call([x], {"dim": draw(st.integers(0, max(x.ndim - 1, 0)))})


@st.composite
def over_axes(draw: st.DrawFn, values: Any, shapes: Any = own.shapes, **options: Any) -> Call:
    x = draw(own.arrays(shapes, values=values))
    dim = tuple(draw(st.lists(st.integers(0, x.ndim - 1), unique=True))) if x.ndim else ()
    return Call([x], {"dim": dim or tuple(range(x.ndim)), "keepdim": draw(st.booleans())})


def torch_prod(x: torch.Tensor, dim: tuple[int, ...], keepdim: bool) -> torch.Tensor:
    for axis in sorted(dim, reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x if dim else x.clone()


@st.composite
def normed(draw: st.DrawFn) -> Call:
    call = draw(over_axes(own.finite_numbers, own.shapes_with_elements))
    return Call(call.inputs, {"p": draw(st.sampled_from([1.0, 2.0, 3.0, math.inf, -math.inf])), **call.options})


@st.composite
def normalized(draw: st.DrawFn) -> Call:
    call = draw(over_axes(own.finite_numbers, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)))
    (x,), dim = call.inputs, call.options["dim"]
    shape = tuple(draw(st.sampled_from([1, size])) for size in x.shape)
    w, b = (draw(st.none() | own.arrays(shape, x.dtype.name, finite=True)) for _ in range(2))
    return Call([x, w, b], {"dim": dim, "eps": draw(st.sampled_from([1e-5, 0.25]))})


def torch_normalize(x: Any, weight: Any, bias: Any, dim: Any, eps: float) -> torch.Tensor:
    z = (x - x.mean(dim, keepdim=True)) / (x.var(dim, correction=0, keepdim=True) + eps).sqrt()
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


def magnitude_of_conditioning(compute: Any, inputs: Any, asks: Any, grad_y: Any) -> Outcome:
    """How far value and gradients move with the inputs, measured in float64: 1/√var magnifies rounding errors.

    And how far float32 is from float64, in units of its rounding: what cancels is rounded first.
    """
    exact = [None if x is None else x.astype(np.float64) for x in [*inputs, grad_y]]
    still = evaluate(TORCH, compute, exact[:-1], asks, exact[-1])
    sizes = [np.abs(part).max(initial=1) if part is not None else 0 for part in (still.value, *still.gradients)]
    random = np.random.RandomState(0)
    for _ in range(8):  # each entry by itself in some: a shift of all may change nothing
        coarse = [
            None
            if x is None
            else (x + 1e-6 * np.abs(x).max(initial=0) * random.choice([-1, 0, 1], x.shape)).astype(np.float32)
            for x in exact
        ]
        moved = [None if x is None else x.astype(np.float64) for x in coarse]
        found = evaluate(TORCH, compute, moved[:-1], asks, moved[-1])
        rounded = evaluate(TORCH, compute, coarse[:-1], asks, coarse[-1])
        for i, (a, b, c) in enumerate(
            zip(
                [found.value, *found.gradients],
                [still.value, *still.gradients],
                [rounded.value, *rounded.gradients],
                strict=True,
            )
        ):
            if a is not None and b is not None and c is not None:
                sizes[i] = max(sizes[i], 4e6 * np.abs(a - b).max(initial=0), 2**24 * np.abs(a - c).max(initial=0))
    full = [None if g is None else np.full(g.shape, size) for g, size in zip(still.gradients, sizes[1:], strict=True)]
    return Outcome(np.full(still.value.shape, sizes[0]), full)


# --- arrangement ------------------------------------------------------------------------------------------------------


@st.composite
def diagonals(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3)))
    dim1, dim2 = draw(st.permutations(range(x.ndim)))[:2]
    return Call([x], {"offset": draw(st.integers(-2, 2)), "dim1": dim1, "dim2": dim2})


@st.composite
def unfolded(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)))
    dim = draw(st.integers(0, x.ndim - 1))
    return Call([x], {"dim": dim, "size": draw(st.integers(1, x.shape[dim])), "step": draw(st.integers(1, 3))})


@st.composite
def turned(draw: st.DrawFn) -> Call:
    x = draw(own.arrays(shapes_with_an_axis))
    return Call([x], {"dims": tuple(draw(st.lists(st.integers(0, x.ndim - 1), unique=True)))})


@st.composite
def rolled(draw: st.DrawFn) -> Call:
    call = draw(turned().filter(lambda call: call.options["dims"]))
    return Call(call.inputs, {"shifts": tuple(draw(st.integers(-4, 4)) for _ in call.options["dims"]), **call.options})


@st.composite
def added_at(draw: st.DrawFn) -> Call:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    places = np.array(draw(st.lists(st.integers(0, shape[0] - 1), max_size=4)), np.int64)
    dtype = draw(own.float_dtypes)
    x, v = (draw(own.arrays(s, dtype, finite=True)) for s in (shape, (len(places), *shape[1:])))
    return Call([x, v], {"index": (places,)})


def torch_index_add(x: Any, v: Any, index: Any) -> torch.Tensor:
    return torch.index_add(x, 0, torch.from_numpy(index[0].copy()), v)


# --- linear algebra ---------------------------------------------------------------------------------------------------

SUBSCRIPTS = [
    "ij,jk->ik",
    "ij->ji",
    "ij->",
    "ij,ij->i",
    "ii->i",
    "ii->",
    "bij,bjk->bik",
    "i,j->ij",
    "i,i,i->",
    "ij,k->kj",
]


@st.composite
def products_by_subscripts(draw: st.DrawFn) -> Call:
    given, result = draw(st.sampled_from(SUBSCRIPTS)).split("->")
    subscripts, dtype = tuple(given.split(",")), draw(own.float_dtypes)
    sizes = {letter: draw(st.integers(0, 3)) for letter in "bijk"}
    arrays = [draw(own.arrays(tuple(sizes[s] for s in letters), dtype, finite=True)) for letters in subscripts]
    return Call(arrays, {"subscripts": subscripts, "result": result})


def torch_einsum(*inputs: Any, subscripts: Any, result: str) -> torch.Tensor:
    return torch.einsum(f"{','.join(subscripts)}->{result}", *inputs)


@st.composite
def matrices(draw: st.DrawFn, *, square: bool = True) -> Array:
    """Matrices whose diagonal dominates: 4, 8, 12 beside numbers up to 1, so no two singular values are close."""
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=1, min_side=0, max_side=2))
    rows = draw(st.integers(1, 3))
    columns = rows if square else draw(st.integers(1, 3))
    x = draw(own.arrays((*batch, rows, columns), values=st.floats(-1, 1, width=32)))
    signs = np.array([draw(st.sampled_from([-4, 4])) for _ in range(min(rows, columns))])
    for i, sign in enumerate(signs):
        x[..., i, i] = sign * (i + 1)
    return x


@st.composite
def equations(draw: st.DrawFn) -> Call:
    a = draw(matrices())
    shape = (*a.shape[:-1], draw(st.integers(0, 2)))
    return Call([a, draw(own.arrays(shape, a.dtype.name, finite=True))], {})


def magnitude_of_matrices(compute: Any, inputs: Any, asks: Any, grad_y: Any) -> Outcome:
    """No inverse of such matrices exceeds 1 and no determinant 2000: twelve times the largest number that occurs."""
    found = evaluate(TORCH, compute, inputs, asks, grad_y)
    parts = [found.value, *inputs, *([] if grad_y is None else [grad_y, *found.gradients])]
    largest = 12 * max([1.0, *(np.abs(part).max(initial=0) for part in parts if part is not None)])
    return Outcome(
        np.full(found.value.shape, largest), [None if g is None else np.full(g.shape, largest) for g in found.gradients]
    )


def without_nan(call: Call) -> bool:
    """At nan, torch's gradient of ELU is nan in its loop of vectors, and dL/dy in the loop of what is left over."""
    return not any(np.isnan(x).any() for x in call.inputs)


on_a_matrix = matrices().map(lambda x: Call([x], {}))

CASES: dict[type[Function], Case] = {
    ops.LeakyReLU: Case(with_options(one, slope=own.quarters), lambda x, slope: F.leaky_relu(x, slope)),
    ops.ELU: Case(
        with_options(one, alpha=positive, scale=positive, rate=positive).filter(without_nan),
        lambda x, alpha, scale, rate: torch.ops.aten.elu(x, alpha, scale, rate),
    ),
    ops.SiLU: Case(one, F.silu, magnitude_of_units),
    ops.Softplus: Case(
        with_options(one, beta=positive, threshold=st.sampled_from([1.0, 20.0])), F.softplus, magnitude_of_units
    ),
    ops.LogSigmoid: Case(one, F.logsigmoid, magnitude_of_units),
    ops.Hardtanh: Case(
        with_options(one, low=st.sampled_from([-2.0, -1.0, 0.0]), high=st.sampled_from([0.25, 1.0, 6.0])),
        lambda x, low, high: F.hardtanh(x, low, high),
    ),
    ops.BCELoss: Case(probabilities(), lambda p, t: F.binary_cross_entropy(p, t, reduction="none"), magnitude_of_units),
    ops.BCEWithLogitsLoss: Case(logits(), torch_logits, magnitude_of_logits),
    ops.SmoothL1Loss: Case(differences(), torch_smooth),
    ops.Conv2d: Case(convolved(), F.conv2d, magnitude_of_products),
    ops.MaxPool2d: Case(pooled(), torch_max_pool, magnitude_of_products),
    ops.AvgPool2d: Case(averaged(), torch_avg_pool, magnitude_of_products),
    ops.Cumsum: Case(along(), torch.cumsum, magnitude_of_products),
    ops.Cumprod: Case(along(small), torch.cumprod, magnitude_of_products),
    ops.LogCumsumExp: Case(along(own.finite_numbers), torch.logcumsumexp, magnitude_of_units),
    ops.Prod: Case(over_axes(small), torch_prod, magnitude_of_products),
    ops.Norm: Case(normed(), lambda x, p, dim, keepdim: torch.linalg.vector_norm(x, p, dim, keepdim)),
    ops.LogSumExp: Case(over_axes(own.finite_numbers, own.shapes_with_elements), torch.logsumexp, magnitude_of_units),
    ops.Median: Case(
        with_options(one, ignore_nan=st.booleans()),
        lambda x, ignore_nan: torch.nanmedian(x) if ignore_nan else torch.median(x),
    ),
    ops.Normalize: Case(normalized(), torch_normalize, magnitude_of_conditioning),
    ops.Diagonal: Case(diagonals(), torch.diagonal),
    ops.Unfold: Case(unfolded(), lambda x, dim, size, step: x.unfold(dim, size, step), magnitude_of_products),
    ops.Flip: Case(turned(), torch.flip),
    ops.Roll: Case(rolled(), torch.roll),
    ops.IndexAdd: Case(added_at(), torch_index_add, magnitude_of_products),
    ops.Einsum: Case(products_by_subscripts(), torch_einsum, magnitude_of_products),
    ops.Inv: Case(on_a_matrix, torch.linalg.inv, magnitude_of_matrices),
    ops.Det: Case(on_a_matrix, torch.linalg.det, magnitude_of_matrices),
    ops.Solve: Case(equations(), torch.linalg.solve, magnitude_of_matrices),
    ops.SingularValues: Case(
        matrices(square=False).map(lambda x: Call([x], {})), torch.linalg.svdvals, magnitude_of_matrices
    ),
}
