"""Checks of what layers and losses are given: one condition if all fits, and the explanation if it does not."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.tensor import Tensor
from minitrain.torchlike.arguments import LONG, UINT8, by_x, check_broadcast
from minitrain.torchlike.tensor_base import result_type

REDUCTIONS = ("none", "mean", "sum")


def check_tensors(name: str, **arguments: Any) -> None:
    """Raise TypeError unless all are Tensors."""
    for argument, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}; "
                "wrap it in torch.tensor() or torch.from_numpy()."
            )


def reduction_of(size_average: Any, reduce: Any, reduction: Any) -> Any:
    """The reduction; or, with torch's warning, the one that its old arguments mean, which are True unless given."""
    if size_average is None and reduce is None:
        return reduction
    total = "mean" if size_average is None or size_average else "sum"
    meant = total if reduce is None or reduce else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", stacklevel=4
    )
    return meant


def check_reduction(reduction: Any, size_average: Any = None, reduce: Any = None) -> Any:
    """The reduction that these arguments mean. Raises ValueError if it does not exist."""
    if size_average is None and reduce is None and reduction in REDUCTIONS:
        return reduction
    reduction = reduction_of(size_average, reduce, reduction)
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction; expected 'none', 'mean' or 'sum'")
    return reduction


def check_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise an error unless y = x Wᵀ + b exists: x (..., in), W (out, in), b (out,) or W (in,), b ()."""
    if isinstance(input, Tensor) and isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor)):
        x, W = input.array, weight.array
        b_shape, b_dtype = (W.shape[:1], W.dtype) if bias is None else (bias.array.shape, bias.array.dtype)
        if x.shape and x.shape[-1:] == W.shape[1:] and b_shape == W.shape[:1] and x.dtype == W.dtype == b_dtype:
            return
    _explain_linear(input, weight, bias)


def _check_linear_of_vector(x: Array, W: Array, bias: Tensor | None) -> None:
    """Raise RuntimeError unless x is (..., in), W (in,) and b a number; the product itself checks the rest."""
    if not x.ndim or not W.ndim:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {x.ndim}D and {W.ndim}D")
    if W.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {W.ndim}D: a weight is (out, in), or (in,)"
        )
    if bias is not None and bias.array.ndim:
        raise RuntimeError(
            f"mat2 must be a matrix, got 1-D tensor: a weight (in,) goes with a bias of shape [], but got "
            f"{list(bias.array.shape)}; reshape the weight to (1, in) for one output feature"
        )


def _explain_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    check_tensors("linear", input=input, weight=weight, **({} if bias is None else {"bias": bias}))
    if weight.array.ndim != 2:
        _check_linear_of_vector(input.array, weight.array, bias)
        return
    shape, (out_features, in_features) = input.array.shape, weight.array.shape
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
    if bias is not None and bias.array.shape != (out_features,):
        check_broadcast((*shape[:-1], out_features), bias.array.shape)


def check_weight(weight: Tensor | None, input: Tensor, classes: int) -> None:
    """Raise RuntimeError unless the weights of the classes are (C,), in the input's dtype."""
    if weight is None:
        return
    check_tensors("cross_entropy", weight=weight)
    if weight.array.shape != (classes,) or weight.dtype != input.dtype:
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes, in the input's dtype "
            f"{input.dtype}, but got weight of shape {list(weight.shape)} and dtype {weight.dtype}"
        )


def check_nll_loss(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    """Raise unless input is (N, C), (N, C, d1, ...) or (C,), target (N,), (N, d1, ...) or (), its labels below C.

    RuntimeError or ValueError for shapes and dtypes, IndexError for a label out of range.
    """
    check_tensors("nll_loss", input=input, target=target)
    _check_labels(input, target, weight, ignore_index)


def _check_labels(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    x, labels = input.array, target.array
    if weight is not None or x.ndim != 2 or x.dtype.kind != "f" or labels.dtype != LONG or labels.shape != x.shape[:1]:
        _explain_nll_loss(input, target, weight)
    bad = labels.astype(np.uint64) >= x.shape[min(x.ndim - 1, 1)]  # a negative number is a large one there
    if bad.any():
        _explain_labels(labels, bad & (labels != ignore_index), x.shape[min(x.ndim - 1, 1)], ignore_index)


def _explain_nll_loss(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    shape, labels = input.array.shape, target.array
    if not shape:
        raise ValueError("nll_loss expects an input of shape (N, C), (N, C, d1, ...) or (C,), but got a 0-d one")
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"nll_loss expects floating point log-probabilities, but got {input.dtype}")
    class_dim = min(len(shape) - 1, 1)
    classes = shape[class_dim]
    if len(shape) > 1 and labels.ndim and shape[0] != labels.shape[0]:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({labels.shape[0]}).")
    if labels.dtype != LONG and (labels.dtype != UINT8 or len(shape) > 2):
        raise RuntimeError(
            f"expected labels of dtype int64, but got {labels.dtype}: class numbers; convert with .long(). "
            "(Probabilities, as floats of the input's shape, go to cross_entropy.)"
        )
    expected = (*shape[:class_dim], *shape[class_dim + 1 :])
    if labels.shape != expected and not (len(shape) == labels.ndim == labels.size == 1):
        raise (ValueError if len(shape) == 1 or labels.ndim == 0 else RuntimeError)(
            f"expected labels of shape {list(expected)} for an input of shape {list(shape)} (one label in place "
            f"of {classes} classes), but got {list(labels.shape)}"
        )
    check_weight(weight, input, classes)
    if weight is not None and weight.requires_grad:
        raise RuntimeError("nll_loss is not differentiable with respect to weight; pass weight.detach().")


def _explain_labels(labels: Array, bad: Array, classes: int, ignore_index: int) -> None:
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        row = f"row {place[0]}" if len(place) == 1 else f"index {list(place)}"
        raise IndexError(
            f"Target {int(labels[place])} is out of bounds: labels must be from 0 to {classes - 1} "
            f"(or ignore_index, {ignore_index}); the first bad one is at {row}, {int(bad.sum())} in all."
        )


def check_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, label_smoothing: float
) -> bool:
    """Whether target holds labels, not probabilities. Raises as check_nll_loss does, and for a bad label_smoothing."""
    check_tensors("cross_entropy", input=input, target=target)
    if label_smoothing or input.array.ndim != 2 or input.array.dtype.kind != "f" or target.array.ndim != 1:
        _explain_cross_entropy(input, target, label_smoothing)
    if target.array.shape == input.array.shape and target.array.dtype.kind == "f":
        return False
    _check_labels(input, target, weight, ignore_index)
    return True


def _explain_cross_entropy(input: Tensor, target: Tensor, label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.array.ndim == 0:
        raise RuntimeError("cross_entropy expects an input of shape (N, C), (N, C, d1, ...) or (C,), but got a 0-d one")
    if input.array.dtype.kind != "f":
        raise NotImplementedError(
            f"cross_entropy expects floating point logits, but got {input.dtype}; call .float() first."
        )
    if target.array.shape == input.array.shape and target.array.size > 1 and target.array.dtype.kind != "f":
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype}: a target of the "
            f"input's shape {list(input.shape)} holds probabilities. Class numbers have one axis less."
        )


def warn_of_broadcast(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape; with torch's warning if that is not theirs: broadcasting compares each with many."""
    if input.array.shape == target.array.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will likely "
        f"lead to incorrect results due to broadcasting: {name} then compares each with many. Please ensure they have "
        "the same size, for example with target.unsqueeze(1) or input.squeeze(1).",
        stacklevel=4,
    )
    check_broadcast(input.array.shape, target.array.shape)
    shape = np.broadcast_shapes(input.array.shape, target.array.shape)
    return input.expand(shape), target.expand(shape)


def check_mse_loss(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape and dtype. Raises TypeError unless both are Tensors of floats."""
    check_tensors("mse_loss", input=input, target=target)
    if input.dtype.kind != "f" or target.dtype.kind != "f":
        raise RuntimeError(
            f"mse_loss expects floating point input and target, but got input {input.dtype} and target "
            f"{target.dtype}; convert with .float()."
        )
    dtype = result_type(input, target)
    return warn_of_broadcast("mse_loss", input.to(dtype), target.to(dtype))


def check_probability(p: float) -> None:
    """Raise ValueError unless it is from 0 to 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def check_dim(name: str, dim: int | None, ndim: int) -> int:
    """dim; or, with torch's warning, the axis that torch once chose if there was none."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1
