"""Text in an SVG: how wide it is, at most; shortened or wrapped to a width; escaped."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

# Hundredths of the font's size, for " " to "~" in DejaVu Sans.
WIDTHS = [
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34,
    84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63, 61, 73, 68, 99,
    69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52,
    39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
]  # fmt: skip
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """The text for an element or a quoted attribute; what XML cannot hold becomes U+FFFD."""
    return escape(NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


def text_width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """At most how wide it is, in the widest of the usual fonts (DejaVu Sans)."""
    if mono:
        return 0.61 * size * len(text)
    ems = sum(
        WIDTHS[ord(char) - 32] / 100 if " " <= char <= "~" else 1.0 if char > "\u2e7f" or char == "…" else 0.68
        for char in text
    )
    return ems * size * (1.12 if bold else 1.0)


def shortened(text: str, room: float, size: float, *, mono: bool = False, bold: bool = False) -> str:
    """The text, or its beginning and end with … between them, within the room."""
    if text_width(text, size, mono=mono, bold=bold) <= room:
        return text
    for kept in range(len(text) - 1, 0, -1):
        end = kept // 2
        short = text[: kept - end].rstrip() + "…" + text[len(text) - end :].lstrip()
        if text_width(short, size, mono=mono, bold=bold) <= room:
            return short
    return "…"


def wrapped(text: str, room: float, size: float, most: int) -> list[str]:
    """The text in lines within the room; at most so many, the last of them ending in … if more would follow."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word if text_width(word, size) <= room else shortened(word, room, size))
    if len(lines) > most:
        kept = lines[:most]
        while text_width(f"{kept[-1]} …", size) > room and " " in kept[-1]:
            kept[-1] = kept[-1].rpartition(" ")[0]
        kept[-1] = f"{kept[-1].rstrip(' ,;·')} …"
        return kept
    return lines
