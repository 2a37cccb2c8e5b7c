"""Everything that imports torch; the rest of minitrain runs without it."""
