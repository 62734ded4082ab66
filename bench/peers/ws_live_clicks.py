"""Antiphon's encoder and broadcaster behind a few lines of aiohttp: live clicks, and when each was made.

``ws_live_clicks.py FRAME_MS PRESET PORT``. ``/ws-audio`` sends the packets, ``/clicks`` tells the times.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import uvloop
from aiohttp import web

from antiphon.media.broadcast import Broadcaster, ReaderListener, TapeListener
from antiphon.media.opus import PRESETS
from bench.clicks import Clicks

RATE = 48_000
_frame_ms = int(sys.argv[1])
_config = replace(PRESETS[sys.argv[2]], sample_rate=RATE, frame_ms=_frame_ms, dtx=False)
_lookahead = _config.encoder().lookahead / RATE
_broadcaster = web.AppKey("broadcaster", Broadcaster)
_tape = web.AppKey("tape", int)
_clicks: list[dict[str, float]] = []


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
    started: dict[str, Any] = {
        "type": "started",
        "source": "clicks",
        "codec": "opus",
        "sampleRate": RATE,
        "frameMs": _frame_ms,
        "channels": 1,
        "bitrate": _config.bitrate,
        # what comes before the audio is part of the delay here, and must not be left out
        "preSkip": 0,
        "live": True,
        "duration": None,
        "position": 0,
    }
    await socket.send_str(json.dumps(started))
    assert request.transport is not None
    broadcaster = request.app[_broadcaster]
    fd = request.transport.get_extra_info("socket").fileno()
    reader = broadcaster.attach(request.app[_tape], fd, released)
    async for _ in socket:
        pass
    broadcaster.detach(reader)
    await released.event.wait()
    return socket


async def _told(request: web.Request) -> web.Response:
    return web.json_response({"lookahead": _lookahead, "clicks": _clicks})


async def _make(broadcaster: Broadcaster, tape: int) -> None:
    """A microphone: each frame is complete when its last sample has been spoken."""
    encoder, clicks, frame = _config.encoder(), Clicks(RATE), _frame_ms / 1000
    start, count = time.monotonic(), 0
    while True:
        pcm, begins = clicks.frame(round(RATE * frame))
        complete = start + (count + 1) * frame
        await asyncio.sleep(complete - time.monotonic())
        taken = time.monotonic()
        broadcaster.append(tape, [encoder.encode(pcm)])
        if begins is not None:
            said = start + count * frame + begins / RATE
            _clicks.append({"said": said, "complete": complete, "taken": taken, "sent": time.monotonic()})
        count += 1


async def _running(app: web.Application) -> AsyncIterator[None]:
    def fail(fault: Exception) -> None:
        raise fault

    broadcaster = Broadcaster(fail)
    broadcaster.start()
    app[_broadcaster], app[_tape] = broadcaster, broadcaster.open_tape(TapeListener(), frame_ms=_frame_ms, live=True)
    making = asyncio.create_task(_make(broadcaster, app[_tape]))
    yield
    making.cancel()
    broadcaster.close()


if __name__ == "__main__":
    app = web.Application()
    app.cleanup_ctx.append(_running)
    app.router.add_get("/ws-audio", _listen)
    app.router.add_get("/clicks", _told)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[3]), print=None, loop=uvloop.new_event_loop())
