"""How often something may be done in any minute, for each name: windows that slide, behind the `limits` library."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.aio.storage import MovingWindowSupport, Storage
from limits.aio.strategies import MovingWindowRateLimiter

from antiphon.errors import RateLimited

MAX_WINDOWS = 10_000
"""Names whose window is kept in memory."""


class RateWindows:
    """So many a minute for each name, and not one more within any sixty seconds.

    Args:
        per_minute: How many.
        storage: Where windows are kept, one of `limits`' with moving windows.
        now: The time in seconds on the storage's clock.
    """

    def __init__(self, per_minute: int, storage: Storage, now: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._limit = RateLimitItemPerMinute(per_minute, namespace="antiphon")
        self._windows = MovingWindowRateLimiter(storage)
        self._now = now

    async def take(self, name: str, what: str) -> None:
        """Count one more.

        Args:
            name: Whose window it is.
            what: Is counted, in the plural, for the error.

        Raises:
            RateLimited: There were as many as there may be in the last minute; this one was not counted.
        """
        if await self._windows.hit(self._limit, name):
            return
        until, _ = await self._windows.get_window_stats(self._limit, name)
        # a whole number of milliseconds, which the wire carries exactly, and one more for what floats lose
        wait = (math.ceil(max(0.0, until - self._now()) * 1000) + 1) / 1000
        raise RateLimited(
            f"more than {self.per_minute} {what} came within a minute; this one was not taken: send it again in "
            f"{wait:.1f} s, and look for what sends so many",
            retry_after=wait,
        )


class MemoryWindows(Storage, MovingWindowSupport):
    """Windows in this process: a storage for `limits` that is bounded and reads the clock it is given.

    Where as many names as there may be have sent something within their window, further names are refused.

    Args:
        now: The time in seconds.
        max_windows: Names at once.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float], max_windows: int = MAX_WINDOWS) -> None:
        super().__init__()
        self._now = now
        self._max_windows = max_windows
        # by the last thing done, so that those that are over come first
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` where that stays within `limit`."""
        now = self._now()
        begin = now - expiry
        self._forget(begin)
        window = self._window(key, begin)
        if len(window) + amount > limit or (key not in self._windows and len(self._windows) >= self._max_windows):
            return False
        window.extend([now] * amount)
        self._windows[key] = window
        self._windows.move_to_end(key)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest that counts was done, and how many count."""
        now = self._now()
        window = self._window(key, now - expiry)
        return (window[0] if window else now), len(window)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Of other strategies."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """How many were counted, over or not."""
        return len(self._windows.get(key, ()))

    async def get_expiry(self, key: str) -> float:
        """Of other strategies."""
        raise NotImplementedError

    async def check(self) -> bool:
        """Memory is there."""
        return True

    async def reset(self) -> int:
        """Forget everything."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget one name."""
        self._windows.pop(key, None)

    def _window(self, key: str, begin: float) -> deque[float]:
        window = self._windows.get(key, deque())
        while window and window[0] <= begin:
            window.popleft()
        return window

    def _forget(self, begin: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window and window[-1] > begin:
                return
            del self._windows[key]
