"""The short training runs at the end of a check: real training on the digits, which uses the exercise's piece.

Each run returns the loss of every batch (`tested`: of every pass). The losses are the same every time, and the default
random generator is left as it was.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minitrain import nn, optim
from minitrain.data.dataset import TensorDataset
from minitrain.data.datasets import Digits
from minitrain.data.loader import DataLoader
from minitrain.learn import network_by_hand
from minitrain.learn.measurements import finite_differences
from minitrain.loops import Observer, test_loop, train_loop
from minitrain.nn import functional as F
from minitrain.ops import Array
from minitrain.random import fork_rng, manual_seed
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import uniform

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


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Run with seed 0; restores the generator's state afterwards."""
    with fork_rng():
        manual_seed(0)
        yield


@functools.cache
def _digits() -> tuple[Array, Array]:
    """Images (1500, 8, 8) in float32, from 0 to 1, and labels (1500,)."""
    data = Digits()
    return data.data.array.astype(np.float32) / 255, data.targets.array


def _batches(images: Array, targets: Array, batch_size: int = BATCH) -> DataLoader[Any]:
    return DataLoader(TensorDataset(wrap(images), wrap(targets)), batch_size=batch_size)


def _trained(
    model: nn.Module, loss_fn: Any = F.cross_entropy, lr: float = 0.5, batches: Any = None, optimizer: Any = None
) -> Losses:
    """Train a model. batches: the digits, if not given. optimizer: SGD with the learning rate lr, if not given."""
    batches = batches or _batches(*_digits())
    optimizer = optimizer or optim.SGD(model.parameters(), lr=lr)
    recorder = Recorder()
    for _ in range(EPOCHS):
        train_loop(batches, model, loss_fn, optimizer, recorder)
    return recorder.losses


def _mlp() -> nn.Module:
    """The built-in model: Flatten, Linear, ReLU, Linear."""
    return build_model(nn, 64, [16], 10)  # type: ignore[no-any-return]


@_seeded()
def classify(optimizer: str = "SGD", initialise: Any = None, **options: Any) -> Losses:
    """Train the built-in model with the cross entropy and any optimizer.

    optimizer, options: the optimizer's name and options. initialise: if given, called first with each weight matrix.
    """
    model = _mlp()
    if initialise is not None:
        for param in model.parameters():
            if param.ndim == 2:
                initialise(param)
    return _trained(model, optimizer=getattr(optim, optimizer)(model.parameters(), **({"lr": 0.5} | options)))


@_seeded()
def regress() -> Losses:
    """Train the built-in model with the mean squared error: 1 for the right digit, 0 for the others."""
    images, labels = _digits()
    return _trained(_mlp(), F.mse_loss, 1.0, _batches(images, _one_hot(labels)))


def _one_hot(labels: Array) -> Array:
    """1 for the right digit, 0 for the others, (N, 10)."""
    return np.eye(10, dtype=np.float32)[labels]


@_seeded()
def classify_each() -> Losses:
    """Train the built-in model with a yes-or-no question for each digit: the binary cross-entropy of its logits."""
    images, labels = _digits()
    return _trained(_mlp(), F.binary_cross_entropy_with_logits, 1.0, _batches(images, _one_hot(labels)))


@_seeded()
def soften() -> Losses:
    """Train the built-in model with probabilities as targets, smoothed, and weighted by class."""
    images, labels = _digits()
    weight = wrap(np.linspace(0.5, 1.5, 10, dtype=np.float32))
    loss_fn = functools.partial(F.cross_entropy, weight=weight, label_smoothing=0.1)
    return _trained(_mlp(), loss_fn, batches=_batches(images, _one_hot(labels)))


@_seeded()
def smooth() -> Losses:
    """Train the built-in model with smoothed labels."""
    return _trained(_mlp(), functools.partial(F.cross_entropy, label_smoothing=0.1))


@_seeded()
def drop() -> Losses:
    """Train a model with dropout between its layers."""
    layers = (nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
    return _trained(nn.Sequential(*layers))


@_seeded()
def clip(name: str, bound: float) -> Losses:
    """Train the built-in model with gradients that a function of nn.utils clips before each step."""
    model = _mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    optimizer.register_step_pre_hook(lambda *_: getattr(nn.utils, name)(model.parameters(), bound))
    return _trained(model, optimizer=optimizer)


@_seeded()
def schedule(name: str, **options: Any) -> Losses:
    """Train the built-in model with a scheduler, by its name and options, which takes a step after each batch."""
    model = _mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    scheduler = getattr(optim.lr_scheduler, name)(optimizer, **options)
    optimizer.register_step_post_hook(lambda *_: scheduler.step())
    return _trained(model, optimizer=optimizer)


def _parameter(*shape: int, low: float = -0.25, high: float = 0.25) -> nn.Parameter:
    return nn.Parameter(wrap(uniform(shape, low, high)))


def _written_out(p: Tensor, y: Tensor) -> Tensor:
    """The cross entropy of the probabilities p (N, 10) and the labels y (N,)."""
    rows = np.arange(len(p.array))
    return (-p[wrap(rows), y].log()).mean()


@_seeded()
def formulas() -> Losses:
    """Train a model and a loss written with arithmetic only.

    They use matmul, add with a broadcast bias, relu, exp, sum, division, index, log, neg and mean.
    """

    class Formulas(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.W1, self.b1 = _parameter(64, 16), _parameter(16)
            self.W2, self.b2 = _parameter(16, 10), _parameter(10)

        def forward(self, x: Tensor) -> Tensor:
            exp = ((x.flatten(1) @ self.W1 + self.b1).relu() @ self.W2 + self.b2).exp()
            return exp / exp.sum(1, keepdim=True)

    return _trained(Formulas(), _written_out)


@_seeded()
def gated() -> Losses:
    """Train a model with a gated hidden layer (values · sigmoid(gates)) and a softmax."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values, self.gates, self.out = nn.Linear(64, 16), nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return F.softmax(self.out(self.values(x) * self.gates(x).sigmoid()), 1)

    return _trained(Gated(), _written_out, lr=1.0)


@_seeded()
def residual() -> Losses:
    """Train a model that uses a value twice: h = relu(x W), then h + relu(h W)."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            h: Tensor = self.first(x.flatten(1)).relu()
            return self.out(h + self.second(h).relu())  # type: ignore[no-any-return]

    return _trained(Residual())


def _with_norm(norm: Callable[[int], nn.Module]) -> nn.Module:
    """A model with a normalization of 16 features between its layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), norm(16), nn.ReLU(), nn.Linear(16, 10))


@_seeded()
def normalized(norm: Callable[[int], nn.Module] = nn.BatchNorm1d) -> Losses:
    """Train a model with a normalization between its layers."""
    return _trained(_with_norm(norm))


@_seeded()
def convolved() -> Losses:
    """Train two convolutions, with strides and padding, and a layer."""
    first, second = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 2, padding=(1, 0))
    layers = (nn.Unflatten(1, (1, 8)), first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(60, 10))
    return _trained(nn.Sequential(*layers), lr=0.2)


@_seeded()
def pooled(pool: Callable[[], nn.Module]) -> Losses:
    """Train a convolution, a pooling layer that makes its images (4, 4), and a layer."""
    layers = (nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), pool(), nn.Flatten())
    return _trained(nn.Sequential(*layers, nn.Linear(64, 10)), lr=0.2)


@_seeded()
def embedded(padding_idx: int | None = None) -> Losses:
    """Train an embedding of the 17 grey levels, which are the words of an image, and a layer."""
    images, labels = _digits()
    words = np.round(images * 16).astype(np.int64)
    layers = (nn.Flatten(), nn.Embedding(17, 4, padding_idx), nn.Flatten(), nn.Linear(256, 10))
    return _trained(nn.Sequential(*layers), lr=0.1, batches=_batches(words, labels))


@_seeded()
def by_rows() -> Losses:
    """Train a model whose first layer is applied to each row of an image, before Flatten."""
    return _trained(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10)))


@_seeded()
def tested() -> Losses:
    """Train the built-in model in forty short passes; returns the loss of test_loop after each."""
    return _tested(_mlp())


@_seeded()
def normalized_and_tested() -> Losses:
    """The same with a batch norm between the layers."""
    return _tested(_with_norm(nn.BatchNorm1d))


def _tested(model: nn.Module) -> Losses:
    images, labels = _digits()
    unseen = _batches(images[1000:], labels[1000:], 100)
    losses = []
    for start in range(0, 1000, 25):
        _trained(model, batches=_batches(images[start : start + 25], labels[start : start + 25]))
        with no_grad():
            losses.append(test_loop(unseen, model, F.cross_entropy, Recorder())[1])
    return losses


def _quarters() -> Iterator[tuple[Array, Array]]:
    """36 batches of 12 images of 0, 4 and 7: how dark each quarter is (12, 4), standardized, and the classes (12,)."""
    digits = (0, 4, 7)
    images, labels = _digits()
    chosen = np.isin(labels, digits)
    quarters = images[chosen].reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4), dtype=np.float64).reshape(-1, 4)
    quarters = (quarters - quarters.mean(axis=0)) / quarters.std(axis=0)
    classes = np.searchsorted(digits, labels[chosen])
    for start in range(0, 432, 12):
        yield quarters[start : start + 12], classes[start : start + 12]


def by_differences() -> Losses:
    """Train one layer with measured gradients: it recognises 0, 4 and 7 by how dark each quarter of the image is."""
    weight = wrap(np.zeros((4, 3)))
    losses = []
    for batch, classes in _quarters():
        X, y = wrap(batch), wrap(classes)
        measured = finite_differences(lambda weight, X=X, y=y: F.cross_entropy(X @ weight, y), weight)
        losses.append(float(measured.value()[0]))
        weight.array -= 0.5 * measured.jacobian(weight.array).reshape(4, 3)
    return losses


def _parameters_by_hand(inputs: int, hidden: int, classes: int) -> network_by_hand.Parameters:
    """The parameters of a network by hand, drawn as nn.Linear's."""
    shapes = {"W1": (inputs, hidden), "b1": (hidden,), "W2": (hidden, classes), "b2": (classes,)}
    bounds = {"W1": inputs**-0.5, "b1": inputs**-0.5, "W2": hidden**-0.5, "b2": hidden**-0.5}
    return {name: uniform(shape, -bounds[name], bounds[name]).astype(np.float64) for name, shape in shapes.items()}


@_seeded()
def by_hand() -> Losses:
    """Train the network by hand on the digits."""
    images, labels = _digits()
    pixels = images.reshape(len(images), -1).astype(np.float64)
    return network_by_hand.train(_parameters_by_hand(64, 16, 10), pixels, labels, 0.5, BATCH, EPOCHS)


@_seeded()
def by_hand_numerically() -> Losses:
    """Train a small network by hand with its numeric gradients: it recognises 0, 4 and 7 by the image's quarters."""
    parameters = _parameters_by_hand(4, 6, 3)
    losses = []
    for X, labels in _quarters():
        losses.append(network_by_hand.loss_and_gradient(network_by_hand.forward_pass(parameters, X)[1], labels)[0])
        network_by_hand.update(parameters, network_by_hand.numeric_gradients(parameters, X, labels), 0.5)
    return losses


@_seeded()
def powers() -> Losses:
    """Train a model that raises each of the 64 pixels to a learned power, followed by a layer."""

    class Powers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.exponents = _parameter(64, low=0.5, high=2.0)
            self.out = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(x.flatten(1) ** self.exponents)  # type: ignore[no-any-return]

    return _trained(Powers(), lr=0.2)
