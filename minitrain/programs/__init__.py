"""PyTorch programs, run unmodified: imports of torch resolve to minitrain, or are checked, or compared with torch."""

from minitrain.programs.check import Missing, check
from minitrain.programs.compare import Comparison, Outcome, Runner, compare
from minitrain.programs.repeat import Timing, machine, repeat
from minitrain.programs.run import ProgramError, run

__all__ = [
    "Comparison",
    "Missing",
    "Outcome",
    "ProgramError",
    "Runner",
    "Timing",
    "check",
    "compare",
    "machine",
    "repeat",
    "run",
]
