"""The tape: what is recorded of an operation when it runs, and the walk that backward takes over the record.

Running an operation makes a Node if any input asks for a gradient. The result's `grad_fn` is that Node; its
`next_functions` are the Nodes that made the inputs, and for an input that nobody made (a leaf) the AccumulateGrad
that adds to its `.grad`. `walk_back` visits the Nodes, newest first, hands each the gradient of its result and
receives the gradients of its inputs. Nodes hold arrays and other Nodes, never the Tensors they made: there are no
reference cycles, and a graph's memory is freed the moment its last Tensor is let go.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, Protocol, Self

import numpy as np

from minitrain.ops import Array, Context, Function

# --- whether operations are recorded ----------------------------------------------------------------------------------


class _GradMode(threading.local):
    enabled = True


_grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return _grad_mode.enabled


class _Mode(ContextDecorator):
    """Sets the grad mode on entering and puts the previous one back on leaving; can be nested and used again."""

    mode: bool
    _previous: list[bool]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        new = super().__new__(cls)
        new._previous = []
        return new if function is None else new(function)  # `@no_grad` without parentheses decorates

    def _recreate_cm(self) -> Self:
        new = type(self)()  # each call of a decorated function has its own: other threads may call it meanwhile
        new.mode = self.mode
        return new

    def __enter__(self) -> None:
        self._previous.append(_grad_mode.enabled)
        _grad_mode.enabled = self.mode

    def __exit__(self, *exception: object) -> None:
        _grad_mode.enabled = self._previous.pop()


class no_grad(_Mode):  # noqa: N801, torch's name
    """Operations inside are not recorded: `with no_grad():`, or `@no_grad()` above a function."""

    mode = False


class enable_grad(_Mode):  # noqa: N801, torch's name
    """Operations inside are recorded, even within no_grad."""

    mode = True


class inference_mode(_Mode):  # noqa: N801, torch's name
    """no_grad by torch's other name. (torch also forbids later use of the results in a graph; here they may be.)

    inference_mode(False) is enable_grad.
    """

    mode = False

    def __new__(cls, mode: Callable[..., Any] | bool = True) -> Any:
        if not isinstance(mode, bool):
            return super().__new__(cls, mode)
        new = super().__new__(cls)
        new.mode = not mode
        return new


class set_grad_enabled(ContextDecorator):  # noqa: N801, torch's name
    """Switch recording on or off at once; as a context manager, put the previous mode back on leaving.

    As a decorator it switches within the function's calls only.
    """

    def __init__(self, mode: bool) -> None:
        self._mode, self._previous = mode, _grad_mode.enabled
        _grad_mode.enabled = mode

    def __call__(self, function: Callable[..., Any]) -> Any:
        _grad_mode.enabled = self._previous
        return super().__call__(function)

    def _recreate_cm(self) -> Self:
        return type(self)(self._mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _grad_mode.enabled = self._previous


# --- whether operations are watched for nan and infinity --------------------------------------------------------------


class Watcher(Protocol):
    """What is told of every operation, backward and update; it may raise. See autograd/anomaly.py."""

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Any
    ) -> None:
        """An operation has run; inputs and result are Tensors, or what else apply was given."""

    def input_gradients(self, node: Node, grad: Array) -> list[Array | None]:
        """node.input_gradients(grad), run by the watcher."""
        raise NotImplementedError

    def before_sum(self, edge: Node | AccumulateGrad, first: Array, second: Array) -> None:
        """Two gradients of one value are about to be added."""

    def before_step(self, optimizer: Any) -> None:
        """An optimizer is about to update its parameters."""

    def after_step(self, optimizer: Any) -> None:
        """It has updated them."""


class _AnomalyMode(threading.local):
    watcher: Watcher | None = None


anomaly_mode = _AnomalyMode()


# --- what is recorded -------------------------------------------------------------------------------------------------


class Version:
    """How often a piece of memory was written in place; shared by all Tensors that are views of it."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class Variable(Protocol):
    """What the tape knows of a Tensor: its array, how often that was written, and that it takes a gradient."""

    array: Array
    _version: Version

    def receive_grad(self, grad: Array, *, owned: bool) -> None:
        """Add grad to .grad; an owned array is nobody else's and may be kept."""


class AccumulateGrad:
    """Where a leaf's gradient arrives, to be added to variable.grad."""

    next_functions: tuple[()] = ()

    def __init__(self, variable: Variable) -> None:
        self.variable = variable
        self.result_shape, self.result_dtype = variable.array.shape, variable.array.dtype

    def name(self) -> str:
        """As torch names it."""
        return "AccumulateGrad"


_sequence = itertools.count()


class Node(Context):
    """One operation on the tape; a Tensor's grad_fn is the Node that made it. It is the ctx of its Function.

    function: the operation.
    next_functions: for each input, (where its gradient goes or None if it asks for none, 0), as in torch.
    result_shape, result_dtype: of what it made; set by apply once forward has run.
    """

    result_shape: tuple[int, ...]
    result_dtype: np.dtype[Any]
    _versions: Sequence[tuple[Version, int, int]] = ()
    _freed = False
    _retain_for: weakref.ref[Variable] | None = None
    _call: Any = None  # what a Watcher has noted of the forward

    def __init__(self, function: type[Function], edges: Sequence[Node | AccumulateGrad | None]) -> None:
        super().__init__(tuple([edge is not None for edge in edges]))
        self.function = function
        self.next_functions = tuple([(edge, 0) for edge in edges])
        self.sequence_nr = next(_sequence)

    def name(self) -> str:
        """The operation's name, as torch spells a Node's: AddBackward0."""
        return f"{self.function.__name__}Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    def guard(self, inputs: Sequence[Variable | None], result: Variable) -> None:
        """Remember the version of each input, and of the result, that forward saved: backward needs its values."""
        versions: list[tuple[Version, int, int]] = []
        for place, known in enumerate((result, *inputs)):
            if known is None:
                continue
            for saved in self._saved:
                if saved is known.array:
                    versions.append((known._version, known._version.number, place))
        self._versions = versions

    @property
    def saved_arrays(self) -> tuple[Any, ...]:
        """What forward saved. Raises RuntimeError if it was freed, or changed in place since."""
        if self._freed:
            raise RuntimeError(
                f"Trying to backward through the graph a second time: what {self.name()} saved is freed once "
                "backward has used it. Call backward(retain_graph=True) the first time, or run the forward again."
            )
        for version, number, place in self._versions:
            if version.number != number:
                what = "the result" if place == 0 else f"input {place - 1}"
                raise RuntimeError(
                    f"A tensor needed for gradient computation has been modified by an inplace operation: {what} of "
                    f"{self.name()}, saved when the operation ran, is at version {version.number}; expected version "
                    f"{number}. Write the change out of place (x = x + 1, not x += 1), or clone() the tensor first."
                )
        return self._saved

    def free(self) -> None:
        """Let go of what forward saved."""
        self._freed = bool(self._saved)
        self._saved = ()

    def input_gradients(self, grad: Array) -> list[Array | None]:
        """Run the Function's backward: for each input its gradient in its dtype, or None where none is asked for.

        Raises RuntimeError for a gradient that has not its input's shape, and for another number of them.
        """
        gradients = self.function.backward(self, grad)
        if not isinstance(gradients, tuple):
            gradients = (gradients,)
        if len(gradients) != len(self.next_functions):
            raise RuntimeError(
                f"{self.name()} returned an incorrect number of gradients (expected {len(self.next_functions)}, got "
                f"{len(gradients)}): one for each input, in order, and None for one that gets none."
            )
        result: list[Array | None] = []
        for i, gradient in enumerate(gradients):
            edge, _ = self.next_functions[i]
            if edge is None or gradient is None:
                result.append(None)
                continue
            gradient = np.asarray(gradient, edge.result_dtype)
            if gradient.shape != edge.result_shape:
                raise RuntimeError(
                    f"{self.name()} returned a gradient of shape {list(gradient.shape)} for its input {i}, which "
                    f"has shape {list(edge.result_shape)}; a gradient has its input's shape."
                )
            result.append(gradient)
        return result


def _memory(array: Array) -> object:
    """What the array's elements lie in: the array itself, or what it is a view of."""
    return array if array.base is None else array.base


def _is_alone(array: Array, arrays: Sequence[Array | None]) -> bool:
    """Whether it may be written to and, of the arrays, which it is one of, none but itself lies in its memory."""
    memory = _memory(array)
    if not (array.flags.writeable and isinstance(memory, np.ndarray) and memory.base is None):
        return False  # a broadcast one, or somebody else's memory
    return sum([other is not None and _memory(other) is memory for other in arrays]) == 1


# --- the walk back ----------------------------------------------------------------------------------------------------


def walk_back(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """Send grad, the loss's gradient with respect to root's result, back to all leaves, adding to their .grad.

    A Node is newer than the Nodes that made its inputs. When the newest waiting Node is visited first, all users of
    its result have therefore been visited already, and its gradient is complete. Every .grad is written at the very
    end: a walk that raises has changed none.
    """
    watcher = anomaly_mode.watcher
    pending: dict[Node | AccumulateGrad, Array] = {root: grad}
    owned = {root: False}  # of leaves: whether nobody else holds the pending array
    retained: list[tuple[Variable, Array]] = []
    newest_first = [(-root.sequence_nr, root)] if isinstance(root, Node) else []
    while newest_first:
        _, node = heapq.heappop(newest_first)
        grad = pending.pop(node)
        retain_for = node._retain_for() if node._retain_for is not None else None
        if retain_for is not None:
            retained.append((retain_for, grad))
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
                owned[edge] = _is_alone(input_grad, [grad, *input_gradients])
    for variable, grad in retained:
        variable.receive_grad(grad, owned=False)
    for leaf, grad in pending.items():
        if isinstance(leaf, AccumulateGrad):
            leaf.variable.receive_grad(grad, owned=owned[leaf])
