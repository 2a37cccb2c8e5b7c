"""Explains a nan or infinite loss: repeats the batch on NumPy, with the same weights, under anomaly detection."""

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

GROWN = 10  # a loss counts as grown if it is this many times the first


@dataclasses.dataclass(frozen=True)
class Explainer:
    """What is needed to repeat a batch of a run. build: makes the model from a framework's nn."""

    config: Config
    backend: Backend
    build: Callable[[Any], Any]
    model: Any
    optimizer: Any

    def explain(
        self, epoch: int, batch: int, X: Any, y: Any, loss: float, losses: Sequence[float], updates: int
    ) -> str:
        """The report on a nan or infinite loss, for the user. Model and optimizer stay unchanged.

        X, y: the batch that gave it, as the backend's tensors; the model must not have been updated with it.
        losses: the run's first loss and the last ones before this. updates: their number before it.
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
        """The report on a loss that comes from another process's slice of the batch."""
        return (
            f"minitrain: the loss of epoch {epoch}, batch {batch} is {loss}. It comes from another process's slice of "
            "the batch; train in one process to get an explanation."
        )

    def _history(self, weights: dict[str, Array], losses: Sequence[float]) -> str:
        """The earlier losses, and whether they or the weights show that the learning rate is too high."""
        if not losses:
            return "This is the first loss of the run."
        text = f"The run's first loss was {losses[0]:.6g}"
        if len(losses) > 1:
            text += f", the last ones before this {', '.join(f'{loss:.6g}' for loss in losses[1:])}"
        largest = max(np.abs(array).max(initial=0, where=~np.isnan(array)) for array in weights.values())
        if max(losses) > GROWN * max(losses[0], 1) or largest > UNUSUAL:
            reason, remedy = self.too_high()
            text += f"; the largest weight is now {largest:.3g}. They have grown: {reason}. Try {remedy}"
        return f"{text}."

    def too_high(self) -> tuple[str, str]:
        """What makes losses and weights grow, and the option to try."""
        config = self.config
        if config.momentum >= 1:
            reason = f"a momentum of {config.momentum:g} keeps every step as long as the one before, or longer"
            return reason, "--momentum 0.9"
        if config.optimizer == "sgd" and config.lr * config.weight_decay > 2:
            reason = (
                f"a learning rate of {config.lr:g} times a weight decay of {config.weight_decay:g} is above 2, so each "
                "step flips the sign of the weights and makes them larger"
            )
            return reason, f"--lr {0.1 / config.weight_decay:g}"
        usual = default_config(config.dataset).lr if config.optimizer == "sgd" else 1e-3
        return f"the learning rate, {config.lr:g}, is too high", f"--lr {min(usual, config.lr / 10):g}"

    def _bad_weights(self, weights: dict[str, Array], losses: Sequence[float]) -> str:
        """The parameters that were nan or infinite before the batch; "" if there are none."""
        bad = {name: array for name, array in weights.items() if not np.isfinite(array).all()}
        if not bad:
            return ""
        listed = "".join(f"\n  {name}  {describe(array)}" for name, array in bad.items())
        cause = "They were not finite from the beginning."
        if losses:
            cause = f"The last update caused that; the loss of its step was {losses[-1]:.6g}."
        return (
            f"Before this batch, {len(bad)} of {len(weights)} parameters were already nan or infinite:{listed}\n{cause}"
        )

    def _rerun(self, X: Any, y: Any, weights: dict[str, Array], updates: int) -> str:
        """What anomaly detection finds in the same step on NumPy."""
        state = default_generator.get_state()
        twin = self.build(nn)  # draws initial weights
        default_generator.set_state(state)
        twin.load_state_dict(weights)
        optimizer = make_optimizer(self.config, twin)
        self.backend.copy_optimizer_state(self.optimizer, optimizer)
        X, y = self.backend.as_minitrain(X), self.backend.as_minitrain(y)
        anomaly, loss = _first_anomaly(twin, optimizer, X, y)
        text = "The same batch with the same weights, on NumPy"
        if anomaly is None and math.isfinite(loss):
            return f"{text}, gives a loss of {loss:.6g} and no nan or infinity: it does not repeat.{self._other()}"
        if anomaly is None:
            return f"{text}, also gives a loss of {loss}, but no operation produced it: look at the data."
        if math.isfinite(loss):
            text += f", gives a loss of {loss:.6g}: the run's does not repeat.{self._other()} After it"
        # In a run the calling line is minitrain's own.
        entry = dataclasses.replace(anomaly.entry, place="") if anomaly.entry is not None else None
        anomaly = dataclasses.replace(anomaly, step=updates, place="", entry=entry)
        return f"{text}, under anomaly detection:\n\n{anomaly}"

    def _other(self) -> str:
        """How the run differs, and what to try."""
        if self.config.precision != "float32":
            return f" The run computes its products in {self.config.precision}; try --precision float32."
        if self.config.backend == "torch":
            return " `minitrain compare` shows where torch and NumPy differ."
        return ""


def _first_anomaly(model: Any, optimizer: Any, X: Any, y: Any) -> tuple[Anomaly | None, float]:
    """The first anomaly of one step, if any, and its loss, nan if an anomaly came before it."""
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
