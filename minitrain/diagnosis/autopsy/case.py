"""The wrong gradient that is examined, what is known about it, and the helpers that the tests share."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.ops import Array

CLOSE = 1e-4  # relative; a numeric gradient in float64 errs by about 1e-9


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A likely mistake.

    name: a short name, such as "sum-missing" (`minitrain learn zoo` lists all). says: what is probably wrong, and what
    to do instead. evidence: the numbers that show it.
    """

    name: str
    says: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.says} Evidence: {self.evidence}"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A wrong gradient, and what is known about the operation. Only the two gradients are required.

    analytic: the gradient to examine. numeric: the right gradient, measured, in the input's shape.
    x: the input. y: the result. grad_output: dL/dy, in y's shape.
    inputs: all inputs; x is number `which`. others: the right gradient of each input, or None. given: the gradients to
        examine, by input number.
    jacobian: dy/dx, measured, (x.size, y.size).
    right_at: says, by a measurement, whether a gradient is right at another input than x.
    walks: for a function of Tensors, the gradients that walks over its tape give: the right walk under "", and wrong
        ones under a description of what they do wrong.
    options: the operation's options, such as dim.
    sizes: other numbers that a mean may divide by, with a description of each.
    at_kink: in numeric's shape, True where the function has a kink.
    noise: in numeric's shape, the largest error that the measurement of numeric itself can have.
    saved: the arrays that forward left for backward, by name.
    local_at: of an operation on single numbers, measures dy/dx at another x, all entries at once.
    right_with: says, by a measurement, whether a gradient is right with another array in place of input i.
    analytic_jacobian: dy/dx as backward gives it, like jacobian.
    returned: the dtype that backward returned, if it was not a float.
    without_grad: what backward returns for dL/dy = 0; given only if backward is not linear in dL/dy.
    """

    analytic: Array
    numeric: Array
    x: Array | None = None
    y: Array | None = None
    grad_output: Array | None = None
    inputs: Sequence[Any] = ()
    which: int = 0
    others: Sequence[Array | None] = ()
    given: Mapping[int, Array] = dataclasses.field(default_factory=dict)
    jacobian: Array | None = None
    right_at: Callable[[Array, Array], bool] | None = None
    walks: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sizes: Mapping[int, str] = dataclasses.field(default_factory=dict)
    at_kink: Array | None = None
    noise: Array | None = None
    saved: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    local_at: Callable[[Array], Array] | None = None
    right_with: Callable[[Array, int, Array], bool] | None = None
    analytic_jacobian: Array | None = None
    returned: str = ""
    without_grad: Array | None = None

    @property
    def known(self) -> dict[str, Array]:
        """The arrays that a wrong factor may consist of, by name."""
        others = {f"input {i}": x for i, x in enumerate(self.inputs) if i != self.which}
        named = {"x": self.x, "y": self.y, **others}
        return {name: z for name, z in named.items() if isinstance(z, np.ndarray) and z.dtype.kind == "f" and z.size}

    @functools.cached_property
    def at_hand(self) -> dict[str, Array]:
        """The known arrays and those that forward saved, each once."""
        named = dict(self.known)
        for name, z in self.saved.items():
            if z.dtype.kind == "f" and z.size and not any(z.shape == k.shape and agree(z, k) for k in named.values()):
                named[name] = z
        return named

    @functools.cached_property
    def local(self) -> tuple[Array, Array] | None:
        """dy/dx as analytic and numeric have it, if each element of y depends only on its own entry of x; else None."""
        g, jacobian, shape = self.grad_output, self.jacobian, self.numeric.shape
        if g is None or jacobian is None or g.shape != shape or jacobian.shape != (g.size, g.size) or not g.all():
            return None
        beside = np.abs(jacobian - np.diag(np.diag(jacobian))).max(initial=0)
        if beside > 1e-6 * np.abs(jacobian).max(initial=0):
            return None
        return self.analytic / g, self.numeric / g

    @property
    def spread(self) -> Array | None:
        """dL/dy in the input's shape: what an operation that only passes it on would return."""
        return None if self.grad_output is None else summed_to(self.grad_output, self.numeric.shape)

    def terms(self) -> Array | None:
        """The contribution of each element of y to each entry of the gradient, (y.size, *input's shape)."""
        if self.jacobian is None or self.grad_output is None or self.jacobian.shape[1] != self.grad_output.size:
            return None
        return (self.jacobian * self.grad_output.reshape(-1)).T.reshape(-1, *self.numeric.shape)

    def own_terms(self) -> Array | None:
        """The contributions in y's shape, if each element of y depends on only one entry of the input; else None."""
        if self.jacobian is None or self.grad_output is None or self.jacobian.shape[1] != self.grad_output.size:
            return None
        if ((np.abs(self.jacobian) > 1e-8 * np.abs(self.jacobian).max(initial=0)).sum(axis=0) > 1).any():
            return None
        summed = self.jacobian.sum(axis=0) * self.grad_output.reshape(-1)
        return np.asarray(summed.reshape(self.grad_output.shape))


def agree(a: Array, b: Array, close: float = CLOSE) -> bool:
    """Whether every entry of a is close to b's, relative to that entry and to b's largest one."""
    return a.shape == b.shape and bool(not differing(a, b, close).any() and np.isfinite(a).all())


def differing(a: Array, b: Array, close: float = CLOSE) -> Array:
    """Where a is not close to b, relative to that entry and to b's largest one."""
    size = np.abs(b)
    return np.asarray(~(np.abs(a - b) <= close * size + 0.1 * close * size.max(initial=0)))


def is_zero(array: Array, like: Array) -> Any:
    """Where an array is 0, relative to the size of another one."""
    return np.abs(array) <= CLOSE * np.abs(like).max(initial=0)


def number(value: float) -> str:
    return f"{value:.6g}"


def places(mask: Array, most: int = 1) -> str:
    """The first indices where a mask is True: '[0, 2], [1, 1]'."""
    return ", ".join(str([int(i) for i in index]) for index in np.argwhere(mask)[:most])


def ratio_of(case: Case) -> float | None:
    """The ratio of the two gradients, if it is the same everywhere."""
    a, n = case.analytic, case.numeric
    ratio = float((a * n).sum() / (n * n).sum())
    if n.size <= 2 and not _each_result(case, ratio):
        return None  # a single number is a multiple of any other; what each result sends must be, too
    return ratio if ratio != 0 and math.isfinite(ratio) and agree(ratio * n, a) else None


def _each_result(case: Case, ratio: float) -> bool:
    """Whether what each result sends has the same ratio; True if that is not known."""
    ours, right, g = case.analytic_jacobian, case.jacobian, case.grad_output
    if ours is None or right is None or g is None or ours.shape != right.shape:
        return True
    linear = agree((ours @ g.reshape(-1)).reshape(case.numeric.shape), case.analytic)
    return not linear or agree(ours, ratio * right)


def constant_in_rows(case: Case) -> bool:
    """Whether analytic is numeric times one factor in each row, and rows have different ones: a norm, a weight."""
    a, n = case.analytic, case.numeric
    if case.local is not None or n.ndim < 2 or n.shape[-1] < 2 or not np.isfinite(a).all():
        return False
    squares = (n * n).sum(axis=-1, keepdims=True)
    factors = (a * n).sum(axis=-1, keepdims=True) / np.where(squares > 0, squares, 1)
    told = ((~is_zero(n, n)).sum(axis=-1) > 1).all()  # one number is a multiple of any other
    return bool(told) and agree(factors * n, a) and bool(np.ptp(factors) > CLOSE * np.abs(factors).max())


def fits(z: Array, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(z.shape, shape) == shape
    except ValueError:
        return False


def summed_to(term: Array, shape: tuple[int, ...]) -> Array | None:
    """The term summed to this shape, as after a broadcast; None if the shape does not broadcast to the term's."""
    return added_up(term, shape) if fits(np.empty(shape), term.shape) else None


def added_up(term: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes that broadcasting added to this shape. (ops.unbroadcast may be what is examined.)"""
    added = term.ndim - len(shape)
    repeated = [added + axis for axis, size in enumerate(shape) if size == 1 and term.shape[added + axis] != 1]
    return np.asarray(term.sum(axis=(*range(added), *repeated), keepdims=True).reshape(shape))


def slices(part: Array, of: Array) -> tuple[int, list[int]] | None:
    """The axis and indices where the mask `part` covers all of the mask `of`, if it covers nothing of it elsewhere."""
    for axis in range(part.ndim):
        covered, there = (np.moveaxis(mask, axis, 0).reshape(part.shape[axis], -1) for mask in (part & of, of))
        some, whole = covered.any(axis=1), (covered == there).all(axis=1)
        if some.any() and whole[some].all() and (there.any(axis=1) & ~some).any():
            return axis, [int(i) for i in np.flatnonzero(some)]
    return None


def fitted(target: Array, terms: Sequence[Array]) -> Array | None:
    """The numbers c for which Σ c · term is the target, if there are such numbers, and only one choice of them."""
    columns = np.stack([np.broadcast_to(term, target.shape).reshape(-1) for term in terms], axis=1)
    if not np.isfinite(columns).all() or target.size <= len(terms):
        return None
    scales = np.linalg.norm(columns, axis=0)
    if not scales.all():
        return None
    found, _, rank, _ = np.linalg.lstsq(columns / scales, target.reshape(-1), rcond=1e-6)
    if rank < len(terms) or not agree((columns / scales @ found).reshape(target.shape), target):
        return None
    return np.asarray(found / scales)


def some_axes(ndim: int) -> Iterator[tuple[int, ...]]:
    """Every choice of one or more axes, the small ones first."""
    return itertools.chain.from_iterable(itertools.combinations(range(ndim), k) for k in range(1, ndim + 1))


def naming(axes: tuple[int, ...]) -> str:
    """The axes in words."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


def listing(numbers: Sequence[Any], most: int = 4) -> str:
    """The first few numbers, separated by commas."""
    return ", ".join(f"{n:.4g}" for n in numbers[:most]) + (", ..." if len(numbers) > most else "")
