"""torch's functions that draw, such as normal and multinomial, and the Generator that they draw from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain.creation import creates, float_dtype
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.arguments import Scalar, as_dtype, as_new_shape, check_broadcast, floating
from minitrain.torchlike.out_argument import takes_out


class Generator(random.Generator):
    """A stream of random numbers, as torch.Generator on CPU; its state is a Tensor."""

    def get_state(self) -> Tensor:
        """The whole state as torch writes it: a uint8 Tensor, shape (5056,), for set_state here or in torch."""
        return wrap(self.state())


@takes_out
@creates
def normal(
    mean: Any,
    std: Any = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: random.Generator | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """Normally distributed values, of Tensors of means and deviations that broadcast, or of numbers and a size.

    torch's bit for bit where randn is. Raises RuntimeError for a negative std.
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() of two numbers needs size=, the result's shape.")
        shape = as_new_shape("normal", (), size)
        made = random.normal(shape, mean, std, dtype=float_dtype(dtype), generator=generator)
    elif not isinstance(std, Tensor):
        target = floating(mean.dtype)
        made = random.normal(mean.shape, 0.0, std, dtype=target, generator=generator) + mean.array.astype(target)
    else:
        if (std.array < 0).any():
            raise RuntimeError("normal expects all elements of std >= 0.0")
        shapes = [x.shape for x in (mean, std) if isinstance(x, Tensor)]
        check_broadcast(*shapes)
        target = floating(std.dtype)
        standard = random.normal(np.broadcast_shapes(*shapes), dtype=target, generator=generator)
        center = mean.array.astype(target) if isinstance(mean, Tensor) else target.type(mean)
        made = standard * std.array.astype(target) + center
    return np.asarray(made)


@takes_out
def bernoulli(input: Tensor, p: float | None = None, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability at its place in input, else 0, in input's dtype; or with probability p everywhere."""
    if p is not None:
        return wrap(random.bernoulli(input.shape, p, generator=generator).astype(input.dtype))
    if input.dtype.kind != "f":
        raise NotImplementedError(f"bernoulli is not implemented for {input.dtype}; the probabilities must be floats.")
    return wrap(random.bernoulli_each(input.array, generator=generator).astype(input.dtype))


@takes_out
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: random.Generator | None = None
) -> Tensor:
    """num_samples places drawn from each row of weights, which need not add up to 1: (N, C) -> (N, num_samples).

    torch's bit for bit (on Intel CPUs torch draws otherwise if replacement is False or num_samples is 1).
    """
    weights = input.array
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if weights.dtype.kind != "f":
        raise RuntimeError("multinomial only supports floating-point dtypes for input, got: " + str(weights.dtype))
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if weights.size and (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    return wrap(random.multinomial(weights, num_samples, replacement, generator=generator))


def poisson(input: Tensor, generator: random.Generator | None = None) -> Tensor:
    """Numbers of events, each where input's element are expected, in its dtype."""
    return wrap(random.poisson(input.array, generator=generator))


@creates
def randint_like(input: Tensor, low: int = 0, high: int | None = None, *, dtype: npt.DTypeLike | None = None) -> Array:
    """randint, in input's shape and dtype; randint_like(input, high) starts at 0."""
    low, high = (0, low) if high is None else (low, high)
    return random.randint(low, high, input.shape, dtype=input.dtype if dtype is None else as_dtype(dtype))


@takes_out
@creates
def logspace(
    start: Scalar, end: Scalar, steps: int, base: float = 10.0, *, dtype: npt.DTypeLike | None = None
) -> Array:
    """base to the powers of steps exponents, evenly spaced from start to end inclusive."""
    return np.power(float(base), np.linspace(start, end, steps)).astype(float_dtype(dtype))


@takes_out
@creates
def range(start: Scalar, end: Scalar | None = None, step: Scalar = 1, *, dtype: npt.DTypeLike | None = None) -> Array:
    """start, start + step, ... up to and with end, as floats; arange is what torch recommends."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=4,
    )
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = int((end - start) / step) + 1
    return (start + step * np.arange(count, dtype=np.float64)).astype(float_dtype(dtype))
