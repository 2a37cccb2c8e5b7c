"""print_tape: the graph that backward will walk, in the order in which it will walk it."""

from __future__ import annotations

import sys
from typing import TextIO

from minitrain.nn import Module
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor


def print_tape(loss: Tensor, model: Module | None = None, file: TextIO | None = None) -> None:
    """Print what loss.backward() will visit: each operation with its formula and shapes, and who gets a gradient.

    model: gives the leaves the names of its parameters.
    file: where to print; stdout if None.
    Raises RuntimeError if the Tensor has no graph.
    """
    if not loss.requires_grad:
        raise RuntimeError(
            "there is no tape: this Tensor does not require grad, nothing that it was made from asks for a gradient, "
            "or it was made under no_grad()."
        )
    out = sys.stdout if file is None else file
    nodes, leaves = _walked(loss._edge())
    names = {id(param): name for name, param in model.named_parameters()} if model is not None else {}
    labels: dict[Node | AccumulateGrad, str] = {node: f"#{i}" for i, node in enumerate(nodes, start=1)}
    for i, leaf in enumerate(leaves, start=1):
        labels[leaf] = names.get(id(leaf.variable), f"leaf {i}")

    for node in nodes:
        formula = " ".join((node.function.__doc__ or "").strip().partition("\n")[0].split())
        print(f"{labels[node]}  {node.name()}  result {list(node.result_shape)}", file=out)
        if formula:
            print(f"      {formula}", file=out)
        for i, (edge, _) in enumerate(node.next_functions):
            if edge is None:
                print(f"      input {i}: asks for no gradient", file=out)
            else:
                print(f"      input {i}: {list(edge.result_shape)} sends its gradient to {labels[edge]}", file=out)
    for leaf in leaves:
        shape = list(leaf.result_shape)
        print(f"{labels[leaf]}  AccumulateGrad  {shape}: .grad += the gradients sent here", file=out)


def _walked(root: Node | AccumulateGrad) -> tuple[list[Node], list[AccumulateGrad]]:
    """The Nodes below root, newest first, as the walk visits them; and the leaves, in the order they are met."""
    nodes: set[Node] = set()
    waiting = [root]
    while waiting:
        edge = waiting.pop()
        if isinstance(edge, Node) and edge not in nodes:
            nodes.add(edge)
            waiting += [edge for edge, _ in edge.next_functions if edge is not None]
    in_order = sorted(nodes, key=lambda node: -node.sequence_nr)
    edges = [edge for node in in_order for edge, _ in node.next_functions] if in_order else [root]
    return in_order, list(dict.fromkeys(edge for edge in edges if isinstance(edge, AccumulateGrad)))
