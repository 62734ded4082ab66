"""aiohttp and opuslib, as tutorials have it: each client's own decoder, encoder and 20 ms of sleep a packet."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator

import av
import opuslib_next as opuslib
from aiohttp import web

RATE = 24_000
SAMPLES = RATE // 50


def _pieces(path: str) -> Iterator[bytes]:
    resampler = av.AudioResampler("s16", "mono", RATE, frame_size=SAMPLES)
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().tobytes()


async def _listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    encoder = opuslib.Encoder(RATE, 1, opuslib.APPLICATION_AUDIO)
    encoder.bitrate = 32_000
    with contextlib.suppress(ConnectionError):
        for piece in _pieces(sys.argv[1]):
            await socket.send_bytes(encoder.encode(piece, SAMPLES))
            await asyncio.sleep(0.02)
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", _listen)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None)
