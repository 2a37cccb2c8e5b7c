"""A curve as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

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
