"""The layers and losses as functions, with the checks that say what is wrong with an input."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.ops import Reduction
from minitrain.tensor import Tensor, apply
from minitrain.torchlike import random
from minitrain.torchlike.arguments import LONG, UINT8, by_x


def _check_tensors(name: str, **arguments: Tensor) -> None:
    for argument, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}; "
                "wrap it in minitrain.tensor() or from_numpy()."
            )


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b. input (..., in), weight (out, in), bias (out,) -> (..., out).

    Raises RuntimeError where shapes or dtypes do not fit.
    """
    _check_tensors("linear", input=input, weight=weight)
    in_features = weight.array.shape[-1]
    shape = input.array.shape
    if not shape or shape[-1] != in_features:
        rows = (math.prod(shape[:-1]), shape[-1] if shape else 1)
        hint = ""
        if len(shape) > 1 and in_features in (math.prod(shape), math.prod(shape[1:])):
            hint = f" One sample has {in_features} values: is an nn.Flatten() missing before this layer?"
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({by_x(rows)} and {by_x(weight.array.shape[::-1])}): "
            f"expected an input of shape (..., {in_features}), but got {list(shape)}.{hint}"
        )
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.array.dtype != input.array.dtype:
            raise RuntimeError(
                f"mat1 and mat2 must have the same dtype, but the input is {input.dtype} and the {name} {other.dtype}; "
                "convert the input with .float() or the model with .double()."
            )
    return apply(ops.Linear, input, weight, bias)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.relu_() if inplace else input.relu()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim."""
    return input.softmax(_implicit_dim("softmax", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """x - ln Σ exp(x) along dim."""
    return input.log_softmax(_implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each value becomes 0 with probability p, else x / (1 - p); otherwise x.

    Which ones is drawn from torch's stream, bit for bit.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        scale = np.zeros(input.shape, input.dtype)
    elif not input.is_floating_point():
        raise RuntimeError(f"result type Float can't be cast to {input.dtype}: dropout scales; call .float() first.")
    else:
        kept = random.bernoulli(input.shape, 1 - p)
        scale = np.asarray(kept.astype(input.dtype) / input.dtype.type(1 - p))
    return input.mul_(Tensor(scale)) if inplace else input * Tensor(scale)


# --- losses -----------------------------------------------------------------------------------------------------------


def _check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction; expected 'none', 'mean' or 'sum'")


def mse_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """(input - target)² of each element, their mean over all elements, or their sum.

    Raises ValueError where the shapes differ: torch broadcasts them with a warning, which is nearly always a mistake.
    """
    _check_reduction(reduction)
    _check_tensors("mse_loss", input=input, target=target)
    if input.shape != target.shape:
        raise ValueError(
            f"mse_loss expects input and target of one shape, but got input {list(input.shape)} and target "
            f"{list(target.shape)}; broadcasting them would compare each with many. Reshape one to fit the other."
        )
    if input.dtype != target.dtype or not input.is_floating_point():
        raise RuntimeError(
            f"mse_loss expects floating point input and target of one dtype, but got input {input.dtype} and target "
            f"{target.dtype}; convert with .float()."
        )
    return apply(ops.MSELoss, input, target, reduction=reduction)


def _check_weight(weight: Tensor | None, input: Tensor, classes: int) -> None:
    if weight is not None and (weight.array.shape != (classes,) or weight.dtype != input.dtype):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes, in the input's dtype "
            f"{input.dtype}, but got weight of shape {list(weight.shape)} and dtype {weight.dtype}"
        )


def _class_dim(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """-w[t] · input[t] for each label t, their weighted mean Σ / Σ w[t], or their sum.

    input: log-probabilities (N, C), (N, C, d1, ...) or (C,).
    target: classes 0 to C - 1, int64 (N,), (N, d1, ...) or (); labels equal to ignore_index do not count.
    weight: of each class, (C,).
    Raises RuntimeError or ValueError for shapes and dtypes, IndexError for a label out of range.
    """
    _check_reduction(reduction)
    _check_tensors("nll_loss", input=input, target=target)
    if input.ndim == 0:
        raise ValueError("nll_loss expects an input of shape (N, C), (N, C, d1, ...) or (C,), but got a 0-d one")
    if not input.is_floating_point():
        raise RuntimeError(f"nll_loss expects floating point log-probabilities, but got {input.dtype}")
    class_dim = _class_dim(input)
    shape = input.array.shape
    classes = shape[class_dim]
    if len(shape) > 1 and target.ndim and shape[0] != target.array.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    if target.dtype not in (LONG, UINT8):
        raise RuntimeError(
            f"expected labels of dtype int64, but got {target.dtype}: class numbers; convert with .long(). "
            "(Probabilities, as floats of the input's shape, go to cross_entropy.)"
        )
    expected = (*shape[:class_dim], *shape[class_dim + 1 :])
    if target.array.shape != expected:
        one_sample = input.ndim == 1 or target.ndim == 0
        raise (ValueError if one_sample else RuntimeError)(
            f"expected labels of shape {list(expected)} for an input of shape {list(shape)} (one label in place "
            f"of {classes} classes), but got {list(target.shape)}"
        )
    _check_weight(weight, input, classes)
    if weight is not None and weight.requires_grad:
        raise RuntimeError("nll_loss is not differentiable with respect to weight; give it weight.detach().")
    labels = target.array
    bad = labels.astype(np.uint64) >= classes  # a negative number is a large one there
    if bad.any() and (bad := bad & (labels != ignore_index)).any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        row = f"row {place[0]}" if len(place) == 1 else f"index {list(place)}"
        raise IndexError(
            f"Target {int(labels[place])} is out of bounds: labels must be from 0 to {classes - 1} "
            f"(or ignore_index, {ignore_index}); the first bad one is at {row}, {int(bad.sum())} in all."
        )
    return apply(ops.NLLLoss, input, target, weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """log_softmax over the classes, then nll_loss.

    input: logits (N, C), (N, C, d1, ...) or (C,).
    target: classes as for nll_loss, or probabilities of input's own shape.
    label_smoothing: from 0 to 1, the share of each target that is spread evenly over all classes.
    """
    _check_reduction(reduction)
    _check_tensors("cross_entropy", input=input, target=target)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim == 0:
        raise RuntimeError("cross_entropy expects an input of shape (N, C), (N, C, d1, ...) or (C,), but got a 0-d one")
    log_probs = log_softmax(input, _class_dim(input))
    if target.shape == input.shape:
        return _cross_entropy_of_probabilities(log_probs, target, weight, ignore_index, reduction, label_smoothing)
    loss = nll_loss(log_probs, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return loss
    smooth = _smoothing_loss(log_probs, target, weight, ignore_index, reduction)
    return (1 - label_smoothing) * loss + smooth * (label_smoothing / input.shape[_class_dim(input)])


def _per_class(weight: Tensor, input: Tensor) -> Tensor:
    """A weight (C,) in a shape that broadcasts against input (N, C, d1, ...)."""
    return weight.reshape([-1 if dim == _class_dim(input) else 1 for dim in range(input.ndim)])


def _reduced(losses: Tensor, reduction: Literal["none", "mean", "sum"], count: Tensor | float) -> Tensor:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / count


def _smoothing_loss(
    log_probs: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: Reduction
) -> Tensor:
    """-Σ_c w[c] · log p[c] for each label that counts; the mean divides by what nll_loss divides by."""
    weighted = log_probs if weight is None else log_probs * _per_class(weight, log_probs)
    kept = target != ignore_index
    losses = (-weighted.sum(_class_dim(log_probs))).where(kept, 0.0)
    if weight is None:
        return _reduced(losses, reduction, kept.sum().to(log_probs.dtype))
    return _reduced(losses, reduction, weight[target.long()[kept]].sum())


def _cross_entropy_of_probabilities(
    log_probs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
    label_smoothing: float,
) -> Tensor:
    """-Σ_c w[c] · t[c] · log p[c] for each row; the mean is over the rows, whatever the weights."""
    if not target.is_floating_point():
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype}: a target of the "
            f"input's shape {list(log_probs.shape)} holds probabilities. Class numbers have one axis less."
        )
    if target.dtype != log_probs.dtype:
        raise RuntimeError(f"expected probabilities of the input's dtype {log_probs.dtype}, but got {target.dtype}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    class_dim = _class_dim(log_probs)
    classes = log_probs.shape[class_dim]
    _check_weight(weight, log_probs, classes)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    weighted = log_probs * target if weight is None else log_probs * target * _per_class(weight, log_probs)
    rows = log_probs.numel() // classes if classes else 0
    if reduction == "none":
        return -weighted.sum(class_dim)
    return _reduced(-weighted.sum(), reduction, float(rows))
