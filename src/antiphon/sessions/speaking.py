"""Who speaks, told often enough and not more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

INTERVAL = 0.1
"""Seconds between two tellings, at least."""


class Speaking:
    """Tells the first change at once, and those that follow together.

    Args:
        tell: Called with somebody's id and whether they speak, where that has changed since the last call.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._now: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> tuple[str, ...]:
        """Those who were told to speak."""
        return tuple(self._told)

    def set(self, member_id: str, active: bool) -> None:
        """Somebody began or ceased to speak."""
        (self._now.add if active else self._now.discard)(member_id)
        if self._timer is None:
            self._flush()

    def forget(self, member_id: str) -> None:
        """Somebody is gone; nobody needs to be told."""
        self._now.discard(member_id)
        self._told.discard(member_id)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._now = set(self._told)

    def _flush(self) -> None:
        self._timer = None
        changed = self._now ^ self._told
        if not changed:
            return
        self._told = set(self._now)
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._flush)
        for member_id in sorted(changed):
            self._tell(member_id, member_id in self._told)
