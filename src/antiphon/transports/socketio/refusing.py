"""Telling a client what was wrong with an event, and showing one out that goes on regardless."""

from __future__ import annotations

import asyncio
from typing import Any

from antiphon.errors import AntiphonError, RateLimited, TooLarge
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Refusals, Verdict, closing_after
from antiphon.transports.socketio.server import SocketIOServer

log = get_logger("socketio")


class Refuser:
    """Answers what one connection sends and the server does not take.

    Args:
        sio: The server.
        sid: The connection.
    """

    def __init__(self, sio: SocketIOServer, sid: str) -> None:
        self._sio = sio
        self._sid = sid
        self._refusals = Refusals()

    def refuse(self, event: str, error: AntiphonError, **more: Any) -> dict[str, Any]:
        """Tell the client of an error with `event`, and of `more` about it; the error in the wire's shape."""
        wire = {**error.as_dict(), "event": event, **more}
        verdict = Verdict.TELL
        if isinstance(error, RateLimited | TooLarge):
            verdict = self._refusals.refuse(asyncio.get_running_loop().time(), retry_after=error.retry_after or 0.0)
        if verdict is not Verdict.IGNORE:
            self._sio.emit_soon(self._sid, "error", wire)
        if verdict is Verdict.CLOSE:
            log.info("client goes on after errors; closed", sid=self._sid, code=error.code.value)
            self._sio.emit_soon(self._sid, "closing", {"reason": closing_after(error), "reconnect": False})
            self._sio.hang_up_soon(self._sid)
        return wire
