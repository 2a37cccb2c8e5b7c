"""The forward and backward of operations on one array, element by element, from two formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minitrain.ops.function import Array, Context


def of_input(y: Callable[[Array], Array], grad_x: Callable[[Array, Array], Array]) -> tuple[Any, Any]:
    """forward, which computes y(x) and keeps x, and backward, which computes grad_x(grad_y, x)."""

    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return y(x)

    return staticmethod(forward), staticmethod(_backward(grad_x))


def of_result(y: Callable[[Array], Array], grad_x: Callable[[Array, Array], Array]) -> tuple[Any, Any]:
    """forward, which computes y(x) and keeps that, and backward, which computes grad_x(grad_y, y)."""

    def forward(ctx: Context, x: Array) -> Array:
        result = y(x)
        ctx.save_for_backward(result)
        return result

    return staticmethod(forward), staticmethod(_backward(grad_x))


def _backward(grad_x: Callable[[Array, Array], Array]) -> Callable[[Context, Array], Array]:
    def backward(ctx: Context, grad_y: Array) -> Array:
        return grad_x(grad_y, *ctx.saved_arrays)

    return backward
