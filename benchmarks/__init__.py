"""Measurements of minitrain against torch; run from the checkout: python -m benchmarks."""
