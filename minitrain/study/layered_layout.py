"""Places the boxes of a directed graph in layers, so that every arrow points down and no two boxes overlap.

The steps are Sugiyama's: a layer for each box (longest path), points for the arrows that cross layers, an order within
each layer (barycentres of the neighbours, counting crossings), then places that make most arrows straight.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures", IEEE
Transactions on Systems, Man, and Cybernetics 11 (1981).
"""

from __future__ import annotations

import dataclasses
import itertools
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Point = tuple[float, float]

SWEEPS = 12  # over all layers, down and up alternately
BETWEEN = 36.0  # from a box to the next one in its layer
ARROW = 12.0  # the room on each side of an arrow that crosses a layer


@dataclasses.dataclass
class Box:
    """A box, as wide as `left` and `right` of its anchor, where arrows arrive from above.

    lowest: it stands in the last layer.
    layout sets x, the anchor's, and y, the box's top; both are at least 0.
    """

    left: float
    right: float
    height: float
    lowest: bool = False
    x: float = 0.0
    y: float = 0.0
    layer: int = 0


@dataclasses.dataclass
class Arrow:
    """An arrow from one box down to another, by their numbers.

    start, end: where it leaves the source's lower edge and meets the target's upper edge, from the anchors. A start
        of None is chosen by layout, `spread` apart from the source's other arrows.
    points: set by layout. Between two of them the arrow runs straight down, then curves to the next two, and so on.
    joins: whether it ends by joining another arrow that leads to the same box.
    """

    source: int
    target: int
    start: float | None = None
    end: float = 0.0
    points: list[Point] = dataclasses.field(default_factory=list)
    joins: bool = False


class _Step(NamedTuple):
    """A piece of an arrow, from one layer to the next. arrow: its number if the arrow begins here, else -1."""

    above: int
    below: int
    arrow: int
    end: float


def layout(boxes: Sequence[Box], arrows: Sequence[Arrow], gap: float, spread: float = 60.0) -> tuple[float, float]:
    """Set every box's and arrow's place, and return the width and height that they take.

    The arrows must not form a cycle. gap: the height between two layers.
    """
    _set_layers(boxes, arrows)
    # A long arrow gets a thin box in each layer that it crosses. Arrows to one place share them: they meet on the way.
    everything = list(boxes)
    crossing: dict[tuple[int, float, int], int] = {}
    steps: dict[_Step, None] = {}
    for number, arrow in enumerate(arrows):
        last, begins = arrow.source, number
        for layer in range(boxes[arrow.source].layer + 1, boxes[arrow.target].layer):
            key = arrow.target, arrow.end, layer
            if key not in crossing:
                crossing[key] = len(everything)
                everything.append(Box(ARROW, ARROW, 0.0, layer=layer))
            steps[_Step(last, crossing[key], begins, 0.0)] = None
            last, begins = crossing[key], -1
        steps[_Step(last, arrow.target, begins, arrow.end)] = None
    layers: list[list[int]] = [[] for _ in range(max(box.layer for box in everything) + 1)]
    for i in _depth_first(len(everything), list(steps)):
        layers[everything[i].layer].append(i)
    _order(layers, list(steps))
    starts = [arrow.start or 0.0 for arrow in arrows]
    above = _straight(layers, everything, steps, starts, len(boxes))
    _choose_starts(boxes, arrows, starts, steps, layers, above, spread)
    _set_x(layers, everything, steps, starts, above)
    return _set_y_and_points(layers, everything, arrows, starts, crossing, gap)


def _set_layers(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> None:
    """A box's layer is the length of the longest path to it."""
    below: list[list[int]] = [[] for _ in boxes]
    waiting = [0] * len(boxes)
    for arrow in arrows:
        below[arrow.source].append(arrow.target)
        waiting[arrow.target] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    for i in ready:  # it grows
        for j in below[i]:
            boxes[j].layer = max(boxes[j].layer, boxes[i].layer + 1)
            waiting[j] -= 1
            if not waiting[j]:
                ready.append(j)
    last = max(box.layer for box in boxes)
    if any(box.layer == last and not box.lowest for box in boxes) and any(box.lowest for box in boxes):
        last += 1
    for box in boxes:
        box.layer = last if box.lowest else box.layer


def _depth_first(count: int, steps: Sequence[_Step]) -> list[int]:
    """All numbers, each after one that leads to it, the arrows of a box in their order."""
    below: list[list[int]] = [[] for _ in range(count)]
    reached = [False] * count
    for a, b, *_ in steps:
        below[a].append(b)
        reached[b] = True
    waiting, found = [i for i in reversed(range(count)) if not reached[i]], dict[int, None]()
    while waiting:
        i = waiting.pop()
        if i not in found:
            found[i] = None
            waiting += reversed(below[i])
    return list(found)


def _order(layers: list[list[int]], steps: Sequence[_Step]) -> None:
    """Sort each layer by the mean place of its neighbours in the layer before; keep the order that crosses least."""
    above: dict[int, list[int]] = {i: [] for layer in layers for i in layer}
    below: dict[int, list[int]] = {i: [] for i in above}
    for a, b, *_ in steps:
        below[a].append(b)
        above[b].append(a)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        for number in range(1, len(layers)) if downwards else reversed(range(len(layers) - 1)):
            fixed = layers[number - 1 if downwards else number + 1]
            place = {i: k for k, i in enumerate(fixed)}
            own = {i: k * len(fixed) / len(layers[number]) for k, i in enumerate(layers[number])}
            mean = {i: sum(map(place.__getitem__, near)) / len(near) for i in own if (near := neighbours[i])}
            layers[number].sort(key=lambda i: mean.get(i, own[i]))
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _crossings(layers: Sequence[Sequence[int]], below: dict[int, list[int]]) -> int:
    """How many pairs of arrows cross between neighbouring layers."""
    count = 0
    for upper, lower in itertools.pairwise(layers):
        place = {i: k for k, i in enumerate(lower)}
        seen: list[int] = []
        for i in upper:
            targets = sorted(place[j] for j in below[i])
            count += sum(len(seen) - bisect_right(seen, k) for k in targets)
            for k in targets:
                insort(seen, k)
    return count


def _straight(
    layers: Sequence[Sequence[int]],
    boxes: Sequence[Box],
    steps: Mapping[_Step, None],
    starts: Sequence[float],
    real: int,
) -> dict[int, tuple[int, float]]:
    """The steps that will be straight: by the box below, the one above it, and how much further right it stands.

    A box is joined to at most one above and one below, and no two such steps cross. Long arrows come first, then arrows
    between boxes that have no others.
    """
    place = {i: k for layer in layers for k, i in enumerate(layer)}
    leaving, arriving = Counter(step.above for step in steps), Counter(step.below for step in steps)

    def importance(step: _Step) -> tuple[int, int]:
        return -(step.above >= real) - (step.below >= real), leaving[step.above] + arriving[step.below]

    above: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    joined: dict[int, list[tuple[int, int]]] = {}
    for step in sorted(steps, key=importance):
        a, b = step.above, step.below
        others = joined.setdefault(boxes[b].layer, [])
        if a in taken or b in above or any((place[a] - c) * (place[b] - d) < 0 for c, d in others):
            continue
        taken.add(a)
        above[b] = a, (starts[step.arrow] if step.arrow >= 0 else 0.0) - step.end
        others.append((place[a], place[b]))
    return above


def _choose_starts(
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    starts: list[float],
    steps: Mapping[_Step, None],
    layers: Sequence[Sequence[int]],
    above: Mapping[int, tuple[int, float]],
    spread: float,
) -> None:
    """Where arrows leave a box: side by side in the order of where they go, the straight one in the middle."""
    place = {i: k for layer in layers for k, i in enumerate(layer)}
    leaving: dict[int, list[tuple[int, int, int]]] = {}
    for a, b, arrow, _ in steps:
        if arrow >= 0 and arrows[arrow].start is None:
            leaving.setdefault(a, []).append((place[b], arrow, b))
    for a, targets in leaving.items():
        targets.sort()
        straight = [k for k, (_, _, b) in enumerate(targets) if above.get(b, (-1, 0.0))[0] == a]
        middle = (
            sum(straight) / len(straight) if straight else (len(targets) - 1) / 2
        )  # several, where all go to one box
        room = min(boxes[a].left, boxes[a].right) - 12
        apart = min(spread, room / max(middle, len(targets) - 1 - middle, 1))
        for k, (_, arrow, _) in enumerate(targets):
            starts[arrow] = (k - middle) * apart


def _set_x(
    layers: Sequence[Sequence[int]],
    boxes: Sequence[Box],
    steps: Mapping[_Step, None],
    starts: Sequence[float],
    above: Mapping[int, tuple[int, float]],
) -> None:
    """Stack what straight steps join, then move each stack to where the middle one of its other steps is straight.

    Source: U. Brandes, B. Köpf, "Fast and Simple Horizontal Coordinate Assignment", Graph Drawing 2001, simplified.
    """
    stack: dict[int, int] = {}
    shift: dict[int, float] = {}
    for layer in layers:
        for i in layer:
            up, by = above.get(i, (i, 0.0))
            stack[i], shift[i] = stack.get(up, i), shift.get(up, 0.0) + by
    members: dict[int, list[int]] = {}
    for i, root in stack.items():
        members.setdefault(root, []).append(i)
    after: dict[int, dict[int, float]] = {root: {} for root in members}  # the least distance to stacks at its right
    before: dict[int, dict[int, float]] = {root: {} for root in members}
    for layer in layers:
        for i, j in itertools.pairwise(layer):
            least = shift[i] + boxes[i].right + BETWEEN + boxes[j].left - shift[j]
            a, b = stack[i], stack[j]
            after[a][b] = before[b][a] = max(least, after[a].get(b, least))
    pulls: dict[int, list[tuple[int, float]]] = {root: [] for root in members}  # other stacks, and where from them
    for i, j, arrow, end in steps:
        a, b = stack[i], stack[j]
        if a != b:
            there = shift[i] + (starts[arrow] if arrow >= 0 else 0.0) - end - shift[j]
            pulls[b].append((a, there))
            pulls[a].append((b, -there))
    x = dict.fromkeys(members, 0.0)
    order = _left_to_right(before, after)
    for root in order:
        x[root] = max((x[other] + least for other, least in before[root].items()), default=0.0)
    for _ in range(SWEEPS):
        for root in [*reversed(order), *order]:
            if not pulls[root]:
                continue
            wanted = sorted(x[other] + there for other, there in pulls[root])
            middle = (wanted[(len(wanted) - 1) // 2] + wanted[len(wanted) // 2]) / 2
            low = max((x[other] + least for other, least in before[root].items()), default=-float("inf"))
            high = min((x[other] - least for other, least in after[root].items()), default=float("inf"))
            x[root] = min(max(middle, low), high)
    for i, root in stack.items():
        boxes[i].x = x[root] + shift[i]


def _left_to_right(before: dict[int, dict[int, float]], after: dict[int, dict[int, float]]) -> list[int]:
    """The stacks, each after all that stand left of it."""
    waiting = {root: len(others) for root, others in before.items()}
    order = [root for root, count in waiting.items() if not count]
    for root in order:  # it grows
        for other in after[root]:
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    return order


def _set_y_and_points(
    layers: Sequence[Sequence[int]],
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    starts: Sequence[float],
    crossing: dict[tuple[int, float, int], int],
    gap: float,
) -> tuple[float, float]:
    """Put the layers below each other, then draw each arrow until it arrives or joins one that goes there."""
    leftmost = min(box.x - box.left for box in boxes)
    bottoms, y = [], 0.0
    for layer in layers:
        bottoms.append(y + max(boxes[i].height for i in layer))
        for i in layer:
            boxes[i].x, boxes[i].y = boxes[i].x - leftmost, y
        y = bottoms[-1] + gap
    drawn: set[tuple[int, float, int]] = set()
    for number in sorted(range(len(arrows)), key=lambda n: boxes[arrows[n].source].layer):
        arrow = arrows[number]
        source, target = boxes[arrow.source], boxes[arrow.target]
        x = source.x + starts[number]
        arrow.points = [(x, source.y + source.height), (x, bottoms[source.layer])]
        for crossed in range(source.layer + 1, target.layer):
            key = arrow.target, arrow.end, crossed
            across = boxes[crossing[key]]
            arrow.points.append((across.x, across.y))
            if key in drawn:
                arrow.joins = True
                break
            drawn.add(key)
            arrow.points.append((across.x, bottoms[crossed]))
        else:
            arrow.points.append((target.x + arrow.end, target.y))
    return max(box.x + box.right for box in boxes), bottoms[-1]
