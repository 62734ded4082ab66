"""One connection to a door, seen the same way whatever the door."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from antiphon.client.buffer import Chunk
from antiphon.errors import AntiphonError
from antiphon.events import Entry
from antiphon.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to go on: what the server gave, and the last event that came from there."""

    session_id: str
    token: str
    last_event_id: int


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client wants of a stream."""

    audio: AudioFormat
    language: str | None
    interim_results: bool
    session_id: str | None
    role: str
    api_key: str | None
    resume: Resume | None = None
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """What the server gave.

    Attributes:
        next_seq: The chunk that it wants next; all before it are safe.
        last_event_id: What follows begins after this event.
    """

    session_id: str
    participant_id: str
    resume_token: str
    next_seq: int
    last_event_id: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Every chunk up to `seq` is safe."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that answers what was sent, and is not in the log."""

    error: AntiphonError


@dataclass(frozen=True, slots=True)
class Closing:
    """The server is about to end the connection."""

    reason: str
    reconnect: bool


Message = Ack | Entry | Refused | Closing


class LinkLost(Exception):
    """The connection is no more; another may do better.

    Args:
        message: What happened.
        retry_after: Seconds to wait at least before another try.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Link(ABC):
    """One connection. Opened once, closed once; `close` may follow a failed `open`.

    All methods but `close` raise :class:`LinkLost` where the connection breaks, and
    :class:`~antiphon.client.errors.ProtocolFault` where the other side makes no sense.
    """

    @abstractmethod
    async def open(self, hello: Hello) -> Joined:
        """Connect, and begin or resume a stream. The caller sets the deadline.

        Raises:
            AntiphonError: The server refused.
        """

    @abstractmethod
    async def send(self, chunk: Chunk) -> None:
        """Send a chunk, waiting where the connection is slow."""

    @abstractmethod
    async def send_finish(self) -> None:
        """Ask for what is left and for the end of the stream."""

    @abstractmethod
    async def receive(self) -> Message:
        """The next message."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection, in a few seconds at most. Never raises."""
