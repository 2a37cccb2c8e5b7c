"""Functions that a program hangs on a Tensor, to see or replace its gradient on the way back, and their handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minitrain.ops import Array
from minitrain.torchlike.grad_mode import no_grad


class RemovableHandle:
    """What registering a hook returns: remove() takes the hook away; leaving a `with` block does, too."""

    def __init__(self, hooks: dict[RemovableHandle, Callable[..., Any]]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; nothing happens the second time."""
        self._hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class GradientHooks(dict[RemovableHandle, Callable[..., Any]]):
    """A Tensor's hooks, in the order in which they are called."""

    def __init__(self, wrap: Callable[[Array], Any]) -> None:
        super().__init__()
        self._wrap = wrap  # makes a Tensor around an array

    def add(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Hang on one more."""
        handle = RemovableHandle(self)
        self[handle] = hook
        return handle

    def run(self, grad: Array) -> Array:
        """Call each with the gradient as a Tensor; what one returns takes its place. A hook may write into it.

        Raises TypeError for what is no Tensor, RuntimeError for one of another shape or dtype.
        """
        given = self._wrap(np.array(grad))
        with no_grad():
            for hook in list(self.values()):
                result = hook(given)
                if result is not None:
                    _check(getattr(hook, "__name__", "hook"), result, grad)
                    given = result
        array: Array = given.array
        return array


def _check(name: str, result: Any, grad: Array) -> None:
    if not isinstance(getattr(result, "array", None), np.ndarray):
        raise TypeError(f"expected Variable, but hook {name!r} returned {type(result).__name__!r}")
    if result.array.shape != grad.shape:
        raise RuntimeError(
            f"hook {name!r} has changed the size of value: {list(grad.shape)} became {list(result.array.shape)}"
        )
    if result.array.dtype != grad.dtype:
        raise RuntimeError(f"hook {name!r} has changed the type of value (was {grad.dtype} got {result.array.dtype})")
