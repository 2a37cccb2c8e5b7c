"""Probes: small computations that use a learner's piece, and the arrays that they result in.

Each probe runs twice: in the child process, with the learner's piece, and in the parent process, with the library's.
checking.py compares the results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from minitrain import ops, optim
from minitrain.ops import Array, Context, Function
from minitrain.tensor import Tensor, wrap

Named = Iterator[tuple[str, Array]]


class ContractError(Exception):
    """A function returned something that it must not return. function: its name in the module, `ReLU.backward`."""

    def __init__(self, message: str, function: str) -> None:
        super().__init__(message)
        self.function = function


class Found(NamedTuple):
    """A finding. wrong: what is wrong, or None. right: what is right. measured: how many derivatives were measured."""

    wrong: str | None = None
    right: str = ""
    measured: int = 0


class Probe(Protocol):
    """A computation that uses a piece of the library."""

    kind: ClassVar[Literal["gradcheck", "updates", "values"]]

    def arrays(self) -> Named:
        """Pairs of a label ("case\\nwhat", or "what") and an array. Exceptions get the case as a note."""

    def report(self) -> Found:
        """What is wrong or right according to a measurement or a formula, without the library's piece."""

    def twin(self, twins: Any) -> Named:
        """torch's values for some of the arrays; twins is the module with_torch.exercise_references."""


def numbers(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    """Random numbers in float64, the same every time."""
    drawn: Array = np.random.RandomState(seed).uniform(low, high, shape)
    return drawn


def frozen(array: Any) -> Any:
    """A read-only copy: code that writes into it raises at that line."""
    if not isinstance(array, np.ndarray):
        return array
    copied = array.copy(order="K")
    copied.flags.writeable = False
    return copied


def as_array(value: Any, what: str, function: str) -> Array:
    """What a function returned, as an array; raises ContractError if it is not an array."""
    if value is None:
        raise ContractError(f"{function} returned None for {what}. Is a return missing?", function)
    if isinstance(value, Tensor):
        raise ContractError(
            f"{function} returned a Tensor for {what}; expected an array. A Tensor's array is .array.", function
        )
    if not isinstance(value, np.ndarray | np.generic | int | float):
        raise ContractError(f"{function} returned a {type(value).__name__} for {what}; expected an array.", function)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ContractError(f"{function} returned {what} with dtype {array.dtype}; expected real numbers.", function)
    return array


def _measured(label: str, function: Any, inputs: Sequence[Any], **how: Any) -> tuple[str | None, int]:
    """Run gradcheck: its report if it fails (else None), and how many entries it measured."""
    from minitrain.autograd import GradcheckError, check_gradients

    with noting(label):
        try:
            report = check_gradients(function, list(inputs), **how)
        except GradcheckError as error:
            return f"Case: {label}\n{error}", 0
    if not report.ok:
        return f"Case: {label}\n{report}", 0
    return None, sum(found.entries for found in report.inputs)


@contextlib.contextmanager
def noting(label: str) -> Iterator[None]:
    """Add the case to every exception as a note."""
    try:
        yield
    except Exception as error:
        error.add_note(label)
        raise


# --- an operation -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """The inputs of an operation (arrays, numbers, None), its options, and which inputs require a gradient.

    needs: None means all float arrays. measured: whether to measure numeric gradients. They are not reliable in
    float32, or where a step crosses a kink or overflows.
    """

    label: str
    inputs: Sequence[Any]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    needs: tuple[bool, ...] | None = None
    measured: bool = True

    def needed(self) -> tuple[bool, ...]:
        """For each input, whether it requires a gradient."""
        if self.needs is not None:
            return self.needs
        return tuple([isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in self.inputs])


@dataclasses.dataclass(frozen=True)
class Operation:
    """forward and backward of an operation of ops/, by its name, in several cases."""

    kind: ClassVar[Literal["gradcheck", "updates", "values"]] = "gradcheck"
    name: str
    cases: Sequence[Case]

    @property
    def _operation(self) -> type[Function]:
        operation: type[Function] = getattr(ops, self.name)
        return operation

    def arrays(self) -> Named:
        """The result and the gradients of each case. All inputs are read-only."""
        operation = self._operation
        names = list(inspect.signature(operation.forward).parameters)[1:]
        for case in self.cases:
            with noting(case.label):
                ctx = Context(case.needed())
                forward, backward = f"{self.name}.forward", f"{self.name}.backward"
                result = operation.forward(ctx, *map(frozen, case.inputs), **case.options)
                y = as_array(result, "y", forward)
                yield f"{case.label}\ny", y.copy()
                for saved in (y, *ctx.saved_arrays):
                    if isinstance(saved, np.ndarray):
                        saved.flags.writeable = False
                gradients = operation.backward(ctx, frozen(_grad_of(y)))
                if len(case.inputs) == 1 and not isinstance(gradients, tuple):
                    gradients = (gradients,)
                if not isinstance(gradients, tuple) or len(gradients) != len(case.inputs):
                    returned = f"a {type(gradients).__name__}."
                    if isinstance(gradients, tuple):
                        returned = f"{len(gradients)} of them."
                    if gradients is None:
                        returned = "None. Is a return missing?"
                    raise ContractError(
                        f"{backward} must return a tuple with a gradient for each input ({', '.join(names)}), or None "
                        f"for an input that requires none; it returned {returned}",
                        backward,
                    )
                for name, needed, grad in zip(names, case.needed(), gradients, strict=False):
                    if needed and grad is None and len(case.inputs) > 1:
                        raise ContractError(
                            f"{backward} returned None for {name}, which requires a gradient.", backward
                        )
                    if needed:
                        yield f"{case.label}\ndL/d{name}", as_array(grad, f"dL/d{name}", backward).copy()

    def report(self) -> Found:
        """gradcheck's report on the first case that fails."""
        entries = 0
        measured = [case for case in self.cases if case.measured]
        for case in measured:
            options, needs = case.options, case.needed()
            wrong, counted = _measured(
                case.label, self._operation, case.inputs, options=options, needs_input_grad=needs
            )
            if wrong is not None:
                return Found(wrong)
            entries += counted
        return Found(measured=entries)

    def twin(self, twins: Any) -> Named:
        """torch's result and gradients."""
        names = list(inspect.signature(self._operation.forward).parameters)[1:]
        for case in self.cases:
            needed = case.needed()
            y, gradients = twins.operation(self.name, case.inputs, case.options, needed, _grad_of)
            yield f"{case.label}\ny", y
            for name, grad in zip(names, gradients, strict=False):
                if grad is not None:
                    yield f"{case.label}\ndL/d{name}", grad


def _grad_of(y: Array) -> Array:
    """dL/dy."""
    return numbers(*y.shape, seed=7).astype(y.dtype)


# --- a graph ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function of Tensors, minitrain's or torch's, and backward through its graph.

    passes: how often to run the function and its backward without clearing the gradients.
    """

    kind: ClassVar[Literal["gradcheck", "updates", "values"]] = "gradcheck"
    label: str
    function: Callable[..., Any]
    inputs: Sequence[Array]
    passes: int = 1
    measured: bool = True

    def arrays(self) -> Named:
        """The result, and each leaf's .grad."""
        with noting(self.label):
            leaves = [wrap(x.copy()) for x in self.inputs]
            for leaf in leaves:
                leaf.requires_grad = True
            for _ in range(self.passes):
                y = self.function(*leaves)
                y.backward(wrap(_grad_of(y.array)))
            yield f"{self.label}\ny", y.array.copy()
            for name, leaf in zip(_names(self.function), leaves, strict=True):
                if leaf.grad is None:
                    raise ContractError(f"{name}.grad is None after backward: no gradient arrived at {name}", "")
                if not isinstance(leaf.grad, Tensor):
                    kind = type(leaf.grad).__name__
                    raise ContractError(f"{name}.grad is of type {kind} after backward; expected a Tensor", "")
                yield f"{self.label}\ndL/d{name}", leaf.grad.array.copy()

    def report(self) -> Found:
        """gradcheck's report."""
        if not self.measured:
            return Found()
        leaves = [wrap(x.copy()).requires_grad_() for x in self.inputs]
        wrong, entries = _measured(self.label, self.function, leaves)
        return Found(wrong, measured=entries)

    def twin(self, twins: Any) -> Named:
        """torch's result and gradients."""
        y, gradients = twins.graph(self.function, self.inputs, self.passes, _grad_of)
        yield f"{self.label}\ny", y
        for name, grad in zip(_names(self.function), gradients, strict=True):
            yield f"{self.label}\ndL/d{name}", grad


def _names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


# --- an optimizer -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Updates:
    """Several steps of an optimizer, by its name in minitrain.optim, with each of several sets of options.

    rule: the formula that the steps must follow. The learning rate is halved before the last two steps. The gradients
    are read-only.
    """

    kind: ClassVar[Literal["gradcheck", "updates", "values"]] = "updates"
    name: str
    rule: Literal["sgd", "rmsprop", "adam"]
    options: Sequence[dict[str, Any]]
    steps: int = 5

    def arrays(self) -> Named:
        """The parameter after each step."""
        for options in self.options:
            with noting(_said(options)):
                param = wrap(start_of_updates())
                optimizer = getattr(optim, self.name)([param], **options)
                for step in range(self.steps):
                    if step == self.steps - 2:
                        optimizer.param_groups[0]["lr"] *= 0.5
                    param.grad = wrap(frozen(gradient_of_step(step)))
                    optimizer.step()
                    yield f"{_said(options)}\nthe parameter after step {step + 1}", param.array.copy()

    def report(self) -> Found:
        """check_optimizer's report on the first options that fail."""
        from minitrain.diagnosis.optimcheck import check_optimizer

        for options in self.options:
            with noting(_said(options)):
                report = check_optimizer(getattr(optim, self.name), self.rule, options=options)
            if not report.ok:
                return Found(str(report))
        return Found(right=f"{self.name}: the steps follow the formula with all {len(self.options)} sets of options")

    def twin(self, twins: Any) -> Named:
        """torch's steps."""
        for options in self.options:
            gradients = [gradient_of_step(step) for step in range(self.steps)]
            for step, param in enumerate(twins.updates(self.name, options, start_of_updates(), gradients)):
                yield f"{_said(options)}\nthe parameter after step {step + 1}", param


def start_of_updates() -> Array:
    """The parameter's initial values."""
    return numbers(3, 4, seed=11)


def gradient_of_step(step: int) -> Array:
    """The gradient in a step, counted from 0. Its values are large and small, so that eps matters."""
    return np.asarray(numbers(3, 4, seed=20 + step) * np.array([1.0, 0.1, 1e-3, 3.0]))


def _said(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"


# --- any other function -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Values:
    """The results of any function: pairs of a name and an array or a number.

    torchs: gives torch's values for some of the names; called with the module with_torch.exercise_references.
    """

    kind: ClassVar[Literal["gradcheck", "updates", "values"]] = "values"
    function: Callable[[], Iterator[tuple[str, Any]]]
    torchs: Callable[[Any], Named] | None = None

    def arrays(self) -> Named:
        """The arrays."""
        for name, value in self.function():
            yield name, np.array(value)

    def report(self) -> Found:
        """No finding: these values can only be compared with the library's."""
        return Found()

    def twin(self, twins: Any) -> Named:
        """torch's values."""
        if self.torchs is not None:
            yield from self.torchs(twins)
