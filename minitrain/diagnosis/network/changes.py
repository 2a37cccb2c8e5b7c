"""The changes of a network's way back that people make by mistake, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from minitrain.diagnosis.network.activations import other_derivatives, superfluous_derivatives
from minitrain.diagnosis.network.change import Change, replaced
from minitrain.diagnosis.network.composites import composites
from minitrain.diagnosis.network.net import Net
from minitrain.diagnosis.network.operands import loss_terms, other_gradients
from minitrain.diagnosis.traced_array import Back
from minitrain.ops import Array


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

    yield from loss_terms(net, useful)
    yield from _scales(net, useful)
    yield from other_derivatives(net, useful)
    for u, v, name, says, back in composites(net, grads):
        if useful(u):
            yield Change(name, says, net.touched(u), replaced(u, v, back))
    yield from superfluous_derivatives(net, useful)
    yield from other_gradients(net, grads, useful)


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
        # Not only does it depend on all inputs: nothing goes around it.
        everything = len(touched) == len(graph.inputs) and not any(
            np.any(g) for i, g in graph.walk(net.grad, {number: lambda _: []}).grads.items() if i in graph.inputs
        )
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
        back = net.sent(number, before)
        return {number: lambda g: back(k * g)}

    return scaled
