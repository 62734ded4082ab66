"""picows on uvloop: counts the bytes of binary messages; a text message asks for the total."""

from __future__ import annotations

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server


class _Counter(WSListener):
    total = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            _Counter.total += len(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, str(_Counter.total).encode())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


async def _serve(port: int) -> None:
    server = await ws_create_server(lambda _: _Counter(), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
