"""Clipping gradients, in place: by the norm of all of them together, or each value."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from minitrain.tensor import Tensor, increment_version, wrap


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [param.grad for param in parameters if param.grad is not None]


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of the norms of the Tensors: as if all were one vector. Infinity for norm_type takes the maximum."""
    arrays = [x.array for x in tensors]
    if not arrays:
        return wrap(np.zeros((), np.float32))
    norms = np.array([np.linalg.norm(array.ravel(), norm_type) for array in arrays], arrays[0].dtype)
    total = wrap(np.asarray(np.linalg.norm(norms, norm_type), arrays[0].dtype))
    if error_if_nonfinite and not np.isfinite(total.array):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor such that their norm is at most max_norm; returns the norm before."""
    grads = _grads(parameters)
    total = get_total_norm(grads, float(norm_type), error_if_nonfinite)
    factor = min(float(max_norm) / (float(total.array) + 1e-6), 1.0)
    for grad in grads:
        with np.errstate(invalid="ignore"):  # inf times 0 is nan, silently, as in torch
            grad.array *= grad.dtype.type(factor)
        increment_version(grad)
    return total


def clip_grad_norm(*args: Any, **options: Any) -> Tensor:
    """clip_grad_norm_ by its former name, deprecated."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **options)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Move each value of the gradients into -clip_value to clip_value."""
    for grad in _grads(parameters):
        np.clip(grad.array, -clip_value, clip_value, out=grad.array)
        increment_version(grad)
