"""Antiphon's broadcaster behind a few lines of aiohttp: sends everybody the same packet every 20 ms."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop
from aiohttp import web

from antiphon.media.broadcast import Broadcaster, ReaderListener, TapeListener

FRAME = 0.02
_packets = Path(sys.argv[1]).read_bytes()
_broadcaster = web.AppKey("broadcaster", Broadcaster)
_tape = web.AppKey("tape", int)


class _Released(ReaderListener):
    def __init__(self) -> None:
        self.event = asyncio.Event()

    def on_gone(self, reason: str) -> None:
        self.event.set()

    def on_released(self) -> None:
        self.event.set()


async def _listen(request: web.Request) -> web.WebSocketResponse:
    socket, released = web.WebSocketResponse(compress=False), _Released()
    await socket.prepare(request)
    assert request.transport is not None
    broadcaster = request.app[_broadcaster]
    fd = request.transport.get_extra_info("socket").fileno()
    reader = broadcaster.attach(request.app[_tape], fd, released)
    async for _ in socket:
        pass
    broadcaster.detach(reader)
    await released.event.wait()
    return socket


async def _send(broadcaster: Broadcaster, tape: int) -> None:
    loop = asyncio.get_running_loop()
    start, sent, at = loop.time(), 0, 0
    while True:
        (length,) = struct.unpack_from("!H", _packets, at)
        broadcaster.append(tape, [_packets[at + 2 : at + 2 + length]])
        sent, at = sent + 1, (at + 2 + length) % len(_packets)
        await asyncio.sleep(start + sent * FRAME - loop.time())


async def _running(app: web.Application) -> AsyncIterator[None]:
    def fail(fault: Exception) -> None:
        raise fault

    broadcaster = Broadcaster(fail)
    broadcaster.start()
    app[_broadcaster], app[_tape] = broadcaster, broadcaster.open_tape(TapeListener(), frame_ms=20, live=True)
    sending = asyncio.create_task(_send(broadcaster, app[_tape]))
    yield
    sending.cancel()
    broadcaster.close()


if __name__ == "__main__":
    app = web.Application()
    app.cleanup_ctx.append(_running)
    app.router.add_get("/", _listen)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, loop=uvloop.new_event_loop())
