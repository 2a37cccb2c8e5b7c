"""What the declarations say of an entry is what the library does: each is evaluated, and held against both passes."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain import nn, ops, study
from minitrain.ops import Array, Context, Function
from minitrain.study.declarations import DECLARATIONS, ELEMENTWISE, NOT_DECLARED
from minitrain.study.entries import MOVED, Declaration, Rule, identifier, lines_of, read, rules_of
from minitrain.study.explanations import formula
from minitrain.study.notation import Expression, evaluate, terms
from minitrain.study.purposes import purpose_of
from minitrain.tensor import apply, wrap
from tests.strategies import quarters, shapes_that_broadcast

Case = tuple[list[Any], dict[str, Any]]

POSITIVE = st.floats(0.125, 3, width=32)
BETWEEN = st.floats(-0.875, 0.875, width=32)
SHARE = st.floats(0.0625, 0.9375, width=32)
ABOVE_1 = st.floats(1.125, 3, width=32)
SMALL = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
SOME = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)

DOMAINS: dict[type[Function], st.SearchStrategy[float]] = {
    **dict.fromkeys((ops.Log, ops.Sqrt, ops.Rsqrt, ops.Log2, ops.Log10, ops.Log1P, ops.Pow, ops.Div), POSITIVE),
    **dict.fromkeys((ops.Reciprocal, ops.Hypot, ops.Xlogy), POSITIVE),
    **dict.fromkeys((ops.DivRounded, ops.Remainder, ops.Fmod), st.sampled_from([-2.5, -1.0, -0.75, 0.25, 1.5, 2.0])),
    **dict.fromkeys((ops.Fmax, ops.Fmin), quarters | st.just(math.nan)),
    ops.NanToNum: quarters | st.sampled_from([math.nan, math.inf, -math.inf]),
    ops.Copysign: quarters | st.just(-0.0),
    ops.Round: st.floats(-3, 3, width=32),
    **dict.fromkeys((ops.Asin, ops.Acos, ops.Atanh), BETWEEN),
    **dict.fromkeys((ops.BCELoss,), SHARE),
    ops.Acosh: ABOVE_1,
    ops.Tan: BETWEEN,
}
OPTIONS: dict[type[Function], Mapping[str, st.SearchStrategy[Any]]] = {
    ops.Clamp: {"min": st.none() | st.just(-1.0), "max": st.none() | st.just(0.5)},
    ops.LeakyReLU: {"slope": st.sampled_from([0.01, 0.5])},
    ops.ELU: {name: st.sampled_from([1.0, 1.5]) for name in ("alpha", "scale", "rate")},
    ops.Softplus: {"beta": st.sampled_from([1.0, 2.0]), "threshold": st.sampled_from([20.0, 1.0])},
    ops.Hardtanh: {"low": st.just(-0.5), "high": st.just(1.0)},
    ops.SmoothL1Loss: {"beta": st.sampled_from([0.5, 1.0])},
    ops.DivRounded: {"rounding_mode": st.sampled_from(["floor", "trunc"])},
    ops.Round: {"decimals": st.sampled_from([0, 1, -1])},
    ops.NanToNum: {
        "nan": st.just(0.5),
        **dict.fromkeys(("posinf", "neginf"), st.none() | st.just(-1.0)),
    },
    ops.Clone: {"order": st.sampled_from("KC")},
    ops.ToCopy: {"dtype": st.just(np.dtype("float64"))},
}


@st.composite
def doubles(draw: st.DrawFn, shape: tuple[int, ...], values: st.SearchStrategy[float] = quarters) -> Array:
    return np.array([draw(values) for _ in range(math.prod(shape))], np.float64).reshape(shape)


@st.composite
def elementwise(draw: st.DrawFn, function: type[Function]) -> Case:
    names = [name for name in forward_arguments(function) if name not in OPTIONS.get(function, {})]
    values = DOMAINS.get(function, quarters)
    same = function in (ops.BCELoss, ops.BCEWithLogitsLoss, ops.SmoothL1Loss)
    shapes = [draw(SMALL)] * len(names) if same else draw(broadcasting(len(names)))
    inputs: list[Any] = [draw(doubles(shape, values)) for shape in shapes]
    if function is ops.Where:
        inputs[0] = inputs[0] > 0
    elif function is ops.BCEWithLogitsLoss:
        inputs[2] = draw(st.none() | doubles(inputs[0].shape[-1:], POSITIVE))
    elif len(inputs) == 2 and not same and function not in (ops.Hypot, ops.Atan2) and draw(st.booleans()):
        inputs[draw(st.integers(0, 1))] = draw(values)  # a number in place of an array
    return inputs, {name: draw(option) for name, option in OPTIONS.get(function, {}).items()}


def broadcasting(count: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return shapes_that_broadcast(count).filter(lambda shapes: all(0 not in shape for shape in shapes)).map(list)


@st.composite
def expand(draw: st.DrawFn) -> Case:
    shape = draw(SMALL)
    small = tuple(draw(st.sampled_from([1, size])) for size in shape[draw(st.integers(0, len(shape))) :])
    return [draw(doubles(small))], {"shape": shape}


def some_axes(ndim: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, ndim - 1), unique=True).map(tuple) if ndim else st.just(())


@st.composite
def reduction(draw: st.DrawFn, function: type[Function]) -> Case:
    shape = draw(SMALL)
    dim = tuple(range(len(shape))) if function is ops.Max else draw(some_axes(len(shape)))
    options: dict[str, Any] = {"dim": dim, "keepdim": function is not ops.Max and draw(st.booleans())}
    if function is ops.Var:
        options["correction"] = 0
    if function is ops.Norm:
        options["p"] = draw(st.sampled_from([2.0, 1.0, 3.0, 2.5, 0.0, math.inf, -math.inf]))
    values = quarters | st.just(math.nan) if function is ops.Max else quarters
    return [draw(doubles(shape, values))], options


@st.composite
def along_one(draw: st.DrawFn) -> Case:
    shape = draw(SOME)
    scale = draw(st.sampled_from([1, 1000]))  # where exp would overflow
    return [draw(doubles(shape)) * scale], {"dim": draw(st.integers(-len(shape), len(shape) - 1))}


@st.composite
def median(draw: st.DrawFn) -> Case:
    values = quarters | st.just(math.nan) if draw(st.booleans()) else quarters
    return [draw(doubles(draw(SMALL), values))], {"ignore_nan": draw(st.booleans())}


@st.composite
def einsum(draw: st.DrawFn) -> Case:
    subscripts, result = draw(
        st.sampled_from(
            [
                (("ij", "jk"), "ik"),
                (("ij", "jk"), ""),
                (("i", "j"), "ij"),
                (("bij", "bjk", "k"), "bi"),
                (("ii",), "i"),
                (("ii",), ""),
                (("iij", "j"), "ji"),
                (("ij",), "i"),
                (("ij",), "ji"),
                (("ij", "ij"), "ij"),
            ]
        )
    )
    sizes = {letter: draw(st.integers(1, 3)) for letter in "bijk"}
    twice = any(len(set(letters)) < len(letters) for letters in subscripts)
    repeated = st.just(False) if twice else st.booleans()  # an axis of size 1 in one of the inputs
    shapes = [[1 if draw(repeated) else sizes[letter] for letter in letters] for letters in subscripts]
    return [draw(doubles(tuple(shape))) for shape in shapes], {"subscripts": subscripts, "result": result}


@st.composite
def normalize(draw: st.DrawFn) -> Case:
    shape = draw(SOME)
    dim = tuple(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    small = tuple(draw(st.sampled_from([1, size])) for size in shape)
    weights = [draw(st.none() | doubles(small)) for _ in range(2)]
    return [draw(doubles(shape)), *weights], {"dim": dim, "eps": 0.125}


@st.composite
def squares(draw: st.DrawFn) -> Case:
    shape = draw(SMALL)
    return [draw(doubles(shape)), draw(doubles(shape))], {"reduction": draw(st.sampled_from(["none", "mean", "sum"]))}


@st.composite
def likelihood(draw: st.DrawFn) -> Case:
    classes, batch = draw(st.integers(1, 3)), draw(SMALL)
    shape = (*batch[:1], classes, *batch[1:])
    ignored = draw(st.sampled_from([-100, 0]))
    target = draw(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    weight = draw(st.none() | doubles((classes,), POSITIVE))
    return [draw(doubles(shape)), target, weight], {
        "ignore_index": ignored,
        "reduction": draw(st.sampled_from(["none", "mean", "sum"])),
    }


@st.composite
def linear(draw: st.DrawFn) -> Case:
    leading, (inside, out) = draw(SMALL), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    bias = draw(st.none() | doubles((out,)))
    return [draw(doubles((*leading, inside))), draw(doubles((out, inside))), bias], {}


@st.composite
def matmul(draw: st.DrawFn) -> Case:
    rows, inner, columns = (draw(st.integers(1, 3)) for _ in range(3))
    if draw(st.booleans()):
        batch_a, batch_b = draw(broadcasting(2))
        return [draw(doubles((*batch_a, rows, inner))), draw(doubles((*batch_b, inner, columns)))], {}
    batch = draw(SMALL)
    shapes = draw(
        st.sampled_from([((inner,), (inner,)), ((inner,), (*batch, inner, columns)), ((*batch, rows, inner), (inner,))])
    )
    return [draw(doubles(shape)) for shape in shapes], {}


pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))


@st.composite
def convolution(draw: st.DrawFn) -> Case:
    groups, each, out = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, dilation = draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    image = tuple(dilation[i] * (kernel[i] - 1) + 1 + draw(st.integers(0, 2)) for i in (0, 1))
    x = draw(doubles((draw(st.integers(1, 2)), groups * each, *image)))
    weight, bias = draw(doubles((groups * out, each, *kernel))), draw(st.none() | doubles((groups * out,)))
    return [x, weight, bias], {"stride": draw(pairs), "padding": padding, "dilation": dilation, "groups": groups}


@st.composite
def pooling(draw: st.DrawFn) -> Case:
    size, dilation = draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, size[i] // 2)) for i in (0, 1))
    ceil = (int(size[0] > 1 and not padding[0]), 0)  # no window lies beyond the image altogether
    image = tuple(dilation[i] * (size[i] - 1) + 1 + draw(st.integers(0, 2)) for i in (0, 1))
    options = {"size": size, "stride": draw(pairs), "padding": padding, "dilation": dilation, "ceil": ceil}
    return [draw(doubles((1, 2, *image)))], options


@st.composite
def averaging(draw: st.DrawFn) -> Case:
    [x], options = draw(pooling())
    size, stride, padding, ceil = (options[name] for name in ("size", "stride", "padding", "ceil"))
    lengths = [x.shape[2 + i] + 2 * padding[i] + ceil[i] for i in (0, 1)]
    x = np.pad(x, ((0, 0), (0, 0), *((0, max(size[i] - lengths[i], 0)) for i in (0, 1))))
    windows = tuple((max(lengths[i], size[i]) - size[i]) // stride[i] + 1 for i in (0, 1))
    counts = draw(doubles(windows, POSITIVE)) if draw(st.booleans()) else np.full(windows, 4.0)
    return [x, counts], {"size": size, "stride": stride, "padding": padding, "ceil": ceil}


@st.composite
def reshape(draw: st.DrawFn) -> Case:
    shape = draw(SMALL)
    sizes = draw(st.permutations(prime_factors(math.prod(shape)) + [1] * draw(st.integers(0, 2))))
    cut = draw(st.integers(0, len(sizes)))
    other = (*sizes[:cut], math.prod(sizes[cut:])) if draw(st.booleans()) else tuple(sizes)
    keep = draw(st.integers(0, len(shape)))  # leading axes in common
    other = draw(st.sampled_from([other, (*shape[:keep], math.prod(shape[keep:]))]))
    return [draw(doubles(shape))], {"shape": other}


def prime_factors(n: int) -> list[int]:
    for p in range(2, n + 1):
        if n % p == 0:
            return [p, *prime_factors(n // p)]
    return []


@st.composite
def flatten(draw: st.DrawFn) -> Case:
    shape = draw(SOME)
    start = draw(st.integers(0, len(shape) - 1))
    return [draw(doubles(shape))], {"start_dim": start, "end_dim": draw(st.integers(start, len(shape) - 1))}


@st.composite
def transpose(draw: st.DrawFn) -> Case:
    shape = draw(SOME)
    axis = st.integers(-len(shape), len(shape) - 1)
    return [draw(doubles(shape))], {"dim0": draw(axis), "dim1": draw(axis)}


@st.composite
def permute(draw: st.DrawFn) -> Case:
    shape = draw(SMALL)
    return [draw(doubles(shape))], {"dims": tuple(draw(st.permutations(range(len(shape)))))}


@st.composite
def index(draw: st.DrawFn) -> Case:
    chosen = draw(
        st.sampled_from([1, slice(1, None), np.array([2, 0, 2]), (slice(None), 1), np.array([True, False, True])])
    )
    return [draw(doubles((3, 2)))], {"index": chosen}


@st.composite
def index_put(draw: st.DrawFn) -> Case:
    chosen, shape = draw(
        st.sampled_from([((1,), (2,)), ((slice(1, None),), (2,)), ((slice(None), 1), ()), ((0,), (1,))])
    )
    return [draw(doubles((3, 2))), draw(doubles(shape))], {"index": chosen}


CASES: dict[type[Function], st.SearchStrategy[Case]] = {
    **{function: elementwise(function) for function in ELEMENTWISE},
    **{f: reduction(f) for f in (ops.Sum, ops.Mean, ops.Var, ops.Amax, ops.Max, ops.LogSumExp, ops.Norm, ops.Prod)},
    **dict.fromkeys((ops.Softmax, ops.LogSoftmax, ops.LogCumsumExp), along_one()),
    **dict.fromkeys(
        (ops.Cumsum, ops.Cumprod),
        SMALL.flatmap(
            lambda shape: st.tuples(
                st.tuples(doubles(shape)).map(list),
                st.fixed_dictionaries({"dim": st.integers(-max(len(shape), 1), max(len(shape) - 1, 0))}),
            )
        ),
    ),
    ops.Median: median(),
    ops.Einsum: einsum(),
    ops.AvgPool2d: averaging(),
    ops.Expand: expand(),
    ops.Normalize: normalize(),
    ops.MSELoss: squares(),
    ops.NLLLoss: likelihood(),
    ops.Linear: linear(),
    ops.Matmul: matmul(),
    ops.Conv2d: convolution(),
    ops.MaxPool2d: pooling(),
    ops.Reshape: reshape(),
    ops.Flatten: flatten(),
    ops.Transpose: transpose(),
    ops.Permute: permute(),
    ops.Index: index(),
    ops.IndexPut: index_put(),
    ops.ViewPut: st.tuples(
        st.tuples(doubles((3, 2)), doubles((3,))).map(list), st.just({"view": lambda array: array[:, 1]})
    ),
    ops.Cat: st.tuples(st.tuples(doubles((3, 2)), doubles((3, 1))).map(list), st.just({"dim": 1})),
    ops.Flip: st.tuples(st.tuples(doubles((3, 2))).map(list), st.just({"dims": (0,)})),
    ops.Roll: st.tuples(st.tuples(doubles((3, 2))).map(list), st.just({"shifts": (1,), "dims": (0,)})),
    ops.Diagonal: st.tuples(st.tuples(doubles((3, 3))).map(list), st.just({"offset": 1, "dim1": 0, "dim2": 1})),
    ops.Unfold: st.tuples(st.tuples(doubles((2, 4))).map(list), st.just({"dim": 1, "size": 2, "step": 1})),
}


def forward_arguments(function: type[Function]) -> list[str]:
    code = function.forward.__code__
    return list(code.co_varnames[1 : code.co_argcount])


def recorded(function: type[Function], case: Case) -> study.Step:
    """A step of this one operation; each input of floats asks for its gradient."""
    inputs, options = case
    given: list[Any] = []
    for x in inputs:
        given.append(wrap(x) if isinstance(x, np.ndarray) else x)
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            given[-1]._requires_grad = True
    with study.recording() as step:
        y = apply(function, *given, **options)
        if y.requires_grad:
            start = 1 + np.arange(y.numel(), dtype=np.float64).reshape(y.shape) / 8
            y.backward(wrap(start))
    return step


def hold_rules_against(step: study.Step) -> int:
    """Evaluate the rules of the step's operations for every entry. Returns how many arrays were held against."""
    count = 0
    for operation in step.ops:
        value, gradients = rules_of(step, operation)
        assert value is not None
        for rule in [value, *[x for x in gradients if x is not None]]:
            hold(step, rule)
            count += 1
    return count


def hold(step: study.Step, rule: Rule) -> None:
    def reader(ref: Any) -> Any:
        return read(step, ref)

    array = reader(rule.entry[1])
    for place in np.ndindex(*array.shape):
        at = rule.at(place)
        value = evaluate(rule.value, at, reader) or 0.0
        np.testing.assert_allclose(value, array[place], rtol=1e-7, atol=1e-9, err_msg=formula(step, rule))
        for condition, _ in rule.sentence:
            assert condition is None or evaluate(condition, at, reader) in (0, 1)
        parts = [evaluate(["mul", *factors], there, reader) or 0.0 for factors, there in terms(rule.value, at, reader)]
        np.testing.assert_allclose(math.fsum(parts), array[place], rtol=1e-7, atol=1e-9)
        if rule.together is not None:
            np.testing.assert_allclose(evaluate(rule.together, at, reader), array[place], rtol=1e-7, atol=1e-9)


def test_every_declaration_is_tried() -> None:
    assert set(CASES) == set(DECLARATIONS)


def test_every_operation_is_declared_or_says_why_not() -> None:
    public = [getattr(ops, name) for name in ops.__all__]
    functions = {x for x in public if isinstance(x, type) and issubclass(x, Function) and x is not Function}
    assert len(functions) > 100
    assert functions - set(DECLARATIONS) == set(NOT_DECLARED)
    assert all(reason.endswith(".") for reason in NOT_DECLARED.values())


@pytest.mark.parametrize("function", DECLARATIONS, ids=lambda function: function.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_declaration_says_what_forward_and_backward_do(function: type[Function], data: st.DataObject) -> None:
    case = data.draw(CASES[function])
    step = recorded(function, case)
    asked = sum(isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in case[0])
    if function in (ops.NLLLoss, ops.BCEWithLogitsLoss):  # no gradient of the classes' weights
        asked -= case[0][2] is not None
    if function is ops.AvgPool2d or case[1].get("p") == 0:  # none of the windows' sizes; a count has no slope
        asked -= 1
    assert hold_rules_against(step) == 1 + asked


def row(*numbers: float) -> Array:
    return np.array(numbers, np.float64)


# Both sides of each branch, at it, and where it is not defined.
EDGES: list[tuple[type[Function], Case]] = [
    (ops.Pow, ([row(0, 0, 2, 2, 1), row(0, 2, 0, 3, 0)], {})),
    (ops.Xlogy, ([row(0, 0, 0, 0, 2, 1), row(2, 0, -1, math.nan, 3, 1)], {})),
    (ops.Atan2, ([row(0, 0, 2, -1), row(0, 3, 0, -1)], {})),
    (ops.Fmax, ([row(1, 1, math.nan, 2, math.nan), row(1, math.nan, 1, 3, math.nan)], {})),
    (ops.Fmin, ([row(1, 1, math.nan, 2, math.nan), row(1, math.nan, 1, 3, math.nan)], {})),
    (ops.Copysign, ([row(0, 2, -2, 3), row(-1, -0.0, 0.0, -3)], {})),
    (ops.Clamp, ([row(-2, -1, 0, 1, 2)], {"min": -1.0, "max": 1.0})),
    (ops.Hardtanh, ([row(-2, -1, 0, 1, 2)], {"low": -1.0, "high": 1.0})),
    (ops.ELU, ([row(-2, 0, 2)], {"alpha": 1.5, "scale": 0.5, "rate": 2.0})),
    (ops.Softplus, ([row(-3, 0.75, 3)], {"beta": 2.0, "threshold": 1.0})),
    (ops.Sinc, ([row(0, 0.5, 1)], {})),
    (ops.Round, ([row(0.5, 1.5, -0.5, -2.5)], {"decimals": 0})),
    (ops.BCELoss, ([row(0, 1, 0.25), row(0, 1, 0.5)], {})),
    (ops.SmoothL1Loss, ([row(0, 0.5, 2, -2), row(0, 0, 0, 0)], {"beta": 0.5})),
    (ops.Max, ([row(1, 3, 3)], {"dim": (0,), "keepdim": False})),
    (ops.Amax, ([row(1, 3, 3)], {"dim": (0,), "keepdim": False})),
    (ops.Max, ([row(1, math.nan, math.nan)], {"dim": (0,), "keepdim": False})),
    (ops.Amax, ([np.array([[1, math.nan], [2, 3]])], {"dim": (1,), "keepdim": False})),
    (ops.Median, ([row(1, 3, 2, 2)], {"ignore_nan": False})),
    (ops.Median, ([row(1, math.nan, 2, math.nan)], {"ignore_nan": False})),
    (ops.Median, ([row(1, math.nan, 2, 4)], {"ignore_nan": True})),
    *((ops.Norm, ([row(0, 2, -2, 1)], {"p": p, "dim": (0,), "keepdim": False})) for p in (1.0, 2.0, 3.0, math.inf)),
    (ops.Norm, ([row(0, 0)], {"p": 2.0, "dim": (0,), "keepdim": True})),
    (ops.Prod, ([row(0, 2, 3)], {"dim": (0,), "keepdim": False})),
    (ops.Cumprod, ([row(2, 0, 3, 4)], {"dim": 0})),
    (ops.NanToNum, ([row(math.nan, math.inf, -math.inf, 1)], {"nan": 2.0, "posinf": None, "neginf": -3.0})),
]


@pytest.mark.parametrize(("function", "case"), EDGES, ids=lambda x: x.__name__ if isinstance(x, type) else "")
def test_a_declaration_holds_at_its_edges(function: type[Function], case: Case) -> None:
    assert hold_rules_against(recorded(function, case)) >= 2


# A declaration that says something else is found out.


def broken(declaration: Declaration, name: str, change: Callable[[str], str]) -> Declaration:
    """The declaration with one of its texts changed, right of the =."""

    def rules(setting: Any) -> Mapping[str, str]:
        texts = dict(declaration.rules(setting) if callable(declaration.rules) else declaration.rules)
        left, equals, right = texts[name].rpartition(" = ")
        return {**texts, name: f"{left}{equals}{change(right)}"}

    return dataclasses.replace(declaration, rules=rules)


def example(function: type[Function]) -> Case:
    """A case with numbers that no change leaves as they are."""
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> Array:
        return rng.uniform(0.1, 0.9, shape)

    options: dict[str, Any] = {}
    special: dict[type[Function], Case] = {
        ops.NLLLoss: ([numbers(4, 3), np.array([0, 2, 1, 2]), None], {"ignore_index": -100, "reduction": "mean"}),
        ops.Linear: ([numbers(4, 3), numbers(3, 3), numbers(3)], {}),
        ops.Matmul: ([numbers(3, 3), numbers(3, 3)], {}),
        ops.Conv2d: (
            [numbers(2, 2, 5, 5), numbers(2, 2, 2, 2), numbers(2)],
            {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1},
        ),
        ops.MaxPool2d: (
            [numbers(2, 2, 5, 5)],
            {"size": (2, 2), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "ceil": (0, 0)},
        ),
        ops.MSELoss: ([numbers(2, 3), numbers(2, 3)], {"reduction": "mean"}),
        ops.Normalize: ([numbers(4, 3), numbers(1, 3), numbers(1, 3)], {"dim": (0,), "eps": 0.1}),
        ops.Reshape: ([numbers(2, 6)], {"shape": (3, 4)}),
        ops.Flatten: ([numbers(2, 3, 2)], {"start_dim": 1, "end_dim": 2}),
        ops.Transpose: ([numbers(3, 3)], {"dim0": 0, "dim1": 1}),
        ops.Permute: ([numbers(2, 3, 4)], {"dims": (2, 0, 1)}),
        ops.Expand: ([numbers(3)], {"shape": (2, 3)}),
        ops.Acosh: ([1 + numbers(3)], {}),
        ops.Clamp: ([numbers(3)], {"min": 0.2, "max": 0.8}),
        ops.Hardtanh: ([numbers(3)], {"low": 0.05, "high": 0.95}),
        ops.BCEWithLogitsLoss: ([numbers(3), numbers(3), None], {}),
        ops.Var: ([numbers(4, 3)], {"dim": (0,), "keepdim": False, "correction": 1}),
        ops.Where: ([np.array([True, False, True]), numbers(3), numbers(3)], {}),
        **{
            f: ([numbers(4, 3)], {"dim": -1})
            for f in (ops.Softmax, ops.LogSoftmax, ops.LogCumsumExp, ops.Cumsum, ops.Cumprod)
        },
        **{
            f: ([numbers(4, 3)], {"dim": (1,), "keepdim": False})
            for f in (ops.Sum, ops.Mean, ops.Amax, ops.LogSumExp, ops.Prod)
        },
        ops.Norm: ([numbers(4, 3)], {"p": 2.0, "dim": (1,), "keepdim": False}),
        ops.Median: ([numbers(4, 3)], {"ignore_nan": False}),
        ops.Einsum: ([numbers(2, 3, 3), numbers(2, 3)], {"subscripts": ("nii", "ni"), "result": "n"}),
        ops.AvgPool2d: (
            [numbers(2, 2, 5, 5), 1 + numbers(3, 3)],
            {"size": (2, 2), "stride": (2, 2), "padding": (1, 1), "ceil": (0, 0)},
        ),
        **{f: ([5 * numbers(4, 3)], {}) for f in (ops.Floor, ops.Trunc)},
        ops.Round: ([5 * numbers(4, 3)], {"decimals": 1}),
        **{f: ([5 * numbers(4, 3), numbers(4, 3)], {}) for f in (ops.Fmod, ops.Remainder)},
        ops.DivRounded: ([5 * numbers(4, 3), numbers(4, 3)], {"rounding_mode": "floor"}),
        ops.NanToNum: ([numbers(4, 3)], {"nan": 0.0, "posinf": None, "neginf": None}),
        ops.Max: ([numbers(4, 3)], {"dim": (0, 1), "keepdim": False}),
    }
    if function in special:
        return special[function]
    draws = {
        name: {"slope": 0.1, "order": "K", "dtype": np.dtype("f8")}.get(name, 1.0) for name in OPTIONS.get(function, {})
    }
    return [numbers(4, 3) for name in forward_arguments(function) if name not in draws], {**options, **draws}


def in_texts() -> list[tuple[type[Function], str]]:
    """Every declared text, by its operation and its name."""
    found = []
    for function, declaration in DECLARATIONS.items():
        if declaration.rules is not MOVED:
            value, gradients = rules_of(step := recorded(function, example(function)), step.ops[0])
            names = ["y"] if value else []
            arguments = map(identifier, step.ops[0].arguments)
            names += [f"d{name}" for name, x in zip(arguments, gradients, strict=True) if x is not None]
            found += [(function, name) for name in names]
    return found


def slightly_more(text: str) -> str:
    return "0.01" if text == "0" else f"1.01 * ({text})"


@pytest.mark.parametrize(("function", "name"), in_texts(), ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_declaration_that_says_something_else_is_found_out(
    function: type[Function], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = recorded(function, example(function))
    assert hold_rules_against(step) >= 2
    json.dumps(step.data()[0], allow_nan=False)
    monkeypatch.setitem(DECLARATIONS, function, broken(DECLARATIONS[function], name, slightly_more))
    with pytest.raises(AssertionError):
        hold_rules_against(step)


@pytest.mark.parametrize(
    ("function", "name", "old", "new"),
    [
        (ops.Linear, "y", "weight[o, i]", "weight[i, o]"),
        (ops.Linear, "y", " + bias[o]", ""),
        (ops.Linear, "dx", "weight[o, i]", "weight[i, o]"),
        (ops.Linear, "dweight", "x[..., i]", "x[..., o]"),
        (ops.ReLU, "dx", "y > 0", "y < 0"),
        (ops.Div, "db", "-dy", "dy"),
        (ops.Mul, "da", "dy * b", "dy * a"),
        (ops.Mean, "dx", " / count", ""),
        (ops.LogSoftmax, "dx", " * along(dy)", ""),
        (ops.Softmax, "dx", "along(dy * y)", "dy * y"),
        (ops.NLLLoss, "dx", "-dy", "dy"),
        (ops.NLLLoss, "dx", " / total", ""),
        (ops.MSELoss, "dtarget", "-2", "2"),
        (ops.Normalize, "dx", "along(dy * weight) / count", "0"),
        (ops.Conv2d, "y", "- padding[0]", ""),
        (ops.Conv2d, "dx", "/ stride[1]", ""),
        (ops.Conv2d, "dweight", "p * dilation[0]", "q * dilation[0]"),
        (ops.MaxPool2d, "dx", "p * width + q", "q * width + p"),
        (ops.AvgPool2d, "y", "/ divisor[i, j]", ""),
        (ops.AvgPool2d, "dx", "dy[n, c, (i + padding[0]", "dy[n, c, (i"),
        (ops.Einsum, "y", "arrays0[n, i, i]", "arrays0[n, 0, i]"),
        (ops.Einsum, "darrays0", "where(i == ii, ", "where(i != ii, "),
        (ops.Einsum, "darrays1", "dy[n]", "dy[i]"),
        (ops.Norm, "dx", " / y", ""),
        (ops.Prod, "dx", "others", "product"),
        (ops.Cumsum, "y", "- k", "+ k"),
        (ops.Cumprod, "dx", "where(k == p, 1, x[n, i + k - p])", "x[n, i + k - p]"),
        (ops.LogCumsumExp, "dx", "exp(x[n, i]", "exp(x[n, i + k]"),
        (ops.Var, "dx", "2 * ", ""),
        (ops.Max, "dx", "x == y", "x != y"),
        (ops.SmoothL1Loss, "dx", "abs(x - target) < beta", "abs(x - target) > beta"),
        (ops.Erf, "dx", "exp(-x**2)", "exp(-x)"),
        (ops.Fmod, "y", "trunc", "ceil"),
        (ops.Flatten, "y", "% 2", "% 3"),
        (ops.Permute, "dx", "dy[n, i, j]", "dy[n, j, i]"),
    ],
)
def test_the_usual_slips_in_a_declaration_are_found_out(
    function: type[Function], name: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = recorded(function, example(function))

    def change(text: str) -> str:
        assert old in text, text
        return text.replace(old, new, 1)

    monkeypatch.setitem(DECLARATIONS, function, broken(DECLARATIONS[function], name, change))
    with pytest.raises((AssertionError, ValueError)):
        hold_rules_against(step)


# What an explanation says.


def small_step(x: Array) -> study.Step:
    torch = minitrain
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    with minitrain.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]))
        model[0].bias.copy_(torch.tensor([0.5, 0.0]))
        model[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]))
        model[2].bias.copy_(torch.tensor([0.0, 0.25, 0.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with study.recording(model, optimizer) as step:
        loss = nn.CrossEntropyLoss()(model(wrap(x)), torch.tensor([0, 2]))
        loss.backward()
        optimizer.step()
    return step


X = np.array([[1.0, 2.0], [3.0, 0.0]], np.float32)


def test_a_value_is_a_sum_with_its_factors_and_where_they_come_from() -> None:
    entry = small_step(X).explain("a", (0, 0))
    assert (entry.name, entry.formula) == ("a[0, 0]", "a[n, o] = Σ_i X[n, i] · W1[o, i] + b1[o]")
    assert [term.value for term in entry.terms] == [1.0, 4.0, 0.5]
    assert entry.total == entry.exact == 5.5
    (x, w), (b,) = (entry.terms[i].factors for i in (1, 2))
    assert (x.text, x.of, x.index) == ("X[0, 1]", "value", (0, 1))
    assert (w.text, w.of, w.index) == ("W1[0, 1]", "value", (0, 1))
    assert (b.text, b.index) == ("b1[0]", (0,))


def test_a_gradient_is_a_sum_over_the_batch() -> None:
    step = small_step(X)
    entry = step.explain("W2", (1, 0), "grad")
    assert entry.name == "dL/dW2[1, 0]"
    assert entry.formula == "dL/dW2[o, i] = Σ_n dL/dz[n, o] · h[n, i]"
    assert [factor.text for term in entry.terms for factor in term.factors] == [
        "dL/dz[0, 1]", "h[0, 0]", "dL/dz[1, 1]", "h[1, 0]",
    ]  # fmt: skip
    grad = step["z"].grad
    assert grad is not None
    expected = grad[:, 1].astype(float) @ step["h"].value[:, 0].astype(float)
    assert entry.total == pytest.approx(expected, rel=1e-12)
    assert entry.exact == float(step["W2"].grad[1, 0])
    assert float(np.float32(entry.shortest)) == entry.exact


def test_a_shut_relu_says_so() -> None:
    step = small_step(X)
    assert step.explain("a", (1, 1), "grad").sentence.startswith("ReLU set this number to 0: a small change")
    assert step.explain("a", (1, 1), "grad").total == 0
    assert step.explain("a", (0, 0), "grad").sentence.startswith("ReLU passed this number on")


def test_softmax_and_the_loss_in_one() -> None:
    step = small_step(X)
    rule = rules_of(step, step.ops[3])[1][0]
    assert rule is not None
    assert rule.together is not None
    in_one = dataclasses.replace(rule, value=rule.together)
    assert formula(step, in_one) == "dL/dz[n, i] = (exp(logp[n, i]) - [i = t[n]]) · dL/dL / 2"
    hold_with = dataclasses.replace(in_one, together=None)
    z = step["z"].value.astype(float)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    for place in np.ndindex(2, 3):
        value = evaluate(hold_with.value, hold_with.at(place), lambda ref: read(step, ref))
        assert value == pytest.approx((p[place] - (place[1] == [0, 2][place[0]])) / 2, rel=1e-4)


def test_a_maximum_is_its_largest_entry() -> None:
    x = minitrain.tensor([[[[1.0, 5.0], [5.0, 2.0]]]], requires_grad=True)
    with study.recording() as step:
        nn.functional.max_pool2d(x, 2).sum().backward()
    entry = step.explain(1, (0, 0, 0, 0))
    ((factor,),) = [term.factors for term in entry.terms]
    assert (factor.tensor, factor.index, factor.value) == (0, (0, 0, 0, 1), 5.0)  # the first of equal ones
    rule = rules_of(step, step.ops[0])[0]
    assert rule is not None
    assert rule.table is not None
    assert rule.table[0] == [("p", 2), ("q", 2)]


def test_a_compound_names_the_entries_that_it_is_computed_from() -> None:
    entry = small_step(X).explain("logp", (0, 1))
    compound = next(f for term in entry.terms for f in term.factors if f.text.startswith("ln"))
    assert [(part.text, part.index) for part in compound.parts] == [(f"z[0, {k}]", (0, k)) for k in range(3)]
    assert all(part.text in str(entry) for part in compound.parts)


def test_the_factors_of_a_quotient_are_its_numerator_and_a_reciprocal() -> None:
    w = minitrain.tensor([2.0, 3.0], requires_grad=True)
    with study.recording() as step:
        (minitrain.tensor([1.0, 6.0]) / w).sum().backward()
    (term,) = step.explain(2, (1,)).terms
    assert [(f.text, f.index, f.value) for f in term.factors] == [("t0[1]", (1,), 6.0), ("1 / t1[1]", None, 1 / 3)]
    assert [part.index for part in term.factors[1].parts] == [(1,)]


def test_an_operation_without_a_declaration_says_why() -> None:
    x = minitrain.tensor([[2.0, 1.0], [0.0, 1.0]], requires_grad=True)
    with study.recording() as step:
        minitrain.linalg.inv(x).sum().backward()
    for entry in (step.explain(1, (0, 1)), step.explain(0, (0, 1), "grad")):
        assert entry.sentence == NOT_DECLARED[ops.Inv]
        assert (entry.terms, entry.total) == ((), None)
        assert entry.lines
    assert step.data()[0]["ops"][0]["undeclared"] == NOT_DECLARED[ops.Inv]


def test_the_line_of_the_library_is_shown() -> None:
    for function, name, place, text in (
        (ops.Linear, "y", 0, "y = as_rows(x) @ weight.T"),
        (ops.Linear, "dweight", 1, "grad_weight = transposed_product"),
        (ops.ReLU, "dx", 0, "return zeroed(grad_y, y <= 0)"),
        (ops.LogSoftmax, "y", 0, "y = shifted - np.log"),
        (ops.NLLLoss, "dx", 0, "grad_rows[kept, labels] = -w * grad_y"),
    ):
        lines = lines_of(function, name, place)
        assert any(line.startswith(text) for _, line in lines), (function, lines)
        source = Path(function.forward.__code__.co_filename).read_text(encoding="utf-8").splitlines()
        assert all(source[number - 1].strip() == line for number, line in lines)


def test_an_operation_that_declares_nothing_shows_its_formula_and_its_source() -> None:
    class Tripled(ops.Function):
        """y = 3x;  dL/dx = 3 dL/dy."""

        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return 3 * x

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            return 3 * grad_y

    w = minitrain.ones(2, requires_grad=True)
    with study.recording() as step:
        apply(Tripled, w).sum().backward()
    value = step.explain(1, (0,))
    assert (value.exact, value.formula, value.terms, value.total) == (3.0, "y = 3x; dL/dx = 3 dL/dy", (), None)
    assert [text for _, text in value.lines] == ["return 3 * x"]
    gradient = step.explain(0, (1,), "grad")
    assert (gradient.exact, gradient.place) == (3.0, "Tripled, backward")
    assert [text for _, text in gradient.lines] == ["return 3 * grad_y"]
    document, _ = step.data()
    assert document["ops"][0]["rule"] is None
    assert "return 3 * grad_y" in document["ops"][0]["backward"]["text"]


def test_a_value_used_twice_shows_each_gradient_and_their_sum() -> None:
    w = minitrain.tensor([2.0, 3.0], requires_grad=True)
    with study.recording() as step:
        (w * w + w).sum().backward()
    entry = step.explain(0, (1,), "grad")
    assert entry.exact == entry.total == 7.0
    assert [share.exact for share in entry.shares] == [3.0, 3.0, 1.0]
    assert [share.total for share in entry.shares] == [3.0, 3.0, 1.0]


def test_where_backward_starts_is_said() -> None:
    entry = small_step(X).explain("L", (), "grad")
    assert entry.exact == 1
    assert entry.sentence.startswith("Backward starts here")


def test_an_entry_that_is_not_there_is_refused() -> None:
    step = small_step(X)
    with pytest.raises(KeyError, match="X has no grad"):
        step.explain("X", (0, 0), "grad")
    with pytest.raises(KeyError, match="no tensor is called 'Q'"):
        step.explain("Q")
    with pytest.raises(IndexError):
        step.explain("X", (7, 7))
    with pytest.raises(IndexError, match="needs 2 indices"):
        step.explain("X", (0,))


def test_expressions_survive_json() -> None:
    """A page evaluates what the document holds: it is the same expression, with arrays by number."""
    document, arrays = small_step(X).data()
    again = json.loads(json.dumps(document))

    def reader(ref: Any) -> Any:
        place = ref["blob"] if "blob" in ref else again["tensors"][ref["tensor"]][ref["of"]]["blob"]
        return arrays[place]

    count = 0
    for operation in again["ops"]:
        rules: list[Any] = [operation["rule"], *operation["gradients"]]
        for rule in [x for x in rules if x is not None]:
            expression: Expression = rule["value"]
            array = reader(rule["entry"][1])
            for place in np.ndindex(*array.shape):
                at = dict(zip(rule["axes"], place, strict=True))
                assert evaluate(expression, at, reader) == pytest.approx(float(array[place]), rel=1e-5, abs=1e-7)
            count += 1
    assert count == 13


def test_an_infinite_option_does_not_stop_the_document() -> None:
    step = recorded(ops.Hardtanh, ([np.array([-1.0, 2.0])], {"low": 0.0, "high": math.inf}))
    assert hold_rules_against(step) == 2
    json.dumps(step.data()[0], allow_nan=False)
    assert step.explain("L", (1,)).formula == "L[i] = min(max(t0[i], 0), inf)"


def test_every_operation_says_what_it_is_for() -> None:
    for function in (*DECLARATIONS, *NOT_DECLARED):
        assert purpose_of(function).endswith("."), function
    assert purpose_of(type("Mine", (Function,), {"__module__": "mine"})) == ""
