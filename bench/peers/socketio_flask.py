"""Flask-SocketIO on eventlet: decodes each chunk and counts its bytes; `count` is answered with the total."""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import base64  # noqa: E402
import sys  # noqa: E402

from flask import Flask  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

_app = Flask(__name__)
_server = SocketIO(_app, async_mode="eventlet")
_total = 0


@_server.on("audio_chunk")  # type: ignore[untyped-decorator]
def _chunk(message: dict[str, str]) -> None:
    global _total  # noqa: PLW0603
    _total += len(base64.b64decode(message["chunk"]))


@_server.on("count")  # type: ignore[untyped-decorator]
def _count() -> int:
    return _total


if __name__ == "__main__":
    _server.run(_app, host="127.0.0.1", port=int(sys.argv[1]))
