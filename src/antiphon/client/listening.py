"""The listener's side of ``/ws-audio``: what it asks for, what it is told, and where to go on. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from yarl import URL

from antiphon.client.address import door, server_url
from antiphon.client.errors import ProtocolFault
from antiphon.errors import AntiphonError, error_from_dict

DOOR = "ws-audio"


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What a listener asks for; the server chooses what is None.

    Attributes:
        source: ``file:NAME``, ``room:ID`` or ``say:TEXT``.
        sample_rate: Hertz.
        frame_ms: Milliseconds of a packet.
        bitrate: Bits a second.
        preset: A name.
        voice: Who says a text.
        language: What a text is written in; a BCP 47 tag.
        rate: Speaking rate of a text.
        position: Seconds into a file or a text.
        more: Further fields of the query.
    """

    source: str
    sample_rate: int | None = None
    frame_ms: int | None = None
    bitrate: int | None = None
    preset: str | None = None
    voice: str | None = None
    language: str | None = None
    rate: float | None = None
    position: float = 0.0
    more: tuple[tuple[str, str], ...] = ()

    def query(self, position: float) -> dict[str, str]:
        """The query of a connection that begins at `position`."""
        known = {
            "source": self.source,
            "sampleRate": self.sample_rate,
            "frameMs": self.frame_ms,
            "bitrate": self.bitrate,
            "preset": self.preset,
            "voice": self.voice,
            "language": self.language,
            "rate": self.rate,
            "position": round(position, 3) or None,
        }
        given = {name: str(value) for name, value in known.items() if value is not None}
        return {**dict(self.more), **given, "events": "true"}


def listening_url(url: str) -> tuple[URL, dict[str, str]]:
    """The address of the door, and the fields of a query that were in it.

    Args:
        url: Of a server, or of its door ``/ws-audio``, with or without a query.

    Raises:
        ValueError: It is no such address.
    """
    base = server_url(url)
    if base.path.removesuffix("/").endswith(f"/{DOOR}"):
        base = base.with_path(base.path.removesuffix("/").removesuffix(f"/{DOOR}"))
    return door(base, DOOR), dict(URL(url).query)


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """A connection has its stream.

    Attributes:
        source: As the server names it.
        sample_rate: Hertz of the encoder's input.
        frame_ms: Milliseconds of a packet.
        bitrate: Bits a second.
        skip: Samples at 48 kHz that a decoder gives before the audio.
        live: It has no beginning and no end.
        duration: Seconds in all, None where that is not known.
        position: Seconds at which it begins.
    """

    source: str
    sample_rate: int
    frame_ms: int
    bitrate: int
    skip: int
    live: bool
    duration: float | None
    position: float


@dataclass(frozen=True, slots=True)
class Packet:
    """The next packet of the stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PacketsLost:
    """So many packets are missing before the next one."""

    count: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was not played yet is not wanted any more."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The source is over: ``complete``, ``failed``, ``shutdown`` or ``closed``."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionBack:
    """The connection was lost and is back, and the stream goes on.

    Attributes:
        attempts: How many tries it took.
        position: Where it goes on, in seconds; 0 for what is live.
    """

    attempts: int
    position: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something else that the server said, such as ``saying``, ``said`` or ``bitrate-change``."""

    type: str
    fields: dict[str, Any] = field(default_factory=dict)


Heard = StreamStarted | Packet | PacketsLost | Cleared | StreamEnded | ConnectionBack | Notice


class Listening:
    """A stream over as many connections as it takes; packets are counted, so that each comes once.

    Args:
        options: What is asked for.

    Attributes:
        started: What the first connection said of the stream.
        error: What the server has complained of last; where the connection ends then, that is why.
        closing: The server is about to close the connection; True where another may begin.
        ended: The source is over.
        failed: The source broke down, as `error` says.
        round_trip: Seconds that the last ``ping`` took, None before the first.
    """

    def __init__(self, options: ListenOptions) -> None:
        self._options = options
        self._next = 0
        self._again = 0
        self._dropped = 0
        self.started: StreamStarted | None = None
        self.error: AntiphonError | None = None
        self.closing: bool | None = None
        self.ended = False
        self.failed = False
        self.round_trip: float | None = None

    @property
    def packets(self) -> int:
        """Packets from the beginning of the source, or from the first connection where it is live, to the next one."""
        return self._next

    @property
    def position(self) -> float:
        """Where the next connection has to begin, in seconds."""
        if self.started is None:
            return self._options.position
        return 0.0 if self.started.live else self._next * self.started.frame_ms / 1000

    def query(self) -> dict[str, str]:
        """Of the next connection."""
        return self._options.query(self.position)

    def connected(self) -> None:
        """A connection begins; what the last one said of itself does not count any more."""
        self.error = None
        self.closing = None
        self._again = 0
        self._dropped = 0

    def binary(self, data: bytes) -> list[Heard]:
        """A packet has come.

        Raises:
            ProtocolFault: The server has not said what it is of.
        """
        if self.started is None:
            raise ProtocolFault("audio came before the server said what it is; is it an Antiphon server?")
        if self._again:
            # it was heard over an earlier connection
            self._again -= 1
            return []
        self._next += 1
        return [Packet(data)]

    def text(self, data: str, now: float) -> list[Heard]:
        """A text message has come.

        Args:
            data: The message.
            now: The time that pings were sent with, in seconds.

        Raises:
            ProtocolFault: It makes no sense.
        """
        try:
            message = orjson.loads(data)
            kind = message["type"]
            return self._message(kind, message, now)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, ArithmeticError) as fault:
            raise ProtocolFault(
                f"the server sent a message that this client does not understand ({type(fault).__name__}: {fault}); "
                "use a client of the server's version"
            ) from fault

    def _message(self, kind: object, message: dict[str, Any], now: float) -> list[Heard]:
        if kind == "started":
            return self._begin(_started(message))
        if kind == "dropped":
            return self._lost(int(message["packets"]))
        if kind == "ended":
            self.ended = message["reason"] in ("complete", "closed")
            self.failed = message["reason"] == "failed"
            return [StreamEnded(str(message["reason"]))] if self.ended else []
        if kind == "error":
            error = error_from_dict(message)
            if "id" not in message:
                self.error = error
            return [Notice("error", {**error.as_dict(), "id": message.get("id")})]
        if kind == "closing":
            self.closing = message.get("reconnect") is True
            return []
        if kind == "pong":
            self.round_trip = max(0.0, now - float(message["t"]))
            return []
        if kind == "clear":
            return [Cleared()]
        return [Notice(str(kind), {name: value for name, value in message.items() if name != "type"})]

    def _begin(self, started: StreamStarted) -> list[Heard]:
        if started.frame_ms <= 0 or started.sample_rate <= 0 or started.position < 0:
            raise ValueError("a stream with no length")
        first = self.started is None
        if first:
            self.started = started
            self._next = 0 if started.live else _packets(started.position, started.frame_ms)
            return [started]
        assert self.started is not None  # noqa: S101
        if (started.sample_rate, started.frame_ms) != (self.started.sample_rate, self.started.frame_ms):
            raise ValueError("another format than before")
        if started.live:
            return []
        begins = _packets(started.position, started.frame_ms)
        self._again = max(0, self._next - begins)
        return self._lost(begins - self._next) if begins > self._next else []

    def _lost(self, count: int) -> list[Heard]:
        if count < 0:
            raise ValueError("fewer than no packets")
        known = min(count, self._again)
        self._again -= known
        count -= known
        self._next += count
        return [PacketsLost(count)] if count else []


def _packets(seconds: float, frame_ms: int) -> int:
    return int(seconds * 1000 / frame_ms + 1e-6)


def _started(message: dict[str, Any]) -> StreamStarted:
    if message["codec"] != "opus" or message["channels"] != 1:
        raise ValueError(f"{message['codec']} of {message['channels']} channels")
    duration = message["duration"]
    return StreamStarted(
        source=str(message["source"]),
        sample_rate=int(message["sampleRate"]),
        frame_ms=int(message["frameMs"]),
        bitrate=int(message["bitrate"]),
        skip=int(message["preSkip"]),
        live=bool(message["live"]),
        duration=None if duration is None else float(duration),
        position=float(message["position"]),
    )
