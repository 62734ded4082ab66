"""Time as an argument: whoever needs a clock is given one.

The sans-IO parts take a time in seconds and never read a clock. The parts that do I/O take a :class:`Clock`, so that
tests can hand them a virtual one (:class:`antiphon.testing.VirtualClock`).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch, for showing to people."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()
