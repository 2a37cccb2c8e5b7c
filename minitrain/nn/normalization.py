"""BatchNorm1d, BatchNorm2d and LayerNorm, as functions and as Modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.nn.checks import check_tensors
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import HALF, as_dtype, get_default_dtype


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias for each channel, the second axis.

    In training, mean and variance are the batch's, and the running ones move towards them:
    running = (1 - momentum) · running + momentum · batch's (the variance with n - 1). Otherwise they are the running
    ones. Source: Ioffe and Szegedy, arXiv:1502.03167, 2015.
    Raises ValueError for a single value per channel in training.
    """
    channels = input.array.shape[1] if input.ndim > 1 else input.numel()
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    check_tensors("batch_norm", input=input)
    _require_one_dtype(input, given)
    for name, x in given.items():
        if x is not None and x.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {x.numel()}")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
    dim = tuple(axis for axis in range(input.ndim) if axis != 1)
    w, b = (None if x is None else x.reshape(shape) for x in (weight, bias))
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
        rate = 1 / (running_var + eps).sqrt()
        scale = rate if weight is None else rate * weight
        y = (input - running_mean.reshape(shape)) * scale.reshape(shape)
        return y if b is None else y + b
    n = math.prod(input.array.shape[axis] for axis in dim)
    if n == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}: use a larger batch, "
            "or model.eval()."
        )
    if running_mean is not None and running_var is not None and n:
        x = input.detach()
        for running, batch in ((running_mean, x.mean(dim)), (running_var, x.var(dim))):
            running.array[...] = (1 - momentum) * running.array + momentum * batch.array
    return apply(ops.Normalize, input, w, b, dim=dim, eps=eps)


def _require_one_dtype(input: Tensor, given: dict[str, Tensor | None]) -> None:
    for name, x in given.items():
        if x is not None and x.dtype != input.dtype and input.dtype != HALF:  # torch keeps a half's statistics in float
            raise RuntimeError(
                f"mixed dtype (CPU): all inputs must share same datatype, but the input is {input.dtype} and {name} "
                f"{x.dtype}; convert the input with .float() or the model with .double()."
            )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias over the last axes, normalized_shape.

    Source: Ba, Kiros, Hinton, arXiv:1607.06450, 2016. Raises RuntimeError if the last axes have other sizes.
    """
    check_tensors("layer_norm", input=input)
    _require_one_dtype(input, {"weight": weight, "bias": bias})
    sizes = tuple(normalized_shape)
    if input.array.shape[input.ndim - len(sizes) :] != sizes:
        raise RuntimeError(
            f"Given normalized_shape={list(sizes)}, expected input with shape [*, {', '.join(map(str, sizes))}], but "
            f"got input of size{list(input.shape)}"
        )
    dim = tuple(range(input.ndim - len(sizes), input.ndim))
    full = (1,) * (input.ndim - len(sizes)) + sizes
    w, b = (None if x is None else x.reshape(full) for x in (weight, bias))
    return apply(ops.Normalize, input, w, b, dim=dim, eps=eps)


def register_affine(module: Module, size: Any, dtype: npt.DTypeLike | None, weight: bool, bias: bool) -> None:
    """Give a Module a weight of 1 and a bias of 0 of this size, or None for one that is not wanted."""
    float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
    for name, start, wanted in (("weight", 1, weight), ("bias", 0, bias)):
        param = Parameter(wrap(np.full(size, start, float_type))) if wanted else None
        module.register_parameter(name, param)


class _NormBase(Module):
    """What batch and instance normalization share: weight and bias, running statistics, and how they are printed.

    num_features: C. momentum: how fast the running mean and variance follow the batches'; None: their plain average.
    affine: whether weight and bias (C,) are learned. track_running_stats: whether there are running ones.
    bias: False leaves the bias out.
    """

    axes: ClassVar[tuple[int, ...]]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        register_affine(self, num_features, dtype, affine, affine and bias)
        float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
        for name, start in (("running_mean", 0), ("running_var", 1)):
            array = np.full(num_features, start, float_type)
            self.register_buffer(name, wrap(array) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", wrap(np.array(0, np.int64)) if track_running_stats else None)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in self.axes:
            raise ValueError(f"expected {' or '.join(f'{n}D' for n in self.axes)} input (got {input.ndim}D input)")

    def reset_running_stats(self) -> None:
        """Forget the running mean and variance."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.array[...], self.running_var.array[...] = 0, 1
            self.num_batches_tracked.array[...] = 0

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and reset_running_stats."""
        self.reset_running_stats()
        if self.weight is not None:
            self.weight.array[...] = 1
        if self.bias is not None:
            self.bias.array[...] = 0

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """Normalization by the batch's mean and variance in training, else by the running ones."""

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        self._check_input_dim(input)
        if input.array.shape[1] != self.num_features:
            raise RuntimeError(
                f"running_mean should contain {input.array.shape[1]} elements not {self.num_features}: the input has "
                f"shape {list(input.shape)}, and its second axis must be num_features."
            )
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.array[...] += 1
            if momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        by_batch = self.training or self.running_mean is None
        mean, variance = (self.running_mean, self.running_var) if not by_batch or self.training else (None, None)
        return batch_norm(input, mean, variance, self.weight, self.bias, by_batch, momentum or 0.0, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L), over all but C."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W), over all but C."""

    axes = (4,)


class LayerNorm(Module):
    """Normalization of each sample over its last axes, normalized_shape, with learned weight and bias of that shape."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = sizes, eps, elementwise_affine
        register_affine(self, sizes, dtype, elementwise_affine, elementwise_affine and bias)

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"
