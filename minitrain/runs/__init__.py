"""A run: its configuration, its training and its directory; resuming, verifying and using it."""
