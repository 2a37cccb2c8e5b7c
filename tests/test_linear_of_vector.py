"""linear with a weight (in,) has no axis of outputs, as in torch: values, gradients, errors."""

from typing import Any

import numpy as np
import pytest
import torch

import minitrain
from tests.comparing import assert_alike

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "biased"),
    [((3,), False), ((2, 3), False), ((2, 4, 3), False), ((0, 3), False), ((3,), True), ((2, 4, 3), True)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(shape: tuple[int, ...], biased: bool, dtype: str) -> None:
    arrays = [RNG.normal(size=shape), RNG.normal(size=3), *([RNG.normal(size=())] if biased else [])]
    found: list[list[Any]] = []
    for t in (minitrain, torch):
        leaves = [t.tensor(a.tolist(), dtype=getattr(t, dtype)).reshape(a.shape).requires_grad_() for a in arrays]
        y = t.nn.functional.linear(*leaves)
        (y * y).sum().backward()
        found.append([y, *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*found, strict=True):
        assert (tuple(ours.shape), str(ours.dtype)) == (tuple(theirs.shape), str(theirs.dtype).removeprefix("torch."))
        assert_alike(ours, theirs, scale=100.0)


def test_two_axes_and_a_bias_work_as_torchs_documentation_has_it() -> None:  # torch 2.13 itself refuses them
    x, weight, bias = minitrain.ones(2, 3), minitrain.tensor([1.0, 2.0, 3.0]), minitrain.tensor(4.0)
    assert minitrain.nn.functional.linear(x, weight, bias).tolist() == [10.0, 10.0]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((2, 3), (4,)), r"cannot be multiplied \(2x3 and 4\)"),
        (((3,), (4,)), r"cannot be multiplied \(3 and 4\)"),
        (((), (3,)), "at least 1D, but they are 0D and 1D"),
        (((2, 3), ()), "at least 1D, but they are 2D and 0D"),
        (((2, 3), (1, 2, 3)), "expects a tensor with <= 2 dimensions, but self is 3D"),
        (((2, 3), (3,), (2,)), r"a weight \(in,\) goes with a bias of shape \[\], but got \[2\]"),
        (((3,), (3,), (1,)), r"reshape the weight to \(1, in\)"),
    ],
)
def test_what_does_not_fit_is_refused_as_in_torch(shapes: Any, words: str) -> None:
    for t in (torch, minitrain):
        with pytest.raises(RuntimeError, match=words if t is minitrain else None):
            t.nn.functional.linear(*(t.ones(shape) for shape in shapes))
