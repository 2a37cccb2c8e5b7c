"""The checks of predictions: each runs its program and shows where the prediction first differs."""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import minitrain
from minitrain.autograd import print_tape
from minitrain.learn import reading
from minitrain.learn.measurements import (
    ContractError,
    Found,
    Named,
    Probe,
)


@dataclasses.dataclass(frozen=True)
class Prediction(Probe):
    """A prediction of what a program does, compared with the program.

    reading: the class with both. observed: what the program did, from the Tensors that it returned.
    clues: what to think about if an entry is wrong, by the entry. with_torch: whether torch can be observed, too.
    """

    kind = "values"
    reading: type[Any]
    observed: Callable[[dict[str, Any]], dict[str, Any] | list[str]]
    clues: Mapping[str, str]
    with_torch: bool = True

    @property
    def _function(self) -> str:
        return f"{self.reading.__name__}.prediction"

    def _predicted(self, right: dict[str, Any] | list[str]) -> Any:
        """The prediction; raises ContractError if it is neither a dict nor a list, as the right one is."""
        predicted = self.reading.prediction()
        if isinstance(predicted, Mapping if isinstance(right, dict) else list | tuple):
            return predicted
        kind = "dict" if isinstance(right, dict) else "list"
        found = "None. Is a return missing?" if predicted is None else f"a {type(predicted).__name__}."
        raise ContractError(f"{self._function} must return a {kind}, but returned {found}", self._function)

    def arrays(self) -> Named:
        """Whether the prediction is right, and the program's loss."""
        tensors = self.reading.program(minitrain)
        loss = tensors["loss"].item()
        right = self.observed(tensors)
        yield "whether the prediction is right", np.array(self._parted(self._predicted(right), right) is None)
        yield "the program's loss (the program stays as it is)", np.array(loss)

    def report(self) -> Found:
        """Where the prediction and the program first differ."""
        right = self.observed(self.reading.program(minitrain))
        wrong = self._parted(self._predicted(right), right)
        return Found(wrong) if wrong else Found(right="the program does what you predicted")

    def _parted(self, predicted: Any, right: dict[str, Any] | list[str]) -> str | None:
        if isinstance(right, dict):
            return self._first_entry(predicted, right)
        return self._first_name([str(name) for name in predicted], right)

    def _first_entry(self, predicted: Mapping[str, Any], right: dict[str, Any]) -> str | None:
        """The first entry of a dict that is missing, superfluous, in the wrong place, or wrong."""
        if unknown := [name for name in predicted if name not in right]:
            place = list(predicted).index(unknown[0]) + 1
            clue = self._clue("more" if place > len(right) else unknown[0])
            return f"Entry {place} of the prediction, {unknown[0]!r}, is not what the program has. {clue}"
        if missing := [name for name in right if name not in predicted]:
            place = list(right).index(missing[0]) + 1
            begin = f"The prediction has {len(predicted)} of {len(right)} entries; number {place} is missing."
            return f"{begin} {self._clue(missing[0])}"
        wrong = [name for name in right if not _agree(predicted[name], right[name])]
        if not wrong:
            return None
        return (
            f"{len(right) - len(wrong)} of {len(right)} entries are right. The first that is not: {wrong[0]}. You "
            f"predict {predicted[wrong[0]]!r}. {self._clue(wrong[0])}"
        )

    def _first_name(self, predicted: list[str], right: list[str]) -> str | None:
        """The first name of a list that is wrong or missing."""
        if predicted == right:
            return None
        same = next((i for i, (a, b) in enumerate(zip(predicted, right, strict=False)) if a != b), None)
        if same is None and len(predicted) < len(right):
            return f"The {len(predicted)} names are right, but the program visits more."
        if same is None:
            same = len(right)
        begin = f"The first {same} are right. " if same else ""
        return f"{begin}Number {same + 1} is not {predicted[same]!r}. {self._clue(predicted[same])}"

    def _clue(self, name: str) -> str:
        return self.clues.get(name, self.clues.get("", "")).strip()

    def twin(self, twins: Any) -> Named:
        """Whether the library's prediction is right for torch, too."""
        if self.with_torch:
            tensors = self.reading.program(twins.torch)
            yield "the program's loss (the program stays as it is)", np.array(tensors["loss"].item())
            right = self.observed(tensors)
            yield "whether the prediction is right", np.array(self._parted(self.reading.prediction(), right) is None)


def _agree(predicted: Any, right: Any) -> bool:
    """Whether an entry is right; a tuple, a Size or an array counts as a list, and None as "none"."""
    if isinstance(predicted, np.ndarray):
        predicted = predicted.tolist()
    if isinstance(predicted, tuple):
        predicted = list(predicted)
    return bool(predicted == right) or (predicted is None and right == "none")


def _grads(tensors: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each Tensor's .grad, without the loss's and the score's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that h is no leaf
        yield from [(name, tensor.grad) for name, tensor in tensors.items() if name not in ("loss", "score")]


def _grad_shapes(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: None if grad is None else list(grad.shape) for name, grad in _grads(tensors)}


def _grad_kinds(tensors: dict[str, Any]) -> dict[str, Any]:
    return {
        name: "none" if grad is None else "numbers" if bool((grad != 0).any()) else "zero"
        for name, grad in _grads(tensors)
    }


def _printed_tape(tensors: dict[str, Any]) -> dict[str, Any]:
    """print_tape's operations, and where each sends its gradients."""
    text = io.StringIO()
    print_tape(tensors["loss"], file=text)
    tape: dict[str, Any] = {}
    for line in text.getvalue().splitlines():
        if found := re.match(r"(#\d+)  (\w+)", line):
            tape[key := " ".join(found.groups())] = []
        elif " input " in line:
            tape[key].append(line.partition("sends its gradient to ")[2] or None)
    return tape


def _visits_of(tensors: dict[str, Any]) -> list[str]:
    """The names of the results in the order in which backward visits their operations."""
    visited: list[str] = []
    for name, tensor in tensors.items():
        tensor.register_hook(lambda grad, name=name: visited.append(name))
    tensors["loss"].backward()
    return visited


GRADIENT_SHAPES = Prediction(
    reading.GradientShapes,
    _grad_shapes,
    {
        "x": "Does x require a gradient?",
        "W": "Which shape must .grad have, so that an optimizer can subtract it from W?",
        "b": "b was broadcast to 2 rows, but b itself has one. Which shape fits b?",
        "row": "A gradient has exactly the shape of its Tensor, with the axes of size 1.",
        "scale": "scale is a single number, a Tensor without axes. What is its shape?",
        "": "The names are x, W, b, row and scale.",
    },
)
NONE_OR_ZERO = Prediction(
    reading.NoneOrZero,
    _grad_kinds,
    {
        "data": "Does anything say that data requires a gradient?",
        "w": "Change w a little: does the loss change?",
        "negative": "The walk back passes through relu, and then arrives. What does it bring along?",
        "cut": "What does detach() do to the way back?",
        "times_zero": "The walk back follows the operations, not their values. Does it arrive at times_zero?",
        "unused": "score was computed from it. But does the loss depend on score?",
        "h": "h requires a gradient, and the walk passes through it. But which Tensors keep theirs in .grad?",
        "": 'Seven names, each with "none", "zero" or "numbers".',
    },
)
TAPE = Prediction(
    reading.Tape,
    _printed_tape,
    {
        "#1 SumBackward0": "The sum has one input, y.",
        "#2 MulBackward0": "y = u * h: its first gradient goes to the operation that made u, its second to h's.",
        "#3 ExpBackward0": "exp has one input, the sum h + b.",
        "#4 AddBackward0": "h + b: an operation made h, but none made b. The first leaf that the list meets is leaf 1.",
        "#5 MulBackward0": "h = x * w: does x require a gradient?",
        "more": "Each operation is listed once, however often its result was used.",
        "": "The list begins with the operation that made the loss, and goes back in time. A key is a number and a "
        "name, such as '#2 MulBackward0'.",
    },
    with_torch=False,
)
VISITING_ORDER = Prediction(
    reading.VisitingOrder,
    _visits_of,
    {
        "loss": "Each operation is visited once.",
        "y": "y was made just before the loss.",
        "s": "An operation must wait until everything that used its result has been visited.",
        "v": "Two operations used u, and v is one of them. Which of those still waiting was made last?",
        "u": "Another operation that used u has not been visited yet, so u's gradient is not complete.",
        "h": "Three operations used h. All of them come before it.",
        "size": "backward starts at the loss. Can it reach size from there?",
        "w": "w is a leaf: no operation made it.",
        "": "The names are those in the dict that program returns.",
    },
)
