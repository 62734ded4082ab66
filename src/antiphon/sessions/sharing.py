"""Streams that one connection shares with others: passed on as they are, and written down."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.formats import AudioFormat, Encoding
from antiphon.media.joining import Join, JoinFinder, container_of
from antiphon.protocol.sharing import About
from antiphon.sessions.captions import Captions, CaptionSink
from antiphon.sessions.manager import SessionManager

ROLE = "stream"
MAX_WAITING_BYTES = 1 << 20
MAX_WAITING = 64
"""What waits for a slow listener, in bytes and pieces; the oldest go first."""

_numbers = itertools.count(1)


class Piece:
    """One piece of a stream, as it is passed on.

    Attributes:
        stream: Which it belongs to.
        seq: Its number there.
        data: Its bytes; None for the mark of the stream's end.
        begins: It begins with a header.
        join: Where somebody may begin to listen in it.
        packed: The event made of it, for all who get it whole.
    """

    __slots__ = ("begins", "data", "join", "packed", "seq", "stream")

    def __init__(self, stream: SharedStream, seq: int, data: bytes | None, join: Join | None = None) -> None:
        self.stream = stream
        self.seq = seq
        self.data = data
        self.begins = data is not None and container_of(data) is not None
        self.join = join
        self.packed: list[str | bytes] | None = None

    @property
    def beginning(self) -> bytes | None:
        """What somebody gets who begins with this piece; None where that cannot be."""
        if self.data is None or self.join is None:
            return None
        return self.join.head + self.data[self.join.at :] if self.join.at or self.join.head else self.data


class SharedStream:
    """One stream, from a header of its container on.

    Args:
        sessions: Where what is said is written down.
        socket_id: Who sends it.
        room_id: Who may listen.
        container: What it is.
        language: One of the engine's tags.
        sink: Says who is told the words.

    Attributes:
        id: Unique in this process.
    """

    def __init__(
        self,
        sessions: SessionManager,
        socket_id: str,
        room_id: str,
        container: Encoding,
        language: str,
        sink: Callable[[SharedStream], CaptionSink],
    ) -> None:
        self.id = next(_numbers)
        self.socket_id = socket_id
        self.room_id = room_id
        self.container = container
        self.seq = 0
        self._finder = JoinFinder.of(container)
        self._captions = Captions(sessions, ROLE, language, sink(self), AudioFormat(container, 48_000, 1))

    def take(self, data: bytes) -> Piece:
        """The next bytes: they are heard, and come back as a piece to pass on."""
        piece = Piece(self, self.seq, data, self._finder.push(data))
        self.seq += 1
        if not self._captions.fresh:
            self._captions.hear(data)
        elif not self._captions.resting and (beginning := piece.beginning) is not None:
            self._captions.hear(beginning)
        return piece

    def miss(self) -> None:
        """A piece was refused: whoever listens has to begin anew after it."""
        self.seq += 1
        self._finder.miss()

    def end(self) -> Piece:
        """The mark of its end."""
        return Piece(self, self.seq, None)

    async def finish(self, reason: str) -> None:
        """No more will come: returns when all that was said has been told."""
        await self._captions.finish(reason)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a listener gets next.

    Attributes:
        piece: Of which it is.
        data: The bytes; None at the end of a stream.
        about: What it is told of them.
        whole: It is the whole piece, and nothing was dropped: the same for everybody.
    """

    piece: Piece
    data: bytes | None
    about: About
    whole: bool


class Ear:
    """What waits for one listener, and where it is in each stream.

    Where a listener has missed something, or has only just come, it goes on at the next place where a stream can be
    joined, with what has to come before that.

    Args:
        on_drop: Called for each piece that was dropped.

    Attributes:
        bytes: That wait.
    """

    def __init__(self, on_drop: Callable[[], object]) -> None:
        self.bytes = 0
        self._on_drop = on_drop
        self._waiting: deque[Piece] = deque()
        self._next: dict[int, int] = {}
        self._dropped: dict[int, int] = {}

    def offer(self, piece: Piece) -> None:
        """Let a piece wait; the oldest are dropped where there are too many."""
        self._waiting.append(piece)
        self.bytes += len(piece.data or b"")
        while len(self._waiting) > MAX_WAITING or (self.bytes > MAX_WAITING_BYTES and len(self._waiting) > 1):
            self._drop(self._waiting.popleft())

    def next(self) -> Heard | None:
        """What comes next; None where nothing does."""
        while self._waiting:
            piece = self._waiting.popleft()
            self.bytes -= len(piece.data or b"")
            if (heard := self._hear(piece)) is not None:
                return heard
        return None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def _hear(self, piece: Piece) -> Heard | None:
        stream = piece.stream
        if piece.data is None:
            known = self._next.pop(stream.id, None) is not None
            self._dropped.pop(stream.id, None)
            return Heard(piece, None, _about(piece, False, 0), True) if known else None
        if piece.begins:
            data, begins = piece.data, True
        elif self._next.get(stream.id) == piece.seq:
            data, begins = piece.data, False
        else:
            beginning = piece.beginning
            if beginning is None:
                if stream.id in self._next:
                    # it listens already, and loses this one too
                    self._lose(piece)
                return None
            data, begins = beginning, True
        dropped = self._dropped.pop(stream.id, 0)
        self._next[stream.id] = piece.seq + 1
        return Heard(piece, data, _about(piece, begins, dropped), data is piece.data and not dropped)

    def _drop(self, piece: Piece) -> None:
        self.bytes -= len(piece.data or b"")
        if piece.data is None:
            self._next.pop(piece.stream.id, None)
            self._dropped.pop(piece.stream.id, None)
        else:
            self._lose(piece)

    def _lose(self, piece: Piece) -> None:
        self._dropped[piece.stream.id] = self._dropped.get(piece.stream.id, 0) + 1
        self._on_drop()


def _about(piece: Piece, begins: bool, dropped: int) -> About:
    stream = piece.stream
    return About(stream.socket_id, stream.room_id, stream.id, piece.seq, stream.container.value, begins, dropped)
