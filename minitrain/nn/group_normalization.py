"""Normalization of each sample by itself: GroupNorm and InstanceNorm, as functions and as Modules."""

from __future__ import annotations

import math
from typing import Any

from minitrain import ops
from minitrain.nn.module import Module
from minitrain.nn.normalization import _NormBase, register_affine
from minitrain.tensor import Tensor, apply


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / √(var + eps) of each sample and group of channels, then · weight + bias of each channel.

    input (N, C, ...). Source: Wu and He, arXiv:1803.08494, 2018.
    Raises RuntimeError unless num_groups divides the channels.
    """
    N, C, *rest = input.array.shape
    if N * math.prod(rest) * C == num_groups:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    if C % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got {C}, {num_groups}"
        )
    grouped = input.reshape(N, num_groups, -1)
    y = apply(ops.Normalize, grouped, None, None, dim=(2,), eps=eps).reshape(input.array.shape)
    shape = (C, *(1,) * len(rest))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


class GroupNorm(Module):
    """Normalization of each sample over groups of channels, with learned weight and bias (C,)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        register_affine(self, num_channels, dtype, affine, affine and bias)

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape, (N, C, ...)."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={bias}"


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """group_norm with a group for each channel. Running means and variances are not offered."""
    if running_mean is not None or running_var is not None or not use_input_stats:
        raise NotImplementedError("instance_norm with running statistics is not offered; use batch_norm.")
    if math.prod(input.array.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    return group_norm(input, input.array.shape[1], weight, bias, eps)


class InstanceNorm2d(_NormBase):
    """Normalization of each sample's channels (N, C, H, W), without learned weights unless affine.

    Source: Ulyanov, Vedaldi, Lempitsky, arXiv:1607.08022, 2016. track_running_stats=True is not offered.
    """

    axes = (4,)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if track_running_stats:
            raise NotImplementedError("track_running_stats=True is not offered; use BatchNorm2d.")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """In input's shape."""
        self._check_input_dim(input)
        return instance_norm(input, None, None, self.weight, self.bias, eps=self.eps)


class InstanceNorm1d(InstanceNorm2d):
    """Normalization of each sample's channels (N, C, L)."""

    axes = (3,)
