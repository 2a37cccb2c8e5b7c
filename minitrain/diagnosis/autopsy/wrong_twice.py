"""Two mistakes at once: a constant (a sign, a 2, a mean's 1/N) in front of a known mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from minitrain.diagnosis.autopsy.case import Case, Mistake, number
from minitrain.diagnosis.autopsy.wrong_factor import sizes_of


def behind_a_constant(case: Case, tests: Sequence[Any]) -> Iterator[Mistake]:
    """The first of the tests that fits once the gradient is divided by a constant that people get wrong."""
    for divisor, what in _constants(case):
        unscaled = dataclasses.replace(case, analytic=case.analytic / divisor)
        for test in tests:
            found = test(unscaled)
            if found is not None:
                says = f"{found.says} And a second mistake: {what}."
                evidence = f"once divided by {number(divisor)}: {found.evidence}"
                yield Mistake(found.name, says, evidence)
                return


def _constants(case: Case) -> Iterator[tuple[float, str]]:
    yield -1.0, "the sign is wrong, too"
    yield 2.0, "the rest is 2 times too large"
    yield 0.5, "the rest is half of what it should be"
    yield -2.0, "the sign is wrong, and the rest is 2 times too large"
    yield -0.5, "the sign is wrong, and the rest is half of what it should be"
    if case.local is None:
        for size, where in [*sizes_of(case).items()][:6]:
            yield float(size), f"the rest is {size} times too large (a mean's 1/N, {where})"
            yield 1 / size, f"the rest is divided by {size} (a mean's 1/N too many, {where})"
