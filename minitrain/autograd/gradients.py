"""torch.autograd.grad and torch.autograd.backward: gradients of several Tensors, at Tensors of one's choice."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minitrain.ops import Array, Function
from minitrain.tape import AccumulateGrad, Node, walk_back
from minitrain.tensor import Tensor, wrap

Edge = Node | AccumulateGrad


class _Together(Function):
    """The outputs as one;  dL/d(output) = the first gradient given for it."""

    @staticmethod
    def backward(ctx: Any, grad_y: Array) -> Any:
        return tuple(ctx.first_gradients)


class _Caught(Function):
    """y = x;  dL/dx = dL/dy, which is kept."""

    @staticmethod
    def backward(ctx: Any, grad_y: Array) -> Any:
        ctx.caught = grad_y
        return grad_y


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(Σ outputs · grad_outputs)/d(input) for each input, in its shape. No .grad changes.

    grad_outputs: a gradient for each output, None for 1, which an output of one element may have.
    retain_graph: keep the graph for another walk. allow_unused: give None for an input that no output was computed
    from. materialize_grads: give zeros for it. only_inputs: always True.
    Raises RuntimeError for such an input otherwise, and for one that does not require a gradient;
    NotImplementedError for create_graph.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched is not offered; call grad once for each row, with retain_graph.")
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for x in wanted:
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    root = _together(outputs, grad_outputs, create_graph)
    with _cut_down_to(root, wanted) as catchers, np.errstate(all="ignore"):
        walk_back(root, np.ones(()), retain_graph=bool(retain_graph))
    result: list[Tensor | None] = []
    for x, catcher in zip(wanted, catchers, strict=True):
        caught = getattr(catcher, "caught", None)
        if caught is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True "
                "if this is the desired behavior."
            )
        found = np.array(caught) if caught is not None else np.zeros(x.shape, x.dtype) if materialize_grads else None
        result.append(None if found is None else wrap(found))
    return tuple(result)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Tensor.backward for several Tensors in one walk; with inputs, gradients come to these alone."""
    given = grad_tensors if grad_variables is None else grad_variables
    if inputs is None:
        root = _together(tensors, given, create_graph)
        with np.errstate(all="ignore"):
            walk_back(root, np.ones(()), retain_graph=bool(retain_graph))
        return
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for x, found in zip(
        wanted, grad(tensors, wanted, given, retain_graph, create_graph, allow_unused=True), strict=True
    ):
        if found is not None:
            x.receive_grad(found.array, owned=True)


def _together(outputs: Any, grad_outputs: Any, create_graph: bool) -> Node:
    """A Node above the outputs, from which one walk reaches them all."""
    several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    given = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    given = given * len(several) if given == [None] else given
    if len(given) != len(several):
        raise RuntimeError(f"got {len(several)} tensors and {len(given)} gradients")
    gradients = [y._first_gradient(gradient, create_graph) for y, gradient in zip(several, given, strict=True)]
    root = Node(_Together, [y._edge() for y in several])
    root.first_gradients, root.result_shape, root.result_dtype = gradients, (), np.dtype(np.float64)
    return root


@contextlib.contextmanager
def _cut_down_to(root: Node, inputs: Sequence[Tensor]) -> Iterator[list[Node]]:
    """Within it, the graph below root holds only what leads to the inputs, and a _Caught Node in front of each."""
    edges = [x._edge() for x in inputs]
    below = _below(root)
    leads: set[Edge] = set()  # from here an input can be reached
    for node in below:
        if any(edge in leads or edge in edges for edge, _ in node.next_functions):
            leads.add(node)
    catchers: dict[Edge, Node] = {}
    for i, edge in enumerate(dict.fromkeys(edges)):
        catcher = catchers[edge] = Node(_Caught, [edge if edge in leads else None])
        catcher.next_functions = ((edge if edge in leads else None, 0),)
        # Visited after all that used the input, and before the Node that made it.
        catcher.sequence_nr = edge.sequence_nr + 0.5 if isinstance(edge, Node) else -1 - i  # type: ignore[assignment]
        catcher.result_shape, catcher.result_dtype = edge.result_shape, edge.result_dtype
        hung_on = edge if isinstance(edge, Node) else edge.variable
        catcher._hooks = None if edge in leads else hung_on._hooks  # else they come after it, as in torch
    before = [(node, node.next_functions) for node in below]
    try:
        for node in below:
            kept = [edge if edge in leads or edge in catchers else None for edge, _ in node.next_functions]
            node.next_functions = tuple([(catchers.get(edge, edge) if edge else None, 0) for edge in kept])
        yield [catchers[edge] for edge in edges]
    finally:
        for node, next_functions in before:
            node.next_functions = next_functions


def _below(root: Node) -> list[Node]:
    """root and all Nodes below it, the oldest first."""
    nodes: set[Node] = set()
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and node not in nodes:
            nodes.add(node)
            waiting += [edge for edge, _ in node.next_functions]
    return sorted(nodes, key=lambda node: node.sequence_nr)
