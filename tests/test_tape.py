"""The tape: every gradient arrives, as torch's does; memory goes when it should; nothing is silently wrong."""

import copy
import gc
import math
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

import minitrain
from minitrain.creation import from_numpy, ones, tensor, zeros
from minitrain.ops import Array, Context, Function
from minitrain.tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minitrain.tensor import Tensor, apply
from tests import strategies as own
from tests.comparing import MINITRAIN, TORCH, Library


def leaf(*values: float) -> Tensor:
    return tensor(values, requires_grad=True)


# --- random programs --------------------------------------------------------------------------------------------------

# A program works on a pool of (2, 2) matrices: each step takes two of them and, mostly, adds one. All is smooth and
# bounded by what is in the pool, so that in float64 an error can only grow by small factors.
# Each step is (name, which matrix, which other one).
Step = tuple[str, int, int]

ORDINARY: dict[str, Callable[..., Any]] = {
    "add": lambda lib, a, b: a + b,
    "subtract from 1": lambda lib, a, b: 1 - a,
    "mul": lambda lib, a, b: a * b.tanh(),
    "square": lambda lib, a, b: a.tanh() ** 2,
    "div": lambda lib, a, b: a / (b * b + 1),
    "matmul": lambda lib, a, b: a.sigmoid() @ b,
    "exp": lambda lib, a, b: (-a * a).exp(),
    "log": lambda lib, a, b: (a * a + 1).log(),
    "sqrt": lambda lib, a, b: (a * a + 1).sqrt(),
    "softmax": lambda lib, a, b: a.softmax(1),
    "log_softmax": lambda lib, a, b: a.log_softmax(0),
    "center": lambda lib, a, b: a - a.mean(0, keepdim=True),
    "outer": lambda lib, a, b: a.sum(1, keepdim=True) * b[0].tanh(),
    "gather": lambda lib, a, b: a[[1, 1]],
    "rows of both": lambda lib, a, b: lib.cat([a[:1], b[1:]]),
    "stack": lambda lib, a, b: lib.stack([a[0], b[:, 1]], 1),
    "where": lambda lib, a, b: lib.where(b > 0, a, b),
    "clone": lambda lib, a, b: a.clone(),
}
WITH_KINKS: dict[str, Callable[..., Any]] = {
    "relu": lambda lib, a, b: a.relu(),
    "abs": lambda lib, a, b: a.abs(),
    "maximum": lambda lib, a, b: a.maximum(b),
    "minimum": lambda lib, a, b: a.minimum(b),
    "clamp": lambda lib, a, b: a.clamp(-1, 1),
    "amax": lambda lib, a, b: a - a.amax(1, keepdim=True),
    "max": lambda lib, a, b: a + a.max(0).values,
}


def put(a: Any, index: Any, value: Any) -> None:
    a[index] = value


# These write into their first matrix and add none.
IN_PLACE: dict[str, Callable[..., Any]] = {
    "add_": lambda lib, a, b: a.add_(b),
    "sub_": lambda lib, a, b: a.sub_(b, alpha=2),
    "mul_": lambda lib, a, b: a.mul_(b.tanh()),
    "mul_ by a number": lambda lib, a, b: a.mul_(-0.5),
    "mul_ by itself": lambda lib, a, b: a.mul_(a),
    "div_": lambda lib, a, b: a.div_(b * b + 1),
    "iadd a row": lambda lib, a, b: a.__iadd__(b[0]),
    "zero_": lambda lib, a, b: a.zero_(),
    "fill_": lambda lib, a, b: a.fill_(0.5),
    "copy_": lambda lib, a, b: a.copy_(b),
    "put a row": lambda lib, a, b: put(a, 0, b[1]),
    "put a column": lambda lib, a, b: put(a, (slice(None), 1), b[:, 0]),
    "put an element": lambda lib, a, b: put(a, (0, 1), b[1, 0]),
    "put by places": lambda lib, a, b: put(a, ([0, 1], [1, 0]), b[0]),
    "put a number": lambda lib, a, b: put(a, 1, 0.25),
}
VIEWS: dict[str, Callable[..., Any]] = {
    "view": lambda lib, a, b: a[:],
    "transpose": lambda lib, a, b: a.t(),
    "permute": lambda lib, a, b: a[None].permute(2, 0, 1)[:, 0],
    "reshape": lambda lib, a, b: a.t().reshape(4).view(2, 2),
    "expand": lambda lib, a, b: a[0].expand(2, -1),
    "view of a view": lambda lib, a, b: a[None].expand(1, -1, -1)[0],
    "same shape": lambda lib, a, b: a.view(4).reshape(2, 2),
}
WRITES_THROUGH_VIEWS: dict[str, Callable[..., Any]] = {
    "row.mul_": lambda lib, a, b: a[0].mul_(b[1].tanh()),
    "row.zero_": lambda lib, a, b: a[1].zero_(),
    "element.fill_": lambda lib, a, b: a[0, 0].fill_(0.5),
    "turned.add_": lambda lib, a, b: a.t().add_(b),
    "put into a row": lambda lib, a, b: put(a[1], 0, b[0, 0]),
}
UNRECORDED: dict[str, Callable[..., Any]] = {
    "detach": lambda lib, a, b: a.detach(),
    "detach, then write": lambda lib, a, b: put(a.detach(), 0, 0.5),
    "view without grad": lambda lib, a, b: without_grad(lib, lambda: a[:]),
    "result without grad": lambda lib, a, b: without_grad(lib, lambda: a * b.tanh()),
    "write without grad": lambda lib, a, b: without_grad(lib, lambda: put(a, 0, 0.5)),
    "scale without grad": lambda lib, a, b: without_grad(lib, lambda: put(a, slice(None), a * 0.5)),
}
STEPS = ORDINARY | WITH_KINKS | IN_PLACE | VIEWS | WRITES_THROUGH_VIEWS | UNRECORDED
ADDS_NONE = {*IN_PLACE, *WRITES_THROUGH_VIEWS, "detach, then write", "write without grad", "scale without grad"}


def without_grad(lib: Any, compute: Callable[[], Any]) -> Any:
    with lib.no_grad():
        return compute()


class Program(NamedTuple):
    """Two matrices that ask for a gradient, two that do not, and what is done with them."""

    leaves: list[Array]
    steps: list[Step]


ASK = [True, True, False, False]


def programs(*names: str, longest: int = 10) -> st.SearchStrategy[Program]:
    leaves = st.lists(own.arrays((2, 2), "float64", values=own.quarters), min_size=4, max_size=4)
    which = st.integers(-6, -1)  # the newest are the likeliest to be taken again
    steps = st.lists(st.tuples(st.sampled_from(sorted(names)), which, which), min_size=1, max_size=longest)
    return st.builds(Program, leaves, steps)


def run(library: Library, program: Program) -> tuple[Any, list[Any], list[Any]]:
    """The program's loss, its leaves, and the other matrices in its pool."""
    leaves = [library.tensor(array.copy()) for array in program.leaves]
    for variable, ask in zip(leaves, ASK, strict=True):
        variable.requires_grad_(ask)
    pool = list(leaves)
    pool[2:] = [x * 1 for x in pool[2:]]  # so that none of what may be written to is the caller's array
    pool += [x * 1 for x in leaves[:2]]
    for name, first, second in program.steps:
        result = STEPS[name](library.module, pool[first], pool[second])
        if name not in ADDS_NONE:
            pool.append(result)
    loss = sum(((k + 1) * x.tanh().sum() for k, x in enumerate(pool[-4:])), pool[0].sum())
    return loss, leaves, pool[4:]


def gradients(library: Library, program: Program, *, retained: bool = False) -> list[Array | None]:
    """dL/d(leaf) for the leaves, and for the other matrices if they are to be retained."""
    loss, leaves, others = run(library, program)
    watched = list(leaves)
    if retained:
        watched += [x for x in others if x.requires_grad]
        for x in watched[len(leaves) :]:
            x.retain_grad()
    loss.backward()
    return [None if x.grad is None else library.array(x.grad).copy() for x in watched]


def gradients_or_none(library: Library, program: Program) -> list[Array | None] | None:
    """None if the library refuses the program."""
    try:
        return gradients(library, program)
    except RuntimeError:
        return None


def assert_same(ours: list[Array | None], theirs: list[Array | None], tolerance: float = 1e-10) -> None:
    """Equal within the tolerance, relative to the largest gradient there is."""
    assert [x is None for x in ours] == [x is None for x in theirs]
    scale = max(1.0, *(float(np.abs(x).max()) for x in theirs if x is not None))
    for our, their in zip(ours, theirs, strict=True):
        if our is not None and their is not None:
            np.testing.assert_allclose(our, their, rtol=0, atol=tolerance * scale)


@given(programs(*ORDINARY, *WITH_KINKS, *VIEWS))
def test_all_gradients_of_a_random_graph_are_torchs(program: Program) -> None:
    assert_same(gradients(MINITRAIN, program, retained=True), gradients(TORCH, program, retained=True))


@given(programs(*ORDINARY, *IN_PLACE))
def test_recorded_writes_in_place_have_torchs_gradients(program: Program) -> None:
    theirs = gradients_or_none(TORCH, program)
    assume(theirs is not None)
    ours = gradients(MINITRAIN, program)
    assert_same(ours, theirs or [])


def slopes(program: Program, step: float = 1e-6) -> list[Array | None]:
    """The gradients by central differences: what they are, however the program comes to its loss."""
    result: list[Array | None] = []
    for k, ask in enumerate(ASK):
        slope = np.zeros((2, 2))
        for at in np.ndindex(2, 2):
            losses = []
            for sign in (1, -1):
                moved = [array.copy() for array in program.leaves]
                moved[k][at] += sign * step
                losses.append(run(MINITRAIN, Program(moved, program.steps))[0].item())
            slope[at] = (losses[0] - losses[1]) / (2 * step)
        result.append(slope if ask else None)
    return result


@given(programs("add", "mul", "square", "exp", "softmax", "where", *IN_PLACE, *VIEWS, *WRITES_THROUGH_VIEWS, longest=8))
def test_views_and_writes_have_the_right_gradients_or_are_refused(program: Program) -> None:
    ours = gradients_or_none(MINITRAIN, program)
    event("refused" if ours is None else "computed")
    if ours is not None:
        theirs = gradients_or_none(TORCH, program)
        if theirs is not None:
            assert_same(ours, theirs)
        elif not any(name == "where" for name, _, _ in program.steps):
            assert_same(ours, slopes(program), tolerance=1e-4)  # torch refuses it; the slopes tell


@given(programs("add", "mul", "square", *IN_PLACE, *VIEWS, *WRITES_THROUGH_VIEWS, *UNRECORDED, longest=8))
def test_unrecorded_views_and_writes_have_torchs_gradients_or_are_refused(program: Program) -> None:
    ours, theirs = gradients_or_none(MINITRAIN, program), gradients_or_none(TORCH, program)
    event("refused" if ours is None else "computed")
    if ours is not None and theirs is not None:
        assert_same(ours, theirs)
