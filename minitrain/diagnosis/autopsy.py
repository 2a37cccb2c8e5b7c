"""What is wrong with a wrong gradient: the mistakes that people make, each recognised by the trace that it leaves.

A mistake leaves the right numbers changed in a way of its own: N times too large, zero where the mask is turned, each
row what its neighbour should be. Every function below tries one such explanation: it computes what the gradient would
be with that mistake and compares. One that explains every entry is reported, with the numbers that show it; the more
particular explanation comes before the more general. If none fits, nothing is reported: no guesses.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.ops import Array, unbroadcast

CLOSE = 1e-4  # relative; a numeric gradient in float64 errs by about 1e-9


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A likely mistake.

    name: as in the zoo's table (`minitrain learn zoo`).
    says: what was probably done, and what to do instead, in a sentence or two.
    evidence: the numbers that show it.
    """

    name: str
    says: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.says} Evidence: {self.evidence}"


@dataclasses.dataclass(frozen=True)
class Case:
    """A wrong gradient and what is known of the operation; nothing but the two gradients has to be.

    analytic: the gradient that is examined. numeric: the right one, measured; of the input's shape.
    x: the input. y: the result. grad_output: dL/dy, of y's shape.
    inputs: all inputs, of which x is number `which`; others: for each of them its right gradient, or None; given: by
        their numbers, the gradients that are examined.
    jacobian: dy/dx, measured (x.size, y.size).
    derivative_at: measures dL/dx at another input than x.
    walks: for a function of Tensors, the gradient by a right walk over its tape, under "", and by wrong ones, under
        what would have gone wrong.
    options: the operation's options, such as dim.
    sizes: further numbers that a mean may divide by, with what each counts.
    at_kink: of numeric's shape, true where the function has a kink.
    eps, dtype: the step and the floats of the measurement.
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
    derivative_at: Callable[[Array], Array] | None = None
    walks: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sizes: Mapping[int, str] = dataclasses.field(default_factory=dict)
    at_kink: Array | None = None
    eps: float | None = None
    dtype: Any = np.float64

    @property
    def known(self) -> dict[str, Array]:
        """The arrays by which a factor may be wrong, by their names."""
        others = {f"input {i}": x for i, x in enumerate(self.inputs) if i != self.which}
        named = {"x": self.x, "y": self.y, **others}
        return {name: z for name, z in named.items() if isinstance(z, np.ndarray) and z.dtype.kind == "f" and z.size}

    @property
    def spread(self) -> Array | None:
        """dL/dy brought to the input's shape, as an operation that passes it on would bring it."""
        return None if self.grad_output is None else _summed_to(self.grad_output, self.numeric.shape)

    def terms(self) -> Array | None:
        """What each element of y contributes to each entry of the gradient (y.size, *input's shape); they add up."""
        if self.jacobian is None or self.grad_output is None or self.jacobian.shape[1] != self.grad_output.size:
            return None
        return (self.jacobian * self.grad_output.reshape(-1)).T.reshape(-1, *self.numeric.shape)

    def own_terms(self) -> Array | None:
        """The same where each element of y depends on one entry of the input only: of y's shape, to be summed."""
        if self.jacobian is None or self.grad_output is None or self.jacobian.shape[1] != self.grad_output.size:
            return None
        if ((np.abs(self.jacobian) > 1e-8 * np.abs(self.jacobian).max(initial=0)).sum(axis=0) > 1).any():
            return None
        summed = self.jacobian.sum(axis=0) * self.grad_output.reshape(-1)
        return np.asarray(summed.reshape(self.grad_output.shape))


def autopsy(analytic: Array, numeric: Array, **known: Any) -> list[Mistake]:
    """The likely mistakes in a gradient, the likeliest first; none if it is right, or if nothing known explains it.

    analytic: the gradient in question. numeric: the right one, as measured by differences; of the input's shape.
    known: what else is known, see Case. The more, the more particular the answer.
    """
    case = Case(np.asarray(analytic), np.asarray(numeric), **known)
    if case.analytic.shape != case.numeric.shape:
        return [found for test in MISSHAPEN if (found := test(case)) is not None]
    if not case.numeric.size or not np.isfinite(case.numeric).all() or agree(case.analytic, case.numeric):
        return []
    mistakes: dict[str, Mistake] = {}
    with np.errstate(all="ignore"):
        for test in HYPOTHESES:
            mistake = test(case)
            if mistake is not None:
                mistakes.setdefault(mistake.name, mistake)
    return [*mistakes.values()]


def agree(a: Array, b: Array, close: float = CLOSE) -> bool:
    """Whether a explains b: every entry is close, as measured by itself and by the largest of b."""
    if a.shape != b.shape or not np.isfinite(a).all():
        return False
    return bool(np.all(np.abs(a - b) <= close * np.abs(b) + 0.1 * close * np.abs(b).max(initial=0)))


def _zero(array: Array, like: Array) -> Any:
    """Where an array is 0, as measured by the size of another."""
    return np.abs(array) <= CLOSE * np.abs(like).max(initial=0)


def _number(value: float) -> str:
    return f"{value:.6g}"


def _where(mask: Array) -> str:
    return str([int(i) for i in np.argwhere(mask)[0]])


# --- a gradient of another shape than its input's ---------------------------------------------------------------------


def _shape_permuted(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    evidence = f"its shape is {list(a.shape)}, the input's {list(n.shape)}"
    for axes in itertools.permutations(range(a.ndim)):
        if a.ndim != n.ndim or a.transpose(axes).shape != n.shape or not agree(a.transpose(axes), n):
            continue
        if a.ndim == 2:
            says = "The gradient is transposed: each entry stands at [column, row] instead of [row, column]."
            return Mistake("transposed", says, f"{evidence}; its T is right.")
        says = "The right values in the wrong places: the axes are permuted. The way back must undo the way forth."
        return Mistake("wrong-place", says, f"{evidence}; with its axes permuted to {list(axes)} it is right.")
    return None


def _shape_of_other_axis(case: Case) -> Mistake | None:
    terms = case.own_terms()
    if terms is None:
        return None
    for count in range(1, terms.ndim):
        for axes in itertools.combinations(range(terms.ndim), count):
            if agree(terms.sum(axis=axes), case.analytic):
                return _wrong_sum(axes)
    return None


def _shape_unsummed(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    try:
        summed = unbroadcast(a, n.shape)
    except ValueError:
        return None
    if summed.shape != n.shape or summed.size == a.size:
        return None
    says = (
        "The sum over the batch, or over the axes along which the input was repeated (broadcast), is missing: each "
        "copy sends back a gradient, and they add up."
    )
    right = "summed to that shape it is right" if agree(summed, n) else "summed to that shape it would still be wrong"
    return Mistake("sum-missing", says, f"its shape is {list(a.shape)}, the input's {list(n.shape)}; {right}.")


def _shape_flat(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    if a.size != n.size or not agree(a.reshape(n.shape), n):
        return None
    says = "The numbers are right, but they are not in the input's shape: reshape the gradient to it."
    return Mistake("wrong-shape", says, f"its shape is {list(a.shape)}, the input's {list(n.shape)}.")


def _shape_any(case: Case) -> Mistake | None:
    says = "A gradient has its input's shape: one number for each number of the input."
    evidence = f"its shape is {list(case.analytic.shape)}, the input's {list(case.numeric.shape)}."
    return Mistake("wrong-shape", says, evidence)


MISSHAPEN = (_shape_permuted, _shape_unsummed, _shape_of_other_axis, _shape_flat, _shape_any)


# --- nothing is wrong but the check -----------------------------------------------------------------------------------


def _not_finite(case: Case) -> Mistake | None:
    bad = ~np.isfinite(case.analytic)
    if not bad.any():
        return None
    says = "The gradient is nan or infinite where the right one is a number: a division by 0, log of 0, or overflow."
    first = _where(bad)
    return Mistake("not-finite", says, f"{bad.sum()} of {bad.size} entries, the first at {first}.")


def _kinks(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    differ = ~(np.abs(a - n) <= CLOSE * np.abs(n) + 0.1 * CLOSE * np.abs(n).max())
    says = (
        "Nothing is wrong: the entries that differ lie at a kink (ReLU at 0, two equal maxima), where the function has "
        "a slope to the left and another to the right. The numeric gradient is their mean; either is a fair answer."
    )
    if case.at_kink is not None:
        if not (differ & ~case.at_kink).any():
            return Mistake("kinks", says, f"all {differ.sum()} entries that differ are at a kink.")
        return None
    # Without more knowledge: few differ, and there one side's slope is 0, or all of it, where the mean is half.
    halves = _zero(a, n) | (np.abs(a - 2 * n) <= CLOSE * np.abs(a))
    if differ.sum() > 0.3 * differ.size or not (halves | ~differ).all() or _slices(differ, ~_zero(n, n)) is not None:
        return None
    return Mistake("kinks", says, f"at all {differ.sum()} entries that differ, numeric is half of one side's slope.")


def _rounding(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart, scale = a - n, np.abs(n).max()
    if case.eps is not None:
        value = 1.0 if case.y is None or not case.y.size else float(np.abs(case.y).max())
        noise = 8 * float(np.finfo(case.dtype).eps) * max(value, float(np.finfo(case.dtype).tiny)) / case.eps
        if np.abs(apart).max() > noise:
            return None
        evidence = f"the largest difference is {_number(np.abs(apart).max())}, rounding explains {_number(noise)}."
    else:
        # Differences of rounding are small, go both ways, and have nothing to do with the size of what they are in.
        sizes = np.abs(apart)
        small = apart.size >= 8 and sizes.max() <= min(20 * np.median(sizes), 0.5 * scale)
        if not small or not 0.15 <= np.mean(apart > 0) <= 0.85:
            return None
        if abs(np.corrcoef(apart.reshape(-1), n.reshape(-1))[0, 1]) > 0.6:
            return None
        size = _number(np.median(np.abs(apart)) / scale)
        evidence = f"the differences go both ways, and their median is {size} of the largest entry."
    says = (
        "Only rounding: the two agree as far as the measurement can tell. Check in float64 (.double()), with eps "
        "about 1e-6; a smaller step divides rounding errors by less."
    )
    return Mistake("rounding", says, evidence)


# --- too little, too much ---------------------------------------------------------------------------------------------


def _detached(case: Case) -> Mistake | None:
    if case.analytic.any():
        return None
    says = (
        "The gradient is 0 everywhere, but the result does depend on this input: the way back is cut (detach(), "
        ".data, no_grad, an array taken out and put back), or the gradient was never filled in."
    )
    return Mistake("detached", says, f"numeric has up to {_number(np.abs(case.numeric).max())}.")


def _inputs_swapped(case: Case) -> Mistake | None:
    for i, other in enumerate(case.others):
        if i == case.which or other is None or i not in case.given:
            continue
        if agree(case.analytic, other) and agree(case.given[i], case.numeric):
            says = f"The gradients are handed back in the wrong order: this one is that of input {i}."
            return Mistake("inputs-swapped", says, f"it equals the right gradient of input {i} everywhere.")
    return None


def _walked(case: Case) -> Mistake | None:
    if "" not in case.walks or not agree(case.walks[""], case.numeric):
        return None  # an operation is wrong, not the walk
    for what, gradient in case.walks.items():
        if agree(gradient, case.analytic):
            says = (
                f"A value that is used more than once gets a gradient from each use, and they add up (+=). Here {what}."
            )
            return Mistake("path-forgotten", says, "the tape walked with that mistake gives this gradient exactly.")
    return None


def _grad_output_missing(case: Case) -> Mistake | None:
    if case.jacobian is None or case.grad_output is None:
        return None
    ones = case.jacobian.sum(axis=1).reshape(case.numeric.shape)
    if not agree(ones, case.analytic):
        return None
    says = "The chain rule's factor dL/dy is not multiplied in: this is dy/dx alone. Multiply by grad_output."
    return Mistake("grad-output-missing", says, "it equals the gradient for dL/dy = 1, whatever dL/dy is.")


def _ratio(case: Case) -> float | None:
    """The constant ratio of the two, if it is one."""
    a, n = case.analytic, case.numeric
    ratio = float((a * n).sum() / (n * n).sum())
    return ratio if ratio != 0 and math.isfinite(ratio) and agree(ratio * n, a) else None


def _sizes(case: Case) -> dict[int, str]:
    """The numbers that a mean may divide by, and what each counts."""
    counted = dict(case.sizes)
    arrays = {"the input": case.numeric, "the result": case.y, "dL/dy": case.grad_output}
    arrays |= {f"input {i}": x for i, x in enumerate(case.inputs) if i != case.which}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            continue
        for axes in itertools.chain.from_iterable(
            itertools.combinations(range(array.ndim), count) for count in range(1, array.ndim + 1)
        ):
            size = math.prod(array.shape[axis] for axis in axes)
            if size > 1:
                what = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
                counted.setdefault(size, f"the {size} along {what} of {name}")
    return counted


def _mean(case: Case) -> Mistake | None:
    ratio = _ratio(case)
    if ratio is None or ratio < 0:
        return None
    for size, what in _sizes(case).items():
        if size == 2:
            continue  # a 2 is more often that of a square
        if abs(ratio - size) <= CLOSE * size:
            says = f"The mean's 1/N is missing: the gradient is {size} times too large. Divide by N = {size}, {what}."
            return Mistake("mean-missing", says, f"analytic / numeric is {_number(ratio)} everywhere.")
        if abs(ratio * size - 1) <= CLOSE:
            says = (
                f"The gradient is {size} times too small: divided by N = {size}, {what}, where it should not be (a sum "
                "taken for a mean), or once too often (dL/dy has the 1/N already)."
            )
            return Mistake("mean-twice", says, f"analytic / numeric is {_number(ratio)} = 1/{size} everywhere.")
    return None


def _sign(case: Case) -> Mistake | None:
    if not agree(-case.numeric, case.analytic):
        return None
    return Mistake("sign", "The sign is wrong: the gradient points the other way.", "analytic = -numeric everywhere.")


def _factor(case: Case) -> Mistake | None:
    ratio = _ratio(case)
    if ratio is None or (case.numeric.size < 2 and case.grad_output is None):
        return None
    hints = {
        2.0: "the derivative of a square is counted twice, or a sum has each term twice",
        0.5: "the 2 of a square's derivative is missing, or one of two equal paths (x · x) is",
        -2.0: "besides the sign",
        -0.5: "besides the sign",
    }
    hint = next((f": {text}" for value, text in hints.items() if abs(ratio - value) < 1e-3), "")
    says = f"A constant factor is wrong: the gradient is {_number(ratio)} times what it should be{hint}."
    return Mistake("factor", says, f"analytic / numeric is {_number(ratio)} everywhere.")


# --- the right values in the wrong place ------------------------------------------------------------------------------


def _transposed(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    if n.ndim == 2 and n.shape[0] == n.shape[1] and agree(n.T, a):
        says = "The gradient is transposed: each entry stands at [column, row] instead of [row, column]."
        return Mistake("transposed", says, "analytic = numeric.T everywhere.")
    return None


def _products(case: Case) -> Iterator[tuple[str, Array]]:
    """Every product of dL/dy with another input, each as it is or transposed, that has the input's shape."""
    g = case.grad_output
    for name, other in case.known.items():
        if g is None or g.ndim != 2 or other.ndim != 2 or name == "y":
            continue
        left = {"dL/dy": g, "dL/dyᵀ": g.T}
        right = {name: other, f"({name})ᵀ": other.T}
        for (p, a), (q, b) in itertools.chain(
            itertools.product(left.items(), right.items()), itertools.product(right.items(), left.items())
        ):
            if a.shape[1] == b.shape[0] and (a.shape[0], b.shape[1]) == case.numeric.shape:
                yield f"{p} @ {q}", a @ b


def _product_transposed(case: Case) -> Mistake | None:
    products = dict(_products(case))
    right = [name for name, product in products.items() if agree(product, case.numeric)]
    taken = [name for name, product in products.items() if agree(product, case.analytic)]
    if not right or not taken:
        return None
    says = f"A factor of the product is not transposed as it should be: {taken[0]}, where {right[0]} belongs."
    return Mistake("transposed", says, f"{taken[0]} gives this gradient, {right[0]} the right one.")


def _wrong_place(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    moved: list[tuple[str, Array]] = []
    for axis in range(n.ndim):
        moved.append((f"reversed along axis {axis}", np.flip(n, axis)))
        moved += [
            (f"rolled by {shift} along axis {axis}", np.roll(n, shift, axis)) for shift in range(1, n.shape[axis])
        ]
    if n.ndim > 1:
        moved.append(("reversed along all axes", np.flip(n)))
        moved += [
            (f"axes permuted to {list(axes)}", np.transpose(n, axes))
            for axes in itertools.permutations(range(n.ndim))
            if n.transpose(axes).shape == n.shape and axes != tuple(range(n.ndim))
        ]
        moved += [
            ("filled in another order of the axes", np.transpose(n, axes).reshape(n.shape))
            for axes in itertools.permutations(range(n.ndim))
            if axes != tuple(range(n.ndim))
        ]
        moved += [
            ("filled in another order of the axes", n.reshape(np.transpose(n, axes).shape).transpose(np.argsort(axes)))
            for axes in itertools.permutations(range(n.ndim))
            if axes != tuple(range(n.ndim))
        ]
    for how, candidate in moved:
        if agree(candidate, a):
            says = f"The right values in the wrong places: {how}. The way back must undo the way forth."
            return Mistake("wrong-place", says, f"numeric, {how}, equals analytic everywhere.")
    if n.size > 2 and agree(np.sort(n, axis=None), np.sort(a, axis=None)):
        says = "The right values in the wrong places: the same numbers in another order."
        return Mistake("wrong-place", says, "sorted, the two are equal.")
    return None


# --- sums over the batch and over what was repeated -------------------------------------------------------------------


def _one_term(case: Case) -> Mistake | None:
    """Only one index of an axis of y was counted."""
    terms = case.terms()
    if terms is None or case.y is None or case.y.ndim == 0:
        return None
    by_place = terms.reshape(*case.y.shape, *case.numeric.shape)
    for axis in range(case.y.ndim):
        others = tuple(i for i in range(case.y.ndim) if i != axis)
        summed = by_place.sum(axis=others)
        for index in range(case.y.shape[axis]):
            if case.y.shape[axis] > 1 and agree(summed[index], case.analytic):
                says = (
                    f"The sum over axis {axis} of the result (the batch, or what was broadcast) is missing: only index "
                    f"{index} was counted. Every copy sends back a gradient, and they add up."
                )
                return Mistake("sum-missing", says, f"it equals what index {index} alone contributes.")
    return None


def _wrong_axis(case: Case) -> Mistake | None:
    """Each element of y belongs to one entry of x, and its term was added to another one."""
    terms = case.own_terms()
    if terms is not None:
        for count in range(1, terms.ndim + 1):
            for axes in itertools.combinations(range(terms.ndim), count):
                summed = terms.sum(axis=axes)
                if summed.size == case.numeric.size and agree(summed.reshape(case.numeric.shape), case.analytic):
                    return _wrong_sum(axes)
    for of, _, dim in _softmaxes(case):
        for axis in range(case.numeric.ndim):
            if axis != dim and agree(of(case.y, axis), case.analytic):
                return _wrong_sum((axis,))
    return None


def _wrong_sum(axes: tuple[int, ...]) -> Mistake:
    where = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    says = f"The sum is taken over the wrong axis, {where} of dL/dy. Sum over what each entry had a part in."
    return Mistake("sum-wrong-axis", says, f"dL/dy's terms summed over {where} give this gradient.")


def _overwritten(case: Case) -> Mistake | None:
    """Of the terms that belong to one entry only the last, or the first, was kept."""
    terms = case.terms()
    if terms is None:
        return None
    there = terms != 0
    if not (there.sum(axis=0) > 1).any():
        return None
    order = np.arange(len(terms)).reshape(-1, *[1] * case.numeric.ndim)
    for which, chosen in (
        ("last", np.where(there, order, -1).max(axis=0)),
        ("first", np.where(there, order, len(terms)).min(axis=0)),
    ):
        kept = np.take_along_axis(terms, np.clip(chosen, 0, len(terms) - 1)[np.newaxis], axis=0)[0]
        if agree(kept, case.analytic):
            says = (
                "A value that is used more than once gets a gradient from each use, and they add up (+=). Here each "
                f"entry has only the {which} one: overwritten (=) instead of accumulated."
            )
            return Mistake("path-forgotten", says, f"each entry equals its {which} contribution.")
    return None


def _averaged(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    for axis in range(n.ndim):
        if n.shape[axis] < 2:
            continue
        for what, reduced in (("mean", n.mean(axis=axis, keepdims=True)), ("sum", n.sum(axis=axis, keepdims=True))):
            if agree(np.broadcast_to(reduced, n.shape), a):
                says = f"Every entry along axis {axis} has the {what} over it, where each has a gradient of its own."
                return Mistake("averaged", says, f"analytic equals numeric's {what} over axis {axis}, repeated.")
    return None


def _slices(part: Array, of: Array) -> tuple[int, list[int]] | None:
    """The axis and the indices at which a mask covers all of another one, where elsewhere it covers nothing of it."""
    for axis in range(part.ndim):
        covered, there = (np.moveaxis(mask, axis, 0).reshape(part.shape[axis], -1) for mask in (part & of, of))
        some, whole = covered.any(axis=1), (covered == there).all(axis=1)
        if some.any() and whole[some].all() and (there.any(axis=1) & ~some).any():
            return axis, [int(i) for i in np.flatnonzero(some)]
    return None


def _rows_missing(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    missing = _zero(a, n) & ~_zero(n, n)
    if not missing.any() or not agree(np.where(missing, n, a), n):
        return None
    found = _slices(missing, ~_zero(n, n))
    if found is None or (n.ndim == 1 and len(found[1]) > n.size / 2):
        return None
    axis, indices = found
    says = (
        f"Part of the gradient was left out: it is 0 at index {', '.join(map(str, indices[:4]))} along axis {axis}, "
        "and right elsewhere. A loop that ends too early, or a slice that is one too short?"
    )
    return Mistake("rows-missing", says, f"{missing.sum()} of {n.size} entries are 0 where numeric is not.")


# --- masks ------------------------------------------------------------------------------------------------------------


def _mask_inverted(case: Case) -> Mistake | None:
    a, n, spread = case.analytic, case.numeric, case.spread
    turned = spread is not None and agree(spread - n, a) and not agree(spread, a)
    if turned and spread is not None and case.grad_output is not None and case.grad_output.shape == n.shape:
        turned = bool((_zero(n, n) | _zero(n - spread, n)).all())  # a mask passes all or nothing
    if not turned:
        zero_a, zero_n = _zero(a, a), _zero(n, n)
        opposite = (zero_a ^ zero_n).all() and zero_a.any() and zero_n.any()
        if not opposite or n.size < 2:
            return None
    says = "The mask is inverted: the gradient passes where it should be stopped, and is stopped where it should pass."
    return Mistake("mask-inverted", says, "analytic is 0 where numeric is not, and the other way round.")


def _mask_missing(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    stopped = _zero(n, n) & ~_zero(a, n)
    if not stopped.any() or not agree(np.where(stopped, n, a), n) or (~stopped & ~_zero(n, n)).sum() == 0:
        return None
    spread = case.spread
    if spread is not None and not agree(np.where(stopped, a, 0), np.where(stopped, spread, 0)):
        return None
    says = "The mask is missing: the gradient passes everywhere, also where the function is flat and should stop it."
    where = f"{stopped.sum()} of {n.size} entries are not 0 where numeric is, the first at {_where(stopped)}"
    return Mistake("mask-missing", says, f"{where}; the others are right.")


def _mask_wrong_side(case: Case) -> Mistake | None:
    spread = case.spread
    if spread is None or not _zero(case.numeric, case.numeric).any() or case.grad_output is None:
        return None
    candidates = {"dL/dy": (spread > 0, spread), "-dL/dy": (spread < 0, spread)}
    for name, z in case.known.items():
        if z.shape == spread.shape:
            candidates |= {name: (z > 0, spread), f"-{name}": (z < 0, spread)}
    for name, (mask, values) in candidates.items():
        masked = np.where(mask, values, 0)
        if agree(masked, case.analytic) or agree(np.where(mask, case.numeric, 0), case.analytic):
            says = (
                f"The mask is taken from the wrong side: where {name} > 0. The input decides what passes, not what "
                "comes back."
            )
            return Mistake("mask-wrong-side", says, f"analytic is dL/dy where {name} > 0, else 0.")
    return None


# --- the wrong derivative ---------------------------------------------------------------------------------------------


def _derivative_missing(case: Case) -> Mistake | None:
    spread = case.spread
    if spread is None or not agree(spread, case.analytic):
        return None
    says = "dL/dy is passed on as it is: the operation's own derivative is not multiplied in."
    return Mistake("derivative-missing", says, "analytic = dL/dy everywhere.")


# Derivatives as functions of one number: of exp, tanh, sigmoid and sqrt by their result, of log, square and cube.
LOCAL: dict[str, Callable[[Array], Array]] = {
    "t": lambda t: t,
    "1 - t²": lambda t: 1 - t * t,
    "t · (1 - t)": lambda t: t * (1 - t),
    "1 / 2t": lambda t: 1 / (2 * t),
    "1 / t": lambda t: 1 / t,
    "2 · t": lambda t: 2 * t,
    "exp t": np.exp,
    "sign t": np.sign,
}


def _other_end(case: Case) -> Mistake | None:
    x, y, g = case.x, case.y, case.grad_output
    if x is None or y is None or g is None or not x.shape == y.shape == case.numeric.shape == g.shape:
        return None
    for formula, local in LOCAL.items():
        for name, belongs, taken, right, wrong in (("at-input", y, x, "y", "x"), ("at-output", x, y, "x", "y")):
            if agree(g * local(taken), case.analytic) and agree(g * local(belongs), case.numeric):
                what = {"x": "the input x", "y": "the result y"}
                says = (
                    f"The derivative is taken at {what[wrong]}, where {what[right]} belongs: t = {right} in {formula}."
                )
                evidence = f"dL/dy · ({formula}) gives this gradient with t = {wrong}, the right one with t = {right}."
                return Mistake(name, says, evidence)
    return None


def _at_output(case: Case) -> Mistake | None:
    if case.derivative_at is None or case.x is None or case.y is None or case.x.shape != case.y.shape:
        return None
    there = case.derivative_at(case.y)
    if not agree(there, case.analytic):
        return None
    says = "The derivative is taken at the result y, where the input x belongs."
    return Mistake("at-output", says, "the numeric gradient at x = y equals analytic everywhere.")


def _softmaxes(case: Case) -> Iterator[tuple[Callable[[Any, int], Array], str, int]]:
    """The formula of softmax or of log-softmax, of the result and an axis, if it is what gives the right gradient."""
    y, g, dim = case.y, case.grad_output, case.options.get("dim")
    if y is None or g is None or y.shape != case.numeric.shape or not isinstance(dim, int):
        return

    def softmax(t: Array, axis: int) -> Array:
        return np.asarray(t * (g - (g * t).sum(axis=axis, keepdims=True)))

    def log_softmax(t: Array, axis: int) -> Array:
        return np.asarray(g - np.exp(t) * g.sum(axis=axis, keepdims=True))

    for name, of in (("softmax", softmax), ("log-softmax", log_softmax)):
        if agree(of(y, dim), case.numeric):
            yield of, name, dim % y.ndim


def _softmax_at_other_end(case: Case) -> Mistake | None:
    x, y, g = case.x, case.y, case.grad_output
    for of, name, dim in _softmaxes(case):
        if x is not None and agree(of(x, dim), case.analytic):
            says = "The formula's y is the result, but the input x stands in its place."
            return Mistake("at-input", says, "the formula with x in the place of y gives this gradient.")
        if name == "log-softmax" and g is not None and y is not None:
            if agree(g - y * g.sum(axis=dim, keepdims=True), case.analytic):
                says = "The formula needs the probabilities, exp y; the result y itself, their logarithm, stands there."
                return Mistake("operand", says, "the formula with y in the place of exp y gives this gradient.")
            if agree(-np.exp(y) * g.sum(axis=dim, keepdims=True), case.analytic):
                says = (
                    "The first term is missing, dL/dy itself: with cross-entropy it is the one-hot of the right class, "
                    "and what is left is softmax alone."
                )
                return Mistake("one-hot-missing", says, "-exp y · Σ dL/dy gives this gradient.")
    return None


def _off_diagonal(case: Case) -> Mistake | None:
    g, jacobian = case.grad_output, case.jacobian
    if g is None or jacobian is None or g.shape != case.numeric.shape or jacobian.shape[0] != jacobian.shape[1]:
        return None
    diagonal = (np.diag(jacobian) * g.reshape(-1)).reshape(g.shape)
    without_sum = any(name == "softmax" and agree(g * case.y, case.analytic) for _, name, _ in _softmaxes(case))
    if not without_sum and not agree(diagonal, case.analytic):
        return None
    says = (
        "Each result depends on all inputs of its row (they share a sum), but only its own input is counted: the "
        "off-diagonal part of the Jacobian is missing, the term with the sum over the row."
    )
    return Mistake("off-diagonal-missing", says, "analytic is what the Jacobian's diagonal alone gives.")


def _one_hot(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart = a - n
    if n.ndim == 0 or n.size < 3:
        return None
    for axis in range(n.ndim):
        if n.shape[axis] < 2:
            continue
        one_each = (~_zero(apart, n)).sum(axis=axis) == 1
        if not one_each.all():
            continue
        differences = apart[~_zero(apart, n)]
        rows = a.sum(axis=axis).reshape(-1)  # of a softmax: what the one-hot would take away
        if np.allclose(rows, rows[0], rtol=1e-3) and np.allclose(differences, rows[0], rtol=1e-3):
            says = (
                "The one-hot of the right class is missing: the gradient of softmax with cross-entropy is softmax - "
                "onehot(target), and here it is softmax alone."
            )
            evidence = f"along axis {axis} exactly one entry differs in each row, by {_number(float(differences[0]))}."
            return Mistake("one-hot-missing", says, evidence)
    return None


def _clipped(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    low, high = float(a.min()), float(a.max())
    for least, most in ((-high, high), (low, -low), (-math.inf, high), (low, math.inf)):
        if least >= most or not agree(np.clip(n, least, most), a):
            continue
        cut = (n < least) | (n > most)
        if cut.sum() >= 2 or (cut.any() and 3 <= n.size <= 4):
            bound = _number(most if math.isfinite(most) else least)
            says = f"The gradient is clipped at {bound}: right where it is smaller, cut off where it is larger."
            return Mistake("clipped", says, f"{cut.sum()} of {n.size} entries stand at the bound.")
    norm = _ratio(case)
    if norm is not None and 0 < norm < 1 and abs(np.linalg.norm(a) - 1) < 1e-3:
        says = "The gradient is scaled down to norm 1: clipped or normalized."
        return Mistake("clipped", says, f"its norm is {_number(float(np.linalg.norm(a)))}.")
    return None


def _eps(case: Case) -> Mistake | None:
    g = case.spread
    if g is None or case.numeric.size < 3 or _zero(case.numeric, case.numeric).any() or not case.analytic.all():
        return None
    added = g / case.analytic - g / case.numeric  # of g / (d + eps) and g / d
    eps = float(np.median(added))
    near = np.abs(added - eps) <= 1e-2 * abs(eps) + 1e-6 * np.abs(g / case.numeric)
    constant = _ratio(case) is not None or np.ptp(g / case.numeric) <= CLOSE * np.abs(g / case.numeric).max()
    if constant or eps == 0 or not near.all():
        return None
    says = f"An eps of {_number(eps)} in the way: added to a denominator, it changes the derivative. Leave it out."
    return Mistake("eps", says, f"dL/dy / analytic is dL/dy / numeric + {_number(eps)} everywhere.")


def _operand(case: Case) -> Mistake | None:
    """A factor among the known arrays is wrong, missing, or there once too often."""
    a, n = case.analytic, case.numeric
    fitting = {name: np.broadcast_to(z, n.shape) for name, z in case.known.items() if _fits(z, n.shape)}
    powers: list[tuple[str, Array]] = []
    for name, z in fitting.items():
        powers += [(f"multiplied by {name}", z), (f"divided by {name}", 1 / z)]
        powers += [(f"multiplied by {name}²", z * z), (f"divided by {name}²", 1 / (z * z))]
        powers += [(f"multiplied by |{name}|", np.abs(z)), (f"divided by √{name}", 1 / np.sqrt(z))]
        powers += [(f"multiplied by exp {name}", np.exp(z)), (f"multiplied by ln {name}", np.log(z))]
        powers += [(f"divided by ln {name}", 1 / np.log(z))]
    for how, factor in powers:
        if _explains(factor, a, n):
            return _wrong_factor(how, a, factor * n)
    for (p, u), (q, v) in itertools.combinations(powers, 2):
        of_two = p.split(maxsplit=2)[-1].strip("²|√") != q.split(maxsplit=2)[-1].strip("²|√")
        if of_two and p.split()[0] != q.split()[0] and _explains(u * v, a, n):
            return _wrong_factor(f"{p} and {q}", a, u * v * n)
    # Where the input was broadcast, the terms differ before they are summed.
    for how, term in _other_terms(case):
        summed = _summed_to(term, n.shape)
        if summed is not None and agree(summed, a):
            says = f"The wrong factor: {how}. Write the formula down, and see which operand belongs."
            return Mistake("operand", says, f"{how}, summed to the input's shape, gives analytic.")
    return None


def _other_terms(case: Case) -> Iterator[tuple[str, Array]]:
    """What each element of y would contribute with one known factor more, or with dL/dy and that factor alone."""
    g, terms = case.grad_output, case.own_terms()
    if g is None:
        return
    for name, z in case.known.items():
        if _fits(z, g.shape):
            yield from ((f"dL/dy · {name}", g * z), (f"dL/dy / {name}", g / z), (f"-dL/dy · {name}", -g * z))
            if terms is not None and terms.shape == g.shape:
                yield from ((f"each term multiplied by {name}", terms * z), (f"each term divided by {name}", terms / z))


def _input_for_result(case: Case) -> Mistake | None:
    """In the terms of an operation of two inputs, an input stands where the result belongs."""
    terms, y = case.own_terms(), case.y
    if terms is None or y is None or terms.shape != y.shape:
        return None
    for name, z in case.known.items():
        summed = _summed_to(terms * z / y, case.numeric.shape) if name != "y" and _fits(z, y.shape) else None
        if summed is not None and agree(summed, case.analytic):
            says = f"The derivative has the result y as a factor, but {name} stands in its place."
            return Mistake("at-input", says, f"the right terms with {name} in the place of y give this gradient.")
    return None


def _explains(factor: Array, a: Array, n: Array) -> bool:
    return agree(factor * n, a) and not agree(np.full_like(n, float(factor.flat[0])), np.asarray(factor))


def _wrong_factor(how: str, a: Array, candidate: Array) -> Mistake:
    turned = "" if agree(candidate, a) else " with the other sign"
    says = f"A factor is wrong: the gradient is {how}{turned}, compared with the right one."
    return Mistake("operand", says, f"numeric {how} equals analytic everywhere.")


def _fits(z: Array, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(z.shape, shape) == shape
    except ValueError:
        return False


def _summed_to(term: Array, shape: tuple[int, ...]) -> Array | None:
    """The term summed over what a broadcast of this shape repeated; None if none makes the term's shape."""
    return unbroadcast(term, shape) if _fits(np.empty(shape), term.shape) else None


def _shifted(case: Case) -> Mistake | None:
    a, n = case.analytic, case.numeric
    apart = a - n
    shift = float(apart.reshape(-1)[0])
    if n.size < 3 or not agree(np.full_like(n, shift), apart) or np.ptp(n) <= CLOSE * np.abs(n).max():
        return None
    says = f"The same number is added everywhere, {_number(shift)}: a term that does not belong there, or one left out."
    return Mistake("shifted", says, f"analytic - numeric is {_number(shift)} everywhere.")


HYPOTHESES = (
    _not_finite,
    _detached,
    _inputs_swapped,
    _walked,
    _grad_output_missing,
    _sign,
    _mean,
    _factor,
    _transposed,
    _product_transposed,
    _one_term,
    _wrong_axis,
    _softmax_at_other_end,
    _overwritten,
    _mask_inverted,
    _mask_missing,
    _mask_wrong_side,
    _rows_missing,
    _derivative_missing,
    _other_end,
    _at_output,
    _off_diagonal,
    _one_hot,
    _averaged,
    _operand,
    _input_for_result,
    _wrong_place,
    _eps,
    _clipped,
    _shifted,
    _kinks,
    _rounding,
)
