"""Edits of a function's source: how a known mistake is made from the right code.

Mistakes are written in the style of a diff:

    relu-passes-at-zero
      The text that explains it.
    - y <= 0  =>  y < 0

The text after - must occur exactly once in the function's body, and the text after => takes its place. An edit of
several lines has a - before each old line and a + before each new one; with + alone the whole body is replaced.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

Edit = tuple[str, str]  # the old text and the new one; an old text of "" is the whole body


class Entry(NamedTuple):
    """A mistake as it is written: its heading, the lines of its text, and its edits."""

    heading: str
    text: list[str]
    edits: tuple[Edit, ...]


def entries(written: str) -> Iterator[Entry]:
    """The entries of a text in the form above."""
    for heading, lines in re.findall(r"^(\w.*)\n((?:[ +-].*\n|\+\n)*)", written, re.MULTILINE):
        lines = re.sub(r"^- (.*?)  =>(?:  (.*))?$", r"- \1\n+ \2", lines, flags=re.MULTILINE)
        pairs = re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)+)", lines, re.MULTILINE)
        edits = tuple([(_unmarked(old), _unmarked(new)) for old, new in pairs])
        yield Entry(heading, re.findall(r"^  (.*)", lines, re.MULTILINE), edits)


def _unmarked(lines: str) -> str:
    return "\n".join([line[2:] for line in lines.splitlines()])


def body_of(function: Callable[..., Any]) -> str:
    """The source of the function's body, without the docstring, at the margin."""
    return _parts(function)[1]


def edited(body: str, edits: Iterable[Edit]) -> str:
    """The body with each edit applied. Raises LookupError for an old text that does not occur exactly once."""
    for old, new in edits:
        if old and body.count(old) != 1:
            raise LookupError(f"an edit must find its text exactly once, but {old!r} occurs {body.count(old)} times")
        body = body.replace(old, new) if old else new
    return body


def with_body(function: Callable[..., Any], body: str) -> Callable[..., Any]:
    """The function with another body, which may use every name that the function's module has."""
    names = dict(vars(sys.modules[function.__module__]))
    source = f"{_parts(function)[0]}\n{textwrap.indent(body, '    ')}\n"
    exec(compile(source, f"<{function.__qualname__}, edited>", "exec"), names)
    made: Callable[..., Any] = names[function.__name__]
    return made


@functools.cache
def _parts(function: Callable[..., Any]) -> tuple[str, str]:
    """The signature with its docstring, and the body, both at the margin; no decorators."""
    source = textwrap.dedent(inspect.getsource(function))
    definition: Any = ast.parse(source).body[0]
    first = definition.body[0 if ast.get_docstring(definition) is None else 1]
    lines = source.splitlines()
    head, body = lines[definition.lineno - 1 : first.lineno - 1], lines[first.lineno - 1 :]
    return "\n".join(head), textwrap.dedent("\n".join(body))
