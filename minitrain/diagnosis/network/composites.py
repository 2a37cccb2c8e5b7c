"""Mistakes in softmax and in normalisation within a network, whatever steps it is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from minitrain.ops import Array

if TYPE_CHECKING:
    from minitrain.diagnosis.network.net import Net

Back = Callable[[Array], Array]
Found = tuple[int, int, str, str, Back]


def composites(net: Net, grads: Mapping[int, Array]) -> Iterator[Found]:
    """(u, v, name, says, back) of each mistake that people make between u and v = softmax(u), or normalized u.

    grads: the right gradients of all values. back: from the gradient of v to that of u.
    """
    for u, v, axis, softmax in net.composites:
        yield from _of_softmax(net, u, v, axis, grads) if softmax else _of_normalization(net, u, v, axis)


def composites_of(net: Net) -> Iterator[tuple[int, int, int, bool]]:
    """(u, v, axis, whether it is softmax) where v is softmax of u, or may be u normalized."""
    graph = net.graph
    values = [n for n in graph.used if graph.steps[n].value.ndim and graph.steps[n].value.size > 1]
    for v in values:
        y = graph.steps[v].value
        for axis in range(y.ndim):
            softmax = y.shape[axis] > 1 and bool((y > 0).all() and np.allclose(y.sum(axis), 1))
            if softmax or (y.shape[axis] > 2 and y.ndim > 1 and np.allclose(y.mean(axis), 0, atol=1e-6)):
                for u in reversed(values):
                    x = graph.steps[u].value
                    is_made_of = u < v and x.shape == y.shape and _above(net, u, v)
                    if is_made_of and (not softmax or np.allclose(_softmax(x, axis), y)):
                        yield u, v, axis, softmax


def _above(net: Net, u: int, v: int) -> bool:
    return net.graph.below[u] <= net.graph.below[v] and bool(net.graph.below[u])


def _softmax(z: Array, axis: int) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def _of_softmax(net: Net, u: int, v: int, axis: int, grads: Mapping[int, Array]) -> Iterator[Found]:
    y, where, z, p = net.graph.steps[v].value, net.where(v), net.name(u), net.name(v)
    if u in grads:
        yield from _of_classes(net, u, v, axis, grads[u])

    def sums(g: Array) -> Array:
        return np.asarray((g * y).sum(axis, keepdims=True))

    due = f"due is {p} · (g - the sum of g · {p} over the row)"
    says = f"The derivative of softmax lacks the sum over the row {where}: g · {p} is taken, but {due}."
    yield u, v, "sum-missing", says, lambda g: g * y
    says = f"Only the diagonal of softmax's Jacobian is used {where}, {p} (1 - {p}): {due}."
    yield u, v, "diagonal", says, lambda g: g * y * (1 - y)
    says = f"The derivative of softmax is missing {where}: the gradient of {p} is passed on as that of {z}; {due}."
    yield u, v, "derivative-missing", says, lambda g: g
    says = f"The derivative of softmax is {p} · g minus the sum, without {p} at the sum {where}; {due}."
    yield u, v, "wrong-derivative", says, lambda g: g * y - sums(g)
    for other in range(y.ndim):
        if other != axis and y.shape[other] == y.shape[axis]:
            says = f"The sum in softmax's derivative runs over the wrong axis, {other}, {where}; {due}."
            yield u, v, "sum-wrong-axis", says, lambda g, o=other: y * (g - (g * y).sum(o, keepdims=True))  # type: ignore[misc]


def _of_classes(net: Net, u: int, v: int, axis: int, right: Array) -> Iterator[Found]:
    """Mistakes in c · (p - onehot), the gradient of cross-entropy by the scores, where it is that."""
    p, where, z, name = net.graph.steps[v].value, net.where(v), net.name(u), net.name(v)
    c = (np.abs(right) * (right > 0)).sum(axis, keepdims=True) / (p * (right > 0)).sum(axis, keepdims=True).clip(1e-300)
    onehot = p - right / np.where(c == 0, 1, c)
    if not np.allclose(onehot, onehot.round(), atol=1e-5) or not np.allclose(onehot.sum(axis), 1, atol=1e-5):
        return
    onehot = onehot.round()
    due = f"the gradient of {z} is {name} minus the one-hot of the right class"
    for kind, says, grad in (
        ("term-missing", f"The one-hot is missing {where}: {due}; subtract 1 at the label.", c * p),
        ("sign", f"The one-hot is added {where}: {due}.", c * (p + onehot)),
        (
            "term-missing",
            f"Only the right class gets a gradient {where}: {due}.",
            c * (p - 1) * onehot,
        ),
        ("term-missing", f"The right class gets no gradient {where}: {due}.", c * p * (1 - onehot)),
        (
            "derivative-missing",
            f"The gradient of the loss by {name} is passed on as that of {z} {where}: softmax's derivative is missing.",
            -c * onehot / p,
        ),
        (
            "derivative-twice",
            f"{name} (1 - {name}) is multiplied in once more {where}: {due}, which contains softmax's derivative.",
            right * p * (1 - p),
        ),
        (
            "derivative-twice",
            f"Softmax's derivative is applied to {name} minus the one-hot {where}, which already contains it: {due}.",
            p * (right - (right * p).sum(axis, keepdims=True)),
        ),
        ("diagonal", f"Only the diagonal of softmax's Jacobian is used {where}: {due}.", c * onehot * (p - 1)),
    ):
        yield u, v, kind, says, lambda g, grad=grad: grad  # type: ignore[misc]


def _of_normalization(net: Net, u: int, v: int, axis: int) -> Iterator[Found]:
    y, x = (net.graph.steps[n].value for n in (v, u))
    centred = x - x.mean(axis, keepdims=True)
    where, name, n = net.where(v), net.name(v), x.shape[axis]
    with np.errstate(all="ignore"):
        ratio = (centred * y).sum(axis, keepdims=True) / (y * y).sum(axis, keepdims=True)
    spread = (y * y).mean(axis)
    if not np.isfinite(ratio).all() or not np.allclose(ratio * y, centred) or not (ratio > 0).all():
        return
    if np.allclose(ratio, ratio.flat[0]) or not (spread < 1.000001).all() or not (spread > 0.5).all():
        return
    used = n - 1 if np.allclose(spread, (n - 1) / n, atol=1e-3) else n

    def mean(g: Array) -> Array:
        return np.asarray(g.mean(axis, keepdims=True))

    def along(g: Array) -> Array:
        return np.asarray(y * (g * y).sum(axis, keepdims=True))

    if np.allclose(x.mean(axis), 0, atol=1e-9):  # the mean is subtracted already
        says = f"The term through the variance is missing: {name} depends on the variance {where}."
        yield u, v, "path-forgotten", says, lambda g: g / ratio
        return
    both = f"{name} depends on the mean and the variance {where}"
    for says, back in (
        (f"The terms through the mean and the variance are missing: {both}.", lambda g: g / ratio),
        (f"The term through the variance is missing: {both}.", lambda g: (g - mean(g)) / ratio),
        (f"The term through the mean is missing: {both}.", lambda g: (g - along(g) / used) / ratio),
    ):
        yield u, v, "path-forgotten", says, back
    says = f"The normalization's derivative lacks the division by the standard deviation {where}."
    yield u, v, "factor", says, lambda g: g - mean(g) - along(g) / used
    wrong = n if used == n - 1 else n - 1
    given, due = ("n", "n - 1") if used == n - 1 else ("n - 1", "n")
    says = f"The term through the variance is divided by {given} {where}, but the variance was divided by {due}."
    yield u, v, "mean-missing", says, lambda g: (g - mean(g) - along(g) / wrong) / ratio
    says = f"The term through the variance has the wrong power of the variance, or lacks a factor {where}: {both}."
    with np.errstate(all="ignore"):
        for power in (-1, 1):
            other = ratio ** (2.0 * power)
            yield u, v, "wrong-derivative", says, lambda g, o=other: (g - mean(g) - along(g) / used * o) / ratio  # type: ignore[misc]
