"""A specimen: a known mistake, as an edit of one function of the library.

The specimens of a function are written below its name. Each has a line with its own name and its mistake's, then the
wrong formula, an explanation, and the edit, in the style of a diff:

    ops.ReLU.backward

    relu-mask-inverted: mask-inverted
      dL/dx = dL/dy where x <= 0, else 0.
      The gradient passes where the input was negative, and stops elsewhere.
    - y <= 0
    + y > 0

The text after - must occur exactly once in the function's body; the text after + takes its place. Several lines of one
sign belong together. Lines with + alone are a whole new body.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from minitrain.diagnosis.source_edit import Edit, body_of, edited, with_body

VALUES = "values"  # the mistake of a specimen that no check of a gradient or an optimizer can name


@dataclasses.dataclass(frozen=True)
class Specimen:
    """A known mistake in one function of the library.

    of: the function, such as "ops.ReLU.backward", "optim.SGD.update" or "tape.walk_back".
    mistake: the diagnosis's name for it, or VALUES. formula: the wrong one. explanation: what is wrong, and its effect.
    edits: what turns the right body into the wrong one; an old text of "" replaces the whole body.
    """

    name: str
    of: str
    mistake: str
    formula: str
    explanation: str
    edits: tuple[Edit, ...]

    @property
    def original(self) -> Callable[..., Any]:
        """The library's function."""
        first, *names = self.of.split(".")
        found: Any = importlib.import_module(f"minitrain.{first}")
        for name in names:
            if not hasattr(found, name):
                importlib.import_module(f"{found.__name__}.{name}")
            found = getattr(found, name)
        function: Callable[..., Any] = found
        return function

    @property
    def body(self) -> str:
        """The wrong body's source, at the margin. Raises LookupError if an edit does not fit the library any more."""
        if [old for old, _ in self.edits] == [""]:
            return self.edits[0][1]
        try:
            return edited(body_of(self.original), self.edits)
        except LookupError as error:
            raise LookupError(f"{self.name}, in {self.of}: {error}") from None

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The library's function with the wrong body. The library itself stays as it is."""
        return with_body(self.original, self.body)


def specimens(text: str) -> Iterator[Specimen]:
    """The specimens that a text in the form above declares."""
    of = ""
    for head, lines in re.findall(r"^(\w.*)\n((?:[ +-].*\n|[+-]\n)*)", text, re.MULTILINE):
        name, _, mistake = head.partition(": ")
        if not mistake:
            of = head
            continue
        formula, *explanation = re.findall(r"^  (.*)", lines, re.MULTILINE)
        edits = re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)+)", lines, re.MULTILINE)
        pairs = tuple([(_unmarked(old), _unmarked(new)) for old, new in edits])
        yield Specimen(name, of, mistake, formula, " ".join(explanation), pairs)


def _unmarked(lines: str) -> str:
    return "\n".join([line[2:] for line in lines.splitlines()])
