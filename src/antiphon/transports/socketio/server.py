"""python-socketio's server with a shorter way for audio.

The protocol stays the library's. What is ours is the loop that reads a WebSocket: one task for a connection instead of
one for each message, messages handled in order, sizes checked, a bounded queue towards the client, and events that
carry audio decoded and delivered without leaving the loop. A message then costs a third (``bench/ingest.py``).
"""

from __future__ import annotations

import asyncio
import json
import logging
from binascii import a2b_base64
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import engineio.packet
import orjson
import socketio
from aiohttp import StreamReader, WSMsgType, web

from antiphon.errors import AntiphonError, BadMessage
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Refusals, Verdict, closing_after, too_large

log = get_logger("socketio")

UPGRADE_TIMEOUT = 10.0
CONNECT_TIMEOUT = 10.0
"""Seconds a client may take to connect to the namespace after its transport has opened."""
BODY_TIMEOUT = 30.0
"""Seconds the body of a polling client's request may stand still."""
QUEUE_PACKETS = 256
"""Packets that may wait for a slow client. Whoever wants to send more waits, and gives the client up after a while."""
MAX_OVERSIZE = 16
"""A message this many times the maximum is not even read: the connection is closed (WebSocket close code 1009)."""
MAX_POLLED_PACKETS = 4096
"""Packets in one request of a polling client."""
MAX_ATTACHMENTS = 8
"""Binary parts of one event; each waits in memory until the last has come."""


_USUAL_END = '"}]'
"""How the text of an event ends that has one field; no parser is needed for it."""


class _Json:
    """orjson with the signatures that python-socketio calls."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            # the library quotes headers, whose bytes need not be UTF-8
            return json.dumps(value)

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return orjson.loads(text)


class _PacketQueue(asyncio.Queue[Any]):
    """What waits for a client. The library's own few packets always find room; events ask for it first."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._room = asyncio.Event()

    def _get(self) -> Any:
        self._room.set()
        return super()._get()

    async def room(self, most: int) -> None:
        """Wait until fewer than `most` packets wait."""
        while self.qsize() >= most:
            self._room.clear()
            await self._room.wait()


class SocketIOServer(socketio.AsyncServer):  # type: ignore[misc]
    """A Socket.IO server for aiohttp.

    Args:
        max_message_bytes: Messages over this are refused with ``too_large``.
        send_timeout: Seconds that a client may leave a packet untaken.
        options: Those of :class:`socketio.AsyncServer`.
    """

    def __init__(self, *, max_message_bytes: int, send_timeout: float, **options: Any) -> None:
        super().__init__(
            async_mode="aiohttp",
            # one client's events are handled in the order they were sent
            async_handlers=False,
            json=_Json,
            # given none, the libraries write to standard error themselves
            logger=logging.getLogger("socketio.server"),
            engineio_logger=logging.getLogger("engineio.server"),
            max_http_buffer_size=max_message_bytes,
            http_compression=False,
            **options,
        )
        self.max_message_bytes = max_message_bytes
        self.send_timeout = send_timeout
        self._audio: dict[str, Callable[[str, Any], None]] = {}
        self._audio_prefixes: tuple[str, ...] = ()
        self._usual: list[tuple[str, Callable[[str, Any], None]]] = []
        self._work: set[asyncio.Future[None]] = set()
        self._gone: list[Callable[[str, str], Awaitable[None]]] = []
        self._missed: list[Callable[[str], None]] = []
        self.on("disconnect", self._disconnected)
        self.on("*", self._unknown)
        self.eio._async = {**self.eio._async, "websocket": self._websocket}
        self.eio.create_queue = _PacketQueue

    def on_audio(self, event: str, handler: Callable[[str, Any], None], field: str) -> None:
        """Deliver `event` on the default namespace the short way: ``handler(sid, data)``, which does not wait.

        Where `data` is an object with nothing but text in `field`, the handler gets that text itself.
        """
        self._audio[event] = handler
        self._audio_prefixes = (*self._audio_prefixes, f'42["{event}",')
        self._usual.append((f'42["{event}",{{"{field}":"', handler))

        async def long_way(sid: str, data: Any = None) -> None:
            handler(sid, data)

        self.on(event, long_way)

    def on_disconnect(self, handler: Callable[[str, str], Awaitable[None]]) -> None:
        """Call ``handler(sid, reason)`` when a client is gone, besides those that were given before."""
        self._gone.append(handler)

    def on_oversized(self, handler: Callable[[str], None]) -> None:
        """Call ``handler(sid)`` when something of a client was not read, for its size."""
        self._missed.append(handler)

    async def _disconnected(self, sid: str, reason: str) -> None:
        for handler in self._gone:
            await handler(sid, reason)

    async def _unknown(self, event: str, sid: str, *_: Any) -> None:
        known = sorted(name for name in self.handlers["/"] if name not in ("connect", "disconnect", "*"))
        self.error_soon(
            sid,
            BadMessage(f"event {event[:40]!r} is not known here; known are {', '.join(known[:-1])} and {known[-1]}"),
        )

    def emit_soon(self, sid: str, event: str, data: Any) -> bool:
        """Queue an event without waiting; False where the client is gone or its queue is full."""
        return self.put_soon(sid, self.pack_text(event, data), QUEUE_PACKETS)

    @staticmethod
    def pack_text(event: str, data: Any) -> list[str | bytes]:
        """An event, to be put into any number of queues."""
        return ["2" + orjson.dumps([event, data]).decode()]

    @staticmethod
    def pack(event: str, binary: bytes, about: Any) -> list[str | bytes]:
        """An event with binary data and one more argument, to be put into any number of queues."""
        text = f'51-[{orjson.dumps(event).decode()},{{"_placeholder":true,"num":0}},{orjson.dumps(about).decode()}]'
        return [text, binary]

    def put_soon(self, sid: str, packed: list[str | bytes], most: int) -> bool:
        """Queue a packed event; False where the client is gone or `most` packets wait for it."""
        connection = self._connection(sid)
        if connection is None or connection.queue.qsize() >= most:
            return False
        for part in packed:
            # one for each client, for it remembers how it was encoded, which depends on the transport
            connection.queue.put_nowait(engineio.packet.Packet(engineio.packet.MESSAGE, part))
        return True

    async def room(self, sid: str, most: int = QUEUE_PACKETS) -> bool:
        """Wait until fewer than `most` packets wait for a client; False where it is gone."""
        connection = self._connection(sid)
        if connection is None:
            return False
        await connection.queue.room(most)
        return True

    async def deliver(self, sid: str, event: str, data: Any) -> None:
        """Queue an event, waiting where the client is slow; nothing where it is gone.

        Raises:
            TimeoutError: It took nothing in time.
        """
        if not self.emit_soon(sid, event, data):
            async with asyncio.timeout(self.send_timeout):
                await self.room(sid)
            self.emit_soon(sid, event, data)

    def _connection(self, sid: str) -> Any:
        """The Engine.IO connection of a client; None where it is gone."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        connection = self.eio.sockets.get(eio_sid) if eio_sid else None
        return None if connection is None or connection.closed else connection

    def error_soon(self, sid: str, error: AntiphonError) -> None:
        """Queue an ``error`` event."""
        self.emit_soon(sid, "error", error.as_dict())

    async def hang_up(self, sid: str, timeout: float | None = None) -> None:
        """Send what waits for a client, within `timeout` seconds, then end its connection."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        try:
            async with asyncio.timeout(timeout or self.send_timeout):
                # a client that is told both at once may drop what came before the end
                if (connection := self.eio.sockets.get(eio_sid)) is not None:
                    await connection.queue.join()
                await self.disconnect(sid)
                # without an id this would end every connection
                if eio_sid is not None:
                    await self.eio.disconnect(eio_sid)
        except TimeoutError:
            self._abort(eio_sid)

    def hang_up_soon(self, sid: str) -> None:
        """As :meth:`hang_up`, without waiting for it."""
        self._later(self.hang_up(sid))

    async def hang_up_all(self, timeout: float) -> None:
        """End all connections."""
        sids = [self.manager.sid_from_eio_sid(eio_sid, "/") for eio_sid in self.eio.sockets]
        await asyncio.gather(*(self.hang_up(sid, timeout) for sid in sids if sid is not None))
        for eio_sid in list(self.eio.sockets):
            self._abort(eio_sid)

    def abort(self, sid: str) -> None:
        """Cut a client off at once, without a word."""
        self._abort(self.manager.eio_sid_from_sid(sid, "/"))

    def _abort(self, eio_sid: str | None) -> None:
        request = self.environ.get(eio_sid, {}).get("aiohttp.request")
        if request is not None and request.transport is not None:
            request.transport.abort()
        connection = self.eio.sockets.get(eio_sid)
        if connection is not None:
            self._later(self._close(connection, self.reason.TRANSPORT_CLOSE))

    @staticmethod
    async def _close(connection: Any, reason: str) -> None:
        await connection.close(wait=False, abort=True, reason=reason)
        # a poll that is under way ends with it
        connection.queue.put_nowait(engineio.packet.Packet(engineio.packet.NOOP))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        connection = self.eio.sockets[eio_sid]
        connection.handle_post_request = _Polling(self, connection).receive
        asyncio.get_running_loop().call_later(CONNECT_TIMEOUT, self._must_have_connected, eio_sid)

    def _must_have_connected(self, eio_sid: str) -> None:
        if eio_sid in self.eio.sockets and self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            log.debug("client did not connect in time")
            self._abort(eio_sid)

    async def take(self, connection: Any, data: str | bytes) -> None:
        """Handle one Engine.IO packet, not over the maximum."""
        if isinstance(data, bytes):
            await self._handle_eio_message(connection.sid, data)
        elif data[:1] != "4":
            await self._control(connection, data)
        elif not self._short_way(connection.sid, data):
            await self._handle_eio_message(connection.sid, data[1:])

    async def oversized(self, connection: Any, size: int, refusals: Refusals) -> None:
        """Refuse a packet that is too large, and show a client out that goes on with them."""
        sid = self.manager.sid_from_eio_sid(connection.sid, "/")
        if sid is None:
            self._abort(connection.sid)
            return
        self._binary_packet.pop(connection.sid, None)
        error = too_large(size, self.max_message_bytes)
        self.error_soon(sid, error)
        for handler in self._missed:
            handler(sid)
        if refusals.refuse(asyncio.get_running_loop().time()) is Verdict.CLOSE:
            log.info("client goes on after errors; closed", sid=sid, code=error.code.value)
            self.emit_soon(sid, "closing", {"reason": closing_after(error), "reconnect": False})
            self._later(self.hang_up(sid))

    def bad_packet(self, connection: Any, message: str) -> None:
        """Tell a client of a packet that is none."""
        sid = self.manager.sid_from_eio_sid(connection.sid, "/")
        if sid is not None:
            self.error_soon(sid, BadMessage(message))

    async def _control(self, connection: Any, data: str) -> None:
        kind = data[:1]
        if kind == "1":
            await self._close(connection, self.reason.CLIENT_DISCONNECT)
        elif kind == "3":
            connection.schedule_ping()
        else:
            self.bad_packet(connection, "this is not an Engine.IO packet (protocol revision 4)")

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            if isinstance(data, str) and self._binary_packet.pop(eio_sid, None) is not None:
                self.error_soon(
                    self.manager.sid_from_eio_sid(eio_sid, "/"),
                    BadMessage("a binary part was announced and did not come; that event was dropped"),
                )
            await super()._handle_eio_message(eio_sid, data)
            begun = self._binary_packet.get(eio_sid)
            if begun is not None and not 1 <= begun.attachment_count <= MAX_ATTACHMENTS:
                raise ValueError("no binary part, or too many")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as fault:
            # the library's parser raises any of these on a packet that is none
            self._binary_packet.pop(eio_sid, None)
            sid = self.manager.sid_from_eio_sid(eio_sid, "/")
            if sid is None:
                self._abort(eio_sid)
                return
            log.debug("bad packet", sid=sid, fault=type(fault).__name__)
            self.error_soon(sid, BadMessage("this is not a Socket.IO packet (protocol revision 5)"))

    def _websocket(self, handler: Any, _: Any) -> Callable[[dict[str, Any]], Any]:
        """What engineio makes for each WebSocket; its own handler stands aside."""
        return _WebSocket(self, handler.__self__).serve

    def _short_way(self, eio_sid: str, data: str) -> bool:
        """Deliver an audio event; False where `data` is something else."""
        if not data.startswith(self._audio_prefixes):
            return False
        sid = self.manager.sid_from_eio_sid(eio_sid, "/")
        if sid is None:
            return False
        for usual, handler in self._usual:
            if data.startswith(usual) and data.endswith(_USUAL_END):
                text = data[len(usual) : -len(_USUAL_END)]
                if '"' not in text and "\\" not in text:
                    handler(sid, text)
                    return True
        try:
            event, *arguments = orjson.loads(data[2:])
            audio = arguments[0]
        except (ValueError, IndexError):
            self.error_soon(sid, BadMessage("this event is not JSON; send [name, data]"))
            return True
        self._audio[event](sid, audio)
        return True


class _WebSocket:
    """One WebSocket of Engine.IO: the upgrade, the writer and the reading loop."""

    def __init__(self, server: SocketIOServer, connection: Any) -> None:
        self._server = server
        self._connection = connection
        self._refusals = Refusals(tell_interval=0.0, patience=2)

    async def serve(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        connection = self._connection
        if connection.upgraded:
            raise web.HTTPBadRequest(text="this session has been upgraded already")
        websocket = web.WebSocketResponse(
            max_msg_size=self._server.max_message_bytes * MAX_OVERSIZE, compress=False, timeout=1.0
        )
        await websocket.prepare(environ["aiohttp.request"])
        # polling ends here, and with it the library's own writer
        connection.environ = environ
        self._server.environ.setdefault(connection.sid, environ)["aiohttp.request"] = environ["aiohttp.request"]
        if connection.connected:
            connection.upgrading = True
            try:
                async with asyncio.timeout(UPGRADE_TIMEOUT):
                    upgraded = await self._upgrade(websocket)
            except TimeoutError:
                upgraded = False
            connection.upgrading = False
            if not upgraded:
                await websocket.close()
                return websocket
        connection.connected = connection.upgraded = True
        writer = asyncio.create_task(self._write(websocket), name=f"socket.io writer {connection.sid}")
        try:
            await self._read(websocket)
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            await connection.close(wait=False, abort=True, reason=self._server.reason.TRANSPORT_CLOSE)
            await websocket.close()
        return websocket

    async def _upgrade(self, websocket: web.WebSocketResponse) -> bool:
        probe = await websocket.receive()
        if probe.type is not WSMsgType.TEXT or probe.data != "2probe":
            return False
        await websocket.send_str("3probe")
        # ends the poll that is under way
        await self._connection.queue.put(engineio.packet.Packet(engineio.packet.NOOP))
        done = await websocket.receive()
        return done.type is WSMsgType.TEXT and done.data == "5"

    async def _write(self, websocket: web.WebSocketResponse) -> None:
        queue = self._connection.queue
        timeout = self._server.send_timeout
        loop = asyncio.get_running_loop()
        try:
            while (packet := await queue.get()) is not None:
                data = packet.encode()
                # the context manager of a timeout costs more than a send; cutting the client off ends the send
                deadline = loop.call_later(timeout, self._cut_off)
                try:
                    if isinstance(data, bytes):
                        await websocket.send_bytes(data)
                    else:
                        await websocket.send_str(data)
                finally:
                    deadline.cancel()
                queue.task_done()
                if packet.packet_type == engineio.packet.CLOSE:
                    break
        except (ConnectionError, RuntimeError):
            return
        await websocket.close()

    def _cut_off(self) -> None:
        log.info("client does not read; cut off", sid=self._connection.sid)
        self._server._abort(self._connection.sid)

    async def _read(self, websocket: web.WebSocketResponse) -> None:
        server, connection = self._server, self._connection
        limit = server.max_message_bytes
        receive, take = websocket.receive, server.take
        while not connection.closed:
            message = await receive()
            data = message.data
            if message.type is not WSMsgType.TEXT and message.type is not WSMsgType.BINARY:
                return
            if len(data) <= limit:
                await take(connection, data)
            else:
                await server.oversized(connection, len(data), self._refusals)


class _Polling:
    """What a polling client sends. Its requests are handled one after the other."""

    def __init__(self, server: SocketIOServer, connection: Any) -> None:
        self._server = server
        self._connection = connection
        self._turn = asyncio.Lock()
        self._refusals = Refusals(tell_interval=0.0, patience=2)

    async def receive(self, environ: dict[str, Any]) -> None:
        """Take one request: packets between record separators, binary ones in base64."""
        server, connection = self._server, self._connection
        limit = server.max_message_bytes
        request: web.Request = environ["aiohttp.request"]
        async with self._turn:
            size = request.content_length or 0
            body = await self._body(request.content, limit) if size <= limit else None
            if body is None:
                await server.oversized(connection, max(size, limit + 1), self._refusals)
                return
            try:
                packets = body.decode().split("\x1e", MAX_POLLED_PACKETS)
                if len(packets) > MAX_POLLED_PACKETS:
                    raise ValueError
                taken = [
                    a2b_base64(packet[1:], strict_mode=True) if packet[:1] == "b" else packet for packet in packets
                ]
            except ValueError:
                server.bad_packet(connection, "this is not an Engine.IO payload (protocol revision 4)")
                return
            for packet in taken:
                if connection.closed:
                    return
                await server.take(connection, packet)

    @staticmethod
    async def _body(content: StreamReader, limit: int) -> bytes | None:
        """All of it; None where it is over the limit."""
        body = bytearray()
        try:
            while not content.at_eof():
                async with asyncio.timeout(BODY_TIMEOUT):
                    body += await content.readany()
                if len(body) > limit:
                    return None
        except TimeoutError:
            return b""
        return bytes(body)
