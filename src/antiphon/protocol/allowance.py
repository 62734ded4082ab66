"""How often something may be done."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and then so many a second."""

    burst: float
    per_second: float


class Allowance:
    """A token bucket: full at first, one token for each thing that is done, or each byte of it.

    Args:
        rate: Its size, and how fast it fills.
    """

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at: float | None = None

    def take(self, now: float, what: str, amount: float = 1) -> None:
        """Take `amount` tokens at `now` seconds.

        Raises:
            RateLimited: There are not so many; `what`, in the plural, is named in the message.
        """
        rate = self._rate
        if self._at is not None:
            self._tokens = min(rate.burst, self._tokens + max(0.0, now - self._at) * rate.per_second)
        self._at = now
        if self._tokens < amount:
            wait = (amount - self._tokens) / rate.per_second
            raise RateLimited(
                f"{what} come faster than {rate.per_second:g} a second after the first {rate.burst:g}; this one was "
                f"not taken: try again in {wait:.1f} s",
                retry_after=wait,
            )
        self._tokens -= amount
