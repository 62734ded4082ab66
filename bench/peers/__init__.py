"""Servers to measure against. Each takes a port of the loopback interface as its only argument."""
