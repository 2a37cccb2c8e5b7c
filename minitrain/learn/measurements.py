"""Probes: small computations that use a learner's piece, and the arrays that they result in.

Each probe runs twice: in the child process, with the learner's piece, and in the parent process, with the library's.
checking.py compares the results.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from minitrain import ops, optim
from minitrain.ops import Array, Context, Function
from minitrain.tensor import Tensor, wrap

if TYPE_CHECKING:
    from minitrain.diagnosis.finite_differences import _Measured
    from minitrain.diagnosis.loopcheck import LoopReport

Named = Iterator[tuple[str, Array]]
NUMPY = str(Path(np.__file__).parent)


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


class Probe(abc.ABC):
    """A computation that uses a piece of the library."""

    kind: ClassVar[Literal["gradcheck", "updates", "values"]]

    @abc.abstractmethod
    def arrays(self) -> Named:
        """Pairs of a label ("case\\nwhat", or "what") and an array. Exceptions get the case as a note."""

    def report(self) -> Found:
        """What is wrong or right according to a measurement or a formula, without the library's piece."""
        return Found()

    @abc.abstractmethod
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
        problem = f"None for {what}. Is a return missing?"
    elif isinstance(value, Tensor):
        problem = f"a Tensor for {what}; expected an array. A Tensor's array is .array."
    elif not isinstance(value, np.ndarray | np.generic | int | float):
        problem = f"a {type(value).__name__} for {what}; expected an array."
    elif (array := np.asarray(value)).dtype.kind not in "fiub":
        problem = f"{what} with dtype {array.dtype}; expected real numbers."
    else:
        return array
    raise ContractError(f"{function} returned {problem}", function)


def _gradcheck(label: str, function: Any, inputs: Sequence[Any], names: Sequence[str], **how: Any) -> Found:
    """gradcheck's report if it fails, or else how many derivatives it measured. names: of the inputs."""
    from minitrain.diagnosis.gradcheck import check_gradients  # here and below, so that a list of exercises is fast
    from minitrain.diagnosis.gradcheck_report import GradcheckError

    with noting(label):
        try:
            report = check_gradients(function, list(inputs), **how)
        except GradcheckError as error:
            return Found(f"Case: {label}\n{_in_the_exercises_names(str(error), names)}")
    if not report.ok:
        return Found(f"Case: {label}\n{_in_the_exercises_names(str(report), names)}")
    return Found(measured=sum(found.entries for found in report.inputs))


def _in_the_exercises_names(report: str, names: Sequence[str]) -> str:
    """gradcheck's report, with the inputs called as the piece calls them, and dL/dy as its parameter is called."""
    for number, name in enumerate(names):
        report = re.sub(rf"\binput {number}\b", name, report)
    return report.replace("grad_output", "grad_y")


def finite_differences(function: Any, x: Tensor) -> _Measured:
    """gradcheck's measurement of a function of one Tensor."""
    from minitrain.diagnosis.checked_function import as_problem
    from minitrain.diagnosis.finite_differences import _Measured

    return _Measured(as_problem(function, (x.requires_grad_(),), {}, None, None), 1e-6)


@contextlib.contextmanager
def nan_in_new_memory(library: str) -> Iterator[list[int]]:
    """Fill the arrays of np.empty and np.empty_like with nan, so that a result never depends on what lay there.

    library: the folder whose own code gets them as they are, as NumPy's does. Yields a list, which collects the lines
    outside it that ask for such an array.
    """
    lines: list[int] = []
    originals: dict[str, Callable[..., Array]] = {"empty": np.empty, "empty_like": np.empty_like}

    def filled(original: Callable[..., Array]) -> Callable[..., Array]:
        def make(*args: Any, **kwargs: Any) -> Array:
            array = original(*args, **kwargs)
            caller = sys._getframe(1)
            line = linecache.getline(caller.f_code.co_filename, caller.f_lineno)
            own = not caller.f_code.co_filename.startswith((library, NUMPY))
            if own and "empty" in line:  # np.random.rand, written in C, calls np.empty as if the learner did
                lines.append(caller.f_lineno)
                array[...] = np.nan if array.dtype.kind in "fc" else 0
            return array

        return make

    for name, original in originals.items():
        setattr(np, name, filled(original))
    try:
        yield lines
    finally:
        for name, original in originals.items():
            setattr(np, name, original)


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
class Operation(Probe):
    """forward and backward of an operation of ops/, by its name, in several cases."""

    kind = "gradcheck"
    name: str
    cases: Sequence[Case]

    @property
    def _operation(self) -> type[Function]:
        operation: type[Function] = getattr(ops, self.name)
        return operation

    @property
    def _input_names(self) -> list[str]:
        return _parameters(self._operation.forward)[1 : 1 + len(self.cases[0].inputs)]  # without ctx and options

    def arrays(self) -> Named:
        """The result and the gradients of each case. All inputs are read-only."""
        forward, backward = f"{self.name}.forward", f"{self.name}.backward"
        for case in self.cases:
            with noting(case.label):
                ctx = Context(case.needed())
                y = as_array(self._operation.forward(ctx, *map(frozen, case.inputs), **case.options), "y", forward)
                yield f"{case.label}\ny", y.copy()
                for saved in (y, *ctx.saved_arrays):
                    if isinstance(saved, np.ndarray):
                        saved.flags.writeable = False
                gradients = self._one_for_each_input(self._operation.backward(ctx, frozen(_grad_of(y))))
                for name, needed, grad in zip(self._input_names, case.needed(), gradients, strict=True):
                    if needed and grad is None and len(gradients) > 1:
                        raise ContractError(
                            f"{backward} returned None for {name}, which requires a gradient.", backward
                        )
                    if needed:
                        yield f"{case.label}\ndL/d{name}", as_array(grad, f"dL/d{name}", backward).copy()

    def _one_for_each_input(self, returned: Any) -> tuple[Any, ...]:
        """What backward returned, as a tuple."""
        names, backward = self._input_names, f"{self.name}.backward"
        if len(names) == 1 and not isinstance(returned, tuple):
            return (returned,)
        if isinstance(returned, tuple) and len(returned) == len(names):
            return returned
        if isinstance(returned, tuple):
            found = f"{len(returned)} of them."
        else:
            found = "None. Is a return missing?" if returned is None else f"a {type(returned).__name__}."
        raise ContractError(
            f"{backward} must return a tuple with a gradient for each input ({', '.join(names)}), or None for an input "
            f"that requires none; it returned {found}",
            backward,
        )

    def report(self) -> Found:
        """gradcheck's report on the first case that fails."""
        measured = 0
        for case in self.cases:
            if case.measured:
                how = {"options": case.options, "needs_input_grad": case.needed()}
                found = _gradcheck(case.label, self._operation, case.inputs, self._input_names, **how)
                if found.wrong is not None:
                    return found
                measured += found.measured
        return Found(measured=measured)

    def twin(self, twins: Any) -> Named:
        """torch's result and gradients."""
        for case in self.cases:
            y, gradients = twins.operation(self.name, case.inputs, case.options, case.needed(), _grad_of)
            yield f"{case.label}\ny", y
            for name, grad in zip(self._input_names, gradients, strict=True):
                if grad is not None:
                    yield f"{case.label}\ndL/d{name}", grad


def _grad_of(y: Array) -> Array:
    """dL/dy."""
    return numbers(*y.shape, seed=7).astype(y.dtype)


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


# --- a graph ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Graph(Probe):
    """A function of Tensors, minitrain's or torch's, and backward through its graph.

    passes: how often to run the function and its backward without clearing the gradients.
    """

    kind = "gradcheck"
    label: str
    function: Callable[..., Any]
    inputs: Sequence[Array]
    passes: int = 1
    measured: bool = True

    def _leaves(self) -> list[Tensor]:
        return [wrap(x.copy()).requires_grad_() for x in self.inputs]

    def arrays(self) -> Named:
        """The result, and each leaf's .grad."""
        with noting(self.label):
            leaves = self._leaves()
            for _ in range(self.passes):
                y = self.function(*leaves)
                y.backward(wrap(_grad_of(y.array)))
            yield f"{self.label}\ny", y.array.copy()
            for name, leaf in zip(_parameters(self.function), leaves, strict=True):
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
        return _gradcheck(self.label, self.function, self._leaves(), _parameters(self.function))

    def twin(self, twins: Any) -> Named:
        """torch's result and gradients."""
        y, gradients = twins.graph(self.function, self.inputs, self.passes, _grad_of)
        yield f"{self.label}\ny", y
        for name, grad in zip(_parameters(self.function), gradients, strict=True):
            yield f"{self.label}\ndL/d{name}", grad


# --- an optimizer -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Updates(Probe):
    """Several steps of an optimizer, by its name in minitrain.optim, with each of several sets of options.

    rule: the formula that the steps must follow. The learning rate is halved before the last two steps. The gradients
    are read-only.
    """

    kind = "updates"
    name: str
    rule: Literal["sgd", "rmsprop", "adam"]
    options: Sequence[dict[str, Any]]
    steps: int = 5

    def arrays(self) -> Named:
        """The parameter after each step."""
        for options in self.options:
            with noting(_said(options)):
                param = wrap(_start())
                optimizer = getattr(optim, self.name)([param], **options)
                for step in range(self.steps):
                    if step == self.steps - 2:
                        optimizer.param_groups[0]["lr"] *= 0.5
                    param.grad = wrap(frozen(_gradient(step)))
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
            gradients = [_gradient(step) for step in range(self.steps)]
            for step, param in enumerate(twins.updates(self.name, options, _start(), gradients)):
                yield f"{_said(options)}\nthe parameter after step {step + 1}", param


def _start() -> Array:
    """The parameter's initial values."""
    return numbers(3, 4, seed=11)


def _gradient(step: int) -> Array:
    """The gradient in a step, counted from 0. Its values are large and small, so that eps matters."""
    return np.asarray(numbers(3, 4, seed=20 + step) * np.array([1.0, 0.1, 1e-3, 3.0]))


def _said(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"


# --- any other function -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Values(Probe):
    """The results of any function: pairs of a name and an array or a number.

    torchs: gives torch's values for some of the names; called with the module with_torch.exercise_references.
    checked: for a loop, runs check_loop on it.
    """

    kind = "values"
    function: Callable[[], Iterator[tuple[str, Any]]]
    torchs: Callable[[Any], Named] | None = None
    checked: Callable[[], LoopReport] | None = None

    def arrays(self) -> Named:
        """The arrays."""
        for name, value in self.function():
            array = np.array(value)
            if array.dtype == object:
                raise ContractError(f"Expected numbers for {name}, but got {value!r}. Is a return missing?", "")
            yield name, array

    def report(self) -> Found:
        """check_loop's report."""
        report = None if self.checked is None else self.checked()
        return Found() if report is None else Found(right=str(report)) if report.ok else Found(str(report))

    def twin(self, twins: Any) -> Named:
        """torch's values."""
        return self.torchs(twins) if self.torchs is not None else iter(())
