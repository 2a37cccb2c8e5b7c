"""What test_ops.py needs to know of an operation to hold it against torch, and the calls that many of them share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st

from tests import strategies as own
from tests.comparing import magnitude_of_copies


class Call(NamedTuple):
    """An operation's inputs (arrays, numbers, None) and its options."""

    inputs: list[Any]
    options: dict[str, Any]


class Case(NamedTuple):
    """How to test an operation."""

    calls: st.SearchStrategy[Call]
    theirs: Callable[..., torch.Tensor]
    magnitude: Callable[..., Any] = magnitude_of_copies


one = own.operands(1).map(lambda inputs: Call(inputs, {}))
two = own.operands(2).map(lambda inputs: Call(inputs, {}))


def with_options(calls: st.SearchStrategy[Call], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """The same calls with drawn options."""
    return st.builds(lambda call, drawn: Call(call.inputs, drawn), calls, st.fixed_dictionaries(options))


@st.composite
def two_or_a_number(draw: st.DrawFn) -> Call:
    inputs: list[Any] = draw(own.operands(2))
    if draw(st.booleans()):
        inputs[draw(st.integers(0, 1))] = draw(own.quarters | st.integers(-3, 3))
    return Call(inputs, {})
