"""Results on their way to whoever asked for them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from antiphon.client.errors import ResultsUnread
from antiphon.events import Entry, Transcript


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection was lost and is back; stands among the results where that happened.

    Attributes:
        resumed: True where the same stream goes on and nothing is missing. False where the server had forgotten it (it
            restarted, or the way back took too long): a new stream has begun with whatever was not acknowledged, event
            ids and times begin anew, and words that had been acknowledged and not told yet may be missing.
        session_id: The session that is on now.
        attempts: How many tries it took.
        resent: Seconds of audio that are sent again.
    """

    resumed: bool
    session_id: str
    attempts: int
    resent: float


Result = Entry | Reconnected
"""What :meth:`TranscriptionClient.results` gives."""


class ResultQueue:
    """A bounded queue for one reader.

    When it is full, partials that a later event of the same utterance has replaced are dropped: the later one says all
    that they said.

    Args:
        limit: Results held, at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Result] = deque()
        self._more = asyncio.Event()
        self._closed = False
        self.partials_dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Result) -> None:
        """Add a result.

        Raises:
            ResultsUnread: The queue is full of results that nothing can replace.
        """
        if len(self._items) >= self._limit:
            self._drop_replaced(item)
        if len(self._items) >= self._limit:
            raise ResultsUnread(f"{len(self._items)} results wait and nobody takes them; read results() while you send")
        self._items.append(item)
        self._more.set()

    async def get(self) -> Result | None:
        """The next result; None when the queue is closed and read. Waits as long as there is neither."""
        while not self._items:
            if self._closed:
                return None
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._more.set()

    def _drop_replaced(self, newest: Result) -> None:
        seen: set[str] = set()
        kept: deque[Result] = deque()
        for item in (newest, *reversed(self._items)):
            event = item.event if isinstance(item, Entry) else None
            if isinstance(event, Transcript):
                if event.is_partial and event.result_id in seen:
                    self.partials_dropped += 1
                    continue
                seen.add(event.result_id)
            kept.appendleft(item)
        kept.pop()
        self._items = kept
