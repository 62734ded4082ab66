"""aiohttp on uvloop: counts the bytes of binary messages; a text message asks for the total."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import WSMsgType, web

_total = 0


async def _serve(request: web.Request) -> web.WebSocketResponse:
    global _total  # noqa: PLW0603
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            _total += len(message.data)
        else:
            await socket.send_str(str(_total))
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", _serve)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=uvloop.new_event_loop())
