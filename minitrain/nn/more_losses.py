"""Losses beyond cross-entropy and mean squares: each as a function, and as a Module."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from minitrain import ops
from minitrain.nn.checks import check_reduction, check_tensors, reduction_of, warn_of_broadcast
from minitrain.nn.loss import _Loss
from minitrain.ops import Reduction
from minitrain.tensor import Tensor, apply
from minitrain.torchlike.arguments import check_broadcast
from minitrain.torchlike.tensor_base import result_type


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _in_one_dtype(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    dtype = result_type(input, target)
    return input.to(dtype), target.to(dtype)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, their mean over all elements, or their sum."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("l1_loss", input=input, target=target)
    warn_of_broadcast("l1_loss", input, target)
    losses = (input - target).abs()
    return _reduced(losses if weight is None else losses * weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / 2beta where |d| < beta, else |d| - beta / 2, d = input - target."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("smooth_l1_loss", input=input, target=target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, but got {beta}")
    a, b = warn_of_broadcast("smooth_l1_loss", *_in_one_dtype(input, target))
    return _reduced(apply(ops.SmoothL1Loss, a, b, beta=beta), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d² / 2 where |d| < delta, else delta · (|d| - delta / 2), d = input - target. Source: Huber, 1964."""
    check_reduction(reduction)
    check_tensors("huber_loss", input=input, target=target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, but got {delta}")
    a, b = warn_of_broadcast("huber_loss", *_in_one_dtype(input, target))
    losses = apply(ops.SmoothL1Loss, a, b, beta=delta) * delta
    return _reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """-(t · ln p + (1 - t) · ln(1 - p)) of probabilities p. Raises RuntimeError for a p outside of 0 to 1."""
    reduction = check_reduction(reduction, size_average, reduce)
    _check_pair("binary_cross_entropy", input, target)
    if ((input.array < 0) | (input.array > 1)).any():
        raise RuntimeError(
            "all elements of input should be between 0 and 1: binary_cross_entropy takes probabilities. Apply sigmoid "
            "first, or use binary_cross_entropy_with_logits."
        )
    if not ((target.array >= 0) & (target.array <= 1)).all():
        raise RuntimeError(
            "all elements of target should be between 0 and 1: binary_cross_entropy takes probabilities."
        )
    losses = apply(ops.BCELoss, input, target)
    return _reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input), computed such that nothing overflows. pos_weight: of the targets 1."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    if input.is_floating_point() and target.is_floating_point():
        input = input.to(target.dtype)  # as torch, which multiplies in the target's place
    _check_pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is not None:
        check_tensors("binary_cross_entropy_with_logits", pos_weight=pos_weight)
        check_broadcast(input.shape, pos_weight.shape)
        pos_weight = pos_weight.to(input.dtype)
    losses = apply(ops.BCEWithLogitsLoss, input, target, pos_weight)
    return _reduced(losses if weight is None else losses * weight, reduction)


def _check_pair(name: str, input: Tensor, target: Tensor) -> None:
    check_tensors(name, input=input, target=target)
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            f"{name} expects one shape; reshape one, for example target.unsqueeze(1)."
        )
    if input.dtype != target.dtype or not input.is_floating_point():
        raise RuntimeError(
            f"{name} expects floating point input and target of one dtype, but got input {input.dtype} and target "
            f"{target.dtype}; convert the target with .float()."
        )


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Any = "mean",
    log_target: bool = False,
) -> Tensor:
    """t · (ln t - input) of log-probabilities input; reduction also "batchmean", the sum divided by the rows."""
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    reduction = reduction_of(size_average, reduce, reduction)
    if reduction != "batchmean":
        check_reduction(reduction)
    check_tensors("kl_div", input=input, target=target)
    if not input.is_floating_point() or not target.is_floating_point():
        raise RuntimeError("kl_div: Integral inputs not supported. Call .float() first.")
    losses = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        return losses.sum() / input.shape[0]
    return _reduced(losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """exp(input) - target · input, or input - target · ln(input + eps) without log_input.

    full: adds Stirling's approximation of ln(target!), which does not depend on the input, where target > 1.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("poisson_nll_loss", input=input, target=target)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target.where(target > 1, 1.0)
        stirling = large * large.log() - large + 0.5 * (2 * math.pi * large).log()
        losses = losses + stirling.where(target > 1, 0.0)
    return _reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """½ · (ln var + (input - target)² / var), var at least eps. full: adds ½ ln 2π.

    var: a number, in input's shape, or with its last axis 1 or missing. Raises ValueError for another, or below 0.
    """
    check_reduction(reduction)
    check_tensors("gaussian_nll_loss", input=input, target=target)
    variance = input.new_full((), var) if not isinstance(var, Tensor) else var
    if (variance.array < 0).any():
        raise ValueError("var has negative entry/entries")
    if isinstance(var, Tensor) and variance.shape == input.shape[:-1] and input.ndim:
        variance = variance.unsqueeze(-1)
    elif isinstance(var, Tensor) and variance.shape not in (input.shape, (*input.shape[:-1], 1)):
        raise ValueError(f"var is of incorrect size: got {list(var.shape)} for an input of {list(input.shape)}")
    # The gradient passes where var is below eps, too.
    variance = variance + (variance.detach().clamp(min=eps) - variance.detach())
    losses = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


class _PairLoss(_Loss):
    """Calls function(input, target, ...) with the reduction and the attributes that `arguments` names."""

    function: ClassVar[Callable[..., Tensor]]
    arguments: ClassVar[tuple[str, ...]] = ()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        options = {name: getattr(self, name) for name in self.arguments}
        return type(self).function(input, target, reduction=self.reduction, **options)


class _WeightedLoss(_PairLoss):
    arguments: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Any = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(_PairLoss):
    """|input - target|, their mean over all elements, their sum, or each ("none")."""

    function = staticmethod(l1_loss)


class SmoothL1Loss(_PairLoss):
    """d² / 2beta where |d| < beta, else |d| - beta / 2, d = input - target."""

    function = staticmethod(smooth_l1_loss)
    arguments = ("beta",)

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: Any = "mean", beta: float = 1.0
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(_PairLoss):
    """d² / 2 where |d| < delta, else delta · (|d| - delta / 2), d = input - target."""

    function = staticmethod(huber_loss)
    arguments = ("delta",)

    def __init__(self, reduction: Any = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities. weight: of each element, or of each of the last axis."""

    function = staticmethod(binary_cross_entropy)


class BCEWithLogitsLoss(BCELoss):
    """Binary cross-entropy of logits: sigmoid and BCELoss in one. pos_weight: of the targets 1."""

    function = staticmethod(binary_cross_entropy_with_logits)
    arguments = ("weight", "pos_weight")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Any = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)


class KLDivLoss(_PairLoss):
    """t · (ln t - input), the Kullback-Leibler divergence; "batchmean" is its mathematical definition."""

    function = staticmethod(kl_div)
    arguments = ("log_target",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: Any = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target


class PoissonNLLLoss(_Loss):
    """exp(input) - target · input: the negative log-likelihood of counts, without a constant."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss of the logarithms of expected counts (or of the counts) against counts."""
        options = {"log_input": self.log_input, "full": self.full}
        return poisson_nll_loss(log_input, target, **options, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(_Loss):
    """½ · (ln var + (input - target)² / var): the negative log-likelihood of a normal distribution."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss of expected values and their variances against observed values."""
        return gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
