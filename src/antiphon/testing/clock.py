"""A clock that moves when it is told to."""

from __future__ import annotations


class VirtualClock:
    """A double of :class:`antiphon.clock.SystemClock`.

    Args:
        now: Where both of its times begin, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
