"""The recorded network: its layers, activations, and what its values are called."""

from __future__ import annotations

import dataclasses
import linecache
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.network.change import Change
from minitrain.diagnosis.network.composites import composites_of
from minitrain.diagnosis.traced_array import Back, Graph
from minitrain.ops import Array

_DIAGNOSIS = os.path.dirname(os.path.dirname(__file__)) + os.sep
RESULTS = {"var": "the variance", "mean": "the mean", "std": "the standard deviation", "sum": "a sum"}
SIGNS = {"matmul": "@", "add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
SHAPES = ("transpose", "reshape", "ravel", "flatten", "squeeze", "expand_dims", "swapaxes", "broadcast_to")
LINEAR = ("add", "subtract", "multiply", "divide", "true_divide", "negative", "positive")
PRODUCTS = ("matmul", "dot", "einsum", "tensordot", "inner", "vecdot", "matvec", "vecmat", "convolve", "correlate")


@dataclasses.dataclass(frozen=True)
class Segment:
    """A function of single numbers on the way, from value u to value v; steps: those in between, and v."""

    u: int
    v: int
    steps: tuple[int, ...]


class Net:
    """The recorded network: its layers, activations, and names.

    layers: the steps that multiply by a weight for the first time. recurrent: whether a weight is used more than once.
    """

    def __init__(self, graph: Graph, names: Sequence[str], grad: Array) -> None:
        self.graph, self.names, self.grad = graph, list(names), grad
        uses: dict[int, list[int]] = {number: [] for number in graph.inputs}
        products: dict[int, list[int]] = {number: [] for number in graph.inputs}
        for number in graph.used:
            for i in graph.steps[number].arguments:
                parameter = self.parameter(i)
                if parameter is not None and self.parameter(number) is None:
                    uses[parameter].append(number)
                    if graph.steps[number].name in PRODUCTS:
                        products[parameter].append(number)
        self.uses = uses
        weighty = products
        self.layers = sorted({at[0] for at in weighty.values() if at})
        self.recurrent = any(len(at) > 1 for at in weighty.values())
        self._layer: dict[int, int] = {}
        for number in graph.used:
            before = max((self._layer[i] for i in graph.steps[number].arguments), default=0)
            self._layer[number] = max(before, self.layers.index(number) + 1 if number in self.layers else 0)
        places: dict[Any, list[int]] = {}
        for number in graph.used:
            step = graph.steps[number]
            places.setdefault((step.lines, step.name) if step.run is not None else number, []).append(number)
        for at in places.values():  # what a loop's last turn is called, the others are, too
            named = [graph.names[n] for n in at if graph.names.get(n, "").isidentifier()]
            for n in at if named else ():
                if not graph.names.get(n, "").isidentifier():
                    graph.names[n] = named[-1]
        self.fan_out: dict[int, int] = {}
        for number in graph.used:
            for i in {*graph.steps[number].arguments}:
                self.fan_out[i] = self.fan_out.get(i, 0) + 1
        self._turn = {n: (at[0], turn) for at in places.values() for turn, n in enumerate(at)}
        self.segments = self._segments()
        self.composites = [*composites_of(self)]
        self.batch, self.outputs = 0, 0
        of_layers = [graph.steps[n].value.shape for n in self.layers]
        first = graph.steps[graph.inputs[0]].value
        if not of_layers and first.ndim > 1:
            self.batch = len(first)
        if of_layers and all(len(shape) == 1 for shape in of_layers) and first.ndim == 1:
            self.batch = of_layers[-1][0]  # a single output for each sample
        for axis in (-1, 0):  # samples are rows, or columns
            if (
                of_layers
                and all(len(shape) > 1 for shape in of_layers)
                and len({shape[axis] for shape in of_layers}) == 1
            ):
                self.batch, self.outputs = of_layers[-1][axis], of_layers[-1][-1 - axis]

    def parameter(self, number: int) -> int | None:
        """The input that this value is, perhaps in another shape; None for any other value."""
        step = self.graph.steps[number]
        while step.run is not None and step.name in SHAPES and len(step.arguments) == 1:
            (number,) = step.arguments
            step = self.graph.steps[number]
        return number if number in self.graph.inputs else None

    def layer_of_input(self, i: int) -> int:
        """The layer in which an input is used first."""
        return min((self._layer[n] for n in self.uses[self.graph.inputs[i]]), default=0)

    def layer_at(self, number: int) -> int | None:
        """The layer whose product, or product and bias, a value is."""
        step = self.graph.steps[number]
        if number in self.layers:
            return self.layers.index(number) + 1
        if step.name == "add":
            return next((self.layers.index(i) + 1 for i in step.arguments if i in self.layers), None)
        return None

    def touched(self, *numbers: int) -> frozenset[int]:
        """The inputs that these values were computed from, by position."""
        below = set().union(*(self.graph.below[n] for n in numbers))
        return frozenset(i for i, n in enumerate(self.graph.inputs) if n in below)

    def name(self, number: int) -> str:
        """What the forward calls a value; else the call that made it."""
        if number in self.graph.names:
            return self.graph.names[number]
        step = self.graph.steps[number]
        operands = [self.graph.names.get(i) for i in step.arguments]
        if len(operands) == 2 and step.name in SIGNS and all(operands):
            return f"{operands[0]} {SIGNS[step.name]} {operands[1]}"
        parameter = self.parameter(number)
        if parameter is not None:
            return f"{self.graph.names[parameter]} (after {step.name})"
        if step.name == "[...]" and len(operands) == 1 and operands[0]:
            return f"{operands[0]}[...]"
        return RESULTS.get(step.name, f"the result of {step.name}")

    def apart(self, number: int, other: int) -> str:
        """A value's name, with its layer or its turn of the loop if another value has the same name."""
        name = self.name(number)
        if name != self.name(other):
            return name
        if self._turn[number][1] != self._turn[other][1] and self.recurrent:
            return f"{name} of {'a later' if number > other else 'an earlier'} time step"
        layers = self._layer.get(number), self._layer.get(other)
        if number in self.graph.inputs or layers[0] == layers[1]:
            return f"{'a later' if number > other else 'an earlier'} {name}"
        return f"{name} of layer {layers[0]}"

    def gradient(self, number: int) -> str:
        """'dL/dz2'; 'the gradient of a1 @ w2' where a value has no name."""
        name = self.name(number)
        return f"dL/d{name}" if name.isidentifier() else f"the gradient of {name}"

    def penalty(self, number: int) -> str:
        """', the penalty of the weights (regularisation)' for a number that is made of parameters alone."""
        graph, todo, seen = self.graph, [number], {number}
        while todo:
            step = graph.steps[todo.pop()]
            if step.name in PRODUCTS:
                return ""
            new = {i for i in step.arguments if i not in seen}
            seen |= new
            todo += new
        return ", the penalty of the weights (regularisation)" if graph.steps[number].value.size == 1 else ""

    def where(self, number: int) -> str:
        """'in layer 2 (line 57, `a2 = act(z2)`)'."""
        step = self.graph.steps[number]
        place = "" if self.recurrent or not self._layer.get(number) else f"in layer {self._layer[number]}"
        if not step.lines:
            return place
        own = [line for line in step.lines if not line[0].startswith(_DIAGNOSIS)]
        if not own:
            return place
        filename, line, _ = own[0]
        source = linecache.getline(filename, line).strip()
        quoted = f"line {line}, `{source}`" if source and len(source) < 80 else f"line {line}"
        return f"{place} ({quoted})" if place else f"at {quoted}"

    def _segments(self) -> list[Segment]:
        graph, found = self.graph, []
        for v in graph.used:
            step = graph.steps[v]
            if not step.elementwise:
                continue
            frontier, inside = {v}, []
            longest: Segment | None = None
            while True:
                newest = max(frontier)
                of = graph.steps[newest]
                if not of.elementwise or of.run is None or of.value.shape != step.value.shape:
                    break
                frontier.discard(newest)
                frontier.update(of.arguments)
                inside.append(newest)
                if len(frontier) == 1:
                    (u,) = frontier
                    if graph.steps[u].value.shape == step.value.shape:
                        longest = Segment(u, v, tuple(inside))
                        if u in graph.names:
                            found.append(longest)
            if longest is not None and longest not in found:
                found.append(longest)
            if longest is not None and len(longest.steps) > 1 and step.name not in LINEAR and len(step.arguments) == 1:
                found.append(Segment(step.arguments[0], v, (v,)))  # the activation alone
        inner = {n for segment in found for n in segment.steps[1:]}
        keep = [s for s in found if s.v in graph.names or s.v not in inner]
        return sorted(keep, key=lambda s: (-s.v, -len(s.steps)))

    def slope(self, segment: Segment, at: Array) -> Array:
        """The derivative of a segment at other numbers than forward's."""
        graph, h = self.graph, 1e-6 * np.maximum(1.0, np.abs(at))

        def value(t: Array) -> Array:
            values = {segment.u: t}
            for number in sorted(segment.steps):
                step = graph.steps[number]
                assert step.run is not None
                values[number] = step.run([values.get(i, graph.steps[i].value) for i in step.arguments])
            return values[segment.v]

        return (value(at + h) - value(at - h)) / (2 * h)

    def function(self, segment: Segment) -> str:
        """What an activation is called."""
        u, v = (self.graph.steps[n].value for n in (segment.u, segment.v))
        if np.allclose(v, np.maximum(u, 0)) and np.any(u < 0):
            return "relu"
        if np.allclose(v, 1 / (1 + np.exp(-u))):
            return "sigmoid"
        names = [self.graph.steps[n].name for n in segment.steps]  # the outer one first
        if 1 < len(names) < 4 and all(len(self.graph.steps[n].arguments) == 1 for n in segment.steps):
            return f"{'('.join(names)}({self.name(segment.u)}{')' * len(names)}"
        return names[0] if len(names) == 1 else "a function"

    def relation(self, number: int, other: int) -> tuple[int, int]:
        """Which call another value is from, and how many turns of a loop later."""
        place, turn = self._turn[other]
        return place, turn - self._turn[number][1] if self.graph.steps[other].run is not None else 0

    def sent(self, number: int, before: Mapping[int, Back]) -> Back:
        """What a step sends back: as it is changed already, or as is right."""
        if number in before:
            return before[number]
        arguments = self.graph.steps[number].arguments
        return lambda g: [(i, self.graph.through(number, k, g)) for k, i in enumerate(arguments)]

    def telling(self, k: float) -> bool:
        """Whether a factor has a meaning, or could be any number."""
        counts = (1, 2, self.batch or 1, self.outputs or 1)
        return k == 0 or any(abs(abs(k) * n - 1) < 1e-4 or abs(abs(k) / n - 1) < 1e-4 for n in counts)

    def mistake(self, change: Change, k: float, explained: Sequence[int]) -> Mistake:
        """The sentence of a change that was found."""
        name, says = change.name, change.says
        if change.scaled:
            name, says = self._scaled(change, k)
        those = [self.names[i] for i in explained]
        listed = those[0] if len(those) == 1 else f"{', '.join(those[:-1])} and {those[-1]}"
        return Mistake(name, says, f"With this one change, the right way back gives exactly your {listed}.")

    def _scaled(self, change: Change, k: float) -> tuple[str, str]:
        if k == 0:
            says = change.missing or f"{change.says} is missing: it is not added."
            return "path-forgotten", f"{says} Every use of a value sends a gradient."
        sign = "has the wrong sign, and is" if k < 0 else "is"
        size = abs(k)
        if abs(size - 1) < 1e-4:
            return "sign", f"{change.says} has the wrong sign."
        for n, what in ((self.batch, "samples of the batch"), (self.outputs, "outputs of the last layer")):
            if n > 1 and abs(size * n - 1) < 1e-4:
                why = f"a mean where a sum is due, or the loss has the 1/{n} already"
                divided = f"{n} times too small: divided by the {n} {what} once too often ({why})"
                return "mean-twice", f"{change.says} {sign} {divided}."
            if n > 1 and abs(size / n - 1) < 1e-4:
                return "mean-missing", f"{change.says} {sign} {n} times too large: not divided by the {n} {what}."
        times = f"{size:.6g} times too large" if size > 1 else f"{1 / size:.6g} times too small"
        return "factor", f"{change.says} {sign} {times}."
