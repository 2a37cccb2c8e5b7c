"""out= writes what the function returns, in out's dtype and memory, as in torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minitrain

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "empty": lambda lib, out: lib.empty(2, 3, out=out).zero_(),
    "zeros": lambda lib, out: lib.zeros(2, 3, out=out),
    "ones": lambda lib, out: lib.ones(2, 3, out=out),
    "full": lambda lib, out: lib.full((2, 3), 4.5, out=out),
    "arange": lambda lib, out: lib.arange(6, out=out),
    "range": lambda lib, out: lib.linspace(0, 5, 6, out=out),
    "logspace": lambda lib, out: lib.logspace(0, 2, 6, out=out),
    "eye": lambda lib, out: lib.eye(2, 3, out=out),
    "rand": lambda lib, out: lib.rand(2, 3, out=out),
    "randn": lambda lib, out: lib.randn(2, 3, out=out),
    "randint": lambda lib, out: lib.randint(0, 9, (2, 3), out=out),
    "randperm": lambda lib, out: lib.randperm(6, out=out),
    "normal": lambda lib, out: lib.normal(1.0, 2.0, (2, 3), out=out),
    "cat": lambda lib, out: lib.cat([lib.ones(1, 3), lib.zeros(1, 3)], out=out),
    "stack": lambda lib, out: lib.stack([lib.ones(3), lib.zeros(3)], out=out),
    "hstack": lambda lib, out: lib.hstack([lib.ones(2, 1), lib.zeros(2, 2)], out=out),
    "vstack": lambda lib, out: lib.vstack([lib.ones(3), lib.zeros(3)], out=out),
    "where": lambda lib, out: lib.where(lib.eye(2, 3) > 0, lib.ones(2, 3), lib.zeros(2, 3), out=out),
    "tensordot": lambda lib, out: lib.tensordot(lib.ones(2, 4), lib.ones(4, 3), 1, out=out),
    "vector_norm": lambda lib, out: lib.linalg.vector_norm(lib.ones(6, 4), dim=1, out=out),
    "add": lambda lib, out: lib.add(lib.ones(2, 3), 2, out=out),
}
WHOLE_NUMBERS = ("randint", "randperm", "arange")
OF_FLOAT32 = ("cat", "stack", "hstack", "vstack", "where", "tensordot", "vector_norm", "add")
CASES = [
    *[(name, "float32") for name in CALLS],
    *[(name, "float64") for name in CALLS if name not in OF_FLOAT32],
    *[(name, "int64") for name in WHOLE_NUMBERS],
]


def made(lib: Any, call: Callable[[Any, Any], Any], out: Any) -> Any:
    lib.manual_seed(0)
    result = call(lib, out)
    assert result is out
    return result


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_out_has_torchs_values_and_keeps_its_dtype_and_memory(name: str, dtype: str) -> None:
    shape = (6,) if name in ("arange", "range", "logspace", "randperm", "vector_norm") else (2, 3)
    theirs = made(torch, CALLS[name], torch.full(shape, 7, dtype=getattr(torch, dtype)))
    out = minitrain.full(shape, 7, dtype=getattr(minitrain, dtype))
    memory = out.array
    ours = made(minitrain, CALLS[name], out)
    assert ours.array is memory
    assert str(ours.dtype).removeprefix("torch.") == dtype
    np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-6)


def test_an_empty_out_takes_the_results_shape() -> None:
    for lib in (minitrain, torch):
        out = lib.empty(0)
        assert lib.rand(2, 3, out=out) is out
        assert tuple(out.shape) == (2, 3)


def test_what_does_not_fit_is_refused() -> None:
    for lib in (minitrain, torch):
        with pytest.raises(RuntimeError, match="does not match dtype of out parameter"):
            lib.rand(2, dtype=lib.float64, out=lib.empty(2))
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            lib.stack([lib.ones(2, requires_grad=True)], out=lib.empty(1, 2))
