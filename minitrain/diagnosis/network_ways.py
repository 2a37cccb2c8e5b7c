"""The changes of a network's way back that people make by mistake: a step's derivative, operand, factor or sum."""

from __future__ import annotations

import dataclasses
import itertools
import linecache
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.autopsy.wrong_derivative import LOCAL
from minitrain.diagnosis.network_composites import composites, composites_of
from minitrain.diagnosis.traced_array import Graph, UntraceableError
from minitrain.ops import Array

Sent = list[tuple[int, Array]]
Back = Callable[[Array], Sent]
Alternative = Callable[[Array], Array | None]

_HERE = os.path.dirname(__file__) + os.sep
FORMULAS = LOCAL | {"1 - t": lambda t: 1 - t, "1 + t²": lambda t: 1 + t * t, "t²": lambda t: t * t}


@dataclasses.dataclass(frozen=True)
class Change:
    """A mistake on the way back.

    touched: the inputs whose gradients it can change. changed(k, before): what the changed steps send back, given how
    they are changed already; k is the factor of a scaled change, which is fitted. rank: the likeliest have 0.
    """

    name: str
    says: str
    touched: frozenset[int]
    changed: Callable[[float, Mapping[int, Back]], dict[int, Back]]
    scaled: bool = False
    missing: str = ""
    rank: int = 0


@dataclasses.dataclass(frozen=True)
class Segment:
    """A function of single numbers on the way, from value u to value v; steps: those in between, and v."""

    u: int
    v: int
    steps: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Way:
    """A mistake in what a step sends to one of its arguments.

    key: the same for the steps of a loop. back: from the result's gradient; None if the right one gets a factor.
    """

    key: str
    name: str
    says: str
    back: Alternative | None
    missing: str = ""


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
        own = [line for line in step.lines if not line[0].startswith(_HERE)]
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
        if np.allclose(v, np.maximum(u, 0)):
            return "relu"
        if np.allclose(v, 1 / (1 + np.exp(-u))):
            return "sigmoid"
        return self.graph.steps[segment.v].name if len(segment.steps) == 1 else "a function"

    def relation(self, number: int, other: int) -> tuple[int, int]:
        """Which call another value is from, and how many turns of a loop later."""
        place, turn = self._turn[other]
        return place, turn - self._turn[number][1] if self.graph.steps[other].run is not None else 0

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


RANKS = {"operand": 1, "wrong-delta": 2}  # others come before
RESULTS = {"var": "the variance", "mean": "the mean", "std": "the standard deviation", "sum": "a sum"}
SIGNS = {"matmul": "@", "add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
SHAPES = ("transpose", "reshape", "ravel", "flatten", "squeeze", "expand_dims", "swapaxes", "broadcast_to")
PRODUCTS = ("matmul", "dot", "einsum", "tensordot", "inner", "vecdot", "matvec", "vecmat", "convolve", "correlate")


def possible_changes(
    net: Net, grads: Mapping[int, Array], changed: Mapping[int, Back], matched: set[int], unmatched: set[int]
) -> Iterator[Change]:
    """The changes to try, the likeliest first. grads: the gradients of all values, as the way back is so far."""
    possible = [*_possible(net, grads, matched, unmatched)]
    yield from sorted(possible, key=lambda change: (change.rank, not change.touched >= unmatched))


def _possible(net: Net, grads: Mapping[int, Array], matched: set[int], unmatched: set[int]) -> Iterator[Change]:
    def useful(number: int) -> bool:
        touched = net.touched(number)
        return bool(touched & unmatched) and not touched & matched

    yield from _scales(net, useful)
    yield from _of_segments(net, useful)
    for u, v, name, says, back in composites(net, grads):
        if useful(u):
            yield Change(name, says, net.touched(u), _replaced(u, v, back))
    yield from _superfluous(net, useful)
    yield from _of_edges(net, grads, useful)


def _sent(net: Net, number: int, before: Mapping[int, Back]) -> Back:
    """What a step sends back: as it is changed already, or as is right."""
    if number in before:
        return before[number]
    arguments = net.graph.steps[number].arguments
    return lambda g: [(i, net.graph.through(number, k, g)) for k, i in enumerate(arguments)]


def _scales(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """A value's gradient with a factor. Of several values on one way, the last one that has a name."""
    graph = net.graph
    seen: dict[frozenset[int], int] = {}
    for number in reversed(graph.used):
        if useful(number) and graph.steps[number].run is not None and len(graph.below[number]) > 1:
            touched = net.touched(number)
            if touched not in seen or number in graph.names:
                seen[touched] = number
    for touched, number in seen.items():
        everything = len(touched) == len(graph.inputs)
        says = (
            "Every gradient"
            if everything
            else f"The gradient of {net.name(number)}{net.penalty(number)}, {net.where(number)}, and all before it,"
        )

        yield Change("factor", says, touched, _scaled(net, number), scaled=True)
    for number in graph.used:  # of an input's paths, the one through a value that has a name
        inside = graph.steps[number].run is not None and number != graph.result and len(graph.below[number]) == 1
        if inside and useful(number) and graph.names.get(number, "").isidentifier():
            path = f"The path through {net.name(number)} {net.where(number)}"
            missing = f"{path} is missing: that term is not added."
            yield Change("factor", path, net.touched(number), _scaled(net, number), True, missing, 1)


def _scaled(net: Net, number: int) -> Callable[[float, Mapping[int, Back]], dict[int, Back]]:
    def scaled(k: float, before: Mapping[int, Back]) -> dict[int, Back]:
        back = _sent(net, number, before)
        return {number: lambda g: back(k * g)}

    return scaled


def _of_segments(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """Other derivatives of an activation, or of all activations that one call in a loop makes."""
    graph = net.graph
    groups: dict[Any, list[Segment]] = {}
    for segment in net.segments:
        if useful(segment.u):
            step = graph.steps[segment.v]
            groups.setdefault((step.lines or segment.v, step.name, len(segment.steps)), []).append(segment)
    for segments in groups.values():
        options = []
        for segment in segments:
            u, v = graph.steps[segment.u].value, graph.steps[segment.v].value
            slope, several = net.slope(segment, u), net.fan_out[segment.u] > 1 or net.parameter(segment.u) is not None
            option = {}
            for key, name, says, other in _slopes(net, segment, slope, u, v):
                same = np.allclose(other, slope, rtol=1e-5, atol=1e-8)
                if not same and np.isfinite(other).all() and not (several and _proportional(other, slope)):
                    option[key] = name, says, other
            options.append(option)
        for key, (name, says, _) in options[0].items():
            if all(key in option for option in options):
                several = several or graph.steps[segments[0].v].name in ("square", "power")
                rank = 1 if several or name in ("operand", "mask-wrong-side") else 0  # a whole term comes before
                yield _jump(net, name, says, segments, [option[key][2] for option in options], rank)
        yield from _masks_of_gradients(net, segments)
        if 1 < len(segments) < 4:
            for segment, option in zip(segments, options, strict=True):
                for name, says, other in option.values():
                    yield _jump(net, name, says, [segment], [other], 3)


def _masks_of_gradients(net: Net, segments: Sequence[Segment]) -> Iterator[Change]:
    """The mask of a relu taken from the gradient, not from its input."""
    if all(net.function(segment) == "relu" for segment in segments):
        v = segments[0].v
        says = f"The mask of the relu {net.where(v)} is taken of the gradient, dL/d{net.name(v)} > 0. It should be "
        says += f"where {net.name(segments[0].u)} > 0."
        also = f"{says} The gradient passes only where both are."
        for name, kept in ((says, 0.0), (also, 1.0)):
            slopes = [net.slope(segment, net.graph.steps[segment.u].value) for segment in segments]
            masks = [np.where(slope > 0.5, 1.0, 1.0 - kept) for slope in slopes]

            def jumped(k: float, before: Mapping[int, Back], masks: Sequence[Array] = masks) -> dict[int, Back]:
                return {s.v: _positive(s.u, mask) for s, mask in zip(segments, masks, strict=True)}

            touched = net.touched(*(segment.u for segment in segments))
            yield Change("mask-of-gradient", name, touched, jumped, rank=1)


def _positive(to: int, mask: Array) -> Back:
    return lambda g: [(to, np.maximum(g, 0) * mask)]


def _jump(net: Net, name: str, says: str, segments: Sequence[Segment], slopes: Sequence[Array], rank: int) -> Change:
    def jumped(k: float, before: Mapping[int, Back]) -> dict[int, Back]:
        return {s.v: _multiplied(s.u, slope) for s, slope in zip(segments, slopes, strict=True)}

    return Change(name, says, net.touched(*(segment.u for segment in segments)), jumped, rank=rank)


def _replaced(u: int, v: int, back: Alternative) -> Callable[[float, Mapping[int, Back]], dict[int, Back]]:
    """The way back from v straight to u."""

    def sent(g: Array) -> Sent:
        new = back(g)
        return [] if new is None else [(u, new)]

    return lambda k, before: {v: sent}


def _superfluous(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """The derivative of an activation where the forward has none: at what a layer computes, with its bias."""
    graph = net.graph
    activated = {segment.u for segment in net.segments}
    for number in graph.used:
        z = graph.steps[number].value
        adds = [n for n in graph.used if number in graph.steps[n].arguments and graph.steps[n].name == "add"]
        if net.layer_at(number) is None or number in activated or not useful(number) or adds:
            continue
        for function, slope in (
            ("relu", (z > 0).astype(float)),
            ("sigmoid", z * (1 - z)),
            ("sigmoid", np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2),
            ("tanh", 1 - z * z),
            ("tanh", 1 - np.tanh(z) ** 2),
        ):
            says = (
                f"The derivative of a {function} is multiplied in {net.where(number)}, but the forward has none "
                f"there: {net.name(number)} is used as it is."
            )
            name = "mask-superfluous" if function == "relu" else "derivative-superfluous"
            back = _sent_through(net, number, slope)
            yield Change(name, says, net.touched(number), back, rank=1)


def _sent_through(net: Net, number: int, slope: Array) -> Callable[[float, Mapping[int, Back]], dict[int, Back]]:
    def changed(k: float, before: Mapping[int, Back]) -> dict[int, Back]:
        back = _sent(net, number, before)
        return {number: lambda g: back(g * slope)}

    return changed


def _multiplied(to: int, slope: Array) -> Back:
    return lambda g: [(to, g * slope)]


def _slopes(net: Net, segment: Segment, slope: Array, u: Array, v: Array) -> Iterator[tuple[str, str, str, Array]]:
    """What people take for an activation's derivative."""
    graph = net.graph
    zu, av, where, function = net.name(segment.u), net.name(segment.v), net.where(segment.v), net.function(segment)
    what = f"the activation ({function})" if net.parameter(segment.u) is None else function
    if net.graph.steps[segment.v].name in ("multiply", "divide") and len(segment.steps) == 1:
        what = "a multiplication by a constant (a dropout mask, a scale)"
    mask = bool(np.all((np.abs(slope) < 1e-6) | (np.abs(slope - 1) < 1e-6)))
    if mask:
        says = (
            f"The mask of the {function} is missing {where}: the gradient of {av} passes to {zu} everywhere, but "
            f"should pass only where {zu} > 0. Multiply by the mask."
        )
        yield "missing", "mask-missing", says, np.ones_like(v)
        says = f"The mask of the {function} is inverted {where}: the gradient passes where it should stop."
        yield "inverted", "mask-inverted", says, 1 - slope
        for leak in (0.01, 0.1, 0.2):
            says = f"The derivative of the {function} is a leaky one {where}: {leak} where {zu} <= 0. It is 0 there."
            yield f"leaky {leak}", "mask-leaky", says, np.where(slope > 0.5, 1.0, leak)
    else:
        says = (
            f"The derivative of {what} is missing {where}: the gradient of {av} is passed on as "
            f"that of {zu}. Multiply by the derivative."
        )
        yield "missing", "derivative-missing", says, np.ones_like(v)
        says = f"The derivative of {what} is taken at {av} {where}, which is already activated; it belongs at {zu}."
        yield "at output", "at-output", says, net.slope(segment, v)
        yield "twice", "derivative-twice", f"The derivative of {what} is applied twice {where}.", slope**2
        low, high = slope.min(), slope.max()
        if low < high and np.all((np.abs(slope - low) < 1e-6) | (np.abs(slope - high) < 1e-6)):
            two = f"the slope of {what} is {high:.4g} and {low:.4g} on the two sides"
            says = f"The slopes of the two sides are exchanged {where}: {two}."
            yield "exchanged", "mask-inverted", says, low + high - slope
            for dropped in (low, high):
                says = f"The slope {dropped:.4g} of one side is missing {where}: 0 is taken there, but {two}."
                yield (
                    f"dropped {dropped == low}",
                    "mask-wrong-side",
                    says,
                    np.where(slope == dropped, 0.0, slope)
                    if (dropped in slope)
                    else np.where(np.abs(slope - dropped) < 1e-6, 0.0, slope),
                )
        due = [
            f"{text.replace('t', name)}"
            for text, local in FORMULAS.items()
            for name, t in ((av, v), (zu, u))
            if np.allclose(local(t), slope, rtol=1e-4, atol=1e-6)
        ]
        wanted = f"; due is {due[0]}" if due else ""
        for text, local in FORMULAS.items():
            for name, t in ((av, v), (zu, u)):
                taken = text.replace("exp t", f"exp {name}").replace("sign t", f"sign {name}")
                taken = taken if taken != text else text.replace("t", name)
                says = f"The derivative of {what} is wrong {where}: {taken} is taken{wanted}."
                yield f"{text} {t is v}", "wrong-derivative", says, np.asarray(local(t))
    for number in sorted(graph.used, key=lambda n: (n not in graph.names, -n)):
        t = graph.steps[number].value
        if number in (segment.u, segment.v):
            continue
        if mask:
            part = t[tuple(slice(n) for n in slope.shape)] if t.ndim == slope.ndim else t
            if part.shape == slope.shape:
                says = (
                    f"The mask of the {function} {where} is taken from another place: where {net.name(number)} > 0. It "
                    f"should be where {zu} > 0."
                )
                yield f"{net.relation(segment.v, number)}", "mask-wrong-side", says, (part > 0).astype(float)
        elif t.shape == slope.shape:
            says = f"The derivative of {what} {where} is taken at {net.apart(number, segment.u)}; it belongs at {zu}."
            yield f"{net.relation(segment.v, number)}", "operand", says, net.slope(segment, t)


def _of_edges(net: Net, grads: Mapping[int, Array], useful: Callable[[int], bool]) -> Iterator[Change]:
    """Changes of what one step, or all steps of one line, send to one argument."""
    graph = net.graph
    inner = {n for segment in net.segments for n in segment.steps if len(segment.steps) > 1 and n != segment.v}
    groups: dict[Any, list[tuple[int, int]]] = {}
    for number in reversed(graph.used):
        step = graph.steps[number]
        if step.run is None or number in inner:
            continue
        for slot, target in enumerate(step.arguments):
            if useful(target):
                argument = slot if step.arguments.count(target) == 1 else -1  # of x * x, both
                groups.setdefault((step.lines, step.name, argument, net.parameter(target)), []).append((number, slot))
    for edges in groups.values():  # of one line and one parameter
        options = [{way.key: way for way in _ways(net, grads, *edge)} for edge in edges]
        touched = net.touched(*(graph.steps[n].arguments[k] for n, k in edges))
        for key in options[0]:
            ways = [option[key] for option in options if key in option]
            if len(ways) == len(edges):
                yield _edge_change(net, edges, touched, ways)
        if len(edges) > 1:
            one = net.parameter(graph.steps[edges[0][0]].arguments[edges[0][1]]) is not None
            for which, only in (("last", edges[0]), ("first", edges[-1])) if one else ():
                value = net.name(graph.steps[only[0]].arguments[only[1]])
                says = (
                    f"{value} is used {len(edges)} times {net.where(only[0])}, and each use sends a gradient. Only "
                    f"that of the {which} use is kept: it is overwritten (=) instead of accumulated (+=)."
                )
                dropped = [edge for edge in edges if edge != only]
                none = Way("", "path-forgotten", says, lambda g: None)
                yield _edge_change(net, dropped, touched, [none] * len(dropped))
            for edge, option in zip(edges, options, strict=True) if len(edges) < 4 else ():
                for way in option.values():
                    alone = _edge_change(net, [edge], net.touched(graph.steps[edge[0]].arguments[edge[1]]), [way])
                    yield dataclasses.replace(alone, rank=3)
    yield from _two_terms(net, useful)


def _two_terms(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """Two of the terms of a value's gradient are missing, as through the mean and the variance."""
    graph = net.graph
    uses: dict[int, list[tuple[int, int]]] = {}
    for number in graph.used:
        for slot, target in enumerate(graph.steps[number].arguments):
            uses.setdefault(target, []).append((number, slot))
    for target, edges in uses.items():
        if 3 <= len(edges) <= 5 and useful(target):
            for pair in itertools.combinations(edges, 2):
                sources = " and the path through ".join(sorted(net.name(number) for number, _ in pair))
                says = (
                    f"Two terms are missing in the gradient of {net.name(target)}: the path through {sources} "
                    f"({net.where(pair[0][0])}). They are taken for constants, but depend on it."
                )
                none = Way("", "path-forgotten", says, lambda g: None)
                yield dataclasses.replace(_edge_change(net, pair, net.touched(target), [none, none]), rank=1)


def _edge_change(net: Net, edges: Sequence[tuple[int, int]], touched: frozenset[int], ways: Sequence[Way]) -> Change:
    def made(k: float, before: Mapping[int, Back]) -> dict[int, Back]:
        found: dict[int, Back] = {}
        for (number, slot), way in zip(edges, ways, strict=True):
            back = _sent(net, number, {**before, **found})

            def sent(g: Array, back: Back = back, slot: int = slot, way: Way = way, number: int = number) -> Sent:
                parts = back(g)
                if len(parts) != len(net.graph.steps[number].arguments):
                    return parts  # another change sends it elsewhere
                target, part = parts[slot]
                new = k * part if way.back is None else way.back(g)
                return [*parts[:slot], (target, np.zeros_like(part) if new is None else new), *parts[slot + 1 :]]

            found[number] = sent
        return found

    return Change(
        ways[0].name, ways[0].says, touched, made, ways[0].back is None, ways[0].missing, RANKS.get(ways[0].name, 0)
    )


def _ways(net: Net, grads: Mapping[int, Array], number: int, slot: int) -> Iterator[Way]:
    """What people send back from a step to one of its arguments: what, and what is said of it."""
    graph = net.graph
    step, target = graph.steps[number], graph.steps[number].arguments[slot]
    values = [graph.steps[i].value for i in step.arguments]
    of_target = f"The gradient of {net.name(target)}"
    x, where, into = values[slot], net.where(number), net.name(target)
    parameter = net.parameter(target) is not None
    several = len(net.uses[net.parameter(target) or 0]) > 1 if parameter else net.fan_out.get(target, 0) > 1
    if several:
        source = net.name(number)
        if {*step.arguments} == {target} and step.name in ("multiply", "square", "power", "abs", "absolute"):
            added = number in grads and np.ptp(grads[number]) < 1e-9
            source += (
                ", the penalty of the weights (regularisation)," if added and parameter else ", of a norm or square,"
            )
        if step.name == "[...]":
            source += ", the entries that are picked (such as the right class),"
        missing = f"One term is missing in the gradient of {into}: what comes from {source} {where} is not added."
        yield Way("factor", "factor", f"The term of {into}'s gradient that comes from {source} {where}", None, missing)
    elif parameter or (len(step.arguments) > 1 and len(graph.below[target]) > 1):
        says = f"The gradient of {into}" if parameter else f"The way back to {into} {where}"
        yield Way("factor", "factor", says, None, f"{says} is missing: it is not added.")
    if parameter and x.ndim == 2 and x.shape[0] == x.shape[1]:
        says = f"The gradient of {into} is transposed."
        yield Way("transposed", "transposed", says, lambda g: graph.through(number, slot, g).T)
    if not parameter and x.shape == step.value.shape and len(step.arguments) > 1:
        by = net.name(next(i for k, i in enumerate(step.arguments) if k != slot))
        says = (
            f"The gradient of {net.name(number)} is passed on to {into} unchanged {where}: it is not multiplied by "
            f"{by}, the weights are left out."
        )
        if not step.elementwise:
            yield Way("passed on", "operand-missing", says, lambda g: g)
        elif step.name in ("multiply", "divide", "true_divide"):
            says = f"The gradient of {net.name(number)} is passed on to {into} {where} without the factor {by}."
            yield Way("passed on", "operand-missing", says, lambda g: g)
    if len(step.value.shape) == 2 and step.value.shape[0] == step.value.shape[1] and step.name in PRODUCTS:
        says = (
            f"The gradient of {net.name(number)} is transposed wrongly on the way back to {into} {where}: it is square."
        )
        yield Way("delta transposed", "transposed", says, lambda g: graph.through(number, slot, g.T))
    for k, i in enumerate(step.arguments):
        if k == slot or (step.elementwise and step.name not in ("multiply", "divide", "true_divide", "power")):
            continue
        other = values[k]
        if other.ndim == 2 and other.shape[0] == other.shape[1]:
            says = (
                f"{net.name(i)} is transposed wrongly on the way back to {into} {where}: it fits either way, as it is "
                f"square. The way back multiplies by the transpose of what the way forth multiplied by."
            )
            yield Way(f"operand {k} transposed", "transposed", says, _at(graph, number, slot, k, other.T))
        for j in reversed(graph.used):
            if j not in (i, target) and graph.steps[j].value.shape == other.shape:
                due = f"due is {net.apart(i, j)}, which went into that step."
                says = f"{of_target} is made with {net.apart(j, i)} {where}; {due}"
                yield Way(
                    f"operand {k} {net.relation(number, j)}",
                    "operand",
                    says,
                    _at(graph, number, slot, k, graph.steps[j].value),
                )
    if not parameter:
        yield from _onward(net, number, slot, into)
        return
    y = step.value
    for j in reversed(graph.used):
        if j != number and graph.steps[j].value.shape == y.shape and j in grads and number in grads:
            if _proportional(grads[j], grads[number]):
                continue  # a factor
            says = f"{of_target} is made of {net.gradient(j)} {where}; due is {net.gradient(number)}."
            yield Way(f"delta {net.relation(number, j)}", "wrong-delta", says, _of(graph, number, slot, grads[j]))
    for j in reversed(graph.used):
        if j in grads and graph.steps[j].value.shape == y.shape:
            says = f"{of_target} is made with {net.name(j)} itself {where}; due is {net.gradient(number)}, the delta."
            yield Way(
                f"value {net.relation(number, j)}", "wrong-delta", says, _of(graph, number, slot, graph.steps[j].value)
            )
    if y.ndim > 1 or (y.ndim == 1 and x.ndim == 0):
        for axis in range(y.ndim):
            for index in (0, -1):
                what = "first" if index == 0 else "last"
                says = (
                    f"The gradient of {into} is that of the {what} index along axis {axis} of {net.name(number)} alone "
                    f"{where}; due is the sum over the batch, over all samples."
                )
                keep = np.zeros([n if a == axis else 1 for a, n in enumerate(y.shape)])
                keep.reshape(-1)[index] = 1
                yield Way(f"{axis} {index}", "sum-missing", says, _of(graph, number, slot, None, keep))
        if step.elementwise and x.size < y.size:
            for axis in range(y.ndim):
                says = f"The gradient of {into} is the delta summed over the wrong axis, {axis}, {where}."
                yield Way(f"summed {axis}", "sum-wrong-axis", says, _summed(axis, x.shape))


def _onward(net: Net, number: int, slot: int, into: str) -> Iterator[Way]:
    """The derivative of the activation after a product is missing on the way on, not in the layer's own weights."""
    graph = net.graph
    for segment in net.segments if graph.steps[number].name in PRODUCTS else ():
        u = graph.steps[segment.u]
        if segment.u == number or (u.name == "add" and number in u.arguments):
            slope = net.slope(segment, u.value)
            if slope.all() and slope.shape == graph.steps[number].value.shape:
                says = (
                    f"The derivative of the activation is missing on the way back to {into} {net.where(number)}: it is "
                    f"made of {net.gradient(segment.v)}; due is {net.gradient(segment.u)}."
                )
                back = _of(graph, number, slot, None, 1 / slope)
                yield Way("onward", "derivative-missing", says, back)


def _proportional(a: Array, b: Array) -> bool:
    size = float((b * b).sum())
    return size == 0 or bool(np.abs(a - (a * b).sum() / size * b).max() <= 1e-6 * np.abs(a).max())


def _at(graph: Graph, number: int, slot: int, k: int, value: Array) -> Alternative:
    """The step's way back with another array as its argument k."""
    values = [graph.steps[i].value for i in graph.steps[number].arguments]
    values[k] = value
    return lambda g: graph.through(number, slot, g, values)


def _of(graph: Graph, number: int, slot: int, grad: Array | None, mask: Array | float = 1.0) -> Alternative:
    """The step's way back of another gradient, or of a part."""
    return lambda g: graph.through(number, slot, (g if grad is None else grad) * mask)


def _summed(axis: int, shape: tuple[int, ...]) -> Alternative:
    def summed(g: Array) -> Array | None:
        total = g.sum(axis=axis)
        return total.reshape(shape) if total.size == np.prod(shape) else None

    return summed


__all__ = ["Change", "Net", "UntraceableError", "possible_changes"]
