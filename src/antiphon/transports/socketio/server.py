"""python-socketio's server with a shorter way for audio.

The protocol stays the library's. What is ours is the loop that reads a WebSocket: one task for a connection instead of
one for each message, messages handled in order, sizes checked, a bounded queue towards the client, and events that
carry audio decoded and delivered without leaving the loop. A message then costs a third (``bench/ingest.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import engineio.packet
import orjson
import socketio
from aiohttp import StreamReader, WSMsgType, web
from engineio.async_drivers.aiohttp import translate_request

from antiphon.errors import AntiphonError, BadMessage, TooLarge
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Refusals, Verdict, too_large

log = get_logger("socketio")

UPGRADE_TIMEOUT = 10.0
QUEUE_PACKETS = 256
"""Packets that may wait for a slow client. Whoever wants to send more waits, and gives the client up after a while."""
BODY_TIMEOUT = 30.0
"""Seconds that the body of a polling request may take."""
MAX_OVERSIZE = 16
"""A message this many times the maximum is not even read: the connection is closed (WebSocket close code 1009)."""


class _Json:
    """orjson with the signatures that python-socketio calls."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()

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

    @property
    def crowded(self) -> bool:
        return self.qsize() >= QUEUE_PACKETS

    async def room(self) -> None:
        """Wait until an event may be put."""
        while self.crowded:
            self._room.clear()
            await self._room.wait()


class _Body:
    """The body of a polling request, for a library that asks for all of it in one read."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    async def read(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await self._content.readexactly(size)
        except asyncio.IncompleteReadError as cut:
            return cut.partial


def _translate_request(request: web.Request) -> dict[str, Any]:
    environ: dict[str, Any] = translate_request(request)
    environ["wsgi.input"] = _Body(request.content)
    return environ


class SocketIOServer(socketio.AsyncServer):  # type: ignore[misc]
    """A Socket.IO server for aiohttp.

    Args:
        max_message_bytes: Messages over this are refused with ``too_large``.
        options: Those of :class:`socketio.AsyncServer`.
    """

    def __init__(self, *, max_message_bytes: int, **options: Any) -> None:
        super().__init__(
            async_mode="aiohttp",
            # one client's events are handled in the order they were sent
            async_handlers=False,
            json=_Json,
            max_http_buffer_size=max_message_bytes,
            http_compression=False,
            **options,
        )
        self.max_message_bytes = max_message_bytes
        self._audio: dict[str, Callable[[str, Any], None]] = {}
        self._audio_prefixes: tuple[str, ...] = ()
        self.eio._async = {
            **self.eio._async,
            "websocket": self._websocket,
            "translate_request": _translate_request,
        }
        self.eio.create_queue = _PacketQueue

    def on_audio(self, event: str, handler: Callable[[str, Any], None]) -> None:
        """Deliver `event` on the default namespace the short way: ``handler(sid, data)``, which does not wait."""
        self._audio[event] = handler
        self._audio_prefixes = (*self._audio_prefixes, f'42["{event}",')

        async def long_way(sid: str, data: Any = None) -> None:
            handler(sid, data)

        self.on(event, long_way)

    def emit_soon(self, sid: str, event: str, data: Any) -> bool:
        """Queue an event without waiting; False where the client is gone or its queue is full."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        connection = self.eio.sockets.get(eio_sid) if eio_sid else None
        if connection is None or connection.closed or connection.queue.crowded:
            return False
        text = "2" + orjson.dumps([event, data]).decode()
        connection.queue.put_nowait(engineio.packet.Packet(engineio.packet.MESSAGE, text))
        return True

    async def room(self, sid: str) -> None:
        """Wait until the client's queue has room for an event."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        connection = self.eio.sockets.get(eio_sid) if eio_sid else None
        if connection is not None:
            await connection.queue.room()

    def error_soon(self, sid: str, error: AntiphonError) -> None:
        """Queue an ``error`` event."""
        self.emit_soon(sid, "error", error.as_dict())

    def abort(self, sid: str) -> None:
        """Cut a client off at once, without a word."""
        environ = self.environ.get(self.manager.eio_sid_from_sid(sid, "/"))
        request = environ and environ.get("aiohttp.request")
        if request is not None and request.transport is not None:
            request.transport.abort()

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as fault:
            # the library's parser raises any of these on a packet that is none
            self._binary_packet.pop(eio_sid, None)
            sid = self.manager.sid_from_eio_sid(eio_sid, "/")
            if sid is None:
                raise
            log.debug("bad packet", sid=sid, fault=type(fault).__name__)
            self.error_soon(sid, BadMessage("this is not a Socket.IO packet (protocol revision 5)"))

    def _websocket(self, handler: Any, _: Any) -> Callable[[dict[str, Any]], Any]:
        """What engineio makes for each WebSocket; its own handler stands aside."""
        return _WebSocket(self, handler.__self__).serve

    def short_way(self, eio_sid: str, data: str) -> bool:
        """Deliver an audio event; False where `data` is something else."""
        if not data.startswith(self._audio_prefixes):
            return False
        sid = self.manager.sid_from_eio_sid(eio_sid, "/")
        if sid is None:
            return False
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
        with contextlib.suppress(ConnectionError, RuntimeError):
            while (packet := await queue.get()) is not None:
                data = packet.encode()
                if isinstance(data, bytes):
                    await websocket.send_bytes(data)
                else:
                    await websocket.send_str(data)
                queue.task_done()
                if packet.packet_type == engineio.packet.CLOSE:
                    break
        await websocket.close()

    async def _read(self, websocket: web.WebSocketResponse) -> None:
        server, connection = self._server, self._connection
        sid = connection.sid
        limit = server.max_message_bytes
        receive = websocket.receive
        while not connection.closed:
            message = await receive()
            data = message.data
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                if len(data) > limit:
                    if self._oversized(sid, len(data)):
                        return
                elif message.type is WSMsgType.BINARY:
                    await server._handle_eio_message(sid, data)
                elif data[:1] != "4":
                    await self._control(data)
                elif not server.short_way(sid, data):
                    await server._handle_eio_message(sid, data[1:])
            else:
                return

    async def _control(self, data: str) -> None:
        try:
            packet = engineio.packet.Packet(encoded_packet=data)
            await self._connection.receive(packet)
        except (ValueError, engineio.exceptions.UnknownPacketError):
            sid = self._server.manager.sid_from_eio_sid(self._connection.sid, "/")
            if sid is not None:
                self._server.error_soon(sid, BadMessage("this is not an Engine.IO packet (protocol revision 4)"))

    def _oversized(self, eio_sid: str, size: int) -> bool:
        error: TooLarge = too_large(size, self._server.max_message_bytes)
        sid = self._server.manager.sid_from_eio_sid(eio_sid, "/")
        if sid is None:
            return True
        self._server._binary_packet.pop(eio_sid, None)
        self._server.error_soon(sid, error)
        return self._refusals.refuse(asyncio.get_running_loop().time()) is Verdict.CLOSE
