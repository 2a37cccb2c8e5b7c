"""compare: two models in lock step, number by number, to find the first place where they differ.

Each side computes a step in four phases, and the two are compared after each: forward (the output of every layer),
loss, gradient (of every layer's output and every parameter, from the last layer back) and update (the optimizer's
state and the parameters). The first place that differs is therefore where the mistake is; all later differences follow
from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from minitrain.ops import Array
from minitrain.tensor import Tensor
from minitrain.with_torch.comparison import Comparison, Step, advise, exact
from minitrain.with_torch.difference import Difference, Phase, Tolerance
from minitrain.with_torch.side import Side, Triple, layer_and_name, make_side


def compare(
    ours: Triple,
    theirs: Triple,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    rtol: float | None = None,
    atol: float | None = None,
    stop: bool = False,
) -> Comparison:
    """Train two models side by side, one step per batch, and compare every number.

    ours, theirs: (model, loss_fn, optimizer), each of minitrain or of torch. The models need the same layers under the
        same names, and the same initial weights. Both are trained: pass copies to keep the originals. Dropout and
        similar layers draw from each framework's own generator, so put such models into eval mode.
    batches: (X, y) pairs of minitrain Tensors, such as a DataLoader gives. torch sees the same memory; each side
        converts floats to its model's dtype.
    rtol, atol: two numbers differ if |ours - theirs| > atol + rtol · |theirs|. The defaults are 1e-4 and 1e-5, or 1e-10
        and 1e-12 if both models are float64. nan equals nan, and an infinity equals itself.
    stop: stop after the first step that differs; otherwise continue, to show how the difference grows.
    Raises ValueError if names, shapes or initial weights do not match.

        ours = model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
        theirs = twin, torch.nn.CrossEntropyLoss(), torch.optim.SGD(twin.parameters(), lr=0.1)
        print(compare(ours, theirs, loader))
    """
    a, b = make_side(ours), make_side(theirs)
    tolerance = Tolerance(min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize), rtol, atol)
    _check_pair(a, b, tolerance)
    first, advice = None, ""
    steps: list[Step] = []
    for number, (X, y) in enumerate(batches, start=1):
        for tensor in (X, y):
            if not isinstance(tensor, Tensor):
                raise TypeError(f"compare needs batches of minitrain Tensors, but got {type(tensor).__name__}")
        differences = []
        for difference in _step(a, b, X, y, number, tolerance):
            differences.append(difference)
            if first is None and difference.exceeds_tolerance:
                first, advice = difference, advise(difference, a, b, steps[-1].worst().share if steps else 0.0)
        steps.append(Step(number, (a.loss.item(), b.loss.item()), tuple(differences)))
        a.forget()
        b.forget()
        if stop and first is not None:
            break
    if not steps:
        raise ValueError("compare needs at least one batch, but batches is empty")
    labels = a.label, b.label
    if a.label == b.label:
        labels = f"{a.label} (ours)", f"{b.label} (theirs)"
    return Comparison(labels, tolerance.dtype.name, tolerance.rtol, tolerance.atol, tuple(steps), first, advice)


def _check_pair(a: Side, b: Side, tolerance: Tolerance) -> None:
    """Raise ValueError unless the parameters have the same names, shapes and values."""
    shapes_a, shapes_b = ({name: list(p.shape) for name, p in side.parameters.items()} for side in (a, b))
    for name in [*shapes_a, *shapes_b]:
        shape_a, shape_b = shapes_a.get(name, "no such parameter"), shapes_b.get(name, "no such parameter")
        if shape_a != shape_b:
            raise ValueError(
                f"the two models do not match: {name} is {shape_a} in {type(a.model).__name__} ({a.label}) and "
                f"{shape_b} in {type(b.model).__name__} ({b.label}); compare needs the same layers, named the same"
            )
    for name in shapes_a:
        found = tolerance.measure(0, "update", *layer_and_name(name), a.weights(name), b.weights(name))
        if found is not None and found.exceeds_tolerance:
            raise ValueError(
                f"the two models start from different weights: {name} at index {list(found.index)} is "
                f"{exact(found.ours)} in {a.label} and {exact(found.theirs)} in {b.label}; load the state_dict() of "
                "one into the other first"
            )


def _step(a: Side, b: Side, X: Tensor, y: Tensor, number: int, tolerance: Tolerance) -> Iterator[Difference]:
    """One step of both, phase by phase, with a Difference for each place, in the order of computation."""

    def measure(phase: Phase, layer: str, what: str, ours: Array | None, theirs: Array | None) -> list[Difference]:
        found = tolerance.measure(number, phase, layer, what, ours, theirs)
        return [] if found is None else [found]

    def measure_gradient(name: str) -> list[Difference]:
        return measure("gradient", *layer_and_name(name), *(s.gradient(s.parameters[name]) for s in (a, b)))

    a.forward(X)
    b.forward(X)
    layers, layers_b = ([layer for layer, _ in side.outputs] for side in (a, b))
    if layers != layers_b:
        raise ValueError(
            f"the two models do not match: the layers that ran are {', '.join(layers)} in {a.label}, and "
            f"{', '.join(layers_b)} in {b.label}; compare needs the same layers, named the same"
        )
    outputs = [(layer, x, y_b) for (layer, x), (_, y_b) in zip(a.outputs, b.outputs, strict=True)]
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
        # If a layer is called twice, its parameters' gradients are complete once its first call is reached.
        for name in [name for name in waiting if layer_and_name(name)[0] == layer]:
            del waiting[name]
            yield from measure_gradient(name)
    for name in waiting:
        yield from measure_gradient(name)

    a.optimizer.step()
    b.optimizer.step()
    for name in a.parameters:
        layer, what = layer_and_name(name)
        states = [side.state(side.parameters[name]) for side in (a, b)]
        for key in dict.fromkeys([*states[0], *states[1]]):
            values = [side.array(s[key]) if key in s else None for side, s in zip((a, b), states, strict=True)]
            yield from measure("update", layer, f"{what}.{key}", *values)
        yield from measure("update", layer, what, a.weights(name), b.weights(name))
