"""Live transcription over Socket.IO: ``start_transcription``, ``audio_chunk``, ``stop_transcription``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from antiphon.errors import AntiphonError, Conflict, DurationLimit, RateLimited, Unauthorized
from antiphon.events import Ended, Failed, Transcript
from antiphon.protocol.fields import json_type
from antiphon.protocol.transcription import StartTranscription, parse_chunk, parse_start, result_to_wire
from antiphon.security.access import Access, bearer_token
from antiphon.sessions import Participant, SessionManager
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Acks, AckTimer, Refusals, Verdict, awaited, closing_after
from antiphon.transports.socketio.server import SocketIOServer

log = get_logger("socketio")

CLOSE_TIMEOUT = 2.0
"""Seconds that each client gets to take what waits for it when the server ends."""


class TranscriptionDoor:
    """Puts the transcription events on a Socket.IO server.

    Args:
        sio: The server.
        sessions: Where streams live.
        access: Keys.
        ack_interval: Seconds between two acknowledgements to one client, at least.
        send_timeout: Seconds that a client may leave an event untaken.
    """

    def __init__(
        self, sio: SocketIOServer, sessions: SessionManager, access: Access, ack_interval: float, send_timeout: float
    ) -> None:
        self.sio = sio
        self.sessions = sessions
        self.access = access
        self.ack_timer = AckTimer(ack_interval)
        self.send_timeout = send_timeout
        self._clients: dict[str, _Client] = {}
        sio.on("connect", self._connect)
        sio.on_disconnect(self._disconnect)
        sio.on("start_transcription", self._start)
        sio.on("stop_transcription", self._stop)
        sio.on_audio("audio_chunk", self._chunk, field="chunk")

    @property
    def connections(self) -> int:
        return len(self._clients)

    @property
    def idle(self) -> Iterator[str]:
        """Connections that have never begun a transcription."""
        return (sid for sid, client in self._clients.items() if not client.used)

    def announce_shutdown(self) -> None:
        """Tell everybody that the server is about to end."""
        for sid in self._clients:
            self.sio.emit_soon(sid, "closing", {"reason": "shutdown", "reconnect": True})

    async def close(self) -> None:
        """Let everybody hear the last that was said, then end all connections."""
        await asyncio.gather(*(client.told() for client in self._clients.values()))
        await self.sio.hang_up_all(CLOSE_TIMEOUT)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            if token is not None and not isinstance(token, str):
                raise Unauthorized(f"auth.token must be text, not {json_type(token)}")
            self.access.check_key(token or bearer_token({"Authorization": environ.get("HTTP_AUTHORIZATION", "")}))
        except AntiphonError as error:
            from socketio.exceptions import ConnectionRefusedError as Refused

            raise Refused(error.message, error.as_dict()) from None
        self._clients[sid] = _Client(self, sid)
        self.sio.emit_soon(sid, "connected", {"status": "Connected to Antiphon; send start_transcription"})

    async def _disconnect(self, sid: str, _: str) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            await client.gone()

    async def _start(self, sid: str, data: Any = None) -> None:
        await self._do(sid, "start", data)

    async def _stop(self, sid: str, _: Any = None) -> None:
        await self._do(sid, "stop")

    async def _do(self, sid: str, action: str, *arguments: Any) -> None:
        client = self._clients.get(sid)
        if client is None:
            return
        try:
            await getattr(client, action)(*arguments)
        except AntiphonError as error:
            self.sio.error_soon(sid, error)

    def _chunk(self, sid: str, data: Any) -> None:
        client = self._clients.get(sid)
        if client is not None:
            client.chunk(data)


class _Client:
    """One connection and the stream it holds, if any.

    Attributes:
        used: It has begun a transcription at some time.
    """

    def __init__(self, door: TranscriptionDoor, sid: str) -> None:
        self._door = door
        self._sio = door.sio
        self._sid = sid
        self._participant: Participant | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._refusals = Refusals()
        self._acks = Acks(door.ack_timer, self._send_ack, self._safe_seq)
        self._time = door.sessions.clock.monotonic
        self._cut_off = False
        self.used = False

    async def start(self, data: Any) -> None:
        """``start_transcription``."""
        if self._stopping is not None:
            await asyncio.wait([self._stopping])
        if self._participant is not None:
            raise Conflict("a transcription is running on this connection; send stop_transcription first")
        wanted = parse_start(data)
        self.used = True
        participant, after = await self._participate(wanted)
        participant.attach(self._replaced)
        self._participant = participant
        self._refusals = Refusals()
        self._acks = Acks(self._door.ack_timer, self._send_ack, self._safe_seq)
        await self._sio.deliver(
            self._sid,
            "transcription_started",
            {
                "status": "started",
                "message": f"Transcribing {participant.format}; send audio_chunk",
                "language_code": participant.language,
                "session_id": participant.session.id,
                "participant_id": participant.id,
                "resume_token": participant.resume_token,
                "next_seq": participant.next_seq,
                "last_event_id": after,
            },
        )
        self._reader = asyncio.create_task(self._read(participant, after), name=f"socket.io reader {self._sid}")

    def chunk(self, data: Any) -> None:
        """``audio_chunk``. The short way: does not wait."""
        if self._cut_off:
            return
        participant = self._participant
        try:
            audio, seq = parse_chunk(data)
            if participant is None or self._stopping is not None:
                raise Conflict("no transcription is running on this connection; send start_transcription first")
            if participant.ending:
                # the client was told why; what is on its way comes too late
                return
            if seq is None:
                participant.ingest(audio, self._time())
                return
            if seq < participant.next_seq:
                self._acks.note()
                return
            if self._refusals.awaited is not None and not self._refusals.passes(seq, self._time()):
                self._remind()
                return
            participant.ingest(audio, self._time())
            if self._refusals.awaited is not None:
                self._refusals.accept(self._time())
            participant.dropped += seq - participant.next_seq
            participant.next_seq = seq + 1
            self._acks.note()
        except (RateLimited, DurationLimit) as error:
            self._refuse(error, data)
        except AntiphonError as error:
            self._sio.error_soon(self._sid, error)

    async def stop(self) -> None:
        """``stop_transcription``: answered from the log, after the last final."""
        if self._participant is None or self._stopping is not None:
            raise Conflict("no transcription is running on this connection")
        self._stopping = asyncio.create_task(self._finish(self._participant), name=f"stop {self._sid}")

    async def told(self) -> None:
        """Wait until the client has been told of the end of its stream."""
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT)

    async def gone(self) -> None:
        """The connection is closed; its stream waits for another."""
        self._acks.close()
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.wait([reader])
        if self._participant is not None:
            self._participant.detach(self._replaced)
            self._participant = None

    async def _participate(self, wanted: StartTranscription) -> tuple[Participant, int]:
        sessions = self._door.sessions
        if wanted.resume is not None and wanted.session_id is not None:
            participant = sessions.resume(wanted.session_id, wanted.resume.token)
            return participant, wanted.resume.last_event_id or 0
        participant = await sessions.begin(
            wanted.session_id, "speaker", wanted.format, wanted.language, wanted.interim_results
        )
        return participant, await sessions.store.last_id(participant.session.id)

    async def _finish(self, participant: Participant) -> None:
        await participant.finish("stopped")
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=self._door.send_timeout)

    async def _read(self, participant: Participant, after: int) -> None:
        try:
            async for entry in participant.session.follow(after):
                event = entry.event
                if isinstance(event, Transcript):
                    await self._sio.deliver(self._sid, "transcription_result", result_to_wire(entry.id, event))
                elif isinstance(event, Failed):
                    if event.participant_id == participant.id:
                        await self._sio.deliver(self._sid, "error", {**event.error, "event_id": entry.id})
                elif isinstance(event, Ended) and event.participant_id == participant.id:
                    self._over()
                    await self._sio.deliver(self._sid, "transcription_stopped", _stopped(entry.id, event))
                    return
        except TimeoutError:
            log.info("client does not read; cut off", sid=self._sid)
            self._sio.abort(self._sid)

    def _over(self) -> None:
        self._acks.flush()
        self._acks.close()
        self._participant = None
        self._stopping = None

    def _replaced(self) -> None:
        """Another connection took the stream over."""
        self._participant = None
        self._acks.close()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self._sio.emit_soon(self._sid, "closing", {"reason": "replaced", "reconnect": False})

    def _refuse(self, error: RateLimited | DurationLimit, data: Any) -> None:
        seq = data.get("seq") if isinstance(data, dict) else None
        participant = self._participant
        if participant is not None and seq is None:
            participant.dropped += 1
        # a stream that is as long as it may be will never take the chunk: nothing is awaited
        wanted = seq if isinstance(error, RateLimited) else None
        self._act(self._refusals.refuse(self._time(), wanted, error.retry_after or 0.0), error)

    def _remind(self) -> None:
        self._act(self._refusals.remind(self._time()), awaited(self._refusals.awaited))

    def _act(self, verdict: Verdict, error: AntiphonError) -> None:
        if verdict is Verdict.IGNORE:
            return
        # from here on the client knows which chunk is wanted
        self._acks.flush()
        self._sio.error_soon(self._sid, error)
        if verdict is Verdict.CLOSE:
            self._cut_off = True
            log.info("client goes on after errors; closed", sid=self._sid, code=error.code.value)
            reason = closing_after(error)
            self._sio.emit_soon(self._sid, "closing", {"reason": reason, "reconnect": False})
            task = asyncio.ensure_future(self._sio.hang_up(self._sid))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _safe_seq(self) -> int:
        return self._participant.next_seq - 1 if self._participant is not None else -1

    def _send_ack(self, seq: int) -> None:
        self._sio.emit_soon(self._sid, "audio_ack", {"seq": seq})


def _stopped(event_id: int, event: Ended) -> dict[str, Any]:
    status = "stopped" if event.reason in ("stopped", "left") else event.reason
    message = {
        "stopped": "Transcription stopped; everything that was said has been sent",
        "shutdown": "The server is shutting down; start again in a few seconds",
        "limit": "The stream was as long as one may be and was ended; start another",
        "lost": "The stream waited too long for its client and was ended",
    }.get(status, f"Transcription ended: {status}")
    return {
        "status": status,
        "message": message,
        "duration": event.duration,
        "dropped": event.dropped,
        "event_id": event_id,
        "participant_id": event.participant_id,
    }
