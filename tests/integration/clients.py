"""Foreign clients that remember what they were told, for the tests of the doors."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import socketio

from integration.observe import DEADLINE, Message

CHUNK = 3_200
"""100 ms of 16 kHz mono."""
FRAME = 640
"""20 ms of 16 kHz mono."""

EVENTS = (
    "connected",
    "transcription_started",
    "transcription_result",
    "transcription_stopped",
    "audio_ack",
    "error",
    "closing",
)


class Inbox:
    """What a client was told, in order; :meth:`wait` waits for more."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self.closed = False
        self._changed = asyncio.Event()

    def put(self, name: str, data: Message) -> None:
        self.messages.append((name, data))
        self.wake()

    def close(self) -> None:
        self.closed = True
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def all(self, name: str) -> list[Message]:
        return [data for told, data in self.messages if told == name]

    async def until(self, ready: Callable[[], bool], deadline: float = DEADLINE) -> None:
        """Wait until `ready`, which is asked whenever something comes."""
        try:
            async with asyncio.timeout(deadline):
                while not ready():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"did not come within {deadline} s; came: {self.messages[-20:]}") from None

    async def wait(
        self, name: str, count: int = 1, deadline: float = DEADLINE, *, where: Callable[[Message], bool] | None = None
    ) -> Message:
        """The `count`-th message of that name (and for which `where` holds)."""

        def found() -> list[Message]:
            return [data for data in self.all(name) if where is None or where(data)]

        await self.until(lambda: len(found()) >= count or self.closed, deadline)
        assert len(found()) >= count, f"the connection closed without {name!r}; came: {self.messages[-20:]}"
        return found()[count - 1]

    async def wait_closed(self, deadline: float = DEADLINE) -> None:
        await self.until(lambda: self.closed, deadline)


def pieces(audio: bytes, size: int) -> Iterator[bytes]:
    """`audio` in pieces of `size` bytes."""
    for offset in range(0, len(audio), size):
        yield audio[offset : offset + size]


def transport_of(websocket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    """The TCP connection under a WebSocket."""
    connection = websocket._response.connection
    assert connection is not None
    assert isinstance(connection.transport, asyncio.Transport)
    return connection.transport


class Talker(Inbox):
    """A python-socketio client of the transcription events."""

    def __init__(self, url: str, transports: Sequence[str] | None = None, auth: Any = None) -> None:
        super().__init__()
        self._url = url
        self._transports = list(transports) if transports else None
        self._auth = auth
        self.sio = socketio.AsyncClient(reconnection=False)
        for event in EVENTS:
            self.sio.on(event, self._listener(event))
        self.sio.on("disconnect", lambda *_: self.close())

    async def __aenter__(self) -> Self:
        await self.sio.connect(self._url, transports=self._transports, auth=self._auth, wait_timeout=10)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.disconnect()

    @property
    def transport(self) -> str:
        """``polling`` or ``websocket``, as it is now."""
        kind: str = self.sio.transport()
        return kind

    async def emit(self, event: str, data: Any = None) -> None:
        await self.sio.emit(event, data)

    async def start(self, **fields: Any) -> Message:
        """``start_transcription``, and its answer."""
        before = len(self.all("transcription_started"))
        await self.emit("start_transcription", fields)
        return await self.wait("transcription_started", before + 1)

    async def send(self, audio: bytes, *, first_seq: int | None = None, binary: bool = False, size: int = CHUNK) -> int:
        """Send chunks, numbered where `first_seq` is given; returns the next number."""
        seq = first_seq or 0
        for piece in pieces(audio, size):
            data: Message = {"chunk": piece if binary else base64.b64encode(piece).decode()}
            if first_seq is not None:
                data["seq"] = seq
            await self.emit("audio_chunk", data)
            seq += 1
        return seq

    async def stop(self) -> Message:
        """``stop_transcription``, and its answer."""
        before = len(self.all("transcription_stopped"))
        await self.emit("stop_transcription")
        return await self.wait("transcription_stopped", before + 1)

    async def cut(self) -> None:
        """Lose the connection, without a word to the server."""
        transport_of(self.sio.eio.ws).abort()
        await self.wait_closed()

    @property
    def acked(self) -> int:
        """The last chunk that is safe; -1 where none is."""
        return max((ack["seq"] for ack in self.all("audio_ack")), default=-1)

    @property
    def finals(self) -> list[Message]:
        return [result for result in self.all("transcription_result") if not result["is_partial"]]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals if final["text"])

    def _listener(self, event: str) -> Callable[..., None]:
        return lambda data=None: self.put(event, data)


class Stream(Inbox):
    """A raw WebSocket client of ``/audio-stream``."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self.websocket = websocket
        self.on_audio: Callable[[bytes], object] = lambda _: None
        self._reader = asyncio.create_task(self._read())

    @property
    def close_code(self) -> int | None:
        return self.websocket.close_code

    async def send(self, message: Any) -> None:
        await self.websocket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def join(self, **fields: Any) -> Message:
        before = len(self.all("joined"))
        await self.send({"type": "join", **fields})
        return await self.wait("joined", before + 1)

    async def audio(self, audio: bytes, size: int = FRAME) -> None:
        for piece in pieces(audio, size):
            await self.websocket.send_bytes(piece)

    async def leave(self) -> Message:
        await self.send({"type": "leave"})
        return await self.wait("left")

    async def finish(self) -> None:
        """Close, and stop reading."""
        await self.websocket.close()
        await self._reader

    async def cut(self) -> None:
        """Lose the connection, without a word to the server."""
        transport_of(self.websocket).abort()
        await self.wait_closed()

    @property
    def finals(self) -> list[Message]:
        return [result for result in self.all("transcript") if not result["isPartial"]]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals if final["text"])

    async def _read(self) -> None:
        async for message in self.websocket:
            if message.type is aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                self.put(told["type"], told)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self.on_audio(message.data)
        self.close()


class RawSocketIO(Inbox):
    """Engine.IO over a WebSocket, packet by packet, so that bad ones can be sent."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self.websocket = websocket
        self._reader = asyncio.create_task(self._read())

    async def send(self, packet: str | bytes) -> None:
        await (self.websocket.send_bytes(packet) if isinstance(packet, bytes) else self.websocket.send_str(packet))

    async def emit(self, event: str, *data: Any) -> None:
        await self.send(f"42{json.dumps([event, *data])}")

    async def connect(self) -> None:
        """Connect to the default namespace."""
        await self.send("40")
        await self.wait("connected")

    async def start(self, **fields: Any) -> Message:
        await self.emit("start_transcription", fields)
        return await self.wait("transcription_started")

    async def finish(self) -> None:
        await self.websocket.close()
        await self._reader

    async def _read(self) -> None:
        async for message in self.websocket:
            packet: str = message.data
            if packet == "2":
                await self.websocket.send_str("3")
            elif packet.startswith("42"):
                event, *data = json.loads(packet[2:])
                self.put(event, data[0] if data else {})
            else:
                self.put(packet[:2], {})
        self.close()


@asynccontextmanager
async def raw_socketio(url: str, *, connect: bool = True) -> AsyncIterator[RawSocketIO]:
    """An Engine.IO WebSocket, connected to the default namespace unless told not to."""
    async with aiohttp.ClientSession() as session:
        websocket = await session.ws_connect(f"{url}/socket.io/?EIO=4&transport=websocket")
        client = RawSocketIO(websocket)
        try:
            if connect:
                await client.connect()
            yield client
        finally:
            await client.finish()


class Polling(Inbox):
    """A polling client of Engine.IO, request by request."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        super().__init__()
        self.session = session
        self.url = f"{url}/socket.io/?EIO=4&transport=polling"
        self._reader: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        async with self.session.get(self.url) as response:
            self.url += "&sid=" + json.loads((await response.text())[1:])["sid"]
        assert await self.post(b"40") == 200
        self._reader = asyncio.create_task(self._read())
        await self.wait("connected")

    async def post(self, body: bytes) -> int:
        """Send a request of packets; returns its status."""
        async with self.session.post(self.url, data=io.BytesIO(body)) as response:
            await response.read()
            return response.status

    async def emit(self, event: str, *data: Any) -> int:
        return await self.post(f"42{json.dumps([event, *data])}".encode())

    async def finish(self) -> None:
        await self.post(b"1")
        if self._reader is not None:
            await self._reader

    async def _read(self) -> None:
        while True:
            async with self.session.get(self.url) as response:
                if response.status != 200:
                    break
                packets = (await response.text()).split("\x1e")
            for packet in packets:
                if packet == "2":
                    await self.post(b"3")
                elif packet.startswith("42"):
                    event, *data = json.loads(packet[2:])
                    self.put(event, data[0] if data else {})
        self.close()


@asynccontextmanager
async def polling(url: str) -> AsyncIterator[Polling]:
    """A polling client, connected to the default namespace."""
    async with aiohttp.ClientSession() as session:
        client = Polling(session, url)
        await client.connect()
        try:
            yield client
        finally:
            await client.finish()


@asynccontextmanager
async def bystander(url: str) -> AsyncIterator[None]:
    """A second session, whose client speaks before, during and after whatever happens in the block, unhurt."""
    second = bytes(32_000)
    async with Talker(url, ["websocket"]) as talker:
        await talker.start()
        await talker.send(second)
        yield
        await talker.send(second)
        await talker.send(second)
        stopped = await talker.stop()
        assert talker.text == "one two three"
        assert stopped["dropped"] == 0
        assert stopped["duration"] == 3.0
        assert not talker.all("error")


@asynccontextmanager
async def audio_stream(url: str, **options: Any) -> AsyncIterator[Stream]:
    """A connection to ``/audio-stream``; `options` are those of aiohttp's ``ws_connect``."""
    async with aiohttp.ClientSession() as session:
        stream = Stream(await session.ws_connect(f"{url}/audio-stream", **options))
        try:
            yield stream
        finally:
            await stream.finish()


def rtp(seq: int, timestamp: int, payload: bytes, first: int = 0x80) -> bytes:
    """A packet with the fixed header of RFC 3550, section 5.1."""
    return struct.pack("!BBHII", first, 96, seq & 0xFFFF, timestamp & 0xFFFFFFFF, 0x5EED) + payload


def rtp_packets(
    audio: bytes, *, first_seq: int = 0, first_timestamp: int = 0, size: int = FRAME, frame_bytes: int = 2
) -> list[bytes]:
    """`audio` as packets."""
    return [
        rtp(first_seq + n, first_timestamp + n * size // frame_bytes, piece)
        for n, piece in enumerate(pieces(audio, size))
    ]
