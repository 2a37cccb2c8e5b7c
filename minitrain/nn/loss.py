"""Losses as Modules. CrossEntropyLoss is LogSoftmax followed by NLLLoss."""

from __future__ import annotations

from minitrain.nn import functional as F
from minitrain.nn.checks import reduction_of
from minitrain.nn.module import Module
from minitrain.ops import Reduction
from minitrain.tensor import Tensor


class _Loss(Module):
    """What losses share: the reduction of the losses of all samples to one number."""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        self.reduction: Reduction = reduction_of(size_average, reduce, reduction)


class MSELoss(_Loss):
    """(input - target)², their mean over all elements (not rows), their sum, or each ("none").

    Shapes: input and target the same; the result is 0-d, or the input's shape for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.mse_loss(input, target, reduction=self.reduction)


class NLLLoss(_Loss):
    """-w[t] · input[t] for each label t, their mean Σ / Σ w[t], their sum, or each ("none").

    weight: of each class (C,); ignore_index: the label that does not count.
    Shapes: input (N, C), (N, C, d1, ...) or (C,), log-probabilities; target (N,), (N, d1, ...) or (), int64.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities against labels."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """LogSoftmax over the classes followed by NLLLoss: -ln of the probability that softmax gives the label.

    weight: of each class (C,); ignore_index: the label that does not count; label_smoothing: from 0 to 1, the share
    of each target that is spread evenly over all classes.
    Shapes: input (N, C), (N, C, d1, ...) or (C,), logits; target as for NLLLoss, or probabilities in input's shape.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits against labels or probabilities."""
        reduction, smoothing = self.reduction, self.label_smoothing
        return F.cross_entropy(input, target, self.weight, None, self.ignore_index, None, reduction, smoothing)
