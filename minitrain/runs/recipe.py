"""The parts of a run, made from its configuration: data, model, loss and optimizer; their state, and the epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minitrain.data.transforms import ToTensor
from minitrain.runs.backend import Backend
from minitrain.runs.config import DATASETS, Config
from minitrain.runs.model import build_model
from minitrain.runs.recorder import Stoppable
from minitrain.tensor import Tensor
from minitrain.torchlike.random import default_generator, manual_seed


class Training:
    """What a configuration trains: data, model, loss and optimizer, on a backend.

    Raises DataError if there is no data.
    """

    def __init__(self, config: Config, backend: Backend) -> None:
        self.config, self.backend = config, backend
        dataset: Any = DATASETS[config.dataset]
        with backend.loading():
            training_data, test_data = (
                dataset(root=config.data_dir, train=part, download=True, transform=ToTensor()) for part in (True, False)
            )
        self.samples = len(training_data)
        self._in_features, self._classes = training_data[0][0].numel(), len(training_data.classes)
        manual_seed(config.seed)
        self.model = backend.model(self.build)
        self.train_dataloader = backend.dataloader(training_data, config.batch_size, config.shuffle)
        self.test_dataloader = backend.dataloader(test_data, config.batch_size)
        self.loss_fn = backend.loss_fn()
        self.optimizer = backend.optimizer(config, self.model)

    def build(self, nn: Any) -> Any:
        """The model, of a framework's nn."""
        return build_model(nn, self._in_features, self.config.hidden, self._classes)

    def state(self, *, again: bool = False) -> dict[str, Any]:
        """All that it takes to go on from here; again: with the batch that was given last."""
        return {
            "config": dataclasses.asdict(self.config),
            "model": self.backend.state_dict(self.model),
            "optimizer": self.backend.optimizer_state(self.optimizer),
            "generator": Tensor(default_generator.get_state()),
            "loader": self.train_dataloader.state_dict(again=again),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ValueError, KeyError or RuntimeError for a state that does not fit."""
        position, batches = state["position"], len(self.train_dataloader)
        if position["updates"] != (position["epoch"] - 1) * batches + position["batch"] or position["batch"] > batches:
            raise ValueError(f"it is at no position of this run, whose epochs have {batches} batches: {dict(position)}")
        if position["batch"] > 0 and state["loader"]["pass"] is None:
            raise ValueError("it is amid an epoch whose order it does not have")
        self.backend.load_state_dict(self.model, state["model"])
        # What it remembers of each parameter; the options are the configuration's, which may have changed.
        options = self.backend.optimizer_state(self.optimizer)["param_groups"]
        remembered = {"state": state["optimizer"]["state"], "param_groups": options}
        self.backend.load_optimizer_state(self.optimizer, remembered)
        default_generator.set_state(state["generator"].array)
        self.train_dataloader.load_state_dict(state["loader"])

    def run(self, observer: Stoppable, position: Mapping[str, Any]) -> None:
        """The epochs that are left from there on."""
        first_batch = position["batch"]
        for epoch in range(position["epoch"], self.config.epochs + 1):
            observer.begin_epoch(epoch, self.config.epochs)
            self.backend.train(self.train_dataloader, self.model, self.loss_fn, self.optimizer, observer, first_batch)
            first_batch = 0
            self.backend.test(self.test_dataloader, self.model, self.loss_fn, observer)
            observer.end_epoch()


# Where a run is before its first batch.
BEGINNING: dict[str, Any] = {
    "epoch": 1,
    "batch": 0,
    "updates": 0,
    "losses": [],
    "under_way": False,
    "seconds": 0.0,
}
