"""Messages for the user, on stderr: wrapped to the width of a terminal, one line each where they can be searched."""

import contextlib
import os
import re
import sys
import textwrap

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines
LONGEST = 10_000  # over two paths of the longest kind


def say(text: str) -> None:
    """Print on stderr if it can be written, escaped. On a terminal, wrap all lines but indented ones: commands."""
    text = escaped(text)
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            width = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns)
            text = "\n".join(_wrapped(line, width or 80) for line in text.splitlines())
        print(text, file=sys.stderr, flush=True)


def escaped(text: str) -> str:
    """The text with control characters as Python writes them, such as \\x1b: a terminal would obey a stranger's."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The lines of a message joined into one, at most LONGEST characters: it may quote a stranger's file.

    Spaces within a line are kept, as a file's name may have them.
    """
    line = " ".join(filter(None, map(str.strip, text.splitlines())))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def counted(number: int, what: str) -> str:
    """A number of things: '1 step', '1,500 steps'."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def are(count: int) -> str:
    """The verb after a number of things."""
    return "is" if count == 1 else "are"


def _wrapped(line: str, width: int) -> str:
    if line.startswith(" "):
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
