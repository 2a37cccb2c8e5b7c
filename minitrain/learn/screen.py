"""Where the commands of `minitrain learn` print: coloured on a terminal, plain elsewhere, in any encoding."""

from __future__ import annotations

import os
import sys
from typing import IO, Literal

Colour = Literal["green", "red", "yellow", "cyan", "bold", "dim"]

_CODES: dict[Colour, str] = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}

# What the library's formulas hold beyond ASCII, for an output that has no more.
_ASCII = str.maketrans(
    {"·": "*", "²": "^2", "³": "^3", "ᵀ": ".T", "√": "sqrt ", "Σ": "sum ", "\u03c3": "sigma", "±": "+-", "‖": "|"}
)


class Screen:
    """Prints lines to a stream, stdout unless another is given, each at once.

    Colours are for terminals only, and not where NO_COLOR is set (https://no-color.org) or TERM is dumb.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.coloured = (
            self._stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        )

    def paint(self, text: str, colour: Colour) -> str:
        """The text in a colour, where there are colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.coloured and text else text

    def print(self, text: str = "") -> None:
        """Print a line, or several; what the stream cannot encode is spelled in ASCII."""
        print(self._encodable(text), file=self._stream, flush=True)

    def _encodable(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
        return text
