"""A server with a door ``/ws-audio`` that does what a test tells it: late, bursting, wrong, gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import numpy as np
from aiohttp import web

from antiphon.media.opus import OpusEncoder
from support import beeps

RATE = 48_000
FRAME_MS = 20
FRAME = RATE * FRAME_MS // 1000
PRE_SKIP = 312
"""What libopus looks ahead, in samples at 48 kHz."""


def packets(sound: beeps.Sound) -> list[bytes]:
    """A sound at 48 kHz as Opus packets."""
    encoder = OpusEncoder(RATE, application="audio", bitrate=64_000, dtx=False, fec=False)
    whole = np.pad(sound, (0, -len(sound) % FRAME + FRAME))
    return [encoder.encode(part) for part in whole.reshape(-1, FRAME)]


class Visit:
    """One connection.

    Attributes:
        number: How many came before.
        query: What it asked for.
        socket: It.
        late_ms: By how much a packet was sent later than it was to be, at most.
    """

    def __init__(self, number: int, query: dict[str, str], socket: web.WebSocketResponse) -> None:
        self.number = number
        self.query = query
        self.socket = socket
        self.late_ms = 0.0

    @property
    def first(self) -> int:
        """The packet in which the position lies that was asked for."""
        return int(float(self.query.get("position", "0")) * 1000 / FRAME_MS + 1e-6)

    async def start(self, *, live: bool = False) -> None:
        """Say what follows."""
        position = self.first * FRAME_MS / 1000
        await self.socket.send_json(
            {
                "type": "started",
                "source": self.query["source"],
                "codec": "opus",
                "sampleRate": RATE,
                "frameMs": FRAME_MS,
                "channels": 1,
                "bitrate": 64_000,
                "preSkip": PRE_SKIP,
                "live": live,
                "duration": None,
                "position": position,
            }
        )

    async def send(self, sound: list[bytes], *, late_ms: Callable[[int], float] = lambda _: 0.0) -> None:
        """Send packets in real time, each as much later as it is told to be; none overtakes another."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        for number, packet in enumerate(sound):
            due = begun + (number * FRAME_MS + late_ms(number)) / 1000
            await asyncio.sleep(max(0.0, due - clock()))
            self.late_ms = max(self.late_ms, 1000 * (clock() - due))
            await self.socket.send_bytes(packet)

    async def finish(self) -> None:
        """Say that this was all, and close."""
        await self.socket.send_json({"type": "ended", "reason": "complete", "position": 0})
        await self.socket.close(code=1000)


Act = Callable[[Visit], Awaitable[None]]


class OddServer:
    """Runs `act` for each connection; a connection that is open afterwards is cut.

    Attributes:
        url: Where it listens.
        visits: Connections that there were.
    """

    def __init__(self, act: Act) -> None:
        self._act = act
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.visits: list[Visit] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/ws-audio", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        visit = Visit(len(self.visits), dict(request.query), socket)
        self.visits.append(visit)
        reading = asyncio.ensure_future(_read(socket))
        try:
            await self._act(visit)
        except ConnectionError:
            pass  # the listener has left
        finally:
            reading.cancel()
        if not socket.closed and request.transport is not None:
            request.transport.abort()
        return socket


async def _read(socket: web.WebSocketResponse) -> None:
    """Answer pings, and let a listener close."""
    async for message in socket:
        control = message.json()
        if control.get("type") == "ping":
            await socket.send_json({"type": "pong", "t": control["t"], "serverTime": 0})
