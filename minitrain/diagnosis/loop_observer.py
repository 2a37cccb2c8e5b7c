"""Observes a training or test loop while it runs: forwards, losses, backwards, and what each step finds in .grad.

Operations, backwards and steps come from the hook that anomaly detection uses, predictions from a
forward hook, and what a backward adds to a leaf from the leaf's own hooks. zero_grad is seen by its effect: a .grad
that held a gradient is None or 0 at the next look. So any other way to clear gradients counts as well.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain import ops
from minitrain.nn import Module
from minitrain.ops import Array, Context, Function
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import anomaly_mode, grad_mode

LABELS = ("labels", "label", "targets", "target", "y")  # of a batch that is a dict
SHAPE_ONLY = (ops.Reshape, ops.Flatten, ops.ToCopy, ops.Clone, ops.Expand, ops.Index)
REDUCING_LOSSES = (ops.NLLLoss, ops.MSELoss)
ELEMENTWISE_LOSSES = (ops.BCELoss, ops.BCEWithLogitsLoss, ops.SmoothL1Loss)


@dataclasses.dataclass
class Batch:
    """A batch that the loop was given.

    loader: which one it is from. number: from 1, within a pass. x, y: its inputs and targets, if they are Tensors.
    losses: (the loss, whether it is a mean over the batch). right, worst: for how many samples the label's score is the
    largest, and the smallest; None if the predictions are not scores of classes.
    forwards: for each call of the model (whether it was in training mode, whether the call was recorded).
    order: the rows of x in the order in which the model got them; None if they are not those of x.
    misplaced: how many targets the loss got that belong to another row; None if it cannot be said.
    """

    loader: int
    number: int
    size: int
    x: Array | None
    y: Array | None
    losses: list[tuple[float, bool]] = dataclasses.field(default_factory=list)
    right: int | None = None
    worst: int | None = None
    forwards: list[tuple[bool, bool]] = dataclasses.field(default_factory=list)
    order: Array | None = None
    misplaced: int | None = None


@dataclasses.dataclass(frozen=True)
class Note:
    """What is known of an operation's result: the batches it was computed from, and how a loss was scaled.

    mean: whether it was reduced by a mean; None if it was not reduced. factor: what it was multiplied with.
    sign: 1 if it grows with a loss of the library, -1 if that loss was negated, 0 for no loss or several.
    """

    batches: frozenset[int]
    mean: bool | None = None
    factor: float = 1.0
    sign: int = 0


@dataclasses.dataclass
class Walk:
    """A backward that left something in .grad. batch: in which it ran; batches: those that its loss was computed from.

    scale: 1 if the loss is the mean over a batch, 1/2 if it is half of that; nan if unknown.
    squares: for each parameter, the sum of the squares of its gradient.
    again: whether an earlier walk began at the same loss. negated: whether that is the negative of a loss.
    """

    batch: int
    batches: frozenset[int]
    scale: float
    squares: dict[int, float] = dataclasses.field(default_factory=dict)
    again: bool = False
    negated: bool = False


@dataclasses.dataclass
class Held:
    """A leaf, and what its .grad holds: the numbers of the walks, and the sum of what they brought.

    values: a checksum of the leaf itself when it was last looked at.
    """

    leaf: Tensor
    walks: list[int] = dataclasses.field(default_factory=list)
    total: Array | None = None
    values: int = 0


@dataclasses.dataclass
class Step:
    """An update. found: for each parameter, the walks in its .grad. walked: how many walks there had been.

    after_forward: whether a forward ran since the last backward. size: of the gradient that it used (the root of the
    sum of squares). ratio: that gradient, as a multiple of the sum of what the walks brought; nan if there was none.
    rate: the learning rate, if all groups have the same; else nan.
    """

    optimizer: int
    batch: int
    found: dict[int, tuple[int, ...]]
    walked: int
    after_forward: bool
    size: float
    ratio: float
    rate: float = math.nan


class LoopObserver:
    """Follows one run of a loop; use it as a context manager. models: whose predictions and mode are observed."""

    def __init__(self, models: Sequence[Module]) -> None:
        self.models = models
        self.batches: list[Batch] = []
        self.walks: list[Walk] = []
        self.steps: list[Step] = []
        self.by_hand: list[Step] = []  # updates without an optimizer
        self.held: dict[int, Held] = {}
        self.optimizers: dict[int, Any] = {}
        self.seen: Counter[str] = Counter()  # how often each kind of input came to a loss
        self.clips: list[str] = []  # when each clipping of gradients came: "early" (there are none), "late", or ""
        self.classes = 0  # of the last loss
        self.kept = 0  # how many losses of earlier batches were still there after their backward
        self.kept_unused = 0  # how many were, with their graphs, without a backward
        self.unrecorded = 0  # how often the model ran without being recorded
        self.failed: Walk | None = None  # the latest walk, as long as it has not left anything in .grad
        self.interrupted = False  # whether the loop switched the observation off
        self.names = {id(p): name for model in models for name, p in model.named_parameters()}
        self._forward_since = self._stepping = False
        self._root: Node | None = None
        self._running = False
        self._incoming: dict[int, Array] = {}
        self._log_softmax: weakref.ref[Array] | None = None
        self._log_softmax_dim = 1
        self._squashed: weakref.ref[Array] | None = None  # the latest result of a sigmoid
        self._sigmoid = self._elementwise_loss = False
        self._losses: list[tuple[weakref.ref[Node], int]] = []
        self._walked: list[tuple[weakref.ref[Node], int]] = []
        self._handles: list[Any] = []
        self._hanging: list[Any] = []

    def __enter__(self) -> LoopObserver:
        self._previous, anomaly_mode.watcher = anomaly_mode.watcher, self
        self._handles = [model.register_forward_hook(self._predicted) for model in self.models]
        for model in self.models:
            for param in model.parameters():
                self._hold(param)
        return self

    def __exit__(self, *exception: object) -> None:
        for held in list(self.held.values()):
            self._look(held)
        self._unhang()
        for handle in self._handles:
            handle.remove()
        anomaly_mode.watcher = self._previous

    # Batches and predictions.

    def begin_batch(self, batch: Any, loader: int, number: int) -> None:
        """The loop gets a batch."""
        self.interrupted |= anomaly_mode.watcher is not self
        x, y = parts_of(batch)
        self.batches.append(Batch(loader, number, size_of(batch), x, y))
        before = len(self.batches) - 1
        self.kept = max(self.kept, _alive(self._walked, before))
        self.kept_unused = max(self.kept_unused, _alive(self._losses, before))

    @property
    def _now(self) -> Batch | None:
        return self.batches[-1] if self.batches else None

    def _predicted(self, model: Module, args: tuple[Any, ...], output: Any) -> None:
        self.interrupted |= anomaly_mode.watcher is not self
        recorded = grad_mode.enabled and isinstance(output, Tensor) and output.requires_grad
        self.unrecorded += not recorded
        batch = self._now
        if batch is None:
            return
        batch.forwards.append((model.training, recorded))
        if args and isinstance(args[0], Tensor) and batch.x is not None:
            batch.order = order_of(args[0].array, batch.x)
        scores = output.array if isinstance(output, Tensor) else np.empty(())
        if batch.y is not None and batch.y.shape == scores.shape[:1] and scores.ndim == 2 and scores.shape[1] > 1:
            due = batch.y if batch.order is None else batch.y[batch.order]
            batch.right = (batch.right or 0) + int((scores.argmax(1) == due).sum())
            batch.worst = (batch.worst or 0) + int((scores.argmin(1) == due).sum())

    # Forward.

    def after_forward(
        self, function: type[Function], ctx: Context, inputs: Sequence[Any], options: dict[str, Any], result: Tensor
    ) -> None:
        """Note what the result was computed from, and look at what a loss gets."""
        if self._running:  # an operation inside a backward
            return
        self._root = None
        if isinstance(ctx, Node):
            self._forward_since = True
            ctx._call = self._note(function, inputs, options)
        self._look_at_loss(function, inputs, options, result)

    def _note(self, function: type[Function], inputs: Sequence[Any], options: Mapping[str, Any]) -> Note:
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        parents = [note for x in tensors if isinstance(note := getattr(x.grad_fn, "_call", None), Note)]
        batches = frozenset({len(self.batches) - 1}).union(*[note.batches for note in parents])
        reduced = [note for note in parents if note.mean is not None] or parents[:1]
        mean, factor = None, 1.0
        if function in (ops.Mul, ops.Div) and len(parents) == 1:
            mean, factor = parents[0].mean, parents[0].factor * _constant(function, inputs)
        elif function is ops.Neg or function in SHAPE_ONLY:
            mean, factor = (parents[0].mean, parents[0].factor) if parents else (None, 1.0)
        elif function in REDUCING_LOSSES:
            mean = {"mean": True, "sum": False}.get(options.get("reduction", "none"))
        elif function in (ops.Mean, ops.Sum):
            mean, factor = function is ops.Mean, parents[0].factor if parents else 1.0
        elif function in (ops.Add, ops.Sub) and reduced:
            means = [note for note in reduced if note.mean] or reduced
            mean = means[0].mean
            factor = means[0].factor if len({note.factor for note in means}) == 1 else math.nan
        return Note(batches, mean, factor, self._sign(function, inputs, parents))

    def _sign(self, function: type[Function], inputs: Sequence[Any], parents: Sequence[Note]) -> int:
        """Whether the result grows with the one loss that it was computed from, or falls."""
        if function in REDUCING_LOSSES + ELEMENTWISE_LOSSES:
            return 1
        signs = [note.sign for note in parents]
        if not any(signs) or (len(signs) > 1 and function is not ops.Add):
            return 0
        if function is ops.Neg or (function in (ops.Mul, ops.Div) and _constant(function, inputs) < 0):
            return -signs[0]
        least, most = min(signs), max(signs)
        return 0 if least < 0 < most else least or most

    def _look_at_loss(
        self, function: type[Function], inputs: Sequence[Any], options: Mapping[str, Any], result: Tensor
    ) -> None:
        x = inputs[0].array if inputs and isinstance(inputs[0], Tensor) else np.empty(0)
        if function is ops.LogSoftmax:
            self._log_softmax = weakref.ref(result.array)
            self.classes = x.shape[options["dim"]] if x.ndim else 1
            self._log_softmax_dim = options["dim"] % max(x.ndim, 1)
            self.seen["log-softmax of probabilities"] += are_probabilities(x, options["dim"])
            self.seen["log-softmax of sigmoids"] += self._squashed is not None and self._squashed() is x
            self.seen["log-softmax of softmax over the batch"] += bool(
                x.ndim == 2 and self._log_softmax_dim == 1 and are_probabilities(x, 0) and not are_probabilities(x, 1)
            )
            self.seen["scores cut off at 0"] += bool((x >= 0).all() and (x == 0).mean() > 0.1)
            self.seen["log-softmax"] += 1
        elif function is ops.Sigmoid:
            self._sigmoid, self._squashed = True, weakref.ref(result.array)
        elif function is ops.NLLLoss:
            self.seen["loss of classes"] += 1
            if self._log_softmax is None or self._log_softmax() is not x:
                self._look_at_nll(x)
            elif x.ndim == 2 and self._log_softmax_dim == 0:
                self.seen["log-softmax over the batch"] += 1
            self.seen["one class for all"] += self._one_class(inputs[1])
        elif function is ops.BCEWithLogitsLoss:
            self.seen["bce with logits of probabilities"] += bool(self._sigmoid and ((x >= 0) & (x <= 1)).all())
            self.seen["bce with logits"] += 1
            self._sigmoid = False
        self._look_for_broadcast(inputs, result)
        batch = self._now
        if batch is None:
            return
        if function in REDUCING_LOSSES + ELEMENTWISE_LOSSES and isinstance(inputs[1], Tensor):
            self._look_at_targets(batch, inputs[1].array)
        reduced = function in REDUCING_LOSSES or (function in (ops.Mean, ops.Sum) and self._elementwise_loss)
        if reduced and result.array.size == 1:
            mean = function is ops.Mean or options.get("reduction") == "mean"
            batch.losses.append((result.array.item(), mean))
            if isinstance(result.grad_fn, Node):
                self._losses.append((weakref.ref(result.grad_fn), len(self.batches) - 1))
        self._elementwise_loss = function in ELEMENTWISE_LOSSES

    def _one_class(self, target: Any) -> bool:
        """Whether the targets of a loss are all of one class, and those of the batch are not."""
        due, got = self._now.y if self._now is not None else None, target.array if isinstance(target, Tensor) else None
        if due is None or got is None or due.shape != got.shape or due.dtype.kind not in "iu":
            return False
        return bool(len(due) > 3 and np.ptp(got) == 0 and np.ptp(due) > 0)

    def _look_at_nll(self, x: Array) -> None:
        """NLLLoss without a log-softmax right before it: is its input one of log-probabilities?"""
        axis = min(x.ndim - 1, 1)
        self.seen["nll"] += 1
        if are_probabilities(x, axis):
            self.seen["nll of probabilities"] += 1
        elif x.size:
            with np.errstate(over="ignore"):
                sums = np.exp(x.astype(np.float64)).sum(axis)
            self.seen["nll of scores"] += bool((np.abs(sums - 1) > 0.05).mean() > 0.5)

    def _look_for_broadcast(self, inputs: Sequence[Any], result: Tensor) -> None:
        """Whether (N, 1) predictions met (N,) targets: every prediction with every target."""
        shapes = [x.array.shape for x in inputs[:2] if isinstance(x, Tensor)]
        n = self._now.size if self._now is not None else 0
        self.seen["broadcast"] += n > 1 and result.array.shape == (n, n) and sorted(shapes) == [(n,), (n, 1)]

    def _look_at_targets(self, batch: Batch, targets: Array) -> None:
        """Count the targets that belong to another row than the one they are compared with."""
        if batch.y is None or targets.size != batch.y.size or len(batch.y) < 2:
            return
        due = batch.y if batch.order is None else batch.y[batch.order]
        rows, got = due.reshape(len(due), -1), targets.reshape(len(due), -1)
        if np.array_equal(rows, got):
            batch.misplaced = 0  # and it stays: mixup has a second loss, with the targets of other rows
        elif (
            batch.misplaced is None
            and batch.order is not None
            and np.array_equal(np.sort(rows, axis=0), np.sort(got, axis=0))
        ):
            batch.misplaced = int((rows != got).any(axis=1).sum())

    # Backward.

    def input_gradients(self, node: Node, grad: Array) -> list[Array | None]:
        """The Node's input gradients; at the first Node of a walk, look at all leaves below it.

        A walk visits its root once: a second visit begins another walk.
        """
        if self._root is None or node is self._root:
            self._root = node
            self._begin_walk(node, grad.size == 1)
        outer, self._running = self._running, True
        try:
            return node.input_gradients(grad)
        finally:
            self._running = outer

    def before_sum(self, edge: Any, first: Array, second: Array) -> None:
        """Two gradients of one value are about to be added."""

    def _begin_walk(self, root: Node, scalar: bool) -> None:
        note = root._call if isinstance(root._call, Note) else Note(frozenset({len(self.batches) - 1}), None, math.nan)
        now = self._now
        scale = note.factor if note.mean else note.factor * (now.size if now is not None else math.nan)
        walk = Walk(len(self.batches) - 1, note.batches, scale, negated=note.sign < 0)
        walk.again = scalar and any(ref() is root for ref, _ in self._walked)
        self.failed = walk
        self._unhang()
        for leaf in leaves_of(root):
            held = self._hold(leaf)
            self._look(held)
            self._hanging += [
                leaf.register_hook(functools.partial(self._arriving, id(leaf))),
                leaf.register_post_accumulate_grad_hook(functools.partial(self._arrived, walk)),
            ]

    def _arriving(self, key: int, grad: Tensor) -> None:
        self._incoming[key] = grad.array.copy()

    def _arrived(self, walk: Walk, leaf: Tensor) -> None:
        """A backward has added to this leaf's .grad."""
        if not (self.walks and self.walks[-1] is walk):
            self.walks.append(walk)
            self.failed = None
            self._forward_since = False
            if self._root is not None:
                self._walked.append((weakref.ref(self._root), walk.batch))
        held, gradient = self.held[id(leaf)], self._incoming.pop(id(leaf), None)
        if gradient is None or leaf.grad is None:
            return
        walk.squares[id(leaf)] = float(np.vdot(gradient, gradient))
        held.walks.append(len(self.walks) - 1)
        held.total = gradient if held.total is None else held.total + gradient

    def _unhang(self) -> None:
        for handle in self._hanging:
            handle.remove()
        self._hanging = []

    def differentiates_parameters_only(self) -> bool:
        """Whether there were backwards, and none brought a gradient to an input, as a test with attacks does."""
        reached = set().union(*[walk.squares.keys() for walk in self.walks])
        return bool(reached) and reached <= self.names.keys()

    # Gradients and updates.

    def _hold(self, leaf: Tensor) -> Held:
        if id(leaf) not in self.held:
            self.held[id(leaf)] = Held(leaf, values=_checksum(leaf.array))
        return self.held[id(leaf)]

    def _look(self, held: Held) -> None:
        """See what the program did to a leaf since the last look: an update by hand, and clearing its gradient."""
        values = _checksum(held.leaf.array)
        if values != held.values and held.walks:
            walked = len(self.walks)
            if not self.by_hand or self.by_hand[-1].walked != walked:
                batch = self.walks[-1].batch
                self.by_hand.append(Step(0, batch, {}, walked, False, math.nan, math.nan))
            self.by_hand[-1].found[id(held.leaf)] = tuple(held.walks)
        held.values = values
        if not is_there(held.leaf):
            held.walks, held.total = [], None

    def watched(self, optimizer: Any) -> Callable[..., Any]:
        """The step of an optimizer that does not report it, as one that does."""
        step = optimizer.step

        def reporting(*args: Any, **options: Any) -> Any:
            self.before_step(optimizer)
            self._stepping = True
            try:
                return step(*args, **options)
            finally:
                self._stepping = False
                self.after_step(optimizer)

        return reporting

    def before_step(self, optimizer: Any) -> None:
        """Record what the step finds in .grad."""
        if self._stepping:
            return
        self._root = None
        self.optimizers[id(optimizer)] = optimizer
        step = Step(id(optimizer), len(self.batches) - 1, {}, len(self.walks), self._forward_since, math.nan, math.nan)
        arrived = due = together = 0.0
        for param in params_of(optimizer):
            held = self._hold(param)
            self._look(held)
            if param.grad is None or not is_there(param):
                continue
            step.found[id(param)] = tuple(held.walks)
            arrived += float(np.vdot(param.grad.array, param.grad.array))
            if held.total is not None:
                due += float(np.vdot(held.total, held.total))
                together += float(np.vdot(held.total, param.grad.array))
        step.size, step.ratio = math.sqrt(arrived), together / due if due else math.nan
        rates = {group.get("lr") for group in getattr(optimizer, "param_groups", [])}
        step.rate = float(rates.pop()) if len(rates) == 1 and isinstance(next(iter(rates)), int | float) else math.nan
        self.steps.append(step)

    def before_clip(self, params: Sequence[Tensor]) -> None:
        """The gradients of these parameters are about to be clipped."""
        used = bool(self.steps) and self.steps[-1].walked == len(self.walks)
        self.clips.append("early" if not any(map(is_there, params)) else "late" if used else "")

    def after_step(self, optimizer: Any) -> None:
        """Look at the parameters again, so that the optimizer's change does not count as one by hand."""
        for param in params_of(optimizer):
            self._hold(param).values = _checksum(param.array)


def params_of(optimizer: Any) -> list[Tensor]:
    """Its parameters: those of its groups, or the Tensors among its attributes that require gradients."""
    groups = getattr(optimizer, "param_groups", None)
    if groups is not None:
        return [param for group in groups for param in group["params"]]
    found: list[Any] = []
    for value in getattr(optimizer, "__dict__", {}).values():
        found += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [x for x in found if isinstance(x, Tensor) and x.requires_grad]


def _alive(losses: Sequence[tuple[weakref.ref[Node], int]], before: int) -> int:
    """Of how many batches before this one a loss still exists."""
    return len({number for ref, number in losses if number < before and ref() is not None})


def _constant(function: type[Function], inputs: Sequence[Any]) -> float:
    """The number in a product or quotient of a Tensor that is recorded with a number; nan for another step."""
    numbers = [x for x in inputs if not (isinstance(x, Tensor) and x.requires_grad)]
    value = numbers[0].array if numbers and isinstance(numbers[0], Tensor) else numbers[0] if numbers else math.nan
    if np.size(value) != 1:
        return math.nan
    number = float(np.asarray(value).item())
    return number if function is ops.Mul else 1 / number if number else math.nan


def _checksum(array: Array) -> int:
    return zlib.crc32(array.tobytes())


def is_there(leaf: Tensor) -> bool:
    """Whether its .grad holds a gradient: it is neither None nor 0."""
    return leaf.grad is not None and bool(leaf.grad.array.any())


def leaves_of(root: Node) -> Iterator[Tensor]:
    """The leaves that a walk from root reaches."""
    nodes, waiting = {root}, [root]
    leaves: dict[int, Any] = {}
    while waiting:
        for edge, _ in waiting.pop().next_functions:
            if isinstance(edge, AccumulateGrad):
                leaves[id(edge.variable)] = edge.variable
            elif edge is not None and edge not in nodes:
                nodes.add(edge)
                waiting.append(edge)
    yield from leaves.values()


def are_probabilities(x: Array, axis: int) -> bool:
    """Whether all numbers are from 0 to 1, and add up to 1 along an axis of at least 2."""
    if x.ndim == 0 or x.shape[axis] < 2 or not x.size:
        return False
    return bool((x >= 0).all() and (np.abs(x.sum(axis) - 1) < 1e-3).all())


def parts_of(batch: Any) -> tuple[Array | None, Array | None]:
    """The inputs and the targets of a batch: its first two Tensors, or of a dict the first and the labels."""
    if isinstance(batch, Mapping):
        tensors = {key: value.array for key, value in batch.items() if isinstance(value, Tensor)}
        label = next((key for key in LABELS if key in tensors), None)
        x = next((array for key, array in tensors.items() if key != label), None)
        return x, None if label is None else tensors[label]
    if isinstance(batch, tuple | list):
        arrays = [part.array for part in batch if isinstance(part, Tensor) and part.array.ndim]
        return (arrays[0], arrays[1]) if len(arrays) > 1 else (None, None)
    return None, None


def size_of(batch: Any) -> int:
    """The number of samples: the length of a batch's first Tensor; 0 if it has none."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else [batch]
    return next((len(value.array) for value in values if isinstance(value, Tensor) and value.array.ndim), 0)


def order_of(rows: Array, x: Array) -> Array | None:
    """The numbers of the rows of x in the order in which they stand in `rows`; None if these are other rows."""
    if len(rows) != len(x) or rows.size != x.size or rows.dtype != x.dtype:
        return None
    places = {row.tobytes(): i for i, row in enumerate(x)}
    order = [places.get(row.tobytes(), -1) for row in rows]
    distinct = len(places) == len(x) and len(set(order)) == len(x) and -1 not in order
    same = np.array_equal(rows.reshape(len(x), -1), x.reshape(len(x), -1))
    return np.arange(len(x)) if same else np.asarray(order) if distinct else None
