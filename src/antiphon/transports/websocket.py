"""The WebSocket door ``/audio-stream``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from antiphon.errors import (
    AntiphonError,
    BadMessage,
    Conflict,
    DurationLimit,
    Internal,
    NotFound,
    RateLimited,
    TooLarge,
    UnsupportedFormat,
)
from antiphon.events import Ended
from antiphon.formats import Encoding
from antiphon.protocol import audio_stream, rtp
from antiphon.protocol.audio_stream import BitrateChange, Control, Join, Leave, Mute, Ping, RoomWish, Stats
from antiphon.security.access import Access, bearer_token
from antiphon.sessions import Participant, SessionManager
from antiphon.sessions.advice import BitrateAdvice, Report
from antiphon.sessions.inflow import Inflow
from antiphon.sessions.rooms import RoomManager
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Acks, AckTimer, Refusals, Sender, Verdict, awaited, closing_after, too_large
from antiphon.transports.seat import Seat

log = get_logger("websocket")

JOIN_TIMEOUT = 10.0
"""Seconds a client may take to join after it connected."""
HEARTBEAT = 20.0
"""Seconds of silence after which a client is pinged; one that is silent for as long after that is gone."""
STATS_INTERVAL = 0.5
"""Seconds between two statistics of a client that are looked at; others are too many."""
CLOSE_TIMEOUT = 2.0
"""Seconds that a client may take to answer the close of its connection."""
MAX_OVERSIZE = 16
"""A message this many times the maximum is not even read: the connection is closed (close code 1009)."""


class AudioStreamDoor:
    """Serves ``/audio-stream``.

    Args:
        sessions: Where streams live.
        rooms: Where rooms live.
        access: Origins and keys.
        max_message_bytes: Messages over this are refused with ``too_large``.
        ack_interval: Seconds between two acknowledgements to one client, at least.
        send_timeout: Seconds that a client may leave a message untaken.
    """

    def __init__(
        self,
        sessions: SessionManager,
        rooms: RoomManager,
        access: Access,
        max_message_bytes: int,
        ack_interval: float,
        send_timeout: float,
    ) -> None:
        self.sessions = sessions
        self.rooms = rooms
        self.access = access
        self.max_message_bytes = max_message_bytes
        self.ack_timer = AckTimer(ack_interval)
        self.send_timeout = send_timeout
        self.reports_total = 0
        self._connections: set[_Connection] = set()
        self._heartbeat: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        return len(self._connections)

    def gauges(self) -> dict[str, float]:
        """What the clients say of their ways here, on average over those that are connected and say it."""
        reports = [connection.report for connection in self._connections if connection.report is not None]
        round_trips = [report.round_trip for report in reports if report.round_trip is not None]
        return {
            "client_reports_total": self.reports_total,
            "client_round_trip_seconds": sum(round_trips) / max(1, len(round_trips)),
            "client_loss_ratio": sum(report.loss for report in reports) / max(1, len(reports)),
        }

    def announce_shutdown(self) -> None:
        """Tell everybody that the server is about to end."""
        for connection in self._connections:
            connection.offer({"type": "closing", "reason": "shutdown", "reconnect": True})

    async def _beat(self) -> None:
        """One heartbeat for all, since audio itself shows for most of the time that a client is there."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            for connection in list(self._connections):
                connection.beat()

    async def close(self) -> None:
        """Close all connections."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        await asyncio.gather(*(connection.hang_up("shutdown") for connection in list(self._connections)))

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """The route's handler."""
        try:
            self.access.check_origin(request.headers)
        except AntiphonError as error:
            raise web.HTTPForbidden(text=error.message) from None
        websocket = web.WebSocketResponse(
            max_msg_size=self.max_message_bytes * MAX_OVERSIZE, compress=False, autoping=False, timeout=CLOSE_TIMEOUT
        )
        await websocket.prepare(request)
        connection = _Connection(self, request, websocket)
        self._connections.add(connection)
        if self._heartbeat is None:
            self._heartbeat = asyncio.create_task(self._beat(), name="audio-stream heartbeat")
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return websocket


class _Connection:
    """One WebSocket and the stream it holds, once it has joined."""

    def __init__(self, door: AudioStreamDoor, request: web.Request, websocket: web.WebSocketResponse) -> None:
        self._door = door
        self._request = request
        self._websocket = websocket
        self._sender: Sender[str | bytes] = Sender(self._send, self._abort, door.send_timeout)
        self._participant: Participant | None = None
        self._rtp = False
        self._seat: Seat | None = None
        self._reader: asyncio.Task[None] | None = None
        self._refusals = Refusals()
        self._oversize = Refusals(tell_interval=0.0, patience=2)
        self._acks = Acks(door.ack_timer, self._send_ack, self._safe_seq)
        self._time = door.sessions.clock.monotonic
        self.heard = True
        self.report: Report | None = None
        self._reported_at = float("-inf")
        self._advice: BitrateAdvice | None = None
        self._limits: dict[str, int] = {}
        self._pinged = False
        self._background: set[asyncio.Future[None]] = set()
        self._hang_up: str | None = None
        self._close_code = WSCloseCode.OK
        self._waits = False
        self._serving = asyncio.timeout(None)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Until the client or the server is done."""
        try:
            async with self._serving:
                await self._converse()
        except TimeoutError:
            # it was waiting for a message when it was to end
            if not self._serving.expired():
                raise
        except AntiphonError as error:
            self.error(error)
        except ConnectionError:
            log.debug("connection lost")
        finally:
            await self._close()
            self._over.set_result(None)

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(JOIN_TIMEOUT):
                joined = await self._join()
        except TimeoutError:
            self.error(BadMessage(f"no join came within {JOIN_TIMEOUT:.0f} s; send it first"))
            joined = False
        if joined:
            await self._receive()

    def beat(self) -> None:
        """Ping the client where nothing came from it since the last beat; cut it off where that was so twice."""
        if self.heard:
            self.heard = self._pinged = False
        elif self._pinged:
            log.info("client is gone")
            self._abort()
        else:
            self._pinged = True
            self._in_background(self._websocket.ping())

    def offer(self, message: dict[str, Any]) -> bool:
        """Send a message if the client keeps up; False where it does not."""
        return self._sender.offer(orjson.dumps(message).decode())

    def error(self, error: AntiphonError) -> None:
        """Tell the client of an error."""
        self.offer({"type": "error", **error.as_dict()})

    async def hang_up(self, reason: str) -> None:
        """End the connection from the server's side, once all it was told is sent."""
        self._end_soon(reason)
        await asyncio.wait([self._over], timeout=self._door.send_timeout + CLOSE_TIMEOUT)

    def _end_soon(self, reason: str) -> None:
        """Have the connection's own task end it: aiohttp does not wait for the client's own close while a message is
        being waited for, and what the client is still sending then has the system throw away what it was told.
        """
        self._hang_up = reason
        self._close_code = WSCloseCode.GOING_AWAY
        if self._waits:
            self._serving.reschedule(asyncio.get_running_loop().time())

    async def _join(self) -> bool:
        """Wait for a good ``join``; bad ones are answered and may be mended."""
        while self._hang_up is None:
            self._waits = True
            message = await self._websocket.receive()
            self._waits = False
            if message.type is WSMsgType.BINARY:
                self.error(Conflict("audio came before join; send join as the first message"))
            elif message.type is WSMsgType.TEXT:
                try:
                    if len(message.data) > self._door.max_message_bytes:
                        raise too_large(len(message.data), self._door.max_message_bytes)
                    control = audio_stream.parse_control(message.data)
                    if isinstance(control, Join):
                        await self._enter(control)
                        return True
                    if isinstance(control, Ping):
                        self._pong(control)
                    elif isinstance(control, Leave):
                        return False
                    else:
                        raise Conflict("send join as the first message")
                except AntiphonError as error:
                    self.error(error)
                    if isinstance(error, TooLarge) or self._strike(error):
                        return False
            elif not await self._keep_alive(message):
                return False
        return False

    async def _enter(self, join: Join) -> None:
        door = self._door
        door.access.check_key(join.token or bearer_token(self._request.headers))
        if join.resume is not None and join.session_id is not None:
            try:
                participant = door.sessions.resume(join.session_id, join.resume.token)
            except NotFound as error:
                raise NotFound(error.message, field="resume.token") from None
            after = join.resume.last_event_id or 0
        else:
            try:
                participant = await door.sessions.begin(
                    join.session_id, join.role, join.format, join.language, join.interim_results
                )
            except UnsupportedFormat as error:
                raise UnsupportedFormat(error.message, field="language") from None
            after = await door.sessions.store.last_id(participant.session.id)
        participant.attach(self._replaced)
        self._participant = participant
        self._rtp = join.rtp
        if join.rtp and participant.format.encoding is Encoding.OPUS:
            inflow = participant.inflow
            self._advice = BitrateAdvice(inflow.stats, inflow.clock_rate, self._time())
        if join.room is not None:
            await self._sit_down(participant, join, join.room)
        wire = audio_stream.format_to_wire
        self.offer(
            {
                "type": "joined",
                "sessionId": participant.session.id,
                "participantId": participant.id,
                "resumeToken": participant.resume_token,
                "nextSeq": self._next_seq(),
                "lastEventId": after,
                "format": wire(participant.format),
                "reply": wire(join.reply) if join.reply else None,
                **({"roomId": join.room.room_id} if join.room else {}),
            }
        )
        if self._seat is not None:
            self._seat.open()
        self._reader = asyncio.create_task(self._follow(participant, after), name=f"reader {participant.id}")

    async def _sit_down(self, participant: Participant, join: Join, wish: RoomWish) -> None:
        seat = Seat(self._door.rooms, participant, self._tell_of_room, self._sender.put)
        try:
            seat.take(join, wish)
        except AntiphonError:
            self._participant = None
            participant.detach(self._replaced)
            if join.resume is None:
                # the client will join again with something else
                await participant.finish("failed")
            raise
        self._seat = seat

    def _tell_of_room(self, message: dict[str, Any]) -> bool:
        if message["type"] != "bitrate-change":
            return self.offer(message)
        self._limit("room", message["bitrate"])
        return True

    def _stand_up(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()

    async def _receive(self) -> None:
        receive = self._websocket.receive
        limit = self._door.max_message_bytes
        audio = self._rtp_packet if self._rtp else self._plain_chunk
        binary = WSMsgType.BINARY
        while self._hang_up is None:
            self._waits = True
            message = await receive()
            self._waits = False
            data = message.data
            self.heard = True
            if message.type is binary:
                if len(data) > limit:
                    self._too_large(len(data))
                else:
                    audio(data)
            elif message.type is WSMsgType.TEXT:
                if len(data) > limit:
                    self._too_large(len(data))
                    continue
                try:
                    await self._control(audio_stream.parse_control(data))
                except AntiphonError as error:
                    self.error(error)
            elif not await self._keep_alive(message):
                return

    async def _keep_alive(self, message: WSMessage) -> bool:
        """Answer a ping; False where the message ends the connection."""
        if message.type is WSMsgType.PING:
            await self._websocket.pong(message.data)
        return message.type in (WSMsgType.PING, WSMsgType.PONG)

    def _plain_chunk(self, data: bytes) -> None:
        participant = self._participant
        try:
            if participant is None:
                raise Conflict("this stream has ended")
            if participant.ending:
                # the client was told why; what is on its way comes too late
                return
            participant.ingest(data, self._time())
            participant.next_seq += 1
        except (RateLimited, DurationLimit) as error:
            if participant is not None:
                participant.dropped += 1
            self._refuse(error, None)
        except AntiphonError as error:
            self.error(error)

    def _rtp_packet(self, data: bytes) -> None:
        participant = self._participant
        if participant is None:
            self.error(Conflict("this stream has ended"))
            return
        if participant.ending:
            # the client was told why; what is on its way comes too late
            return
        now = self._time()
        if self._refusals.awaited is None and participant.inflow.take_packet(data, now):
            self._acks.note()
        else:
            self._unusual_packet(participant.inflow, data, now)

    def _unusual_packet(self, inflow: Inflow, data: bytes, now: float) -> None:
        """A packet that is not simply the next one, or that may not come, or whose length only its payload tells."""
        intake = inflow.intake
        try:
            packet = rtp.parse_rtp(data)
            seq, payload = packet.sequence_number, packet.payload
            wanted = self._refusals.awaited
            if wanted is not None and seq != wanted & 0xFFFF and not self._refusals.passes(wanted + 1, now):
                self._act(self._refusals.remind(now), awaited(wanted))
            else:
                samples = inflow.duration(payload)
                if not intake.knows(seq):
                    inflow.admit(samples, now)
                    self._refusals.accept(now)
                inflow.push_packet(seq, packet.timestamp, payload, samples, now)
            self._acks.note()
        except (RateLimited, DurationLimit) as error:
            # whatever was refused, the stream goes on from the packet wanted next
            self._refuse(error, intake.next_seq if intake.begun else seq)
        except AntiphonError as error:
            self.error(error)

    async def _control(self, control: Control) -> None:
        participant = self._participant
        if isinstance(control, Ping):
            self._pong(control)
        elif isinstance(control, Leave):
            if participant is None:
                raise Conflict("this stream has ended")
            await self._leave(participant)
        elif isinstance(control, Join):
            raise Conflict("this connection has joined already; send leave, or open another connection")
        elif isinstance(control, Mute):
            if participant is not None:
                participant.inflow.muted = control.muted
                if self._seat is not None:
                    self._seat.mute(control.muted)
        elif isinstance(control, BitrateChange):
            if self._seat is not None:
                self._seat.set_bitrate(control.bitrate)
            log.debug("bitrate changed by client", bitrate=control.bitrate)
        elif participant is not None:
            self._take_stats(control, participant)

    def _take_stats(self, control: Stats, participant: Participant) -> None:
        """The client has measured its way here: it is told what was counted on this side."""
        now = self._time()
        if now - self._reported_at < STATS_INTERVAL:
            return
        self._reported_at = now
        self.report = Report.of(control.values)
        self._door.reports_total += 1
        stats, clock_rate = participant.inflow.stats, participant.inflow.clock_rate
        received = stats.received if self._rtp else participant.next_seq
        self.offer(
            {
                "type": "stats",
                "received": received,
                "lost": stats.lost,
                "duplicates": stats.duplicates,
                "reordered": stats.reordered,
                "jitter": round(1000 * stats.jitter / clock_rate, 1),
                "dropped": 0 if self._seat is None else self._seat.dropped,
            }
        )
        if self._advice is not None:
            self._advice.report(self.report, now)
            self._advise(self._advice)

    def _advise(self, advice: BitrateAdvice) -> None:
        """Tell the client what to send with, where that is another bitrate than before."""
        if self._participant is not None:
            bitrate = advice.look(self._participant.inflow.stats, self._time())
            if bitrate is not None:
                self._limit("way", bitrate)

    def _limit(self, whose: str, bitrate: int) -> None:
        """Tell the client what to send with: what its way here takes, or its listeners', whichever is less."""
        before = min(self._limits.values(), default=None)
        self._limits[whose] = bitrate
        least = min(self._limits.values())
        if least != before and self._participant is not None and self._participant.format.encoding is Encoding.OPUS:
            self.offer({"type": "bitrate-change", "bitrate": least})

    async def _leave(self, participant: Participant) -> None:
        self._hang_up = "left"
        await participant.finish("left")
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=self._door.send_timeout)

    async def _follow(self, participant: Participant, after: int) -> None:
        """Tell the client what the log says, from `after` on, until its own stream has ended."""
        async for entry in participant.session.follow(after):
            message = audio_stream.entry_to_wire(entry, participant.id)
            if message is None:
                continue
            mine = isinstance(entry.event, Ended) and entry.event.participant_id == participant.id
            if mine:
                if self._rtp:
                    self._acks.flush()
                self._participant = None
            await self._sender.put(orjson.dumps(message).decode())
            if mine:
                if self._hang_up is None:
                    self._end_soon("ended")
                return

    async def _close(self) -> None:
        self._waits = False
        self._acks.close()
        self._stand_up()
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if self._participant is not None:
            self._participant.detach(self._replaced)
        if not self._websocket.closed:
            await self._sender.drain()
        await self._sender.close()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._websocket.close(code=self._close_code, message=(self._hang_up or "").encode())

    def _replaced(self) -> None:
        """Another connection took the stream over."""
        self._participant = None
        self._stand_up()
        if self._reader is not None:
            self._reader.cancel()
        self.offer({"type": "closing", "reason": "replaced", "reconnect": False})
        self._end_soon("replaced")

    def _refuse(self, error: RateLimited | DurationLimit, seq: int | None) -> None:
        # a stream that is as long as it may be will never take the packet: nothing is awaited
        wanted = seq if isinstance(error, RateLimited) else None
        self._act(self._refusals.refuse(self._time(), wanted, error.retry_after or 0.0), error)

    def _act(self, verdict: Verdict, error: AntiphonError) -> None:
        if verdict is Verdict.IGNORE:
            return
        if self._rtp:
            # from here on the client knows which packet is wanted
            self._acks.flush()
        self.error(error)
        if verdict is Verdict.CLOSE:
            self._cut_off(error)

    def _too_large(self, size: int) -> None:
        error = too_large(size, self._door.max_message_bytes)
        self.error(error)
        if self._oversize.refuse(self._time()) is Verdict.CLOSE:
            self._cut_off(error)

    def _strike(self, error: AntiphonError) -> bool:
        """Count errors before joining; too many end it."""
        return self._oversize.refuse(self._time()) is Verdict.CLOSE or isinstance(error, Internal)

    def _cut_off(self, error: AntiphonError) -> None:
        log.info("client goes on after errors; closed", code=error.code.value)
        self._hang_up = error.code.value
        self.offer({"type": "closing", "reason": closing_after(error), "reconnect": False})

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        # a connection that breaks meanwhile is noticed by its reader
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _pong(self, ping: Ping) -> None:
        self.offer({"type": "pong", "t": ping.t, "serverTime": self._door.sessions.clock.time()})

    def _next_seq(self) -> int:
        participant = self._participant
        if participant is None:
            return 0
        return participant.inflow.intake.next_seq if self._rtp else participant.next_seq

    def _safe_seq(self) -> int:
        return self._next_seq() - 1

    def _send_ack(self, seq: int) -> None:
        self._sender.offer(f'{{"type":"ack","seq":{seq}}}')
        if self._advice is not None:
            self._advise(self._advice)

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._websocket.send_str(message)
        else:
            await self._websocket.send_bytes(message)

    def _abort(self) -> None:
        """The client does not read."""
        log.info("client does not read; cut off")
        if self._request.transport is not None:
            self._request.transport.abort()
