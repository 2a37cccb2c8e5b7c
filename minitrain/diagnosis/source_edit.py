"""A function with a few words of its source replaced: how a known mistake is made from the right code."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

Edit = tuple[str, str]  # a text that occurs exactly once, and the text to put in its place


def body_of(function: Callable[..., Any]) -> str:
    """The source of the function's body, without the docstring, at the margin."""
    return _parts(function)[1]


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with each edit applied. Raises LookupError for an old text that does not occur exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise LookupError(f"an edit must find its text exactly once, but {old!r} occurs {text.count(old)} times")
        text = text.replace(old, new)
    return text


def with_body(function: Callable[..., Any], body: str) -> Callable[..., Any]:
    """The function with another body, which may use every name that the function's module has."""
    names = dict(vars(sys.modules[function.__module__]))
    source = f"{_parts(function)[0]}\n{textwrap.indent(body, '    ')}\n"
    exec(compile(source, f"<{function.__qualname__}, edited>", "exec"), names)
    made: Callable[..., Any] = names[function.__name__]
    return made


def _parts(function: Callable[..., Any]) -> tuple[str, str]:
    """The signature with its docstring, and the body, both at the margin; no decorators."""
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    first = definition.body[1 if ast.get_docstring(definition) is not None else 0]
    lines = source.splitlines()
    head, body = lines[definition.lineno - 1 : first.lineno - 1], lines[first.lineno - 1 :]
    return "\n".join(head), textwrap.dedent("\n".join(body))
