"""Foreign clients of signaling that remember what they were told."""

from __future__ import annotations

from typing import Any

from integration.clients import Talker
from integration.observe import Message

SIGNALS = (
    "room-state",
    "room-captions",
    "peer-joined",
    "peer-left",
    "peer-muted",
    "offer",
    "answer",
    "ice-candidate",
    "speaking",
    "media-state",
)


class Caller(Talker):
    """A python-socketio client of signaling."""

    def __init__(self, url: str, transports: list[str] | None = None, auth: Any = None) -> None:
        super().__init__(url, transports or ["websocket"], auth)
        for event in SIGNALS:
            self.sio.on(event, self._listener(event))

    @property
    def id(self) -> str:
        """The socket's id."""
        sid: str = self.sio.get_sid()
        return sid

    async def call(self, event: str, data: Any = None) -> Message:
        """Send an event, and wait for what its callback is given."""
        answer: Message = await self.sio.call(event, data, timeout=20)
        return answer

    async def enter(self, room: str, user: str = "", **fields: Any) -> Message:
        """``join-room``; the state of the room."""
        before = len(self.all("room-state"))
        answer = await self.call("join-room", {"roomId": room, "userId": user, "role": "guest", **fields})
        assert answer["status"] == "joined", answer
        assert answer["participantId"] == self.id
        return await self.wait("room-state", before + 1)
