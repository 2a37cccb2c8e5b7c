"""Searches for the changes of the right way back that give a network's wrong gradients and leave the right ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from minitrain.diagnosis.autopsy import agree
from minitrain.diagnosis.network.change import Change
from minitrain.diagnosis.network.changes import possible_changes
from minitrain.diagnosis.network.net import Net
from minitrain.diagnosis.traced_array import Back, Walk
from minitrain.ops import Array

WALKS = 20_000  # ways back that the search tries: one or two seconds' worth, the same on every processor
BRANCHES = 5  # of the changes that explain a part, how many are followed


@dataclasses.dataclass(frozen=True)
class Found:
    """A change that gives some of the wrong gradients. score: how many, how few it leaves, whether its factor tells."""

    change: Change
    k: float
    explains: frozenset[int]
    score: tuple[int, int, bool]


class Search:
    """Looks for the changes of the right way back that give these gradients, from the loss on."""

    def __init__(self, net: Net, given: Sequence[Array | None], grad: Array) -> None:
        self._net, self._grad, self._left = net, grad, WALKS
        shapes = [net.graph.steps[n].value.shape for n in net.graph.inputs]
        self._targets = [np.zeros(shape) if g is None else g for shape, g in zip(shapes, given, strict=True)]
        # Inputs on which the loss does not depend, as a bias before batch norm: 0 is right there, after most mistakes.
        self._zero = 1e-9 * max((float(np.abs(target).max(initial=0)) for target in self._targets), default=0.0)
        self.numb = frozenset(i for i, target in enumerate(self._targets) if self._is_zero(target))

    def run(self, unmatched: frozenset[int], matched: frozenset[int], changed: Mapping[int, Back]) -> list[Found]:
        """The changes that explain the most of the unmatched inputs; of as many, the fewest."""
        found = sorted(self._single(unmatched, matched, changed), key=lambda f: f.score, reverse=True)
        best: list[Found] = []
        for first in found[:BRANCHES]:
            rest = unmatched - first.explains
            after = {**changed, **first.change.changed(first.k, changed)}
            whole = [first, *(self.run(rest, matched | first.explains, after) if rest else [])]
            explained = frozenset[int]().union(*(f.explains for f in whole))
            before = frozenset[int]().union(*(f.explains for f in best))
            if (len(explained), -len(whole)) > (len(before), -len(best)):
                best = whole
            if explained == unmatched and (len(whole) == 1 or self._left <= 0):
                break
        return best

    def _single(self, unmatched: frozenset[int], matched: frozenset[int], changed: Mapping[int, Back]) -> list[Found]:
        net, graph, found = self._net, self._net.graph, []
        current = graph.walk(self._grad, changed)
        for change in possible_changes(net, current.grads, changed, set(matched), set(unmatched)):
            touched = change.touched & unmatched
            if self._left <= 0:
                break
            if not touched or change.touched & matched:
                continue
            for k in self._factors(change, current, touched) if change.scaled else [1.0]:
                self._left -= 1
                try:
                    grads = graph.walk_again(current, change.changed(k, changed)).grads
                except ValueError:  # the changed shapes do not fit
                    continue
                if not all(self._is_zero(grads.get(graph.inputs[i])) for i in self.numb - unmatched):
                    continue
                explains = frozenset(i for i in unmatched if self._fits(grads.get(graph.inputs[i]), i))
                telling = not change.scaled or net.telling(k)
                if not explains or (not telling and sum(self._targets[i].size for i in explains) < 4):
                    continue  # any number fits so few
                found.append(Found(change, k, explains, (len(explains), -len(touched - explains), telling)))
                if explains == unmatched and telling:
                    return found
        return found

    def _is_zero(self, grad: Array | None) -> bool:
        return grad is None or bool(np.abs(grad).max(initial=0) <= self._zero)

    def _fits(self, walked: Array | None, i: int) -> bool:
        if walked is None:
            return False
        return agree(self._targets[i], walked) or not (np.any(self._targets[i]) or np.any(walked))

    def _factors(self, change: Change, current: Walk, touched: Iterable[int]) -> list[float]:
        """The factors of a scaled change that one of the inputs wants: the gradient is linear in the factor."""
        without = self._net.graph.walk_again(current, change.changed(0.0, current.changed)).grads
        found: list[float] = []
        for i in touched:
            target, number = self._targets[i], self._net.graph.inputs[i]
            base = without.get(number, np.zeros(target.shape))
            whole = current.grads.get(number, np.zeros(target.shape)) - base
            if target.shape != whole.shape or not whole.any():
                continue
            k = float(((target - base) * whole).sum() / (whole * whole).sum())
            k = round(k) if abs(k - round(k)) < 1e-5 else k
            if k != 1 and self._fits(base + k * whole, i) and not any(abs(k - other) < 1e-4 for other in found):
                found.append(k)
        return found
