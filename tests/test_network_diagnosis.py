"""Whole networks: the layer and the step that a mistake is in are named, from the parameters' gradients alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitrain as torch
from minitrain import autograd, nn
from minitrain.autograd import check_gradients, gradcheck
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.ops import Array


def normal(*shape: int, seed: int = 0) -> Array:
    return 0.7 * np.random.RandomState(seed).randn(*shape)


def report_of(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Array) -> Report:
    pair = type("Net", (), {"forward": staticmethod(forward), "backward": staticmethod(backward)})
    return check_gradients(pair, inputs)


def names(report: Report) -> list[str]:
    return [mistake.name for mistake in report.whole]


def said(report: Report) -> str:
    return " ".join(f"{mistake.says} {mistake.evidence}" for mistake in report.whole)


# --- two layers with columns for samples, as a well-known course writes them ---

X, Y = normal(3, 8, seed=1), (normal(1, 8, seed=2) > 0).astype(float)


class TwoLayers:
    """Each method is one step of the right way back; a test replaces one of them."""

    def delta2(self, c: Any, g: float) -> Array:
        return np.asarray(g * (c.A2 - Y) / 8)

    def slope(self, c: Any) -> Any:
        return 1 - c.A1**2

    def dw2(self, c: Any, d2: Array) -> Array:
        return np.asarray(d2 @ c.A1.T)

    def db2(self, c: Any, d2: Array) -> Array:
        return np.asarray(d2.sum(axis=1, keepdims=True))

    def dw1(self, c: Any, d1: Array) -> Array:
        return np.asarray(d1 @ X.T)

    def backward(self, c: Any, g: Any) -> Any:
        d2 = self.delta2(c, g)
        d1 = c.W2.T @ d2 * self.slope(c)
        return self.dw1(c, d1), d1.sum(axis=1, keepdims=True), self.dw2(c, d2), self.db2(c, d2)


def two_layers(**changed: Callable[..., Any]) -> Report:
    def forward(c: Any, W1: Array, b1: Array, W2: Array, b2: Array) -> Any:
        Z1 = W1 @ X + b1
        A1 = np.tanh(Z1)
        Z2 = W2 @ A1 + b2
        A2 = 1 / (1 + np.exp(-Z2))
        c.W2, c.Z1, c.A1, c.A2 = W2, Z1, A1, A2
        return -(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)).sum() / 8

    back = TwoLayers()
    for name, method in changed.items():
        setattr(back, name, method)
    return report_of(
        forward, back.backward, normal(4, 3), normal(4, 1, seed=3), normal(1, 4, seed=4), normal(1, 1, seed=5)
    )


def test_a_right_network_is_right() -> None:
    assert two_layers().ok


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"slope": lambda c: 1}, "derivative-missing", ["layer 1", "tanh", "Z1", "look between layer 2 and layer 1"]),
        ({"slope": lambda c: 1 - c.A1}, "wrong-derivative", ["layer 1", "1 - A1", "1 - A1²"]),
        ({"slope": lambda c: 1 - np.tanh(c.A1) ** 2}, "at-output", ["layer 1", "already activated"]),
        ({"slope": lambda c: 1 - c.Z1**2}, "wrong-derivative", ["1 - Z1²"]),
        ({"dw2": lambda c, d2: d2 @ c.Z1.T}, "operand", ["W2", "made with Z1", "due is A1", "b2 is right"]),
        ({"db2": lambda c, d2: d2[:, :1]}, "sum-missing", ["b2", "first"]),
        ({"db2": lambda c, d2: d2.mean(axis=1, keepdims=True)}, "mean-twice", ["b2", "8 samples"]),
        ({"delta2": lambda c, g: g * (c.A2 - Y)}, "mean-missing", ["Every gradient", "8 samples"]),
        ({"delta2": lambda c, g: g * (Y - c.A2) / 8}, "sign", ["Every gradient", "wrong sign"]),
        ({"dw1": lambda c, d1: -2.5 * d1 @ X.T}, "factor", ["W1", "wrong sign", "2.5"]),
    ],
)
def test_what_people_forget_is_named_with_its_layer(
    changed: dict[str, Callable[..., Any]], name: str, words: list[str]
) -> None:
    report = two_layers(**changed)
    assert names(report)[:1] == [name], str(report)
    for word in words:
        assert word.lower() in said(report).lower(), str(report)


def test_of_what_nothing_explains_the_pattern_is_said() -> None:
    report = two_layers(slope=lambda c: np.cos(7 * c.Z1) + c.Z1)
    assert names(report) == ["network"]
    assert "W2 and b2 are right" in said(report)
    assert "Look between layer 2 and layer 1" in said(report)


def test_two_mistakes_are_both_named() -> None:
    report = two_layers(delta2=lambda c, g: g * (c.A2 - Y), slope=lambda c: 1)
    assert names(report) == ["mean-missing", "derivative-missing"]


# --- a layer that is used again and again ---


def recurrent(through_time: float, accumulate: bool) -> Report:
    sequence = normal(4, 2, 3, seed=6)

    def forward(c: Any, w_x: Array, w_h: Array, b: Array, w_y: Array) -> Any:
        states = [np.zeros((2, 5))]
        for x in sequence:
            states.append(np.tanh(x @ w_x + states[-1] @ w_h + b))
        c.w_h, c.w_y, c.states = w_h, w_y, states
        return sum((h @ w_y) ** 2 for h in states[1:]).sum()

    def backward(c: Any, g: Any) -> Any:
        w_x, w_h, b, w_y = np.zeros((3, 5)), np.zeros((5, 5)), np.zeros(5), np.zeros((5, 2))
        later = np.zeros((2, 5))
        for t in reversed(range(4)):
            h = c.states[t + 1]
            dy = 2 * g * (h @ c.w_y)
            dz = (dy @ c.w_y.T + through_time * later) * (1 - h * h)
            w_y += h.T @ dy
            if not accumulate:
                w_x[...] = 0
            w_x += sequence[t].T @ dz
            w_h += c.states[t].T @ dz
            b += dz.sum(axis=0)
            later = dz @ c.w_h.T
        return w_x, w_h, b, w_y

    return report_of(forward, backward, normal(3, 5), normal(5, 5, seed=7), normal(5, seed=8), normal(5, 2, seed=9))


def test_a_way_back_through_time_that_is_missing_is_named() -> None:
    assert recurrent(1.0, True).ok
    report = recurrent(0.0, True)
    assert names(report) == ["path-forgotten"], str(report)
    assert "is missing" in said(report)


def test_only_one_use_of_a_weight_is_kept() -> None:
    report = recurrent(1.0, False)
    assert names(report) == ["path-forgotten"], str(report)
    assert "w_x is used 4 times" in said(report)
    assert "first use" in said(report)


# --- saved arrays that are written ---


def test_a_backward_that_writes_into_what_was_saved_gets_that_diagnosis_alone() -> None:
    def forward(c: Any, w: Array, v: Array) -> Any:
        c.w, c.v = w, v
        return (w * v).sum()

    def backward(c: Any, g: Any) -> Any:
        gradients = g * c.v, g * c.w
        c.v -= 0.1 * gradients[1]
        return gradients

    report = report_of(forward, backward, normal(3), normal(3, seed=1))
    assert names(report) == ["saved-changed"]
    assert "writes into v" in said(report)
    assert not any(found.mistakes for found in report.inputs)


# --- functions of Tensors ---


class HalfSine(autograd.Function):
    """sin, with half of its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Array) -> Array:
        ctx.x = x
        return np.asarray(np.sin(x))

    @staticmethod
    def backward(ctx: Any, grad_y: Array) -> Array:
        return np.asarray(0.5 * grad_y * np.cos(ctx.x))


class HalfSineOfTensors(autograd.Function):
    """The same, written for Tensors."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 0.5 * grad_y * x.cos()


class Net(nn.Module):
    def __init__(self, operation: Any) -> None:
        super().__init__()
        self.a, self.b, self.operation = nn.Linear(3, 4), nn.Linear(4, 2), operation

    def forward(self, x: Any) -> Any:
        return self.b(self.operation(self.a(x)))


@pytest.mark.parametrize("operation", [HalfSine, HalfSineOfTensors])
@pytest.mark.parametrize("fast_mode", [False, True])
def test_the_operation_in_a_module_whose_backward_is_wrong_is_named(operation: Any, fast_mode: bool) -> None:
    torch.manual_seed(0)
    net = Net(operation.apply).double()
    inputs = torch.tensor(normal(5, 3)), torch.tensor(normal(5, 2, seed=1))
    report = check_gradients(net, inputs, loss_fn=nn.MSELoss(), fast_mode=fast_mode)
    assert operation.__name__ in said(report), str(report)
    assert "self.b(self.operation(self.a(x)))" in said(report)
    assert gradcheck(Net(torch.sin).double(), inputs, loss_fn=nn.MSELoss())


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda w: (w * w.detach()).sum(), "Mul"),
        (lambda w: (torch.tensor(w.array * 2) + w).exp(), "Add"),
        (lambda w: w * w.sum().item(), "Mul"),
    ],
)
def test_a_way_back_that_is_cut_is_named_with_its_operation(function: Any, operation: str) -> None:
    report = check_gradients(function, (torch.tensor(normal(3, 2), requires_grad=True),))
    (found,) = report.inputs
    assert found.mistakes[0].name == "detached", str(report)
    assert "The way back is cut" in found.mistakes[0].says
    assert f"of {operation} depends on input 0" in found.mistakes[0].says


def test_a_constant_beside_a_right_way_back_is_not_called_a_cut() -> None:
    constant = torch.tensor(normal(3, 2, seed=5))
    report = check_gradients(
        lambda w: (HalfSine.apply(w) * constant).sum(), (torch.tensor(normal(3, 2), requires_grad=True),)
    )
    assert "HalfSine" in said(report)
    assert "cut" not in str(report)
