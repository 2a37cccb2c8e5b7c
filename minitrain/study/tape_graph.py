"""The graph that a picture of a tape shows: operations, leaves, who sends a gradient to whom; repetitions folded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from minitrain.autograd.function import walked
from minitrain.diagnosis.anomaly_journal import argument_names
from minitrain.study.tape_folding import Run, repeated_runs
from minitrain.tape import AccumulateGrad, Node


@dataclasses.dataclass
class Item:
    """An operation or a leaf of the picture, with all that it stands for: one, or one of each repetition.

    members: Nodes, or AccumulateGrads. numbers: those of the Nodes in the order of the walk, from 1.
    run: which repeated run it is part of, or None. arriving: how many gradients each member receives.
    """

    members: list[Node] | list[AccumulateGrad]
    numbers: list[int]
    run: int | None
    arriving: int = 0

    @property
    def is_leaf(self) -> bool:
        """Whether its members are leaves."""
        return not self.numbers


@dataclasses.dataclass
class Link:
    """A gradient's way: from an item's inputs (their numbers) to another item."""

    source: int
    inputs: list[int]
    target: int


@dataclasses.dataclass
class TapeGraph:
    """items: operations in the order of the walk, then leaves. nodes, leaves: all on the tape.

    runs: what is folded. handed_on: for each run, whether its repetitions send gradients to the next one.
    """

    items: list[Item]
    links: list[Link]
    runs: list[Run]
    handed_on: list[bool]
    nodes: list[Node]
    leaves: list[AccumulateGrad]


def tape_graph(root: Node, fold: bool) -> TapeGraph:
    """The graph below root, which backward's walk visits. fold: show each repeated run of operations once."""
    nodes, leaves = walked(root)
    runs = repeated_runs(nodes) if fold else []
    items: list[Item] = []
    of: dict[Node | AccumulateGrad, int] = {}  # the item that shows it
    for i, node in enumerate(nodes):
        where = next(((number, run) for number, run in enumerate(runs) if run.repetition(i) is not None), None)
        if where is not None and where[1].repetition(i):
            of[node] = of[nodes[i - where[1].period]]
            items[of[node]].members.append(node)  # type: ignore[arg-type]
            items[of[node]].numbers.append(i + 1)
        else:
            of[node] = len(items)
            items.append(Item([node], [i + 1], None if where is None else where[0]))
    for item in list(items):
        for edges in zip(*(node.next_functions for node in item.members), strict=True):
            own = [edge for edge, _ in edges if isinstance(edge, AccumulateGrad)]
            if own and own[0] not in of:
                of.update(dict.fromkeys(own, len(items)))
                items.append(Item(list(dict.fromkeys(own)), [], None))

    places: dict[Node | AccumulateGrad, int] = {node: i for i, node in enumerate(nodes)}
    links: dict[tuple[int, int, int], Link] = {}
    arriving: dict[Node | AccumulateGrad, int] = {}
    handed_on = [False for _ in runs]
    for i, node in enumerate(nodes):
        source = items[of[node]]
        for k, (edge, _) in enumerate(node.next_functions):
            if edge is None:
                continue
            arriving[edge] = arriving.get(edge, 0) + 1
            target = items[of[edge]]
            if target.run is not None and target.run == source.run:
                repetitions = {runs[target.run].repetition(place) for place in (i, places[edge])}
                handed_on[target.run] |= len(repetitions) > 1
                if repetitions != {0}:
                    continue  # the others are alike; from one to the next, nothing is drawn
                several = False
            else:
                several = len(target.members) > 1 and not target.is_leaf  # it may send to each repetition
            link = links.setdefault((of[node], of[edge], -1 if several else k), Link(of[node], [], of[edge]))
            if k not in link.inputs:
                link.inputs.append(k)
    for item in items:
        item.arriving = max(arriving.get(member, 0) for member in item.members)
    for number, item in enumerate(items):  # a leaf that only one run uses is drawn inside it
        if item.is_leaf:
            users = {items[link.source].run for link in links.values() if link.target == number}
            item.run = users.pop() if len(users) == 1 else None
    return TapeGraph(items, list(links.values()), runs, handed_on, nodes, leaves)


def formula(node: Node) -> tuple[str, str]:
    """The operation's formula, forward and backward: the first sentence of its Function's docstring, cut at ;."""
    lines: list[str] = []
    for line in (node.function.__doc__ or "").strip().splitlines():
        if not line.strip():
            break
        lines.append(line)
        if line.rstrip().endswith("."):
            break
    forward, _, backward = " ".join(" ".join(lines).split()).removesuffix(".").partition(";")
    return forward.strip(), backward.strip()


def input_names(node: Node) -> list[str]:
    """What the operation calls its inputs: x, weight, bias."""
    count = len(node.next_functions)
    names = argument_names(getattr(node.function, "of_tensors", node.function), count)
    return [*names, *(f"input {i}" for i in range(len(names), count))]


def common_name(names: Sequence[str]) -> str:
    """One name for the leaves of all repetitions: 2.weight, 4.weight and 6.weight are 2…6.weight."""
    if len(set(names)) == 1:
        return names[0]
    split = [re.split(r"(\d+)", name) for name in names]
    if len({len(pieces) for pieces in split}) == 1:
        columns = [sorted(set(column), key=_number_first) for column in zip(*split, strict=True)]
        if all(len(column) == 1 or column[0].isdigit() for column in columns):
            return "".join(column[0] if len(column) == 1 else f"{column[0]}…{column[-1]}" for column in columns)
    return f"{names[-1]} … {names[0]}"


def _number_first(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (0, text)
