"""A Function of one's own whose forward and backward work on Tensors, as torch's do, run as an operation on arrays."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minitrain import ops
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.grad_mode import anomaly_mode, no_grad


class TensorContext:
    """The ctx that such a Function sees: torch's names around a Context of arrays. Attributes go through to it."""

    def __init__(self, ctx: Any) -> None:
        object.__setattr__(self, "_ctx", ctx)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._ctx, name, value)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors for backward; None passes through."""
        for x in tensors:
            if not isinstance(x, Tensor | np.ndarray) and x is not None:
                raise TypeError(f"save_for_backward can only save variables, but got {type(x).__name__}")
        self._ctx.save_for_backward(*(x.array if isinstance(x, Tensor) else x for x in tensors))

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept, in the same order."""
        return tuple([wrap(x) if isinstance(x, np.ndarray) else x for x in self._ctx.saved_arrays])

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """saved_tensors, by its old name."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that the result has no gradient."""
        self._ctx.not_differentiable = bool(tensors)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that forward writes into its inputs: not offered."""
        raise NotImplementedError("ctx.mark_dirty is not offered: return a new Tensor from forward.")

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing: there is one result, and its gradient always comes."""


@contextlib.contextmanager
def _as_one_operation() -> Iterator[None]:
    """Within it, operations are neither recorded nor watched one by one."""
    watcher, anomaly_mode.watcher = anomaly_mode.watcher, None
    try:
        with no_grad():
            yield
    finally:
        anomaly_mode.watcher = watcher


def on_tensors(cls: Any, inputs: Sequence[Any], options: dict[str, Any]) -> Tensor:
    """Run cls.forward on the inputs, and record it if any of them requires a gradient."""
    result: dict[str, Any] = {}

    def forward(ctx: Any, *arrays: Any, **options: Any) -> Any:
        seen = TensorContext(ctx)
        # Others than the caller's Tensors, on the same memory: what forward does to them is not recorded.
        given = [wrap(array) if isinstance(x, Tensor) else x for x, array in zip(inputs, arrays, strict=True)]
        with _as_one_operation():
            if hasattr(cls, "setup_context"):
                y = cls.forward(*given, **options)
                cls.setup_context(seen, tuple(given), y)
            else:
                y = cls.forward(seen, *given, **options)
        result["constant"] = getattr(ctx, "not_differentiable", False)
        if isinstance(y, tuple) and len(y) == 1:
            (y,) = y
        return y.array if isinstance(y, Tensor) else y

    def backward(ctx: Any, grad_y: Any) -> Any:
        with _as_one_operation():
            gradients = cls.backward(TensorContext(ctx), wrap(np.array(grad_y)))
        several = isinstance(gradients, tuple | list)
        made = [g.array if isinstance(g, Tensor) else g for g in (gradients if several else [gradients])]
        more = made[len(inputs) :]  # torch lets a backward return None for inputs that were not given
        return tuple(made[: len(inputs)] if all(g is None for g in more) else made)

    static = {
        "forward": staticmethod(forward),
        "backward": staticmethod(backward),
        "__doc__": cls.__doc__,
        "of_tensors": cls,
    }
    y = apply(type(cls.__name__, (ops.Function,), static), *inputs, **options)
    return y.detach() if result["constant"] else y


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """torch's mark of a backward that has no derivative of its own; none has here."""
    return fn
