"""Random right gradients, at inputs that make a check hard: none is called wrong, and none gets a diagnosis."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minitrain import ops
from minitrain.diagnosis.gradcheck import check_gradients
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.mistakes.table import Example
from minitrain.nn import functional as F
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from tests.test_zoo import OPERATIONS, AnyNumbers, any_example

KINDS = ["plain", "ties", "near kinks", "zeros", "ones"]


class AwkwardNumbers(AnyNumbers):
    """Numbers from 1e-3 to 1e3 in size, in float64 or float32, with ties, zeros, ones, kinks nearby; batches of one."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.scale = 10 ** self._random.uniform(-3, 3)
        self.dtype = self.one_of(np.float64, np.float64, np.float32)
        self.kind = self.one_of("plain", *KINDS)
        self.one_row = self._random.random() < 0.2

    def shape(self, ndim: int) -> tuple[int, ...]:
        shape = super().shape(ndim)
        return (1, *shape[1:]) if self.one_row else shape

    def array(self, *shape: int, positive: bool = False) -> Array:
        numbers = np.asarray(self._random.normal(0, 1, shape))
        match self.kind:
            case "ties":
                numbers = np.round(2 * numbers) / 2
            case "near kinks":
                near = 10 ** self._random.uniform(-10, -3, shape) * np.sign(numbers)
                numbers = np.where(self._random.random(shape) < 0.3, near, numbers)
            case "zeros":
                numbers = np.where(self._random.random(shape) < 0.5, 0, numbers)
            case "ones":
                numbers = np.ones(shape)
        numbers = np.abs(numbers) + 0.25 if positive else numbers
        return np.asarray((1 if self.kind == "ones" else self.scale) * numbers, self.dtype)

    def shares(self, *shape: int) -> Array:
        """Numbers from 0.05 to 0.95."""
        return np.asarray(self._random.uniform(0.05, 0.95, shape), self.dtype)


def a_further_example(name: str, draw: AwkwardNumbers) -> Example:
    """A random call of an operation that test_zoo.py has no example for."""
    n, c = draw.shape(2)
    x = draw.array(n, c, positive=name in ("Log2", "Log1P", "Rsqrt", "Reciprocal"))
    over: dict[str, Any] = {"dim": draw.one_of((0,), (1,), (0, 1)), "keepdim": draw.one_of(False, True)}
    match name:
        case "Normalize":
            weight, bias = (draw.one_of(None, draw.array(1, c)) for _ in range(2))
            return Example([draw.array(n + 2, c), weight, bias], {"dim": (0,), "eps": 1e-5})
        case "Norm":
            return Example([x], {"p": draw.one_of(1.0, 2.0, 3.0, np.inf), **over})
        case "LogSumExp" | "Prod":
            return Example([x], over)
        case "Cumsum" | "Cumprod":
            return Example([x], {"dim": draw.one_of(0, 1)})
        case "Conv2d":
            weight, bias = draw.array(2, c, 2, 2), draw.one_of(None, draw.array(2))
            options = {"stride": draw.one_of((1, 1), (2, 1)), "padding": draw.one_of((0, 0), (1, 1))}
            return Example([draw.array(n, c, 3, 3), weight, bias], {**options, "dilation": (1, 1), "groups": 1})
        case "MaxPool2d":
            options = {"size": (2, 2), "stride": draw.one_of((1, 1), (2, 2)), "padding": (0, 0)}
            return Example([draw.array(1, 2, 3, 4)], {**options, "dilation": (1, 1), "ceil": (0, 0)})
        case "AvgPool2d":
            options = {"size": (2, 2), "stride": (1, 1), "padding": (0, 0), "ceil": (0, 0)}
            return Example([draw.array(1, c, 3, 3), np.full((2, 2), 4)], options)
        case "LeakyReLU":
            return Example([x], {"slope": draw.one_of(0.0, 0.01, 0.2)})
        case "ELU":
            return Example([x], {"alpha": draw.one_of(0.5, 1.0), "scale": 1.0, "rate": 1.0})
        case "Softplus":
            return Example([x], {"beta": draw.one_of(0.5, 1.0), "threshold": 20.0})
        case "Hardtanh":
            return Example([x], {"low": -1.0, "high": draw.one_of(0.25, 1.0)})
        case "BCELoss":
            return Example([draw.shares(n, c), draw.shares(n, c)])
        case "BCEWithLogitsLoss":
            return Example([x, draw.shares(n, c), draw.one_of(None, draw.integers(4, n, c) + 1)])
        case "SmoothL1Loss":
            return Example([x, draw.array(n, c)], {"beta": draw.one_of(0.5, 1.0)})
    return Example([x])


FURTHER = [
    *("Normalize", "Norm", "LogSumExp", "Prod", "Cumsum", "Cumprod", "Conv2d", "MaxPool2d", "AvgPool2d"),
    *("LeakyReLU", "ELU", "SiLU", "Softplus", "LogSigmoid", "Hardtanh", "BCELoss", "BCEWithLogitsLoss"),
    *("SmoothL1Loss", "Sin", "Cos", "Atan", "Erf", "Log1P", "Rsqrt", "Reciprocal", "Expm1", "Asinh"),
]


def a_network(draw: AwkwardNumbers) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Two layers, an activation and a loss, as a function of Tensors."""
    n, c = draw.shape(2)
    hidden, classes = draw.shape(2)
    activation = draw.one_of(F.relu, F.gelu, F.silu, Tensor.tanh, Tensor.sigmoid, lambda h: F.leaky_relu(h, 0.1))
    norm = draw.one_of(lambda h: h, lambda h: F.layer_norm(h, (hidden,)))
    labels = wrap(draw.integers(classes, n))
    loss = draw.one_of(lambda y: F.cross_entropy(y, labels), lambda y: (y * y).mean(), lambda y: y.softmax(1).amax(1))

    def function(x: Tensor, W1: Tensor, b1: Tensor, W2: Tensor) -> Tensor:
        result: Tensor = loss(activation(norm(x @ W1 + b1)) @ W2)
        return result

    shapes = [(n, c), (c, hidden), (hidden,), (hidden, classes)]
    return function, [wrap(draw.array(*shape)).requires_grad_() for shape in shapes]


def check_case(seed: int) -> tuple[str, Report]:
    """What is checked in this case, and the report."""
    draw = AwkwardNumbers(seed)
    name = draw.one_of(*OPERATIONS, *FURTHER, *["a network"] * 12)
    about = f"seed {seed}: {name}, {draw.kind}, scale {draw.scale:.2g}, {np.dtype(draw.dtype).name}"
    if name == "a network":
        function, tensors = a_network(draw)
        return about, check_gradients(function, tensors, seed=seed)
    inputs, options = a_further_example(name, draw) if name in FURTHER else any_example(name, draw)
    needs = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
    needs = [True, False, False] if name == "NLLLoss" else needs
    return about, check_gradients(getattr(ops, name), inputs, options=options, needs_input_grad=needs, seed=seed)


def called_wrong(seeds: range) -> list[str]:
    """The cases that are called wrong or get a diagnosis, or a warning about a hidden mistake."""
    found = []
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            about, report = check_case(seed)
        named = [mistake for of_input in report.inputs for mistake in of_input.mistakes]
        doubts = [text for text in report.warnings if "the result does not depend on it" not in text]
        if not report.ok or named or doubts:
            found.append(f"{about}\n{report}\n{' '.join(doubts)}")
    return found


def test_no_right_gradient_is_called_wrong() -> None:
    found = called_wrong(range(150))
    assert not found, "\n\n".join(found)


@pytest.mark.slow
def test_none_of_a_thousand_right_gradients_is_called_wrong() -> None:
    found = called_wrong(range(1000, 2000))
    assert not found, f"{len(found)} of 1000\n" + "\n\n".join(found)
