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

    def repetition(self, place: int) -> int | None:
        """Which repetition the operation at this place belongs to, or None."""
        return (place - self.start) // self.period if self.start <= place < self.stop else None


def repeated_runs(nodes: Sequence[Node]) -> list[Run]:
    """Runs that do not overlap, those that save most first.

    nodes: all operations of a tape, newest first.
    Operations are alike if they have the same Function, the same shapes, and send their gradients equally far, or to
    the same operation. A run is folded only if one repetition, with its arrows, stands for all of them.
    """
    tape = _Tape(nodes)
    candidates: list[tuple[int, int, int]] = []  # saved, period, start of a stretch; its stop
    stretches: dict[tuple[int, int, int], int] = {}
    for period in range(1, min(len(nodes) // FEWEST, LONGEST) + 1):
        for start, stop in _true_stretches(tape.alike(period)):
            if stop + period - start >= FEWEST * period:
                candidate = (start - stop, period, start)
                candidates.append(candidate)
                stretches[candidate] = stop + period
    found: list[Run] = []
    for candidate in sorted(candidates):
        _, period, start = candidate
        run = tape.best_run(start, stretches[candidate], period)
        if run is not None and all(run.stop <= other.start or other.stop <= run.start for other in found):
            found.append(run)
    return found


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

    def alike(self, period: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each operation, whether it is like the one that comes `period` later in the walk."""
        linked = self.relative[:-period] == self.relative[period:]
        linked |= self.absolute[:-period] == self.absolute[period:]
        same: np.ndarray[Any, np.dtype[np.bool_]] = (self.kinds[:-period] == self.kinds[period:]) & linked.all(axis=1)
        return same

    def best_run(self, start: int, stop: int, period: int) -> Run | None:
        """The run within a stretch whose repetitions hand over the fewest gradients, and that can be folded."""
        runs = [
            Run(first, period, times)
            for first in range(start, min(start + period, stop))
            for times in range((stop - first) // period, max(FEWEST, (stop - first) // period - 1) - 1, -1)
        ]
        runs.sort(key=lambda run: (self._handed_over(run), -run.times))
        return next((run for run in runs if self._can_be_folded(run)), None)

    def _handed_over(self, run: Run) -> int:
        middle = run.start + run.period
        targets = [target for i in range(run.start, middle) for target in self.targets[i] if target is not None]
        return len({target for target in targets if middle <= target < run.stop})

    def _can_be_folded(self, run: Run) -> bool:
        """Whether the first repetition, with its links, stands for all of them."""
        return all(
            self._links_are_alike(run, j) and self._is_reached_alike(run, j) and self._leaves_are_alike(run, j)
            for j in range(run.start, run.start + run.period)
        )

    def _copies(self, run: Run, j: int) -> list[int]:
        return [j + k * run.period for k in range(run.times)]

    def _links_are_alike(self, run: Run, j: int) -> bool:
        """Each goes to its own repetition, to the next one, or all go to the same operation after the run."""
        for i in range(len(self.targets[j])):
            targets = [self.targets[copy][i] for copy in self._copies(run, j)]
            first = targets[0]
            if first is None:
                continue
            if len(set(targets)) == 1:
                if first < run.stop:
                    return False
            elif run.repetition(first) not in (0, 1) or any(
                target is None or target - k * run.period != first for k, target in enumerate(targets)
            ):
                return False
        return True

    def _is_reached_alike(self, run: Run, j: int) -> bool:
        """Operations before the run send to its first repetition only, or to all of them."""
        outside = [{i for i in self.senders[copy] if i < run.start} for copy in self._copies(run, j)]
        return not any(outside[1:]) or all(senders == outside[0] for senders in outside)

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
