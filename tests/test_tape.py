"""The tape: every gradient arrives, as torch's does; memory goes when it should; nothing is silently wrong."""

import copy
import gc
import math
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

import minitrain
from minitrain.creation import from_numpy, ones, tensor, zeros
from minitrain.ops import Array, Context, Function
from minitrain.tape import Node
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tests import strategies as own
from tests.comparing import MINITRAIN, TORCH, Library, assert_caught


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
    "clone": lambda lib, a, b: a.clone(),
}
# These have no derivative where two numbers are equal. The odd numbers see to it that none are but for rounding.
SHIFT = [[0.0123, 0.0456], [0.0789, 0.0345]]
WITH_KINKS: dict[str, Callable[..., Any]] = {
    "relu": lambda lib, a, b: (a + 0.0123).relu(),
    "abs": lambda lib, a, b: (a + 0.0123).abs(),
    "clamp": lambda lib, a, b: a.clamp(-1.0123, 1.0456),
    "maximum": lambda lib, a, b: (a + 0.0123).maximum(b),
    "minimum": lambda lib, a, b: (a + 0.0123).minimum(b),
    "where": lambda lib, a, b: lib.where(b > 0.0123, a, b),
    "amax": lambda lib, a, b: a - (a + lib.tensor(SHIFT)).amax(1, keepdim=True),
    "max": lambda lib, a, b: a + (a + lib.tensor(SHIFT)).max(0).values,
}


def put(a: Any, index: Any, value: Any) -> None:
    a[index] = value


# These write into their first matrix and add none. What they write is in other memory: where it is not, as in
# a.add_(a.t()), torch reads elements that it has already overwritten.
IN_PLACE: dict[str, Callable[..., Any]] = {
    "add_": lambda lib, a, b: a.add_(b * 1),
    "sub_": lambda lib, a, b: a.sub_(b * 1, alpha=2),
    "mul_": lambda lib, a, b: a.mul_(b.tanh()),
    "mul_ by a number": lambda lib, a, b: a.mul_(-0.5),
    "mul_ by itself": lambda lib, a, b: a.mul_(a),
    "div_": lambda lib, a, b: a.div_(b * b + 1),
    "iadd a row": lambda lib, a, b: a.__iadd__(b[0] * 1),
    "zero_": lambda lib, a, b: a.zero_(),
    "fill_": lambda lib, a, b: a.fill_(0.5),
    "copy_": lambda lib, a, b: a.copy_(b * 1),
    "put a row": lambda lib, a, b: put(a, 0, b[1] * 1),
    "put a column": lambda lib, a, b: put(a, (slice(None), 1), b[:, 0] * 1),
    "put an element": lambda lib, a, b: put(a, (0, 1), b[1, 0] * 1),
    "put by places": lambda lib, a, b: put(a, ([0, 1], [1, 0]), b[0] * 1),
    "put a number": lambda lib, a, b: put(a, 1, 0.25),
}
VIEWS: dict[str, Callable[..., Any]] = {
    "view": lambda lib, a, b: a[:],
    "transpose": lambda lib, a, b: a.t(),
    "permute": lambda lib, a, b: a[None].permute(2, 0, 1)[:, 0],
    "reshape": lambda lib, a, b: a.t().reshape(4).view(2, 2),
    "expand": lambda lib, a, b: a[0].expand(2, -1),
    "view of a view": lambda lib, a, b: a[None].expand(1, -1, -1)[0],
    "same shape": lambda lib, a, b: a.view(2, 2),
}
WRITES_THROUGH_VIEWS: dict[str, Callable[..., Any]] = {
    "row.mul_": lambda lib, a, b: a[0].mul_(b[1].tanh()),
    "row.zero_": lambda lib, a, b: a[1].zero_(),
    "element.fill_": lambda lib, a, b: a[0, 0].fill_(0.5),
    "turned.add_": lambda lib, a, b: a.t().add_(b * 1),
    "put into a row": lambda lib, a, b: put(a[1], 0, b[0, 0] * 1),
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


def programs(*kinds: dict[str, Callable[..., Any]]) -> st.SearchStrategy[Program]:
    """Programs that take each of their steps from one of these kinds, which are equally likely."""
    leaves = st.lists(own.arrays((2, 2), "float64", values=own.quarters), min_size=4, max_size=4)
    name = st.one_of([st.sampled_from(sorted(kind)) for kind in kinds])
    which = st.integers(-4, -1)  # one of the newest: what was viewed is written to soon, and used after that
    return st.builds(Program, leaves, st.lists(st.tuples(name, which, which), min_size=1, max_size=9))


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


def gradients_or_none(library: Library, program: Program, **options: bool) -> list[Array | None] | None:
    """None if the library refuses the program."""
    try:
        return gradients(library, program, **options)
    except RuntimeError:
        return None


def assert_same(ours: list[Array | None], theirs: list[Array | None], tolerance: float = 1e-10) -> None:
    """Equal within the tolerance, relative to the largest gradient there is."""
    assert [x is None for x in ours] == [x is None for x in theirs]
    scale = max(1.0, *(float(np.abs(x).max()) for x in theirs if x is not None))
    for our, their in zip(ours, theirs, strict=True):
        if our is not None and their is not None:
            np.testing.assert_allclose(our, their, rtol=0, atol=tolerance * scale)


@given(programs(ORDINARY, WITH_KINKS, VIEWS))
def test_all_gradients_of_a_random_graph_are_torchs(program: Program) -> None:
    assert_same(gradients(MINITRAIN, program, retained=True), gradients(TORCH, program, retained=True))


@given(programs(ORDINARY, IN_PLACE))
def test_recorded_writes_in_place_have_torchs_gradients(program: Program) -> None:
    theirs = gradients_or_none(TORCH, program, retained=True)
    assume(theirs is not None)
    assert_same(gradients(MINITRAIN, program, retained=True), theirs or [])


def slopes(program: Program, step: float = 1e-6) -> list[Array | None]:
    """The gradients by central differences, however the program comes to its loss."""
    result: list[Array | None] = []
    for k, ask in enumerate(ASK):
        slope = np.zeros((2, 2))
        for at in np.ndindex(2, 2) if ask else ():
            losses = []
            for sign in (1, -1):
                moved = [array.copy() for array in program.leaves]
                moved[k][at] += sign * step
                losses.append(run(MINITRAIN, Program(moved, program.steps))[0].item())
            slope[at] = (losses[0] - losses[1]) / (2 * step)
        result.append(slope)
    return result


SIMPLE = {name: ORDINARY[name] for name in ("add", "mul", "square", "exp", "softmax")}
recorded_programs = programs(SIMPLE, IN_PLACE, VIEWS)
unrecorded_programs = programs(SIMPLE, IN_PLACE, VIEWS, WRITES_THROUGH_VIEWS, UNRECORDED)


def check_recorded(program: Program) -> None:
    ours = gradients_or_none(MINITRAIN, program)
    event("refused" if ours is None else "computed")
    if ours is not None:
        theirs = gradients_or_none(TORCH, program)
        if theirs is not None:
            assert_same(ours, theirs)
        else:
            with_zeros: list[Array | None] = [np.zeros((2, 2)) if x is None else x for x in ours]
            assert_same(with_zeros, slopes(program), tolerance=1e-4)  # torch refuses it; the slopes tell


def check_unrecorded(program: Program) -> None:
    ours = gradients_or_none(MINITRAIN, program)
    event("refused" if ours is None else "computed")
    theirs = None if ours is None else gradients_or_none(TORCH, program)
    if ours is not None and theirs is not None:
        assert_same(ours, theirs)


@settings(max_examples=4 * settings().max_examples)
@given(recorded_programs)
def test_views_and_writes_have_the_right_gradients_or_are_refused(program: Program) -> None:
    check_recorded(program)


@settings(max_examples=4 * settings().max_examples)
@given(unrecorded_programs)
def test_unrecorded_views_and_writes_have_torchs_gradients_or_are_refused(program: Program) -> None:
    check_unrecorded(program)


@pytest.mark.parametrize(("owner", "guard"), [(Node, "guard"), (Tensor, "_renew_history"), (Tensor, "_become_view")])
def test_without_one_of_the_guards_a_wrong_gradient_is_caught(
    owner: type, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, guard, lambda *args: None)
    assert_caught(lambda data: check_recorded(data.draw(recorded_programs)))


def test_an_unrecorded_write_through_a_view_of_a_result_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "_records_write", lambda *args: False)
    assert_caught(lambda data: check_unrecorded(data.draw(unrecorded_programs)))


# --- accumulation -----------------------------------------------------------------------------------------------------


def test_a_gradient_that_was_broadcast_can_be_added_to() -> None:
    x = wrap(np.array(3.0)).requires_grad_()
    for _ in range(2):
        x.mean().backward()
    assert x.grad is not None
    assert x.grad.item() == 2
    x.grad.zero_()


def test_a_leaf_that_changes_its_dtype_or_shape_gets_gradients_in_the_new_one() -> None:
    w = minitrain.ones(2, 3, requires_grad=True)
    loss = w.sum()  # holds the graph, and with it the edge to w as it was
    w.data = minitrain.ones(2, 3, dtype=minitrain.float64)
    w.exp().sum().backward()
    assert w.grad is not None
    assert w.grad.dtype == minitrain.float64
    np.testing.assert_array_equal(w.grad.array, np.exp(np.ones((2, 3))))
    with minitrain.no_grad():
        w.unsqueeze_(0)
    w.grad = None
    w.sum().backward()
    assert w.grad is not None
    assert w.grad.shape == (1, 2, 3)
    assert loss.item() == 6

    layer = minitrain.nn.Linear(2, 1)
    before = layer(minitrain.ones(1, 2))
    layer.double()
    layer(minitrain.ones(1, 2, dtype=minitrain.float64)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == minitrain.float64
    assert before.dtype == minitrain.float32


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    (x * x + 2 * x).backward()
    assert x.grad == 2 * 3.0 + 2


def test_both_ways_through_a_diamond_arrive() -> None:
    x = leaf(2.0)
    top = x * 3
    (top.exp() * top + top).backward()
    assert x.grad.item() == pytest.approx(3 * (math.exp(6) * 7 + 1))


def test_a_diamond_of_diamonds_is_walked_once() -> None:
    x = y = leaf(1.0)
    for _ in range(500):  # 2**500 ways
        y = (y + y) / 2
    y.backward()
    assert x.grad == 1


def test_a_leaf_of_its_own_gets_the_gradient_that_is_passed() -> None:
    x = leaf(1.0, 2.0)
    x.backward(tensor([3.0, 4.0]))
    assert x.grad.tolist() == [3, 4]


def test_a_second_graph_adds_to_grad_in_place() -> None:
    x = leaf(1.0)
    (2 * x).backward()
    first = x.grad
    (3 * x).backward()
    assert x.grad is first
    assert first == 5


def over_one_buffer(grad_y: Array) -> tuple[Array, Array]:
    """Two arrays that know nothing of each other."""
    buffer = bytearray(grad_y.tobytes())
    return np.frombuffer(buffer, grad_y.dtype), np.frombuffer(buffer, grad_y.dtype)


@pytest.mark.parametrize(
    "share",
    [
        lambda grad_y: (grad_y, grad_y),
        lambda grad_y: (grad_y * 1,) * 2,
        lambda grad_y: (grad_y[:], grad_y * 1),
        lambda grad_y: np.lib.stride_tricks.sliding_window_view(grad_y.repeat(2)[:3], 2, writeable=True),
        over_one_buffer,
    ],
)
def test_gradients_that_share_memory_are_kept_apart(share: Callable[[Array], Sequence[Array]]) -> None:
    class Sum(Function):
        @staticmethod
        def forward(ctx: Context, a: Array, b: Array) -> Array:
            return a + b

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Any:
            return tuple(share(grad_y))

    a, b, gradient = leaf(1.0, 1.0), leaf(1.0, 1.0), tensor([1.0, 1.0])
    apply(Sum, a, b).backward(gradient)
    a.grad.zero_()
    assert b.grad.tolist() == gradient.tolist() == [1, 1]


def test_a_gradient_made_for_a_leaf_alone_is_kept_as_it_is() -> None:
    made = []

    class Twice(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return 2 * x

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            made.append((2 * grad_y.T).T)
            return made[0]

    x = leaf(1.0, 2.0)
    apply(Twice, x).sum().backward()
    assert np.shares_memory(x.grad.array, made[0])


def test_the_gradient_that_was_passed_stays_the_callers() -> None:
    x, gradient = leaf(1.0), tensor([5.0])
    x.backward(gradient)
    (x + 0).backward(gradient)
    assert gradient == 5
    assert x.grad == 10


def test_retained_gradients_are_those_of_the_result_as_it_is_in_the_end() -> None:
    y = leaf(1.0, 1.0) * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    assert y.grad.tolist() == [5, 5]


# --- the graph's life -------------------------------------------------------------------------------------------------


def test_a_deep_chain_is_walked_and_freed_without_recursion() -> None:
    y = x = leaf(2.0)
    for _ in range(100_000):
        y = -y
    y.backward()
    node = weakref.ref(y.grad_fn)
    del y
    assert x.grad == 1
    assert node() is None


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "something was kept alive by a reference cycle"
    finally:
        gc.enable()


def a_bit_of_everything(x: Tensor) -> Tensor:
    y = (x @ x.t()).relu().log_softmax(1)
    y.retain_grad()
    z = y * 1
    z[0] = x[0].sum()
    view = z[:, :1]
    return (view.detach() * view).sum() + minitrain.cat([y, y]).std()


def test_a_graph_is_freed_with_its_last_tensor() -> None:
    x = tensor(np.eye(2), requires_grad=True)
    with no_garbage_collection():
        loss = a_bit_of_everything(x)
        node = weakref.ref(loss.grad_fn)
        del loss
        assert node() is None


def test_a_graph_that_was_walked_is_freed_with_its_last_tensor() -> None:
    x = tensor(np.eye(2), requires_grad=True)
    with no_garbage_collection():
        loss = a_bit_of_everything(x)
        loss.backward()
        node = weakref.ref(loss.grad_fn)
        del loss
        assert node() is None


def test_a_leaf_is_freed_with_its_graph() -> None:
    with no_garbage_collection():
        x = leaf(1.0)
        (x * x).backward()
        array = weakref.ref(x.array)
        del x
        assert array() is None


@pytest.mark.parametrize("retain_graph", [False, True])
def test_backward_lets_go_of_what_was_saved_unless_it_is_to_be_retained(retain_graph: bool) -> None:
    with no_garbage_collection():
        middle = leaf(1.0, 2.0).exp()
        saved = weakref.ref(middle.array)
        loss = (middle * middle).sum()
        del middle
        loss.backward(retain_graph=retain_graph)
        assert (saved() is not None) == retain_graph


def test_without_grad_nothing_is_saved() -> None:
    x = leaf(1.0)
    with no_garbage_collection(), no_grad():
        middle = x.exp()
        saved = weakref.ref(middle.array)
        y = middle * middle
        del middle
        assert saved() is None
        assert y.grad_fn is None


def test_a_retained_graph_can_be_walked_again() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12


def test_a_second_walk_over_a_freed_graph_is_refused() -> None:
    y = leaf(3.0).exp()
    y.backward()
    with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
        y.backward()


def test_a_second_walk_through_a_shared_part_is_refused() -> None:
    shared = leaf(3.0).exp()
    (shared * 2).backward()
    with pytest.raises(RuntimeError, match="second time"):
        (shared * 3).backward()


@pytest.mark.parametrize(
    ("saved", "place"),
    [(0, "input 0 of MulBackward0"), (1, "input 1 of MulBackward0"), (2, "the result of ExpBackward0")],
)
def test_what_was_changed_since_it_was_saved_is_named(saved: int, place: str) -> None:
    a, b = leaf(1.0) + 1, leaf(2.0) + 1
    product = a * b
    values = (a, b, product.exp())
    with no_grad():
        values[saved].zero_()
    with pytest.raises(RuntimeError, match=f"by an inplace operation: {place}, saved"):
        (product + values[2]).backward()


def test_a_walk_that_raises_changes_no_grad() -> None:
    x, w = leaf(1.0), leaf(2.0)
    w.grad = tensor([7.0])
    spoiled = x.exp()
    late = w * 3
    late.retain_grad()
    loss = spoiled + late
    with no_grad():
        spoiled.zero_()
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*version 1; expected version 0"):
        loss.backward()
    assert (x.grad, w.grad.item(), late.grad) == (None, 7, None)


def test_a_gradient_of_another_shape_than_its_input_is_refused() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return x * 1

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Any:
            return grad_y.sum()

    with pytest.raises(RuntimeError, match=r"WrongBackward0 returned a gradient of shape \[\] .*shape \[2\]"):
        apply(Wrong, leaf(1.0, 2.0)).backward(ones(2))


def test_an_operation_that_returns_its_input_returns_a_view() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return x

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Any:
            return grad_y

    x = leaf(1.0)
    y = x.exp()
    with no_grad():
        apply(Same, y).zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


# --- writing in place -------------------------------------------------------------------------------------------------

WRITES: dict[str, Callable[[Tensor], Any]] = {
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "clamp_": lambda x: x.clamp_(0, 1),
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(1),
    "copy_": lambda x: x.copy_(zeros(2)),
    "uniform_": lambda x: x.uniform_(),
    "normal_": lambda x: x.normal_(),
    "setitem": lambda x: put(x, 0, 1.0),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@every_write
def test_a_leaf_that_asks_for_a_gradient_is_not_written(write: Callable[[Tensor], Any]) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        write(x)
    assert x.tolist() == [1, 2]


@every_write
def test_without_grad_a_leaf_is_written_and_stays_a_leaf(write: Callable[[Tensor], Any]) -> None:
    x = leaf(7.0, 8.0)
    with no_grad():
        write(x)
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() != [7, 8]


@every_write
def test_a_write_is_seen_by_all_that_share_the_memory(write: Callable[[Tensor], Any]) -> None:
    y = leaf(7.0, 8.0) * 1
    result = y.exp().log()  # exp saves its result, log its input
    keep = y * y
    write(y[:].detach())
    result.sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        keep.sum().backward()


def test_data_is_written_unseen() -> None:
    x = leaf(2.0)
    y = x * x
    x.data.mul_(3)
    y.backward()
    assert x.grad == 12


def test_a_view_from_before_a_recorded_write_has_the_new_history() -> None:
    x, w = zeros(3), leaf(5.0)
    view = x[:2]
    x[0] = w[0]
    (view * 2).sum().backward()
    assert w.grad == 2


def test_a_view_of_a_view_shares_how_that_was_made_and_a_long_chain_is_taken_again() -> None:
    x = ones(2, 3, requires_grad=True)
    view = base = x * 1
    for _ in range(3001):
        earlier, view = view, view.T
    assert view._view is not None
    assert view._view[0] is earlier._view  # copied, a chain of n views would cost n ** 2
    base[0].mul_(2)
    view[:, 1].mul_(3)
    (view * tensor([[1.0, 10], [2, 20], [3, 30]])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2, 4, 6], [30, 60, 90]]


def test_a_write_through_a_view_is_recorded_for_its_base() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y[0].mul_(3)
    y.sum().backward()
    assert x.grad.tolist() == [6, 2]


def test_a_view_by_an_operation_of_ones_own_cannot_be_written() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return x[:1]

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            return np.concatenate([grad_y, grad_y * 0])

    with pytest.raises(RuntimeError, match="operation of your own"):
        apply(Same, leaf(1.0, 2.0) * 1).mul_(2)


@pytest.mark.parametrize("recorded", [True, False])
def test_expanded_memory_is_not_written(recorded: bool) -> None:
    x = (leaf(1.0) * 1 if recorded else ones(1)).expand(3)
    with pytest.raises(RuntimeError):
        x.add_(1)


# --- whether operations are recorded ----------------------------------------------------------------------------------


def recorded() -> bool:
    assert is_grad_enabled() == (leaf(1.0) * 2).requires_grad
    return is_grad_enabled()


OFF = [no_grad, inference_mode, lambda: set_grad_enabled(False)]
ON = [enable_grad, lambda: inference_mode(False), lambda: set_grad_enabled(True)]


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("on", ON)
def test_modes_nest_and_end(off: Callable[[], Any], on: Callable[[], Any]) -> None:
    with off():
        assert not recorded()
        with on():
            assert recorded()
            with off():
                assert not recorded()
            assert recorded()
        assert not recorded()
    assert recorded()


@pytest.mark.parametrize("off", OFF)
def test_a_mode_ends_with_an_error(off: Callable[[], Any]) -> None:
    with pytest.raises(KeyError), off():
        raise KeyError
    assert recorded()


def test_one_mode_can_be_entered_again_within_itself() -> None:
    mode = no_grad()
    with mode:
        with enable_grad(), mode:
            assert not recorded()
        assert not recorded()
    assert recorded()


def test_set_grad_enabled_switches_at_once() -> None:
    set_grad_enabled(False)
    try:
        assert not recorded()
    finally:
        set_grad_enabled(True)
    assert recorded()


@pytest.mark.parametrize("decorate", [no_grad, *(off() for off in OFF[:2]), lambda f: set_grad_enabled(False)(f)])
def test_a_mode_decorates_a_function(decorate: Any) -> None:
    @decorate
    def decorated(depth: int) -> bool:
        """What it does."""
        return recorded() or (depth > 0 and decorated(depth - 1))

    assert recorded()
    assert not decorated(2)
    assert recorded()
    assert (decorated.__name__, decorated.__doc__) == ("decorated", "What it does.")


def test_a_decorated_function_may_run_in_two_threads_at_once() -> None:
    """The first to enter leaves last, and each finds the mode it had."""
    inside, leave = threading.Event(), threading.Event()

    @no_grad()
    def decorated(wait: bool) -> None:
        if wait:
            inside.set()
            assert leave.wait(10)

    after: list[bool] = []
    thread = threading.Thread(target=lambda: (decorated(True), after.append(recorded())))
    thread.start()
    assert inside.wait(10)
    with no_grad():
        decorated(False)
        leave.set()
        thread.join()
        assert not recorded()
    assert after == [True]


def test_each_thread_has_its_own_mode() -> None:
    found: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: found.append(recorded()))
        thread.start()
        thread.join()
    assert found == [True]


def test_backward_works_without_grad() -> None:
    x = leaf(3.0)
    y = x * x
    with no_grad():
        y.backward()
    assert x.grad == 6
    assert not x.grad.requires_grad


# --- copies of leaves -------------------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@every_copy
def test_a_copy_of_a_leaf_is_equal_in_all_but_its_memory(copied: Callable[[Tensor], Tensor]) -> None:
    x = from_numpy(np.arange(6.0).reshape(2, 3).T).requires_grad_()
    (x * x).sum().backward()
    twin = copied(x)
    assert twin.tolist() == x.tolist()
    assert twin.requires_grad
    assert twin.grad.tolist() == x.grad.tolist()
    assert twin.array.strides == x.array.strides == twin.grad.array.strides
    assert not np.shares_memory(twin.array, x.array)
    assert not np.shares_memory(twin.grad.array, x.grad.array)


@every_copy
def test_a_copy_takes_part_in_graphs_of_its_own(copied: Callable[[Tensor], Tensor]) -> None:
    x = leaf(3.0)
    twin = copied(x)
    (twin * x).backward()
    assert (x.grad.item(), twin.grad.item()) == (3, 3)
    with no_grad():
        twin.zero_()
    assert x == 3


@every_copy
def test_a_result_is_not_copied(copied: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="graph leaves"):
        copied(leaf(1.0) * 2)


def test_the_ends_of_all_uses_of_a_leaf_are_equal_and_those_of_other_leaves_are_not() -> None:
    x, same_values = wrap(np.ones(2)).requires_grad_(), wrap(np.ones(2)).requires_grad_()
    (first, _), (second, _) = (x * x).grad_fn.next_functions  # type: ignore[union-attr]
    (other, _), _ = (same_values * 2).grad_fn.next_functions  # type: ignore[union-attr]
    assert first == second
    assert first != other
    assert len({first, second, other}) == 2
    (x * x + x * same_values).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 3]


def test_a_leaf_that_was_frozen_after_it_was_used_gets_no_gradient() -> None:
    x, y = wrap(np.ones(2)).requires_grad_(), wrap(np.ones(2)).requires_grad_()
    product = (x * y).sum()
    x.requires_grad_(False)
    product.backward()
    assert x.grad is None
    assert y.grad is not None
