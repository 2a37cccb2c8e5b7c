"""The gradients of operations whose inputs broadcast."""

from __future__ import annotations

from collections.abc import Callable

from minitrain.ops.function import Array, Context, Gradients, unbroadcast


def needed(ctx: Context, *gradients: Callable[[], Array]) -> Gradients:
    """The gradient of each input that needs one, summed over the axes along which the input was repeated.

    forward leaves the inputs' shapes in ctx.shapes.
    """
    each = zip(gradients, ctx.shapes, ctx.needs_input_grad, strict=True)
    return tuple([unbroadcast(gradient(), shape) if needs else None for gradient, shape, needs in each])
