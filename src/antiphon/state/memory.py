"""The store that lives and dies with the process."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from operator import attrgetter

from antiphon.errors import NotFound
from antiphon.events import Entry, Event, Progress, Transcript
from antiphon.state.store import Store

_entry_id = attrgetter("id")


class _Log:
    __slots__ = ("closed", "entries", "last_id", "readers")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.last_id = 0
        self.closed = False
        self.readers: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Readers that wait look again."""
        readers, self.readers = self.readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    async def change(self) -> None:
        """Wait for something new."""
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.readers.append(reader)
        await reader


class MemoryStore(Store):
    """Event logs in memory.

    Args:
        max_entries: Entries kept for each session. Over that, what a later entry has replaced goes first (partials
            whose utterance has its final, progress), then the oldest.
        max_total: Entries kept for all sessions. Over that, the logs of sessions that ended first are forgotten.
    """

    def __init__(self, max_entries: int = 5_000, max_total: int = 200_000) -> None:
        self._max_entries = max_entries
        self._max_total = max_total
        self._total = 0
        self._logs: dict[str, _Log] = {}
        self._closed: dict[str, None] = {}

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._logs

    def __len__(self) -> int:
        return len(self._logs)

    async def open(self, session_id: str) -> None:
        log = self._logs.setdefault(session_id, _Log())
        log.closed = False
        self._closed.pop(session_id, None)

    async def append(self, session_id: str, event: Event, time: float) -> Entry:
        return self.try_append(session_id, event, time)

    def try_append(self, session_id: str, event: Event, time: float) -> Entry:
        log = self._log(session_id)
        log.last_id += 1
        entry = Entry(log.last_id, time, event)
        log.entries.append(entry)
        self._total += 1
        if len(log.entries) > self._max_entries:
            self._compact(log)
        while self._total > self._max_total and self._closed:
            self._delete(next(iter(self._closed)))
        log.wake()
        return entry

    async def close(self, session_id: str) -> None:
        log = self._log(session_id)
        log.closed = True
        self._closed[session_id] = None
        log.wake()

    async def delete(self, session_id: str) -> None:
        self._delete(session_id)

    def _delete(self, session_id: str) -> None:
        log = self._logs.pop(session_id, None)
        self._closed.pop(session_id, None)
        if log is not None:
            log.closed = True
            self._total -= len(log.entries)
            log.entries.clear()
            log.wake()

    async def read(self, session_id: str, after: int, limit: int = 500) -> list[Entry]:
        return self._read(self._log(session_id), after, limit)

    async def last_id(self, session_id: str) -> int:
        return self._log(session_id).last_id

    def follow(self, session_id: str, after: int) -> AsyncIterator[Entry]:
        return self._follow(self._log(session_id), after)

    def _log(self, session_id: str) -> _Log:
        try:
            return self._logs[session_id]
        except KeyError:
            raise NotFound(
                f"there is no session {session_id[:64]!r}; it never was, or it ended and was forgotten"
            ) from None

    async def _follow(self, log: _Log, after: int) -> AsyncIterator[Entry]:
        while True:
            batch = self._read(log, after, 100)
            for entry in batch:
                yield entry
                after = entry.id
            if not batch:
                if log.closed:
                    return
                await log.change()

    @staticmethod
    def _read(log: _Log, after: int, limit: int) -> list[Entry]:
        entries = log.entries
        if not entries or entries[-1].id <= after:
            return []
        first = bisect_right(entries, after, key=_entry_id)
        return entries[first : first + limit]

    def _compact(self, log: _Log) -> None:
        """Bring the log down to three quarters, so that this is done seldom."""
        keep = self._max_entries * 3 // 4
        recent = log.entries[-(self._max_entries // 4) :]
        older = log.entries[: -len(recent)]
        finals = {
            entry.event.result_id
            for entry in log.entries
            if isinstance(entry.event, Transcript) and not entry.event.is_partial
        }
        lasting = [
            entry
            for entry in older
            if not isinstance(entry.event, Progress)
            and not (isinstance(entry.event, Transcript) and entry.event.is_partial and entry.event.result_id in finals)
        ]
        room = max(0, keep - len(recent))
        self._total -= len(log.entries)
        log.entries = lasting[len(lasting) - min(room, len(lasting)) :] + recent
        self._total += len(log.entries)
