"""What a mistake on the way back through a network is: other gradients that some steps send back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from minitrain.diagnosis.traced_array import Back, Sent
from minitrain.ops import Array

Alternative = Callable[[Array], Array | None]


@dataclasses.dataclass(frozen=True)
class Change:
    """A mistake on the way back.

    touched: the inputs whose gradients it can change. changed(k, before): what the changed steps send back, given how
    they are changed already; k is the factor of a scaled change, which is fitted. rank: the likeliest have 0.
    """

    name: str
    says: str
    touched: frozenset[int]
    changed: Callable[[float, Mapping[int, Back]], dict[int, Back]]
    scaled: bool = False
    missing: str = ""
    rank: int = 0


@dataclasses.dataclass(frozen=True)
class Way:
    """A mistake in what a step sends to one of its arguments.

    key: the same for the steps of a loop. back: from the result's gradient; None if the right one gets a factor.
    """

    key: str
    name: str
    says: str
    back: Alternative | None
    missing: str = ""


def replaced(u: int, v: int, back: Alternative) -> Callable[[float, Mapping[int, Back]], dict[int, Back]]:
    """The way back from v straight to u."""

    def sent(g: Array) -> Sent:
        new = back(g)
        return [] if new is None else [(u, new)]

    return lambda k, before: {v: sent}


def proportional(a: Array, b: Array) -> bool:
    size = float((b * b).sum())
    return size == 0 or bool(np.abs(a - (a * b).sum() / size * b).max() <= 1e-6 * np.abs(a).max())
