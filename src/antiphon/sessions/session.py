"""A session: the participants of one conversation and the log of what happens in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from antiphon.clock import Clock
from antiphon.errors import NotFound
from antiphon.events import Entry, Event, Transcript
from antiphon.state import Store

if TYPE_CHECKING:
    from antiphon.sessions.participant import Participant


class Session:
    """One log, written in order by one task.

    Attributes:
        participants: Those who take part now, by id.
        congested: True where the store is so far behind that no more audio should be taken.
        partials_dropped: Partials that were not written for that reason.

    Args:
        session_id: Its name.
        store: Where the log is kept.
        clock: For the times in the log.
        max_pending: Events that may wait for the store; over that partials are dropped.
        on_idle: Called when the last participant has ended and everything is written.
    """

    def __init__(
        self, session_id: str, store: Store, clock: Clock, max_pending: int, on_idle: Callable[[Session], None]
    ) -> None:
        self.id = session_id
        self.participants: dict[str, Participant] = {}
        self.partials_dropped = 0
        self.congested = False
        self._store = store
        self._clock = clock
        self._max_pending = max_pending
        self._on_idle = on_idle
        self._pending: deque[tuple[Event, float]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._holds = 0

    def emit(self, event: Event) -> None:
        """Write an event down, after those that came before. Does not wait."""
        if self.congested and isinstance(event, Transcript) and event.is_partial:
            self.partials_dropped += 1
            return
        now = self._clock.time()
        try:
            if not self._pending and self._store.try_append(self.id, event, now) is not None:
                return
        except NotFound:
            # the server is ending and has forgotten the session already
            return
        self._pending.append((event, now))
        self.congested = len(self._pending) >= self._max_pending
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name=f"session {self.id}")

    def follow(self, after: int) -> AsyncIterator[Entry]:
        """The log from the entry after `after` on; see :meth:`Store.follow`."""
        return self._store.follow(self.id, after)

    async def open(self) -> None:
        """Begin the log, or go on with it."""
        await self._store.open(self.id)

    async def written(self) -> None:
        """Wait until everything emitted so far is in the log."""
        while self._writer is not None:
            await asyncio.shield(self._writer)

    def leave(self, participant: Participant) -> None:
        """A participant has ended."""
        self.participants.pop(participant.id, None)
        self.abandon()

    def abandon(self) -> None:
        """Whoever wanted to take part could not; where nobody else does, the session is over."""
        if not self.participants and not self._holds and self._writer is None:
            self._on_idle(self)

    def hold(self) -> None:
        """Keep the session running without a participant, for a job."""
        self._holds += 1

    def unhold(self) -> None:
        """The job is over."""
        self._holds -= 1
        self.abandon()

    async def _write(self) -> None:
        try:
            while self._pending:
                event, time = self._pending[0]
                await self._store.append(self.id, event, time)
                self._pending.popleft()
                self.congested = False
        finally:
            self._writer = None
        self.abandon()
