"""Streams that are shared over Socket.IO: what ``audio-stream`` means, and what its listeners get (camelCase)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.errors import AntiphonError, BadAudio, BadMessage, UnsupportedFormat
from antiphon.protocol import fields
from antiphon.protocol.allowance import Rate

EVENT = "audio-stream"
DEFAULT_ROOM = "default"
"""Where whoever names no room, and is in none, sends to and hears."""
BYTES = Rate(2 << 20, 128 << 10)
"""Of one connection; Opus has at most 64 KiB a second."""
PIECES = Rate(200, 100)
"""Of one connection; a recorder hands over one every ten milliseconds at most."""
STREAMS = Rate(10, 0.5)
"""Of one connection; each has a session of its own."""


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """A checked ``audio-stream``.

    Attributes:
        data: The next bytes of a container.
        room_id: None where the client names none.
        language: What is spoken, a BCP 47 tag; None for the server's own.
    """

    data: bytes
    room_id: str | None = None
    language: str | None = None


def parse_stream(data: object) -> StreamPiece:
    """Check the data of ``audio-stream``: binary, or an object with binary ``data``.

    Raises:
        BadMessage: It is neither, or a field is wrong.
        BadAudio: It is empty.
    """
    room_id = language = None
    audio, name = data, None
    if isinstance(data, dict):
        room_id = fields.session_id(data, "roomId")
        language = fields.text(data, "language", longest=64)
        audio, name = data.get("data"), "data"
    if not isinstance(audio, bytes | bytearray | memoryview):
        raise BadMessage(
            "audio-stream takes what a MediaRecorder hands over, as binary or as {roomId, data: binary}; this is "
            f"{fields.json_type(audio)}, and base64 is not taken here",
            field=name,
        )
    if not audio:
        raise BadAudio("this piece of the stream is empty; send those with a size alone", field=name)
    return StreamPiece(bytes(audio), room_id, language)


def no_beginning(data: bytes) -> AntiphonError:
    """The error for a stream whose first bytes are not the header of a container that can be shared."""
    how = "record with mimeType 'audio/webm;codecs=opus', or 'audio/ogg;codecs=opus'"
    if data[4:8] in (b"ftyp", b"styp", b"moof"):
        return UnsupportedFormat(f"this is MP4, which can't be shared live; {how}")
    if data[:4] in (b"RIFF", b"fLaC") or data[:3] == b"ID3":
        return UnsupportedFormat(f"this is a whole file and no live stream; {how}, or send files as audio-chunk")
    return BadAudio(
        "this is not the beginning of a WebM or Ogg stream, without which nobody could play it; stop the recorder and "
        f"start it again so that it writes a header, and {how}"
    )


@dataclass(frozen=True, slots=True)
class About:
    """What a listener is told of one ``audio-data``, as its second argument.

    Attributes:
        socket_id: Who sends it.
        stream_id: Grows with each stream of the server.
        seq: The sender's pieces, counted from 0.
        format: ``webm`` or ``ogg``.
        begins: The data begins with a header: a player begins anew here.
        dropped: Pieces of this stream that this listener did not get right before this one, for being too slow.
    """

    socket_id: str
    room_id: str
    stream_id: int
    seq: int
    format: str
    begins: bool
    dropped: int

    def as_dict(self) -> dict[str, Any]:
        """As it is on the wire."""
        return {
            "socketId": self.socket_id,
            "roomId": self.room_id,
            "streamId": self.stream_id,
            "seq": self.seq,
            "format": self.format,
            "begins": self.begins,
            "dropped": self.dropped,
        }
