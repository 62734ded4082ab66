"""How long to wait before trying again."""

from __future__ import annotations

from random import Random


class Backoff:
    """Exponential backoff with full jitter and a cap.

    The delay before retry n (from 0) is drawn evenly from 0 to ``min(cap, first * factor ** n)``, so that clients that
    lost the same server do not come back together. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015.) Reads no clock and does not wait.

    Args:
        first: The longest delay before the first retry, in seconds.
        cap: The longest delay before any retry, in seconds.
        factor: By how much the longest delay grows from one retry to the next; at least 1.
        random: Where the jitter comes from; a seeded one makes delays repeatable.

    Raises:
        ValueError: An argument makes no sense.
    """

    def __init__(
        self, first: float = 0.5, cap: float = 20.0, factor: float = 2.0, random: Random | None = None
    ) -> None:
        if not (0 < first <= cap and factor >= 1):
            raise ValueError(f"backoff needs 0 < first <= cap and factor >= 1, not {first=}, {cap=}, {factor=}")
        self._first = first
        self._cap = cap
        self._factor = factor
        self._random = random or Random()
        self._ceiling = first
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """Delays given since the last success."""
        return self._attempts

    @property
    def ceiling(self) -> float:
        """The longest that the next delay may be, in seconds."""
        return self._ceiling

    def next_delay(self, at_least: float = 0.0) -> float:
        """Seconds to wait before the next retry.

        Args:
            at_least: What the server asked for (``retryAfter``), in seconds; the jitter comes on top, cap or not.
        """
        delay = max(0.0, at_least) + self._random.uniform(0.0, self._ceiling)
        self._attempts += 1
        self._ceiling = min(self._cap, self._ceiling * self._factor)
        return delay

    def reset(self) -> None:
        """A try succeeded: begin again with the shortest delay."""
        self._ceiling = self._first
        self._attempts = 0
