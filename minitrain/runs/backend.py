"""What a run leaves to a framework. This one is minitrain itself, on NumPy; accelerated/ has torch's."""

import contextlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minitrain import nn, optim
from minitrain.data.loader import DataLoader
from minitrain.loops import test_loop, train_loop
from minitrain.runs.config import OPTIMIZERS, Config
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad


def make_optimizer(config: Config, model: Any, optim: Any = optim, **options: Any) -> Any:
    """The configured optimizer for the model's parameters.

    optim: minitrain.optim or torch.optim. options: further ones, of that framework.
    """
    options |= {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer != "adam":
        options["momentum"] = config.momentum
    return getattr(optim, OPTIMIZERS[config.optimizer])(model.parameters(), **options)


class Backend:
    """A framework and what it computes on: it makes the parts of a run, and runs its epochs."""

    writes = True  # of several processes that train together, one alone prints and writes
    part_of_batch = ""  # which part of each batch this process computes, in words; "" for all of it

    def versions(self) -> dict[str, str | int]:
        """What the bits of a run depend on in the packages that compute, see environment.describe."""
        return {"numpy": np.__version__}

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """Within it data sets are loaded, and downloaded where they are missing."""
        return contextlib.nullcontext()

    def dataloader(self, dataset: Any, batch_size: int, shuffle: bool = False) -> Any:
        """The data set's batches (X, y), in this framework's tensors."""
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)

    def model(self, build: Callable[[Any], Any]) -> Any:
        """The model that build makes of a framework's nn; its first weights are drawn from minitrain's generator."""
        return build(nn)

    def loss_fn(self) -> Any:
        """Cross-entropy, its mean over a batch."""
        return nn.CrossEntropyLoss()

    def optimizer(self, config: Config, model: Any) -> Any:
        """The configured optimizer."""
        return make_optimizer(config, model)

    def train(
        self, dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Any, first_batch: int = 0
    ) -> None:
        """train_loop, as this framework runs it. observer: a Stoppable."""
        train_loop(dataloader, model, loss_fn, optimizer, observer, first_batch)

    def test(self, dataloader: Any, model: Any, loss_fn: Any, observer: Any) -> None:
        """test_loop without gradients. observer: a Stoppable."""
        with no_grad():
            test_loop(dataloader, model, loss_fn, observer)

    def state_dict(self, model: Any) -> dict[str, Any]:
        """The model's parameters and buffers as minitrain's Tensors."""
        state: dict[str, Any] = model.state_dict()
        return state

    def load_state_dict(self, model: Any, state: dict[str, Tensor]) -> None:
        """Parameters and buffers into the model, as state_dict gives them."""
        model.load_state_dict(state)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """What the optimizer remembers, and its options, in minitrain's Tensors and without what only torch has."""
        state: dict[str, Any] = optimizer.state_dict()
        return state

    def load_optimizer_state(self, optimizer: Any, state: dict[str, Any]) -> None:
        """Go on with what an optimizer of the same kind remembered, as optimizer_state gives it."""
        optimizer.load_state_dict(state)

    def as_minitrain(self, tensor: Any) -> Tensor:
        """A tensor of this framework's as minitrain's."""
        converted: Tensor = tensor
        return converted

    def copy_optimizer_state(self, optimizer: Any, to: optim.Optimizer) -> None:
        """What this framework's optimizer remembers, and its options now, into one of minitrain's."""
        to.load_state_dict(optimizer.state_dict())

    def end(self) -> None:
        """Called when all is done: end the process here, where leaving that to the interpreter is not safe."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        """Let go of what is not memory."""
