"""What a store of sessions does, wherever it keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from antiphon.events import Entry, Event


class Store(ABC):
    """Append-only event logs, one for each session.

    Ids begin at 1 and increase. A reader that comes back with its last id gets each later event once; partial
    transcripts whose final is in the log may be gone by then, for the final says all that they said.
    """

    @abstractmethod
    async def open(self, session_id: str) -> None:
        """Begin a log, or go on with one that was closed."""

    @abstractmethod
    async def append(self, session_id: str, event: Event, time: float) -> Entry:
        """Write an event down; when this returns, it is as safe as this store makes it.

        Raises:
            NotFound: There is no such log.
        """

    def try_append(self, session_id: str, event: Event, time: float) -> Entry | None:
        """As :meth:`append`, where that needs no waiting; None where it does, and nothing was written.

        Raises:
            NotFound: There is no such log.
        """
        return None

    @abstractmethod
    async def close(self, session_id: str) -> None:
        """Nothing more will be written: readers that have read all of it are done."""

    @abstractmethod
    async def delete(self, session_id: str) -> None:
        """Forget a log; its readers are done."""

    @abstractmethod
    async def read(self, session_id: str, after: int, limit: int = 500) -> list[Entry]:
        """Up to `limit` entries with ids above `after`.

        Raises:
            NotFound: There is no such log.
        """

    @abstractmethod
    async def last_id(self, session_id: str) -> int:
        """The id of the newest entry; 0 where nothing was written yet.

        Raises:
            NotFound: There is no such log.
        """

    @abstractmethod
    def follow(self, session_id: str, after: int) -> AsyncIterator[Entry]:
        """Every entry with an id above `after`, as it is written, until the log is closed and read.

        Raises:
            NotFound: There is no such log.
        """

    @abstractmethod
    def __contains__(self, session_id: object) -> bool: ...
