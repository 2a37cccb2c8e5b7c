"""One computation, run by minitrain and by torch; and how far apart their floats may be, derived, not guessed.

Each element of a result or a gradient is a sum of terms, and both libraries compute it in floats whose unit roundoff
u is 2^-24 (float32) or 2^-53 (float64). To first order in u:

- A term is made in at most 8 steps. A step of + - · / √ errs by a factor of at most 1 + u; exp, ln, tanh and powers,
  of which a term has at most 2, err by less than 4 units in the last place, a factor of 1 + 8u. Together: 1 + 24u.
- Adding n terms, in whatever order, adds an error of at most (n - 1) u Σ|terms|
  (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 4.2).

So each library is off by at most (n + 24) u Σ|terms|, and two libraries are at most twice that apart. Below the
smallest normal number precision is lost by steps of a fixed size, so that number is added. With up to 10^5 terms,
float64 then agrees to 1e-10 of the scale, Σ|terms|, in which the error of a sum is to be measured: a sum that cancels
has no relative accuracy in any library. What Σ|terms| is follows from the formula, in one of the three ways that the
functions called magnitude_... below know. Infinities and nans must be the same.
"""

import math
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minitrain
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap

STEPS = 24  # in units of u, see above


def bound(dtype: Any, terms: int, magnitude: Any) -> Any:
    """How far apart two libraries may be in a sum of this many terms, whose absolute values add up to magnitude."""
    info = np.finfo(dtype)
    return (terms + STEPS) * float(info.eps) * magnitude + float(info.smallest_normal)  # eps is 2u


def assert_close(ours: Array, theirs: Array, within: Any = 0.0, what: str = "the result") -> None:
    """Raise AssertionError unless shapes, dtypes, infinities and nans are equal, and the rest is within the bound."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), (
        f"{what} is {ours.dtype} {ours.shape}, torch's is {theirs.dtype} {theirs.shape}"
    )
    with np.errstate(all="ignore"):
        apart = np.abs(np.subtract(ours, theirs, dtype=np.float64))
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) | (np.isfinite(theirs) & (apart <= within))
    if not same.all():
        where = np.unravel_index(np.argmin(same), same.shape)
        allowed = np.broadcast_to(within, same.shape)[where]
        raise AssertionError(
            f"{what} at {tuple(map(int, where))}: {ours[where]!r}, torch has {theirs[where]!r}, {allowed:.3g} allowed"
        )


# --- one computation in either library --------------------------------------------------------------------------------


class Library(NamedTuple):
    """A library, and how arrays get into its tensors and out again."""

    module: Any
    tensor: Callable[[Array], Any]

    @staticmethod
    def array(tensor: Any) -> Array:
        """What the tensor holds, as an ndarray; to be read only."""
        return np.asarray(tensor.detach().numpy())


MINITRAIN = Library(minitrain, wrap)
TORCH = Library(torch, lambda array: torch.from_numpy(array.copy()))


class Outcome(NamedTuple):
    """What a computation gave: its value, and for each input its gradient or None."""

    value: Array
    gradients: list[Array | None]


Computation = Callable[..., Any]  # of tensors (arrays were put into them), numbers and None


def evaluate(
    library: Library, compute: Computation, inputs: Sequence[Any], asks: Sequence[bool], grad_y: Array | None = None
) -> Outcome:
    """compute's value, and what backward(grad_y) leaves at those inputs that ask for a gradient."""
    leaves = [library.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    for leaf, ask in zip(leaves, asks, strict=True):
        if ask:
            leaf.requires_grad_()
    y = compute(*leaves)
    if grad_y is not None and y.requires_grad:
        y.backward(library.tensor(grad_y))
    gradients = [leaf.grad if ask else None for leaf, ask in zip(leaves, asks, strict=True)]
    return Outcome(library.array(y), [None if grad is None else library.array(grad) for grad in gradients])


def assert_agree(ours: Outcome, theirs: Outcome, magnitude: Outcome | None = None) -> None:
    """Raise AssertionError unless value and gradients agree within the bound; by default each is a single term."""
    terms = max(array.size for array in (theirs.value, *theirs.gradients) if array is not None)
    assert [grad is None for grad in ours.gradients] == [grad is None for grad in theirs.gradients]
    names = ["the result", *(f"gradient {i}" for i in range(len(theirs.gradients)))]
    everything = zip(
        names, *((o.value, *o.gradients) for o in (ours, theirs, magnitude or absolute(theirs))), strict=True
    )
    for name, our, their, size in everything:
        if their is None:
            continue
        if their.dtype.kind == "f":
            coarser = max(their.dtype, theirs.value.dtype, key=lambda dtype: np.finfo(dtype).eps)  # it was computed in
            known = np.where(np.isfinite(size), size, 0)
            assert_close(our, their, bound(coarser, terms, np.fmax(known, np.abs(their))), name)
        else:
            assert_close(our, their, what=name)


# --- whatever a computation ends in -----------------------------------------------------------------------------------


def end_of(library: Library, compute: Callable[..., Any], inputs: Sequence[Any] = ()) -> Any:
    """compute's result, given the library and its tensors, or the error in which it ended."""
    tensors = [library.tensor(x.copy()) if isinstance(x, np.ndarray) else x for x in inputs]
    with warnings.catch_warnings():
        if library is TORCH:
            warnings.simplefilter("ignore")
        try:
            return compute(library.module, *tensors)
        except Exception as error:
            return error


def assert_ends_alike(compute: Callable[..., Any], inputs: Sequence[Any] = (), scale: float = 0.0) -> None:
    """Raise AssertionError unless both libraries end in equal results, or in errors of the same type.

    scale: the size of the numbers whose rounding errors there are in a float, besides its own size.
    """
    assert_alike(end_of(MINITRAIN, compute, inputs), end_of(TORCH, compute, inputs), scale)


def assert_alike(ours: Any, theirs: Any, scale: float = 0.0) -> None:
    """Raise AssertionError unless the two are the same thing: tensors, errors, Python's values, tuples of these."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, Tensor), f"minitrain: {ours!r}, torch: {theirs!r}"
        our, their = MINITRAIN.array(ours), TORCH.array(theirs)
        size = np.fmax(np.abs(their), scale) if their.dtype.kind == "f" else 0.0
        few_terms = 100  # more than any tensor drawn here has
        assert_close(our, their, bound(their.dtype, few_terms, size) if their.dtype.kind == "f" else 0.0)
        assert ours.requires_grad == theirs.requires_grad
    elif isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)) or (isinstance(ours, Exception) and isinstance(theirs, type(ours))), (
            f"minitrain: {ours!r}, torch: {theirs!r}"
        )
    elif isinstance(theirs, torch.dtype):
        assert f"torch.{ours}" == str(theirs)
    elif isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs), f"minitrain: {ours!r}, torch: {theirs!r}"
        for our, their in zip(ours, theirs, strict=True):
            assert_alike(our, their, scale)
    else:
        both_nan = ours != ours and theirs != theirs
        assert both_nan or (type(ours) is type(theirs) and ours == theirs), f"minitrain: {ours!r}, torch: {theirs!r}"


def assert_text_ends_alike(expression: str) -> None:
    """assert_ends_alike for a line of Python, in which torch is the library."""
    names = {"np": np, "inf": math.inf, "nan": math.nan, "operator": operator}
    assert_ends_alike(lambda lib: eval(expression, {**names, "torch": lib, "tensor": lib.tensor}))


# --- Σ|terms| ---------------------------------------------------------------------------------------------------------


def absolute(outcome: Outcome) -> Outcome:
    """The absolute values of everything."""
    return Outcome(np.abs(outcome.value), [None if grad is None else np.abs(grad) for grad in outcome.gradients])


def magnitude_of_copies(
    compute: Computation, inputs: Sequence[Any], asks: Sequence[bool], grad_y: Array | None
) -> Outcome:
    """For an operation element by element: broadcasting copies an operand, and a term is what one copy sends back."""
    shape = np.broadcast_shapes(*(np.shape(x) for x in inputs if x is not None))
    copies = [np.broadcast_to(x, shape) if isinstance(x, np.ndarray) else x for x in inputs]
    of_copies = absolute(evaluate(TORCH, compute, copies, asks, grad_y))
    with np.errstate(all="ignore"):
        gradients = [
            None if grad is None else add_up(grad, np.shape(x))
            for grad, x in zip(of_copies.gradients, inputs, strict=True)
        ]
    return Outcome(of_copies.value, gradients)


def add_up(copies: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which an array of this shape was repeated."""
    in_front = copies.ndim - len(shape)
    repeated = [in_front + axis for axis, size in enumerate(shape) if size != copies.shape[in_front + axis]]
    return np.asarray(copies.sum(axis=(*range(in_front), *repeated), keepdims=True).reshape(shape))


def magnitude_of_products(
    compute: Computation, inputs: Sequence[Any], asks: Sequence[bool], grad_y: Array | None
) -> Outcome:
    """For sums of products of elements of the inputs and of dL/dy: what their absolute values give."""
    sizes = [np.asarray(np.abs(x)) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs]
    return absolute(evaluate(TORCH, compute, sizes, asks, None if grad_y is None else np.asarray(np.abs(grad_y))))


def magnitude_of_units(
    compute: Computation, inputs: Sequence[Any], asks: Sequence[bool], grad_y: Array | None
) -> Outcome:
    """For formulas in which numbers up to 1, times dL/dy in a gradient, are subtracted from each other."""
    outcome = absolute(evaluate(TORCH, compute, inputs, asks, grad_y))
    largest = 0.0 if grad_y is None else np.max(np.abs(grad_y), initial=0, where=np.isfinite(grad_y))
    return Outcome(
        np.fmax(outcome.value, 1), [None if grad is None else np.fmax(grad, largest) for grad in outcome.gradients]
    )


# --- a check of the checks --------------------------------------------------------------------------------------------


def assert_caught(check: Callable[[st.DataObject], None]) -> None:
    """Raise unless some drawn example fails the check, with an AssertionError or with minitrain's RuntimeError."""

    @settings(phases=[Phase.generate], database=None, max_examples=200, report_multiple_bugs=False)
    @given(st.data())
    def search(data: st.DataObject) -> None:
        check(data)

    with pytest.raises((AssertionError, RuntimeError)):
        search()


# --- one program, run on either library -------------------------------------------------------------------------------

Program = Callable[[Any], Any]  # of a library; returns what Python compares and prints: numbers, names, lists


def _test_of(program: Program, test: Callable[[], None]) -> Callable[[], None]:
    test.__name__, test.__doc__, test.__module__ = program.__name__, program.__doc__, program.__module__
    return test


def same_as_in_torch(program: Program) -> Callable[[], None]:
    """The test that the program, given minitrain, returns what it returns given torch."""

    def test() -> None:
        ours, theirs = program(minitrain), program(torch)
        assert repr(ours) == repr(theirs), f"minitrain: {ours!r}\ntorch: {theirs!r}"

    return _test_of(program, test)


def refused_as_in_torch(error: type[Exception], match: str) -> Callable[[Program], Callable[[], None]]:
    """The test that both libraries end the program with this error, and minitrain with words that match."""

    def decorate(program: Program) -> Callable[[], None]:
        def test() -> None:
            with pytest.raises(error):
                program(torch)
            with pytest.raises(error, match=match):
                program(minitrain)

        return _test_of(program, test)

    return decorate


def refused(error: type[Exception], match: str) -> Callable[[Program], Callable[[], None]]:
    """The test that minitrain ends the program with this error, whatever torch does."""

    def decorate(program: Program) -> Callable[[], None]:
        def test() -> None:
            with pytest.raises(error, match=match):
                program(minitrain)

        return _test_of(program, test)

    return decorate


# --- printed logs -----------------------------------------------------------------------------------------------------

LOSS = re.compile(r"loss: +(?P<loss>\S+)  \[ *(?P<current>\d+)/ *(?P<size>\d+)\]")
TEST = re.compile(r" Accuracy: (?P<accuracy>\S+)%, Avg loss: (?P<loss>\S+) ")


def assert_same_log(mine: str, torchs: str, *, ties: int = 0) -> None:
    """Every line equal, but losses within 2e-5, and at most `ties` accuracies off by 0.1."""
    lines, expected_lines = mine.splitlines(), torchs.splitlines()
    assert len(lines) == len(expected_lines)
    off_by_one = 0
    for line, expected in zip(lines, expected_lines, strict=True):
        for pattern in (LOSS, TEST):
            got, want = pattern.fullmatch(line), pattern.fullmatch(expected)
            assert (got is None) == (want is None), (line, expected)
            if got is None or want is None:
                continue
            # A printed loss is rounded to 6 digits, which may move either by half of the last.
            assert abs(float(got["loss"]) - float(want["loss"])) <= 2e-5 + 1e-6, (line, expected)
            if pattern is TEST and got["accuracy"] != want["accuracy"]:
                assert abs(float(got["accuracy"]) - float(want["accuracy"])) < 0.15, (line, expected)
                off_by_one += 1
            if pattern is LOSS:
                assert (got["current"], got["size"]) == (want["current"], want["size"])
        if not LOSS.fullmatch(line) and not TEST.fullmatch(line):
            assert line == expected
    assert off_by_one <= ties
