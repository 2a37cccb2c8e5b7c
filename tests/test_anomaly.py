"""The first nan or infinity is reported where it was produced, with its cause; and where there is none, nothing."""

import gc
import inspect
import pickle
import re
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import minitrain
from minitrain import nn, ops, optim
from minitrain.autograd import AnomalyError, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from minitrain.diagnosis.anomaly_journal import find_produced
from minitrain.diagnosis.anomaly_report import Anomaly
from minitrain.nn import functional as F
from minitrain.tensor import Tensor, apply, wrap
from tests import strategies
from tests.test_ops import CASES, can_ask, every_operation

NAN, INF = float("nan"), float("inf")
F64 = minitrain.float64


@pytest.fixture(autouse=True)
def detection_is_off_in_the_end() -> Iterator[None]:
    yield
    assert not is_anomaly_enabled()


def tensor(*values: Any, dtype: Any = minitrain.float32, grad: bool = True) -> Tensor:
    """A leaf: of one number without axes, else a vector."""
    return minitrain.tensor(values[0] if len(values) == 1 else [*values], dtype=dtype, requires_grad=grad)


def found(program: Callable[[], Any]) -> Anomaly:
    """The anomaly that a program raises under detection."""
    with detect_anomaly(), pytest.raises(AnomalyError) as raised:
        program()
    return raised.value.anomaly


# --- forward: each cause, planted -------------------------------------------------------------------------------------

HUGE = 1e30
FORWARD: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "log of 0": (lambda: tensor(1.0, 0.0).log(), "Log", "inf", "x is 0 there .1 of 2 values are., and ln 0 is -inf"),
    "log of a negative number": (lambda: tensor(-2.0, 1.0).log(), "Log", "nan", r"x is -2 there.*\(1 of 2 .* negative"),
    "log of the integer 0": (lambda: tensor(1, 0, dtype=minitrain.int64, grad=False).log(), "Log", "inf", "x is 0"),
    "exp in float32": (lambda: tensor(1.0, 89.0).exp(), "Exp", "inf", r"x is 89 there.*float32 above 88\.7"),
    "exp in float64": (lambda: tensor(1.0, 710.0, dtype=F64).exp(), "Exp", "inf", r"x is 710 .*float64 above 709\.8"),
    "sqrt of a negative number": (lambda: tensor(4.0, -4.0).sqrt(), "Sqrt", "nan", "x is -4 there"),
    "division by 0": (lambda: tensor(1.0, 2.0) / tensor(1.0, 0.0), "Div", "inf", "division by 0: 2 / 0"),
    "division by the number 0": (lambda: tensor(1.0, 2.0) / 0, "Div", "inf", "division by 0: 1 / 0"),
    "0 / 0": (lambda: tensor(0.0) / tensor(0.0), "Div", "nan", "0 / 0. That is usually an empty count"),
    "inf / inf": (lambda: tensor(INF, 1.0) / tensor(INF, 1.0), "Div", "nan", "inf / inf is not defined.*a and b come"),
    "division by nearly 0": (lambda: tensor(1e30) / 1e-30, "Div", "inf", r"1e\+30 / 1e-30.*divisor is nearly 0"),
    "variance of one value": (lambda: tensor(3.0, 3.0).var(correction=2), "Var", "nan", "variance of a single value"),
    "root of a negative number as power": (lambda: tensor(-8.0) ** (1 / 3), "Pow", "nan", "fractional exponent"),
    "0 to a negative power": (lambda: tensor(0.0) ** -1, "Pow", "inf", "0 to the power of -1 is 1 / 0"),
    "power": (lambda: tensor(HUGE) ** 2, "Pow", "inf", r"1e\+30 to the power of 2 is beyond .* float32, 3\.4e\+38"),
    "product": (lambda: tensor(HUGE) * tensor(HUGE), "Mul", "inf", r"overflow: 1e\+30 · 1e\+30 .*a reaches 1e\+30"),
    "0 · inf": (lambda: tensor(0.0, 1.0) * tensor(INF, 1.0), "Mul", "nan", "0 · inf is not defined"),
    "sum of two": (lambda: tensor(3e38) + tensor(3e38), "Add", "inf", r"overflow: 3e\+38 and 3e\+38 together"),
    "inf - inf": (lambda: tensor(INF) - tensor(INF), "Sub", "nan", "inf and inf meet in a and b"),
    "sum": (lambda: tensor(3e38, 3e38).sum(), "Sum", "inf", "overflow: the sum is beyond"),
    "sum of +inf and -inf": (lambda: tensor(INF, -INF).sum(), "Sum", "nan", r"the infinities in x meet in a sum"),
    "mean of nothing": (lambda: minitrain.zeros(0, 3).mean(), "Mean", "nan", r"mean of nothing .*shape \[0, 3\]"),
    "mean over an empty axis": (lambda: minitrain.zeros(3, 0).mean(1), "Mean", "nan", "mean of nothing is 0 / 0"),
    "mean": (lambda: tensor(3e38, 3e38).mean(), "Mean", "inf", "overflow: the sum is beyond"),
    "a float64 that float32 cannot hold": (lambda: tensor(1e300, dtype=F64).float(), "ToCopy", "inf", "x is 1e.300"),
    "a number that float32 cannot hold": (lambda: tensor(1.0, 2.0) * 1e39, "Mul", "inf", r"b is 1e\+39 there.*float32"),
    "matrix product": (
        lambda: minitrain.full((2, 3), HUGE) @ minitrain.full((3, 2), HUGE),
        *("Matmul", "inf", r"sum of products is beyond .* a reaches 1e\+30, b reaches 1e\+30.*Scale the inputs"),
    ),
    "matrix product of batches": (
        lambda: minitrain.full((4, 2, 3), HUGE) @ minitrain.full((3, 2), HUGE),
        *("Matmul", "inf", "sum of products is beyond"),
    ),
    "infinity in a matrix product": (
        lambda: tensor(INF, 1.0) @ tensor(0.0, 1.0),
        *("Matmul", "nan", "an infinity in a meets a 0"),
    ),
    "linear": (
        lambda: F.linear(minitrain.full((2, 3), 1e20), minitrain.full((4, 3), 1e20), minitrain.zeros(4)),
        *("Linear", "inf", r"x · weight is beyond .*x reaches 1e\+20, weight reaches 1e\+20"),
    ),
    "infinity in linear": (
        lambda: F.linear(tensor(INF, 1.0).reshape(1, 2), minitrain.zeros(1, 2)),
        *("Linear", "nan", "an infinity in x meets a 0"),
    ),
    "row of -inf": (
        lambda: minitrain.tensor([[1.0, 2.0], [-INF, -INF]]).softmax(1),
        *("Softmax", "nan", "the whole row is -inf"),
    ),
    "row of -inf, log": (
        lambda: minitrain.tensor([[1.0, -INF], [2.0, -INF]]).log_softmax(0),
        *("LogSoftmax", "nan", "the whole row is -inf"),
    ),
    "row with +inf": (lambda: tensor(INF, 1.0).softmax(0), "Softmax", "nan", r"the row contains \+inf"),
    "values too far apart": (lambda: tensor(3e38, -3e38).log_softmax(0), "LogSoftmax", "inf", "difference of two"),
    "all labels ignored": (
        lambda: F.cross_entropy(minitrain.rand(3, 2), minitrain.full((3,), -100)),
        *("NLLLoss", "nan", "all 3 labels are -100, the ignore_index, so none counts"),
    ),
    "empty batch": (
        lambda: F.cross_entropy(minitrain.rand(0, 2), minitrain.zeros(0, dtype=minitrain.long)),
        *("NLLLoss", "nan", "the batch is empty"),
    ),
    "weights that add up to 0": (
        lambda: F.cross_entropy(minitrain.rand(2, 2), minitrain.tensor([0, 0]), minitrain.tensor([0.0, 1.0])),
        *("NLLLoss", "nan", "weights of the batch's labels add up to 0"),
    ),
    "weight 0 of an impossible class": (
        lambda: F.nll_loss(
            minitrain.tensor([[-INF, 0.0], [0.0, 0.0]]), minitrain.tensor([0, 1]), minitrain.tensor([0.0, 1.0])
        ),
        *("NLLLoss", "nan", "0 · inf is not defined"),
    ),
    "losses that add up": (
        lambda: F.nll_loss(minitrain.full((4, 2), -2e38), minitrain.tensor([0, 1, 0, 1])),
        *("NLLLoss", "inf", "sum of the losses is beyond"),
    ),
    "empty batch of mse": (
        lambda: F.mse_loss(minitrain.zeros(0), minitrain.zeros(0)),
        *("MSELoss", "nan", "mean over nothing"),
    ),
    "square of a difference": (
        lambda: F.mse_loss(tensor(1e20, 1.0), tensor(0.0, 1.0)),
        *("MSELoss", "inf", r"the square of x - target.*x reaches 1e\+20"),
    ),
    "inf against inf": (lambda: F.mse_loss(tensor(INF), tensor(INF)), "MSELoss", "nan", r"x - target subtracts inf"),
}


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("name", FORWARD)
def test_what_is_produced_in_forward_is_reported_with_its_cause(name: str) -> None:
    program, operation, kind, cause = FORWARD[name]
    program()  # without detection it goes through silently
    anomaly = found(program)
    assert (anomaly.phase, anomaly.operation, anomaly.kind, anomaly.produced) == ("forward", operation, kind, True)
    assert re.search(cause, anomaly.cause), anomaly.cause


def test_probabilities_are_spoken_of_only_where_the_numbers_can_be_some() -> None:
    assert "log_softmax" in found(lambda: tensor(0.0, 1.0).log()).cause
    assert "log_softmax" not in found(lambda: tensor(0.0, 1.5).log()).cause


def test_every_cause_that_is_known_in_forward_is_planted_here() -> None:
    from minitrain.diagnosis.nonfinite_causes import FORWARD as KNOWN

    assert {function.__name__ for function in KNOWN} <= {operation for _, operation, _, _ in FORWARD.values()}


def here(function: Callable[..., Any], lines: int) -> str:
    """The place of a line of a function in this file, as a report has it."""
    return f"{__file__}:{inspect.getsourcelines(function)[1] + lines}, in {function.__name__}"


def test_the_report_tells_all() -> None:
    def program() -> Any:
        x = minitrain.tensor([[1.0, 2.0, NAN], [0.5, 0.0, 3.0]], requires_grad=True)
        return (x * 1).log()

    assert str(found(program)).splitlines() == [
        "Function 'Log' produced 1 nan, 1 -inf in forward: the inputs there were finite.",
        "  phase      forward, step 0",
        "  operation  Log: y = ln x; dL/dx = dL/dy / x",
        f"  called at  {here(program, 2)}",
        "  x          [2, 3] float32, from 0 to 3, 1 nan; result of Mul",
        "  result     [2, 3] float32, from -0.6931 to 1.099, 1 nan, 1 -inf; the first at [1, 1]",
        "Cause: x is 0 there (1 of 6 values are), and ln 0 is -inf. Add a small number first: (x + 1e-8).log().",
    ]


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return (self.fc(x) * 0).log()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), Head())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.stack(x)
        return result


def test_the_layer_is_named_from_the_outermost_module_and_the_line_is_the_callers() -> None:
    anomaly = found(lambda: Net()(minitrain.rand(2, 2, 2)))
    assert (anomaly.layer, anomaly.place) == ("stack.2 (Head) of Net", here(Head.forward, 1))
    assert "result of Mul" in dict(anomaly.values)["x"]
    loss = found(lambda: nn.CrossEntropyLoss()(minitrain.rand(1, 2), minitrain.tensor([-100])))
    assert loss.layer == "CrossEntropyLoss"
    assert found(lambda: tensor(0.0).log()).layer == ""


def test_parameters_and_buffers_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.NLLLoss(weight=minitrain.tensor([0.0, 1.0])))
    model[0].weight.data.fill_(1e30)
    values = dict(found(lambda: model[:1](minitrain.full((1, 2), 1e30))).values)
    assert "parameter 0.weight" in values["weight"]
    assert "parameter 0.bias" in values["bias"]
    loss = found(lambda: model[1](minitrain.zeros(1, 2), minitrain.tensor([0])))
    assert "buffer weight" in dict(loss.values)["weight"]


# --- backward ---------------------------------------------------------------------------------------------------------


def backward_of(make: Callable[[], Tensor]) -> Callable[[], Callable[[], None]]:
    """A program that runs the forward, and gives its backward from a gradient of 1 for each element."""
    return lambda: make().sum().backward


BACKWARD: dict[str, tuple[Callable[[], Tensor], str, str, str]] = {
    "√x at 0": (lambda: tensor(4.0, 0.0).sqrt(), "Sqrt", "inf", r"1 / \(2√x\), infinite at 0, and x is 0 \(1 of 2"),
    "√x at 0, gradient 0": (lambda: tensor(0.0).sqrt() * 0, "Sqrt", "nan", "a gradient of 0 does not help"),
    "ln x at 0": (lambda: tensor(1.0, 0.0).log(), "Log", "inf", "1/x, infinite at 0"),
    "a / 0": (lambda: tensor(1.0, 2.0) / tensor(1.0, 0.0), "Div", "inf", r"b is 0 \(1 of 2 values are\)"),
    "a / 0, not chosen": (
        lambda: minitrain.where(minitrain.tensor([True, False]), tensor(1.0, 2.0) / tensor(1.0, 0.0), 0.0),
        *("Div", "nan", "after the division is too late"),
    ),
    "power below 1 at 0": (lambda: tensor(0.0, 1.0) ** 0.5, "Pow", "inf", r"the exponent \(0.5\) is below 1"),
    "exponent of a negative base": (lambda: tensor(-2.0) ** tensor(2.0), "Pow", "nan", "a negative a has no logarithm"),
    "weights that add up to 0": (
        lambda: F.nll_loss(
            minitrain.zeros(2, 2, requires_grad=True), minitrain.tensor([0, 0]), minitrain.tensor([0.0, 1.0])
        ),
        *("NLLLoss", "nan", "weights of the batch's labels add up to 0"),
    ),
    "product": (lambda: (tensor(1e-30) * 1e30) * 1e30, "Mul", "inf", r"overflow: the gradient .*reaches 1e\+30"),
    "0 · inf": (lambda: (tensor(0.0) * INF) * 0.0, "Mul", "nan", "an infinity in saved.1. meets a 0"),
    "square": (
        lambda: F.mse_loss(tensor(1.0, 2e19), tensor(0.0, 0.0), reduction="none") * 1e20,
        *("MSELoss", "inf", "overflow: the gradient is beyond"),
    ),
    "narrowing": (lambda: tensor(1.0).double() * 1e300, "ToCopy", "inf", "does not fit into float32"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_what_is_produced_in_backward_is_reported_with_its_cause(name: str) -> None:
    make, operation, kind, cause = BACKWARD[name]
    backward_of(make)()()  # without detection it goes through silently
    anomaly = found(backward_of(make)())
    assert (anomaly.phase, anomaly.operation, anomaly.kind, anomaly.produced) == ("backward", operation, kind, True)
    assert re.search(cause, anomaly.cause), anomaly.cause
    returned = "nan" if kind == "nan" else "infinite"
    output = 1 if name == "exponent of a negative base" else 0
    sentence = f"Function '{operation}Backward0' returned {returned} values in its {output}th output."
    assert str(anomaly).startswith(sentence)


def test_a_gradient_is_reported_with_the_layer_and_the_line_of_its_forward() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    model = nn.Sequential(nn.Flatten(), Root())

    def program() -> None:
        model(minitrain.zeros(1, 2, requires_grad=True)).sum().backward()

    anomaly = found(program)
    assert (anomaly.layer, anomaly.place) == ("1 (Root) of Sequential", here(Root.forward, 1))
    assert dict(anomaly.values) == {
        "grad_y": "[1, 2] float32, from 1 to 1; dL/d(result)",
        "result": "[1, 2] float32, from 0 to 0",
    }


def test_what_a_backward_gets_has_the_names_that_forward_has_for_it() -> None:
    huge = minitrain.tensor(1e30)
    x, w = tensor(1e-20), tensor(1e20)
    product = found(lambda: (x * w).backward(huge))
    assert {name: text.partition("; ")[2] for name, text in product.values} == {
        "grad_y": "dL/d(result)",
        "a": "",
        "b": "",
    }
    square = found(lambda: F.mse_loss(w / 1e10, tensor(0.0), reduction="none").backward(huge))
    assert [name for name, _ in square.values] == ["grad_y", "saved[0]"]
    root = found(lambda: (tensor(1e-20, 1e-20) * 1e-20).sqrt().backward(minitrain.tensor([1e30, 0.0])))
    assert [name for name, _ in root.values] == ["grad_y", "result"]
    made = found(lambda: ((w * 1) * (x * 1)).backward(huge))
    assert dict(made.values)["a"].endswith("1e+20; result of Mul")


def test_gradients_that_overflow_when_they_are_added_up_are_reported_there() -> None:
    def program() -> None:
        x = tensor(1e-30, 1e-20)
        y = x * 1
        (y * 3e38 + y * 3e38).sum().backward()

    anomaly = found(program)
    assert (anomaly.operation, anomaly.kind, anomaly.index) == ("the sum of two gradients", "inf", (0,))
    assert "Adding two gradients of the result of Mul produced 2 inf" in str(anomaly)

    def leaf() -> None:
        x = tensor(1e-30, 1e-20)
        (x * 3e38 + x * 3e38).sum().backward()

    assert "Adding two gradients of a leaf" in found(leaf).headline


def test_a_backward_that_raises_changes_no_grad() -> None:
    x, z = tensor(0.0, 1.0), tensor(1.0, 2.0)
    z.grad = minitrain.tensor([5.0, 6.0])
    with detect_anomaly():
        y = (z * 2).sum() + x.sqrt().sum()
        with pytest.raises(AnomalyError):
            y.backward(retain_graph=True)
        assert x.grad is None
        assert z.grad is not None
        assert z.grad.tolist() == [5.0, 6.0]
    y.backward()  # and the graph that was retained is there, detection or not
    assert x.grad is not None
    assert z.grad.tolist() == [7.0, 8.0]


# Each of these makes torch raise. The forward runs outside of detection: torch looks at backward alone.
ON_BOTH: dict[str, Callable[[Any, Any], Any]] = {
    "sqrt": lambda x, torch: (x * 0).sqrt() * 0,
    "pow": lambda x, torch: (x - x) ** 0.5 * 0,
    "div": lambda x, torch: (x - x) / (x - x),
    "log": lambda x, torch: (x - x).log() * 0,
    "exp": lambda x, torch: (x * 1000).exp() * 0,
    "log_softmax": lambda x, torch: (x * NAN).log_softmax(0),
    "softmax": lambda x, torch: (x * NAN).softmax(0),
    "mul": lambda x, torch: (x * INF) * 0,
    "mean": lambda x, torch: (x * NAN).sum() * x.mean(),
    "where": lambda x, torch: torch.where(x > 1.5, x * 1, (x - x) / 0 * x),
    "sigmoid": lambda x, torch: (x * NAN).sigmoid() + x.tanh(),
    "tanh": lambda x, torch: (x * NAN).tanh(),
    "clone": lambda x, torch: x.clone() * NAN,
    "two": lambda x, torch: (x - 1).sqrt().log() * 0 + (2 - x).sqrt(),
}


@pytest.mark.parametrize("name", ON_BOTH)
def test_where_torch_raises_the_same_operation_is_named(name: str) -> None:
    mine = ON_BOTH[name](tensor(1.0, 2.0), minitrain).sum()
    theirs = ON_BOTH[name](torch.tensor([1.0, 2.0], requires_grad=True), torch).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is on; and the forward's traceback
        with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError) as expected:
            theirs.backward()
    with detect_anomaly(), pytest.raises(AnomalyError) as raised:
        mine.backward()
    sentence = str(expected.value)
    assert re.fullmatch(r"Function '\w+Backward0' returned nan values in its \dth output\.", sentence)
    if raised.value.anomaly.kind == "inf":  # an infinity before torch's nan: it is what made that nan
        assert name == "two"
    else:
        assert str(raised.value).startswith(sentence)


@given(x=strategies.arrays((3,), "float32"), name=st.sampled_from([*ON_BOTH, "healthy"]))
def test_where_torch_raises_this_raises_and_where_this_finds_nothing_torch_does(x: Any, name: str) -> None:
    program = {**ON_BOTH, "healthy": lambda x, _: (x * x).sum()}[name]
    errors: list[str] = []
    mine, theirs = (program(leaf, module).sum() for leaf, module in on_both(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.autograd.detect_anomaly():
                theirs.backward()
        except RuntimeError as error:
            errors.append(str(error))
    try:
        with detect_anomaly():
            mine.backward()
    except AnomalyError as error:
        report, kind = str(error), error.anomaly.kind
    else:
        report, kind = "", ""
    assert bool(errors) == (kind == "nan") or kind == "inf"
    if kind == "nan":
        assert report.startswith(errors[0])


def on_both(x: Any) -> list[tuple[Any, Any]]:
    mine = minitrain.tensor(x, requires_grad=True)
    return [(mine, minitrain), (torch.tensor(np.ascontiguousarray(x), requires_grad=True), torch)]


# --- produced, or only passed on --------------------------------------------------------------------------------------


@given(data=st.data())
def test_produced_is_what_no_input_accounts_for(data: st.DataObject) -> None:
    shapes = data.draw(strategies.shapes_that_broadcast(2))
    inputs = [data.draw(strategies.arrays(shape, "float32")) for shape in shapes]
    y = data.draw(strategies.arrays(np.broadcast_shapes(*shapes), "float32"))
    elementwise = data.draw(st.booleans())
    expected = None
    for index in np.ndindex(y.shape):
        there = [np.broadcast_to(x, y.shape)[index].reshape(1) if elementwise else x.ravel() for x in inputs]
        everything = np.concatenate(there)
        nan, infinity = np.isnan(everything).any(), np.isinf(everything).any()
        if (np.isnan(y[index]) and not nan) or (np.isinf(y[index]) and not nan and not infinity):
            expected = index
            break
    assert find_produced(y, inputs, elementwise) == expected


UNARY = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "neg": np.negative, "abs": np.abs, "tanh": np.tanh}
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power}


@given(data=st.data(), name=st.sampled_from([*UNARY, *BINARY]))
def test_an_operation_raises_where_it_produces_and_nowhere_else(data: st.DataObject, name: str) -> None:
    scale = np.float32(data.draw(st.sampled_from([1.0, 1e20, 1e38])))
    count = 1 if name in UNARY else 2
    with np.errstate(all="ignore"):
        arrays = [data.draw(strategies.arrays((4,), "float32")) * scale for _ in range(count)]
        y = {**UNARY, **BINARY}[name](*arrays)
    expected = find_produced(y, arrays, True)
    first, *others = (minitrain.tensor(array) for array in arrays)
    try:
        with detect_anomaly():
            getattr(first, name)(*others)
    except AnomalyError as error:
        index = error.anomaly.index
    else:
        index = None
    assert index == expected


def test_operations_that_combine_places_pass_on_whatever_they_were_given() -> None:
    for x in (tensor(NAN, 1.0), tensor(INF, 1.0)):
        with detect_anomaly():
            x.sum()
            x @ x
            x.reshape(2, 1).mean(0)


def test_an_infinity_that_is_meant_goes_through() -> None:
    scores = minitrain.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with detect_anomaly():
        masked = minitrain.where(minitrain.tensor([[True, False], [True, True]]), scores, -INF)
        loss = F.nll_loss(masked.softmax(1), minitrain.tensor([0, 1]))
        loss.backward()
        minitrain.tensor([1.0]).clamp(min=-INF)
    assert scores.grad is not None


def test_a_nan_in_the_data_is_reported_where_it_came_in() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    X = minitrain.rand(5, 2, 2)
    X.array[3, 0, 1] = NAN

    def program() -> None:
        nn.CrossEntropyLoss()(model(X / 2), minitrain.tensor([0, 1, 0, 1, 0])).backward()

    anomaly = found(program)
    assert (anomaly.phase, anomaly.kind, anomaly.produced) == ("backward", "nan", False)
    assert anomaly.headline.endswith("It only passed them on; no operation produced them.")
    assert anomaly.entry is not None
    assert (anomaly.entry.where, anomaly.entry.place) == ("input 0 (a) of Div", here(program, 1))
    assert anomaly.entry.value.endswith("1 nan; the first at [3, 0, 1]")
    assert "Check the data" in anomaly.entry.hint
    assert "The nan came in as input 0 (a) of Div" in str(anomaly)


def test_a_nan_in_a_parameter_is_reported_with_its_name() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model[2].weight.array[1, 2] = NAN
    anomaly = found(lambda: F.cross_entropy(model(minitrain.rand(1, 4)), minitrain.tensor([0])).backward())
    assert anomaly.entry is not None
    assert anomaly.entry.where == "input 1 (weight, parameter 2.weight) of Linear, in 2 (Linear) of Sequential"
    assert "1 nan; the first at [1, 2]" in anomaly.entry.value
    assert "from an earlier update, or from a file" in anomaly.entry.hint


def test_a_nan_constant_is_reported_as_one() -> None:
    anomaly = found(lambda: (tensor(1.0, 2.0) * NAN).tanh().sum().backward())
    assert anomaly.entry is not None
    assert (anomaly.entry.where, anomaly.entry.hint) == ("input 1 (b) of Mul", "It is a constant in the program.")


@pytest.mark.parametrize("how", ["a view", "in place", "detached", "under no_grad"])
def test_where_a_nan_came_in_is_remembered_through(how: str) -> None:
    data = minitrain.tensor([[NAN, 1.0], [2.0, 3.0]])

    def program() -> None:
        if how == "a view":
            x = (data + 0)[:, :1].t()
        elif how == "in place":
            x = minitrain.ones(2, 2, requires_grad=True) * 1
            x += data
            x *= 2
        elif how == "detached":
            x = (data + 0).detach()
        else:
            with minitrain.no_grad():
                x = data + 0
        (x * tensor(1.0)).tanh().sum().backward()

    anomaly = found(program)
    assert anomaly.entry is not None
    assert anomaly.entry.where.endswith(f"({'b' if how == 'in place' else 'a'}) of Add")


def test_a_nan_from_infinities_is_produced_and_says_where_they_came_in() -> None:
    x = tensor(INF, 1.0)
    anomaly = found(lambda: (x * 2).exp() - x)
    assert (anomaly.operation, anomaly.kind, anomaly.produced) == ("Sub", "nan", True)
    assert "The infinity came in as input 0 (a) of Mul" in str(anomaly)


def test_what_was_there_before_detection_is_said_to_be() -> None:
    loss = (tensor(1.0) * NAN).tanh()
    assert "before detection was on" in found(loss.backward).remark
    y = tensor(1.0, 2.0) * 1
    assert "gradient that was passed to backward()" in found(lambda: y.backward(minitrain.tensor([NAN, 1.0]))).remark


def test_a_nan_is_reported_once_where_it_is_produced_not_where_it_goes() -> None:
    anomaly = found(lambda: ((tensor(0.0).log() * 0).exp() + 1).sum().backward())
    assert anomaly.operation == "Log"


# --- update -----------------------------------------------------------------------------------------------------------


def step_of(make: Callable[[Any], Any], param: float, grad: float) -> tuple[Any, Any]:
    """A model with one parameter, and an optimizer of it that is about to make a step."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(param)
    model.weight.grad = minitrain.tensor([[grad]])
    return model, make(model.parameters())


UPDATE: dict[str, tuple[Callable[[Any], Any], float, float, str, str, str]] = {
    "learning rate": (lambda p: optim.SGD(p, lr=1e30), 1.0, 1e10, "inf", "param", "overflow.*The learning rate is too"),
    "gradient": (lambda p: optim.SGD(p, lr=1), 1e38, -3e38, "inf", "param", "overflow.*Gradients grow so large"),
    "infinite rate": (lambda p: optim.SGD(p, lr=INF), 1.0, 0.0, "nan", "param", "the learning rate is infinite"),
    "momentum": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 1.0, 3e38, "inf", "param", "overflow"),
    "adam's square": (lambda p: optim.Adam(p), 1.0, 1e21, "inf", "exp_avg_sq", "the gradient is 1e.21 there, and its"),
    "rmsprop's square": (lambda p: optim.RMSprop(p), 1.0, 1e21, "inf", "square_avg", "its square is beyond"),
    "adam without eps": (lambda p: optim.Adam(p, eps=0), 1.0, 0.0, "nan", "param", "eps is 0.*divides by 0"),
    "rmsprop without eps": (lambda p: optim.RMSprop(p, eps=0), 1.0, 0.0, "nan", "param", "eps is 0.*divides by 0"),
    "adam's rate": (
        lambda p: optim.Adam(p, lr=5e37),
        3e38,
        -1.0,
        "inf",
        "param",
        "overflow.*learning rate is too high",
    ),
}


@pytest.mark.parametrize("name", UPDATE)
def test_what_is_produced_in_the_update_is_reported_with_its_cause(name: str) -> None:
    make, param, grad, kind, where, cause = UPDATE[name]
    step_of(make, param, grad)[1].step()  # without detection it goes through silently
    model, optimizer = step_of(make, param, grad)
    with detect_anomaly():
        model(minitrain.zeros(1, 1))
        anomaly = found(optimizer.step)
    assert (anomaly.phase, anomaly.kind, anomaly.produced, anomaly.parameter) == ("update", kind, True, "weight")
    assert anomaly.result[0] == where
    assert re.search(cause, anomaly.cause), anomaly.cause
    assert "param" in anomaly.formula
    assert "lr=" in dict(anomaly.values)["options"]


def test_a_rounding_below_0_in_centered_rmsprop_is_told() -> None:
    model, optimizer = step_of(lambda p: optim.RMSprop(p, centered=True, alpha=0.5), 1.0, 0.3)

    def program() -> None:
        for _ in range(100):
            optimizer.step()

    anomaly = found(program)
    assert "below 0 by rounding" in anomaly.cause
    assert anomaly.step > 1
    assert np.isfinite(model.weight.array).all()


def test_an_update_that_raises_changes_neither_parameters_nor_state() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for param in model.parameters():
        param.grad = minitrain.ones_like(param)
    optimizer.step()

    def everything() -> list[Any]:
        state = [value for values in optimizer.state.values() for value in values.values()]
        return [tensor.array for tensor in (*model.parameters(), *state)]

    arrays, before = everything(), [array.copy() for array in everything()]
    assert model[1].bias.grad is not None
    model[1].bias.grad.array[1] = NAN
    anomaly = found(optimizer.step)
    assert (anomaly.produced, anomaly.result[0]) == (False, "exp_avg")
    assert "The gradient contained it before the step" in anomaly.remark
    assert all(now is then for now, then in zip(everything(), arrays, strict=True))
    for now, then in zip(everything(), before, strict=True):
        assert np.array_equal(now, then)


def test_a_first_update_that_raises_leaves_no_state() -> None:
    model, optimizer = step_of(lambda p: optim.SGD(p, lr=0.1, momentum=0.9), 1.0, NAN)
    found(optimizer.step)
    assert optimizer.state_dict()["state"] == {}
    assert model.weight.array.item() == 1.0


@pytest.mark.parametrize(("pairs", "name"), [(False, "number 1"), (True, "0.bias")])
def test_without_a_forward_a_parameter_has_the_name_that_the_optimizer_knows(pairs: bool, name: str) -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    optimizer = optim.SGD(model.named_parameters() if pairs else model.parameters(), lr=1.0)
    model[0].bias.grad = minitrain.tensor([INF])
    assert found(optimizer.step).parameter == name


def test_an_infinite_gradient_of_the_data_is_followed_into_the_update() -> None:
    w = tensor(1.0)

    def program() -> None:
        (w * INF).backward()
        optim.SGD([w], lr=0.1).step()

    anomaly = found(program)
    assert (anomaly.phase, anomaly.produced, anomaly.kind) == ("update", False, "inf")
    assert "The infinity came in as input 1 (b) of Mul" in str(anomaly)


def test_the_step_is_counted_from_the_outermost_context() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def one_step() -> None:
        model(minitrain.ones(1, 2)).sum().backward()
        optimizer.step()

    one_step()
    with detect_anomaly():
        one_step()
        with detect_anomaly():
            one_step()
        with set_detect_anomaly(False):
            one_step()
        assert found(lambda: tensor(0.0).log()).step == 2
    assert found(lambda: tensor(0.0).log()).step == 0


def test_a_closure_is_watched_too() -> None:
    x = tensor(0.0)

    def closure() -> Any:
        loss = x.sqrt()
        loss.backward()
        return loss

    assert found(lambda: optim.SGD([x], lr=0.1).step(closure)).operation == "Sqrt"


# --- nothing is reported where there is nothing -----------------------------------------------------------------------


def a(*shape: int) -> Tensor:
    """Numbers from 0.5 up."""
    return (minitrain.rand(*shape) + 0.5).requires_grad_()


@every_operation
@given(data=st.data())
def test_finite_numbers_go_through_and_come_out_the_same(operation: type[ops.Function], data: st.DataObject) -> None:
    """Of every operation, wherever it is called with numbers whose result and gradients are finite."""
    inputs, options = data.draw(CASES[operation].calls)
    asks = can_ask(operation, inputs)
    assume(all_finite(inputs))
    results = []
    for watched in (False, True):
        leaves = [
            wrap(x.copy()).requires_grad_(ask) if isinstance(x, np.ndarray) else x
            for x, ask in zip(inputs, asks, strict=True)
        ]
        with np.errstate(all="ignore"), set_detect_anomaly(watched):
            y = apply(operation, *leaves, **options)
            y.sum().backward()
        gradients = [leaf.grad for leaf in leaves if isinstance(leaf, Tensor) and leaf.grad is not None]
        results.append([y.detach().array, *(grad.array for grad in gradients)])
        assume(all_finite(results[0]))
    for plain, watched_array in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, watched_array)


def all_finite(arrays: Sequence[Any]) -> bool:
    return all(np.isfinite(x).all() for x in arrays if x is not None and not callable(x))


EXTREMES: list[Callable[[], Tensor]] = [
    lambda: (a(3) * 1e30).tanh(),
    lambda: (a(3) * -1e30).sigmoid(),
    lambda: a(2, 3).sum(1) + minitrain.zeros(0).sum(),
    lambda: (a(2, 3) * 1e30).softmax(1),
    lambda: (a(2, 3) * 1e30).log_softmax(1),
    lambda: F.nll_loss(a(2, 3), minitrain.tensor([0, -100]), minitrain.tensor([1.0, 0.0, 0.0])),
    lambda: (a(3) * -1e30).logsumexp(0),
    lambda: F.softplus(a(3) * 1e30),
    lambda: F.elu(a(3) * 1e30),
]


@pytest.mark.parametrize("case", range(len(EXTREMES)))
def test_large_numbers_whose_results_are_finite_raise_no_alarm(case: int) -> None:
    with detect_anomaly():
        y = EXTREMES[case]()
        assert y.grad_fn is not None
        y.sum().backward()


@pytest.mark.parametrize("rule", [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW])
def test_a_healthy_model_trains_to_the_same_bits(rule: Any) -> None:
    weights = []
    for watched in (False, True):
        minitrain.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3))
        X, y = minitrain.rand(8, 2, 3), minitrain.randint(3, (8,))
        optimizer = rule(model.parameters(), lr=0.01)
        with set_detect_anomaly(watched):
            for _ in range(5):
                nn.CrossEntropyLoss()(model(X), y).backward()
                optimizer.step()
                optimizer.zero_grad()
        weights.append([param.array.copy() for param in model.parameters()])
    assert all(np.array_equal(mine, other) for mine, other in zip(*weights, strict=True))


def test_integers_and_empty_arrays_are_no_matter() -> None:
    with detect_anomaly():
        minitrain.arange(3).sum()
        (minitrain.zeros(0, 3, requires_grad=True) * 2).sum().backward()


# --- the switch -------------------------------------------------------------------------------------------------------


def test_contexts_nest_and_put_back_what_was() -> None:
    states = [is_anomaly_enabled()]
    with detect_anomaly():
        states.append(is_anomaly_enabled())
        with set_detect_anomaly(False):
            states.append(is_anomaly_enabled())
            tensor(0.0).log()
            with detect_anomaly():
                states.append(is_anomaly_enabled())
            states.append(is_anomaly_enabled())
        states.append(is_anomaly_enabled())
    with pytest.raises(ZeroDivisionError), detect_anomaly():
        1 / 0  # noqa: B018
    assert [*states, is_anomaly_enabled()] == [False, True, False, True, False, True, False]


def test_one_context_can_be_entered_again_within_itself() -> None:
    context = detect_anomaly()
    with context:
        with context:
            pass
        assert is_anomaly_enabled()
    assert not is_anomaly_enabled()


def test_set_detect_anomaly_switches_at_once() -> None:
    try:
        set_detect_anomaly(True)
        with pytest.raises(AnomalyError):
            tensor(0.0).log()
    finally:
        set_detect_anomaly(False)
    tensor(0.0).log()


def test_the_signatures_are_torchs() -> None:
    for mine, theirs in (
        (detect_anomaly, torch.autograd.detect_anomaly),
        (set_detect_anomaly, torch.autograd.set_detect_anomaly),
    ):
        mine_, theirs_ = (inspect.signature(function).parameters for function in (mine, theirs))
        assert [(name, p.default) for name, p in mine_.items()] == [(name, p.default) for name, p in theirs_.items()]
    with pytest.raises(TypeError, match="a mode of True or False, but got 1"):
        set_detect_anomaly(1)  # type: ignore[arg-type]


def test_another_thread_is_not_watched() -> None:
    results: list[Any] = []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: results.append((is_anomaly_enabled(), tensor(0.0).log().item())))
        thread.start()
        thread.join()
    assert results == [(False, -INF)]


class Faulty(minitrain.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        raise ValueError("my own mistake")


@pytest.mark.parametrize("check_nan", [True, False])
def test_an_error_in_backward_gets_a_note_of_its_forward(check_nan: bool) -> None:
    def program() -> None:
        x = tensor(1.0, 2.0)
        y = Faulty.apply(x)
        y.sum().backward()

    with detect_anomaly(check_nan=check_nan), pytest.raises(ValueError, match="my own mistake") as raised:
        program()
    assert raised.value.__notes__ == [f"in FaultyBackward0, whose forward ran, called at {here(program, 2)}"]
    with pytest.raises(ValueError, match="my own mistake") as unwatched:
        program()
    assert not hasattr(unwatched.value, "__notes__")


def test_without_check_nan_nothing_is_looked_at() -> None:
    x = tensor(0.0)
    with detect_anomaly(check_nan=False):
        (x.log() * 0).backward()
        optim.SGD([x], lr=0.1).step()
    assert np.isnan(x.detach().array)


def test_an_operation_of_ones_own_is_watched_and_no_cause_is_made_up() -> None:
    class Reciprocal(minitrain.autograd.Function):
        """y = 1/x;  dL/dx = -dL/dy / x²."""

        on_arrays = True

        @staticmethod
        def forward(ctx: Any, x: Any, *others: Any, at: float = 0.0) -> Any:
            ctx.x = x
            return 1 / (x - at)

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            return (-grad_y / ctx.x**2, None)

    anomaly = found(lambda: Reciprocal.apply(tensor(0.0, 1.0), None))
    assert (anomaly.operation, anomaly.formula, anomaly.cause) == ("Reciprocal", "y = 1/x; dL/dx = -dL/dy / x²", "")
    y = Reciprocal.apply(tensor(0.0, 1.0), None)
    anomaly = found(y.sum().backward)
    assert (anomaly.operation, anomaly.kind, anomaly.cause) == ("Reciprocal", "inf", "")
    assert dict(anomaly.values)["x"] == "[2] float32, from 0 to 1; saved on ctx"
    with detect_anomaly():
        Reciprocal.apply(tensor(1.0, 2.0), None, at=NAN)  # the option was nan already


def test_an_error_can_be_pickled() -> None:
    error = AnomalyError(found(lambda: tensor(0.0).log()))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.anomaly == error.anomaly


def test_nothing_outlives_its_tensors_under_detection() -> None:
    gc.disable()
    try:
        with detect_anomaly():
            x = tensor(1.0, NAN)
            y = (x * 2).relu()
            arrays = [weakref.ref(tensor.array) for tensor in (x, y)]
            del x, y
            assert [array() for array in arrays] == [None, None]
    finally:
        gc.enable()
