"""Names: NumPy's for torch's arguments (axis= for dim=, as torch's methods take), and those of generated methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(method: Method) -> Method:
    """Let a method that takes dim and keepdim be called with axis and keepdims as well."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        if options:
            options = {NUMPY_NAMES.get(name, name): value for name, value in options.items()}
        try:
            return method(*args, **options)
        except TypeError as error:
            from minitrain.torchlike.not_offered import explain_keyword  # which imports this file

            explain_keyword(error, method)
            raise

    return call  # type: ignore[return-value]


def named(method: Method, name: str, doc: str) -> Method:
    """A generated method of Tensor, with its name and docstring."""
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", doc
    return method
