"""The HTTP doors: whole files, event streams, health and metrics."""
