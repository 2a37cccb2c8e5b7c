"""check_loop: runs a training step, a training loop or a test loop for a few batches, and names the mistakes in it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.loop_arguments import (
    BATCHES,
    MANY_BATCHES,
    ROLE_OF,
    Enough,
    Objects,
    is_loader,
    shortened,
    small_arguments,
    small_loader,
)
from minitrain.diagnosis.loop_mistakes import STEP_FIRST, TESTS, WITHOUT_GRAPH, Run, earlier_graph, notes
from minitrain.diagnosis.loop_observer import LoopObserver, params_of
from minitrain.nn import utils
from minitrain.ops import Array
from minitrain.optim import Optimizer
from minitrain.tensor import Tensor
from minitrain.torchlike.random import manual_seed

STEPS = 3  # calls of a training step that is given one batch
SECOND_WALK = "backward through the graph a second time"
CHANGED = "modified by an inplace operation"
NO_GRAPH = "does not require grad"
CLIPS: tuple[Callable[..., Any], ...] = (utils.clip_grad_norm_, utils.clip_grad_value_)


@dataclasses.dataclass(frozen=True)
class LoopReport:
    """The result of check_loop.

    kind: "training" or "test". batches, backwards, steps: how many there were.
    mistakes: what is wrong, with the numbers that show it; several may be wrong at once. notes: what is worth knowing.
    """

    kind: str
    batches: int
    backwards: int
    steps: int
    mistakes: list[Mistake]
    notes: list[str]

    @property
    def ok(self) -> bool:
        """Whether no mistake was found."""
        return not self.mistakes

    def __str__(self) -> str:
        counts = f"{_count(self.batches, 'batch')}"
        if self.kind == "training":
            counts += f", {_count(self.backwards, 'backward')}, {_count(self.steps, 'step')}"
        lines = [f"The {self.kind} loop is {'right' if self.ok else 'wrong'} ({counts})."]
        for i, mistake in enumerate(self.mistakes):
            head = "Also" if i else "Likely"
            lines.append(f"{head}: {mistake.name}. {mistake.says} ({mistake.evidence.rstrip('.')}.)")
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(textwrap.fill(line, 116, subsequent_indent="  ") for line in lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('ch') else 's'}"


def check_loop(loop: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> LoopReport:
    """Run a training step, a training loop or a test loop for a few batches, and name the mistakes in it.

        print(check_loop(train_loop))                                             # on a small problem
        print(check_loop(train_loop, dataloader, model, loss_fn, optimizer))      # on your own objects
        print(check_loop(train_step, X, y, model, loss_fn, optimizer))            # three times

    loop: calls the model, the loss, backward, step and zero_grad; or only tests the model.
    arguments, keywords: what your program calls it with, in its own order. The run is short: the data loader gives its
        first 5 batches (65 if no step comes in those), and a test's last batch is cut in half. Afterwards, parameters,
        gradients, the optimizer's state, modes and random streams are as they were.
        Without arguments, it runs on a small problem: each required parameter is understood by its name (dataloader,
        model, criterion, optimizer, X, y, ...), or by its position as in the tutorial.
    A test is checked as it is called: inside no_grad() or after model.eval(), if your program does that outside.
    What the loop prints is not shown; a test's printed and returned numbers are compared with the right ones.

    It sees Tensors and optimizers of minitrain, and the objects that the loop is called with or that its code names.
    Raises TypeError if it does not know what to pass, ValueError if there is nothing to observe, and whatever the loop
    raises.
    """
    report = _checked(loop, arguments, keywords, BATCHES)
    few = report.kind == "training" and report.batches >= BATCHES
    if few and any(mistake.name == "no-step" for mistake in report.mistakes):
        report = _checked(loop, arguments, keywords, MANY_BATCHES)  # gradients may be accumulated over many batches
    return report


def _checked(loop: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], count: int) -> LoopReport:
    signature = inspect.signature(loop)
    small: dict[str, Any] = {}
    if not arguments:
        before = Objects(loop, {})
        with before.restored():
            small = small_arguments(loop, keywords, count)
        outside = [*before.models, *before.optimizers]
        if any(ROLE_OF.get(name, ROLE_OF.get(name.lower())) != "epoch" for name in small) and outside:
            names = ", ".join(sorted({type(thing).__name__ for thing in outside}))
            raise TypeError(
                f"the loop also uses objects that it is not given ({names}), so a small problem of check_loop's own "
                "does not fit: pass what your program passes, check_loop(loop, ...)."
            )
    bound = signature.bind(*arguments, **{**keywords, **small})
    given = dict(_flat(bound.arguments))
    objects = Objects(loop, given)
    training = bool(objects.optimizers)
    observer = LoopObserver(objects.models)
    loaders = {id(x): shortened(x, count, i, cut=not training) for i, x in enumerate(objects.loaders)}
    for batches in loaders.values():
        batches.observer = observer

    def replaced(x: Any) -> Any:
        return loaders.get(id(x), x)

    call = [
        tuple(map(replaced, x)) if isinstance(x, tuple) and any(map(is_loader, x)) else replaced(x) for x in bound.args
    ]
    options = {name: replaced(x) for name, x in bound.kwargs.items()}
    functions = {id(clip): _reporting(clip, observer) for clip in CLIPS}
    with (
        objects.restored(),
        objects.replaced(loaders | functions),
        _replaced_clips(functions),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        manual_seed(0)
        for optimizer in objects.optimizers:
            if getattr(type(optimizer), "step", None) is not Optimizer.step:
                vars(optimizer)["step"] = observer.watched(optimizer)
        values = _values(objects)
        mistakes: list[Mistake] = []
        returned = None
        with observer:
            try:
                if not loaders:
                    returned = _steps(loop, signature, bound, small, observer, count)
                else:
                    returned = loop(*call, **options)
            except Enough:
                pass
            except RuntimeError as error:
                mistakes = _that_raised(observer, error)
                if not mistakes:
                    raise
            except Exception as error:
                if small:
                    passed = ", ".join(f"{name}: {type(x).__name__}" for name, x in small.items())
                    error.add_note(f"check_loop ran it on a small problem ({passed}); pass your own objects instead.")
                raise
        if not (observer.batches or observer.walks or observer.steps or observer.unrecorded):
            raise ValueError("check_loop saw no batch, no backward and no step. Pass what your program passes.")
        if observer.interrupted:
            raise ValueError("the loop switches anomaly detection on, which ends the observation: leave it out here.")
        after = _values(objects)
        changed = any(not np.array_equal(a, b) for a, b in zip(values, after, strict=True))
        training = training or changed or bool(observer.steps) or observer.differentiates_parameters_only()
        called = [objects.called(x) for x in objects.loaders]
        several = any(len(batches) > 1 for batches in loaders.values())
        run = Run(observer, training, changed, returned, printed.getvalue(), called, several)
        if not mistakes:
            found = [mistake for test in TESTS for mistake in test(run)]
            mistakes = list({mistake.name: mistake for mistake in reversed(found)}.values())[::-1]
        kind = "training" if training else "test"
        return LoopReport(kind, len(observer.batches), len(observer.walks), len(run.steps), mistakes, [*notes(run)])


def _reporting(clip: Callable[..., Any], observer: LoopObserver) -> Callable[..., Any]:
    """A function that clips gradients, and tells the observer before."""

    @functools.wraps(clip)
    def reporting(parameters: Any, *args: Any, **options: Any) -> Any:
        params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if math.inf not in (*args, *options.values()):  # with an infinite bound, it only measures the norm
            observer.before_clip(params)
        return clip(params, *args, **options)

    return reporting


@contextlib.contextmanager
def _replaced_clips(functions: Mapping[int, Callable[..., Any]]) -> Iterator[None]:
    """Within it, nn.utils has the functions that report."""
    try:
        for clip in CLIPS:
            setattr(utils, clip.__name__, functions[id(clip)])
        yield
    finally:
        for clip in CLIPS:
            setattr(utils, clip.__name__, clip)


def _flat(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arguments by name; those of *args and **kwargs one by one."""
    for name, value in arguments.items():
        if isinstance(value, tuple):
            yield from ((f"{name}[{i}]", x) for i, x in enumerate(value))
        elif isinstance(value, dict):
            yield from value.items()
        else:
            yield name, value


def _values(objects: Objects) -> list[Array]:
    """Copies of all parameters that the loop can reach."""
    params = [p for model in objects.models for p in model.parameters()]
    params += [p for optimizer in objects.optimizers for p in params_of(optimizer)]
    return [p.array.copy() for p in {id(p): p for p in params}.values()]


def _steps(
    loop: Callable[..., Any],
    signature: inspect.Signature,
    bound: inspect.BoundArguments,
    small: dict[str, Any],
    observer: LoopObserver,
    count: int,
) -> Any:
    """Call a training step for one batch after the other; what it is given is a batch of its own each time."""
    roles = {ROLE_OF.get(name, ROLE_OF.get(name.lower(), "")): name for name in small}
    if roles.keys() & {"X", "batch"}:
        returned = None
        for number, (X, y) in enumerate(small_loader(count), start=1):
            observer.begin_batch((X, y), 0, number)
            for role, value in (("X", X), ("y", y), ("batch", (X, y))):
                if role in roles:
                    bound.arguments[roles[role]] = value
            returned = loop(*bound.args, **bound.kwargs)
        return returned
    data = [x for x in bound.arguments.values() if isinstance(x, Tensor) and not x.requires_grad]
    pairs = [x for x in bound.arguments.values() if isinstance(x, tuple | list) and x and isinstance(x[0], Tensor)]
    batch = tuple(data) if data else pairs[0] if pairs else ()
    calls = STEPS if batch else 1
    for number in range(1, calls + 1):
        if batch:
            observer.begin_batch(batch, 0, number)
        returned = loop(*bound.args, **bound.kwargs)
    return returned


def _that_raised(observer: LoopObserver, error: RuntimeError) -> list[Mistake]:
    """The mistake that made a backward raise, if the record shows it."""
    current = observer.batches[-1].number if observer.batches else 1
    last = len(observer.batches) - 1
    before = {batch for batch in observer.failed.batches if 0 <= batch < last} if observer.failed else set()
    if before and (SECOND_WALK in str(error) or CHANGED in str(error)):
        return [earlier_graph(observer, last, before, "and backward raised, since that graph is used up.")]
    if (
        CHANGED in str(error)
        and observer.steps
        and observer.steps[-1].after_forward
        and observer.steps[-1].batch == last
    ):
        return [
            Mistake(
                "step-before-backward",
                STEP_FIRST,
                f"in batch {current}, step() ran after the forward and changed the parameters with an older gradient. "
                "backward raised, since it needs the values that the forward used.",
            )
        ]
    if NO_GRAPH in str(error) and observer.batches:
        forwards = [recorded for batch in observer.batches for _, recorded in batch.forwards]
        if forwards and not any(forwards):
            says, how = WITHOUT_GRAPH, "the model's output required no gradient"
        else:
            says = (
                "The loss has no connection to the parameters. Something between the model and the loss cuts it: "
                "item(), detach(), .data, argmax, a new tensor(...), or no_grad()."
            )
            how = "the model's output required a gradient, and the loss did not"
        name = "training-without-graph" if says is WITHOUT_GRAPH else "loss-detached"
        return [Mistake(name, says, f"in batch {current}, {how}; backward raised.")]
    if SECOND_WALK in str(error):
        return [
            Mistake(
                "backward-twice",
                "backward runs twice through the same graph. Call it once for each forward, on the sum of all losses.",
                f"in batch {current}, the second backward raised.",
            )
        ]
    return []
