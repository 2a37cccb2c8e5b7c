"""What wrong updates show where no edit of a rule gives them: a changed gradient, a rate that falls, a wrong memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.ops import Array

Grads = list[list[Array | None]]  # for each step and parameter
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)  # to which gradients are usually clipped


# --- gradients that step() changes before it uses them ----------------------------------------------------------------


def changed_gradients(grads: Grads, seen: Sequence[float]) -> Iterator[tuple[str, str, Grads]]:
    """The name, the explanation and the gradients of each change that step() may make before the rule.

    seen: more bounds to try, as the updates show them.
    """

    def each(change: Callable[..., Array]) -> Grads:
        return [[None if g is None else change(g) for g in step] for step in grads]

    def together(factor: Callable[[float], float]) -> Grads:
        norms = [float(np.sqrt(sum((g * g).sum() for g in step if g is not None))) for step in grads]
        return [
            [None if g is None else g * factor(norm) for g in step] for step, norm in zip(grads, norms, strict=True)
        ]

    def norm(g: Array) -> float:
        return float(np.linalg.norm(g))

    outside = "Clip outside step(), with clip_grad_norm_ or clip_grad_value_ after backward."
    for bound, tiny in itertools.product(dict.fromkeys([*BOUNDS, *seen]), (0, 1e-6)):

        def cut(length: float, bound: float = bound, tiny: float = tiny) -> float:
            return min(1, bound / (length + tiny)) if length else 1

        text = f"{bound:.6g}"
        says = (
            f"step() clips each parameter's gradient to norm {text}: where its norm is larger, the step is too small."
        )
        yield "gradient-clipped", f"{says} {outside}", each(lambda g, cut=cut: g * cut(norm(g)))
        says = f"step() clips all gradients together to norm {text}: where their norm is larger, the step is too small."
        yield "gradient-clipped", f"{says} {outside}", together(cut)
        if not tiny:
            says = f"step() clips every entry of the gradient to between -{text} and {text}."
            yield "gradient-clipped", f"{says} {outside}", each(lambda g, bound=bound: np.clip(g, -bound, bound))
    says = "step() divides each parameter's gradient by its norm: every gradient has length 1. Use the gradient itself."
    yield "gradient-normalized", says, each(lambda g: g / norm(g))
    says = "step() divides all gradients by their common norm. Use the gradients themselves."
    yield "gradient-normalized", says, together(lambda n: 1 / n)
    yield "gradient-sign", "step() uses only the gradient's sign. Use the gradient itself.", each(np.sign)
    says = "step() subtracts the gradient's mean from it. Use the gradient itself."
    yield "gradient-centered", says, each(lambda g: g - g.mean())
    says = "step() divides each parameter's gradient by its number of entries. Use the gradient itself."
    yield "gradient-averaged", says, each(lambda g: g / g.size)
    says = "step() uses the mean of each parameter's gradient in place of its entries."
    yield "gradient-averaged", says, each(lambda g: np.full_like(g, g.mean()))
    says = "step() takes the gradient's absolute value, so the direction is lost. Use the gradient itself."
    yield "gradient-sign", says, each(np.abs)


# --- the ratios of the updates ----------------------------------------------------------------------------------------


class Ratios:
    """(update taken) / (update due) of each parameter and step, where it is the same for all entries.

    of: {(step, parameter): ratio}; nan where it is not the same. Updates that are 0 and should be are left out.
    """

    def __init__(self, taken: Any, right: Any) -> None:
        self.of: dict[tuple[int, int], float] = {}
        for step, i in itertools.product(range(len(right.sent)), range(len(right.start))):
            ours, theirs = (
                run.params[step][i] - (run.params[step - 1][i] if step else run.start[i]) for run in (taken, right)
            )
            seen = theirs != 0
            if seen.any():
                with np.errstate(all="ignore"):
                    ratios = ours[seen] / theirs[seen]
                # An eps of 1e-8 beside the smallest gradients moves a ratio by 1e-5.
                tight = np.allclose(ratios, ratios[0], rtol=1e-4 if taken.in_float32 else 2e-5, atol=0)
                self.of[step, i] = float(ratios[0]) if tight and np.isfinite(ratios).all() else np.nan

    def by_step(self, parameters: Sequence[int], own: bool) -> list[float] | None:
        """The ratio of each step (own: of each parameter's own updates) if it is the same for all these parameters."""
        found: dict[int, list[float]] = {}
        for i in parameters:
            steps = [step for step, j in self.of if j == i]
            for count, step in enumerate(steps):
                found.setdefault(count if own else step, []).append(self.of[step, i])
        same = [np.allclose(ratios, ratios[0], rtol=1e-4, atol=0) for ratios in found.values()]
        return [found[k][0] for k in sorted(found)] if found and all(same) else None


def closed_form(ratios: Sequence[float]) -> str | None:
    """A formula in the step t, from 1 up, that gives these factors."""
    t = np.arange(1, len(ratios) + 1)
    if len(ratios) < 3:
        return None
    first, second = ratios[:2]
    begins = "t - 1" if np.isclose(first, 1, rtol=1e-5) else "t"
    n, base = (t - 1, second) if begins == "t - 1" else (t, first)
    if base <= 0:
        return None
    inverse, root, line = 1 / base - 1, 1 / base**2 - 1, 1 - base
    in_brackets = f"({begins})" if begins == "t - 1" else "t"
    forms = {
        f"{base:.6g}^{in_brackets}": base**n,
        "1 / t": 1 / t,
        "1 / √t": 1 / np.sqrt(t),
        f"1 / (1 + {inverse:.6g} · {in_brackets})": 1 / (1 + inverse * n),
        f"1 / √(1 + {root:.6g} · {in_brackets})": 1 / np.sqrt(1 + root * n),
        f"1 - {line:.6g} · {in_brackets}": 1 - line * n,
    }
    return next((text for text, values in forms.items() if np.allclose(values, ratios, rtol=1e-4, atol=1e-9)), None)


def by_ratios(taken: Any, right: Any, wrong: Sequence[int]) -> list[Mistake]:
    """What constant ratios show: a factor, or a rate that changes by itself."""
    ratios = Ratios(taken, right)
    for own in (True, False):
        factors = ratios.by_step(wrong, own)
        if factors is None or not np.isfinite(factors).all() or np.allclose(factors, 1, rtol=1e-5):
            continue
        listed = ", ".join(f"{factor:.6g}" for factor in factors)
        evidence = f"the updates of {_parameters(wrong, right)} are {listed} times the right ones, all entries alike."
        if np.allclose(factors, factors[0], rtol=1e-5):
            says = f"Every update is {factors[0]:.6g} times the right one: a factor of the step, or lr, is wrong."
            return [Mistake("step-factor", says, evidence)]
        form = closed_form(factors)
        falls = all(later < earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(factors))
        what = "The learning rate falls" if falls else "The learning rate changes"
        if form is not None:
            says = f"{what} by itself: in step t it is lr · {form}. A schedule hides in step(); use lr as it is."
        else:
            says = (
                f"{what} by itself, or a correction of the whole step is wrong: each step has a factor of its own, the "
                "same for all entries."
            )
        return [Mistake("rate-falls" if falls else "rate-changes", says, evidence)]
    return []


def not_reached(taken: Any, right: Any, wrong: Sequence[int]) -> list[Mistake]:
    """Whether parameters stand still in some steps: where one before them has no gradient, or has one."""
    steps = range(len(right.sent))
    still = {
        i: [
            k
            for k in steps
            if np.array_equal(taken.params[k][i], taken.params[k - 1][i] if k else taken.start[i])
            and not np.array_equal(right.params[k][i], right.params[k - 1][i] if k else right.start[i])
        ]
        for i in wrong
    }
    if not all(still.values()):
        return []
    i = wrong[0]
    step, others = still[i][0], set(steps) - {*still[i]}
    missing = [[k for k, g in enumerate(right.sent[at][:i]) if g is None] for at in steps]
    if all(missing[at] for at in still[i]):
        says = (
            "A parameter that has no gradient ends the loop: those after it are not updated in that step. Skip it with "
            "`continue`, not with `break` or `return`."
        )
        evidence = f"in step {step + 1}, parameter {missing[step][0]} has no gradient, and parameter {i} stands still."
    elif i and all(len(missing[at]) == i or right.sent[at][i] is None for at in others):
        says = (
            "The loop ends after the first parameter with a gradient: those after it are not updated. Is a `return` "
            "or `break` indented one level too deep?"
        )
        evidence = f"in step {step + 1}, parameter {i} stands still, and one before it has a gradient."
    else:
        return []
    return [Mistake("not-updated", says, evidence)]


# --- what is remembered -----------------------------------------------------------------------------------------------


def by_memory(taken: Any, right: Any, wrong: Sequence[int], apart: Callable[[int, int], bool]) -> list[Mistake]:
    """Where the first step is right and a later one is wrong: what changed in between.

    apart: whether parameter i differs after a step.
    """
    steps = range(len(right.sent))
    firsts = {i: next((step for step in steps if apart(step, i)), None) for i in wrong}
    found = [step for step in firsts.values() if step is not None]
    if not found or min(found) == 0:
        return []
    step = min(found)
    who = _parameters([i for i in wrong if firsts[i] == step], right)
    evidence = f"{who}: right to the end of step {step}, wrong from step {step + 1}."
    if step > 1 and right.lrs[step] != right.lrs[step - 1]:
        says = (
            "Right until lr changes, wrong after: the old lr is kept somewhere. Read it at each step, and keep it out "
            "of what is remembered."
        )
        return [Mistake("lr-remembered", says, evidence)]
    missed = [i for i in wrong if firsts[i] == step and any(right.sent[k][i] is None for k in range(step + 1))]
    if missed and len(missed) == len(wrong):
        says = (
            "Right until .grad is None in a step, wrong after. A parameter without a gradient must be skipped: it does "
            "not move, and what is remembered of it does not change."
        )
        return [Mistake("none-as-zero", says, evidence)]
    says = (
        "The first step is right, a later one is wrong. So the formula of a step is right, but what is remembered from "
        "step to step (an average, a buffer, the count of steps) is wrong: not kept, kept too early, or shared."
    )
    return [Mistake("memory-wrong", says, evidence)]


def _parameters(wrong: Sequence[int], run: Any) -> str:
    return ("parameter " if len(wrong) == 1 else "parameters ") + ", ".join(map(str, wrong)) + which(wrong, run)


def which(wrong: Sequence[int], run: Any) -> str:
    """What sets these parameters apart from the right ones, in brackets; empty if all are wrong."""
    others = [i for i in range(len(run.start)) if i not in wrong]
    if not others:
        return ""
    if all(run.start[i].ndim < 2 for i in wrong) and all(run.start[i].ndim >= 2 for i in others):
        return " (those of one axis, such as biases; the others are right)"
    if all(run.start[i].ndim >= 2 for i in wrong) and all(run.start[i].ndim < 2 for i in others):
        return " (those of two axes, such as weights; the others are right)"
    if min(wrong) > max(others):
        return " (the last ones; the others are right. Does the loop use each parameter's own group and state?)"
    if max(wrong) < min(others):
        return " (the first ones; the others are right. Does the loop use each parameter's own group and state?)"
    return " (the others are right)"
