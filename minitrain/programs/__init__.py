"""PyTorch programs, run unmodified: imports of torch resolve to minitrain, or are checked, or compared with torch."""
