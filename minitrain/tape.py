"""The tape: a Node for each operation that has run, linked to the Nodes of its inputs, and backward's walk over them.

There is no tape object: the links are the graph. Running an operation makes a Node if any input requires a gradient.
The result's `grad_fn` is that Node. Its `next_functions` are the Nodes that made the inputs; for a leaf, an input that
no operation made, the AccumulateGrad that adds to the leaf's `.grad`. Nodes hold arrays and other Nodes, never the
Tensors they made. So there are no reference cycles, and a graph's memory is freed as soon as its last Tensor is gone.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitrain.ops import Array, Function
from minitrain.torchlike.grad_mode import anomaly_mode
from minitrain.torchlike.node_base import NodeBase, Variable, is_alone

_sequence = itertools.count()


class Node(NodeBase):
    """One operation on the tape. It is also the ctx that its Function's forward fills and its backward reads.

    Its base guards it: `checked` requires a gradient for each input, in the input's shape, and casts it to the input's
    dtype; `saved_arrays` raises if the arrays were freed, or changed in place.

    function: the operation.
    next_functions: for each input, (edge, 0): where its gradient goes, or None if it requires none. (In torch the 0 is
        the number of an operation's result; here each has one.)
    sequence_nr: a Node is newer, and its number larger, than the Nodes that made its inputs.
    result_shape, result_dtype: of its result; set by apply after forward.
    """

    result_shape: tuple[int, ...]
    result_dtype: np.dtype[Any]

    def __init__(self, function: type[Function], edges: Sequence[Node | AccumulateGrad | None]) -> None:
        self.function, self.sequence_nr = function, next(_sequence)
        self.next_functions = tuple([(edge, 0) for edge in edges])
        self.needs_input_grad = tuple([edge is not None for edge in edges])

    def input_gradients(self, grad: Array) -> list[Array | None]:
        """Run the Function's backward: grad is dL/d(result); returns dL/d(input) for each input, or None."""
        return self.checked(self.function.backward(self, grad))


@dataclass(slots=True, eq=False, weakref_slot=True, repr=False)
class AccumulateGrad:
    """Where a leaf's gradient arrives, to be added to variable.grad, which has this shape and dtype."""

    variable: Variable
    result_shape: tuple[int, ...]
    result_dtype: np.dtype[Any]

    @property
    def next_functions(self) -> tuple[()]:
        """None: the walk ends here."""
        return ()

    def name(self) -> str:
        """As torch names it."""
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


def walk_back(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """Send grad, dL/d(root's result), back to all leaves, and add what arrives there to their .grad.

        pending = {root: grad}
        while a Node is pending:
            node = the newest pending Node
            for edge, gradient in zip(node's edges, node.input_gradients(pending.pop(node))):
                if gradient is not None:
                    pending[edge] = pending.get(edge, 0) + gradient
        for leaf, gradient in pending.items():
            leaf.grad += gradient

    Why the newest first: a Node is newer than the Nodes that made its inputs. A Node that used n's result and was not
    visited yet is pending, or a pending Node leads to it; either way a newer one than n is pending. So when n is the
    newest, all that used its result has been visited, and its gradient is complete.

    Every .grad is written after the last backward, so a backward that raises changes none.
    """
    watcher = anomaly_mode.watcher
    pending: dict[Node | AccumulateGrad, Array] = {root: grad}
    owned = {root: False}  # of leaves: whether the array may become .grad, since nobody else holds it
    newest_first = [(-root.sequence_nr, root)] if isinstance(root, Node) else []
    while newest_first:
        _, node = heapq.heappop(newest_first)
        grad = pending.pop(node)
        if node._hooks:
            grad = node._hooks.run(grad)
        if node._retain_for is not None and (variable := node._retain_for()) is not None:
            pending[AccumulateGrad(variable, grad.shape, grad.dtype)] = grad
        input_gradients = node.input_gradients(grad) if watcher is None else watcher.input_gradients(node, grad)
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
            if edge is None or input_grad is None:
                continue
            if edge in pending:  # the value was used more than once: its gradients add up
                if watcher is not None:
                    watcher.before_sum(edge, pending[edge], input_grad)
                pending[edge] = np.asarray(pending[edge] + input_grad)
                owned[edge] = True
                continue
            pending[edge] = input_grad
            if isinstance(edge, Node):
                heapq.heappush(newest_first, (-edge.sequence_nr, edge))
            else:
                owned[edge] = is_alone(input_grad, [grad, *input_gradients])
    for leaf, grad in pending.items():
        leaf.variable.receive_grad(grad, owned=owned.get(leaf, False))
