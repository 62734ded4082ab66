"""python-socketio on aiohttp and uvloop, as its documentation shows it: decodes each chunk and counts its bytes."""

from __future__ import annotations

import base64
import sys

import socketio
import uvloop
from aiohttp import web

_server = socketio.AsyncServer(async_mode="aiohttp")
_total = 0


@_server.on("audio_chunk")  # type: ignore[untyped-decorator]
async def _chunk(_sid: str, message: dict[str, str]) -> None:
    global _total  # noqa: PLW0603
    _total += len(base64.b64decode(message["chunk"]))


@_server.on("count")  # type: ignore[untyped-decorator]
async def _count(_sid: str) -> int:
    return _total


if __name__ == "__main__":
    app = web.Application()
    _server.attach(app)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=uvloop.new_event_loop())
