"""The layers and losses as functions. Each checks what it is given (checks.py), then applies its operation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.nn import checks, further
from minitrain.nn.soft_targets import cross_entropy_of_soft_targets
from minitrain.ops import Reduction
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike import random
from minitrain.torchlike.not_offered import torch_names


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b. input (..., in), weight (out, in), bias (out,) -> (..., out); or weight (in,), bias () -> (...).

    Raises RuntimeError if shapes or dtypes do not fit.
    """
    checks.check_linear(input, weight, bias)
    return apply(ops.Linear, input, weight, bias) if weight.array.ndim == 2 else _linear_of_vector(input, weight, bias)


def _linear_of_vector(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = input.matmul(weight)
    return y if bias is None else y + bias


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.relu_() if inplace else input.relu()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: npt.DTypeLike | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim."""
    return input.softmax(checks.check_dim("softmax", dim, input.ndim), dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: npt.DTypeLike | None = None
) -> Tensor:
    """x - ln Σ exp(x) along dim."""
    return input.log_softmax(checks.check_dim("log_softmax", dim, input.ndim), dtype)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each value becomes 0 with probability p, else x / (1 - p); otherwise x.

    Which values become 0 is drawn from torch's stream, bit for bit.
    """
    checks.check_probability(p)
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        scale = np.zeros(input.shape, input.dtype)
    elif not input.is_floating_point():
        raise RuntimeError(f"result type Float can't be cast to {input.dtype}: dropout scales; call .float() first.")
    else:
        kept = random.bernoulli(input.shape, 1 - p)
        scale = np.asarray(kept.astype(input.dtype) / input.dtype.type(1 - p))
    return input.mul_(wrap(scale)) if inplace else input * wrap(scale)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: None = None,
) -> Tensor:
    """(input - target)² of each element, their mean over all elements, or their sum."""
    reduction = checks.check_reduction(reduction, size_average, reduce)
    input, target = checks.check_mse_loss(input, target)
    return apply(ops.MSELoss, input, target, reduction=reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """-w[t] · input[t] for each label t, their weighted mean Σ / Σ w[t], or their sum.

    input: log-probabilities (N, C), (N, C, d1, ...) or (C,).
    target: classes 0 to C - 1, int64 (N,), (N, d1, ...) or (); labels equal to ignore_index do not count.
    weight: of each class, (C,).
    Raises RuntimeError or ValueError for shapes and dtypes, IndexError for a label out of range.
    """
    reduction = checks.check_reduction(reduction, size_average, reduce)
    checks.check_nll_loss(input, target, weight, ignore_index)
    return apply(ops.NLLLoss, input, target, weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """log_softmax over the classes, then nll_loss.

    input: logits (N, C), (N, C, d1, ...) or (C,).
    target: classes as for nll_loss, or probabilities of input's own shape.
    label_smoothing: from 0 to 1, the share of each target that is spread evenly over all classes.
    """
    reduction = checks.check_reduction(reduction, size_average, reduce)
    labels = checks.check_cross_entropy(input, target, weight, ignore_index, label_smoothing)
    log_probs = apply(ops.LogSoftmax, input, dim=min(input.array.ndim - 1, 1))
    if label_smoothing or not labels:
        return cross_entropy_of_soft_targets(log_probs, target, weight, ignore_index, reduction, label_smoothing)
    return apply(ops.NLLLoss, log_probs, target, weight, ignore_index=ignore_index, reduction=reduction)


__getattr__, __dir__ = torch_names(__name__, further.FUNCTIONS)  # the other layers' functions
