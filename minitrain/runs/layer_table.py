"""The table of a run's layers: at every Nth update, the norms of weights, gradients and changes, and ReLU's zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class LayerTable:
    """Watches a model during the updates that are due, and gives their rows of layers.csv.

    A layer with a weight has a row with three norms: of dL/dW, of W before the update, and of what the update changed.
    A ReLU has a row with the share of zeros in its output. Between the updates that are due, nothing is watched.

    model: of either framework; None to watch nothing. every: 0 for never. as_array: a framework's tensor as an array.
    updates: the number of updates before now. zeros: False to leave out the rows of the ReLUs.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        every: int,
        as_array: Callable[[Any], Array],
        updates: int = 0,
        *,
        zeros: bool = True,
    ) -> None:
        self._model, self._optimizer, self._every, self._as_array = model, optimizer, every, as_array
        self._updates = updates
        self._weights = {} if model is None else _weights(model)
        modules = [] if model is None else [*model.named_modules()]
        self._relus = {layer: module for layer, module in modules if zeros and type(module).__name__ == "ReLU"}
        self._layers = [layer for layer, _ in modules if layer in self._weights or layer in self._relus]
        self._hooks = [(relu.register_forward_hook, self._zeros_of(layer)) for layer, relu in self._relus.items()]
        self._hooks += [] if model is None else [(optimizer.register_step_pre_hook, self._before_step)]
        self._before: dict[str, Array] = {}
        self._cells: dict[str, list[float]] = {}
        self._handles: list[Any] = []
        self._watch_if_due()

    def rows(self, epoch: int, batch: int) -> list[str]:
        """Called after every update: its rows, [] unless it was due."""
        self._updates += 1
        rows = []
        if self._handles:
            for handle in self._handles:
                handle.remove()
            self._handles = []
            self._measure_changes()
            for layer in self._layers:
                cells = ",".join(map(str, self._cells.pop(layer, ())))
                if cells:  # a frozen layer has none
                    rows.append(f"{epoch},{batch},{layer},{f'{cells},' if layer in self._weights else f',,,{cells}'}")
        self._watch_if_due()
        return rows

    def _watch_if_due(self) -> None:
        if self._model is None or self._every == 0 or self._updates % self._every:
            return
        self._handles = [register(hook) for register, hook in self._hooks]

    def _zeros_of(self, layer: str) -> Callable[..., None]:
        def count(module: Any, inputs: Any, output: Any) -> None:
            if module.training:  # a test may lie between the watched update and the one before
                y = self._as_array(output)
                self._cells[layer] = [1 - np.count_nonzero(y) / max(y.size, 1)]

        return count

    @np.errstate(all="ignore")  # an infinite norm is a result, too
    def _before_step(self, *_: Any) -> None:
        for layer, weight in self._weights.items():
            if weight.grad is None:
                continue
            array = self._as_array(weight)
            if layer not in self._before:
                self._before[layer] = np.empty_like(array)
            np.copyto(self._before[layer], array)
            self._cells[layer] = [_norm(self._as_array(weight.grad)), _norm(array)]

    @np.errstate(all="ignore")
    def _measure_changes(self) -> None:
        for layer, weight in self._weights.items():
            if layer in self._cells:
                before = self._before[layer]
                np.subtract(self._as_array(weight), before, out=before)
                self._cells[layer].append(_norm(before))


def _weights(model: Any) -> dict[str, Any]:
    """The weights with at least two axes, by their layers' names."""
    named = ((name.rpartition("."), parameter) for name, parameter in model.named_parameters())
    return {layer: parameter for (layer, _, name), parameter in named if name == "weight" and parameter.ndim > 1}


def _norm(array: Array) -> float:
    """np.linalg.norm without its checks, which would take longer than the sum of a small weight's squares."""
    values = array.ravel(order="K")
    return float(np.sqrt(values.dot(values)))
