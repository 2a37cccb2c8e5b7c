"""torch.autograd.functional: the Jacobian of a function of Tensors, and its product with a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.autograd.gradients import grad
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import enable_grad
from minitrain.torchlike.not_offered import torch_names

__all__ = ["jacobian", "vjp"]

__getattr__, __dir__ = torch_names(__name__)


def _called(func: Callable[..., Any], inputs: Any, strict: bool) -> tuple[list[Tensor], list[Tensor], bool]:
    """Inputs that require gradients, func's outputs, and whether these are several."""
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    with enable_grad():
        leaves = [x.detach().clone().requires_grad_() for x in given]
        outputs = func(*leaves)
    several = isinstance(outputs, tuple | list)
    made = list(outputs) if several else [outputs]
    for y in made:
        if not isinstance(y, Tensor):
            raise TypeError(f"func must return a Tensor or a tuple of Tensors, but gave {type(y).__name__}")
        if strict and not y.requires_grad:
            raise RuntimeError("The output of the user-provided function is independent of the input.")
    return leaves, made, several


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """d(each element of func(*inputs))/d(input): a Tensor of the output's shape followed by the input's.

    inputs: a Tensor, or a tuple; then the result is a tuple too, and a tuple of tuples if func returns several.
    strict: raise RuntimeError for an output that does not depend on an input.
    """
    if create_graph:
        raise NotImplementedError("create_graph=True (gradients of gradients) is not offered; use torch for it.")
    leaves, outputs, several = _called(func, inputs, strict)
    rows = []
    for y in outputs:
        jacobians = [np.zeros((y.numel(), *x.shape), y.dtype) for x in leaves]
        with enable_grad():
            elements = y.reshape(-1).unbind() if y.requires_grad else ()
        for i, element in enumerate(elements):
            found = grad(element, leaves, retain_graph=True, allow_unused=not strict)
            for array, gradient in zip(jacobians, found, strict=True):
                if gradient is not None:
                    array[i] = gradient.array
        made = [wrap(array.reshape(*y.shape, *x.shape)) for array, x in zip(jacobians, leaves, strict=True)]
        rows.append(made[0] if isinstance(inputs, Tensor) else tuple(made))
    return tuple(rows) if several else rows[0]


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(func's outputs, d(Σ outputs · v)/d(input) for each input); v may be left out for one output of one element."""
    leaves, outputs, several = _called(func, inputs, strict)
    depends = [y.requires_grad for y in outputs]
    weights = [v] if v is None or isinstance(v, Tensor) else list(v)
    if v is None and (several or outputs[0].numel() != 1):
        raise RuntimeError("The vector v can only be None if the user-provided function returns a single element.")
    used = [(y, w) for y, w, d in zip(outputs, weights, depends, strict=True) if d]
    found: Any = [None] * len(leaves)
    if used:
        found = grad([y for y, _ in used], leaves, [w for _, w in used], None, create_graph, allow_unused=True)
    filled = [wrap(np.zeros(x.shape, x.dtype)) if g is None else g for x, g in zip(leaves, found, strict=True)]
    values = [y.detach() for y in outputs]
    return tuple(values) if several else values[0], filled[0] if isinstance(inputs, Tensor) else tuple(filled)
