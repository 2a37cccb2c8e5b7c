"""Derivatives of functions: jacobian, of every result by every input, and vjp, a vector times that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minitrain.autograd.gradients import grad
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import enable_grad
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

Several = Tensor | tuple[Tensor, ...]


def jacobian(
    func: Callable[..., Several],
    inputs: Several,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """d(result)/d(input), of shape (*result's shape, *input's shape); by one backward for each element of the result.

    func: takes the inputs, returns a Tensor or a tuple of them. inputs: a Tensor or a tuple of them.
    strict: raise RuntimeError if a result does not depend on an input, whose derivative is zeros otherwise.
    vectorize: makes no difference here.
    Returns a Tensor, or tuples [result][input] of them where func has several. Source: autograd.functional.jacobian.
    """
    given, results = _called(func, inputs, create_graph)
    rows = []
    for result in results:
        blocks = [np.zeros((result.numel(), *x.shape), x.array.dtype) for x in given]
        for i in range(result.numel()):
            one = np.zeros(result.numel(), result.array.dtype)
            one[i] = 1
            for block, derivative in zip(blocks, _pulled_back([result], given, [one], strict), strict=True):
                block[i] = derivative
        rows.append(
            tuple([wrap(block.reshape(result.shape + x.shape)) for block, x in zip(blocks, given, strict=True)])
        )
    inner = [row if isinstance(inputs, tuple) else row[0] for row in rows]
    return tuple(inner) if len(inner) > 1 else inner[0]


def vjp(
    func: Callable[..., Several],
    inputs: Several,
    v: Several | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func's results, and v · d(result)/d(input) for each input, by one backward.

    v: of the results' shapes; may be left out for a result of one element (it is 1 then).
    The other arguments are jacobian's. Source: torch.autograd.functional.vjp.
    """
    given, results = _called(func, inputs, create_graph)
    if v is None and (len(results) != 1 or results[0].numel() != 1):
        raise RuntimeError("The vector v can only be None if the user-provided function returns a single element.")
    vectors = [np.ones(result.shape, result.array.dtype) for result in results]
    if v is not None:
        vectors = [each.array for each in (v if isinstance(v, tuple) else (v,))]
    for vector, result in zip(vectors, results, strict=True):
        if vector.shape != result.shape:
            raise RuntimeError(
                f"v has shape {list(vector.shape)}, but the result {list(result.shape)}; give one of that shape."
            )
    derivatives = tuple([wrap(np.array(derivative)) for derivative in _pulled_back(results, given, vectors, strict)])
    plain = tuple([result.detach() for result in results])
    return plain if len(plain) > 1 else plain[0], derivatives if isinstance(inputs, tuple) else derivatives[0]


def _called(func: Callable[..., Several], inputs: Several, create_graph: bool) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs as leaves of a graph of their own, and the results."""
    if create_graph:
        raise NotImplementedError("create_graph=True (gradients of gradients) is not offered; use torch for it.")
    with enable_grad():
        given = [x.detach().requires_grad_() for x in (inputs if isinstance(inputs, tuple) else (inputs,))]
        result = func(*given)
    results = list(result) if isinstance(result, tuple) else [result]
    for each in results:
        if not isinstance(each, Tensor):
            raise TypeError(f"func must return a Tensor or a tuple of Tensors, but returned {type(each).__name__}.")
    return given, results


def _pulled_back(results: Sequence[Tensor], given: Sequence[Tensor], vectors: Sequence[Any], strict: bool) -> list[Any]:
    """The vectors times the derivatives by each input: an array of the input's shape, or 0 where there is none."""
    reached = [(y, wrap(v.reshape(y.shape))) for y, v in zip(results, vectors, strict=True) if y.requires_grad]
    derivatives: Sequence[Tensor | None] = [None] * len(given)
    if reached:
        outputs, heads = zip(*reached, strict=True)
        derivatives = grad(outputs, given, heads, retain_graph=True, allow_unused=True)
    if strict and None in [None if d is None else 0 for d in derivatives]:
        raise RuntimeError("a result of func does not depend on an input, which strict=True forbids.")
    return [np.zeros(x.shape, x.array.dtype) if d is None else d.array for d, x in zip(derivatives, given, strict=True)]
