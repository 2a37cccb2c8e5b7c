"""Why the loss of a run is not finite: the batch is run again on NumPy, with the same weights, under detection."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minitrain import nn
from minitrain.diagnosis.anomaly import detect_anomaly
from minitrain.diagnosis.anomaly_report import Anomaly, AnomalyError
from minitrain.diagnosis.nonfinite_causes import UNUSUAL, describe
from minitrain.ops import Array
from minitrain.runs.backend import Backend, make_optimizer
from minitrain.runs.config import Config, default_config
from minitrain.torchlike.random import default_generator

GROWN = 10  # a loss this many times as large as the first has grown


@dataclasses.dataclass(frozen=True)
class Explainer:
    """What it takes to run a batch again: the run's configuration, its backend, and what that trains.

    build: makes the model of a framework's nn.
    """

    config: Config
    backend: Backend
    build: Callable[[Any], Any]
    model: Any
    optimizer: Any

    def explain(
        self, epoch: int, batch: int, X: Any, y: Any, loss: float, losses: Sequence[float], updates: int
    ) -> str:
        """The report on a loss that is not finite, for the user to read. Neither model nor optimizer is changed.

        X, y: the batch, in the backend's tensors, whose loss it is; the model must not have been updated with it.
        losses: the run's first one, and the last ones before this. updates: how many there were before it.
        """
        part = f" ({self.backend.part_of_batch})" if self.backend.part_of_batch else ""
        weights = {name: tensor.array for name, tensor in self.backend.state_dict(self.model).items()}
        paragraphs = [
            f"minitrain: the loss of epoch {epoch}, batch {batch}{part} is {loss}.",
            textwrap.fill(self._history(weights, losses), 110),
            self._bad_weights(weights, losses) or self._rerun(X, y, weights, updates),
        ]
        return "\n".join(paragraphs)

    def elsewhere(self, epoch: int, batch: int, loss: float) -> str:
        """What to say of a loss that comes from another process's slice of the batch."""
        return (
            f"minitrain: the loss of epoch {epoch}, batch {batch} is {loss}. It comes from another process's slice of "
            "the batch; run it in one process to have it explained."
        )

    def _history(self, weights: dict[str, Array], losses: Sequence[float]) -> str:
        """The losses before, and whether they or the weights show a learning rate that is too high."""
        if not losses:
            return "It is the first loss of the run."
        text = f"The run's first loss was {losses[0]:.6g}"
        if len(losses) > 1:
            text += f", the last before this one {', '.join(f'{loss:.6g}' for loss in losses[1:])}"
        largest = max(np.abs(array).max(initial=0, where=~np.isnan(array)) for array in weights.values())
        if max(losses) > GROWN * max(losses[0], 1) or largest > UNUSUAL:
            text += f"; the largest weight is {largest:.3g} now. They have grown: {self._too_high()}"
        return f"{text}."

    def _too_high(self) -> str:
        """Which setting makes losses and weights grow, and what to try."""
        config = self.config
        if config.momentum >= 1:
            reason = f"with a momentum of {config.momentum:g} steps never grow shorter by themselves"
        elif self._decays_too_much():
            reason = (
                f"with a learning rate of {config.lr:g} and a weight decay of {config.weight_decay:g}, whose product "
                "is above 2, each step turns the weights round and lengthens them"
            )
        else:
            reason = f"the learning rate, {config.lr:g}, is too high"
        return f"{reason}. Try {self.remedy()}"

    def remedy(self) -> str:
        """The option to try where losses have grown."""
        config = self.config
        if config.momentum >= 1:
            return "--momentum 0.9"
        if self._decays_too_much():
            return f"--lr {0.1 / config.weight_decay:g}"
        usual = default_config(config.dataset).lr if config.optimizer == "sgd" else 1e-3
        return f"--lr {min(usual, config.lr / 10):g}"

    def _decays_too_much(self) -> bool:
        return self.config.optimizer == "sgd" and self.config.lr * self.config.weight_decay > 2

    def _bad_weights(self, weights: dict[str, Array], losses: Sequence[float]) -> str:
        """Which parameters were nan or infinite before the batch; "" if none was."""
        bad = {name: array for name, array in weights.items() if not np.isfinite(array).all()}
        if not bad:
            return ""
        listed = "".join(f"\n  {name}  {describe(array)}" for name, array in bad.items())
        cause = "They were so from the beginning."
        if losses:
            cause = f"The update before it made them so; the loss of that step was {losses[-1]:.6g}."
        return f"Before this batch, {len(bad)} of {len(weights)} parameters were not finite already:{listed}\n{cause}"

    def _rerun(self, X: Any, y: Any, weights: dict[str, Array], updates: int) -> str:
        """What detection finds in the same step on NumPy."""
        state = default_generator.get_state()
        twin = self.build(nn)  # which draws its first weights
        default_generator.set_state(state)
        twin.load_state_dict(weights)
        optimizer = make_optimizer(self.config, twin)
        self.backend.copy_optimizer_state(self.optimizer, optimizer)
        X, y = self.backend.as_minitrain(X), self.backend.as_minitrain(y)
        anomaly, loss = _first_anomaly(twin, optimizer, X, y)
        text = "The same batch with the same weights, on NumPy"
        if anomaly is None and math.isfinite(loss):
            return f"{text}, gives a loss of {loss:.6g}, and no nan or infinity: it did not come back.{self._other()}"
        if anomaly is None:
            return f"{text}, gives a loss of {loss}, too, of infinities that no operation produced: look at the data."
        if math.isfinite(loss):
            text += f", gives a loss of {loss:.6g}: that of the run did not come back.{self._other()} After it"
        # In a run the caller is minitrain's own command.
        entry = dataclasses.replace(anomaly.entry, place="") if anomaly.entry is not None else None
        anomaly = dataclasses.replace(anomaly, step=updates + 1, place="", entry=entry)
        return f"{text}, under anomaly detection:\n\n{anomaly}"

    def _other(self) -> str:
        """What is different in the run, and what to try."""
        if self.config.precision != "float32":
            return f" The run computes its products in {self.config.precision}; try --precision float32."
        if self.config.backend == "torch":
            return " `minitrain compare` shows where torch and NumPy part."
        return ""


def _first_anomaly(model: Any, optimizer: Any, X: Any, y: Any) -> tuple[Anomaly | None, float]:
    """One step under detection: its first anomaly, if any, and the loss, nan if it was not reached."""
    loss = math.nan
    try:
        with detect_anomaly():
            result = nn.CrossEntropyLoss()(model(X), y)
            loss = result.item()
            result.backward()
            optimizer.step()
    except AnomalyError as error:
        return error.anomaly, loss
    return None, loss
