"""What a configuration trains: data, model, loss and optimizer; their state, and the epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minitrain.runs.backend import Backend
from minitrain.runs.config import Config
from minitrain.runs.layer_table import LayerTable
from minitrain.runs.model import configured_model, load_data, load_run_data
from minitrain.runs.recorder import Stoppable
from minitrain.runs.schedule import Schedule
from minitrain.tensor import wrap
from minitrain.torchlike.random import default_generator, manual_seed


class Training:
    """Data, model, loss and optimizer on a backend. Raises DataError if there is no data.

    download: whether to download missing data; only for a configuration that the user gave.
    """

    def __init__(self, config: Config, backend: Backend, *, download: bool = False) -> None:
        self.config, self.backend = config, backend
        load = load_data if download else load_run_data
        with backend.loading():
            training_data, test_data = load(config), load(config, train=False)
        self.samples = len(training_data)
        manual_seed(config.seed)
        self.model = backend.model(self.build)
        self.train_dataloader = backend.dataloader(training_data, config.batch_size, config.shuffle)
        self.test_dataloader = backend.dataloader(test_data, config.batch_size)
        self.loss_fn = backend.loss_fn()
        self.optimizer = backend.optimizer(config, self.model)
        scheduler = backend.scheduler(config, self.optimizer, len(self.train_dataloader))
        self.schedule = Schedule(config, self.optimizer, scheduler)

    def build(self, nn: Any) -> Any:
        """The model, built from a framework's nn."""
        return configured_model(self.config, nn)

    def layer_table(self, updates: int) -> LayerTable:
        """The table of the layers, for a run that continues after so many updates."""
        backend, every = self.backend, self.config.layers_every
        model = backend.watched(self.model)
        return LayerTable(model, self.optimizer, every, backend.as_array, updates, zeros=backend.sees_outputs)

    def state(self, *, again: bool = False) -> dict[str, Any]:
        """All that is needed to resume from here; again: with the last batch drawn again."""
        return {
            "config": dataclasses.asdict(self.config),
            "model": self.backend.state_dict(self.model),
            "optimizer": self.backend.optimizer_state(self.optimizer),
            "schedule": self.schedule.state(),
            "generator": wrap(default_generator.state()),
            "loader": self.train_dataloader.state_dict(again=again),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state. Raises ValueError, KeyError or RuntimeError for one that does not fit."""
        position, batches = state["position"], len(self.train_dataloader)
        if position["updates"] != (position["epoch"] - 1) * batches + position["batch"] or position["batch"] > batches:
            raise ValueError(f"its position is impossible in epochs of {batches} batches: {dict(position)}")
        if position["batch"] > 0 and state["loader"]["pass"] is None:
            raise ValueError("it is within an epoch, but lacks the order of its samples")
        self.backend.load_state_dict(self.model, state["model"])
        # Only the state of each parameter: the options come from the configuration, which may have changed.
        options = self.backend.optimizer_state(self.optimizer)["param_groups"]
        remembered = {"state": state["optimizer"]["state"], "param_groups": options}
        self.backend.load_optimizer_state(self.optimizer, remembered)
        self.schedule.load(state.get("schedule", {}), state["config"]["lr"])
        default_generator.set_state(state["generator"].array)
        self.train_dataloader.load_state_dict(state["loader"])

    def run(self, observer: Stoppable, position: Mapping[str, Any]) -> None:
        """Train the epochs after this position."""
        first_batch = position["batch"]
        for epoch in range(position["epoch"], self.config.epochs + 1):
            observer.begin_epoch(epoch, self.config.epochs)
            self.backend.train(self.train_dataloader, self.model, self.loss_fn, self.optimizer, observer, first_batch)
            first_batch = 0
            self.backend.test(self.test_dataloader, self.model, self.loss_fn, observer)
            self.schedule.end_epoch(observer.test_loss)
            observer.end_epoch()


# The position before the first batch.
BEGINNING: dict[str, Any] = {"epoch": 1, "batch": 0, "updates": 0, "losses": [], "under_way": False, "seconds": 0.0}
