"""Mistakes in one term of a known formula: missing, with another sign or factor, or summed over another axis.

A formula is a list of terms whose sum is the right gradient: softmax, log-softmax, normalisation (batch, layer, RMS,
by the norm), cross-entropy. The wrong gradient is fitted as a combination of the terms, and the coefficients are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from minitrain.diagnosis.autopsy.case import Case, Mistake, agree, fits, fitted, naming, number, some_axes
from minitrain.ops import Array


@dataclasses.dataclass(frozen=True)
class Formula:
    """A formula of the right gradient.

    text: how it is written. terms: its terms, by name. missing: what it means if the term of that name is missing.
    count: over how many numbers its means or sums go. elsewhere: the whole gradient with one change, by a sentence
    about that change, and the name of the mistake.
    """

    text: str
    terms: Mapping[str, Array]
    count: int
    missing: Mapping[str, tuple[str, str]]
    elsewhere: Mapping[tuple[str, str], Array] = dataclasses.field(default_factory=dict)


def terms(case: Case) -> Mistake | None:
    """A term of a formula is wrong."""
    for formula in _formulas(case):
        for (name, says), gradient in formula.elsewhere.items():
            if agree(gradient, case.analytic):
                return Mistake(name, says, f"computed like this, {formula.text} gives this gradient.")
        found = fitted(case.analytic, [*formula.terms.values()])
        if found is None or np.ptp(found) <= 1e-3 * np.abs(found).max():
            continue
        return _read(formula, dict(zip(formula.terms, map(float, found), strict=True)))
    return None


def _read(formula: Formula, found: Mapping[str, float]) -> Mistake:
    wrong = {term: c for term, c in found.items() if abs(c - 1) > 1e-3}
    missing = [term for term, c in wrong.items() if abs(c) < 1e-3]
    evidence = "analytic is " + " + ".join(f"{number(round(c, 4))} · ({term})" for term, c in found.items())
    if missing:
        name, meaning = formula.missing.get(missing[0], ("term-missing", ""))
        both = "The terms " if len(missing) > 1 else "The term "
        verb = "are" if len(missing) > 1 else "is"
        says = f"{both}{' and '.join(missing)} {verb} missing in {formula.text}. {meaning}".strip()
        rest = next((c for c in wrong.values() if abs(c) >= 1e-3), None)
        if rest is not None:
            says += f" The rest is {number(rest)} times what it should be."
        return Mistake(name, says, evidence)
    term, c = next(iter(wrong.items()))
    if abs(c + 1) < 1e-3:
        return Mistake("term-sign", f"The sign of one term, {term}, is wrong in {formula.text}.", evidence)
    n = formula.count
    why = ""
    if abs(c - n) < 1e-3 * n:
        why = f" It is a mean over {n} numbers: the 1/N is missing (a sum for a mean)."
    elif abs(c * n - 1) < 1e-3:
        why = f" It is a sum over {n} numbers: here it is divided by N (a mean for a sum)."
    elif abs(c - 2) < 1e-3:
        why = " It is counted twice."
    says = f"One term, {term}, is {number(round(c, 4))} times too large in {formula.text}.{why}"
    if abs(c) < 1:
        says = f"One term, {term}, is only {number(round(c, 4))} times what it should be in {formula.text}.{why}"
    return Mistake("term-factor", says, evidence)


def _formulas(case: Case) -> Iterator[Formula]:
    for make in (_softmaxes, _normalisations, _cross_entropies, _soft_targets):
        for formula in make(case):
            if agree(np.asarray(sum(formula.terms.values())), case.numeric):
                yield formula


# --- the formulas -----------------------------------------------------------------------------------------------------

OFF_DIAGONAL = (
    "off-diagonal-missing",
    "Each result depends on all inputs of its row (they share a sum): the terms off the Jacobian's diagonal are "
    "missing, the term with the sum over the row.",
)
ONE_HOT = (
    "With cross-entropy, dL/dy itself is the one-hot of the right class (without it, even that class is pushed down)."
)


def _softmaxes(case: Case) -> Iterator[Formula]:
    """Softmax and log-softmax over any axis."""
    y, g = case.y, case.grad_output
    if y is None or g is None or y.shape != case.numeric.shape:
        return
    for axis in range(y.ndim):
        if y.shape[axis] < 2:
            continue
        softmax = np.allclose(y.sum(axis=axis), 1) and (y >= 0).all()
        e = np.exp(y)
        if softmax:
            text, p, product = f"softmax over axis {axis}, y · (dL/dy - Σ dL/dy · y)", y, g * y
            own, of_sum, name = g * y, -y, "y · Σ dL/dy · y"
        elif np.allclose(e.sum(axis=axis), 1):
            text, p, product = f"log-softmax over axis {axis}, dL/dy - exp y · Σ dL/dy", e, g
            own, of_sum, name = g, -e, "exp y · Σ dL/dy"
        else:
            continue
        elsewhere: dict[tuple[str, str], Array] = {}
        if case.x is not None and case.x.shape == y.shape:
            z = case.x if softmax else np.exp(case.x)
            of_x = z * (g - (g * z).sum(axis, keepdims=True)) if softmax else g - z * g.sum(axis, keepdims=True)
            elsewhere["at-input", f"The input x is used instead of the result y in {text}."] = of_x
        if not softmax:
            says = f"In {text}, the log-probabilities y are used where the probabilities, exp y, belong."
            elsewhere["operand", says] = g - y * g.sum(axis, keepdims=True)
        for axes in some_axes(y.ndim):
            if axes != (axis,):
                where = "everything" if len(axes) == y.ndim > 1 else naming(axes)
                says = (
                    f"The sum in {text} is over the wrong axis: over {where} ({naming(axes)}). Each row has its own "
                    f"sum: over axis {axis}, with keepdims=True."
                )
                elsewhere["sum-wrong-axis", says] = own + of_sum * product.sum(axis=axes, keepdims=True)
        if softmax:
            says = f"In {text}, the sum is over dL/dy alone: dL/dy is not multiplied by y before the sum."
            elsewhere["operand", says] = own - y * g.sum(axis=axis, keepdims=True)
            says = f"In {text}, the difference is not multiplied by y."
            elsewhere["operand", says] = g - product.sum(axis=axis, keepdims=True)
        named = {"dL/dy · y" if softmax else "dL/dy": own, name: of_sum * product.sum(axis=axis, keepdims=True)}
        missing = {name: OFF_DIAGONAL, "dL/dy": ("one-hot-missing", ONE_HOT)}
        yield Formula(text, named, p.shape[axis], missing, elsewhere)


def _normalisations(case: Case) -> Iterator[Formula]:
    """(x - mean) / deviation, x / root of the mean square, and x / norm, over any axes, and then perhaps a factor."""
    x, y, g = case.x, case.y, case.grad_output
    if x is None or y is None or g is None or not x.shape == y.shape == g.shape == case.numeric.shape:
        return
    factors = {name: z for name, z in case.known.items() if name.startswith("input") and fits(z, x.shape)}
    for axes in some_axes(x.ndim):
        count = int(np.prod([x.shape[axis] for axis in axes]))
        if count < 2:
            continue
        for kind in ("mean", "rms", "norm"):
            centred = x - x.mean(axis=axes, keepdims=True) if kind == "mean" else x
            square = (centred * centred).mean(axis=axes, keepdims=True) * (count if kind == "norm" else 1)
            for eps in (1e-5, 0.0, 1e-3):
                rate = 1 / np.sqrt(square + eps)
                for gamma in (None, *factors):
                    d = g if gamma is None else g * factors[gamma]
                    formula = _normalisation(case, d, g, centred * rate, rate, axes, count, kind, gamma)
                    if formula is not None:
                        yield formula
                        return


def _normalisation(
    case: Case,
    d: Array,
    g: Array,
    normed: Array,
    rate: Array,
    axes: tuple[int, ...],
    count: int,
    kind: str,
    gamma: str | None,
) -> Formula | None:
    def written(d: Array, over: tuple[int, ...], z: Array = normed) -> list[Array]:
        mean, product = d.mean(axis=over, keepdims=True), (d * z).mean(axis=over, keepdims=True)
        product = product * (count if kind == "norm" else 1)
        return [rate * d, -rate * mean, -rate * z * product] if kind == "mean" else [rate * d, -rate * z * product]

    right = written(d, axes)
    if not agree(np.asarray(sum(right)), case.numeric):
        return None
    where = naming(axes)
    what = {"mean": "the mean and the variance", "rms": "the root of the mean square", "norm": "the norm"}[kind]
    text = f"normalisation over {where}"
    by = {"mean": "variance", "rms": "mean square", "norm": "norm"}[kind]
    of_mean, of_square = "the one through the mean", f"the one through the {by} (a multiple of the normalised x)"
    named = dict(zip(["dL/dy / deviation", *([of_mean] if kind == "mean" else []), of_square], right, strict=True))
    meaning = f"For backward, {what} are no constants: they depend on every entry along {where}."
    meaning = (
        meaning if kind == "mean" else meaning.replace("are no constants: they depend", "is no constant: it depends")
    )
    elsewhere: dict[tuple[str, str], Array] = {}
    for other in some_axes(normed.ndim):
        if other != axes:
            says = f"The means in backward are over the wrong axis, {naming(other)}; forward normalises over {where}."
            elsewhere["sum-wrong-axis", says] = np.asarray(sum(written(d, other)))
    if gamma is not None:
        says = f"The factor {gamma} (gamma) is missing: dL/dy reaches the normalised x multiplied by it."
        elsewhere["operand", says] = np.asarray(sum(written(g, axes)))
        says = f"The factor {gamma} (gamma) is missing in the means: multiply dL/dy by it before all terms."
        elsewhere["operand", says] = np.asarray(written(d, axes)[0] + sum(written(g, axes)[1:]))
    if case.x is not None:
        says = f"In the term through the {by}, x itself is used, and not the normalised x."
        elsewhere["at-input", says] = np.asarray(sum(written(d, axes, case.x)))
    missing = {of_mean: ("term-missing", meaning), of_square: ("term-missing", meaning)}
    return Formula(text, named, count, missing, elsewhere)


def _cross_entropies(case: Case) -> Iterator[Formula]:
    """weight · (softmax(x) - one-hot), with one weight for each row."""
    x, n = case.x, case.numeric
    if x is None or x.shape != n.shape or x.ndim < 2:
        return
    for axis in range(x.ndim):
        if x.shape[axis] < 3:
            continue
        p = _softmax(x, axis)
        weight = np.median(n / p, axis=axis, keepdims=True)  # of all classes but the right one
        one_hot = np.where(weight == 0, 0, p - n / np.where(weight == 0, 1, weight))
        right = np.abs(one_hot - 1) < 1e-3
        if not (right.sum(axis=axis) == (weight != 0).sum(axis=axis)).all() or not agree(weight * (p - right), n):
            continue
        text = f"cross-entropy of softmax over axis {axis}, softmax(x) - onehot"
        w, one = weight, right.astype(float)
        row, twice = f"over axis {axis}", _softmax(p, axis)
        changes: dict[tuple[str, str], Array] = {
            ("softmax-twice", f"Softmax is applied twice: softmax of the probabilities, {row}, where the probabilities "
             "themselves belong."): w * (twice - one),
            ("operand", "The logits x stand where their softmax belongs: the gradient is x - onehot."): w * (x - one),
            ("operand", "The log-probabilities stand where the probabilities belong."): w * (np.log(p) - one),
            ("operand", "Sigmoid is applied where softmax belongs: with cross-entropy over classes, the "
             "probabilities of a row share a sum."): w * (1 / (1 + np.exp(-x)) - one),
            ("off-diagonal-missing", "Only the right class gets a gradient. Through softmax's sum, the logits of the "
             "other classes matter, too: the terms off the Jacobian's diagonal are missing."): -w * one * (1 - p),
            ("derivative-missing", "This is the derivative of -log p with respect to p, -onehot / p; softmax's own "
             "derivative is missing."): -w * one / p,
        }  # fmt: skip
        for other in range(x.ndim):
            if other != axis:
                says = f"softmax in backward is over the wrong axis, axis {other}; forward's is over axis {axis}."
                changes["sum-wrong-axis", says] = w * (_softmax(x, other) - one)
        why = "softmax(x) - onehot(target): without the one-hot of the right class, even that class is pushed down."
        alone = "Without softmax, the logits of the other classes get no gradient."
        missing = {"onehot": ("one-hot-missing", why), "softmax(x)": ("term-missing", alone)}
        yield Formula(text, {"softmax(x)": w * p, "onehot": -w * one}, x.shape[axis], missing, changes)


def _soft_targets(case: Case) -> Iterator[Formula]:
    """(softmax(x) - target) / N, with targets that are probabilities and need not be one-hot."""
    x, n, g = case.x, case.numeric, case.grad_output
    if x is None or g is None or g.size != 1 or x.shape != n.shape or x.ndim < 2:
        return
    for axis in range(x.ndim):
        p, count = _softmax(x, axis), x.size // x.shape[axis]
        for divisor in (count, 1, x.size):
            w = float(g.reshape(-1)[0]) / divisor
            target, taken = p - n / w, p - case.analytic / w
            if target.min() < -1e-6 or not np.allclose(target.sum(axis=axis), 1, atol=1e-6):
                continue
            plain = _few_values(target)  # one-hot, perhaps smoothed; another N would mix the probabilities in
            if not plain and divisor != count:
                continue
            text = f"cross-entropy with softmax over axis {axis}, softmax(x) - target"
            changes = {
                ("derivative-missing", "This is the derivative of -log p with respect to p, -target / p; softmax's own "
                 "derivative is missing."): -w * target / p,
                ("off-diagonal-missing", "Through softmax's sum, each logit changes the probabilities of all classes: "
                 "the terms off the Jacobian's diagonal are missing."): -w * target * (1 - p),
                ("softmax-twice", "Softmax is applied twice: softmax of the probabilities stands where the "
                 "probabilities themselves belong."): w * (_softmax(p, axis) - target),
            }  # fmt: skip
            if plain and taken.ndim == 2 and agree(taken, target.T) and not agree(taken, target):
                says = (
                    "The two indices are exchanged where the one-hot is subtracted: p[rows, target] -= 1, not "
                    "p[target, rows] -= 1."
                )
                changes["wrong-target", says] = w * (p - taken)
            elif np.allclose(taken.sum(axis=axis), 1, atol=1e-5) and plain and _few_values(taken):
                hard = " The ones here are 0 and 1 (one-hot): are forward's smoothed, or mixed?"
                one_hot = np.allclose(taken.max(axis=axis), 1, atol=1e-5)
                smooth = not np.allclose(target.max(axis=axis), 1, atol=1e-5)
                says = (
                    "The targets in backward are other ones than in forward: another class is taken for the right one, "
                )
                says += f"or they are not smoothed in the same way.{hard if one_hot and smooth else ''}"
                changes["wrong-target", says] = w * (p - taken)
            why = "The targets, the one-hot of the right class if they are hard, are not subtracted."
            missing = {"target": ("one-hot-missing", why), "softmax(x)": ("term-missing", "Softmax is not there.")}
            yield Formula(text, {"softmax(x)": w * p, "target": -w * target}, x.shape[axis], missing, changes)
            return


def _few_values(target: Array) -> bool:
    """Whether these are targets with a few different values, between 0 and 1."""
    return bool(target.min() > -1e-6 and len(np.unique(np.round(target, 5) + 0.0)) <= 3)


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))
