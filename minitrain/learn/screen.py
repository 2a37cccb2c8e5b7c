"""Prints the output of `minitrain learn`: in colour on a terminal, in any encoding, wrapped, with curves as text."""

from __future__ import annotations

import itertools
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import IO, Literal

STAGE_WIDTH = 71  # characters of a stage's text, which is shown indented

Colour = Literal["green", "red", "yellow", "cyan", "bold", "dim"]

_CODES: dict[Colour, str] = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}

# The characters beyond ASCII in the library's formulas, and how to print them in ASCII.
_ASCII = str.maketrans(
    {"·": "*", "²": "^2", "³": "^3", "ᵀ": ".T", "√": "sqrt ", "Σ": "sum ", "\u03c3": "sigma", "±": "+-", "‖": "|"}
)


class Screen:
    """Prints lines to a stream (default: stdout) and flushes each one.

    Colours are used only on terminals, and not if NO_COLOR is set (https://no-color.org) or TERM is dumb.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.coloured = (
            self._stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        )

    def paint(self, text: str, colour: Colour) -> str:
        """The text in a colour, if the stream shows colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.coloured and text else text

    def print(self, text: str = "") -> None:
        """Print one or more lines; characters that the stream cannot encode are written in ASCII."""
        print(self._encodable(text), file=self._stream, flush=True)

    def _encodable(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        if is_encodable(text, encoding):
            return text
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)


def is_encodable(text: str, encoding: str | None) -> bool:
    """Whether a stream with this encoding can write the text."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:#"


def plot(values: Sequence[float], low: float, high: float, *, width: int, height: int, blocks: str = BLOCKS) -> str:
    """Draw the values as columns from left to right, scaled from low to high; the two numbers stand at the left.

    width, height: in characters, without the numbers. If there are more values than columns, each column is a mean.
    blocks: the characters for a column's top, from empty to full. A value that is not finite is drawn as x.
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


def wrapped(text: str) -> str:
    """Wrap the text to STAGE_WIDTH. Indented lines stay indented; lines that were wrapped wider are wrapped again."""
    lines: list[str] = []
    for line in text.splitlines():
        continues = lines and (_indent(lines[-1]) > 0 or lines[-1].startswith(("Likely:", "Also:", "Or:", "Note:")))
        if continues and len(lines[-1]) > STAGE_WIDTH and _indent(line) > _indent(lines[-1]):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    wrapped = []
    for line in lines:
        further = " " * (_indent(line) + 2 * (_indent(line) > 0))
        wrapped += textwrap.wrap(line, STAGE_WIDTH, subsequent_indent=further, break_long_words=False) or [""]
    return "\n".join(wrapped)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
