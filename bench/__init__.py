"""Benchmarks: each claim of speed or size as a command that prints a ratio against a peer run at its side."""
