"""Two models in lock step, number by number: do they agree, and if not, where do they part first?

Each side computes one step in four phases, and after each phase the two are held against each other: forward (what
every layer put out), loss, gradient (of every layer's output and of every parameter, from the last layer back) and
update (the optimizer's state and the parameters). So the first place that differs is the one where the fault was
made; all that differs after it follows from it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minitrain import nn
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.ops import Array
from minitrain.runs.backend import make_optimizer
from minitrain.runs.config import DATASETS, Config, ConfigError
from minitrain.runs.model import build_model
from minitrain.tensor import Tensor
from minitrain.torchlike.random import manual_seed
from minitrain.with_torch.choose_backend import require_torch
from minitrain.with_torch.faults import Fault

Phase = Literal["forward", "loss", "gradient", "update"]
PHASES: tuple[Phase, ...] = ("forward", "loss", "gradient", "update")
Triple = tuple[Any, Any, Any]

# What two correct programs stay within over some hundred steps, although they add in another order: rtol, atol.
TOLERANCES = {np.dtype(np.float32): (1e-4, 1e-5), np.dtype(np.float64): (1e-10, 1e-12)}


# --- the difference of two arrays -------------------------------------------------------------------------------------


def ulps(a: npt.ArrayLike, b: npt.ArrayLike, dtype: npt.DTypeLike) -> Array:
    """|a - b|, element by element, in units in the last place: in gaps between neighbouring numbers of dtype.

    The gap is the one above the larger of |a| and |b|, so that the count is the same from either side. 1 is one
    rounding; 2^24 in float32 (2^53 in float64) means that no digit agrees, and twice that, opposite signs. Equal
    values, infinities and nans count 0; nan or an infinity against anything else counts inf.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        gap = np.spacing(np.maximum(np.abs(a), np.abs(b)).astype(dtype)).astype(np.float64)
        count = np.abs(a / gap - b / gap)  # gap is a power of two: nothing is rounded here
    return _settled(count, a, b)


def _settled(measure: Array, a: Array, b: Array) -> Array:
    """0 where a and b are the same, nan and infinities included; inf where nan came of their difference."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(measure), np.inf, measure))


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """How far two arrays are apart, at the element that is farthest out: which uses up most of its tolerance.

    step: from 1 up. layer: the module's path. what: "output", "loss", a parameter's name, or a parameter's and its
        state's ("weight.momentum_buffer").
    index: of that element. ours, theirs: its values; None where a side has none (no gradient, no such state).
    absolute: |ours - theirs|. relative: |ours - theirs| / |theirs|. ulps: see ulps(). inf for nan against a number.
    share: |ours - theirs| / (atol + rtol · |theirs|); above 1 they part.
    largest, scale: of the whole array: the largest |ours - theirs|, and the largest finite |theirs|.
    """

    step: int
    phase: Phase
    layer: str
    what: str
    index: tuple[int, ...]
    ours: float | None
    theirs: float | None
    absolute: float
    relative: float
    ulps: float
    share: float
    largest: float
    scale: float

    @property
    def parts(self) -> bool:
        """Whether the two are farther apart than is allowed."""
        return self.share > 1

    @property
    def place(self) -> str:
        """In words, without the step: 'gradient of fc1.weight'."""
        if self.phase == "loss":
            return "loss"
        if self.phase == "forward":
            return f"output of {self.layer}"
        whose = f"{self.layer}'s output" if self.what == "output" else f"{self.layer}.{self.what}"
        return f"{self.phase} of {whose}"


@dataclasses.dataclass(frozen=True)
class _Ruler:
    """What differences are measured by: the coarser dtype of the two, and its tolerances."""

    dtype: np.dtype[Any]
    rtol: float
    atol: float

    def measure(
        self, step: int, phase: Phase, layer: str, what: str, ours: Array | None, theirs: Array | None
    ) -> Difference | None:
        """Their Difference; None where both are missing or have no elements. Raises ValueError for other shapes."""
        if ours is None and theirs is None:
            return None
        if ours is None or theirs is None:
            # The first element stands for the side that has one.
            x, y = (None if array is None or not array.size else float(array.flat[0]) for array in (ours, theirs))
            index = (0,) * (ours if theirs is None else theirs).ndim  # type: ignore[union-attr]
            return Difference(step, phase, layer, what, index, x, y, *[math.inf] * 5, 0.0)  # type: ignore[call-arg]
        if ours.shape != theirs.shape:
            raise ValueError(
                f"step {step}, {phase}, {layer} {what}: the shapes differ, {list(ours.shape)} against "
                f"{list(theirs.shape)}; compare needs two models of the same layers."
            )
        if ours.size == 0:
            return None
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(all="ignore"):
            absolute = np.abs(a - b)
            share = absolute / (self.atol + self.rtol * np.abs(b))
        absolute, share = _settled(absolute, a, b), _settled(share, a, b)
        index = tuple(int(i) for i in np.unravel_index(share.argmax(), share.shape))
        x, y, apart = float(a[index]), float(b[index]), float(absolute[index])
        relative = 0.0 if apart == 0 else apart / abs(y) if y and math.isfinite(y) else math.inf
        count = float(ulps([x], [y], self.dtype)[0])
        scale = float(np.abs(b).max(initial=0, where=np.isfinite(b)))
        return Difference(
            *(step, phase, layer, what, index, x, y, apart, relative, count),
            *(float(share[index]), float(absolute.max()), scale),
        )


def _ruler(dtype: np.dtype[Any], rtol: float | None, atol: float | None) -> _Ruler:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a finite number from 0 up, but got {value}")
    default_rtol, default_atol = TOLERANCES[dtype]
    return _Ruler(dtype, default_rtol if rtol is None else rtol, default_atol if atol is None else atol)


# --- one side ---------------------------------------------------------------------------------------------------------


class Side:
    """A model with its loss and its optimizer, run phase by phase. This one is minitrain's; TorchSide is torch's.

    outputs: after forward, what each layer put out, in the order of computation: (layer, Tensor) pairs.
    loss: after compute_loss, the loss. parameters: by name.
    """

    framework = "NumPy"

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any) -> None:
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.parameters: dict[str, Any] = dict(model.named_parameters())
        self.kinds = {_named(name): type(module).__name__ for name, module in model.named_modules()}
        self.outputs: list[tuple[str, Any]] = []
        self.loss: Any = None
        self._prediction: Any = None
        self._last_handed_on: Any = None
        dtypes = {str(param.dtype).removeprefix("torch.") for param in self.parameters.values()}
        if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
            found = ", ".join(sorted(dtypes)) if dtypes else "none"
            raise ValueError(
                f"compare needs a model whose parameters are all float32 or all float64, but got {found} in "
                f"{self.framework}'s {type(model).__name__}; convert it with .float() or .double()."
            )
        self.dtype = np.dtype(dtypes.pop())

    @property
    def label(self) -> str:
        """The framework and the dtype: 'NumPy float32'."""
        return f"{self.framework} {self.dtype}"

    def own(self, batch: Tensor) -> Any:
        """A batch's Tensor as this side takes it: floats in the model's dtype, labels as they are."""
        return batch.to(self.dtype) if batch.is_floating_point() else batch

    def array(self, tensor: Any) -> Array:
        """The numbers of one of this side's tensors, or of a plain number; not copied where that can be helped."""
        return tensor.detach().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)

    def forward(self, X: Tensor) -> None:
        """Run the model, and keep what every layer without layers of its own puts out."""
        self.outputs = []
        leaves = [
            (name, module) for name, module in self.model.named_modules() if next(module.children(), None) is None
        ]
        handles = [module.register_forward_hook(functools.partial(self._keep, name)) for name, module in leaves]
        try:
            self._prediction = self.model(self.own(X))
        finally:
            for handle in handles:
                handle.remove()
        if not self.outputs or self._prediction is not self._last_handed_on:
            self._prediction = self._keep("(result)", None, (), self._prediction)

    def _keep(self, name: str, _module: Any, _args: Any, output: Any) -> Any:
        if not hasattr(output, "retain_grad"):
            raise ValueError(
                f"compare takes layers that return one Tensor, but {_named(name)} of {self.framework}'s model returned "
                f"{type(output).__name__}"
            )
        calls = 1 + sum(layer.partition(" ")[0] == _named(name) for layer, _ in self.outputs)
        if output.requires_grad:
            output.retain_grad()
        self.outputs.append((_named(name) if calls == 1 else f"{_named(name)} (call {calls})", output))
        self._last_handed_on = output.clone()  # what comes after may work in place; what is kept stays
        return self._last_handed_on

    def compute_loss(self, y: Tensor) -> None:
        """Run the loss function on the model's result."""
        self.loss = self.loss_fn(self._prediction, self.own(y))
        if self.loss.numel() != 1:
            raise ValueError(
                f"compare needs a loss of one number, but {self.framework}'s has the shape {list(self.loss.shape)}; "
                "reduce it to its mean or its sum."
            )

    def gradient(self, tensor: Any) -> Array | None:
        """The gradient that backward left in a tensor."""
        return None if not tensor.requires_grad or tensor.grad is None else self.array(tensor.grad)

    def state(self, param: Any) -> dict[str, Any]:
        """What the optimizer remembers of a parameter, by name."""
        return {name: value for name, value in self.optimizer.state.get(param, {}).items() if value is not None}

    def forget(self) -> None:
        """Zero the gradients and let go of the step's graph."""
        self.optimizer.zero_grad()
        self.outputs, self.loss, self._prediction, self._last_handed_on = [], None, None, None


class TorchSide(Side):
    """A torch model with its loss and its optimizer, on whichever device it is."""

    framework = "torch"

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any) -> None:
        super().__init__(model, loss_fn, optimizer)
        self.device = next(iter(self.parameters.values())).device

    @property
    def label(self) -> str:
        """The framework, the dtype, and the device if it is not the CPU: 'torch float32 on cuda:0'."""
        return super().label if self.device.type == "cpu" else f"{super().label} on {self.device}"

    def own(self, batch: Tensor) -> Any:
        """The same memory as a torch tensor, where dtype and device allow it."""
        import torch

        tensor = torch.from_numpy(np.require(batch.array, requirements=["C", "W"]))
        return tensor.to(self.device, getattr(torch, self.dtype.name) if tensor.is_floating_point() else tensor.dtype)

    def array(self, tensor: Any) -> Array:
        """As Side's; from a device, a copy."""
        return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)


def make_side(triple: Triple) -> Side:
    """(model, loss_fn, optimizer) of either framework as a Side. Raises TypeError for anything else."""
    if not isinstance(triple, Sequence) or len(triple) != 3:
        raise TypeError(f"a side of compare is (model, loss_fn, optimizer), but got {triple!r}")
    model = triple[0]
    if isinstance(model, nn.Module):
        return Side(*triple)
    require_torch("comparing with it")
    import torch

    if isinstance(model, torch.nn.Module):
        return TorchSide(*triple)
    raise TypeError(f"compare takes models of minitrain.nn or torch.nn, but got {type(model).__name__}")


def _named(path: str) -> str:
    return path or "(model)"


def _layer_and_name(parameter: str) -> tuple[str, str]:
    layer, _, name = parameter.rpartition(".")
    return _named(layer), name


# --- the comparison ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: the two losses, and a Difference for each place that was compared, in the order of computation."""

    number: int
    losses: tuple[float, float]
    differences: tuple[Difference, ...]

    def worst(self) -> Difference:
        """The place that is farthest out."""
        return max(self.differences, key=lambda difference: difference.share)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What compare() found. str() of it is the whole report.

    sides: what was compared, in words. dtype: the coarser of the two, in which ulps are counted.
    steps: all that were run; maxima only, no arrays.
    first: the first place, in the order of computation, where the two part beyond tolerance; None if they agree.
    advice: where to look for the cause of it.
    """

    sides: tuple[str, str]
    dtype: str
    rtol: float
    atol: float
    steps: tuple[Step, ...]
    first: Difference | None
    advice: str

    @property
    def agrees(self) -> bool:
        """Whether no place parts in any step."""
        return self.first is None

    def worst(self) -> list[Difference]:
        """Each place at the step at which it is farthest out, in the order of computation."""
        places: dict[tuple[str, str, str], Difference] = {}
        for difference in itertools.chain.from_iterable(step.differences for step in self.steps):
            key = difference.phase, difference.layer, difference.what
            if key not in places or difference.share > places[key].share:
                places[key] = difference
        return list(places.values())

    def verdict(self) -> str:
        """That they agree; or the first place where they part, both values, and where to look."""
        many = "1 step" if len(self.steps) == 1 else f"{len(self.steps)} steps"
        allowed = f"{self.atol:g} + {self.rtol:g} · |{self.sides[1]}|"
        if self.first is None:
            return f"They agree: no parting beyond {allowed} in {many}."
        first = self.first
        at = f", index {list(first.index)}" if first.index else ""
        width = max(map(len, self.sides))
        return "\n".join(
            [
                f"They part first in step {first.step}, at the {first.place}{at}:",
                *(
                    f"  {side:<{width}}  {_exact(value)}"
                    for side, value in zip(self.sides, _values(first), strict=True)
                ),
                f"  Apart by {first.absolute:.3g} (relative {first.relative:.3g}, ulps {_short(first.ulps)}), where "
                f"{allowed} is allowed.",
                textwrap.fill(self.advice, 110),
            ]
        )

    def __str__(self) -> str:
        return "\n".join([*self._table_of_steps(), "", *self._table_of_places(), "", self.verdict()])

    def _table_of_steps(self) -> Iterator[str]:
        shown = set(milestones(len(self.steps)) if len(self.steps) > 20 else range(1, len(self.steps) + 1))
        if self.first is not None:
            shown.add(self.first.step)
        yield "Each step: the loss, the largest |difference| of each phase, and the place nearest to its tolerance (1)"
        yield (
            f"{'step':>6}  {'loss':>9}  "
            + "  ".join(f"{phase:>8}" for phase in PHASES)
            + f"  {'of tolerance':>12}  place"
        )
        for step in self.steps:
            if step.number in shown:
                largest = [max((d.largest for d in step.differences if d.phase == p), default=0.0) for p in PHASES]
                numbers = "  ".join(f"{_short(number):>8}" for number in largest)
                worst = step.worst()
                loss = f"{step.losses[0]:.6f}" if abs(step.losses[0]) < 100 else f"{step.losses[0]:.2e}"
                yield f"{step.number:>6}  {loss:>9}  {numbers}  {_short(worst.share):>12}  {worst.place}"

    def _table_of_places(self) -> Iterator[str]:
        worst = self.worst()
        width = max(len(difference.place) for difference in worst)
        yield "Each place at its worst step, in the order of computation: the largest |difference|, that relative to"
        yield "the place's largest |value| and in ulps of it, and how much of its tolerance an element uses up"
        yield f"  {'place':<{width}}  {'step':>6}  {'absolute':>8}  {'relative':>8}  {'ulps':>8}  of tolerance"
        for d in worst:
            relative = d.largest / d.scale if d.scale else math.inf if d.largest else 0.0
            gap = float(np.spacing(np.asarray(d.scale, self.dtype)))
            numbers = "  ".join(f"{_short(number):>8}" for number in (d.largest, relative, d.largest / gap))
            parts = "  parts" if d.parts else ""
            if self.first is not None and d.place == self.first.place:
                parts = f"  parts, first of all in step {self.first.step}"
            yield f"  {d.place:<{width}}  {d.step:>6}  {numbers}  {_short(d.share):>12}{parts}"

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON takes it; nan and the infinities as strings."""
        figures: dict[str, Any] = plain(dataclasses.asdict(self))
        return figures


def _values(difference: Difference) -> tuple[float | None, float | None]:
    return difference.ours, difference.theirs


def _exact(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"


def _short(number: float) -> str:
    """Two digits: 0, 0.24, 31, 6.5e-09."""
    return f"{number:.2g}" if number == 0 or 1e-2 <= number < 1e4 else f"{number:.1e}"


def plain(value: Any) -> Any:
    """Dicts, lists and numbers as JSON takes them: it has no nan and no infinity, so these become strings."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def milestones(steps: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to steps, and steps itself."""
    marks = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return [*itertools.takewhile(lambda mark: mark < steps, marks), steps] if steps else []


def compare(
    ours: Triple,
    theirs: Triple,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    rtol: float | None = None,
    atol: float | None = None,
    stop: bool = False,
) -> Comparison:
    """Train two models side by side, a step for each batch, and hold every number of one against the other's.

    ours, theirs: (model, loss_fn, optimizer), each of minitrain or of torch. The models have the same layers under the
        same names, and start from the same weights; the optimizers are given their model's parameters. Both are
        trained: hand in copies if they are needed as they are. Activations and losses are those of the mode that the
        models are in; where layers draw random numbers, the two sides draw from generators of their own.
    batches: (X, y) pairs of minitrain Tensors, such as a DataLoader gives. torch sees the same memory; each side takes
        floats in its model's dtype.
    rtol, atol: two numbers part where |ours - theirs| > atol + rtol · |theirs|. By default 1e-4 and 1e-5; if both
        models are float64, 1e-10 and 1e-12. nan agrees with nan and an infinity with itself.
    stop: end with the step in which they part first; otherwise go on, to see how the difference grows.
    Returns a Comparison. Raises ValueError if the models do not match: other names, shapes, or first weights.

        ours = model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
        theirs = twin, torch.nn.CrossEntropyLoss(), torch.optim.SGD(twin.parameters(), lr=0.1)
        print(compare(ours, theirs, loader))
    """
    a, b = make_side(ours), make_side(theirs)
    dtype = a.dtype if a.dtype.itemsize < b.dtype.itemsize else b.dtype
    ruler = _ruler(dtype, rtol, atol)
    _check_pair(a, b, ruler)
    first, advice = None, ""
    steps: list[Step] = []
    for number, (X, y) in enumerate(batches, start=1):
        for tensor in (X, y):
            if not isinstance(tensor, Tensor):
                raise TypeError(f"compare takes batches of minitrain Tensors, but got {type(tensor).__name__}")
        differences = []
        for difference in _step(a, b, X, y, number, ruler):
            differences.append(difference)
            if first is None and difference.parts:
                first, advice = difference, _advice(difference, a, b, steps[-1].worst().share if steps else 0.0)
        steps.append(Step(number, (a.loss.item(), b.loss.item()), tuple(differences)))
        a.forget()
        b.forget()
        if stop and first is not None:
            break
    if not steps:
        raise ValueError("compare needs at least one batch, but batches gives none")
    labels = a.label, b.label
    if a.label == b.label:
        labels = f"{a.label} (ours)", f"{b.label} (theirs)"
    return Comparison(labels, dtype.name, ruler.rtol, ruler.atol, tuple(steps), first, advice)


def _check_pair(a: Side, b: Side, ruler: _Ruler) -> None:
    """Raise ValueError unless the parameters have the same names, shapes and values."""
    shapes_a, shapes_b = ({name: list(p.shape) for name, p in side.parameters.items()} for side in (a, b))
    for name in [*shapes_a, *shapes_b]:
        shape_a, shape_b = shapes_a.get(name, "no such parameter"), shapes_b.get(name, "no such parameter")
        if shape_a != shape_b:
            raise ValueError(
                f"the two models do not match: {name} is {shape_a} in {type(a.model).__name__} ({a.label}) and "
                f"{shape_b} in {type(b.model).__name__} ({b.label}); compare needs the same layers, named the same."
            )
    for name in shapes_a:
        found = ruler.measure(0, "update", *_layer_and_name(name), _weights(a, name), _weights(b, name))
        if found is not None and found.parts:
            raise ValueError(
                f"the two models start from different weights: {name} at index {list(found.index)} is "
                f"{_exact(found.ours)} in {a.label} and {_exact(found.theirs)} in {b.label}. Load the state_dict() of "
                "one into the other first."
            )


def _weights(side: Side, name: str) -> Array:
    return side.array(side.parameters[name])


def _step(a: Side, b: Side, X: Tensor, y: Tensor, number: int, ruler: _Ruler) -> Iterator[Difference]:
    """One step of both, phase by phase, with a Difference for each place, in the order of computation."""

    def measure(phase: Phase, layer: str, what: str, ours: Array | None, theirs: Array | None) -> list[Difference]:
        found = ruler.measure(number, phase, layer, what, ours, theirs)
        return [] if found is None else [found]

    a.forward(X)
    b.forward(X)
    layers, layers_b = ([layer for layer, _ in side.outputs] for side in (a, b))
    if layers != layers_b:
        raise ValueError(
            f"the two models do not match: the layers that ran are {', '.join(layers)} in {a.label}, and "
            f"{', '.join(layers_b)} in {b.label}; compare needs the same layers, named the same."
        )
    outputs = [(layer, x, y) for (layer, x), (_, y) in zip(a.outputs, b.outputs, strict=True)]
    for layer, x, y_b in outputs:
        yield from measure("forward", layer, "output", a.array(x), b.array(y_b))

    a.compute_loss(y)
    b.compute_loss(y)
    yield from measure("loss", "loss", "loss", a.array(a.loss), b.array(b.loss))

    a.loss.backward()
    b.loss.backward()
    waiting = dict.fromkeys(a.parameters)
    for layer, x, y_b in reversed(outputs):
        yield from measure("gradient", layer, "output", a.gradient(x), b.gradient(y_b))
        # A layer called twice has its parameters' gradient complete once its first call is reached.
        for name in [name for name in waiting if _layer_and_name(name)[0] == layer]:
            del waiting[name]
            yield from measure("gradient", *_layer_and_name(name), *(s.gradient(s.parameters[name]) for s in (a, b)))
    for name in waiting:
        yield from measure("gradient", *_layer_and_name(name), *(s.gradient(s.parameters[name]) for s in (a, b)))

    a.optimizer.step()
    b.optimizer.step()
    for name in a.parameters:
        layer, what = _layer_and_name(name)
        states = [side.state(side.parameters[name]) for side in (a, b)]
        for key in dict.fromkeys([*states[0], *states[1]]):
            values = [side.array(s[key]) if key in s else None for side, s in zip((a, b), states, strict=True)]
            yield from measure("update", layer, f"{what}.{key}", *values)
        yield from measure("update", layer, what, _weights(a, name), _weights(b, name))


def _advice(first: Difference, a: Side, b: Side, share_before: float) -> str:
    """Where to look for the cause of the first parting: what made this number, of numbers that still agreed.

    share_before: how much of the tolerance was used up at the worst place of the step before.
    """

    def kind(layer: str) -> str:
        known = b.kinds.get(layer.partition(" ")[0])
        return layer if known is None else f"{layer} ({known})"

    layers = [layer for layer, _ in b.outputs]
    loss = getattr(b.loss_fn, "__name__", type(b.loss_fn).__name__)  # of a function or of a module
    rule = type(b.optimizer).__name__
    user = layers.index(first.layer) + 1 if first.layer in layers else 0  # of this output: the layer after, or the loss
    before = " The steps before agreed, so it is something carried over from one step to the next." * (first.step > 1)
    output_gradient = first.phase == "gradient" and first.what == "output"
    if output_gradient and "ReLU" in kind(layers[user] if user < len(layers) else ""):
        x, y = (float(side.array(side.outputs[user - 1][1])[first.index]) for side in (a, b))
        if (x > 0) != (y > 0):
            return (
                f"The output itself is {x:.3g} there on one side and {y:.3g} on the other: rounding has put it on "
                f"different sides of 0, where {kind(layers[user])} passes the gradient or stops it. That is no fault. "
                "In float64 it would hardly ever happen."
            )
    if share_before > 0.1:
        cause = (
            "rounding that adds up" if "float32" in (a.dtype, b.dtype) else "a small fault, or rounding, that adds up"
        )
        return (
            f"In the step before, they were apart by {share_before:.2g} of the tolerance already: this looks like "
            f"{cause}. A run in float64 and the table of the first steps tell which it is."
        )
    if output_gradient:
        return (
            "All that comes before it agrees: look at the backward of what uses this output and so makes its gradient, "
            f"{kind(layers[user]) if user < len(layers) else f'the loss, {loss}'}."
        )
    if first.phase == "forward":
        if first.layer == "(result)":
            return "All layers agree, so look at what the model's own forward does with what they put out."
        return f"What comes before it agrees, its parameters too: look at the forward of {kind(first.layer)}."
    if first.phase == "loss":
        return f"The model's result agrees: look at the forward of the loss, {loss}."
    if first.phase == "gradient":
        left_over = " Was it zeroed (zero_grad)?" if first.step > 1 else ""
        return (
            f"The gradient of the layer's output agrees: look at how the backward of {kind(first.layer)} makes the "
            f"gradient of its {first.what} from it.{before}{left_over}"
        )
    name, _, state = first.what.partition(".")
    if state:
        return f"The gradient agrees: look at how the optimizer, {rule}, keeps its {state} of a parameter.{before}"
    remembered = " and what the optimizer remembers" if b.state(b.parameters[_path(first.layer, name)]) else ""
    return f"The gradient{remembered} agree{'' if remembered else 's'}: look at the step that {rule} takes.{before}"


def _path(layer: str, name: str) -> str:
    return name if layer == "(model)" else f"{layer}.{name}"


# --- the built-in recipe on both sides --------------------------------------------------------------------------------


def describe(config: Config) -> str:
    """A run in a few words: its data, model and optimizer."""
    momentum = f", momentum {config.momentum:g}" if config.momentum else ""
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    hidden = " ".join(map(str, config.hidden)) or "none"
    return (
        f"{config.dataset}, hidden {hidden}, batch {config.batch_size}, {config.optimizer} lr {config.lr:g}{momentum}"
        f"{decay}, seed {config.seed}"
    )


def training_data(config: Config) -> Any:
    """The data that `minitrain train` would train on, fetched as it would be. Raises DataError where there is none."""
    dataset: Any = DATASETS[config.dataset]
    return dataset(root=config.data_dir, train=True, download=True, transform=ToTensor())


def numpy_side(config: Config, data: Any, dtype: str) -> tuple[Triple, Iterator[tuple[Tensor, Tensor]]]:
    """The model, loss and optimizer that `minitrain train` would train, in dtype, and its batches without end."""
    manual_seed(config.seed)
    loader = DataLoader(data, batch_size=config.batch_size, shuffle=config.shuffle)
    sample, _ = data[0]
    model = build_model(nn, sample.numel(), config.hidden, len(data.classes)).to(np.dtype(dtype))
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return (model, nn.CrossEntropyLoss(), make_optimizer(config, model)), batches


def torch_twin(config: Config, model: nn.Module, dtype: str, device: str = "cpu") -> Triple:
    """The same on torch, with the weights that a built-in model of minitrain's has now."""
    import torch

    from minitrain.with_torch.convert_state import to_torch

    weights = [param.shape for name, param in model.named_parameters() if name.endswith("weight")]  # (out, in) each
    hidden = [size_out for size_out, _ in weights[:-1]]
    twin = build_model(torch.nn, weights[0][1], hidden, weights[-1][0]).to(device, getattr(torch, dtype))
    twin.load_state_dict(to_torch(model.state_dict()))
    return twin, torch.nn.CrossEntropyLoss(), make_optimizer(config, twin, torch.optim)


def compare_recipe(
    config: Config,
    *,
    steps: int = 10,
    dtype: str = "float64",
    fault: Fault | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    stop: bool = False,
) -> tuple[Comparison, str]:
    """compare() of what `minitrain train` would train, on NumPy and on torch's CPU, from the same weights.

    dtype: float64, in which nothing but a fault makes a difference, or float32.
    fault: planted on the NumPy side.
    Returns the Comparison, and whether the fault was found where it shows, in words ("" without a fault).
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, but got {steps}")
    _ruler(np.dtype(dtype), rtol, atol)  # says what is wrong before a long download, and so does
    require_torch("minitrain compare")
    ours, batches = numpy_side(config, training_data(config), dtype)
    theirs, layer = torch_twin(config, ours[0], dtype), ""
    if fault is not None:
        ours, layer = fault.plant(*ours)
    result = compare(ours, theirs, itertools.islice(batches, steps), rtol=rtol, atol=atol, stop=stop)
    return result, "" if fault is None else _found(fault, layer, result)


def _found(fault: Fault, layer: str, result: Comparison) -> str:
    """Whether a planted fault was found where it shows."""
    expected = Difference(fault.step, fault.phase, layer, fault.what, (), None, None, *[math.inf] * 6)
    first = result.first
    if first is not None and (first.step, first.place) == (expected.step, expected.place):
        return f"That is the fault that was planted, {fault.name}."
    if len(result.steps) < fault.step:
        hint = f"Run at least {fault.step} steps."
    elif result.dtype == "float32":
        hint = "Where updates are small it can hide below float32's tolerance; float64 is sharper."
    else:
        hint = "With these settings it does not; the defaults show it."
    return textwrap.fill(
        f"The fault that was planted, {fault.name}, should show in step {expected.step}, at the {expected.place}. "
        f"{hint}",
        110,
    )
