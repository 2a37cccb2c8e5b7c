"""Losses that ask for a margin between scores or distances: each as a function, and as a Module."""

from __future__ import annotations

from minitrain.nn.activation import logsigmoid
from minitrain.nn.checks import check_reduction, check_tensors
from minitrain.nn.functional import nll_loss
from minitrain.nn.loss import _Loss
from minitrain.nn.more_losses import _PairLoss, _reduced, _WeightedLoss
from minitrain.nn.shapes import pairwise_distance
from minitrain.ops import Reduction
from minitrain.tensor import Tensor

Flag = bool | None  # torch's deprecated size_average and reduce


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + margin): input1 should be larger where target is 1, smaller where it is -1.

    Shapes: the same number of axes. Raises RuntimeError for others.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {list(input1.shape)}, input2: {list(input2.shape)}, target: {list(target.shape)}"
        )
    return _reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("hinge_embedding_loss", input=input, target=target)
    far = (margin - input).clamp(min=0).where(target != 1, 0.0)
    return _reduced(far + input.where(target != -1, 0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1; cos: of the angle between input1 and input2.

    Shapes: inputs (N, D) and target (N,), or (D,) and (). Raises RuntimeError for others.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    dim = target.ndim
    if dim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not input1.ndim == input2.ndim == dim + 1:
        raise RuntimeError(
            f"{dim}D target tensor expects {dim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}"
        )
    squares = ((input1 * input1).sum(dim) + 1e-12) * ((input2 * input2).sum(dim) + 1e-12)
    cos = (input1 * input2).sum(dim) / squares.sqrt()
    losses = (1 - cos).where(target == 1, 0.0) + (cos - margin).clamp(min=0).where(target == -1, 0.0)
    return _reduced(losses, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d: pairwise_distance.

    swap: uses d(positive, negative) where that is smaller than d(anchor, negative). Shapes: (N, D) or (D,) each.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return _reduced((margin + near - far).clamp(min=0), reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: Reduction = "mean"
) -> Tensor:
    """ln(1 + exp(-target · input)); target: 1 or -1."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("soft_margin_loss", input=input, target=target)
    return _reduced((-target * input).exp().log1p(), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """w[t] · Σ_j≠t max(0, margin - input[t] + input[j])^p / C for each label t: a support vector machine's loss.

    Shapes: input (N, C), target (N,), weight (C,).
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("multi_margin_loss", input=input, target=target)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    own = -nll_loss(input, target, reduction="none").unsqueeze(1)  # checks the labels
    others = input.new_ones(input.shape).scatter(1, target.unsqueeze(1), 0)
    losses = ((margin - own + input).relu() ** p * others).sum(1) / input.shape[1]
    return _reduced(losses if weight is None else losses * weight[target], reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross-entropy of logits, its mean over the classes, the last axis. weight: of each class (C,)."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors("multilabel_soft_margin_loss", input=input, target=target)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return _reduced((losses if weight is None else losses * weight).mean(-1), reduction)


class MarginRankingLoss(_Loss):
    """max(0, -target · (input1 - input2) + margin)."""

    def __init__(
        self, margin: float = 0.0, size_average: Flag = None, reduce: Flag = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of two scores; target says which should be larger."""
        return margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(MarginRankingLoss):
    """1 - cos of the two where target is 1, max(0, cos - margin) where it is -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of two vectors that should be alike (1) or not (-1)."""
        return cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_PairLoss):
    """input where target is 1, max(0, margin - input) where it is -1."""

    function = staticmethod(hinge_embedding_loss)
    arguments = ("margin",)

    def __init__(
        self, margin: float = 1.0, size_average: Flag = None, reduce: Flag = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d: pairwise_distance."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Flag = None,
        reduce: Flag = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of vectors: anchor should be nearer to positive than to negative."""
        margin, p, eps, reduction = self.margin, self.p, self.eps, self.reduction
        return triplet_margin_loss(anchor, positive, negative, margin, p, eps, self.swap, reduction=reduction)


class SoftMarginLoss(_PairLoss):
    """ln(1 + exp(-target · input))."""

    function = staticmethod(soft_margin_loss)


class MultiMarginLoss(_WeightedLoss):
    """w[t] · Σ_j≠t max(0, margin - input[t] + input[j])^p / C for each label t."""

    function = staticmethod(multi_margin_loss)
    arguments = ("p", "margin", "weight")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: Flag = None,
        reduce: Flag = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.p, self.margin = p, margin


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross-entropy of logits, its mean over the classes."""

    function = staticmethod(multilabel_soft_margin_loss)
