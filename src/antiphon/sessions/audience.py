"""Telling the members of a room, each by the ways it has."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from antiphon.errors import AntiphonError
from antiphon.events import Entry, Transcript
from antiphon.protocol.room_events import result_of, transcript_of
from antiphon.protocol.signaling import Member, Room
from antiphon.sessions.room_media import Peer, RoomMedia

VIEW = frozenset({"peer-joined", "peer-left", "peer-muted", "room-captions"})
"""Events that change what a client knows of its room. Whoever has no room for one gets the whole state later."""


class Listener(Protocol):
    """Whoever brings a member what it is told. Never waits."""

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        """Bring an event to the member; False where it takes none now."""


class Audience:
    """The members of all rooms, as those who listen.

    Attributes:
        listeners: By the member's id; whoever came by HTTP or has vanished has none that tells anything.
        media: By the room's id; rooms in which nobody has media have none.
    """

    def __init__(self) -> None:
        self.listeners: dict[str, Listener] = {}
        self.media: dict[str, RoomMedia] = {}

    def tell(self, member_id: str, event: str, data: dict[str, Any]) -> bool:
        """Bring one member an event; False where it does not get there."""
        listener = self.listeners.get(member_id)
        return listener is not None and listener.tell(event, data)

    def error(self, peer: Peer, error: AntiphonError, event: str) -> None:
        """Tell a member of what went wrong, by either way."""
        data = {**error.as_dict(), "event": event}
        if not self.tell(peer.member.id, "error", data):
            self.say(peer, {"type": "error", **data})

    def say(self, peer: Peer, message: dict[str, Any]) -> None:
        """Send a message over a peer's metadata channel; lost where that is not open."""
        peer.media.engine.send(peer.number, orjson.dumps(message).decode())

    def speaking(self, room: Room, member_id: str, active: bool) -> None:
        """Tell everybody who speaks."""
        data = {"participantId": member_id, "active": active}
        for other in room.members.values():
            # a WebSocket hears of itself with its own session
            if other.transport != "websocket" or other.id != member_id:
                self.tell(other.id, "speaking", data)
        self._say_all(room, {"type": "speaking", **data})

    def words(self, member: Member, session_id: str, entry: Entry, own: bool = True) -> None:
        """Tell everybody in the room what somebody said; whoever said it where `own` says so."""
        room, event = member.room, entry.event
        if not room.members or not isinstance(event, Transcript):
            return
        result = result_of(entry, event, member, session_id)
        transcript = transcript_of(entry, member, session_id)
        for other in room.members.values():
            if other is member and not own:
                continue
            if other.transport != "websocket":
                self.tell(other.id, "transcription_result", result)
            elif other is not member:
                # its own words come to it with its own session
                self.tell(other.id, "transcript", transcript)
        self._say_all(room, transcript)

    def media_state(self, peer: Peer, state: str, reason: str | None = None) -> None:
        """Tell a member how its connection to the media server is."""
        data = {"participantId": peer.member.id, "state": state}
        self.tell(peer.member.id, "media-state", data if reason is None else {**data, "reason": reason})

    def _say_all(self, room: Room, message: dict[str, Any]) -> None:
        media = self.media.get(room.id)
        if media is not None:
            media.send(orjson.dumps(message).decode())
