"""The doors: the only place that knows a socket."""
