"""Mistakes in what a step sends back to its arguments: another operand, a transpose, a sum, a path left out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.network.change import Alternative, Change, Way, proportional
from minitrain.diagnosis.network.net import PRODUCTS, Net
from minitrain.diagnosis.traced_array import Back, Graph, Sent
from minitrain.ops import Array

JOINS = ("concatenate", "concat", "hstack", "vstack", "stack", "column_stack", "dstack")
RANKS = {"operand": 1, "wrong-delta": 2}  # others come before


def other_gradients(net: Net, grads: Mapping[int, Array], useful: Callable[[int], bool]) -> Iterator[Change]:
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
    yield from _parts_exchanged(net, useful)


def loss_terms(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """A term of the loss (a divergence, a penalty) is left out of the gradient of a value that the others use, too."""
    graph = net.graph
    terms, todo = [], [graph.result]
    while todo:
        step = graph.steps[todo.pop()]
        parts = [i for i in step.arguments if graph.steps[i].run is not None and graph.steps[i].value.size == 1]
        terms += parts if len(parts) > 1 else []
        todo += parts if step.name in ("add", "subtract", "reshape") else []
    for term in terms:
        inside = {term}
        for number in range(term, -1, -1):
            if number in inside:
                inside.update(graph.steps[number].arguments)
        for target in inside - {term}:
            edges = [(n, k) for n in graph.used for k, i in enumerate(graph.steps[n].arguments) if i == target]
            dropped = [edge for edge in edges if edge[0] in inside]
            if 2 <= len(dropped) < len(edges) and net.parameter(target) is None and useful(target):
                says = (
                    f"A term of the loss, {net.name(term)}, is left out of the gradient of {net.name(target)}: what "
                    f"comes from it {net.where(term)} is not added. Every use of a value sends a gradient."
                )
                none = Way("", "path-forgotten", says, lambda g: None)
                change = _edge_change(net, dropped, net.touched(target), [none] * len(dropped))
                yield dataclasses.replace(change, rank=-1)


def _parts_exchanged(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
    """The parts of a concatenation's gradient go to the wrong arrays."""
    graph = net.graph
    for number in graph.used:
        step = graph.steps[number]
        targets = step.arguments
        alike = len({graph.steps[i].value.shape for i in targets}) == 1 and len({*targets}) > 1
        if step.name in JOINS and alike and all(map(useful, targets)):
            names = " and ".join(net.name(i) for i in targets)
            says = (
                f"The parts of the gradient of {net.name(number)} are exchanged {net.where(number)}: {names} must get "
                "theirs in the order in which they were joined."
            )

            def exchanged(k: float, before: Mapping[int, Back], number: int = number) -> dict[int, Back]:
                back = net.sent(number, before)

                def sent(g: Array) -> Sent:
                    parts = back(g)
                    return [(i, part) for (i, _), (_, part) in zip(parts, [*parts[1:], parts[0]], strict=True)]

                return {number: sent}

            yield Change("wrong-place", says, net.touched(*targets), exchanged)


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
            back = net.sent(number, {**before, **found})

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
    if (not parameter or step.elementwise) and x.shape == step.value.shape and len(step.arguments) > 1:
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
        turned = graph.steps[i].name in ("transpose", "swapaxes") and other.ndim == 2  # such as k.T
        for j in reversed(graph.used) if turned else ():
            if j not in (i, target, *graph.steps[i].arguments) and graph.steps[j].value.shape == other.T.shape:
                due = net.name(graph.steps[i].arguments[0])
                says = f"{of_target} is made with {net.name(j)} {where}; due is {due}, which went into that step."
                back = _at(graph, number, slot, k, graph.steps[j].value.T)
                yield Way(f"operand {k} turned {net.relation(number, j)}", "operand", says, back)
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
    yield from _by_constant(net, number, slot)
    if not parameter:
        yield from _onward(net, number, slot, into)
        return
    y = step.value
    for j in reversed(graph.used):
        if j != number and graph.steps[j].value.shape == y.shape and j in grads and number in grads:
            if proportional(grads[j], grads[number]):
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


def _by_constant(net: Net, number: int, slot: int) -> Iterator[Way]:
    """A product with a constant square matrix (an adjacency matrix, a kernel) whose transpose is forgotten."""
    step, x = net.graph.steps[number], net.graph.steps[net.graph.steps[number].arguments[slot]].value
    square = [c for c in step.constants if c.ndim == 2 and c.shape[0] == c.shape[1] and not np.allclose(c, c.T)]
    if step.name not in ("matmul", "dot") or len(square) != 1 or len(step.arguments) != 1:
        return
    matrix, into = square[0], net.name(step.arguments[slot])
    says = (
        f"The constant matrix of {net.name(number)} {net.where(number)} is not transposed on the way back to {into}: "
        "it is square, so it fits either way, but it is not symmetric."
    )
    if x.ndim < 3 and x.shape[0] == len(matrix) and np.allclose(matrix @ x, step.value):
        yield Way("constant transposed", "transposed", says, lambda g: matrix @ g)
    elif x.shape[-1] == len(matrix) and np.allclose(x @ matrix, step.value):
        yield Way("constant transposed", "transposed", says, lambda g: g @ matrix)


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
    rows = graph.steps[number].value.shape[:1]
    for later in graph.used if graph.steps[number].name in PRODUCTS and rows else ():
        step = graph.steps[later]
        for constant in step.constants if step.name == "multiply" else ():
            if later > number and constant.shape[:1] == rows and constant.size == rows[0] and constant.all():
                says = (
                    f"The constant factor of each sample (as in {net.name(later)}, {net.where(later)}) is missing on "
                    f"the way back to {into} {net.where(number)}: the gradient of {net.name(number)} lacks it there."
                )
                each = constant.reshape(rows + (1,) * (graph.steps[number].value.ndim - 1))
                yield Way(f"weights {later}", "operand-missing", says, _of(graph, number, slot, None, 1 / each))


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
