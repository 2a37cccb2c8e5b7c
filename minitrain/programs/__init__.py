"""PyTorch programs, run unmodified: imports of torch resolve to minitrain, or are checked, or compared with torch."""

from minitrain.programs.check import Missing, check
from minitrain.programs.compare import Comparison, Outcome, compare
from minitrain.programs.run import ProgramError, run

__all__ = ["Comparison", "Missing", "Outcome", "ProgramError", "check", "compare", "run"]
