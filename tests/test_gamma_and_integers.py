"""lgamma, digamma, logcumsumexp, gcd, lcm, shifts of bits, T and H: values, dtypes, gradients and errors as torch's."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from tests.comparing import refused_as_in_torch

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "bool")


def tensors(array: Any, dtype: str) -> tuple[Any, Any]:
    """The same Tensor of both libraries."""
    return tuple(t.tensor(np.asarray(array).tolist(), dtype=getattr(t, dtype)) for t in (minitrain, torch))  # type: ignore[return-value]


def assert_same(ours: Any, theirs: Any, relative: float = 0.0) -> None:
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=relative, atol=relative)


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 2e-6), ("float64", 1e-12)])
def test_the_gamma_functions_and_their_gradients(dtype: str, relative: float) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0.1, 6, 300), 10 ** rng.uniform(-2, 6, 100), rng.uniform(-3.6, -3.4, 50)])
    for name, slope in (("lgamma", relative), ("digamma", 3e-6)):  # torch's trigamma has about seven digits
        ours, theirs = (t.requires_grad_() for t in tensors(x, dtype))
        for y in (getattr(ours, name)(), getattr(theirs, name)()):
            y.sum().backward()
        assert_same(getattr(ours, name)().detach(), getattr(theirs, name)().detach(), relative)
        assert_same(ours.grad, theirs.grad, slope)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_the_gamma_functions_at_poles_and_infinities(name: str) -> None:
    special = [0.0, -0.0, -1.0, -2.0, float("inf"), -float("inf"), float("nan"), 1e-30, 1e38]
    ours, theirs = tensors(special, "float32")
    assert_same(getattr(ours, name)(), getattr(theirs, name)(), 1e-6)
    ours, theirs = tensors([1, 2, 5], "int64")
    assert_same(getattr(minitrain, name)(ours), getattr(torch, name)(theirs), 1e-6)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_logcumsumexp(dim: int) -> None:
    x = np.random.default_rng(1).normal(scale=50, size=(3, 5))
    x[0, 1], x[1, 2] = 800, -800
    weight = np.random.default_rng(2).normal(size=(3, 5))
    found = []
    for t, leaf in zip((minitrain, torch), tensors(x, "float64"), strict=True):
        y = leaf.requires_grad_().logcumsumexp(dim=dim)
        (y * t.tensor(weight.tolist(), dtype=t.float64)).sum().backward()
        found.append((y.detach(), leaf.grad))
    for ours, theirs in zip(*found, strict=True):
        assert_same(ours, theirs, 1e-10)
    assert minitrain.logcumsumexp(minitrain.tensor(2.0), 0).item() == 2.0


@given(st.data(), st.sampled_from(["gcd", "lcm", "bitwise_left_shift", "bitwise_right_shift"]))
def test_functions_of_two_integers(data: st.DataObject, name: str) -> None:
    dtypes = [data.draw(st.sampled_from(INTEGERS if "shift" in name else INTEGERS[1:4])) for _ in range(2)]
    limits = {"bool": (0, 1), "uint8": (0, 255), "int8": (-128, 127)}
    pairs = [
        tensors(data.draw(st.lists(st.integers(*limits.get(dtype, (-150, 150))), min_size=3, max_size=3)), dtype)
        for dtype in dtypes
    ]
    results = []
    for a, b in zip(*pairs, strict=True):
        try:
            results.append(getattr(a, name)(b))
        except NotImplementedError as error:
            results.append(type(error))
    if isinstance(results[1], type):
        assert results[0] is results[1]
    else:
        assert_same(*results)


def test_the_operators_of_shifts() -> None:
    for ours, theirs in (tensors([5, -6, 0], "int64"), tensors([5, -6, 100], "int8"), tensors([True, False], "bool")):
        for shift in (lambda x: x << 1, lambda x: x >> 2, lambda x: 3 << abs(x.long()), lambda x: 300 >> abs(x.long())):
            assert_same(shift(ours), shift(theirs))
    for x in tensors([5, -6, 0], "int64"):
        before = id(x)
        x <<= 2
        x >>= 1
        assert (id(x), x.tolist()) == (before, [10, -12, 0])
    with pytest.raises(TypeError, match="unsupported operand"):
        minitrain.tensor([1]) << "1"


@refused_as_in_torch(NotImplementedError, "\"lshift_cpu\" not implemented for 'Float'; use .long()")
def test_floats_have_no_bits_to_shift(t: Any) -> Any:
    return t.tensor([1.5]) << 1


@refused_as_in_torch(NotImplementedError, "\"gcd_cpu\" not implemented for 'Float'")
def test_floats_have_no_divisors(t: Any) -> Any:
    return t.gcd(t.tensor([1.5]), t.tensor([1.5]))


@refused_as_in_torch(TypeError, r"gcd\(\): argument 'other' \(position [12]\) must be Tensor, not int")
def test_gcd_takes_tensors(t: Any) -> Any:
    return t.tensor([4]).gcd(2)


@refused_as_in_torch(NotImplementedError, "\"logcumsumexp_out_cpu\" not implemented for 'Long'")
def test_logcumsumexp_takes_floats(t: Any) -> Any:
    return t.logcumsumexp(t.tensor([1]), 0)


def test_the_transposes_of_matrices() -> None:
    x, y = minitrain.rand(2, 3, requires_grad=True), minitrain.rand(4, 2, 3)
    assert x.H.shape == x.mH.shape == x.T.shape == (3, 2)
    assert y.mH.equal(y.mT)
    x.H.sum().backward()
    for name in ("H", "mH", "mT"):
        for t in (minitrain, torch):
            with pytest.raises(RuntimeError, match=f"tensor.{name} is only supported on matrices"):
                getattr(t.zeros(3), name)
