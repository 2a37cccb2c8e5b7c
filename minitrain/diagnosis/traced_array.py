"""Records what a forward on arrays computes: an array that notes each NumPy call it takes part in.

The record is a graph of Steps. It gives the gradient of every value on the way, not of the inputs alone: from the last
Step back, each Step's derivative is measured by itself.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any

import numpy as np

from minitrain.ops import Array, unbroadcast

LARGEST = 2_000_000  # numbers in the Jacobian of one step
MOST = 600  # steps
_NUMPY = os.path.dirname(np.__file__) + os.sep
Line = tuple[str, int, int]  # the file, the line, the place in the code


class UntraceableError(Exception):
    """The forward does something that is not recorded."""


@dataclasses.dataclass
class Step:
    """One NumPy call, or an input of the forward (then run is None).

    run: computes the result from the arguments' arrays. arguments: for each of them, the number of its Step.
    lines: where it was called, the line of the forward itself first.
    """

    name: str
    arguments: tuple[int, ...]
    value: Array
    run: Callable[[Sequence[Array]], Array] | None = None
    elementwise: bool = False
    lines: tuple[Line, ...] = ()
    constants: tuple[Array, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Slot:
    place: int


def _filled(structure: Any, values: Sequence[Array]) -> Any:
    """The structure with the values in its slots."""
    if isinstance(structure, _Slot):
        return values[structure.place]
    if type(structure) in (list, tuple):
        return type(structure)(_filled(part, values) for part in structure)
    if type(structure) is dict:
        return {key: _filled(part, values) for key, part in structure.items()}
    return structure


class Tape:
    """The Steps, in order. names: what the forward calls their results."""

    def __init__(self, forward: CodeType | None) -> None:
        self.steps: list[Step] = []
        self.names: dict[int, str] = {}
        self._forward = forward

    def put(self, value: Array, step: Step) -> Traced:
        if len(self.steps) >= MOST:
            raise UntraceableError("too many steps")
        step.value = np.array(value, np.float64)
        self.steps.append(step)
        traced = np.array(value).view(Traced)
        traced._tape, traced._number = self, len(self.steps) - 1
        return traced

    def watched(self, array: Any) -> Any:
        """The array, which depends on no input, but notes what is written into it."""
        if isinstance(array, np.ndarray):
            array = array.view(Traced)
            array._tape = self
        return array

    @contextlib.contextmanager
    def watching_new_arrays(self) -> Iterator[None]:
        """Watch the arrays that np.zeros and similar functions make, and follow what np.array and np.asarray copy."""

        def watching(make: Callable[..., Array]) -> Callable[..., Array]:
            def made(*args: Any, **kwargs: Any) -> Any:
                by_numpy = sys._getframe(1).f_code.co_filename.startswith(_NUMPY)
                return make(*args, **kwargs) if by_numpy else self.watched(make(*args, **kwargs))

            return made

        def following(make: Callable[..., Array]) -> Callable[..., Array]:
            def made(held: Any, *args: Any, **kwargs: Any) -> Any:
                caller = sys._getframe(1).f_code.co_filename
                if args or kwargs or caller == __file__ or caller.startswith(_NUMPY):
                    return make(held, *args, **kwargs)
                if isinstance(held, Traced):
                    return self.record("copy", np.copy, (held,), {}, True)
                arrays = isinstance(held, list | tuple) and any(isinstance(each, Traced) for each in held)
                if arrays and len({np.shape(each) for each in held}) == 1:
                    return self.record("stack", np.stack, (list(held),), {})
                return make(held)

            return made

        makers, copiers = ("zeros", "empty", "ones", "full"), ("array", "asarray", "ascontiguousarray")
        originals = {name: getattr(np, name) for name in (*makers, *copiers)}
        try:
            for name, make in originals.items():
                setattr(np, name, (watching if name in makers else following)(make))
            yield
        finally:
            for name, make in originals.items():
                setattr(np, name, make)

    def record(
        self, name: str, call: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], elementwise: bool = False
    ) -> Any:
        """Run a call on the arrays inside; results of floats come back traced."""
        numbers: list[int] = []
        arrays: list[Array] = []
        constants: list[Array] = []

        def slotted(part: Any) -> Any:
            if isinstance(part, Traced):
                number = part._number if part._number is not None else self._recovered(part)
                if number is None:
                    return plain(part)
                numbers.append(number)
                arrays.append(self.steps[number].value)
                return _Slot(len(numbers) - 1)
            if isinstance(part, np.ndarray):
                constants.append(part)
            if type(part) in (list, tuple):
                return type(part)(slotted(each) for each in part)
            return {key: slotted(each) for key, each in part.items()} if type(part) is dict else part

        form = slotted((tuple(args), dict(kwargs)))
        lines = self._lines()

        def run(values: Sequence[Array]) -> Any:
            filled, keywords = _filled(form, values)
            return call(*filled, **keywords)

        def traced(result: Any, pick: Callable[[Any], Any]) -> Any:
            if isinstance(result, list | tuple):
                return type(result)(
                    traced(part, functools.partial(lambda i, whole: pick(whole)[i], i)) for i, part in enumerate(result)
                )
            if not numbers or not isinstance(result, np.ndarray | np.floating) or np.asarray(result).dtype.kind != "f":
                return result
            of = Step(name, tuple(numbers), np.zeros(0), lambda v: np.asarray(pick(run(v))), elementwise, lines)
            of.constants = tuple(constants)
            return self.put(np.asarray(result), of)

        return traced(run(arrays), lambda whole: whole)

    def _recovered(self, lost: Traced) -> int | None:
        """Record what is lost of constant.dot(array), which NumPy runs without asking: found by its value."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        for _ in range(4):
            if frame is None:
                return None
            owners = [*frame.f_locals.values()]
            held = [value for owner in owners if hasattr(owner, "__dict__") for value in vars(owner).values()]
            for constant in [*owners, *held, *frame.f_globals.values()]:
                if type(constant) is not np.ndarray or constant.ndim != 2 or constant.dtype.kind not in "fiub":
                    continue
                for number, step in enumerate(self.steps):
                    if step.value.ndim and step.value.shape[-2:][0] == constant.shape[1] and step.value.ndim < 3:
                        product = constant.dot(step.value)
                        if product.shape == lost.shape and np.array_equal(product, plain(lost)):
                            lines = self._lines()
                            run = functools.partial(lambda values, by: by.dot(values[0]), by=constant)
                            of = Step("dot", (number,), np.zeros(0), run, False, lines)
                            of.constants = (constant,)
                            lost._tape, lost._number = self, self.put(product, of)._number
                            return lost._number
            frame = frame.f_back
        return None

    def _lines(self) -> tuple[Line, ...]:
        frame: FrameType | None = sys._getframe(2)
        found: list[Line] = []
        while frame is not None and len(found) < 12:
            code = frame.f_code
            if code.co_filename != __file__ and not code.co_filename.startswith(_NUMPY):
                found.append((code.co_filename, frame.f_lineno, frame.f_lasti))
            if code is self._forward:
                break
            frame = frame.f_back
        return tuple(reversed(found))


def plain(array: Any) -> Any:
    """The array without its tape."""
    return array.view(np.ndarray) if isinstance(array, Traced) else array


# Functions that change as much from x to 2 x at any size of x: log at 1e-6 needs a step smaller than that.
OF_ANY_SIZE = ("log", "log2", "log10", "sqrt", "cbrt", "reciprocal", "divide", "true_divide", "power", "float_power")
ELEMENTWISE = ("where", "clip", "nan_to_num", "copy")


class Traced(np.ndarray):
    """An array that notes on its tape each call it takes part in."""

    __array_priority__ = 100.0  # constant.dot(array) gives a Traced, too
    _tape: Tape
    _number: int | None = None

    def __array_finalize__(self, made_of: Any) -> None:
        if hasattr(made_of, "_tape"):
            self._tape = made_of._tape

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if method == "at":  # not recorded: what depends on it counts as a constant
            getattr(ufunc, method)(*map(plain, inputs), **kwargs)
            if isinstance(inputs[0], Traced):
                inputs[0]._number = None
            return None
        tape = next(x._tape for x in (*inputs, *(out or ()), self) if isinstance(x, Traced) and hasattr(x, "_tape"))
        elementwise = method == "__call__" and ufunc.signature is None and ufunc.nout == 1
        result = tape.record(ufunc.__name__, getattr(ufunc, method), inputs, kwargs, elementwise)
        if out is None:
            return result
        plain(out[0])[...] = plain(result)
        if isinstance(out[0], Traced):
            out[0]._number = result._number if isinstance(result, Traced) else None
        return out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            raise UntraceableError("out=")
        return self._tape.record(func.__name__, func, args, kwargs, func.__name__ in ELEMENTWISE)

    def __getitem__(self, index: Any) -> Any:
        result = self._tape.record("[...]", lambda array, at: array[at], (self, index), {})
        return self._tape.watched(result) if self._number is None else result  # for y[i] += x

    def __setitem__(self, index: Any, value: Any) -> None:
        def written(array: Array, at: Any, what: Any) -> Array:
            array = array.copy()
            array[at] = what
            return array

        new = self._tape.record("[...] =", written, (self, index, value), {})
        plain(self)[...] = plain(new)
        self._number = new._number if isinstance(new, Traced) else None

    @property
    def T(self) -> Any:  # noqa: N802 (NumPy's name)
        return self.transpose()


def _method(name: str) -> Callable[..., Any]:
    def method(self: Traced, *args: Any, **kwargs: Any) -> Any:
        return self._tape.record(name, getattr(np.ndarray, name), (self, *args), kwargs, name in ELEMENTWISE)

    return method


for _name in [
    "sum",
    "mean",
    "max",
    "min",
    "var",
    "std",
    "prod",
    "cumsum",
    "reshape",
    "transpose",
    "dot",
    "ravel",
    "flatten",
    "squeeze",
    "swapaxes",
    "copy",
    "take",
    "clip",
    "astype",
    "repeat",
    "diagonal",
    "trace",
]:
    setattr(Traced, _name, _method(_name))


Sent = list[tuple[int, Array]]  # what a step sends back, and to which
Back = Callable[[Array], Sent]


@dataclasses.dataclass(frozen=True)
class Walk:
    """A way back. grads: the gradient of each value. changed: the steps that send back something else.

    sent: what each step sent back. before: the gradients when its turn came.
    """

    grads: Mapping[int, Array]
    changed: Mapping[int, Back]
    sent: dict[int, Sent]
    before: dict[int, dict[int, Array]]


class Graph:
    """What a forward computed, and its gradients.

    inputs: the Steps' numbers of the inputs that are traced. result: that of the result.
    """

    def __init__(self, tape: Tape, inputs: Sequence[int], result: int) -> None:
        self.steps, self.names, self.inputs, self.result = tape.steps, tape.names, list(inputs), result
        self._locals: dict[tuple[int, int], Array] = {}
        used = {result}
        for number in range(result, -1, -1):
            if number in used:
                used.update(self.steps[number].arguments)
        self.used = sorted(used)
        self.below: dict[int, set[int]] = {}  # for each step, the inputs it was computed from
        for number in self.used:
            own = {number} & set(inputs)
            self.below[number] = own.union(*(self.below[i] for i in self.steps[number].arguments))

    def derivative(self, number: int, slot: int, at: Sequence[Array] | None = None) -> Array:
        """The derivative by one argument: of its elements, in the result's shape, if the step is elementwise; else the
        Jacobian (argument's size, result's size). at: other arguments than those of the forward."""
        if at is None and (number, slot) in self._locals:
            return self._locals[number, slot]
        step = self.steps[number]
        values = [self.steps[i].value for i in step.arguments] if at is None else list(at)
        assert step.run is not None
        x = values[slot]
        if step.elementwise:
            least = np.where(x == 0, 1.0, 0.0) if step.name in OF_ANY_SIZE else 1.0
            h = 1e-6 * np.maximum(least, np.abs(x))
            up = step.run([*values[:slot], x + h, *values[slot + 1 :]])
            down = step.run([*values[:slot], x - h, *values[slot + 1 :]])
            found = (up - down) / (2 * h)
        else:
            if x.size * step.value.size > LARGEST:
                raise UntraceableError("a Jacobian is too large")
            found = np.empty((x.size, step.value.size))
            moved = x.copy()
            values[slot] = moved
            for j in range(x.size):
                before = moved.flat[j]
                h = 1e-6 * max(1.0, abs(before))
                moved.flat[j] = before + h
                up = np.array(step.run(values))
                moved.flat[j] = before - h
                found[j] = (up - step.run(values)).reshape(-1) / (2 * h)
                moved.flat[j] = before
        if at is None:
            self._locals[number, slot] = found
        return found

    def through(self, number: int, slot: int, grad: Array, at: Sequence[Array] | None = None) -> Array:
        """What a step sends back to one argument, given the gradient of its result."""
        found = self.derivative(number, slot, at)
        shape = self.steps[self.steps[number].arguments[slot]].value.shape
        return (
            unbroadcast(grad * found, shape)
            if self.steps[number].elementwise
            else (found @ grad.reshape(-1)).reshape(shape)
        )

    def walk(self, grad: Array, changed: Mapping[int, Back]) -> Walk:
        """The way back from the result's gradient. changed: of some steps, what else they send back, and to which."""
        return self._walked(Walk({self.result: grad}, changed, {}, {}), self.used)

    def walk_again(self, walk: Walk, changed: Mapping[int, Back]) -> Walk:
        """The same way back with further changes. Only what they change is computed again."""
        first = max((n for n in changed if n in walk.before), default=-1)
        if first < 0:
            return walk
        start = Walk(walk.before[first], {**walk.changed, **changed}, {}, {})
        return self._walked(start, self.used[: bisect.bisect_right(self.used, first)], walk, {*changed})

    def _walked(
        self, walk: Walk, numbers: Sequence[int], base: Walk | None = None, dirty: set[int] | None = None
    ) -> Walk:
        """Walk back over these steps. base: a walk that sends the same, except from the dirty steps on."""
        grads, dirty = dict(walk.grads), dirty or set()
        for number in reversed(numbers):
            step = self.steps[number]
            if number not in grads or step.run is None:
                continue
            if base is None:
                walk.before[number] = dict(grads)
            if base is not None and number not in dirty and number in base.sent:
                sent = base.sent[number]
            elif number in walk.changed:
                sent = walk.changed[number](grads[number])
            else:
                sent = [(i, self.through(number, k, grads[number])) for k, i in enumerate(step.arguments)]
            if base is None:
                walk.sent[number] = sent
            elif number in dirty:
                dirty.update(target for target, _ in base.sent.get(number, ()))
                dirty.update(target for target, _ in sent)
            for target, part in sent:
                grads[target] = grads[target] + part if target in grads else part
        return dataclasses.replace(walk, grads=grads)


def trace(
    forward: Callable[..., Any], code: CodeType | None, inputs: Sequence[Any], checked: Sequence[int], kept: Any
) -> Graph:
    """Run forward(*inputs) with the checked inputs traced. kept: what gives the values that forward left, by name.

    Raises UntraceableError if the result cannot be followed back to them, or whatever forward raises.
    """
    tape = Tape(code)
    given = list(inputs)
    for i in checked:
        given[i] = tape.put(given[i], Step("", (), np.zeros(0)))

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            for name, value in frame.f_locals.items():
                if isinstance(value, Traced) and value._number is not None:
                    tape.names.setdefault(value._number, name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with tape.watching_new_arrays():
            y = forward(*given)
    finally:
        sys.setprofile(before)
    for name, value in kept():
        if isinstance(value, Traced) and value._number is not None:
            tape.names.setdefault(value._number, name)
    if isinstance(y, Traced) and y._number is not None:
        return Graph(tape, range(len(checked)), y._number)
    alike = [i for i, step in enumerate(tape.steps) if np.array_equal(step.value, y)]  # float(loss), loss.item()
    if not alike or alike[-1] < len(checked):
        raise UntraceableError("the result is not traced")
    return Graph(tape, range(len(checked)), alike[-1])
