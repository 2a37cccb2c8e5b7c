"""Hooks: functions of the user's own that see a gradient, or a Module's call, until their handle removes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from minitrain.ops import Array

Hooks = dict["RemovableHandle", Callable[..., Any]]


class RemovableHandle:
    """What register_hook and similar methods return: remove() takes the hook away; leaving a `with` block does, too."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; nothing happens the second time."""
        self._hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: Hooks, hook: Callable[..., Any]) -> RemovableHandle:
    """Put a hook behind the others; returns its handle."""
    handle = RemovableHandle(hooks)
    hooks[handle] = hook
    return handle


def after_hooks(hooks: Hooks, grad: Array) -> Array:
    """The gradient after each hook has seen a copy of it, and has changed or replaced it."""
    if not hooks:
        return grad
    grad = grad.copy()
    for hook in list(hooks.values()):
        replaced = hook(grad)
        grad = grad if replaced is None else replaced
    return grad
