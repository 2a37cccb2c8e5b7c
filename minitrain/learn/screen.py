"""Prints the output of `minitrain learn`: coloured on a terminal, plain elsewhere, in any encoding; curves as text."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Sequence
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


BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:#"


def plot(values: Sequence[float], low: float, high: float, *, width: int, height: int, blocks: str = BLOCKS) -> str:
    """The values from left to right as columns, between low and high, with these two numbers beside them.

    width, height: in characters, the numbers' not counted; several values in one column are averaged.
    blocks: what a column's top can look like, from empty to full. What is not finite is an x.
    """
    columns = min(width, len(values))
    edges = [len(values) * i // max(columns, 1) for i in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    steps = len(blocks) - 1
    scale = height * steps / (high - low) if high > low else 0.0
    levels = [
        1 + min(max(round((mean - low) * scale), 0), height * steps - 1) if math.isfinite(mean) else -1
        for mean in means
    ]
    rows = []
    for row in reversed(range(height)):
        drawn = "".join(
            blocks[min(max(level - row * steps, 0), steps)] if level >= 0 else "x" if row == 0 else " "
            for level in levels
        )
        label = f"{high:.3g}" if row == height - 1 else f"{low:.3g}" if row == 0 else ""
        rows.append(f"{label:>6} {drawn}".rstrip())
    return "\n".join(rows)
