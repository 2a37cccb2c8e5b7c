"""Mistakes in the derivative of an activation: missing, inverted, twice, of another value, another function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy.wrong_derivative import LOCAL
from minitrain.diagnosis.network.change import Change, proportional
from minitrain.diagnosis.network.net import Net, Segment
from minitrain.diagnosis.traced_array import Back
from minitrain.ops import Array

FORMULAS = LOCAL | {"1 - t": lambda t: 1 - t, "1 + t²": lambda t: 1 + t * t, "t²": lambda t: t * t}


def other_derivatives(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
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
                if not same and np.isfinite(other).all() and not (several and proportional(other, slope)):
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


def superfluous_derivatives(net: Net, useful: Callable[[int], bool]) -> Iterator[Change]:
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
        back = net.sent(number, before)
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
    stopped = np.abs(slope) < 1e-6
    mask = bool(stopped.any() and np.all(stopped | (np.abs(slope - 1) < 1e-6)))
    if mask:
        says = (
            f"The mask of the {function} is missing {where}: the gradient of {av} passes to {zu} everywhere, but "
            f"should pass only where {zu} > 0. Multiply by the mask."
        )
        yield "missing", "mask-missing", says, np.ones_like(v)
        says = f"The mask of the {function} is inverted {where}: the gradient passes where it should stop."
        yield "inverted", "mask-inverted", says, 1 - slope
        says = f"The gradient is multiplied by {av} itself {where}; the {function} has a mask, 1 where {zu} > 0."
        yield "value", "mask-missing", says, v
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
                kept = np.where(np.abs(slope - dropped) < 1e-6, 0.0, slope)
                yield f"dropped {dropped == low}", "mask-wrong-side", says, kept
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
