"""A specimen: a known mistake, as an edit of one function of the library.

The specimens of a function are written below its name, in the form of diagnosis/source_edit.py. Each has a heading with
its own name and its mistake's, then the wrong formula, an explanation, and the edit:

    ops.ReLU.backward

    relu-mask-inverted: mask-inverted
      dL/dx = dL/dy where x <= 0, else 0.
      The gradient passes where the input was negative, and stops elsewhere.
    - y <= 0  =>  y > 0

No check can name a mistake in a forward pass or an initialization, or one that shows only in a case that the checks'
examples do not contain. Its mistake is always called "values".
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from minitrain.diagnosis.source_edit import Edit, body_of, edited, entries, with_body

VALUES = "values"


@dataclasses.dataclass(frozen=True)
class Specimen:
    """A known mistake in one function of the library.

    of: the function, such as "ops.ReLU.backward", "optim.SGD.update" or "tape.walk_back".
    mistake: the diagnosis's name for it, or VALUES. formula: the wrong one. explanation: what is wrong, and its effect.
    edits: what turns the right body into the wrong one.
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
        try:
            return edited(body_of(self.original), self.edits)
        except LookupError as error:
            raise LookupError(f"{self.name}, in {self.of}: {error}") from None

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The library's function with the wrong body. The library itself stays as it is."""
        return with_body(self.original, self.body)


def specimens(written: str) -> Iterator[Specimen]:
    """The specimens that a text in the form above declares."""
    of = ""
    for heading, text, edits in entries(written):
        name, _, mistake = heading.partition(": ")
        if mistake:
            yield Specimen(name, of, mistake, text[0], " ".join(text[1:]), edits)
        else:
            of = heading
