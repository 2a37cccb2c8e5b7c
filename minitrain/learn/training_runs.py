"""The short training runs at the end of a check: real training on the digits, which uses the exercise's piece.

Each run returns the loss of every batch (`tested`: of every pass). The losses are the same every time, and the default
random generator is left as it was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain import nn, optim
from minitrain.data.dataset import TensorDataset
from minitrain.data.datasets import Digits
from minitrain.data.loader import DataLoader
from minitrain.loops import Observer, test_loop, train_loop
from minitrain.nn import functional as F
from minitrain.ops import Array
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.grad_mode import no_grad

Losses = list[float]
BATCH, EPOCHS = 25, 2  # of 1,500 digits: 120 batches


class Recorder(Observer):
    """Records the loss of every batch, and prints nothing."""

    def __init__(self) -> None:
        self.losses: Losses = []

    def line(self, text: str) -> None:
        """Print nothing."""

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Record the loss."""
        self.losses.append(loss.item())


def _seeded(program: Callable[..., Losses]) -> Callable[..., Losses]:
    """The program with seed 0; restores the generator's state afterwards."""

    @functools.wraps(program)
    def run(*args: Any, **options: Any) -> Losses:
        state = random.default_generator.get_state()
        try:
            random.manual_seed(0)
            return program(*args, **options)
        finally:
            random.default_generator.set_state(state)

    return run


@functools.cache
def _digits() -> tuple[Array, Array]:
    """Images (1500, 8, 8) in float32, from 0 to 1, and labels (1500,)."""
    data = Digits()
    return data.data.array.astype(np.float32) / 255, data.targets.array


def _batches(images: Array, targets: Array, batch_size: int = BATCH) -> DataLoader[Any]:
    return DataLoader(TensorDataset(wrap(images), wrap(targets)), batch_size=batch_size)


def _trained(batches: DataLoader[Any], model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> Losses:
    recorder = Recorder()
    for _ in range(EPOCHS):
        train_loop(batches, model, loss_fn, optimizer, recorder)
    return recorder.losses


@_seeded
def classify(optimizer: str = "SGD", initialise: Any = None, **options: Any) -> Losses:
    """Train the built-in model (Flatten, Linear, ReLU, Linear) with the cross entropy and any optimizer.

    optimizer, options: the optimizer's name and options. initialise: if given, called first with each weight matrix.
    """
    model = build_model(nn, 64, [16], 10)
    if initialise is not None:
        for param in model.parameters():
            if param.ndim == 2:
                initialise(param)
    return _trained(
        _batches(*_digits()),
        model,
        nn.CrossEntropyLoss(),
        getattr(optim, optimizer)(model.parameters(), **({"lr": 0.5} | options)),
    )


@_seeded
def regress() -> Losses:
    """Train the built-in model with the mean squared error: 1 for the right digit, 0 for the others."""
    images, labels = _digits()
    targets = np.eye(10, dtype=np.float32)[labels]
    model = build_model(nn, 64, [16], 10)
    return _trained(_batches(images, targets), model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1.0))


class _Formulas(nn.Module):
    """softmax(relu(x W1 + b1) W2 + b2), written with arithmetic only."""

    def __init__(self) -> None:
        super().__init__()
        self.W1, self.b1 = _parameter(64, 16), _parameter(16)
        self.W2, self.b2 = _parameter(16, 10), _parameter(10)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 8, 8) -> probabilities (N, 10)."""
        logits = (x.flatten(1) @ self.W1 + self.b1).relu() @ self.W2 + self.b2
        exp = logits.exp()
        return exp / exp.sum(1, keepdim=True)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(wrap(random.uniform(shape, -0.25, 0.25)))


def _written_out(p: Tensor, y: Tensor) -> Tensor:
    """The cross entropy of the probabilities p (N, 10) and the labels y (N,)."""
    rows = np.arange(len(p.array))
    return (-p[wrap(rows), y].log()).mean()


@_seeded
def formulas() -> Losses:
    """Train a model and a loss written with arithmetic only.

    They use matmul, add with a broadcast bias, relu, exp, sum, division, index, log, neg and mean.
    """
    model = _Formulas()
    return _trained(_batches(*_digits()), model, _written_out, optim.SGD(model.parameters(), lr=0.5))


@_seeded
def gated() -> Losses:
    """Train a model with a gated hidden layer (values · sigmoid(gates)) and a softmax."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values, self.gates, self.out = nn.Linear(64, 16), nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return F.softmax(self.out(self.values(x) * self.gates(x).sigmoid()), 1)

    model = Gated()
    return _trained(_batches(*_digits()), model, _written_out, optim.SGD(model.parameters(), lr=1.0))


@_seeded
def residual() -> Losses:
    """Train a model that uses a value twice: h = relu(x W), then h + relu(h W)."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            h: Tensor = self.first(x.flatten(1)).relu()
            return self.out(h + self.second(h).relu())  # type: ignore[no-any-return]

    model = Residual()
    return _trained(_batches(*_digits()), model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))


@_seeded
def by_rows() -> Losses:
    """Train a model whose first layer is applied to each row of an image, before Flatten."""
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10))
    return _trained(_batches(*_digits()), model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))


@_seeded
def tested() -> Losses:
    """Train the built-in model in forty short passes; returns the loss of test_loop after each."""
    images, labels = _digits()
    model = build_model(nn, 64, [16], 10)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    unseen = _batches(images[1000:], labels[1000:], 100)
    losses = []
    for start in range(0, 1000, 25):
        few = _batches(images[start : start + 25], labels[start : start + 25])
        _trained(few, model, nn.CrossEntropyLoss(), optimizer)
        with no_grad():
            losses.append(test_loop(unseen, model, nn.CrossEntropyLoss(), Recorder())[1])
    return losses


def by_differences() -> Losses:
    """Train one layer with measured gradients: it recognises 0, 4 and 7 by how dark each quarter of the image is."""
    from minitrain.diagnosis.checked_function import as_problem
    from minitrain.diagnosis.finite_differences import _Measured

    digits = (0, 4, 7)
    images, labels = _digits()
    chosen = np.isin(labels, digits)
    quarters = images[chosen].reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4), dtype=np.float64).reshape(-1, 4)
    quarters = (quarters - quarters.mean(axis=0)) / quarters.std(axis=0)
    classes = np.searchsorted(digits, labels[chosen])
    weight = wrap(np.zeros((4, 3))).requires_grad_()
    losses = []
    for start in range(0, 432, 12):
        X, y = wrap(quarters[start : start + 12]), wrap(classes[start : start + 12])
        loss = functools.partial(_cross_entropy_of_layer, X, y)
        measured = _Measured(as_problem(loss, (weight,), {}, None, None), 1e-6)
        losses.append(float(measured.value()[0]))
        weight.array -= 0.5 * measured.jacobian(weight.array).reshape(4, 3)
    return losses


def _cross_entropy_of_layer(X: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return F.cross_entropy(X @ weight, y)


@_seeded
def powers() -> Losses:
    """Train a model that raises each of the 64 pixels to a learned power, followed by a layer."""

    class Powers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.exponents = nn.Parameter(wrap(random.uniform((64,), 0.5, 2.0)))
            self.out = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(x.flatten(1) ** self.exponents)  # type: ignore[no-any-return]

    model = Powers()
    return _trained(_batches(*_digits()), model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.2))
