"""Mistakes of a third kind in layers, networks and optimizers: each is named, and a near miss is not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import optim
from minitrain.autograd import check_gradients
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.diagnosis.optimcheck import check_optimizer
from minitrain.ops import Array


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).randn(*shape)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def first(report: Report) -> tuple[str, str]:
    assert not report.ok, "it passed"
    found = [*report.whole, *(mistake for one in report.inputs for mistake in one.mistakes)]
    return (found[0].name, found[0].says) if found else ("", "")


# --- layers -----------------------------------------------------------------------------------------------------------


def layer(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Array) -> Report:
    def keeping(ctx: Any, *given: Array) -> Any:
        ctx.given, ctx.y = given, np.asarray(forward(*given))
        return ctx.y

    pair = SimpleNamespace(__name__="Piece", forward=keeping, backward=backward)
    return check_gradients(pair, inputs, needs_input_grad=[True, *[False] * (len(inputs) - 1)])


ABOVE, SEGMENT = normal(12, seed=3), np.array([0, 0, 0, 1, 2, 2, 2, 2])


def quantile(q: Array) -> Any:
    return np.maximum(0.8 * (ABOVE - q), -0.2 * (ABOVE - q)).mean()


def of_quantile(above: float, below: float) -> Callable[..., Any]:
    return lambda ctx, g: g * np.where(ctx.given[0] < ABOVE, above, below) / 12


def by_segment(x: Array) -> Array:
    return np.array([x[k == SEGMENT].mean(0) for k in range(3)])


def power_mean(x: Array) -> Any:
    return (x**3).mean(1) ** (1 / 3)


def of_power_mean(power: float) -> Callable[..., Any]:
    return lambda ctx, g: (g * ctx.y**power)[:, np.newaxis] * ctx.given[0] ** 2 / 5


def two_paths(x: Array, w: Array) -> Array:
    return np.sin(x) + (x * x) @ w


LAYERS = {
    "slopes of two sides": (quantile, of_quantile(-0.2, 0.8), "mask-inverted", "are exchanged", of_quantile(-0.3, 0.8)),
    "not divided by a count": (
        by_segment,
        lambda ctx, g: g[SEGMENT],
        "row-factor",
        "a count",
        lambda ctx, g: g[SEGMENT] * np.linspace(1, 2, 8)[:, np.newaxis],
    ),
    "a power too many": (power_mean, of_power_mean(0), "operand", "y² once too often", of_power_mean(-0.5)),
}
INPUTS = {quantile: (normal(12),), by_segment: (normal(8, 3),), power_mean: (np.abs(normal(4, 5)) + 0.5,)}


@pytest.mark.parametrize("case", LAYERS)
def test_a_mistake_in_a_layer_is_named_and_its_near_miss_is_not(case: str) -> None:
    forward, wrong, name, phrase, near = LAYERS[case]
    found, says = first(layer(forward, wrong, *INPUTS[forward]))
    assert (found, phrase in says) == (name, True), f"{found}: {says}"
    found, says = first(layer(forward, near, *INPUTS[forward]))
    assert (found, phrase in says) != (name, True), f"{found}: {says}"


def test_a_path_through_another_input_that_is_missing_is_named() -> None:
    x, w = normal(4, 4), normal(4, 4, seed=1)
    found = first(layer(two_paths, lambda ctx, g: (g * np.cos(ctx.given[0]), None), x, w))
    assert found[0] in ("path-forgotten", "term-missing"), found
    found = first(layer(two_paths, lambda ctx, g: (g * np.cos(ctx.given[0]) + 0.5, None), x, w))
    assert "set to 0" not in found[1], found


# --- networks ---------------------------------------------------------------------------------------------------------


def vae(bug: str) -> Any:
    x, noise = normal(6, 5), normal(6, 2, seed=1)

    def loss_and_gradients(wm: Array, ws: Array, wd: Array) -> Any:
        m, s = x @ wm, x @ ws
        std = np.exp(0.5 * s)
        z = m + noise * std
        out = z @ wd
        kl = -0.5 * (1 + s - m**2 - np.exp(s)).sum()
        loss = 0.5 * ((out - x) ** 2).sum() + kl
        dz = (out - x) @ wd.T
        ds = dz * noise * std * 0.5 + {"": -0.5, "term": 0, "half": -0.25}[bug] * (1 - np.exp(s))
        return loss, {"wm": x.T @ (dz + m), "ws": x.T @ ds, "wd": z.T @ (out - x)}

    return loss_and_gradients, [0.5 * normal(5, 2, seed=2), 0.5 * normal(5, 2, seed=3), normal(2, 5, seed=4)]


def joined(bug: str) -> Any:
    x, y = normal(6, 3), normal(6, 2, seed=1)

    def loss_and_gradients(w0: Array, w1: Array, w2: Array) -> Any:
        h0 = np.tanh(x @ w0)
        h1 = np.tanh(h0 @ w1)
        both = np.concatenate([h0, h1], 1)
        out = both @ w2
        loss = 0.5 * ((out - y) ** 2).sum()
        dboth = (out - y) @ w2.T
        d0, d1 = dboth[:, :4], dboth[:, 4:]
        if bug:
            d0, d1 = (d1, d0) if bug == "exchanged" else (d1, d0[::-1])
        dz1 = d1 * (1 - h1**2)
        dz0 = (d0 + dz1 @ w1.T) * (1 - h0**2)
        return loss, {"w0": x.T @ dz0, "w1": h0.T @ dz1, "w2": both.T @ (out - y)}

    return loss_and_gradients, [normal(3, 4, seed=2), normal(4, 4, seed=3), normal(8, 2, seed=4)]


def on_a_graph(bug: str) -> Any:
    x, y, edges = normal(5, 4), normal(5, 3, seed=1), np.triu(np.ones((5, 5)))

    def loss_and_gradients(w1: Array, w2: Array) -> Any:
        z1 = edges @ x @ w1
        h1 = np.maximum(z1, 0)
        out = edges @ h1 @ w2
        loss = 0.5 * ((out - y) ** 2).sum()
        back = {"": edges.T, "transposed": edges, "other": edges[::-1]}[bug]
        dz1 = back @ ((out - y) @ w2.T) * (z1 > 0)
        return loss, {"w1": (edges @ x).T @ dz1, "w2": (edges @ h1).T @ (out - y)}

    return loss_and_gradients, [normal(4, 6, seed=2), normal(6, 3, seed=3)]


def policy(bug: str) -> Any:
    x, taken, gain = normal(7, 4), np.array([0, 1, 1, 0, 1, 0, 0]), normal(7, seed=1)

    def loss_and_gradients(w1: Array, w2: Array) -> Any:
        h = np.maximum(x @ w1, 0)
        logits = h @ w2
        p = softmax(logits)
        logp = np.log(p[np.arange(7), taken])
        loss = -(logp * gain).mean()
        d = p.copy()
        d[np.arange(7), taken] -= 1
        d /= 7
        each = {"": gain, "without": np.ones(7), "other": gain + 0.1}[bug]
        dh = (d * each[:, np.newaxis]) @ w2.T
        return loss, {"w1": x.T @ (dh * (h > 0)), "w2": h.T @ (d * gain[:, np.newaxis])}

    return loss_and_gradients, [normal(4, 5, seed=2), normal(5, 2, seed=3)]


def two_heads(bug: str) -> Any:
    x, y, labels = normal(6, 4), normal(6, 2, seed=1), np.array([0, 1, 2, 0, 1, 2])

    def loss_and_gradients(w: Array, wa: Array, wb: Array) -> Any:
        h = np.maximum(x @ w, 0)
        out, scores = h @ wa, 6 * h @ wb  # large scores: some probabilities are tiny
        p = softmax(scores)
        loss = ((out - y) ** 2).mean() - np.log(p[np.arange(6), labels]).mean()
        dout = (out - y) / 6
        d = p.copy()
        d[np.arange(6), labels] -= 1
        dh = dout @ wa.T + {"": 1, "one": 0, "half": 0.5}[bug] * d @ wb.T
        return loss, {"w": x.T @ (dh * (h > 0)), "wa": h.T @ dout, "wb": h.T @ d}

    return loss_and_gradients, [normal(4, 5, seed=2), normal(5, 2, seed=3), normal(5, 3, seed=4)]


NETWORKS = [
    (vae, "term", "path-forgotten", "A term of the loss, kl, is left out of the gradient of s", "half"),
    (joined, "exchanged", "wrong-place", "are exchanged", "turned"),
    (on_a_graph, "transposed", "transposed", "constant matrix", "other"),
    (policy, "without", "operand-missing", "constant factor of each sample", "other"),
    (two_heads, "one", "path-forgotten", "is not added", "half"),
]


@pytest.mark.parametrize(("net", "bug", "name", "phrase", "near"), NETWORKS)
def test_a_mistake_in_a_network_is_named_and_its_near_miss_is_not(
    net: Callable[[str], Any], bug: str, name: str, phrase: str, near: str
) -> None:
    assert check_gradients(*net("")).ok
    found, says = first(check_gradients(*net(bug)))
    assert (found, phrase in says) == (name, True), f"{found}: {says}"
    found, says = first(check_gradients(*net(near)))
    assert (found, phrase in says) != (name, True), f"{found}: {says}"


# --- optimizers -------------------------------------------------------------------------------------------------------


def with_groups(update: Callable[..., None], stops: str = "") -> Any:
    """An optimizer with groups. stops: what ends its loop too early."""

    class Mine(optim.Optimizer):
        def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.0) -> None:
            super().__init__(params, {"lr": lr, "momentum": momentum})

        @minitrain.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        if stops == "without":
                            break
                        continue
                    update(p, p.grad, self.state[p], group)
                    if stops == "after the first":
                        return

    return Mine


def momentum(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
    state["v"] = group["momentum"] * state["v"] + g if "v" in state else g.clone()
    p.sub_(state["v"], alpha=group["lr"])


def names(report: Any) -> list[str]:
    return [mistake.name for mistake in report.mistakes]


def test_what_an_optimizer_remembers_may_have_names_of_its_own() -> None:
    assert check_optimizer(with_groups(momentum), optim.SGD, options={"momentum": 0.9}).ok
    assert check_optimizer(with_groups(momentum), "sgd", options={"lr": 0.1, "momentum": 0.9}).ok


@pytest.mark.parametrize(
    ("stops", "phrase"), [("without", "`continue`"), ("after the first", "after the first parameter with a gradient")]
)
def test_a_loop_over_parameters_that_ends_too_early_is_named(stops: str, phrase: str) -> None:
    report = check_optimizer(with_groups(momentum, stops), optim.SGD, options={"lr": 0.1})
    assert "not-updated" in names(report)
    assert any(phrase in mistake.says or "`break`" in mistake.says for mistake in report.mistakes)


def test_a_step_that_is_0_for_another_reason_does_not_end_a_loop() -> None:
    def third(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        state["n"] = state.get("n", 0) + 1
        p.sub_(g, alpha=0 if state["n"] == 4 else group["lr"])

    assert "not-updated" not in names(check_optimizer(with_groups(third), optim.SGD, options={"lr": 0.1}))


class Velocities:
    """Momentum for lists of arrays."""

    key: Any = staticmethod(lambda i, p: i)
    forgets: float = 1.0

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: dict[Any, Array] = {}

    def step(self, params: list[Array], grads: list[Array]) -> None:
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            key = self.key(i, p)
            self.v[key] = self.momentum * self.v.get(key, np.zeros_like(p)) + g
            p -= self.lr * self.v[key]
            self.v[key] = self.forgets * self.v[key]


def test_velocities_that_parameters_of_one_shape_share_are_named() -> None:
    options = {"lr": 0.01, "momentum": 0.9}
    shared = type("Shared", (Velocities,), {"key": staticmethod(lambda i, p: p.shape)})
    near = type("Near", (shared,), {"forgets": 0.9})
    assert check_optimizer(Velocities, "sgd", options=options).ok
    assert names(check_optimizer(shared, "sgd", options=options)) == ["memory-shared"]
    assert "memory-shared" not in names(check_optimizer(near, "sgd", options=options))


class Adam:
    """Adam of arrays, with both corrections in the rate; made of the parameters' arrays."""

    root: float = 0.5

    def __init__(self, params: Any, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.b1, self.b2, self.t = lr, beta1, beta2, 0
        self.m, self.v = ([np.zeros_like(p) for p in params] for _ in range(2))

    def step(self, params: list[Array], grads: list[Array]) -> None:
        self.t += 1
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * g
            self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * g * g
            correction = 1 - self.b2**self.t
            rate = self.lr * correction**self.root / (1 - self.b1**self.t)
            p -= rate * self.m[i] / (np.sqrt(self.v[i]) + 1e-8 * np.sqrt(correction))


def test_a_class_that_is_made_of_arrays_is_checked_and_a_rate_without_its_root_is_named() -> None:
    assert check_optimizer(Adam, "adam").ok
    report = check_optimizer(type("Wrong", (Adam,), {"root": 1.0}), "adam")
    assert names(report)[0] == "root-missing"
    assert "The rate is lr" in report.mistakes[0].says
    assert "root-missing" not in names(check_optimizer(type("Near", (Adam,), {"root": 0.8}), "adam"))


class Adagrad:
    """Adagrad of the parameters that it was made of."""

    keeps: float = 1.0

    def __init__(self, params: Any, lr: float = 0.01, eps: float = 1e-10) -> None:
        self.params, self.lr, self.eps = params, lr, eps
        self.squares = [np.zeros_like(p) for p in params]

    def step(self, grads: list[Array]) -> None:
        for i, g in enumerate(grads):
            total = self.squares[i] + g * g
            self.params[i] -= self.lr * g / (np.sqrt(total) + self.eps)
            self.squares[i] = self.keeps * total + (1 - self.keeps) * g * g


def test_a_sum_that_keeps_the_last_square_alone_is_named() -> None:
    assert check_optimizer(Adagrad, "adagrad").ok
    assert names(check_optimizer(type("Wrong", (Adagrad,), {"keeps": 0.0}), "adagrad")) == ["sum-forgets"]
    assert "sum-forgets" not in names(check_optimizer(type("Near", (Adagrad,), {"keeps": 0.5}), "adagrad"))
