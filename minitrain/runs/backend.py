"""What a run leaves to a framework. Here it is minitrain on NumPy; with_torch/ has the backend for torch."""

import contextlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minitrain import nn, optim
from minitrain.data.loader import DataLoader
from minitrain.loops import test_loop, train_loop
from minitrain.runs.config import OPTIMIZERS, WITH_MOMENTUM, Config
from minitrain.runs.schedule import make_scheduler
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import no_grad


def make_optimizer(config: Config, model: Any, optim: Any = optim, **options: Any) -> Any:
    """The configured optimizer for the model's parameters.

    optim: minitrain.optim or torch.optim. options: further options of that framework.
    """
    options |= {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer in WITH_MOMENTUM:
        options["momentum"] = config.momentum
    return getattr(optim, OPTIMIZERS[config.optimizer])(model.parameters(), **options)


class Backend:
    """A framework and its device: it builds the model, loss and optimizer of a run, and trains its epochs."""

    writes = True  # if several processes train together, only one prints and writes
    optim: Any = optim
    part_of_batch = ""  # the part of each batch that this process computes, in words; "" for all of it
    sees_outputs = True  # whether forward hooks see each layer's outputs, for the whole batch

    def versions(self) -> dict[str, str | int]:
        """The versions that a run's bits depend on; see environment.describe."""
        return {"numpy": np.__version__}

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """Data sets are loaded, and downloaded if missing, inside this context."""
        return contextlib.nullcontext()

    def dataloader(self, dataset: Any, batch_size: int, shuffle: bool = False) -> Any:
        """The data set's batches (X, y) as this framework's tensors."""
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)

    def model(self, build: Callable[[Any], Any]) -> Any:
        """The model that build makes from a framework's nn; minitrain's generator draws its initial weights."""
        return build(nn)

    def loss_fn(self) -> Any:
        """Cross-entropy, averaged over a batch."""
        return nn.CrossEntropyLoss()

    def optimizer(self, config: Config, model: Any) -> Any:
        """The configured optimizer."""
        return make_optimizer(config, model)

    def scheduler(self, config: Config, optimizer: Any, batches: int) -> Any:
        """The configured scheduler of the learning rate, or None. batches: of an epoch."""
        return make_scheduler(config, optimizer, batches, self.optim.lr_scheduler)

    def train(
        self, dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Any, first_batch: int = 0
    ) -> None:
        """train_loop in this framework. observer: a Stoppable."""
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
        """Load what state_dict returned."""
        model.load_state_dict(state)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """The optimizer's state and options as minitrain's Tensors, without options that only torch has."""
        state: dict[str, Any] = optimizer.state_dict()
        return state

    def load_optimizer_state(self, optimizer: Any, state: dict[str, Any]) -> None:
        """Load what optimizer_state returned for an optimizer of the same kind."""
        optimizer.load_state_dict(state)

    def watched(self, model: Any) -> Any:
        """The model whose layers can be watched during an update; None if they cannot."""
        return model

    def as_array(self, tensor: Any) -> Any:
        """This framework's tensor as an array, without a copy if possible."""
        return tensor.array

    def as_minitrain(self, tensor: Any) -> Tensor:
        """This framework's tensor as minitrain's."""
        converted: Tensor = tensor
        return converted

    def copy_optimizer_state(self, optimizer: Any, to: optim.Optimizer) -> None:
        """Copy this framework's optimizer state and current options into minitrain's optimizer."""
        to.load_state_dict(optimizer.state_dict())

    def end(self) -> None:
        """Called last: end the process here if the interpreter cannot do that safely."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        """Release connections to other processes."""
