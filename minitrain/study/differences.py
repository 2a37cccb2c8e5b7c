"""Central differences of any entry of a step: the recorded operations, run again in float64 with one number changed.

    (L(v + eps) - L(v - eps)) / 2 eps

L is the loss: of all that backward was called on, Σ (gradient it was started with) · (value). Only the operations that
the changed tensor leads to are run again. What an operation drew at random and got as an input, such as Dropout's mask,
is what was recorded. An operation that gives another result when it is run again cannot be checked.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import ops
from minitrain.ops import Array, Context, Function

if TYPE_CHECKING:
    from minitrain.study.recording import Operation, Step

EPS = 1e-4
Index = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Difference:
    """The central difference of an entry: L with the value + eps and - eps, their quotient, and backward's number.

    kink: an operation has a kink within eps of here, and which; the quotient then mixes two slopes. "" if none has.
    """

    plus: float
    minus: float
    quotient: float
    gradient: float
    kink: str = ""

    def agrees(self, largest: float, largest_of_all: float) -> bool:
        """Whether quotient and gradient differ by rounding only.

        largest: the largest |gradient| of the array; largest_of_all: of the step. A gradient that is a sum of large
        terms that cancel is as inexact as these are.
        """
        rounding = 1e-3 * abs(self.gradient) + 1e-4 * largest + 1e-5 * largest_of_all + 1e-9
        return bool(abs(self.quotient - self.gradient) <= rounding)


# Which side of each of its kinks an operation is on.
SIDES: dict[type[Function], Callable[..., Array]] = {
    ops.ReLU: lambda x: x > 0,
    ops.LeakyReLU: lambda x, **_: x > 0,
    ops.ELU: lambda x, **_: x > 0,
    ops.Abs: np.sign,
    ops.Clamp: lambda x, min, max: (x >= (-np.inf if min is None else min)) & (x <= (np.inf if max is None else max)),
    ops.Hardtanh: lambda x, low, high: (x > low) & (x < high),
    ops.Maximum: lambda a, b: np.sign(a - b),
    ops.Minimum: lambda a, b: np.sign(a - b),
    ops.SmoothL1Loss: lambda x, target, beta: np.sign(x - target) if beta == 0 else np.abs(x - target) < beta,
    ops.Amax: lambda x, dim, keepdim: x == x.max(axis=dim, keepdims=True),
    ops.Max: lambda x, **_: x == x.max(),
}
FROM_CONTEXT: dict[type[Function], Callable[[Context], Array]] = {ops.MaxPool2d: lambda ctx: ctx.saved_arrays[0]}


class Replay:
    """The recorded operations, run again: `again` gives all results with some tensors' values replaced."""

    def __init__(self, step: Step, dtype: Any = np.float64) -> None:
        self._step, self._dtype = step, np.dtype(dtype)
        self.values: list[Array] = [self._cast(tensor.value) for tensor in step.tensors]
        self.sides: dict[int, Array] = {}
        self._again({}, range(len(step.ops)), self.values, self.sides)

    def _cast(self, x: Any) -> Any:
        return x.astype(self._dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x

    def _run(self, operation: Operation, values: Mapping[int, Array] | Sequence[Array]) -> tuple[Array, Array | None]:
        """An operation's result, and which side of its kinks it is on."""
        given = [values[x] if isinstance(x, int) else self._cast(x[1]) for x in operation.inputs]
        ctx = Context(tuple(False for _ in given))
        options = {name: self._dtype if name == "dtype" else x for name, x in operation.options.items()}
        with np.errstate(all="ignore"):
            result = self._moved_linear(operation, values) if operation.function is ops.Linear else None
            if result is None:
                result = np.asarray(operation.function.forward(ctx, *given, **options))
            side = None
            if operation.function in SIDES:
                side = np.asarray(SIDES[operation.function](*given, **options))
            elif operation.function in FROM_CONTEXT:
                side = FROM_CONTEXT[operation.function](ctx)
        return result, side

    def _moved_linear(self, operation: Operation, values: Any) -> Array | None:
        """A Linear's result where only some entries of its input changed: what they add to it. None otherwise."""
        x, *others = operation.inputs
        if values is self.values or self._dtype != np.float64 or not isinstance(x, int) or self.values[x].ndim != 2:
            return None
        if any(isinstance(i, int) and values[i] is not self.values[i] for i in others):
            return None
        weight = values[others[0]] if isinstance(others[0], int) else self._cast(others[0][1])
        moved = values[x] - self.values[x]
        rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
        few = len(columns) <= moved.shape[1] // 8 or len(rows) <= len(moved) // 8
        if not few or not np.isfinite(moved).all():
            return None
        result = self.values[operation.result].copy()
        result[rows] += moved[np.ix_(rows, columns)] @ weight[:, columns].T
        return result

    def _again(self, replaced: Mapping[int, Array], order: Iterable[int], into: Any, sides: dict[int, Array]) -> None:
        """Run these operations on what is in `into`, and leave their results there."""
        for number in order:
            operation = self._step.ops[number]
            if operation.result in replaced:
                continue
            into[operation.result], side = self._run(operation, into)
            if side is not None:
                sides[number] = side

    def nudged(self, tensor: int, index: Index, eps: float) -> tuple[list[Array], dict[int, Array]]:
        """All values with eps added to one entry of a tensor, and the sides of the operations that ran."""
        uses = self._step.tensors[tensor].used_by
        first = self._step.ops[uses[0][0]] if len(uses) == 1 else None
        if (
            first is not None
            and first.function is ops.Linear
            and not any(tensor == root for root, _ in self._step.roots)
        ):
            # It is linear in each input: to move its result is cheaper than to run it, and the same.
            changed = self.values[first.result].copy()
            x, weight = (self.values[i] if isinstance(i, int) else i[1] for i in first.inputs[:2])
            if uses[0][1] == 0:
                changed[index[:-1]] += eps * weight[:, index[-1]]
            else:
                changed[..., index[0]] += eps * (x[..., index[1]] if uses[0][1] == 1 else 1)
            return self.again({first.result: changed})
        changed = self.values[tensor].copy()
        changed[index] += eps
        return self.again({tensor: changed})

    @functools.cache  # noqa: B019, a Replay lives as long as its step is looked at
    def downstream(self, tensor: int) -> tuple[int, ...]:
        """The numbers of the operations that this tensor leads to, in order."""
        reached, found = {tensor}, []
        for number, operation in enumerate(self._step.ops):
            if any(isinstance(x, int) and x in reached for x in operation.inputs) and operation.result != tensor:
                reached.add(operation.result)
                found.append(number)
        return tuple(found)

    def again(self, replaced: Mapping[int, Array]) -> tuple[list[Array], dict[int, Array]]:
        """All values with these tensors replaced, and on which side of their kinks the operations that ran were."""
        into, sides = list(self.values), dict[int, Array]()
        for number, value in replaced.items():
            into[number] = value
        order = sorted({op for number in replaced for op in self.downstream(number)})
        self._again(replaced, order, into, sides)
        return into, sides

    def loss(self, values: Sequence[Array] | None = None) -> float:
        """Σ (gradient that backward was started with) · (value)."""
        values = self.values if values is None else values
        return float(sum(np.sum(grad.astype(np.float64) * values[number]) for number, grad in self._step.roots))


class Differences:
    """Central differences of a step's entries."""

    def __init__(self, step: Step, eps: float = EPS) -> None:
        self.step, self.eps = step, eps
        self.replay = Replay(step)
        self._same_twice = _same_twice(step)
        self._largest = [0.0 if x.grad is None else _largest(x.grad) for x in step.tensors]

    def not_checked(self, tensor: int) -> str:
        """Why a tensor's gradient cannot be checked; "" if it can be."""
        if self.step.tensors[tensor].grad is None:
            return "It has no gradient."
        behind = {tensor}
        for number in self.replay.downstream(tensor):
            operation = self.step.ops[number]
            behind.add(operation.result)
            if not self._same_twice[number]:
                name = operation.function.__name__
                return f"{name} gives another result when it is run again: it draws at random, or keeps a state."
        if any(x.was in behind and x.used_by for x in self.step.tensors if x.was is not None and x.requires_grad):
            return "A value that depends on it was written in place by other means than an operation."
        return ""

    def of(self, tensor: int, index: Index) -> Difference:
        """The central difference of one entry. Raises ValueError where not_checked gives a reason."""
        if why := self.not_checked(tensor):
            raise ValueError(why)
        losses, sides = [], []
        for eps in (self.eps, -self.eps):
            values, there = self.replay.nudged(tensor, index, eps)
            losses.append(self.replay.loss(values))
            sides.append(there)
        grad = self.step.tensors[tensor].grad
        assert grad is not None
        plus, minus = losses
        return Difference(plus, minus, (plus - minus) / (2 * self.eps), float(grad[index]), self._kink(sides))

    def _kink(self, sides: Sequence[Mapping[int, Array]]) -> str:
        """Which operation changes side between the two."""
        for number, side in sides[0].items():
            operation = self.step.ops[number]
            count = int(np.count_nonzero((side != sides[1][number]) | (side != self.replay.sides[number])))
            if count:
                where = f" of {operation.layer}" if operation.layer else ""
                values = "1 value" if count == 1 else f"{count} values"
                return f"{operation.function.__name__}{where} changes side within eps at {values}."
        return ""

    def cost(self, tensor: int) -> float:
        """About what all entries of a tensor take: the numbers that are read and made, and Python's part."""
        operations = self.replay.downstream(tensor)
        used = {x for op in operations for x in (*self.step.ops[op].inputs, self.step.ops[op].result)}
        numbers = sum(self.step.tensors[x].value.size for x in used if isinstance(x, int))
        return self.step.tensors[tensor].value.size * (numbers + 20_000.0 * (len(operations) + 1))

    def some_of(self, tensor: int, few: int = 20) -> list[int]:
        """Flat indices of the largest gradients, and of as many others at random."""
        grad = self.step.tensors[tensor].grad
        assert grad is not None
        size = np.nan_to_num(np.abs(grad.ravel()))
        largest = np.argsort(-size, kind="stable")[:few]
        others = np.setdiff1d(np.arange(grad.size), largest)
        drawn = np.random.default_rng(0).choice(others, min(few, others.size), replace=False)
        return sorted({*largest.tolist(), *drawn.tolist()})

    def check(self, tensor: int, entries: Iterable[int] | None = None) -> dict[str, Any]:
        """The `check` of recording.py's docstring, with arrays in it. entries: flat indices; all without any."""
        why = self.not_checked(tensor)
        if why:
            empty: dict[str, Any] = {"entries": None, "plus": None, "minus": None, "kinks": {}, "disagree": []}
            return {"eps": self.eps, **empty, "not_checked": why}
        shape = self.step.tensors[tensor].value.shape
        flat = range(int(np.prod(shape))) if entries is None else list(entries)
        found = [self.of(tensor, tuple(int(i) for i in np.unravel_index(place, shape))) for place in flat]
        largest = self._largest[tensor], max(self._largest)
        return {
            "eps": self.eps,
            "entries": None if entries is None else np.array(flat, np.int64),
            "plus": np.array([x.plus for x in found]),
            "minus": np.array([x.minus for x in found]),
            "kinks": {str(i): x.kink for i, x in enumerate(found) if x.kink},
            "disagree": [i for i, x in enumerate(found) if not x.kink and not x.agrees(*largest)],
            "not_checked": None,
        }


def _largest(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def _same_twice(step: Step) -> list[bool]:
    """For each operation whether it gives the recorded result, to the bit, when it is run again on what it got."""
    same = []
    for operation in step.ops:
        given = [step.tensors[x].value if isinstance(x, int) else x[1] for x in operation.inputs]
        recorded = step.tensors[operation.result].value
        with np.errstate(all="ignore"):
            try:
                again = np.asarray(
                    operation.function.forward(Context((False,) * len(given)), *given, **operation.options)
                )
            except Exception:
                same.append(False)
                continue
        close = again.shape == recorded.shape and np.allclose(again, recorded, rtol=1e-5, atol=1e-6, equal_nan=True)
        same.append(bool(close))
    return same


def check_gradients_of(step: Step, eps: float = EPS, budget: float = 1e9) -> None:
    """Hold every gradient of the step against central differences: all entries, or some where all would take long.

    budget: what checking all entries may cost together, about a second; see Differences.cost.
    The results are left in each tensor's `check`; Step.data() passes them on.
    """
    differences = Differences(step, eps)
    wanted = [number for number, tensor in enumerate(step.tensors) if tensor.grad is not None]
    left = budget
    for number in sorted(wanted, key=differences.cost):
        cost = differences.cost(number)
        every = cost <= left or bool(differences.not_checked(number))
        left -= cost if every else 0
        step.tensors[number].check = differences.check(number, None if every else differences.some_of(number))
    step.loss64 = differences.replay.loss()


def loss_after(step: Step) -> tuple[float, list[Array]] | None:
    """The loss of the same batch with the updated parameters, and all values then, in the recorded dtypes.

    None if nothing was updated, or the loss is not one number.
    """
    after = {i: tensor.after for i, tensor in enumerate(step.tensors) if tensor.after is not None}
    if not after or step.loss is None or step.tensors[step.loss].value.size != 1:
        return None
    replay = Replay(step, step.tensors[step.loss].value.dtype)
    values, _ = replay.again(after)
    return float(values[step.loss].reshape(())), values
