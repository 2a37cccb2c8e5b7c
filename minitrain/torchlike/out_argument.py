"""torch's out=: a function writes its result into a Tensor that the caller gives."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minitrain.torchlike.arguments import as_dtype, category, dtype_name
from minitrain.torchlike.grad_mode import is_grad_enabled
from minitrain.torchlike.not_offered import explain_keyword

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


def takes_out(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Give a function the keyword out=. A function with dtype= then computes in out's dtype.

    Raises RuntimeError if dtype= differs from out's dtype, and as write_out does.
    """
    name, has_dtype = function.__name__, "dtype" in inspect.signature(function).parameters

    @functools.wraps(function)
    def with_out(*args: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        if out is None:
            try:
                return function(*args, **options)
            except TypeError as error:
                explain_keyword(error, function)
                raise
        if has_dtype:
            dtype = options.get("dtype")
            if dtype is not None and as_dtype(dtype) != out.dtype:
                raise RuntimeError(
                    f"{name}(): dtype {dtype_name(as_dtype(dtype))} does not match dtype of out parameter "
                    f"({dtype_name(out.dtype)}); leave dtype out, or give an out of this dtype."
                )
            options["dtype"] = out.dtype
        return write_out(name, out, function(*args, **options))

    return with_out


def write_out(name: str, out: Tensor, result: Tensor) -> Tensor:
    """Write a function's result into the Tensor given as out=, which takes the result's shape; returns out.

    Raises RuntimeError if a gradient would be lost, or the dtype does not fit.
    """
    if is_grad_enabled() and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad. Write out = f(x) instead, or use no_grad()."
        )
    if category(out.dtype) < category(result.dtype):
        raise RuntimeError(
            f"{name}(): result type {dtype_name(result.dtype)} can't be cast to the desired output type "
            f"{dtype_name(out.dtype)}; give an out of dtype {result.dtype}."
        )
    if out.shape != result.shape:
        if out.numel():
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not "
                f"match the required output shape {list(result.shape)}. This behavior is deprecated: give an empty "
                "Tensor, or one of this shape.",
                stacklevel=4,
            )
        out.data = result.to(out.dtype)
        return out
    return out.copy_(result)
