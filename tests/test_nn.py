"""minitrain.nn's modules are torch's: values and gradients, first weights, attributes, state, memory and words."""

import copy
import inspect
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import minitrain
from minitrain import nn
from minitrain.nn import functional, init
from minitrain.ops import Array
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor, wrap
from tests import strategies as own
from tests.comparing import (
    MINITRAIN,
    TORCH,
    Library,
    Outcome,
    absolute,
    assert_agree,
    magnitude_of_products,
    magnitude_of_units,
    refused,
    refused_as_in_torch,
    same_as_in_torch,
)
from tests.test_random import torch_takes_mkls_bernoulli

# --- a case for every Module: how it is made, what it is given, what its errors are measured by -----------------------


class Call(NamedTuple):
    """A Module's name, its parts if it has any, its options, and what its forward is given."""

    name: str
    options: Mapping[str, Any] = MappingProxyType({})
    parts: tuple["Call", ...] = ()
    inputs: tuple[Array, ...] = ()


class Case(NamedTuple):
    """How to test a Module: calls for each float dtype, and the size of the terms (see comparing.py)."""

    calls: Callable[[str], st.SearchStrategy[Call]]
    magnitude: Callable[..., Outcome] | None = None  # None: each element is one term


# The layers and losses that the tutorial's reader meets; test_layers.py has the others.
TUTORIALS = ("minitrain.nn.layers", "minitrain.nn.loss")

MODULES = {
    name: member for name, member in vars(nn).items() if inspect.isclass(member) and member.__module__ in TUTORIALS
}

at_least_1d = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)
sizes = st.integers(1, 5)
# Where torch draws Dropout's mask with Intel's MKL, only masks that need no draw can be compared.
probabilities = st.sampled_from([0.0, 1.0]) if torch_takes_mkls_bernoulli() else st.sampled_from([0, 0.1, 0.5, 0.9, 1])


def elementwise(name: str, **options: st.SearchStrategy[Any]) -> Callable[[str], st.SearchStrategy[Call]]:
    def calls(dtype: str) -> st.SearchStrategy[Call]:
        x = own.arrays(dtype=dtype, finite=True)
        return st.builds(lambda x, chosen: Call(name, chosen, inputs=(x,)), x, st.fixed_dictionaries(options))

    return calls


@st.composite
def along_an_axis(draw: st.DrawFn, name: str, dtype: str) -> Call:
    x = draw(own.arrays(dtype=dtype, finite=True))
    return Call(name, {"dim": draw(own.axes(x.ndim))}, inputs=(x,))


@st.composite
def flattened(draw: st.DrawFn, dtype: str) -> Call:
    x = draw(own.arrays(at_least_1d, dtype))
    start, end = sorted([draw(st.integers(0, x.ndim - 1)), draw(st.integers(0, x.ndim - 1))])
    options = {"start_dim": start, "end_dim": end - draw(st.sampled_from([0, x.ndim]))}
    return Call("Flatten", {} if x.ndim > 1 and draw(st.booleans()) else options, inputs=(x,))


@st.composite
def linear(draw: st.DrawFn, dtype: str) -> Call:
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    options = {"in_features": draw(sizes), "out_features": draw(sizes), "bias": draw(st.booleans()), "dtype": dtype}
    return Call("Linear", options, inputs=(draw(own.arrays((*batch, options["in_features"]), dtype, finite=True)),))


@st.composite
def sequential(draw: st.DrawFn, dtype: str) -> Call:
    first = draw(linear(dtype))
    width = first.options["out_features"]
    last = Call("Linear", {"in_features": width, "out_features": draw(sizes), "dtype": dtype})
    activation = Call("ReLU", {"inplace": draw(st.booleans())})
    return Call(
        "Sequential", parts=draw(st.sampled_from([(first, activation, last), (first,), ()])), inputs=first.inputs
    )


@st.composite
def squared(draw: st.DrawFn, dtype: str) -> Call:
    shape = draw(own.shapes)
    inputs = tuple(draw(own.arrays(shape, dtype, finite=True)) for _ in range(2))
    return Call("MSELoss", {"reduction": draw(own.reductions)}, inputs=inputs)


@st.composite
def classified(draw: st.DrawFn, name: str, dtype: str) -> Call:
    smooth = name == "CrossEntropyLoss"
    problem = draw(own.classifications(dtype, weighted=False, finite=True, label_smoothing=smooth))
    return Call(name, problem.options, inputs=(problem.scores, problem.target))


CASES = {
    "CrossEntropyLoss": Case(lambda dtype: classified("CrossEntropyLoss", dtype), magnitude_of_units),
    "Dropout": Case(elementwise("Dropout", p=probabilities, inplace=st.booleans())),
    "Flatten": Case(flattened),
    "Linear": Case(linear, magnitude_of_products),
    "LogSoftmax": Case(lambda dtype: along_an_axis("LogSoftmax", dtype), magnitude_of_units),
    "MSELoss": Case(squared),
    "NLLLoss": Case(lambda dtype: classified("NLLLoss", dtype), magnitude_of_products),
    "ReLU": Case(elementwise("ReLU", inplace=st.booleans())),
    "Sequential": Case(sequential, magnitude_of_products),
    "Sigmoid": Case(elementwise("Sigmoid"), magnitude_of_units),
    "Softmax": Case(lambda dtype: along_an_axis("Softmax", dtype), magnitude_of_units),
    "Tanh": Case(elementwise("Tanh"), magnitude_of_units),
}

every_module = pytest.mark.parametrize("name", sorted(MODULES))


def test_every_module_has_a_case() -> None:
    assert set(CASES) == set(MODULES)


def build(torch: Any, call: Call) -> Any:
    """The Module, from torch or from minitrain in torch's place."""
    options = {key: getattr(torch, value) if key == "dtype" else value for key, value in call.options.items()}
    return getattr(torch.nn, call.name)(*(build(torch, part) for part in call.parts), **options)


def evaluate(library: Library, module: Any, inputs: tuple[Array, ...], grad_y: Array | None) -> Outcome:
    """The Module's value, and the gradients of its inputs and of its parameters."""
    leaves = [library.tensor(x).requires_grad_(x.dtype.kind == "f") for x in inputs]
    library.module.manual_seed(7)  # Dropout draws
    y = module(*(leaf.clone() for leaf in leaves))  # a clone may be written in place
    if grad_y is not None:
        y.backward(library.tensor(grad_y))
    grads = [leaf.grad for leaf in (*leaves, *module.parameters())]
    return Outcome(library.array(y), [None if grad is None else library.array(grad) for grad in grads])


def size_of_terms(case: Case, module: torch.nn.Module, call: Call, grad_y: Array, theirs: Outcome) -> Outcome:
    if case.magnitude is None:
        return absolute(theirs)
    names, count = [name for name, _ in module.named_parameters()], len(call.inputs)
    everything = [*call.inputs, *(TORCH.array(param) for param in module.parameters())]

    def compute(*x: Any) -> Any:
        inputs = tuple(leaf.clone() for leaf in x[:count])
        return torch.func.functional_call(module, dict(zip(names, x[count:], strict=True)), inputs)

    return case.magnitude(compute, everything, [x.dtype.kind == "f" for x in everything], grad_y)


@every_module
@given(data=st.data(), dtype=own.float_dtypes, seed=st.integers(0, 2**32 - 1), training=st.booleans())
def test_value_and_gradients_are_torchs(name: str, data: st.DataObject, dtype: str, seed: int, training: bool) -> None:
    case = CASES[name]
    call = data.draw(case.calls(dtype))
    modules = []
    for library in (MINITRAIN, TORCH):
        library.module.manual_seed(seed)
        modules.append(build(library.module, call).train(training))
    mine, torchs = modules
    shape = evaluate(MINITRAIN, mine, call.inputs, None).value.shape
    grad_y = data.draw(own.arrays(shape, dtype, finite=True))
    theirs = evaluate(TORCH, torchs, call.inputs, grad_y)
    assert_agree(
        evaluate(MINITRAIN, mine, call.inputs, grad_y), theirs, size_of_terms(case, torchs, call, grad_y, theirs)
    )


@every_module
@given(data=st.data(), dtype=own.float_dtypes)
def test_names_and_words_are_torchs(name: str, data: st.DataObject, dtype: str) -> None:
    call = data.draw(CASES[name].calls(dtype))
    mine, torchs = build(minitrain, call), build(torch, call)
    assert repr(mine) == repr(torchs)
    assert mine.extra_repr() == torchs.extra_repr()
    assert attributes(mine) == attributes(torchs)
    assert list(mine.state_dict()) == list(torchs.state_dict())
    for method in ("named_parameters", "named_buffers", "named_children", "named_modules"):
        assert [n for n, _ in getattr(mine, method)()] == [n for n, _ in getattr(torchs, method)()]


def attributes(module: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    """Name, default and kind of a function's arguments; not *args, which torch has where nothing is taken."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default, p.kind) for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


@every_module
def test_modules_take_torchs_arguments(name: str) -> None:
    mine, torchs = MODULES[name], getattr(torch.nn, name)
    assert arguments(mine.__init__) == arguments(torchs.__init__)
    assert arguments(mine.forward) == arguments(torchs.forward)


FUNCTIONS = {
    f"{module.__name__.split('.')[-1]}.{name}": (member, getattr(theirs, name))
    for module, theirs in ((functional, torch.nn.functional), (init, torch.nn.init))
    for name, member in vars(module).items()
    if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
}


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"functional.linear"}))  # torch's has no signature
def test_functions_take_torchs_arguments_in_torchs_order(name: str) -> None:
    mine, torchs = (arguments(function) for function in FUNCTIONS[name])
    defaults = {name: default for name, default, _ in torchs}
    assert {name: default for name, default, _ in mine}.items() <= defaults.items()
    by_place = [name for name, _, kind in mine if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert by_place == list(defaults)[: len(by_place)]


# --- functions --------------------------------------------------------------------------------------------------------


@given(own.arrays(finite=True), st.sampled_from(["relu", "sigmoid", "tanh", "softmax", "log_softmax"]))
def test_functions_are_their_modules(x: Array, name: str) -> None:
    module = {"relu": "ReLU", "softmax": "Softmax", "log_softmax": "LogSoftmax"}.get(name, name.title())
    along = {"dim": x.ndim - 1} if "softmax" in name else {}
    function = getattr(functional, name)(wrap(x), **along)
    assert function.array.tobytes() == getattr(nn, module)(**along)(wrap(x)).array.tobytes()


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("ndim", [0, 1, 2, 3, 4])
def test_softmax_without_dim_warns_and_takes_torchs(name: str, ndim: int) -> None:
    results = []
    for library in (MINITRAIN, TORCH):
        with pytest.warns(UserWarning, match="Implicit dimension choice for .*softmax has been deprecated"):
            y = getattr(library.module.nn, name)()(library.tensor(np.arange(2.0**ndim).reshape((2,) * ndim)))
        results.append(library.array(y))
    np.testing.assert_allclose(*results, rtol=1e-12)


@same_as_in_torch
def test_softmax_computes_in_the_dtype_asked_for(torch: Any) -> Any:
    y = torch.nn.functional.log_softmax(torch.zeros(1, 3), 1, dtype=torch.float64)
    return str(y.dtype).removeprefix("torch."), y.tolist()


# --- first weights ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 70), st.integers(1, 70), st.booleans(), own.float_dtypes, st.integers(-(2**63), 2**64 - 1))
@example(784, 512, True, "float32", 0)
@example(513, 11, False, "float64", 1)
@example(1, 1, True, "float32", 2)
def test_first_weights_are_torchs_bit_for_bit(fan_in: int, fan_out: int, bias: bool, dtype: str, seed: int) -> None:
    layers = []
    for library in (MINITRAIN, TORCH):
        library.module.manual_seed(seed)
        layers.append(library.module.nn.Linear(fan_in, fan_out, bias, dtype=getattr(library.module, dtype)))
    assert_same_bits(*layers)
    assert minitrain.default_generator.get_state().tobytes() == torch.get_rng_state().numpy().tobytes()
    layers[0].reset_parameters()
    layers[1].reset_parameters()
    assert_same_bits(*layers)


def assert_same_bits(mine: nn.Module, torchs: torch.nn.Module) -> None:
    ours, theirs = mine.state_dict(), torchs.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert tensor.array.dtype == theirs[name].numpy().dtype
        assert tensor.array.tobytes() == theirs[name].numpy().tobytes(), name


@pytest.mark.parametrize("seed", range(5))
def test_the_tutorials_network_begins_as_torchs(seed: int) -> None:
    minitrain.manual_seed(seed)
    torch.manual_seed(seed)
    assert_same_bits(build_model(nn, 784, [512, 512], 10), build_model(torch.nn, 784, [512, 512], 10))


def test_a_layer_may_be_empty() -> None:
    x = minitrain.ones(3, 4, 0)
    layer = nn.Linear(0, 2)
    layer(x).sum().backward()
    assert layer(x).tolist() == np.broadcast_to(layer.bias.array, (3, 4, 2)).tolist()
    assert layer.weight.grad.shape == (2, 0)
    assert layer.bias.grad.tolist() == [12, 12]
    layer = nn.Linear(2, 0)
    layer(minitrain.ones(3, 2)).sum().backward()
    assert layer.weight.grad.shape == (0, 2)


# --- nn.init ----------------------------------------------------------------------------------------------------------

gains = st.sampled_from([1.0, 0.5, 5 / 3])
nonlinearities = st.sampled_from(["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
kaiming = {"a": st.sampled_from([0.0, 0.1, math.sqrt(5)]), "mode": st.sampled_from(["fan_in", "fan_out"])}
kaiming["nonlinearity"] = nonlinearities

INITIALISERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "constant_": {"val": own.quarters},
    "eye_": {},
    "kaiming_normal_": kaiming,
    "kaiming_uniform_": kaiming,
    "normal_": {"mean": st.floats(-3, 3, width=32), "std": st.floats(0, 3, width=32)},
    "ones_": {},
    "uniform_": {"a": st.floats(-3, 0, width=32), "b": st.floats(0, 3, width=32)},
    "xavier_normal_": {"gain": gains},
    "xavier_uniform_": {"gain": gains},
    "zeros_": {},
}


def test_every_initialiser_has_a_case() -> None:
    elsewhere = {"orthogonal_", "trunc_normal_"}  # test_settings.py: their values are torch's up to rounding
    assert {*INITIALISERS, *elsewhere} == {
        name for name in vars(init) if name.endswith("_") and not name.startswith("_")
    }


@pytest.mark.parametrize("name", sorted(INITIALISERS))
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7),
    dtype=own.float_dtypes,
    seed=st.integers(0, 2**32 - 1),
    own_generator=st.booleans(),
)
def test_initialisers_fill_as_torchs(
    name: str, data: st.DataObject, shape: tuple[int, ...], dtype: str, seed: int, own_generator: bool
) -> None:
    shape = shape[:2] if name == "eye_" else shape
    options = data.draw(st.fixed_dictionaries(INITIALISERS[name]))
    memory = data.draw(own.laid_out(np.zeros(shape, dtype)))
    filled = []
    for library, tensor in ((MINITRAIN, wrap(memory)), (TORCH, TORCH.tensor(np.ascontiguousarray(memory)))):
        library.module.manual_seed(seed)
        generator = library.module.Generator().manual_seed(seed + 1)
        drawn_from = {"generator": generator} if own_generator and drawing(name) else {}
        tensor.requires_grad_()
        result = getattr(library.module.nn.init, name)(tensor, **options, **drawn_from)
        assert result is tensor
        assert result.requires_grad
        assert result.grad_fn is None
        filled.append(library.array(tensor))
    ours, theirs = filled
    if "normal" in name and dtype == "float32" and ours.size >= 16:
        # Not bit for bit (see minitrain.random): up to 8 units in the last place of a standard normal, which for
        # those below 8 are of 2^-21; then one rounding more.
        std = options.get("std") or 8 * np.abs(theirs).max()
        assert (np.abs(ours - theirs) <= 8 * 2**-21 * std + np.spacing(np.abs(theirs))).all()
    else:
        assert ours.tobytes() == theirs.tobytes()


def drawing(name: str) -> bool:
    return "uniform" in name or "normal" in name


@given(nonlinearities | st.just("conv2d"), st.none() | st.floats(-2, 2))
def test_gains_are_torchs(nonlinearity: str, param: float | None) -> None:
    if nonlinearity == "conv2d":
        return
    assert init.calculate_gain(nonlinearity, param) == torch.nn.init.calculate_gain(nonlinearity, param)


@refused_as_in_torch(ValueError, "Unsupported nonlinearity 'step'; expected one of")
def test_an_unknown_nonlinearity_has_no_gain(torch: Any) -> None:
    torch.nn.init.calculate_gain("step")


@refused_as_in_torch(ValueError, "Mode 'fan_up' not supported")
def test_a_fan_is_in_or_out(torch: Any) -> None:
    torch.nn.init.kaiming_uniform_(torch.zeros(2, 2), mode="fan_up")


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_a_vector_has_no_fans(name: str) -> None:
    @refused_as_in_torch(ValueError, r"Fan in and fan out can not be computed for tensor with .*\[3\]")
    def program(torch: Any) -> None:
        getattr(torch.nn.init, name)(torch.zeros(3))

    program()


@refused_as_in_torch(ValueError, "Only tensors with 2 dimensions are supported, but this has 3")
def test_only_a_matrix_has_a_diagonal(torch: Any) -> None:
    torch.nn.init.eye_(torch.zeros(2, 2, 2))


# --- Dropout ----------------------------------------------------------------------------------------------------------


@given(own.shapes, own.float_dtypes, st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_dropout_keeps_what_torchs_generator_says(shape: tuple[int, ...], dtype: str, p: float, seed: int) -> None:
    minitrain.manual_seed(seed)
    y = nn.Dropout(p)(minitrain.ones(shape, dtype=getattr(minitrain, dtype)))
    # p as a tensor: on Intel CPUs a number p takes another stream.
    chance = torch.tensor(1 - p, dtype=torch.float64)
    kept = torch.empty(shape).bernoulli_(chance, generator=torch.Generator().manual_seed(seed)).numpy()
    assert y.tolist() == (kept.astype(dtype) / np.dtype(dtype).type(1 - p)).tolist()


@pytest.mark.skipif(torch_takes_mkls_bernoulli(), reason="torch draws Dropout's mask with MKL on this CPU")
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_is_torchs_bit_for_bit(p: float) -> None:
    results = []
    for library in (MINITRAIN, TORCH):
        library.module.manual_seed(3)
        dropout, x = library.module.nn.Dropout(p), library.tensor(np.linspace(-2, 2, 64 * 512, dtype=np.float32))
        results.append([library.array(dropout(x)).tobytes() for _ in range(3)])
    assert results[0] == results[1]


def test_dropout_draws_a_new_mask_each_time_and_none_in_evaluation() -> None:
    dropout, x = nn.Dropout(0.5), minitrain.ones(1000)
    assert not dropout(x).equal(dropout(x))
    state = minitrain.default_generator.get_state().tobytes()
    assert dropout.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert nn.Dropout(1.0)(x).tolist() == [0] * 1000
    assert minitrain.default_generator.get_state().tobytes() == state


@same_as_in_torch
def test_dropout_of_everything_multiplies_by_zero(torch: Any) -> Any:
    return torch.nn.Dropout(1.0)(torch.tensor([1.0, -2.0, math.inf])).tolist()


@pytest.mark.parametrize("module", ["Dropout", "ReLU"])
def test_inplace_writes_into_the_input_and_keeps_its_gradient(module: str) -> None:
    def run(inplace: bool) -> tuple[bool, list[float], list[float]]:
        minitrain.manual_seed(0)
        x = minitrain.tensor([-1.0, 2.0, 3.0, 4.0], requires_grad=True)
        between = x * 1
        y = getattr(nn, module)(inplace=inplace)(between)
        y.sum().backward()
        return y is between, y.tolist(), x.grad.tolist()

    (same, *ours), (other, *out_of_place) = run(True), run(False)
    assert (same, other) == (True, False)
    assert ours == out_of_place


@pytest.mark.parametrize("p", [-0.1, 1.1, math.inf])
def test_a_probability_is_between_0_and_1(p: float) -> None:
    @refused_as_in_torch(ValueError, f"dropout probability has to be between 0 and 1, but got {p}")
    def module(torch: Any) -> None:
        torch.nn.Dropout(p)

    @refused_as_in_torch(ValueError, f"dropout probability has to be between 0 and 1, but got {p}")
    def function(torch: Any) -> None:
        torch.nn.functional.dropout(torch.zeros(2), p)

    module()
    function()


@refused_as_in_torch(RuntimeError, "result type Float can't be cast to int64")
def test_integers_cannot_be_scaled(torch: Any) -> None:
    torch.nn.Dropout(0.5)(torch.ones(4, dtype=torch.int64))


# --- Parameter --------------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_a_parameter_is_a_leaf_on_its_datas_memory(torch: Any) -> Any:
    data = torch.tensor([1.0, 2.0], requires_grad=True)
    param = torch.nn.Parameter(data * 2)
    shared = torch.nn.Parameter(data.detach(), requires_grad=False)
    with torch.no_grad():
        data.mul_(3)
    return param, param.is_leaf, param.requires_grad, shared, shared.requires_grad, isinstance(param * 1, type(param))


@refused_as_in_torch(RuntimeError, "modified by an inplace operation")
def test_a_write_into_its_data_is_a_write_into_the_parameter(torch: Any) -> None:
    data = torch.tensor([1.0, 2.0])
    param = torch.nn.Parameter(data)
    loss = (param * param).sum()
    data.mul_(2)
    loss.backward()


@refused_as_in_torch(RuntimeError, "floating point dtype can require gradients, but this is int64")
def test_integers_cannot_be_learned(torch: Any) -> None:
    torch.nn.Parameter(torch.tensor([1]))


@refused(TypeError, r"Parameter expects a Tensor, but got list; wrap it in minitrain.tensor\(\)")
def test_a_parameter_is_made_of_a_tensor(torch: Any) -> None:
    torch.nn.Parameter([1.0, 2.0])


# --- what is assigned to a Module -------------------------------------------------------------------------------------


def state_of(module: Any) -> Any:
    """Where a Module keeps what."""
    kinds = [list(vars(module)[kind]) for kind in ("_parameters", "_buffers", "_modules")]
    return kinds, sorted(attributes(module)), list(module.state_dict())


def small_model(torch: Any) -> Any:
    """A Module with two parameters, two buffers, two children, and an attribute."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b = torch.nn.Parameter(torch.zeros(2))
            self.child = torch.nn.Linear(2, 3)
            self.register_buffer("count", torch.tensor(5))
            self.a = torch.nn.Parameter(torch.ones(1))
            self.none = torch.nn.ReLU()
            self.none = None
            self.register_parameter("no_bias", None)
            self.register_buffer("no_buffer", None)
            self.number = 7

    return Model()


VALUES: dict[str, Callable[[Any], Any]] = {
    "parameter": lambda torch: torch.nn.Parameter(torch.zeros(1)),
    "module": lambda torch: torch.nn.Tanh(),
    "tensor": lambda torch: torch.zeros(1),
    "number": lambda torch: 3,
    "None": lambda torch: None,
}


@pytest.mark.parametrize("name", ["b", "child", "count", "none", "no_bias", "no_buffer", "number", "new"])
@pytest.mark.parametrize("value", VALUES)
def test_assignment_follows_torchs_rules(name: str, value: str) -> None:
    outcomes = []
    for torch_ in (minitrain, torch):
        model = small_model(torch_)
        try:
            setattr(model, name, VALUES[value](torch_))
        except TypeError as error:
            outcomes.append(re.match(r"cannot assign .* as (parameter|child module|buffer) '\w+'", str(error))[1])
        else:
            outcomes.append((state_of(model), type(getattr(model, name)).__name__))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("register", ["register_parameter", "register_buffer", "register_module", "add_module"])
@pytest.mark.parametrize("name", ["b", "child", "count", "number", "train", "new", "", "a.b", 3])
@pytest.mark.parametrize("value", VALUES)
def test_registration_follows_torchs_rules(register: str, name: Any, value: str) -> None:
    outcomes = []
    for torch_ in (minitrain, torch):
        model = small_model(torch_)
        try:
            getattr(model, register)(name, VALUES[value](torch_))
        except (TypeError, KeyError):
            outcomes.append("refused")
        else:
            outcomes.append(state_of(model))
    assert outcomes[0] == outcomes[1]


@refused_as_in_torch(KeyError, "attribute 'number' already exists")
def test_registration_does_not_replace_another_kind_of_attribute(torch: Any) -> None:
    small_model(torch).register_buffer("number", torch.zeros(1))


@pytest.mark.parametrize("name", ["", "a.b"])
def test_names_are_parts_of_dotted_paths(name: str) -> None:
    @refused_as_in_torch(KeyError, "must be non-empty and without '.'")
    def program(torch: Any) -> None:
        torch.nn.Module().register_parameter(name, None)

    program()


@same_as_in_torch
def test_attributes_can_be_deleted(torch: Any) -> Any:
    model = small_model(torch)
    del model.a, model.count, model.child, model.number
    return state_of(model), hasattr(model, "a")


@same_as_in_torch
def test_dir_lists_parameters_buffers_and_modules(torch: Any) -> Any:
    names = dir(small_model(torch))
    return [name for name in ("b", "child", "count", "number", "forward", "nothing") if name in names]


@refused_as_in_torch(AttributeError, "'Linear' object has no attribute 'weigth'")
def test_a_misspelt_attribute_is_an_error(torch: Any) -> None:
    _ = torch.nn.Linear(2, 2).weigth


@refused_as_in_torch(AttributeError, "'Linear' object has no attribute 'weigth'")
def test_a_misspelt_attribute_cannot_be_deleted(torch: Any) -> None:
    del torch.nn.Linear(2, 2).weigth


@refused_as_in_torch(TypeError, "cannot assign Tensor as parameter 'weight'.* Wrap it in nn.Parameter, or .*copy_")
def test_a_tensor_does_not_replace_a_parameter(torch: Any) -> None:
    torch.nn.Linear(2, 2).weight = torch.zeros(2, 2)


@pytest.mark.parametrize("part", ["parameter", "module"])
def test_nothing_is_assigned_before_the_modules_init(part: str) -> None:
    @refused_as_in_torch(AttributeError, r"cannot assign 'part' before Module.__init__\(\) call: call super")
    def program(torch: Any) -> None:
        class Model(torch.nn.Module):
            def __init__(self) -> None:
                self.part = VALUES[part](torch)
                super().__init__()

        Model()

    program()


@refused_as_in_torch(AttributeError, r"'Model' object has no attribute '_modules'")
def test_a_module_without_its_init_has_no_parameters(torch: Any) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            pass

    list(Model().named_modules())
    list(Model().parameters())


@refused_as_in_torch(NotImplementedError, r'Module \[Half\] is missing the required "forward" function')
def test_a_module_needs_a_forward(torch: Any) -> None:
    class Half(torch.nn.Module):
        pass

    Half()(torch.zeros(1))


# --- the tree ---------------------------------------------------------------------------------------------------------


def tree_with_shared_parts(torch: Any) -> Any:
    """A model in which a layer, an activation and a parameter stand twice."""
    layer, relu = torch.nn.Linear(2, 2), torch.nn.ReLU()
    tied = torch.nn.Linear(2, 2, bias=False)
    tied.weight = layer.weight
    model = torch.nn.Sequential(layer, relu, torch.nn.Sequential(tied, relu, layer), small_model(torch))
    model.last = None
    model.register_buffer("again", model[3].count)
    return model


@same_as_in_torch
def test_names_come_in_torchs_order_and_once(torch: Any) -> Any:
    model = tree_with_shared_parts(torch)
    return {
        (method, tuple(options.items())): [(name, tuple(getattr(part, "shape", ()))) for name, part in found]
        for method in ("named_parameters", "named_buffers")
        for options in ({}, {"recurse": False}, {"prefix": "p"}, {"remove_duplicate": False})
        for found in [list(getattr(model, method)(**options))]
    }


@same_as_in_torch
def test_modules_come_in_torchs_order_and_once(torch: Any) -> Any:
    model = tree_with_shared_parts(torch)
    return (
        [(name, type(module).__name__) for name, module in model.named_modules()],
        [(name, type(module).__name__) for name, module in model.named_modules(prefix="p", remove_duplicate=False)],
        [(name, type(module).__name__) for name, module in model.named_children()],
        [type(module).__name__ for module in model.modules()],
        [type(module).__name__ for module in model.children()],
        [len(list(getattr(model, method)())) for method in ("parameters", "buffers")],
    )


@same_as_in_torch
def test_the_state_of_a_shared_layer_stands_under_each_of_its_names(torch: Any) -> Any:
    return list(tree_with_shared_parts(torch).state_dict())


@same_as_in_torch
def test_apply_visits_children_first(torch: Any) -> Any:
    visited: list[str] = []
    model = tree_with_shared_parts(torch)
    assert model.apply(lambda module: visited.append(type(module).__name__)) is model
    return visited


@same_as_in_torch
def test_a_model_prints_as_torchs(torch: Any) -> Any:
    model = tree_with_shared_parts(torch)
    model[3].extra_repr = lambda: "one line\nand another"
    return model, model[3], torch.nn.Sequential(), torch.nn.Module()


def test_the_tutorials_network_prints_as_torchs() -> None:
    assert repr(build_model(nn, 784, [512, 512], 10)) == repr(build_model(torch.nn, 784, [512, 512], 10))


# --- modes, gradients, dtype ------------------------------------------------------------------------------------------


@same_as_in_torch
def test_train_and_eval_reach_all_modules(torch: Any) -> Any:
    model = tree_with_shared_parts(torch)
    assert model.eval() is model
    after_eval = [module.training for module in model.modules()]
    assert model[2].train() is model[2]
    return after_eval, [module.training for module in model.modules()], torch.nn.Dropout().training


@refused_as_in_torch(ValueError, "training mode is expected to be boolean")
def test_the_mode_is_a_bool(torch: Any) -> None:
    torch.nn.ReLU().train("yes")


@same_as_in_torch
def test_zero_grad_forgets_or_zeroes_gradients(torch: Any) -> Any:
    model, frozen = torch.nn.Linear(2, 1), torch.nn.Linear(1, 1).requires_grad_(False)
    model(torch.ones(1, 2)).sum().backward()
    before = model.weight.grad
    model.zero_grad(set_to_none=False)
    frozen.zero_grad(set_to_none=False)
    zeroed = model.weight.grad is before, before.tolist(), frozen.weight.grad
    model.zero_grad()
    return zeroed, model.weight.grad, model.bias.grad


@same_as_in_torch
def test_requires_grad_freezes_and_thaws(torch: Any) -> Any:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    assert model[0].requires_grad_(False) is model[0]
    model(torch.ones(1, 2)).sum().backward()
    grads = [param.grad is None for param in model.parameters()]
    model.requires_grad_()
    return grads, [param.requires_grad for param in model.parameters()]


@pytest.mark.parametrize("asked", ["double", "dtype", "keyword", "tensor", "device", "both", "nothing", "float"])
def test_to_changes_floats_as_in_torch(asked: str) -> None:
    @same_as_in_torch
    def program(torch: Any) -> Any:
        model, weight = small_model(torch), torch.ones(3)
        model.loss = torch.nn.NLLLoss(weight=weight)
        model.child(torch.ones(1, 2)).sum().backward()
        pointers = [id(param) for param in model.parameters()]
        calls: dict[str, Callable[[], Any]] = {
            "double": lambda: model.double(),
            "dtype": lambda: model.to(torch.float64),
            "keyword": lambda: model.to(dtype=torch.float64),
            "tensor": lambda: model.to(torch.zeros(1, dtype=torch.float64)),
            "device": lambda: model.to("cpu"),
            "both": lambda: model.to(torch.device("cpu"), torch.float64),
            "nothing": lambda: model.cpu(),
            "float": lambda: model.double().float(),
        }
        assert calls[asked]() is model
        tensors = [*model.state_dict().values(), model.child.weight.grad, weight]
        same = [id(param) for param in model.parameters()] == pointers
        return same, [str(tensor.dtype).removeprefix("torch.") for tensor in tensors]

    program()


@refused_as_in_torch(TypeError, "nn.Module.to only accepts floating point.*dtypes, but got int64")
def test_a_model_of_integers_is_refused(torch: Any) -> None:
    torch.nn.Linear(1, 1).to(torch.int64)


@same_as_in_torch
def test_a_weight_too_large_for_float32_becomes_infinite(torch: Any) -> Any:
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, 1e300)
    other = torch.nn.Linear(1, 1, bias=False)
    other.load_state_dict(model.state_dict())
    return model.float().weight.tolist(), other.weight.tolist()


# --- Sequential -------------------------------------------------------------------------------------------------------


def chain(torch: Any) -> Any:
    relu = torch.nn.ReLU()
    return torch.nn.Sequential(OrderedDict(first=relu, second=torch.nn.Tanh(), again=relu, last=torch.nn.Sigmoid()))


@same_as_in_torch
def test_sequential_runs_its_modules_in_order(torch: Any) -> Any:
    x = torch.tensor([-1.0, 2.0])
    return chain(torch)(x).equal(x.relu().tanh().relu().sigmoid()), torch.nn.Sequential()(x) is x


@pytest.mark.parametrize(
    "index", [0, 2, -1, -4, slice(3), slice(1, None), slice(None, None, 2), slice(None, None, -1), slice(9, 9)], ids=str
)
def test_sequential_is_indexed_and_sliced_as_torchs(index: Any) -> None:
    @same_as_in_torch
    def program(torch: Any) -> Any:
        model = chain(torch)
        return model[index], type(model[index]).__name__, len(model), [type(part).__name__ for part in model]

    program()


@same_as_in_torch
def test_append_continues_the_numbers(torch: Any) -> Any:
    model = torch.nn.Sequential(torch.nn.ReLU())
    assert model.append(torch.nn.Tanh()) is model
    return model, model.named_children().__class__.__name__, torch.nn.Sequential().append(torch.nn.Sigmoid())


@pytest.mark.parametrize("index", [4, -5])
def test_sequential_ends(index: int) -> None:
    @refused_as_in_torch(IndexError, "out of range")
    def program(torch: Any) -> None:
        chain(torch)[index]

    program()


@pytest.mark.parametrize(
    "given",
    [lambda torch: [torch.nn.ReLU()], lambda torch: torch.relu, lambda torch: 3],
    ids=["list", "function", "int"],
)
def test_sequential_takes_modules_only(given: Callable[[Any], Any]) -> None:
    @refused_as_in_torch(TypeError, "(list|function|int).* not a Module subclass")
    def when_made(torch: Any) -> None:
        torch.nn.Sequential(given(torch))

    @refused_as_in_torch(TypeError, "(list|function|int).* not a Module subclass")
    def by_name(torch: Any) -> None:
        torch.nn.Sequential(OrderedDict(part=given(torch)))

    @refused_as_in_torch(TypeError, "(list|function|int).* not a Module subclass")
    def later(torch: Any) -> None:
        torch.nn.Sequential().append(given(torch))

    when_made()
    by_name()
    later()


# --- state ------------------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_the_state_shares_memory_and_has_no_history(torch: Any) -> Any:
    model = torch.nn.Linear(2, 1)
    state = model.state_dict()
    with torch.no_grad():
        model.weight.fill_(3)
    kinds = [type(tensor).__name__ for tensor in state.values()]
    return list(state), kinds, state["weight"].tolist(), state["weight"].requires_grad, type(state).__name__


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("missing", [[], ["1.bias"], ["0.weight", "1.bias"]])
@pytest.mark.parametrize("unexpected", [[], ["2.weight"], ["2.weight", "extra"]])
@pytest.mark.parametrize("misshapen", [{}, {"0.bias": (4,), "1.weight": (2, 3, 1)}])
def test_what_does_not_fit_is_told_in_torchs_words(
    strict: bool, missing: list[str], unexpected: list[str], misshapen: dict[str, tuple[int, ...]]
) -> None:
    outcomes = []
    for torch_ in (minitrain, torch):
        model = torch_.nn.Sequential(torch_.nn.Linear(2, 3), torch_.nn.Linear(3, 2))
        state = {name: tensor for name, tensor in model.state_dict().items() if name not in missing}
        state |= {name: torch_.zeros(1) for name in unexpected}
        state |= {name: torch_.zeros(*shape) for name, shape in misshapen.items()}
        try:
            found = model.load_state_dict(state, strict)
            outcomes.append((repr(found).strip("_"), found.missing_keys, found.unexpected_keys, len(found)))
        except RuntimeError as error:
            outcomes.append(re.sub(r"torch\.Size\((.*?)\)", r"\1", str(error)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("value", [3, "x", None, [[1.0, 2.0]]])
def test_a_state_holds_tensors(value: Any) -> None:
    @refused_as_in_torch(RuntimeError, 'named "weight", expected Tensor or array from checkpoint but received <class')
    def program(torch: Any) -> None:
        torch.nn.Linear(2, 1, bias=False).load_state_dict({"weight": value})

    program()


@pytest.mark.parametrize("value", [None, [], 3])
def test_a_state_is_a_mapping(value: Any) -> None:
    @refused_as_in_torch(TypeError, "Expected state_dict to be dict-like, got <class")
    def program(torch: Any) -> None:
        torch.nn.Linear(2, 1).load_state_dict(value)

    program()


@pytest.mark.parametrize(
    "wrong",
    [{"weight": np.zeros((9, 9))}, {"weight": "words"}, {"more": np.zeros(1)}, {"weight": None}],
    ids=["shape", "type", "unexpected", "missing"],
)
def test_nothing_has_changed_when_loading_raises(wrong: dict[str, Any]) -> None:
    model = nn.Linear(3, 2)
    before = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}
    state = {"bias": np.ones(2), "weight": np.ones((2, 3)), **wrong}
    with pytest.raises(RuntimeError, match=r"Error\(s\) in loading state_dict for Linear:\n\t"):
        model.load_state_dict({name: value for name, value in state.items() if value is not None})
    for name, tensor in model.state_dict().items():
        assert tensor.array.tobytes() == before[name].tobytes()


@same_as_in_torch
def test_loading_casts_to_the_models_dtype(torch: Any) -> Any:
    model = torch.nn.Linear(1, 2)
    model.load_state_dict({"weight": torch.tensor([[1], [2]]), "bias": torch.tensor([0.5, 0.1], dtype=torch.float64)})
    return model.weight, model.bias


@refused_as_in_torch(RuntimeError, "modified by an inplace operation")
def test_loading_between_forward_and_backward_is_noticed(torch: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    loss = model(torch.ones(1, 2)).sum()
    model.load_state_dict(model.state_dict())
    loss.backward()


def network(torch: Any, sizes: tuple[int, ...] = (20, 33, 10)) -> Any:
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def test_torchs_states_load_here() -> None:
    theirs, ours = network(torch), network(minitrain)
    assert repr(ours.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    assert_same_bits(ours, theirs)
    ours.load_state_dict(dict(theirs.double().named_parameters()))  # parameters themselves, which require a gradient
    assert ours[0].weight.dtype == np.float32


def test_our_states_load_in_torch() -> None:
    theirs, ours = network(torch), network(minitrain)
    state = {name: torch.from_numpy(tensor.numpy()) for name, tensor in ours.state_dict().items()}
    assert repr(theirs.load_state_dict(state)) == "<All keys matched successfully>"
    assert_same_bits(ours, theirs)


# --- memory order -----------------------------------------------------------------------------------------------------


def loaded(state: Any) -> nn.Module:
    model = network(minitrain)
    model.load_state_dict(state)
    return model


def through_a_file(model: nn.Module, tmp_path: Any) -> nn.Module:
    minitrain.save(model.state_dict(), tmp_path / "weights")
    return loaded(minitrain.load(tmp_path / "weights"))


def through_torch(model: nn.Module, tmp_path: Any) -> nn.Module:
    theirs = network(torch)
    theirs.load_state_dict({name: torch.from_numpy(tensor.numpy()) for name, tensor in model.state_dict().items()})
    return loaded(theirs.state_dict())


def through_copies(model: nn.Module, tmp_path: Any) -> nn.Module:
    copied = network(minitrain)
    with minitrain.no_grad():
        for mine, its in zip(copied.parameters(), model.parameters(), strict=True):
            mine.copy_(its)
    return copied


WAYS: dict[str, Callable[[nn.Module, Any], nn.Module]] = {
    "load_state_dict": lambda model, _: loaded(model.state_dict()),
    "arrays": lambda model, _: loaded({name: np.array(t, order="C") for name, t in model.state_dict().items()}),
    "a file": through_a_file,
    "torch": through_torch,
    "copy_": through_copies,
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "double and back": lambda model, _: copy.deepcopy(model).double().float(),
    "a deepcopy of a deepcopy": lambda model, _: copy.deepcopy(copy.deepcopy(model)),
}


def step(model: nn.Module) -> None:
    rng = np.random.default_rng(1)
    x, labels = wrap(rng.normal(size=(64, 20)).astype(np.float32)), wrap(rng.integers(0, 10, 64))
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_loading_keeps_strides_and_the_next_steps_bits(way: str, tmp_path: Any) -> None:
    model = network(minitrain)
    step(model)
    other = WAYS[way](model, tmp_path)
    strides = [param.array.strides for param in network(minitrain).parameters()]
    for each in (model, other):
        step(each)
        assert [param.array.strides for param in each.parameters()] == strides
        assert [param.grad.array.strides for param in each.parameters()] == strides
    ours, others = model.state_dict(), other.state_dict()
    assert [ours[name].array.tobytes() for name in ours] == [others[name].array.tobytes() for name in ours]


def test_weights_lie_in_memory_as_in_by_out() -> None:
    for layer in (nn.Linear(5, 3), nn.Linear(5, 3).double(), copy.deepcopy(nn.Linear(5, 3))):
        assert layer.weight.shape == (3, 5)
        assert layer.weight.array.T.flags.c_contiguous
        assert not layer.weight.is_contiguous()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_a_model_of_its_own(duplicate: Callable[[Any], Any]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2, bias=False)).eval()
    model[2].weight = model[0].weight
    model[0].register_buffer("seen", minitrain.tensor(3))
    model(minitrain.ones(1, 2)).sum().backward()
    other = duplicate(model)
    assert repr(other) == repr(model)
    assert [module.training for module in other.modules()] == [False] * 4
    assert other[2].weight is other[0].weight
    assert other[0].weight.grad.tolist() == model[0].weight.grad.tolist()
    assert [type(param) for param in other.parameters()] == [nn.Parameter] * 2
    assert all(param.requires_grad for param in other.parameters())
    with minitrain.no_grad():
        other[0].weight.zero_()
        other[0].seen.zero_()
    assert model[0].weight.array.any()
    assert model[0].seen.item() == 3


@refused_as_in_torch(RuntimeError, "Only Tensors created explicitly by the user.*detach")
def test_a_result_on_the_tape_is_not_copied(torch: Any) -> None:
    model = torch.nn.Linear(1, 1)
    model.last = model(torch.ones(1, 1))
    copy.deepcopy(model)


# --- what is refused, and where ---------------------------------------------------------------------------------------


def notes(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return getattr(error.value, "__notes__", [])


def test_a_shape_that_does_not_fit_names_the_layer_and_both_shapes() -> None:
    model = build_model(nn, 784, [512], 10)
    with pytest.raises(
        RuntimeError, match=r"cannot be multiplied \(64x100 and 784x512\).*\(\.\.\., 784\).*\[64, 100\]"
    ) as e:
        model(minitrain.zeros(64, 10, 10))
    assert notes(e) == ["in NeuralNetwork.linear_relu_stack.0: Linear(in_features=784, out_features=512, bias=True)"]


@pytest.mark.parametrize("shape", [(64, 1, 28, 28), (64, 28, 28)])
def test_a_missing_flatten_is_suspected_where_it_would_help(shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Linear(784, 10), nn.ReLU())
    with pytest.raises(RuntimeError, match=r"One sample has 784 values: is an nn.Flatten\(\) missing") as e:
        model(minitrain.zeros(*shape))
    assert notes(e) == ["in Sequential.0: Linear(in_features=784, out_features=10, bias=True)"]


@pytest.mark.parametrize("shape", [(64, 100), (64, 10, 78), (100,)])
def test_and_not_where_it_would_not(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match=r"expected an input of shape \(\.\.\., 784\), but got \[[\d, ]*\]\.$"):
        nn.Linear(784, 10)(minitrain.zeros(*shape))


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 2, 4), ()])
def test_torch_refuses_these_shapes_too(shape: tuple[int, ...]) -> None:
    @refused_as_in_torch(RuntimeError, rf"shapes cannot be multiplied.* but got \[{', '.join(map(str, shape))}\]")
    def program(torch: Any) -> None:
        torch.nn.Linear(3, 2)(torch.ones(shape))

    program()


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8"])
def test_another_dtype_than_the_weights_is_refused(dtype: str) -> None:
    @refused_as_in_torch(RuntimeError, rf"same dtype, but the input is {dtype} and the weight float32.*\.float\(\)")
    def program(torch: Any) -> None:
        torch.nn.Linear(3, 2)(torch.ones(1, 3, dtype=getattr(torch, dtype)))

    program()


@pytest.mark.parametrize("x", [np.ones((1, 3), np.float32), [[1.0, 2.0, 3.0]]], ids=["array", "list"])
def test_arrays_and_lists_are_no_inputs(x: Any) -> None:
    @refused_as_in_torch(TypeError, r"linear\(\): argument 'input' must be Tensor, not (ndarray|list); wrap it")
    def program(torch: Any) -> None:
        torch.nn.Linear(3, 2)(x)

    program()


@refused_as_in_torch(IndexError, r"Dimension out of range \(expected to be in range of \[-1, 0\], but got 1\)")
def test_flatten_needs_a_batch(torch: Any) -> None:
    torch.nn.Flatten()(torch.zeros(3))


@refused_as_in_torch(IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)")
def test_softmax_needs_its_axis(torch: Any) -> None:
    torch.nn.Softmax(2)(torch.zeros(2, 3))


@refused_as_in_torch(RuntimeError, "softmax: expected a floating point Tensor, but got int64")
def test_integers_have_no_softmax(torch: Any) -> None:
    torch.nn.Softmax(0)(torch.zeros(3, dtype=torch.int64))


@refused_as_in_torch(RuntimeError, "Only Tensors of floating point|only Tensors of floating point dtype")
def test_a_layer_of_integers_is_refused(torch: Any) -> None:
    torch.nn.Linear(2, 2, dtype=torch.int64)


@refused_as_in_torch(RuntimeError, "leaf Variable that requires grad is being used in an in-place operation")
def test_a_leaf_is_not_written_in_place(torch: Any) -> None:
    torch.nn.ReLU(inplace=True)(torch.ones(2, requires_grad=True))


def test_an_error_in_ones_own_forward_says_where() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("mine")

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stack = nn.Sequential(nn.ReLU(), Inner())

        def forward(self, x: Tensor) -> Any:
            return self.stack(x)

    with pytest.raises(KeyError, match="mine") as e:
        Outer()(minitrain.zeros(1))
    assert notes(e) == ["in Outer.stack.1: Inner()"]


def test_a_layer_that_is_used_by_itself_needs_no_note() -> None:
    with pytest.raises(RuntimeError) as e:
        nn.Linear(3, 2)(minitrain.zeros(1, 4))
    assert notes(e) == []


# --- these tests can fail ---------------------------------------------------------------------------------------------


class ColumnsFirst(nn.Linear):
    """Draws as if its weight were (in, out)."""

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(wrap(self.weight.array.T.reshape(self.weight.shape)), a=math.sqrt(5))


class BiasForgotten(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight)


@pytest.mark.parametrize("wrong", [ColumnsFirst, BiasForgotten])
def test_a_wrong_layer_is_noticed(wrong: type[nn.Linear]) -> None:
    minitrain.manual_seed(0)
    torch.manual_seed(0)
    mine, torchs = wrong(3, 2), torch.nn.Linear(3, 2)
    x, grad_y = (np.ones((1, 3), np.float32),), np.ones((1, 2), np.float32)
    with pytest.raises(AssertionError):
        assert_agree(evaluate(MINITRAIN, mine, x, grad_y), evaluate(TORCH, torchs, x, grad_y))


def test_a_model_rebuilt_in_another_memory_order_is_noticed() -> None:
    model = network(minitrain)
    rebound = copy.deepcopy(model)
    for param in rebound.parameters():
        param.array = np.ascontiguousarray(param.array)
    assert [p.array.strides for p in rebound.parameters()] != [p.array.strides for p in model.parameters()]


# --- forward hooks ----------------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize(
    ("nn_of", "ones"), [(nn, minitrain.ones), (torch.nn, torch.ones)], ids=["minitrain", "torch"]
)


@BOTH
def test_hooks_are_called_in_order_each_with_what_the_one_before_returned(nn_of: Any, ones: Any) -> None:
    layer, x, seen = nn_of.Flatten(), ones(2, 3), []

    def double(module: Any, args: Any, output: Any) -> Any:
        seen.append((module is layer, args[0] is x, len(args), output.sum().item()))
        return output * 2

    def look(module: Any, args: Any, output: Any) -> None:
        seen.append((module is layer, args[0] is x, len(args), output.sum().item()))

    for hook in (double, look, double):
        layer.register_forward_hook(hook)
    assert layer(x).sum().item() == 24
    assert seen == [(True, True, 1, 6), (True, True, 1, 12), (True, True, 1, 12)]


@BOTH
def test_a_hook_sees_the_positional_arguments_alone(nn_of: Any, ones: Any) -> None:
    layer, seen = nn_of.Flatten(), []
    layer.register_forward_hook(lambda module, args, output: seen.append(args))
    layer(input=ones(2, 3))
    assert seen == [()]


@BOTH
def test_a_removed_hook_is_called_no_more_and_may_be_removed_again(nn_of: Any, ones: Any) -> None:
    layer, seen = nn_of.ReLU(), []
    first = layer.register_forward_hook(lambda *_: seen.append("first"))
    with layer.register_forward_hook(lambda *_: seen.append("second")):
        layer(ones(1))
    first.remove()
    first.remove()
    layer(ones(1))
    assert seen == ["first", "second"]


@BOTH
def test_a_hook_may_remove_itself_while_hooks_are_called(nn_of: Any, ones: Any) -> None:
    layer, seen = nn_of.ReLU(), []
    handles = [layer.register_forward_hook(lambda *_: (seen.append("once"), handles[0].remove())[0])]
    layer.register_forward_hook(lambda *_: seen.append("always"))
    layer(ones(1))
    layer(ones(1))
    assert seen == ["once", "always", "always"]


@BOTH
def test_a_hook_on_a_part_is_called_within_the_whole_and_gradients_pass_its_replacement(nn_of: Any, ones: Any) -> None:
    model = nn_of.Sequential(nn_of.ReLU(), nn_of.Flatten())
    model[0].register_forward_hook(lambda module, args, output: output * 3)
    x = ones(1, 2, requires_grad=True)
    model(x).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]]


@BOTH
def test_a_copy_has_hooks_of_its_own(nn_of: Any, ones: Any) -> None:
    layer = nn_of.ReLU()
    handle = layer.register_forward_hook(Doubling())
    twin = copy.deepcopy(layer)
    handle.remove()
    assert layer(ones(1)).item() == 1
    assert twin(ones(1)).item() == 2


class Doubling:
    def __call__(self, module: Any, args: Any, output: Any) -> Any:
        return output * 2


def test_an_error_in_a_hook_says_which_part_it_hangs_on() -> None:
    def refuse(module: Any, args: Any, output: Any) -> None:
        raise ValueError("no")

    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    model[1].register_forward_hook(refuse)
    with pytest.raises(ValueError, match="no") as e:
        model(minitrain.ones(1, 1))
    assert notes(e) == ["in Sequential.1: ReLU()"]
