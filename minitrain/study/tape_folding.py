"""Finds repeated layers on a tape: runs of operations that are alike and linked alike, which a picture shows once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.tape import Node

FEWEST = 3  # repetitions that are worth folding
LONGEST = 200  # operations in one repetition


@dataclasses.dataclass(frozen=True)
class Run:
    """`times` repetitions of `period` operations, from the one at `start`, in the order of backward's walk."""

    start: int
    period: int
    times: int

    @property
    def stop(self) -> int:
        """The place after its last operation."""
        return self.start + self.period * self.times

    @property
    def first(self) -> range:
        """The places of its first repetition."""
        return range(self.start, self.start + self.period)

    def repetition(self, place: int) -> int | None:
        """Which repetition the operation at this place belongs to, or None."""
        return (place - self.start) // self.period if self.start <= place < self.stop else None


def repeated_runs(nodes: Sequence[Node]) -> list[Run]:
    """Runs that do not overlap, those that save most first.

    nodes: all operations of a tape, newest first.
    A run is folded only if one repetition, with its arrows, stands for all of them: the same Functions and shapes, and
    gradients that go to its own repetition, to the next one, to the same operation for all, or to the same repetition
    of another run.
    """
    tape = _Tape(nodes)
    candidates: list[tuple[int, int, int, int]] = []  # minus what it saves, period, and where it starts and stops
    for period in range(1, min(len(nodes) // FEWEST, LONGEST) + 1):
        stretches = {stretch for strict in (True, False) for stretch in _true_stretches(tape.alike(period, strict))}
        candidates += [
            (start - stop, period, start, stop + period)
            for start, stop in stretches
            if stop + period - start >= FEWEST * period
        ]
    candidates.sort()
    refused: set[Run] = set()
    while True:
        found: list[Run] = []
        for _, period, start, stop in candidates:
            if not any(run.start < stop and start < run.stop for run in found):
                run = tape.best_run(start, stop, period, refused)
                found += [] if run is None else [run]
        disagreeing = [run for run in found if not tape.agrees(run, found)]
        if not disagreeing:
            return found
        refused.update(disagreeing)


def _true_stretches(alike: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], alike, [False]]).astype(int)))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))


class _Tape:
    """The tape's links as numbers: for each operation and input, the place of the operation it goes to."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.place = {node: i for i, node in enumerate(nodes)}
        self.targets: list[list[int | None]] = []  # by operation and input: a place
        self.leaves: list[list[Any]] = []  # by operation and input: a leaf
        self.senders: list[list[int]] = [[] for _ in nodes]
        self.users: dict[Any, set[int]] = {}
        kinds: dict[Any, int] = {}
        self.kinds = np.empty(len(nodes), int)
        most = max((len(node.next_functions) for node in nodes), default=0)
        self.absolute = np.full((len(nodes), most), -1)
        self.relative = np.full((len(nodes), most), -1)
        for i, node in enumerate(nodes):
            edges = [edge for edge, _ in node.next_functions]
            self.targets.append([self.place[edge] if isinstance(edge, Node) else None for edge in edges])
            self.leaves.append([None if edge is None or isinstance(edge, Node) else edge for edge in edges])
            for k, target in enumerate(self.targets[-1]):
                if target is not None:
                    self.senders[target].append(i)
                    self.absolute[i, k], self.relative[i, k] = target, target - i
            for leaf in self.leaves[-1]:
                if leaf is not None:
                    self.users.setdefault(leaf, set()).add(i)
            inputs = tuple(edge and (isinstance(edge, Node), edge.result_shape, edges.index(edge)) for edge in edges)
            kind = node.function.__name__, node.function.__doc__, node.result_shape, inputs
            self.kinds[i] = kinds.setdefault(kind, len(kinds))
        self.target_kinds = np.where(self.absolute < 0, -1, self.kinds[self.absolute])

    def alike(self, period: int, strict: bool) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each operation, whether it is like the one that comes `period` later in the walk.

        strict: they send equally far, or to the same operation; otherwise, to operations of the same kind will do.
        """
        linked = self.relative[:-period] == self.relative[period:]
        linked |= self.absolute[:-period] == self.absolute[period:]
        if not strict:
            linked |= self.target_kinds[:-period] == self.target_kinds[period:]
        same: np.ndarray[Any, np.dtype[np.bool_]] = (self.kinds[:-period] == self.kinds[period:]) & linked.all(axis=1)
        return same

    def best_run(self, start: int, stop: int, period: int, refused: set[Run]) -> Run | None:
        """The run within a stretch whose repetitions hand over the fewest gradients, and that can be folded."""
        runs = [
            Run(first, period, times)
            for first in range(start, min(start + period, stop))
            for times in range((stop - first) // period, max(FEWEST, (stop - first) // period - 1) - 1, -1)
        ]
        runs.sort(key=lambda run: (self._handed_over(run), -run.times))
        return next((run for run in runs if run not in refused and self._can_be_folded(run)), None)

    def agrees(self, run: Run, runs: Sequence[Run]) -> bool:
        """Whether other runs are folded such that its gradients go to, and come from, the same repetition of each."""
        return all(
            self._goes_to_the_same_repetition(run, j, i, runs) for j in run.first for i in range(len(self.targets[j]))
        ) and all(self._comes_from_the_same_repetition(run, j, runs) for j in run.first)

    def _goes_to_the_same_repetition(self, run: Run, j: int, i: int, runs: Sequence[Run]) -> bool:
        targets = [target for copy in self._copies(run, j) if (target := self.targets[copy][i]) is not None]
        if len(set(targets)) <= 1 or targets[0] < run.stop:
            return True
        other = next((other for other in runs if other.start <= targets[0] < other.stop), None)
        if other is None or other is run:
            return False
        ahead = other.repetition(targets[0]) or 0
        inside = [target for k, target in enumerate(targets) if k + ahead < other.times]
        beyond = targets[len(inside) :]
        return inside == [targets[0] + k * other.period for k in range(len(inside))] and all(
            other.repetition(target) is None for target in beyond
        )

    def _comes_from_the_same_repetition(self, run: Run, j: int, runs: Sequence[Run]) -> bool:
        outside = self._senders_before(run, j)
        for_all = set.intersection(*outside)
        own = [senders - for_all for senders in outside]
        if not any(own[1:]):
            return True
        rows: dict[tuple[Run, tuple[int, int]], list[int]] = {}
        for k, senders in enumerate(own):
            for sender in senders:
                other = next((other for other in runs if other.repetition(sender) is not None), None)
                if other is not None:
                    place = (sender - other.start) % other.period, k - (other.repetition(sender) or 0)
                    rows.setdefault((other, place), []).append(k)
                elif k:
                    return False
        return all(ks[-1] == 0 or ks == list(range(run.times)) for ks in rows.values())

    def _handed_over(self, run: Run) -> int:
        middle = run.start + run.period
        targets = [target for i in range(run.start, middle) for target in self.targets[i] if target is not None]
        return len({target for target in targets if middle <= target < run.stop})

    def _can_be_folded(self, run: Run) -> bool:
        """Whether the first repetition, with its links, stands for all of them, if the other runs agree."""
        return all(self._links_are_alike(run, j) and self._leaves_are_alike(run, j) for j in run.first)

    def _copies(self, run: Run, j: int) -> list[int]:
        return [j + k * run.period for k in range(run.times)]

    def _senders_before(self, run: Run, j: int) -> list[set[int]]:
        """For each repetition, who sends to its operation j from before the run."""
        return [{i for i in self.senders[copy] if i < run.start} for copy in self._copies(run, j)]

    def _links_are_alike(self, run: Run, j: int) -> bool:
        """Each goes to its own repetition, to the next one, or after the run."""
        for i in range(len(self.targets[j])):
            targets = [self.targets[copy][i] for copy in self._copies(run, j)]
            first = targets[0]
            if first is None:
                continue
            if first >= run.stop:
                if any(target is None or target < run.stop for target in targets):
                    return False
            elif run.repetition(first) not in (0, 1) or any(
                target is None or target - k * run.period != first for k, target in enumerate(targets)
            ):
                return False
        return True

    def _leaves_are_alike(self, run: Run, j: int) -> bool:
        """All repetitions use the same leaf, or each uses one of its own."""
        for i in range(len(self.leaves[j])):
            leaves = [self.leaves[copy][i] for copy in self._copies(run, j)]
            if leaves[0] is None or len(set(leaves)) == 1:
                continue
            uses = [{use - k * run.period for use in self.users[leaf]} for k, leaf in enumerate(leaves)]
            if any(use != uses[0] for use in uses) or any(run.repetition(use) != 0 for use in uses[0]):
                return False
        return True
