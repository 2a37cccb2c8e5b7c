"""Statements about minitrain, most of them property tests that hold it against torch."""
