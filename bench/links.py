"""Connections of the load generator: one class for each way a server is spoken to."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from typing import Any, ClassVar, Self

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

ANSWER_SECONDS = 30.0
"""How long a server may take over any single answer before the round is given up."""

BYTES_A_SECOND = 32_000
"""Of the stream everybody gets: 16 kHz, mono, 16-bit PCM."""


class LinkError(Exception):
    """A server refused, closed or lost something."""


class Link(WSListener):
    """One WebSocket connection.

    Attributes:
        faults: What the server complained of, or that it closed, since the link was opened.
        counts_everybody: Whether :meth:`received` is a total over all connections since the server started, rather
            than what came over this one.
    """

    path: ClassVar[str] = "/"
    counts_everybody: ClassVar[bool] = False

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.transport: WSTransport
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[bytes] | None = None
        self._closing = False

    async def open(self, port: int) -> Self:
        """Connect and wait until the server would take audio.

        Raises:
            LinkError: The server refused or did not answer in time.
        """
        url = f"ws://127.0.0.1:{port}{self.path}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await ws_connect(lambda: self, url, websocket_handshake_timeout=ANSWER_SECONDS)
                await self._ready
        except TimeoutError:
            raise LinkError(f"{url} did not answer within {ANSWER_SECONDS:.0f} s") from None
        return self

    async def ask(self, question: bytes) -> bytes:
        """Send a text message and wait for what :meth:`answered` makes of the reply."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.send(WSMsgType.TEXT, question)
        try:
            return await asyncio.wait_for(self._answer, ANSWER_SECONDS)
        except TimeoutError:
            raise LinkError(f"no answer to {question[:60]!r} within {ANSWER_SECONDS:.0f} s") from None

    @abstractmethod
    async def received(self) -> int:
        """Bytes of audio the server says it has taken."""

    async def close(self) -> None:
        """End the stream and the connection."""
        self._closing = True
        self.transport.disconnect()
        await asyncio.wait_for(self.transport.wait_disconnected(), ANSWER_SECONDS)

    def ready(self) -> None:
        """The server would take audio now."""
        if not self._ready.done():
            self._ready.set_result(None)

    def answered(self, answer: bytes) -> None:
        """The reply to :meth:`ask` came."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def fault(self, what: str) -> None:
        """The server complained; whoever waits is told."""
        self.faults.append(what)
        for waiting in (self._ready, self._answer):
            if waiting is not None and not waiting.done():
                waiting.set_exception(LinkError(what))

    @abstractmethod
    def on_text(self, text: bytes) -> None:
        """A text message came."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self.on_text(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._closing:
            self.fault("the server closed the connection")


class CountingPeer(Link):
    """A bare WebSocket server of ``bench/peers``: any text message is answered with its total, over all connections."""

    counts_everybody = True

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self.ready()

    def on_text(self, text: bytes) -> None:
        self.answered(text)

    async def received(self) -> int:
        return int(await self.ask(b"count"))


class AudioStream(Link):
    """Antiphon's ``/audio-stream``.

    Attributes:
        framing: ``plain`` or ``rtp``.
        acks: How many ``ack`` came.
    """

    path = "/audio-stream"
    framing: ClassVar[str] = "plain"

    def __init__(self) -> None:
        super().__init__()
        self.acks = 0
        self._left = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        audio_format = {"codec": "pcm_s16le", "sampleRate": 16_000, "channels": 1}
        join = {"type": "join", "role": "speaker", "format": audio_format, "framing": self.framing}
        transport.send(WSMsgType.TEXT, json.dumps(join).encode())

    def on_text(self, text: bytes) -> None:
        # Acknowledgements come often enough to be worth telling apart without parsing them.
        if b'"ack"' in text:
            self.acks += 1
            return
        message = json.loads(text)
        match message["type"]:
            case "joined":
                self.ready()
            case "error":
                self.fault(f"{message['code']}: {message['message']}")
            case "left":
                self.answered(text)

    async def leave(self) -> dict[str, Any]:
        """Leave, and wait for ``left``: after the last final."""
        self._left = self._closing = True
        answer: dict[str, Any] = json.loads(await self.ask(b'{"type":"leave"}'))
        return answer

    async def received(self) -> int:
        duration: float = (await self.leave())["duration"]
        return round(duration * BYTES_A_SECOND)

    async def close(self) -> None:
        if not self._left and not self.faults:
            await self.leave()
        await super().close()


class RtpStream(AudioStream):
    """``/audio-stream`` with a 12-byte RTP header before each frame, and acknowledgements."""

    framing = "rtp"


class SocketIo(Link):
    """Socket.IO 5 over Engine.IO 4's WebSocket transport, no more of it than audio needs."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def on_text(self, text: bytes) -> None:
        if text.startswith(b"42"):
            name, *arguments = json.loads(text[2:])
            self.on_event(name, arguments[0] if arguments else None)
        elif text == b"2":
            self.transport.send(WSMsgType.TEXT, b"3")
        elif text.startswith(b"0{"):
            self.transport.send(WSMsgType.TEXT, b"40")
        elif text.startswith(b"40"):
            self.on_connected()
        elif text.startswith(b"44"):
            self.fault(f"the server refused the connection: {text[2:].decode()}")
        elif text.startswith(b"430"):
            self.answered(text[3:])

    def emit(self, name: str, data: dict[str, Any] | None = None) -> None:
        """Send an event."""
        event = json.dumps([name] if data is None else [name, data], separators=(",", ":"))
        self.transport.send(WSMsgType.TEXT, b"42" + event.encode())

    @abstractmethod
    def on_connected(self) -> None:
        """The namespace ``/`` is joined."""

    @abstractmethod
    def on_event(self, name: str, data: Any) -> None:
        """An event came, with its first argument."""


class SocketIoPeer(SocketIo):
    """A Socket.IO server of ``bench/peers``: ``count`` is answered with its total, over all connections."""

    counts_everybody = True

    def on_connected(self) -> None:
        self.ready()

    def on_event(self, name: str, data: Any) -> None:
        pass

    async def received(self) -> int:
        return int(json.loads(await self.ask(b'420["count"]'))[0])


class Transcription(SocketIo):
    """Antiphon's live transcription over Socket.IO.

    Attributes:
        acks: How many ``audio_ack`` came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.acks = 0
        self._stopped = False

    def on_text(self, text: bytes) -> None:
        if text.startswith(b'42["audio_ack"'):
            self.acks += 1
            return
        super().on_text(text)

    def on_connected(self) -> None:
        self.emit("start_transcription", {"language_code": "en-US"})

    def on_event(self, name: str, data: Any) -> None:
        match name:
            case "transcription_started":
                self.ready()
            case "transcription_stopped":
                self.answered(json.dumps(data).encode())
            case "error":
                self.fault(f"{data['code']}: {data['message']}")

    async def stop(self) -> dict[str, Any]:
        """Stop, and wait for ``transcription_stopped``: after the last final."""
        self._stopped = True
        answer: dict[str, Any] = json.loads(await self.ask(b'42["stop_transcription"]'))
        return answer

    async def received(self) -> int:
        duration: float = (await self.stop())["duration"]
        return round(duration * BYTES_A_SECOND)

    async def close(self) -> None:
        if not self._stopped and not self.faults:
            await self.stop()
        await super().close()
