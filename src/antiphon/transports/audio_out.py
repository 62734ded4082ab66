"""The WebSocket door ``/ws-audio``: Opus packets of a file, a room or a text, paced in real time."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, hdrs, web

from antiphon.errors import AntiphonError, BadMessage, EngineUnavailable, SessionLimit
from antiphon.transports.listener import Connection, Desk, ListenerSocket

HEARTBEAT = 20.0
"""Seconds between two pings; a client that has not answered one when the next is due is gone."""
MAX_OVERSIZE = 16
"""A message this many times the maximum is not even read: the connection is closed (close code 1009)."""


class Upgrade(BadMessage):
    """A plain request to a door of WebSockets (RFC 9110 section 15.5.22)."""

    http_status = 426


class AudioOutDoor:
    """Serves ``/ws-audio``.

    Args:
        desk: What connections need.
        max_listeners: At once; more get ``session_limit``.
    """

    def __init__(self, desk: Desk, max_listeners: int) -> None:
        self.desk = desk
        self.max_listeners = max_listeners
        self.refused_total = 0
        self._connections: set[Connection] = set()
        self._heartbeat: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def listeners(self) -> int:
        return len(self._connections)

    def announce_shutdown(self) -> None:
        """Tell everybody that the server is about to end."""
        for connection in self._connections:
            connection.tell({"type": "closing", "reason": "shutdown", "reconnect": True})

    async def close(self) -> None:
        """Close all connections."""
        self._closing = True
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        ending = [connection.end("shutdown", WSCloseCode.GOING_AWAY) for connection in list(self._connections)]
        await asyncio.gather(*ending)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The route's handler."""
        try:
            self.desk.access.check_origin(request.headers)
        except AntiphonError as error:
            raise web.HTTPForbidden(text=error.message) from None
        websocket = ListenerSocket(
            max_msg_size=self.desk.max_message_bytes * MAX_OVERSIZE,
            compress=False,
            autoping=False,
            autoclose=False,
            timeout=2.0,
        )
        if not websocket.can_prepare(request):
            return _upgrade_required()
        await websocket.prepare(request)
        connection = Connection(self.desk, request, websocket)
        try:
            self._admit(connection)
        except AntiphonError as error:
            await connection.refuse(error)
            return websocket
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return websocket

    def _admit(self, connection: Connection) -> None:
        if self._closing:
            raise EngineUnavailable("the server is shutting down; connect again in a few seconds", retry_after=5.0)
        if len(self._connections) >= self.max_listeners:
            self.refused_total += 1
            raise SessionLimit(
                f"all {self.max_listeners} listeners that this server takes are there; try again later, or ask its "
                "operator to raise max_listeners",
                retry_after=5.0,
            )
        self._connections.add(connection)
        if self._heartbeat is None:
            self._heartbeat = asyncio.create_task(self._beat(), name="ws-audio heartbeat")

    async def _beat(self) -> None:
        """Listeners say nothing by themselves: each is pinged, and looked at whether it takes anything."""
        loop = asyncio.get_running_loop()
        ping_at = loop.time() + HEARTBEAT
        while True:
            await asyncio.sleep(min(self.desk.send_timeout, HEARTBEAT))
            ping = loop.time() >= ping_at
            if ping:
                ping_at = loop.time() + HEARTBEAT
            for connection in list(self._connections):
                connection.beat(ping)


def _upgrade_required() -> web.Response:
    error = Upgrade("this is a WebSocket: connect with one, as ws:// or wss://; GET /v1/media lists what can be heard")
    return web.json_response(error.as_dict(), status=426, headers={hdrs.UPGRADE: "websocket"})
