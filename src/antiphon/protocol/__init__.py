"""Wire protocols as values and state machines: no clock, no socket, no task."""
