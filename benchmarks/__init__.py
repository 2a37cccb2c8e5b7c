"""Measurements of minitrain against torch. Run them from the clone: python -m benchmarks."""
