"""Cross-entropy beyond labels: label smoothing, and targets that are probabilities."""

from __future__ import annotations

from typing import Literal

from minitrain import ops
from minitrain.nn.checks import check_weight
from minitrain.ops import Reduction
from minitrain.tensor import Tensor, apply


def class_axis(input: Tensor) -> int:
    """The axis of the classes: the second, or the only one."""
    return 0 if input.ndim == 1 else 1


def _per_class(weight: Tensor, input: Tensor) -> Tensor:
    """A weight (C,) in a shape that broadcasts against input (N, C, d1, ...)."""
    return weight.reshape([-1 if dim == class_axis(input) else 1 for dim in range(input.ndim)])


def _reduced(losses: Tensor, reduction: Literal["none", "mean", "sum"], count: Tensor | float) -> Tensor:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / count


def cross_entropy_of_soft_targets(
    log_probs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
    label_smoothing: float,
) -> Tensor:
    """The loss of probabilities, or of labels of which a share is spread evenly over all classes.

    Of labels it is (1 - label_smoothing) · nll_loss + label_smoothing · the mean of the losses of all classes.
    """
    if target.shape == log_probs.shape and target.is_floating_point():
        return _loss_of_probabilities(log_probs, target, weight, ignore_index, reduction, label_smoothing)
    loss = apply(ops.NLLLoss, log_probs, target, weight, ignore_index=ignore_index, reduction=reduction)
    of_all = _loss_of_all_classes(log_probs, target, weight, ignore_index, reduction)
    return (1 - label_smoothing) * loss + of_all * (label_smoothing / log_probs.shape[class_axis(log_probs)])


def _loss_of_all_classes(
    log_probs: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: Reduction
) -> Tensor:
    """-Σ_c w[c] · log p[c] for each label that counts; the mean divides by what nll_loss divides by."""
    weighted = log_probs if weight is None else log_probs * _per_class(weight, log_probs)
    kept = target != ignore_index
    losses = (-weighted.sum(class_axis(log_probs))).where(kept, 0.0)
    if weight is None:
        return _reduced(losses, reduction, kept.sum().to(log_probs.dtype))
    return _reduced(losses, reduction, weight[target.long()[kept]].sum())


def _loss_of_probabilities(
    log_probs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
    label_smoothing: float,
) -> Tensor:
    """-Σ_c w[c] · t[c] · log p[c] for each row; the mean is over the rows, whatever the weights."""
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    class_dim = class_axis(log_probs)
    classes = log_probs.shape[class_dim]
    check_weight(weight, log_probs, classes)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    weighted = log_probs * target if weight is None else log_probs * target * _per_class(weight, log_probs)
    rows = log_probs.numel() // classes if classes else 0
    if reduction == "none":
        return -weighted.sum(class_dim)
    return _reduced(-weighted.sum(), reduction, float(rows))
