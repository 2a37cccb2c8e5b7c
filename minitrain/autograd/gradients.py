"""Gradients as values: grad, which returns them instead of writing .grad, and backward from several Tensors at once."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import anomaly_mode

Edge = Node | AccumulateGrad
Tensors = Tensor | Sequence[Tensor]


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of outputs with respect to inputs, as a tuple; no .grad is written.

    outputs, inputs: a Tensor or several; inputs need not be leaves.
    grad_outputs: dL/d(output) for each output; may be left out for outputs of one element (it is 1 then).
    retain_graph: keep the arrays that the operations saved. Only operations between inputs and outputs are freed.
    allow_unused: return None for an input that no output was computed from, instead of raising RuntimeError.
    materialize_grads: return zeros for it.
    Raises RuntimeError also if an input or an output requires no gradient. Source: torch.autograd.grad.
    """
    outputs, inputs = _several(outputs), _several(inputs)
    given: Sequence[Tensor | None] = [None] * len(outputs)
    if grad_outputs is not None:
        given = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs
    if len(given) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients; give one gradient for each.")
    wanted = []
    for tensor in inputs:
        if not tensor.requires_grad:
            raise RuntimeError(
                "One of the differentiated Tensors does not require grad; call requires_grad_() on it first."
            )
        wanted.append(tensor._edge())
    starts = [(y._edge(), y._first_gradient(dy, create_graph)) for y, dy in zip(outputs, given, strict=True)]
    with np.errstate(all="ignore"):
        arrived = _walk_to(wanted, starts, retain_graph=bool(retain_graph))
    return tuple(
        [_result(x, arrived.get(e), allow_unused, materialize_grads) for x, e in zip(inputs, wanted, strict=True)]
    )


def backward(
    tensors: Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradients of the sum of tensors to the .grad of every leaf, as Tensor.backward does for one.

    grad_tensors: dL/d(tensor) for each; may be left out for Tensors of one element. Source: torch.autograd.backward.
    """
    tensors = _several(tensors)
    given = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors or [None] * len(tensors)
    for i, (tensor, gradient) in enumerate(zip(tensors, given, strict=True), start=1):
        tensor.backward(gradient, retain_graph=bool(retain_graph) or i < len(tensors), create_graph=create_graph)


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:  # noqa: N802, torch's name
    """The same memory as a new leaf. Old programs wrap data so; today a Tensor needs no wrapping."""
    return data.detach().requires_grad_(requires_grad)


def _several(tensors: Tensors) -> Sequence[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _result(tensor: Tensor, array: Array | None, allow_unused: bool | None, materialize: bool) -> Tensor | None:
    if array is not None:
        return wrap(np.array(array))
    if materialize:
        return wrap(np.zeros_like(tensor.array))
    if allow_unused:
        return None
    raise RuntimeError(
        "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this "
        "is the desired behavior: its gradient is None then."
    )


def _walk_to(wanted: Sequence[Edge], starts: Sequence[tuple[Edge, Array]], *, retain_graph: bool) -> dict[Edge, Array]:
    """tape.walk_back, but only as far as the wanted edges: returns what arrives there."""
    ways = _on_the_way(wanted, [edge for edge, _ in starts])
    watcher = anomaly_mode.watcher
    arrived: dict[Edge, Array] = {}
    pending: dict[Edge, Array] = {}
    newest_first: list[tuple[int, Node]] = []

    def send(edge: Edge | None, gradient: Array | None) -> None:
        if edge is None or gradient is None or edge not in ways:
            return
        if edge in pending:
            pending[edge] = np.asarray(pending[edge] + gradient)
            return
        pending[edge] = gradient
        if isinstance(edge, Node):
            heapq.heappush(newest_first, (-edge.sequence_nr, edge))

    for edge, gradient in starts:
        send(edge, gradient)
    while newest_first:
        _, node = heapq.heappop(newest_first)
        gradient = pending.pop(node)
        if not any(edge in ways for edge, _ in node.next_functions):
            arrived[node] = node.after_hooks(gradient)
            continue
        gradients = node.input_gradients(gradient) if watcher is None else watcher.input_gradients(node, gradient)
        if node in wanted:
            arrived[node] = gradient  # as torch does here: without what the hooks made of it
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, gradients, strict=True):
            send(edge, input_grad)
    for edge, gradient in pending.items():  # the leaves
        arrived[edge] = edge.variable._after_hooks(gradient)  # type: ignore[union-attr]
    return arrived


def _on_the_way(wanted: Sequence[Edge], starts: Sequence[Edge]) -> set[Edge]:
    """The wanted edges, and the Nodes below the starts from which one of them is reached."""
    nodes: set[Node] = set()
    waiting: list[Any] = list(starts)
    while waiting:
        edge = waiting.pop()
        if isinstance(edge, Node) and edge not in nodes:
            nodes.add(edge)
            waiting += [edge for edge, _ in edge.next_functions if edge is not None]
    ways = set(wanted)
    for node in sorted(nodes, key=lambda node: node.sequence_nr):  # the oldest first: what it leads to is known
        if any(edge in ways for edge, _ in node.next_functions):
            ways.add(node)
    return ways
