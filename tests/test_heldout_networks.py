"""Optimizers and networks in the forms that people write, with the mistakes that their forms invite."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minitrain import optim
from minitrain.autograd import check_gradients
from minitrain.diagnosis.optimcheck import check_optimizer


def names(report: Any) -> list[str]:
    return [mistake.name for mistake in report.mistakes]


# --- forms of an optimizer --------------------------------------------------------------------------------------------


def adam_function(
    w: Any, dw: Any, m: Any, v: Any, t: int, eta: float = 0.001, b1: float = 0.9, b2: float = 0.999
) -> Any:
    m, v = b1 * m + (1 - b1) * dw, b2 * v + (1 - b2) * dw**2
    return w - eta * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8), m, v


class ByLayer:
    """update_params(layer), with the layer's own state."""

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9) -> None:
        self.learning_rate, self.momentum = learning_rate, momentum

    def update_params(self, layer: Any) -> None:
        for name in ("weights", "biases"):
            old = getattr(layer, f"{name}_velocity", 0.0)
            velocity = self.momentum * old - self.learning_rate * getattr(layer, f"d{name}")
            setattr(layer, f"{name}_velocity", velocity)
            setattr(layer, name, getattr(layer, name) + velocity)


class OnlyWeights(ByLayer):
    def update_params(self, layer: Any) -> None:
        biases = layer.biases.copy()
        super().update_params(layer)
        layer.biases = biases


class ByPairs:
    def __init__(self, learning_rate: float = 0.01) -> None:
        self.learning_rate, self.sums = learning_rate, {}

    def apply_gradients(self, grads_and_vars: Any) -> None:
        for k, (grad, var) in enumerate(grads_and_vars):
            self.sums[k] = self.sums.get(k, 0) + grad**2
            var -= self.learning_rate * grad / (np.sqrt(self.sums[k]) + 1e-10)


class PerArray:
    """update(w, grad_w), one object for each parameter."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr, self.decay_rate, self.cache = lr, decay_rate, None

    def update(self, w: Any, grad_w: Any) -> Any:
        self.cache = np.zeros(np.shape(w)) if self.cache is None else self.cache
        self.cache = self.decay_rate * self.cache + (1 - self.decay_rate) * np.power(grad_w, 2)
        return w - self.lr * grad_w / (np.sqrt(self.cache) + 1e-8)


class Holding:
    """step(grads); the parameters are its own."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        self.params, self.lr = list(params), lr

    def step(self, grads: Any) -> None:
        for k, grad in enumerate(grads):
            self.params[k] = self.params[k] - self.lr * grad


def by_name(
    parameters: dict[str, Any], grads: dict[str, Any], v: dict[str, Any], beta: float, learning_rate: float
) -> Any:
    for k in range(1, len(parameters) // 2 + 1):
        for name in (f"W{k}", f"b{k}"):
            v[f"d{name}"] = beta * v[f"d{name}"] + grads[f"d{name}"]
            parameters[name] = parameters[name] - learning_rate * v[f"d{name}"]
    return parameters, v


def with_batch(params: Any, lr: float, batch_size: int) -> None:
    for param in params:
        param[:] = param - lr * param.grad / batch_size


RIGHT: list[tuple[Any, Any, dict[str, Any]]] = [
    (adam_function, "adam", {"lr": 0.002, "betas": (0.8, 0.99)}),
    (ByLayer, "sgd", {"lr": 0.02, "momentum": 0.8}),
    (ByPairs, "adagrad", {"lr": 0.05}),
    (PerArray, "rmsprop", {"lr": 0.02, "alpha": 0.9}),
    (Holding, "sgd", {}),
    (by_name, "sgd", {"lr": 0.1, "momentum": 0.9}),
    (with_batch, "sgd", {"lr": 0.1}),
]


@pytest.mark.parametrize(("piece", "rule", "options"), RIGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_right_optimizer_of_any_form_passes(piece: Any, rule: Any, options: dict[str, Any]) -> None:
    report = check_optimizer(piece, rule, options=options)
    assert report.ok, report


def test_a_bias_that_is_never_updated_shows_in_a_layer() -> None:
    report = check_optimizer(OnlyWeights, "sgd", options={"lr": 0.1, "momentum": 0.9})
    assert not report.ok
    assert names(report)[0] == "not-updated"
    assert report.wrong == [1]


def test_what_a_form_needs_is_said_where_none_fits() -> None:
    class Odd:
        def __init__(self, lr: float = 0.1) -> None:
            self.lr = lr

        def step(self, first: Any, second: Any, third: Any) -> None:
            raise RuntimeError

    with pytest.raises((TypeError, RuntimeError)):
        check_optimizer(Odd, "sgd", options={})


# --- rules beyond Adam ------------------------------------------------------------------------------------------------


def adagrad(add: Callable[[Any, Any], Any]) -> Any:
    class Adagrad(ByPairs):
        def apply_gradients(self, grads_and_vars: Any) -> None:
            for k, (grad, var) in enumerate(grads_and_vars):
                self.sums[k] = add(self.sums.get(k, 0 * grad), grad)
                var -= self.learning_rate * grad / (np.sqrt(self.sums[k]) + 1e-10)

    return Adagrad


@pytest.mark.parametrize(
    ("add", "name"),
    [
        (lambda total, grad: grad**2, "sum-forgets"),
        (lambda total, grad: 0.9 * total + 0.1 * grad**2, "sum-averaged"),
        (lambda total, grad: total + np.abs(grad), "square-missing"),
        (lambda total, grad: total + (grad**2).mean(), "one-scale"),
    ],
)
def test_a_wrong_sum_of_squares_is_named(add: Callable[[Any, Any], Any], name: str) -> None:
    assert names(check_optimizer(adagrad(add), optim.Adagrad, options={"lr": 0.1}))[0] == name


def test_a_sum_of_other_powers_is_not_named() -> None:
    assert names(check_optimizer(adagrad(lambda total, grad: total + grad**4), optim.Adagrad, options={"lr": 0.1})) in (
        [],
        ["memory-wrong"],
    )


class Divided(Holding):
    def step(self, grads: Any) -> None:
        super().step([grad / 10 for grad in grads])


class LrSquared(Holding):
    def step(self, grads: Any) -> None:
        super().step([self.lr * grad for grad in grads])


def test_a_factor_that_happens_to_equal_lr_is_not_called_lr() -> None:
    assert "lr-twice" not in names(check_optimizer(Divided, "sgd", options={"lr": 0.1}))
    assert names(check_optimizer(LrSquared, "sgd", options={"lr": 0.1}))[0] == "lr-twice"


def test_the_layer_form_gives_every_usual_name() -> None:
    seen = SimpleNamespace(names=set())

    class Looks(ByLayer):
        def update_params(self, layer: Any) -> None:
            seen.names = set(vars(layer))
            super().update_params(layer)

    assert check_optimizer(Looks, "sgd", options={"lr": 0.1}).ok
    assert {"weights", "biases", "W", "b", "dW", "db", "dweights", "dbiases", "params", "grads"} <= seen.names


# --- networks by hand -------------------------------------------------------------------------------------------------


def normal(*shape: int, seed: int) -> Any:
    return np.random.RandomState(seed).randn(*shape)


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


X, Y = normal(6, 4, seed=1), np.eye(3)[[0, 1, 2, 2, 1, 0]]
WEIGHTS = tuple(0.8 * normal(*shape, seed=2 + k) for k, shape in enumerate([(4, 5), (5,), (5, 3), (3,)]))


def classifier(scores: Callable[[Any, Any], Any], hidden: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Two layers. scores(p, z): the gradient of the scores; hidden(d, z): that of the hidden layer before its relu."""

    def loss(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        z1 = X @ W1 + b1
        h = np.maximum(z1, 0)
        z2 = h @ W2 + b2
        p = softmax(z2)
        d2 = scores(p, z2) / len(X)
        d1 = hidden(d2 @ W2.T, z1)
        return -(Y * np.log(p)).sum() / len(X), (X.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0))

    return loss


def right_scores(p: Any, z: Any) -> Any:
    return p - Y


def right_hidden(d: Any, z: Any) -> Any:
    return d * (z > 0)


def first(func: Callable[..., Any], inputs: Any = WEIGHTS) -> tuple[str, str]:
    """Name and sentence of what is said first of the whole network."""
    report = check_gradients(func, inputs)
    assert not report.ok
    return (report.whole[0].name, report.whole[0].says) if report.whole else ("", "")


def test_a_right_network_passes() -> None:
    assert check_gradients(classifier(right_scores, right_hidden), WEIGHTS).ok


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (lambda p, z: p, "The one-hot is missing"),
        (lambda p, z: (p - Y) * p * (1 - p), "once more"),
        (lambda p, z: -Y / p, "softmax's derivative is missing"),
        (lambda p, z: (p - Y) * Y, "Only the right class gets a gradient"),
        (lambda p, z: (p - Y) * (z > 0), "the forward has none there"),
    ],
)
def test_what_is_wrong_at_the_scores_is_named(scores: Callable[[Any, Any], Any], says: str) -> None:
    assert says in first(classifier(scores, right_hidden))[1]


def test_another_gradient_of_the_scores_is_not_named() -> None:
    assert first(classifier(lambda p, z: p**3 - Y, right_hidden))[0] in ("network", "")


@pytest.mark.parametrize(
    ("hidden", "name"),
    [
        (lambda d, z: d * (d > 0), "mask-of-gradient"),
        (lambda d, z: d * np.where(z > 0, 1, 0.01), "mask-leaky"),
        (lambda d, z: d * (z > 0.3), "network"),
    ],
)
def test_what_is_wrong_with_a_mask_is_named(hidden: Callable[[Any, Any], Any], name: str) -> None:
    assert first(classifier(right_scores, hidden))[0] == name


def normalizer(back: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """A layer, normalized over the batch. back(g, y, std): the gradient before the normalization."""

    def loss(W: Any, b: Any, gamma: Any, V: Any) -> Any:
        z = X @ W + b
        std = np.sqrt(z.var(0) + 1e-5)
        y = (z - z.mean(0)) / std
        h = np.tanh(gamma * y)
        out = h @ V
        dh = (out @ V.T) * (1 - h**2)
        dz = back(dh * gamma, y, std)
        return 0.5 * (out**2).sum(), (X.T @ dz, dz.sum(0), (dh * y).sum(0), h.T @ out)

    return loss


NORMALIZED = tuple(0.8 * normal(*shape, seed=12 + k) for k, shape in enumerate([(4, 5), (5,), (5,), (5, 2)]))


def test_a_term_of_a_normalization_is_named() -> None:
    def right(g: Any, y: Any, std: Any) -> Any:
        return (g - g.mean(0) - y * (g * y).mean(0)) / std

    assert check_gradients(normalizer(right), NORMALIZED).ok
    assert "through the variance is missing" in first(normalizer(lambda g, y, s: (g - g.mean(0)) / s), NORMALIZED)[1]
    name, _ = first(normalizer(lambda g, y, s: (g - g.mean(0) - y**2 * (g * y).mean(0)) / s), NORMALIZED)
    assert name in ("network", "")
