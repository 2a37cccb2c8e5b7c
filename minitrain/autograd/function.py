"""Function: an operation of your own, with a forward and a backward, run and recorded as those of ops.py are."""

from __future__ import annotations

from typing import Any

from minitrain import ops
from minitrain.tensor import Tensor, apply


class Function(ops.Function):
    """The base of an operation of your own: give forward and backward as static methods, then call apply.

    forward(ctx, *inputs, **options) returns the result. inputs are what apply was given, in order, with the array
    inside in place of each Tensor. What backward needs is left on ctx: by ctx.save_for_backward(*arrays), or as
    attributes. backward(ctx, grad_y) gets dL/dy, an array of the result's shape, and returns dL/d(input) for each
    input in order, None for one that gets none; for a single input, it alone. ctx.saved_arrays is what was saved,
    ctx.needs_input_grad[i] says whether input i asks for a gradient. backward must not write into grad_y.

        class Cube(autograd.Function):
            \"\"\"y = x³;  dL/dx = dL/dy · 3x².\"\"\"

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, grad_y):
                (x,) = ctx.saved_arrays
                return grad_y * 3 * x * x

        y = Cube.apply(x)

    Source: torch.autograd.Function. Here both methods get and return ndarrays, not Tensors, so that NumPy does the
    work; ctx.saved_arrays is torch's saved_tensors, there is one result, and options are passed by keyword.
    """

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Tensor:
        """Run forward and, if any input asks for a gradient, record it.

        inputs: Tensors, or anything else that forward takes; only Tensors get gradients. options: forward's keyword
        arguments. Returns the result as a Tensor.
        Raises RuntimeError if forward returns several values, NotImplementedError for a setup_context.
        """
        if hasattr(cls, "setup_context"):
            raise NotImplementedError(
                f"{cls.__name__}.setup_context is not offered: let forward(ctx, ...) itself save what backward needs."
            )
        return apply(cls, *inputs, **options)
