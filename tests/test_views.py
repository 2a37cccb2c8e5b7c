"""Views and writes in place are recorded as torch records them: values, gradients and refusals of random programs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain

Program = list[tuple[Any, ...]]

VIEWS: dict[str, Callable[[Any], Any]] = {
    "row": lambda x: x[0],
    "last row": lambda x: x[-1],
    "slice": lambda x: x[1:],
    "every second": lambda x: x[..., ::2],
    "transposed": lambda x: x.transpose(0, -1),
    "flat": lambda x: x.reshape(-1),
    "new axis": lambda x: x[None],
    "detached": lambda x: x.detach(),
    "same": lambda x: x[...],
    "view": lambda x: x.view(-1),
}
WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "add number": lambda x, y: x.add_(1.5),
    "multiply by number": lambda x, y: x.mul_(-0.5),
    "add": lambda x, y: x.add_(y.sum()),
    "multiply": lambda x, y: x.mul_(y.mean()),
    "divide itself": lambda x, y: x.div_(x.detach().abs().sum() + 1),
    "zero": lambda x, y: x.zero_(),
    "relu": lambda x, y: x.relu_(),
    "clamp": lambda x, y: x.clamp_(-1.0, 2.0),
    "set": lambda x, y: x.__setitem__(0, y.sum()),
    "set all": lambda x, y: x.__setitem__(Ellipsis, y.sum()),
    "set list": lambda x, y: x.__setitem__([0], y.mean()),
    "copy": lambda x, y: x.copy_(y.mean()),
    "plus equals": lambda x, y: x.__setitem__(0, x[0].__iadd__(y.sum())),
}


def run(library: Any, program: Program) -> tuple[list[Any], str]:
    """The values, gradients and flags that the program leaves, and the class of the error that stopped it."""
    values = np.arange(1.0, 13.0).reshape(3, 4) / 4
    w = library.tensor(values, requires_grad=True)
    v = library.tensor([0.5, -2.0], dtype=library.float64, requires_grad=True)
    tensors = [w, v, w * 2, library.zeros(3, 4, dtype=library.float64), library.tensor(values)]
    error = ""
    try:
        for kind, name, i, j, recorded in program:
            x, y = tensors[i % len(tensors)], tensors[j % len(tensors)]
            with contextlib.nullcontext() if recorded else library.no_grad():
                if kind == "view":
                    tensors.append(VIEWS[name](x))
                elif kind == "compute":
                    tensors.append(x.exp() * 0.125 if name == "exp" else x * x)
                else:
                    WRITES[name](x, y)
        loss = sum((i + 1) * (x * x).sum() for i, x in enumerate(tensors))
        loss.backward()
    except (RuntimeError, IndexError, ValueError) as stop:
        error = type(stop).__name__
    flags = [(bool(x.requires_grad), leaf(x)) for x in tensors]
    numbers = [np.array(x.detach().numpy()) for x in tensors]
    grads = [None if x.grad is None else np.array(x.grad.numpy()) for x in (w, v)]
    return [flags, numbers, grads], error


def leaf(x: Any) -> bool | str:
    try:
        return bool(x.is_leaf)
    except RuntimeError:  # a view from within no_grad whose base was written to since
        return "refused"


steps = st.one_of(
    st.tuples(
        st.just("view"),
        st.sampled_from(sorted(VIEWS)),
        st.integers(0, 9),
        st.just(0),
        st.sampled_from([True] * 4 + [False]),
    ),
    st.tuples(
        st.just("write"),
        st.sampled_from(sorted(WRITES)),
        st.integers(0, 9),
        st.integers(0, 9),
        st.sampled_from([True] * 4 + [False]),
    ),
    st.tuples(st.just("compute"), st.sampled_from(["exp", "square"]), st.integers(0, 9), st.just(0), st.just(True)),
)


def agree(program: Program) -> None:
    ours, our_error = run(minitrain, program)
    theirs, their_error = run(torch, program)
    assert our_error == their_error
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for a, b in zip(ours[2], theirs[2], strict=True) if not our_error else ():  # a backward that raises writes no .grad
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@given(program=st.lists(steps, min_size=1, max_size=7))
def test_a_random_program_of_views_and_writes_does_what_it_does_in_torch(program: Program) -> None:
    agree(program)
