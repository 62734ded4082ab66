"""Signaling: who is in which room, and who may speak to whom. A state machine without sockets and without a clock.

What a member does is a call; what others are to be told of it comes back as a list of :class:`Tell`, and what is meant
for the media server as :class:`ForServer`. A call that cannot be done raises, and has changed nothing.

Rules:

- A member is in one room at a time. A room begins with its first member and is forgotten with its last.
- An offer, an answer or a candidate reaches another member of the same room and nobody else. Whether a member is
  elsewhere or nowhere cannot be told apart from outside its room.
- **Glare.** Both offers are relayed. Of two members the one that came later is the polite one, as "perfect negotiation"
  (WebRTC 1.0, section 10.7) means it: it gives way to an offer that crosses its own. An answer to somebody's offer
  voids the offer that crossed it.
- **Leaving in mid-offer.** Whoever waits for an answer of a member that leaves is told ``not_found``, and then
  ``peer-left`` like everybody.
- **Late candidates**, to a member that has left lately or from one that has, are dropped without a word.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from antiphon.errors import AntiphonError, Conflict, NotFound, SessionLimit
from antiphon.protocol.allowance import Allowance, Rate
from antiphon.protocol.negotiation import Candidate, Captions, Description, JoinRoom, Mode

DEPARTED = 64
"""Members that have left a room and are still known to have been there."""
MAX_UNANSWERED = 8
"""Offers from one member to another that may wait for their answers."""
JOINS = Rate(10, 1)
DESCRIPTIONS = Rate(100, 20)
"""Enough to offer to a room of a hundred at once."""
CANDIDATES = Rate(200, 50)

Transport = Literal["webrtc", "websocket", "whip", "whep", "stream"]
"""How somebody takes part; by ``stream`` who came by sharing a stream over Socket.IO and negotiates with nobody."""


@dataclass(frozen=True, slots=True)
class SignalingLimits:
    """Bounds of signaling.

    Attributes:
        max_rooms: Rooms at once.
        max_participants: Members of one room.
        joins: Of one socket.
        descriptions: Offers and answers of one socket.
        candidates: Of one socket.
    """

    max_rooms: int = 1000
    max_participants: int = 200
    joins: Rate = JOINS
    descriptions: Rate = DESCRIPTIONS
    candidates: Rate = CANDIDATES


@dataclass(slots=True, eq=False)
class Member:
    """Somebody in a room.

    Attributes:
        id: The socket's id, or what stands for it where there is none; the participant's id in every message.
        joined_at: Milliseconds since the Unix epoch.
        order: Grows with each member of the room.
        captions: What it asked for itself, for what it says.
        unanswered: Offers of this member, by whom they were made to.
    """

    id: str
    room: Room
    user_id: str
    role: str
    transport: Transport
    joined_at: int
    order: int
    captions: Captions | None = None
    muted: bool = False
    unanswered: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As ``room-state`` tells it."""
        return {**self.named(), "joinedAt": self.joined_at, "transport": self.transport, "muted": self.muted}

    def named(self) -> dict[str, Any]:
        """As ``peer-left`` tells it."""
        return {"socketId": self.id, "userId": self.user_id, "role": self.role}


@dataclass(slots=True, eq=False)
class Room:
    """Members, in the order in which they came.

    Attributes:
        captions: What was asked for first; None where nobody has.
    """

    id: str
    mode: Mode
    captions: Captions | None = None
    members: dict[str, Member] = field(default_factory=dict)
    departed: deque[str] = field(default_factory=lambda: deque(maxlen=DEPARTED))
    came: int = 0

    def others(self, member_id: str) -> tuple[str, ...]:
        """The ids of all but one."""
        return tuple(other for other in self.members if other != member_id)


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for some members."""

    to: tuple[str, ...]
    event: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ForServer:
    """An offer or a candidate for the media server."""

    member: Member
    message: Description | Candidate


Effect = Tell | ForServer


@dataclass(slots=True)
class _Socket:
    joins: Allowance
    descriptions: Allowance
    candidates: Allowance
    left: str | None = None


class Signaling:
    """All rooms of a server.

    Args:
        limits: Bounds.
    """

    def __init__(self, limits: SignalingLimits | None = None) -> None:
        self.limits = limits or SignalingLimits()
        self.rooms: dict[str, Room] = {}
        self.members: dict[str, Member] = {}
        self._sockets: dict[str, _Socket] = {}

    def may_join(self, socket_id: str, now: float) -> None:
        """Count an attempt of a socket to join, at `now` seconds.

        Raises:
            RateLimited: There were too many.
        """
        self._socket(socket_id).joins.take(now, "joins of one connection")

    def check_join(self, member_id: str, wanted: JoinRoom) -> Member | None:
        """See whether somebody may join.

        Returns:
            The member, where it is in that very room already.

        Raises:
            Conflict: It is in another room.
            SessionLimit: There is no room.
        """
        member = self.members.get(member_id)
        if member is not None:
            if member.room.id == wanted.room_id:
                return member
            raise Conflict(f"this connection is in room {member.room.id!r}; send leave-room first", field="roomId")
        room = self.rooms.get(wanted.room_id)
        if room is None and len(self.rooms) >= self.limits.max_rooms:
            raise SessionLimit(
                f"all {self.limits.max_rooms} rooms of this server are in use; join one that there is, or try later",
                retry_after=5.0,
            )
        if room is not None and len(room.members) >= self.limits.max_participants:
            raise SessionLimit(
                f"room {room.id!r} is full: it has {self.limits.max_participants} participants", retry_after=5.0
            )
        return None

    def join(self, member_id: str, wanted: JoinRoom, transport: Transport, joined_at: int) -> list[Effect]:
        """Put somebody into a room, at `joined_at` milliseconds since the Unix epoch.

        Joining the room that one is in tells its state again and changes nothing.

        Raises:
            Conflict: It is in another room.
            SessionLimit: There is no room.
        """
        member = self.check_join(member_id, wanted)
        if member is not None:
            return [Tell((member.id,), "room-state", self.state(member))]
        room = self.rooms.get(wanted.room_id)
        if room is None:
            room = self.rooms[wanted.room_id] = Room(wanted.room_id, wanted.mode or "relay")
        effects: list[Effect] = []
        if wanted.captions is not None and room.captions is None:
            room.captions = wanted.captions
            if room.members:
                effects.append(Tell(tuple(room.members), "room-captions", _captions(room)))
        room.came += 1
        member = Member(member_id, room, wanted.user_id, wanted.role, transport, joined_at, room.came, wanted.captions)
        room.members[member_id] = self.members[member_id] = member
        others = room.others(member_id)
        if others:
            # those who were here before are the impolite ones
            effects.append(Tell(others, "peer-joined", {**member.as_dict(), "polite": False}))
        return [*effects, Tell((member.id,), "room-state", self.state(member))]

    def leave(self, member_id: str, room_id: str | None = None) -> list[Effect]:
        """Take somebody out of its room, which must be `room_id` where that is given.

        Raises:
            Conflict: It is in none, or in another.
        """
        member = self._member(member_id, room_id, "leave-room")
        room = member.room
        del room.members[member_id], self.members[member_id]
        room.departed.append(member_id)
        socket = self._sockets.get(member_id)
        if socket is not None:
            socket.left = room.id
        if not room.members:
            del self.rooms[room.id]
            return []
        return [*self._void_offers(room, member), Tell(tuple(room.members), "peer-left", member.named())]

    def gone(self, member_id: str) -> list[Effect]:
        """Forget a connection: it leaves its room, if it is in one."""
        effects = self.leave(member_id) if member_id in self.members else []
        self._sockets.pop(member_id, None)
        return effects

    def describe(self, sender_id: str, message: Description, now: float) -> list[Effect]:
        """Take an offer or an answer to where it should go, at `now` seconds.

        Raises:
            RateLimited: Too many.
            Conflict: The sender is in no room or in another one, or answers an offer that nobody made.
            NotFound: The target is not in this room.
        """
        self._socket(sender_id).descriptions.take(now, "offers and answers of one connection")
        sender = self._member(sender_id, message.room_id, message.kind)
        if message.target is None:
            if message.kind == "answer":
                raise Conflict("the media server makes no offers; send it one", field="targetSocketId")
            return [ForServer(sender, message)]
        target = self._target(sender, message.target)
        if message.kind == "offer":
            waiting = sender.unanswered.get(target.id, 0)
            sender.unanswered[target.id] = min(MAX_UNANSWERED, waiting + 1)
        else:
            waiting = target.unanswered.get(sender.id, 0)
            if not waiting:
                raise Conflict(f"{target.id} has no offer to you that waits for an answer", field="targetSocketId")
            if waiting == 1:
                del target.unanswered[sender.id]
            else:
                target.unanswered[sender.id] = waiting - 1
            # whoever answers has taken its own offer, which crossed this one, back
            sender.unanswered.pop(target.id, None)
        return [Tell((target.id,), message.kind, {"fromSocketId": sender.id, "sdp": message.sdp})]

    def candidate(self, sender_id: str, message: Candidate, now: float) -> list[Effect]:
        """Take a candidate to where it should go, at `now` seconds; a late one goes nowhere.

        Raises:
            RateLimited: Too many.
            Conflict: The sender is in no room, or in another one.
            NotFound: The target is not and was not lately in this room.
        """
        socket = self._socket(sender_id)
        socket.candidates.take(now, "candidates of one connection")
        if sender_id not in self.members and socket.left is not None and message.room_id in (None, socket.left):
            return []
        sender = self._member(sender_id, message.room_id, "ice-candidate")
        if message.target is None:
            return [ForServer(sender, message)]
        if message.target in sender.room.departed and message.target not in sender.room.members:
            return []
        target = self._target(sender, message.target)
        return [Tell((target.id,), "ice-candidate", {"fromSocketId": sender.id, "candidate": message.candidate})]

    def mute(self, member_id: str, muted: bool, room_id: str | None = None) -> list[Effect]:
        """Somebody is not to be heard, or to be heard again; everybody is told, once.

        Raises:
            Conflict: It is in no room, or in another one.
        """
        member = self._member(member_id, room_id, "mute" if muted else "unmute")
        if member.muted == muted:
            return []
        member.muted = muted
        return [Tell(tuple(member.room.members), "peer-muted", {"socketId": member.id, "muted": muted})]

    def state(self, member: Member) -> dict[str, Any]:
        """A member's room as ``room-state`` tells it to that member."""
        room = member.room
        participants = []
        for other in room.members.values():
            told = other.as_dict()
            if other is not member:
                told["polite"] = member.order > other.order
            participants.append(told)
        return {**_captions(room), "mode": room.mode, "participants": participants}

    def _socket(self, socket_id: str) -> _Socket:
        socket = self._sockets.get(socket_id)
        if socket is None:
            limits = self.limits
            socket = self._sockets[socket_id] = _Socket(
                Allowance(limits.joins), Allowance(limits.descriptions), Allowance(limits.candidates)
            )
        return socket

    def _member(self, member_id: str, room_id: str | None, event: str) -> Member:
        member = self.members.get(member_id)
        if member is None:
            raise Conflict(f"{event} came from a connection that is in no room; send join-room first")
        if room_id is not None and room_id != member.room.id:
            raise Conflict(f"this connection is in room {member.room.id!r} and not in that one", field="roomId")
        return member

    @staticmethod
    def _target(sender: Member, target_id: str) -> Member:
        if target_id == sender.id:
            raise Conflict("this is your own id; name the other one, or 'server'", field="targetSocketId")
        target = sender.room.members.get(target_id)
        if target is None:
            raise _not_here(target_id)
        if target.transport != "webrtc":
            raise Conflict(
                f"{target_id} takes part by {target.transport} and hears and is heard through the server only; "
                "send your offer to 'server'",
                field="targetSocketId",
            )
        return target

    @staticmethod
    def _void_offers(room: Room, left: Member) -> list[Effect]:
        effects: list[Effect] = []
        for other in room.members.values():
            if other.unanswered.pop(left.id, None):
                error = {**_left(left.id).as_dict(), "event": "offer", "targetSocketId": left.id}
                effects.append(Tell((other.id,), "error", error))
        return effects


def _captions(room: Room) -> dict[str, Any]:
    captions = None if room.captions is None else {"language_code": room.captions.language}
    return {"roomId": room.id, "captions": captions}


def _not_here(target_id: str) -> AntiphonError:
    return NotFound(
        f"there is no {target_id[:64]!r} in this room; room-state, peer-joined and peer-left tell who is",
        field="targetSocketId",
    )


def _left(target_id: str) -> AntiphonError:
    return NotFound(f"{target_id!r} left before it answered your offer", field="targetSocketId")
