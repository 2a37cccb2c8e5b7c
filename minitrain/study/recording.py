"""`recording`: a context manager that records a training step: every value, every gradient, their order, the update.

    with recording(model, optimizer) as step:
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()

Step.data() gives what was recorded as (document, arrays): document can be written as JSON, and wherever it refers to an
array it has {"blob": number in arrays}. None stands for what does not exist.

    document = {"meta": {...}, "tensors": [...], "ops": [...], "events": [...]}

meta
    loss: number of the tensor that backward started at, or None;  roots: all, if backward was called for several
    loss_value: its value as a float;  loss_after: the same operations with the updated parameters, or None
    loss64: in float64, Σ over roots of (the gradient that backward was started with) · (value), once it was checked
    complete: whether the block ended without an exception
    optimizer: {"name": "SGD", "formula": text, "groups": [{"lr": 0.1, ...}], "source": Source,
                "plain": whether after = value - lr · grad for every parameter}, or None
    model: the class's name, or None;  version: minitrain's
tensors[i]: a value that operations used or made. One written in place since is another tensor
    name: its symbol, "X", "W1", "h2", "L", "t7": letters, then digits that are an index
    shape, dtype;  parameter: dotted name in the model, or None;  buffer: the same for a buffer
    made_by: number of the operation whose result it is, or None;  used_by: [[operation, number of the input], ...]
    leaf: whether its gradient goes into .grad;  requires_grad
    was: number of the tensor that it was before it was written in place, or None
    detached: number of the tensor whose values it has without its history (x.detach()), or None
    value: array;  grad: dL/d(it), the library's own, array or None;  after: value after the update, array or None
    shares: if several gradients were added up, [{"op": number, "input": number, "grad": array}, ...]; else []
    used: .grad when the optimizer ran, where it is not grad (clipped, accumulated, hooks); else None
    update: the numbers of the update in order, a Rule each with its "name": "g", the state's arrays, what is computed
        from them, and last "param", the entries of after; [] where the optimizer does not declare them
    state: optimizer's state by name, {"momentum_buffer": {"before": array or None, "after": array}}
    stats: {"value": [largest |v|, norm], "grad": ..., "after": ...}, of the finite values; None where there is no array
    check: None, or, once step.check() has run, central differences (differences.py) of loss64:
        {"eps", "entries": array of flat indices or None for all, "plus": float64 array, "minus": float64 array,
         "kinks": {position in entries: sentence}, "disagree": [positions in entries where backward is not confirmed and
         there is no kink], "not_checked": sentence or None}
ops[i]: an operation, in the order of forward
    name: "Linear";  layer, layer_type: dotted name and class of the Module that ran it, or "";  place: "file:line"
    inputs: [{"tensor": number} or {"constant": text, "value": float or None}, ...];  arguments: ["x", "weight", "bias"]
    options: {name: text};  result: number of a tensor;  on_tape: whether backward can come here
    visited: whether backward did;  formula: the docstring's first line;  forward, backward: Source
    rule: how entries of the result are made, a Rule or None;  gradients: for each input a Rule or None
    undeclared: why there are no Rules, a sentence, or None
events[i]: what happened, in order
    {"kind": "forward", "op": number}
    {"kind": "backward", "op": number, "start": bool, "sends_to": [number of a tensor or None for each input]}
    {"kind": "update", "parameters": [numbers of the tensors]}
Source = {"file": "minitrain/ops/linear.py", "line": number of the first line, "text": source}, or None
Rule: how each entry of an array is made (notation.py evaluates it; a page needs some 80 lines to do the same)
    axes: ["n", "o"], names of the entry's indices;  entry: ["entry", array, indices], the entry that is explained
    formula: text with this step's symbols, "a1[n, o] = Σ_i x[n, i] · W1[o, i] + b1[o]"
    value: an expression;  sentences: [[condition or None, text], ...]: the first whose condition is not 0 holds
    table: None, or {"index": [["k", 10], ...], "columns": [[title, expression], ...]}: a row for each value of the
        indices
    together: None, or {"formula": text, "value": expression}: with the next operation, (p - 1 at the label) / N
    lines: [[number, text], ...], the library's lines that compute it, in the file of the operation's Source
Expressions are lists, with the operator first
    ["number", 2.0]   ["index", "n"]   ["entry", array, [expression, ...]]
    array: {"tensor": 3, "of": "value" or "grad" or "used" or "after"};  {"blob": 7, "name": "picked", "shape": [...]}
    ["sum", [["i", 64], ...], e]   ["max", [["i", 2], ...], e]   ["prod", ...]   ["logsumexp", [["i", 10]], e]: over all
        these indices
    ["named", "g", e]: e, which has a name of its own
    ["softmax", [["i", 10]], a, e]: exp(a) / Σ_i exp(e), without overflow
    ["add", a, b, ...] ["sub", a, b] ["mul", a, b, ...] ["div", a, b] ["neg", a] ["pow", a, b]
    ["call", name, a, ...]: a function of notation.CALLS, of one or two numbers
    ["where", condition, a, b]: only the one that it takes is evaluated   ["lt" "le" "gt" "ge" "eq" "ne", a, b]: 1 or 0
    ["moved", [[array, offset], ...], source, axes]: s = source[the axes' indices]; the entry of the array whose flat
        numbers, from its offset on, contain s; absent if none does
    ["gathered", array, source, offset, shape, axes]: the sum of the array's entries where source = offset + the flat
        number, in this shape, of the axes' indices
    An entry whose indices are no whole numbers, or lie outside the array, is absent (padding). What has an absent part
    is absent, but a sum, a max, a prod, a logsumexp leave it out (a sum of nothing is 0). At the top, absent is 0.
Terms, of which an entry is the sum: add, sub, neg, sum and gathered are split; a product and a quotient are multiplied
    out over the one part that can be split, and a / b is the product of a and 1 / b; `where` is the branch it takes, a
    max the first of the largest; absent terms are left out (notation.terms).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import ops
from minitrain.diagnosis.anomaly_journal import argument_names, callers
from minitrain.nn import Module
from minitrain.ops import Array, Context, Function
from minitrain.study.names import symbols
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import grad_mode as modes

if TYPE_CHECKING:
    from minitrain.study.explanations import Explanation


@dataclasses.dataclass(eq=False)
class Value:
    """A tensor of the step. The fields are those of tensors[i] in the module's docstring."""

    value: Array
    leaf: bool
    requires_grad: bool
    made_by: int | None = None
    was: int | None = None
    detached: int | None = None
    name: str = ""
    parameter: str | None = None
    buffer: str | None = None
    grad: Array | None = None
    after: Array | None = None
    used: Array | None = None
    shares: list[Share] = dataclasses.field(default_factory=list)
    state: dict[str, dict[str, Array | None]] = dataclasses.field(default_factory=dict)
    used_by: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    check: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """One of the gradients of a value that was used more than once: which operation sent it, from which input."""

    op: int
    input: int
    grad: Array


@dataclasses.dataclass(eq=False)
class Operation:
    """An operation of the step. The fields are those of ops[i] in the module's docstring.

    inputs: numbers of tensors, or ("constant", what forward was given). sends: which inputs got a gradient.
    """

    function: type[Function]
    layer: str
    layer_type: str
    place: str
    inputs: list[int | tuple[str, Any]]
    arguments: tuple[str, ...]
    options: dict[str, Any]
    result: int
    on_tape: bool
    visited: bool = False
    sends: list[bool] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Forward:
    """An operation has run."""

    op: int


@dataclasses.dataclass(frozen=True)
class Backward:
    """Backward has visited an operation; it started there, or not. sends_to: the tensors that got a gradient."""

    op: int
    start: bool
    sends_to: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Update:
    """The optimizer has changed these parameters."""

    parameters: tuple[int, ...]


@dataclasses.dataclass(eq=False)
class Group:
    """An optimizer's parameters with the same options."""

    parameters: list[int]
    options: dict[str, Any]


@dataclasses.dataclass(eq=False)
class Step:
    """What was recorded: tensors, ops, events; optimizer: its class, groups: its groups at the step.

    roots: the tensors that backward was called on, each with the gradient that it started with.
    """

    tensors: list[Value] = dataclasses.field(default_factory=list)
    ops: list[Operation] = dataclasses.field(default_factory=list)
    events: list[Forward | Backward | Update] = dataclasses.field(default_factory=list)
    roots: list[tuple[int, Array]] = dataclasses.field(default_factory=list)
    groups: list[Group] = dataclasses.field(default_factory=list)
    optimizer: type | None = None
    model: str | None = None
    complete: bool = False
    loss64: float | None = None

    @property
    def loss(self) -> int | None:
        """The number of the tensor that backward was called on first, or None."""
        return self.roots[0][0] if self.roots else None

    def number(self, name: str) -> int:
        """The number of the tensor with this symbol or parameter's name. Raises KeyError for an unknown one."""
        for i, tensor in enumerate(self.tensors):
            if name in (tensor.name, tensor.parameter):
                return i
        raise KeyError(f"no tensor is called {name!r}; there are {', '.join(t.name for t in self.tensors)}")

    def __getitem__(self, name: str) -> Value:
        return self.tensors[self.number(name)]

    def data(self) -> tuple[dict[str, Any], list[Array]]:
        """(document, arrays), as the module's docstring has it."""
        from minitrain.study.document import document

        return document(self)

    def check(self) -> None:
        """Hold every gradient against central differences in float64; takes seconds. See differences.py."""
        from minitrain.study.differences import check_gradients_of

        check_gradients_of(self)

    def explain(self, tensor: int | str, index: Sequence[int] = (), of: str = "value") -> Explanation:
        """What there is to say about one entry: see explanations.explain."""
        from minitrain.study.explanations import explain

        return explain(self, tensor, index, of)

    def save(self, path: str | Path) -> None:
        """Write the page of this step, one HTML file."""
        from minitrain.study.step_page import write_page  # type: ignore[import-not-found, unused-ignore]

        write_page(self, Path(path))

    def _repr_html_(self) -> str:
        from minitrain.study.step_page import notebook_html  # type: ignore[import-not-found, unused-ignore]

        return str(notebook_html(self))


@contextlib.contextmanager
def recording(
    model: Module | None = None, optimizer: Any = None, names: Mapping[Any, str] | None = None
) -> Iterator[Step]:
    """Record what runs inside the block in this thread: operations, backward, the optimizer's update.

    model: its parameters' and layers' names are used; without one, those of the outermost Modules that run.
    optimizer: only this one's updates are recorded; without one, any's.
    names: symbols that replace the usual ones, by Tensor or by parameter's name: {X: "pixels", "0.weight": "V"}.
    Nothing is changed: the numbers are the run's. Every array is copied when it is first seen, so a step takes longer
    and needs about twice the memory. Anomaly detection may be on outside the block and then watches as well.
    Raises RuntimeError inside another recording, and if something inside the block switched the recording off.
    """
    previous = modes.anomaly_mode.watcher
    if isinstance(previous, Recorder):
        raise RuntimeError("this block is inside another `with recording(...)`: record a step once.")
    step = Step(model=None if model is None else type(model).__name__)
    recorder = Recorder(step, model, optimizer, previous)
    modes.anomaly_mode.watcher = recorder
    try:
        yield step
        if modes.anomaly_mode.watcher is not recorder:
            raise RuntimeError(SWITCHED_OFF)
        step.complete = True
    finally:
        modes.anomaly_mode.watcher = previous
        recorder.finish(names or {})


SWITCHED_OFF = (
    "part of this step was not recorded: inside `with recording(...)` something else began to watch the operations. "
    "Put detect_anomaly() outside the block, around `with recording(...)`."
)


class Recorder:
    """The Watcher that fills a Step. It knows Tensors and Nodes by id, and holds them until finish lets go of them."""

    def __init__(self, step: Step, model: Module | None, optimizer: Any, previous: modes.Watcher | None) -> None:
        self._step, self._model, self._optimizer, self._previous = step, model, optimizer, previous
        self._roots: list[Module] = [] if model is None else [model]
        self._known: dict[tuple[str, int], int] = {}  # ("node" | "leaf" | "array", id) -> number of the tensor
        self._arrays: dict[int, int] = {}  # id of an array -> number of the first tensor that had it
        self._held: list[Any] = []
        self._op_of: dict[int, int] = {}  # id of a Node -> number of its operation
        self._objects: dict[int, Tensor] = {}  # the first Tensor of each number
        self._pending: dict[tuple[str, int], list[tuple[int, Share]]] = {}  # by the edge that they go to
        self._first = Node(Function, ()).sequence_nr  # of the Nodes made from now on
        self._before: dict[int, dict[str, Array]] = {}

    # Forward.

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Any
    ) -> None:
        """Record the operation, its inputs that were not seen before, and its result."""
        if self._previous is not None:
            self._previous.after_forward(function, ctx, inputs, options, result)
        modules, place = callers(sys._getframe(1))
        if modules and self._model is None and not any(modules[0] is root for root in self._roots):
            self._roots.append(modules[0])
        number = len(self._step.ops)
        given: list[int | tuple[str, Any]] = []
        for i, x in enumerate(inputs):
            base = function is ops.ViewPut and i == 0  # what lies in it was written already; it stands for what it was
            given.append(self._tensor(x, base) if isinstance(x, Tensor) else ("constant", _copied(x)))
        layer, layer_type = self._layer(modules)
        made = self._new(result, made_by=number)
        if isinstance(ctx, Node):
            self._op_of[id(ctx)] = number
            self._held.append(ctx)
        self._step.ops.append(
            Operation(
                function=function,
                layer=layer,
                layer_type=layer_type,
                place=place,
                inputs=given,
                arguments=argument_names(function, len(inputs)),
                options={name: _copied(x) for name, x in options.items()},
                result=made,
                on_tape=isinstance(ctx, Node),
            )
        )
        for i, tensor in enumerate(given):
            if isinstance(tensor, int):
                self._step.tensors[tensor].used_by.append((number, i))
        self._step.events.append(Forward(number))

    def _layer(self, modules: tuple[Module, ...]) -> tuple[str, str]:
        """The dotted name and the class of the innermost Module that runs; "", "" outside Modules."""
        if not modules:
            return "", ""
        for root in self._roots:
            for name, module in root.named_modules():
                if module is modules[-1]:
                    return name, type(module).__name__
        return "", type(modules[-1]).__name__

    def _keys(self, x: Tensor) -> list[tuple[str, int]]:
        """How a Tensor is known: by the Node that made it, as a leaf with a gradient, or by its array."""
        if x._grad_fn is not None:
            return [("node", id(x._grad_fn))]
        return [("leaf", id(x))] if x._requires_grad else [("array", id(x.array))]

    def _tensor(self, x: Tensor, whatever_it_holds: bool = False) -> int:
        """The number of a Tensor; a new one if it was not seen before, or was written since."""
        key = self._keys(x)[0]
        number = self._known.get(key)
        if number is None and x._grad_fn is not None and x._grad_fn.sequence_nr > self._first:
            raise RuntimeError(SWITCHED_OFF)
        if number is not None and (whatever_it_holds or _same(self._step.tensors[number].value, x.array)):
            return number
        return self._new(x, was=number)

    def _new(self, x: Tensor, made_by: int | None = None, was: int | None = None) -> int:
        number = len(self._step.tensors)
        leaf = x._grad_fn is None and x._requires_grad
        source = self._arrays.setdefault(id(x.array), number)
        detached = None if source == number or made_by is not None or was is not None else source
        value = Value(x.array.copy(order="K"), leaf, x._requires_grad, made_by, was, detached)
        self._step.tensors.append(value)
        self._held += [x, x.array, x._grad_fn]
        self._objects[number] = x
        for key in self._keys(x):
            self._known[key] = number
        return number

    # Backward.

    def input_gradients(self, node: Any, grad: Array) -> list[Array | None]:
        """Run the Node's backward, and record the complete gradient that it got and the ones that it sends."""
        run = node.input_gradients if self._previous is None else lambda g: self._previous.input_gradients(node, g)  # type: ignore[union-attr]
        number = self._op_of.get(id(node))
        if number is None:
            return list(run(grad))  # it ran before the block: there is no number to show
        operation = self._step.ops[number]
        arrived = self._pending.pop(("node", id(node)), [])
        if not arrived:
            self._settle_leaves()
            self._step.roots.append((operation.result, grad.copy()))
        self._add(operation.result, grad, arrived)
        operation.visited = True
        sent: list[Array | None] = list(run(grad))
        sends_to: list[int | None] = []
        for i, (given, (edge, _)) in enumerate(zip(sent, node.next_functions, strict=True)):
            tensor = operation.inputs[i]
            if given is None or edge is None or not isinstance(tensor, int):
                sends_to.append(None)
                continue
            key = ("node", id(edge)) if isinstance(edge, Node) else ("leaf", id(edge.variable))
            self._pending.setdefault(key, []).append((tensor, Share(number, i, given.copy(order="K"))))
            sends_to.append(tensor)
        operation.sends = [to is not None for to in sends_to]
        self._step.events.append(Backward(number, not arrived, tuple(sends_to)))
        return sent

    def _add(self, number: int, grad: Array, arrived: list[tuple[int, Share]]) -> None:
        """Add a complete gradient, and the shares that it is the sum of, to what the tensor has."""
        tensor = self._step.tensors[number]
        tensor.shares += [share for _, share in arrived]
        if tensor.grad is not None:
            tensor.grad = np.asarray(tensor.grad + grad)
        elif len(arrived) == 1 and _same(arrived[0][1].grad, grad):
            tensor.grad = arrived[0][1].grad
        else:
            tensor.grad = np.array(grad, order="K")

    def _settle_leaves(self) -> None:
        """A walk is over: what arrived at values that no recorded operation made is complete."""
        for arrived in self._pending.values():
            total = arrived[0][1].grad
            for _, share in arrived[1:]:
                total = np.asarray(total + share.grad)
            self._add(arrived[0][0], total, arrived)
        self._pending = {}

    def before_sum(self, edge: Node | AccumulateGrad, first: Array, second: Array) -> None:
        """Nothing: the shares are known from input_gradients."""
        if self._previous is not None:
            self._previous.before_sum(edge, first, second)

    # Update.

    def before_step(self, optimizer: Any) -> None:
        """Note what the update starts from."""
        if self._previous is not None:
            self._previous.before_step(optimizer)
        if self._optimizer is not None and optimizer is not self._optimizer:
            return
        self._settle_leaves()
        self._step.optimizer, self._before = type(optimizer), {}
        for group in optimizer.param_groups:
            numbers: list[int] = []
            for param in [p for p in group["params"] if p.grad is not None]:
                number = self._tensor(param)
                numbers.append(number)
                tensor = self._step.tensors[number]
                if tensor.grad is None or not _same(tensor.grad, param.grad.array):
                    tensor.used = param.grad.array.copy(order="K")
                self._before[number] = _state(optimizer, param)
            options = {name: x for name, x in group.items() if name not in ("params", "param_names")}
            self._step.groups.append(Group(numbers, copy.deepcopy(options)))

    def after_step(self, optimizer: Any) -> None:
        """Copy the updated parameters and the optimizer's state."""
        if self._previous is not None:
            self._previous.after_step(optimizer)
        if self._optimizer is not None and optimizer is not self._optimizer:
            return
        for number, before in self._before.items():
            param, tensor = self._objects[number], self._step.tensors[number]
            tensor.after = param.array.copy(order="K")
            after = _state(optimizer, param)
            tensor.state = {name: {"before": before.get(name), "after": x} for name, x in after.items()}
        self._step.events.append(Update(tuple(self._before)))

    # The end.

    def finish(self, names: Mapping[Any, str]) -> None:
        """Name the tensors, and let go of everything that is the program's."""
        self._settle_leaves()
        tensors, step = self._step.tensors, self._step
        parameters = {id(own): name for root in self._roots for name, own in root.named_parameters()}
        buffers = {id(own): name for root in self._roots for name, own in root.named_buffers()}
        for number, x in self._objects.items():
            tensors[number].parameter, tensors[number].buffer = parameters.get(id(x)), buffers.get(id(x))
        for tensor in tensors:
            tensor.shares = tensor.shares if len(tensor.shares) > 1 else []
        if step.model is None and self._roots:
            step.model = type(self._roots[0]).__name__
        given = {number: names[x] for number, x in self._objects.items() if x in _ById(names)}
        for i, name in enumerate(symbols(step, {**given, **_by_name(step, names)})):
            tensors[i].name = name
        self._known, self._arrays, self._held, self._op_of, self._objects, self._pending = {}, {}, [], {}, {}, {}
        self._roots, self._model, self._optimizer, self._previous = [], None, None, None


class _ById:
    """Which Tensors are keys of a mapping; `in` of the mapping itself would compare their elements."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        self._ids = {id(key) for key in names}

    def __contains__(self, x: object) -> bool:
        return id(x) in self._ids


def _by_name(step: Step, names: Mapping[Any, str]) -> dict[int, str]:
    return {
        i: names[name]
        for i, tensor in enumerate(step.tensors)
        for name in (tensor.parameter, tensor.buffer)
        if name is not None and name in [key for key in names if isinstance(key, str)]
    }


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape, dtype and bits (nan equals nan)."""
    bits = f"u{a.dtype.itemsize}"
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a.view(bits), b.view(bits)))


def _copied(x: Any) -> Any:
    """A constant or an option, its arrays copied; the rest as it is."""
    if isinstance(x, tuple | list):
        return type(x)(map(_copied, x)) if type(x) in (tuple, list) else x
    if isinstance(x, types.MethodType) and isinstance(x.__self__, Tensor):  # ViewPut's: how a Tensor sees its base
        stand_in = wrap(np.empty(0))
        stand_in._view = x.__self__._view
        return types.MethodType(x.__func__, stand_in)
    return x.copy() if isinstance(x, np.ndarray) else x


def _state(optimizer: Any, param: Tensor) -> dict[str, Array]:
    """Copies of an optimizer's arrays for a parameter."""
    state = optimizer.state.get(param, {})
    return {name: x.array.copy(order="K") for name, x in state.items() if isinstance(x, Tensor)}
