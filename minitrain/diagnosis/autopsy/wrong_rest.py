"""Mistakes that leave a rest: analytic - numeric is a multiple of an array at hand, or of one along each row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minitrain.diagnosis.autopsy.case import (
    CLOSE,
    Case,
    Mistake,
    agree,
    fits,
    fitted,
    naming,
    number,
    ratio_of,
    some_axes,
)
from minitrain.ops import Array


def multiple(case: Case) -> Mistake | None:
    """The rest is a constant multiple of one array; or the gradient is, beside a multiple of the right one."""
    a, n = case.analytic, case.numeric
    rest = a - n
    if n.size < 4:
        return None
    g = case.grad_output
    one = ", for dL/dy = 1" if g is not None and g.size == 1 else ""
    scale = float(g.reshape(-1)[0]) if g is not None and g.size == 1 else 1.0  # the numbers shown are for dL/dy = 1
    for name, z in _arrays(case):
        found = fitted(rest, [z])
        if found is None or fitted(n, [z]) is not None or np.ptp(z) <= CLOSE * np.abs(z).max():
            continue
        if np.count_nonzero(z) < 3:
            continue  # any rest at so few entries is a multiple of it
        c = float(found[0]) / scale
        penalty = ""
        if name in ("x", "sign x"):
            norm = "Σ x²" if name == "x" else "Σ |x|"
            penalty = f", such as that of a penalty of the weights (weight decay, {norm})"
        says = (
            f"A term is missing, stands there too often, or has the wrong sign: a multiple of {name}{penalty}. The "
            f"gradient is the right one {'+' if c > 0 else '-'} {number(round(abs(c), 6))} · {name}. If the "
            f"term is missing, it is {number(round(-c, 6))} · {name}; if only its sign is wrong, it is "
            f"{number(round(-c / 2, 6))} · {name}."
        )
        return Mistake("term-missing", says, f"analytic - numeric is {number(round(c, 6))} · {name} everywhere{one}.")
    for name, z in _arrays(case) if n.size > 4 and ratio_of(case) is None else ():
        if np.ptp(z) <= CLOSE * np.abs(z).max() or name.startswith("sign") or np.count_nonzero(z) < 3:
            continue
        alone, both = fitted(a, [z]), fitted(a, [n, z])
        if alone is not None and fitted(n, [z]) is None:
            c = float(alone[0]) / scale
            says = (
                f"The gradient is {number(round(c, 6))} · {name} and nothing else: the other terms, or what follows "
                "from it by the chain rule, are missing."
            )
            return Mistake("term-missing", says, f"analytic is {number(round(c, 6))} · {name} everywhere.")
        agreeing = np.abs(a - n) <= CLOSE * np.abs(n)
        if both is not None and fitted(n, [z]) is None and not (agreeing & (np.abs(n) > CLOSE * np.abs(n).max())).any():
            share, c = float(both[0]), float(both[1]) / scale
            says = (
                f"One part is {number(round(share, 6))} times what it should be, and the other part, a multiple of "
                f"{name}, is not: the constant stands before one term alone. (Of {name}, {number(round(c, 6))} times "
                "too many are there beside it.)"
            )
            evidence = f"analytic is {number(round(share, 6))} · numeric + {number(round(c, 6))} · {name} everywhere."
            return Mistake("term-factor", says, evidence)
    return None


def _arrays(case: Case) -> Iterator[tuple[str, Array]]:
    shape = case.numeric.shape
    for name, z in case.at_hand.items():
        if fits(z, shape):
            full = np.broadcast_to(z, shape)
            yield name, full
            yield f"sign {name}", np.sign(full)
    g = case.grad_output
    if g is not None and g.size > 1:
        for name, z in case.at_hand.items():
            if fits(z, g.shape) and g.shape == shape:
                yield f"dL/dy · {name}", g * z
        if g.shape == shape:
            yield "dL/dy", g


def along_an_axis(case: Case) -> Mistake | None:
    """In each row, the rest is one number, a multiple of an array, or both: a term through a mean, norm or variance."""
    a, n = case.analytic, case.numeric
    rest = a - n
    if n.ndim < 2 or case.jacobian is None:
        return None
    for axes in some_axes(n.ndim):
        count = int(np.prod([n.shape[axis] for axis in axes]))
        if len(axes) == n.ndim and n.size > 0:
            continue
        ones = np.ones(n.shape)
        where = naming(axes)
        if count >= 3 and _fits_rows(rest, axes, [ones]):
            says = (
                f"A term is missing or wrong that is the same for all entries along {where}: one through a sum or a "
                f"mean over {where} (a mean that was subtracted, a maximum, a shared sum). For backward, it is no "
                "constant."
            )
            return Mistake("term-missing", says, f"analytic - numeric is one number along {where}.")
        for name, z in _arrays(case):
            if name.startswith(("sign", "dL/dy")) or np.ptp(z) <= CLOSE * np.abs(z).max():
                continue
            if count >= 3 and _fits_rows(rest, axes, [z]) and not _fits_rows(n, axes, [z]):
                what = "x" if name == "x" else name
                says = (
                    f"A term is missing or wrong that along {where} is a multiple of {what}: the one through a norm, a "
                    f"variance or a shared sum over {where}. For backward, that is no constant."
                )
                return Mistake("term-missing", says, f"analytic - numeric is a multiple of {what} along {where}.")
            if count >= 4 and _fits_rows(rest, axes, [ones, z]) and not _fits_rows(n, axes, [ones, z]):
                says = (
                    f"A term is missing or wrong: one through the mean and the variance over {where}. They depend on "
                    "every entry, and for backward they are no constants."
                )
                evidence = f"along {where}, analytic - numeric is one number plus a multiple of {name}."
                return Mistake("term-missing", says, evidence)
    return None


def _fits_rows(rest: Array, axes: tuple[int, ...], terms: list[Array]) -> bool:
    """Whether along these axes the rest is a combination of the terms, with numbers of their own for each row."""
    last = tuple(range(-len(axes), 0))
    rows, *columns = (
        np.moveaxis(z, axes, last).reshape(-1, int(np.prod([z.shape[axis] for axis in axes]))) for z in (rest, *terms)
    )
    if len(rows) < 2:
        return False
    made = np.empty_like(rows)
    for i, row in enumerate(rows):
        matrix = np.stack([column[i] for column in columns], axis=1)
        if not np.isfinite(matrix).all():
            return False
        made[i] = matrix @ np.linalg.lstsq(matrix, row, rcond=1e-9)[0]
    return agree(made, rows, 1e-5 / 0.1)


def unbalanced(case: Case) -> Mistake | None:
    """The right gradient adds up to 0 along an axis, and this one does not."""
    a, n, y = case.analytic, case.numeric, case.y
    if y is None or n.ndim < 2:
        return None
    for axis in reversed(range(n.ndim)):
        scale = np.abs(n).sum(axis=axis).max()
        off = np.abs(a.sum(axis=axis)) > 1e-2 * np.abs(a).sum(axis=axis).max()
        if n.shape[axis] < 3 or np.abs(n.sum(axis=axis)).max() > 1e-6 * scale or not off.mean() >= 0.5:
            continue
        says = (
            f"A term is missing or wrong that makes up the balance along axis {axis}: the result does not change if "
            f"the same is added to all entries along it, so the gradient adds up to 0 there. With a softmax on the "
            "way, the term with the sum over the row (off the Jacobian's diagonal) is missing; in a loss of classes, "
            "the one-hot of the right class; with a mean that is subtracted, the mean's term."
        )
        sums = number(float(np.abs(a.sum(axis=axis)).max()))
        return Mistake("term-missing", says, f"along axis {axis} numeric adds up to 0, analytic up to {sums}.")
    return None
