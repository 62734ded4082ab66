"""A connection to the Socket.IO transcription door."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from typing import Any

import aiohttp
import socketio
from yarl import URL

from antiphon.client.buffer import Chunk
from antiphon.client.errors import ProtocolFault
from antiphon.client.link import Ack, Closing, Hello, Joined, Link, LinkLost, Message, Refused
from antiphon.client.websocket import HEARTBEAT, refused_handshake
from antiphon.client.wire import entry_from_wire
from antiphon.clock import Clock
from antiphon.errors import AntiphonError, error_from_dict

CLOSE_TIMEOUT = 1.0
MAX_PENDING = 1_000
"""Messages that may come between two looks at them."""
EVENTS = (
    "transcription_started",
    "transcription_result",
    "transcription_stopped",
    "audio_ack",
    "error",
    "closing",
    "connect_error",
    "disconnect",
)


class SocketIOLink(Link):
    """One Socket.IO connection, over a WebSocket from the start.

    Args:
        server: The server's base address.
        clock: Time.
        connect_timeout: Seconds that Socket.IO's own handshake may take.
    """

    def __init__(self, server: URL, clock: Clock, connect_timeout: float) -> None:
        self._server = server
        self._clock = clock
        self._connect_timeout = connect_timeout
        self._incoming: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(MAX_PENDING)
        self._overrun = False
        self._session: aiohttp.ClientSession | None = None
        self._sio: Any = None

    async def open(self, hello: Hello) -> Joined:
        # closing this session is what ends a connection that does not answer any more
        self._session = aiohttp.ClientSession()
        self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=self._session,
            request_timeout=CLOSE_TIMEOUT,
            websocket_extra_options={"heartbeat": HEARTBEAT},
        )
        for event in EVENTS:
            self._sio.on(event, self._taker(event))
        await self._connect(hello)
        await self._emit("start_transcription", _start(hello))
        while True:
            event, data = await self._take()
            if event == "error":
                raise error_from_dict(data)
            if event == "transcription_started":
                return _joined(data)

    async def send(self, chunk: Chunk) -> None:
        await self._emit("audio_chunk", {"chunk": b64encode(chunk.pcm).decode("ascii"), "seq": chunk.seq})

    async def send_finish(self) -> None:
        await self._emit("stop_transcription")

    async def receive(self) -> Message:
        while True:
            event, data = await self._take()
            if event == "audio_ack" and type(data.get("seq")) is int:
                return Ack(data["seq"])
            if event == "closing":
                return Closing(str(data.get("reason")), data.get("reconnect") is True)
            if event == "error" and "event_id" not in data:
                return Refused(error_from_dict(data))
            if (entry := entry_from_wire(event, data, self._clock.time())) is not None:
                return entry

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._sio.eio.disconnect(abort=True)
        await session.close()
        # the library's tasks end when their connection has
        tasks = [task for task in (self._sio.eio.read_loop_task, self._sio.eio.write_loop_task) if task is not None]
        if tasks:
            _, running = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
            for task in running:
                task.cancel()

    def _taker(self, event: str) -> Any:
        def take(data: Any = None, *_: Any) -> None:
            try:
                self._incoming.put_nowait((event, data))
            except asyncio.QueueFull:
                self._overrun = True

        return take

    async def _connect(self, hello: Hello) -> None:
        url = self._server
        path = url.joinpath("socket.io").path.strip("/")
        try:
            await self._sio.connect(
                str(url.origin()),
                auth={"token": hello.api_key} if hello.api_key is not None else None,
                transports=["websocket"],
                socketio_path=path,
                wait_timeout=self._connect_timeout,
            )
        except socketio.exceptions.ConnectionError as fault:
            raise self._refusal() or _cause(fault, str(url)) from fault

    def _refusal(self) -> AntiphonError | None:
        """What the server said when it did not let this client in."""
        while not self._incoming.empty():
            event, data = self._incoming.get_nowait()
            if event == "connect_error" and isinstance(data, dict):
                wire = data.get("data", data)
                if isinstance(wire, dict) and "code" in wire:
                    return error_from_dict(wire)
        return None

    async def _take(self) -> tuple[str, dict[str, Any]]:
        if self._overrun:
            raise LinkLost("more came at once than this client holds")
        event, data = await self._incoming.get()
        if event in ("disconnect", "connect_error"):
            raise LinkLost(f"the connection was closed{f': {data}' if data else ''}")
        if not isinstance(data, dict):
            raise ProtocolFault(f"the server sent {event!r} without an object; is it an Antiphon server?")
        return event, data

    async def _emit(self, event: str, data: Any = None) -> None:
        try:
            await self._sio.emit(event, data)
        except socketio.exceptions.SocketIOError as fault:
            raise LinkLost("the connection was closed") from fault


def _cause(fault: BaseException, url: str) -> Exception:
    """What kept the library from connecting, which it tells in the chain of its errors."""
    at: BaseException | None = fault
    while at is not None:
        if isinstance(at, aiohttp.WSServerHandshakeError):
            return refused_handshake(at.status, url)
        if isinstance(at, OSError) and not isinstance(at, socketio.exceptions.SocketIOError):
            return LinkLost(str(at))
        at = at.__cause__ or at.__context__
    return LinkLost(str(fault))


def _start(hello: Hello) -> dict[str, Any]:
    start: dict[str, Any] = {
        "language_code": hello.language,
        "encoding": hello.audio.encoding.value,
        "sample_rate": hello.audio.sample_rate,
        "channels": hello.audio.channels,
        "interim_results": hello.interim_results,
        "session_id": hello.session_id,
    }
    if hello.resume is not None:
        start["session_id"] = hello.resume.session_id
        start["resume_token"] = hello.resume.token
        start["last_event_id"] = hello.resume.last_event_id
    return {name: value for name, value in start.items() if value is not None}


def _joined(data: dict[str, Any]) -> Joined:
    try:
        return Joined(
            session_id=str(data["session_id"]),
            participant_id=str(data["participant_id"]),
            resume_token=str(data["resume_token"]),
            next_seq=int(data["next_seq"]),
            last_event_id=int(data["last_event_id"]),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise ProtocolFault(f"the server's 'transcription_started' lacks a field: {fault}") from fault
