"""Signaling over Socket.IO: ``join-room``, ``offer``, ``answer``, ``ice-candidate``, ``leave-room``, ``mute``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from antiphon.errors import AntiphonError
from antiphon.protocol import negotiation
from antiphon.security.access import Access
from antiphon.sessions.audience import VIEW
from antiphon.sessions.rooms import RoomManager
from antiphon.transports.socketio.refusing import Refuser
from antiphon.transports.socketio.server import SocketIOServer


class SignalingDoor:
    """Puts the signaling events on a Socket.IO server.

    Args:
        sio: The server.
        rooms: Where rooms live.
        access: Keys.
        ice_servers: Gives those that a client may use.
    """

    def __init__(
        self, sio: SocketIOServer, rooms: RoomManager, access: Access, ice_servers: Callable[[], list[Any]]
    ) -> None:
        self.sio = sio
        self.rooms = rooms
        self.access = access
        self.ice_servers = ice_servers
        self._clients: dict[str, _Client] = {}
        self._put("join-room", _Client.join)
        self._put("leave-room", _Client.leave)
        self._put("offer", _Client.offer)
        self._put("answer", _Client.answer)
        self._put("ice-candidate", _Client.candidate)
        self._put("mute", _Client.mute)
        self._put("unmute", _Client.unmute)
        sio.on_disconnect(self._gone)

    def enter(self, sid: str, room_id: str) -> None:
        """Put a connection into a room that shares a stream there, and was not told of rooms.

        Raises:
            AntiphonError: As :meth:`RoomManager.join_socket`.
        """
        self.rooms.join_socket(sid, negotiation.JoinRoom(room_id), self._client(sid), "stream")

    def _client(self, sid: str) -> _Client:
        client = self._clients.get(sid)
        if client is None:
            client = self._clients[sid] = _Client(self, sid)
        return client

    def _put(self, event: str, act: Callable[[_Client, Any], dict[str, Any]]) -> None:
        async def handle(sid: str, data: Any = None, *_: Any) -> dict[str, Any]:
            client = self._client(sid)
            try:
                return act(client, data)
            except AntiphonError as error:
                return client.refuse(event, error)

        self.sio.on(event, handle)

    async def _gone(self, sid: str, reason: str) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            client.gone()
            # whoever said good-bye is gone; whoever did not may come back
            if reason == self.sio.reason.CLIENT_DISCONNECT:
                self.rooms.gone(sid)
            else:
                self.rooms.vanished(sid)


class _Client:
    """One connection that has sent a signaling event."""

    def __init__(self, door: SignalingDoor, sid: str) -> None:
        self._door = door
        self._rooms = door.rooms
        self._sid = sid
        self._refuser = Refuser(door.sio, sid)
        self._catching_up: asyncio.Task[None] | None = None

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        told = self._door.sio.emit_soon(self._sid, event, data)
        if not told and event in VIEW and self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up(), name=f"catch up {self._sid}")
        return told

    def gone(self) -> None:
        """The connection is closed."""
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def _catch_up(self) -> None:
        # a client that takes nothing is cut off by its writer, which ends this wait
        await self._door.sio.room(self._sid)
        self._catching_up = None
        state = self._rooms.state(self._sid)
        if state is not None:
            self.tell("room-state", state)

    def join(self, data: Any) -> dict[str, Any]:
        wanted = negotiation.parse_join(data)
        if wanted.token is not None:
            self._door.access.check_key(wanted.token)
        member = self._rooms.join_socket(self._sid, wanted, self)
        room = member.room
        return {
            "status": "joined",
            "participantId": member.id,
            "roomId": room.id,
            "mode": room.mode,
            "iceServers": self._door.ice_servers(),
        }

    def leave(self, data: Any) -> dict[str, Any]:
        self._rooms.leave(self._sid, negotiation.parse_room(data, "leave-room"))
        return {"status": "left"}

    def offer(self, data: Any) -> dict[str, Any]:
        self._rooms.describe(self._sid, negotiation.parse_description("offer", data))
        return {"status": "ok"}

    def answer(self, data: Any) -> dict[str, Any]:
        self._rooms.describe(self._sid, negotiation.parse_description("answer", data))
        return {"status": "ok"}

    def candidate(self, data: Any) -> dict[str, Any]:
        self._rooms.candidate(self._sid, negotiation.parse_candidate(data))
        return {"status": "ok"}

    def mute(self, data: Any) -> dict[str, Any]:
        self._rooms.mute(self._sid, True, negotiation.parse_room(data, "mute"))
        return {"status": "ok"}

    def unmute(self, data: Any) -> dict[str, Any]:
        self._rooms.mute(self._sid, False, negotiation.parse_room(data, "unmute"))
        return {"status": "ok"}

    def refuse(self, event: str, error: AntiphonError) -> dict[str, Any]:
        """Tell the client of an error; the answer to its callback."""
        return {"status": "error", "error": self._refuser.refuse(event, error)}
