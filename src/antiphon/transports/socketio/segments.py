"""Stand-alone segments over Socket.IO: ``audio-chunk``, answered by its callback and by ``transcription``."""

from __future__ import annotations

import asyncio
from typing import Any

from antiphon.errors import AntiphonError, SessionLimit
from antiphon.events import Ended, Failed, Transcript
from antiphon.protocol.segments import (
    EVENT,
    accepted,
    dropped_to_wire,
    parse_segment,
    rejected,
    skipped,
    transcription_to_wire,
)
from antiphon.sessions import SessionManager
from antiphon.sessions.segments import Dropped, SegmentManager, SegmentTrack
from antiphon.telemetry.logs import get_logger
from antiphon.transports.socketio.refusing import Refuser
from antiphon.transports.socketio.server import SocketIOServer

log = get_logger("socketio")

MAX_SESSIONS = 4
"""Sessions for which one connection may send segments."""
CLOSE_TIMEOUT = 2.0
"""Seconds that each client gets to take what waits for it when the server ends."""


class SegmentDoor:
    """Puts ``audio-chunk`` on a Socket.IO server.

    Args:
        sio: The server.
        sessions: Where logs are.
        segments: Who transcribes them.
    """

    def __init__(self, sio: SocketIOServer, sessions: SessionManager, segments: SegmentManager) -> None:
        self.sio = sio
        self.sessions = sessions
        self.segments = segments
        self._clients: dict[str, _Client] = {}
        sio.on(EVENT, self._chunk)
        sio.on_disconnect(self._gone)

    def used_by(self, sid: str) -> bool:
        """Whether a connection sends segments."""
        return sid in self._clients

    def has(self, sid: str, client: _Client) -> bool:
        """Whether a client is connected still."""
        return self._clients.get(sid) is client

    async def close(self) -> None:
        """Let everybody hear the last words of what they sent."""
        readers = [reader for client in self._clients.values() for reader in client.readers.values()]
        if readers:
            await asyncio.wait(readers, timeout=CLOSE_TIMEOUT)

    async def _chunk(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any]:
        client = self._clients.get(sid)
        if client is None:
            client = self._clients[sid] = _Client(self, sid)
        return await client.take(data)

    async def _gone(self, sid: str, reason: str) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            # whoever said good-bye is gone; whoever did not may come back
            bye = reason == self.sio.reason.CLIENT_DISCONNECT
            client.gone(0.0 if bye else self.sessions.limits.resume_window_s)


class _Client:
    """One connection that sends segments, and is told what they say.

    Attributes:
        readers: Of the logs of its sessions, by their names.
    """

    def __init__(self, door: SegmentDoor, sid: str) -> None:
        self._door = door
        self._sid = sid
        self._refuser = Refuser(door.sio, sid)
        self._tracks: dict[str, SegmentTrack] = {}
        self.readers: dict[str, asyncio.Task[None]] = {}

    async def take(self, data: Any) -> dict[str, Any]:
        """``audio-chunk``; the answer to its callback."""
        about = {name: data[name] for name in ("sessionId", "timestamp") if name in data} if _small(data) else {}
        try:
            segment = parse_segment(data)
            if segment.session_id not in self.readers and len(self.readers) >= MAX_SESSIONS:
                raise SessionLimit(
                    f"this connection sends segments for {MAX_SESSIONS} sessions already; open another for more",
                    field="sessionId",
                )
            reason = await self._door.segments.take(segment)
        except AntiphonError as error:
            return rejected(self._refuser.refuse(EVENT, error, **about))
        await self._listen(segment.session_id, segment.last_event_id)
        return accepted() if reason is None else skipped(reason)

    def gone(self, linger: float) -> None:
        """The connection is closed; its segments are transcribed all the same."""
        for reader in self.readers.values():
            reader.cancel()
        for track in self._tracks.values():
            track.leave(self._dropped, linger)

    async def _listen(self, session_id: str, last_event_id: int | None) -> None:
        track = self._door.segments.track(session_id)
        if track is None or session_id in self.readers:
            return
        after = last_event_id
        if after is None:
            # whoever comes first is told what nobody was told; whoever comes later, what comes from now on
            after = await self._door.sessions.store.last_id(session_id) if track.listeners else track.told
        if not self._door.has(self._sid, self):
            # it has gone while this waited
            return
        track.listen(self._dropped)
        self._tracks[session_id] = track
        self.readers[session_id] = asyncio.create_task(
            self._read(track, after), name=f"segments of {session_id} for {self._sid}"
        )

    async def _read(self, track: SegmentTrack, after: int) -> None:
        session = track.session
        sio = self._door.sio
        try:
            async for entry in session.follow(after):
                event = entry.event
                if event.participant_id != track.id:
                    continue
                if isinstance(event, Transcript) and (segment := track.segment(event.result_id)) is not None:
                    await sio.deliver(
                        self._sid, "transcription", transcription_to_wire(entry, event, session.id, segment)
                    )
                elif isinstance(event, Failed):
                    await sio.deliver(self._sid, "error", {**event.error, "eventId": entry.id})
                elif isinstance(event, Ended):
                    break
                track.told = max(track.told, entry.id)
        except TimeoutError:
            log.info("client does not read; cut off", sid=self._sid)
            sio.abort(self._sid)
            return
        track.leave(self._dropped, 0.0)
        if self._tracks.get(session.id) is track:
            del self._tracks[session.id], self.readers[session.id]

    def _dropped(self, dropped: Dropped) -> None:
        self._door.sio.emit_soon(self._sid, "transcription-dropped", dropped_to_wire(dropped.segment, dropped.words))


def _small(data: Any) -> bool:
    """Whether what names a segment may be repeated in an error."""
    return isinstance(data, dict) and all(
        isinstance(value, int | float | str | None) and len(str(value)) <= 128
        for value in (data.get("sessionId"), data.get("timestamp"))
    )
