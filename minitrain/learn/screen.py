"""Prints the output of `minitrain learn`: in colour on a terminal, in any encoding, wrapped, with curves as text."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import IO, Literal

from minitrain.runs.messages import escaped

WIDTH = 79  # columns of text, where the terminal has as many
INDENT = 8  # columns before a stage's text
STAGE_WIDTH = WIDTH - INDENT  # characters of a stage's text

Colour = Literal["green", "red", "yellow", "cyan", "bold", "dim"]

_CODES: dict[Colour, str] = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}

_COLOUR = re.compile("(\x1b\\[[0-9]+m)")

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

    @property
    def columns(self) -> int:
        """The columns to print in, see columns()."""
        return columns(self._stream)

    @property
    def width(self) -> int:
        """The columns for text: WIDTH, or fewer on a narrow terminal."""
        return min(self.columns, WIDTH)

    def paint(self, text: str, colour: Colour) -> str:
        """The text in a colour, if the stream shows colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.coloured and text else text

    def print(self, text: str = "") -> None:
        """Print one or more lines; characters that the stream cannot encode are written in ASCII."""
        print(self._encodable(self._escaped(text)), file=self._stream, flush=True)

    def _escaped(self, text: str) -> str:
        """The text with control characters escaped, except those of paint."""
        if not self.coloured:
            return escaped(text)
        return "".join(part if _COLOUR.fullmatch(part) else escaped(part) for part in _COLOUR.split(text))

    def _encodable(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        if is_encodable(text, encoding):
            return text
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)


def columns(stream: IO[str] | None = None) -> int:
    """How many columns to print to a stream (default: stdout), one less than its terminal has, and 40 or more.

    The environment variable COLUMNS replaces the terminal's number. A file or a pipe has 80.
    """
    found = 80
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream = sys.stdout if stream is None else stream
        given = os.environ.get("COLUMNS", "")
        found = int(given) if given.isdecimal() and int(given) else os.get_terminal_size(stream.fileno()).columns
    return max((found or 80) - 1, 40)


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

    width, height: in characters, without the numbers; narrower on a narrow terminal. If there are more values than
    columns, each column is a mean.
    blocks: the characters for a column's top, from empty to full. A value that is not finite is drawn as x.
    """
    drawn_columns = min(width, len(values), columns() - INDENT - 7)
    edges = [len(values) * i // max(drawn_columns, 1) for i in range(drawn_columns + 1)]
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
    """Wrap the text to STAGE_WIDTH, or to a narrower terminal.

    Indented lines stay indented; lines that were wrapped wider are wrapped again.
    """
    width = min(STAGE_WIDTH, columns() - INDENT)
    lines: list[str] = []
    for line in text.splitlines():
        continues = lines and (_indent(lines[-1]) > 0 or lines[-1].startswith(("Likely:", "Also:", "Or:", "Note:")))
        if continues and len(lines[-1]) > width and _indent(line) > _indent(lines[-1]):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    wrapped = []
    for line in lines:
        further = " " * (_indent(line) + 2 * (_indent(line) > 0))
        wrapped += textwrap.wrap(line, width, subsequent_indent=further, break_long_words=False) or [""]
    return "\n".join(wrapped)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def fitted(text: str, width: int) -> str:
    """The text with each line that is longer than the width wrapped; indented lines continue two columns further."""
    lines = []
    for line in text.splitlines():
        further = " " * min(_indent(line) + 2, width // 2) if _indent(line) else ""
        lines += textwrap.wrap(line, width, subsequent_indent=further) if len(line) > width else [line]
    return "\n".join(lines)
