"""Streams shared over Socket.IO: ``audio-stream``, passed on to the others of the room as ``audio-data``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from antiphon.errors import AntiphonError, Conflict, RateLimited
from antiphon.events import Entry, Transcript
from antiphon.media.joining import container_of
from antiphon.protocol.allowance import Allowance
from antiphon.protocol.sharing import BYTES, DEFAULT_ROOM, EVENT, PIECES, STREAMS, no_beginning, parse_stream
from antiphon.protocol.transcription import result_to_wire
from antiphon.sessions import Participant, SessionManager
from antiphon.sessions.captions import CaptionSink
from antiphon.sessions.sharing import Ear, Heard, Piece, SharedStream
from antiphon.telemetry.logs import get_logger
from antiphon.transports.socketio.refusing import Refuser
from antiphon.transports.socketio.segments import SegmentDoor
from antiphon.transports.socketio.server import SocketIOServer
from antiphon.transports.socketio.signaling import SignalingDoor
from antiphon.transports.socketio.transcription import TranscriptionDoor

log = get_logger("socketio")

IN_FLIGHT = 8
"""Packets in a connection's queue, two for each piece, beyond which pieces wait where they can be dropped."""
TELL_LOST_S = 10.0
"""Seconds between two errors about audio that is passed on and not transcribed."""
HEARING = frozenset({"webrtc", "stream"})
"""Ways into a room that come with a Socket.IO connection."""


class SharingDoor:
    """Puts ``audio-stream`` on a Socket.IO server.

    Args:
        sio: The server.
        sessions: Where what is said is written down.
        signaling: Who is in which room.
        transcription: Who transcribes, and who is connected at all.
        segments: Who sends segments.

    Attributes:
        dropped: Pieces that slow listeners did not get.
    """

    def __init__(
        self,
        sio: SocketIOServer,
        sessions: SessionManager,
        signaling: SignalingDoor,
        transcription: TranscriptionDoor,
        segments: SegmentDoor,
    ) -> None:
        self.sio = sio
        self.sessions = sessions
        self.signaling = signaling
        self.rooms = signaling.rooms
        self.dropped = 0
        self._transcription = transcription
        self._segments = segments
        self._senders: dict[str, _Sender] = {}
        self._listeners: dict[str, _Listener] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        sio.on(EVENT, self._stream)
        sio.on("audio-stream-end", self._end)
        sio.on_disconnect(self._gone)
        sio.on_oversized(self._oversized)

    @property
    def streams(self) -> int:
        """Streams that are shared now."""
        return sum(sender.stream is not None for sender in self._senders.values())

    def pass_on(self, piece: Piece) -> None:
        """Send a piece to everybody who listens where it was said."""
        sender = piece.stream.socket_id
        for sid in self._hearers(piece.stream.room_id):
            if sid != sender:
                listener = self._listeners.get(sid)
                if listener is None:
                    listener = self._listeners[sid] = _Listener(self, sid)
                listener.offer(piece)

    def finish(self, stream: SharedStream, reason: str, told: dict[str, Any] | None = None) -> asyncio.Task[None]:
        """End a stream: its listeners are told, and what was said is written down to the last word.

        Args:
            told: What its sender is told of it after that, if anything.
        """
        end = stream.end()
        for listener in self._listeners.values():
            listener.offer(end)
        task = asyncio.create_task(self._finish(stream, reason, told), name=f"end of stream {stream.id}")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return task

    async def close(self, deadline: float) -> None:
        """End all streams, and wait up to `deadline` seconds until their last words are told."""
        for sender in self._senders.values():
            sender.end("shutdown")
        if self._finishing:
            await asyncio.wait(list(self._finishing), timeout=deadline)

    async def _stream(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any]:
        sender = self._senders.get(sid)
        if sender is None:
            sender = self._senders[sid] = _Sender(self, sid)
        return sender.take(data)

    async def _end(self, sid: str, *_: Any) -> dict[str, Any]:
        sender = self._senders.get(sid)
        if sender is None:
            sender = self._senders[sid] = _Sender(self, sid)
        return sender.stop()

    def _oversized(self, sid: str) -> None:
        # it may have been a piece
        sender = self._senders.get(sid)
        if sender is not None and sender.stream is not None:
            sender.stream.miss()

    async def _gone(self, sid: str, _: str) -> None:
        if (listener := self._listeners.pop(sid, None)) is not None:
            listener.close()
        if (sender := self._senders.pop(sid, None)) is not None:
            sender.end("left")

    async def _finish(self, stream: SharedStream, reason: str, told: dict[str, Any] | None) -> None:
        await stream.finish(reason)
        if told is not None:
            self.sio.emit_soon(stream.socket_id, "audio-stream-ended", told)

    def _hearers(self, room_id: str) -> Iterable[str]:
        room = self.rooms.rooms.get(room_id)
        named = () if room is None else [sid for sid, member in room.members.items() if member.transport in HEARING]
        if room_id != DEFAULT_ROOM:
            return named
        members = self.rooms.signaling.members
        idle = (sid for sid in self._transcription.idle if sid not in members and not self._segments.used_by(sid))
        return [*named, *idle]


class _Sender:
    """One connection that shares a stream.

    Attributes:
        stream: What it shares now; None before, and in between.
    """

    def __init__(self, door: SharingDoor, sid: str) -> None:
        self._door = door
        self._sid = sid
        self._refuser = Refuser(door.sio, sid)
        self._bytes = Allowance(BYTES)
        self._pieces = Allowance(PIECES)
        self._streams = Allowance(STREAMS)
        self._told_lost = float("-inf")
        self.stream: SharedStream | None = None

    def take(self, data: Any) -> dict[str, Any]:
        """``audio-stream``; the answer to its callback."""
        try:
            piece = self._take(data)
        except AntiphonError as error:
            return {"status": "error", "error": self._refuser.refuse(EVENT, error)}
        stream = piece.stream
        return {"status": "ok", "roomId": stream.room_id, "streamId": stream.id, "seq": piece.seq}

    def stop(self) -> dict[str, Any]:
        """``audio-stream-end``; the answer to its callback."""
        if self.stream is None:
            error = Conflict("no stream is shared on this connection; send audio-stream first")
            return {"status": "error", "error": self._refuser.refuse("audio-stream-end", error)}
        stream = self.stream
        told = {"roomId": stream.room_id, "streamId": stream.id, "pieces": stream.seq}
        self.end("stopped", told)
        return {"status": "ok", **told}

    def end(self, reason: str, told: dict[str, Any] | None = None) -> None:
        """No more of this stream will come."""
        stream, self.stream = self.stream, None
        if stream is not None:
            self._door.finish(stream, reason, told)

    def _take(self, data: Any) -> Piece:
        wanted = parse_stream(data)
        self._keep_pace(len(wanted.data))
        room_id = self._room(wanted.room_id)
        container = container_of(wanted.data)
        stream = self.stream
        if stream is not None and (stream.room_id != room_id or container not in (None, stream.container)):
            # who has left a room goes on nowhere else without a header, and so not by mistake
            self.end("left")
            stream = None
        if stream is None:
            if container is None:
                raise no_beginning(wanted.data)
            try:
                language = self._door.sessions.language(wanted.language)
            except AntiphonError as error:
                raise type(error)(error.message, field="language") from None
            self._streams.take(self._door.sessions.clock.monotonic(), "streams of one connection")
            self._enter(room_id)
            stream = SharedStream(self._door.sessions, self._sid, room_id, container, language, self._sink)
            self.stream = stream
        piece = stream.take(wanted.data)
        self._door.pass_on(piece)
        return piece

    def _keep_pace(self, size: int) -> None:
        now = self._door.sessions.clock.monotonic()
        try:
            self._pieces.take(now, "pieces of audio-stream")
            self._bytes.take(now, "bytes of audio-stream", size)
        except RateLimited:
            if self.stream is not None:
                self.stream.miss()
            raise

    def _room(self, named: str | None) -> str:
        """The room that a piece is for: the one named, or else the one this connection is in, or else the default."""
        member = self._door.rooms.signaling.members.get(self._sid)
        if member is not None:
            if named not in (None, member.room.id):
                raise Conflict(
                    f"this connection is in room {member.room.id!r} and not in that one; send leave-room first",
                    field="roomId",
                )
            return member.room.id
        return DEFAULT_ROOM if named is None else named

    def _enter(self, room_id: str) -> None:
        if room_id != DEFAULT_ROOM and self._sid not in self._door.rooms.signaling.members:
            self._door.signaling.enter(self._sid, room_id)

    def _sink(self, stream: SharedStream) -> CaptionSink:
        return CaptionSink(self._words, self._refused, lambda participant: self._begun(stream, participant), self._lost)

    def _begun(self, stream: SharedStream, participant: Participant) -> None:
        told = {"roomId": stream.room_id, "streamId": stream.id, "session_id": participant.session.id}
        self._door.sio.emit_soon(self._sid, "audio-stream-started", {**told, "language_code": participant.language})

    def _words(self, session_id: str, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, Transcript):
            result = {**result_to_wire(entry.id, event), "speaker": self._sid, "session_id": session_id}
            self._door.sio.emit_soon(self._sid, "transcription_result", result)
            self._door.rooms.said(self._sid, session_id, entry)

    def _refused(self, error: AntiphonError) -> None:
        self._tell(error, "what is said is not transcribed for now, and is passed on all the same")

    def _lost(self, error: AntiphonError) -> None:
        now = self._door.sessions.clock.monotonic()
        if now >= self._told_lost + TELL_LOST_S:
            self._told_lost = now
            self._tell(error, "this part is not transcribed; it was passed on all the same")

    def _tell(self, error: AntiphonError, what: str) -> None:
        told = {**error.as_dict(), "message": f"{error.message} ({what})", "event": EVENT}
        self._door.sio.emit_soon(self._sid, "error", told)


class _Listener:
    """One connection that hears streams."""

    def __init__(self, door: SharingDoor, sid: str) -> None:
        self._door = door
        self._sid = sid
        self._ear = Ear(self._dropped)
        self._next: Heard | None = None
        self._waiting: asyncio.Task[None] | None = None

    def offer(self, piece: Piece) -> None:
        self._ear.offer(piece)
        if self._waiting is None:
            self._send()

    def close(self) -> None:
        """The connection is closed."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _send(self) -> None:
        """Put what waits into the connection's queue, as long as little waits there."""
        sio = self._door.sio
        while (heard := self._next or self._ear.next()) is not None:
            if not sio.put_soon(self._sid, self._packed(heard), IN_FLIGHT):
                self._next = heard
                self._waiting = asyncio.create_task(self._wait(), name=f"listener {self._sid}")
                return
            self._next = None

    async def _wait(self) -> None:
        # a client that takes nothing is cut off by its writer, which ends this wait
        connected = await self._door.sio.room(self._sid, IN_FLIGHT)
        self._waiting = None
        if connected:
            self._send()

    def _dropped(self) -> None:
        self._door.dropped += 1

    def _packed(self, heard: Heard) -> list[str | bytes]:
        piece, about = heard.piece, heard.about.as_dict()
        if not heard.whole:
            return self._door.sio.pack("audio-data", heard.data or b"", about)
        if piece.packed is None:
            if heard.data is None:
                told = {name: about[name] for name in ("socketId", "roomId", "streamId")}
                piece.packed = self._door.sio.pack_text("audio-data-ended", told)
            else:
                piece.packed = self._door.sio.pack("audio-data", heard.data, about)
        return piece.packed
