"""The media of one room: its participants in the engine, of every kind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from antiphon.errors import AntiphonError, BadMessage, Conflict, EngineUnavailable
from antiphon.media.rtc import MediaEngine, MediaListener, Slots
from antiphon.protocol.allowance import Allowance, Rate
from antiphon.protocol.sdp import identity
from antiphon.protocol.signaling import Member, Room
from antiphon.sessions.captions import Captions

MAX_OFFERS = 8
"""Offers of one peer that may wait for their answers."""
MESSAGES = Rate(50, 20)
"""What a peer may say over its metadata channel."""

Answered = Callable[[str | AntiphonError], None]
"""Called with the answer to an offer, or with what was wrong with it."""


class PeerEvents(Protocol):
    """Who is told what happens to peers."""

    def connected(self, peer: Peer) -> None: ...
    def disconnected(self, peer: Peer) -> None: ...
    def closed(self, peer: Peer, reason: str) -> None: ...
    def spoke(self, peer: Peer, active: bool) -> None: ...
    def said(self, peer: Peer, text: str) -> None: ...
    def tapped(self, peer: Peer, pcm: bytes) -> None: ...
    def refused(self, peer: Peer, error: AntiphonError, event: str) -> None: ...
    def slots(self, peer: Peer) -> None: ...
    def wished(self, peer: Peer, bitrate: int) -> None: ...
    def channel(self, peer: Peer) -> None: ...


class Peer(MediaListener):
    """One member's participant in the engine.

    Attributes:
        number: What the engine calls it.
        identity: Of the peer connection whose offer it answers.
        connected: Packets go both ways.
        tapped: Its audio is asked for.
        messages: How much it may say.
        told_at: When it was told last that it says too much.
        captions: What it says, written down; None where nobody asked, or nothing has come yet.
        slots: Whom its m-lines carry, as it was told last.
    """

    def __init__(self, media: RoomMedia, member: Member, offer: str | None) -> None:
        self.media = media
        self.member = member
        self.identity = identity(offer) if offer is not None else ()
        self.number = -1
        self.connected = False
        self.tapped = False
        self.messages = Allowance(MESSAGES)
        self.told_at = float("-inf")
        self.captions: Captions | None = None
        self.slots: list[dict[str, Any]] = []
        self._answered = False
        self._waiting: deque[Answered] = deque()

    def expect(self, answered: Answered) -> None:
        """An offer was made, or is about to be.

        Raises:
            Conflict: Too many wait.
        """
        if len(self._waiting) >= MAX_OFFERS:
            raise Conflict(f"{MAX_OFFERS} offers of yours wait for their answers; wait for one")
        self._waiting.append(answered)

    def fail(self, error: AntiphonError) -> None:
        """No offer that waits will be answered."""
        while self._waiting:
            self._waiting.popleft()(error)

    def on_answer(self, sdp: str) -> None:
        self._answered = True
        self._next(sdp)

    def on_refused(self, error: AntiphonError) -> None:
        if not self._answered:
            self.media.forget(self)
        self._next(error)

    def on_bad_candidate(self, message: str) -> None:
        self.media.events.refused(self, BadMessage(message, field="candidate"), "ice-candidate")

    def on_connected(self) -> None:
        self.connected = True
        self.media.events.connected(self)

    def on_disconnected(self) -> None:
        self.connected = False
        self.media.events.disconnected(self)

    def on_closed(self, reason: str) -> None:
        self.connected = False
        self.media.forget(self)
        self.fail(EngineUnavailable(f"the peer connection was closed ({reason}); make another one"))
        self.media.events.closed(self, reason)

    def on_channel(self) -> None:
        self.media.events.channel(self)

    def on_message(self, text: str) -> None:
        self.media.events.said(self, text)

    def on_speaking(self, active: bool) -> None:
        self.media.events.spoke(self, active)

    def on_slots(self, slots: Slots) -> None:
        names = self.media.names
        self.slots = [
            {"mid": mid, "participantId": None if number is None else names.get(number)} for mid, number in slots
        ]
        self.media.events.slots(self)

    def on_tap(self, pcm: bytes) -> None:
        self.media.events.tapped(self, pcm)

    def _next(self, outcome: str | AntiphonError) -> None:
        if self._waiting:
            self._waiting.popleft()(outcome)


class LocalPeer(Peer):
    """A participant whose audio comes and goes another way.

    Args:
        play: Called with what it hears, one tick at a time.
    """

    def __init__(self, media: RoomMedia, member: Member, play: Callable[[bytes], None]) -> None:
        super().__init__(media, member, None)
        self._play = play

    def on_audio(self, payload: bytes) -> None:
        self._play(payload)


class RoomMedia:
    """The engine's side of a room.

    Attributes:
        peers: By the member's id.
        names: Ids of members by the engine's numbers.

    Args:
        engine: The engine.
        room: Whose media this is.
        events: Who is told what happens.
        max_participants: Most of them.
    """

    def __init__(self, engine: MediaEngine, room: Room, events: PeerEvents, max_participants: int) -> None:
        self.engine = engine
        self.events = events
        self.peers: dict[str, Peer] = {}
        self.names: dict[int, str] = {}
        self._number = engine.open_room(room.mode, max_participants)

    def offer(self, member: Member, sdp: str, answered: Answered) -> None:
        """Take a member's offer: that of a new peer connection, or another one of the one there is.

        Raises:
            Conflict: Too many wait for their answers.
        """
        peer = self.peers.get(member.id)
        if peer is not None and peer.identity == identity(sdp):
            peer.expect(answered)
            self.engine.offer(peer.number, sdp)
            return
        if peer is not None:
            # a page that was loaded again, or a client that began anew after a failure
            self.remove(member.id)
            self.events.closed(peer, "replaced")
        peer = Peer(self, member, sdp)
        peer.expect(answered)
        publish, listen = member.transport != "whep", member.transport != "whip"
        self._add(peer, self.engine.join(self._number, sdp, peer, publish=publish, listen=listen))

    def candidate(self, member: Member, line: str) -> None:
        """Take a member's candidate; an empty one is the last.

        Raises:
            Conflict: There was no offer.
        """
        peer = self.peers.get(member.id)
        if peer is None:
            raise Conflict("there is no connection to the media server yet, or it was closed; send an offer first")
        if line:
            self.engine.candidate(peer.number, line)

    def join_local(self, member: Member, play: Callable[[bytes], None], **formats: Any) -> Peer:
        """A participant that is fed by :meth:`push`.

        Raises:
            ValueError: A format that the engine does not take.
        """
        peer = LocalPeer(self, member, play)
        peer.connected = True
        self._add(peer, self.engine.join_local(self._number, peer, **formats))
        return peer

    def remove(self, member_id: str) -> Peer | None:
        """Take a member's participant out of the engine."""
        peer = self.peers.get(member_id)
        if peer is not None:
            self.forget(peer)
            self.engine.leave(peer.number)
            peer.fail(EngineUnavailable("the peer connection was closed before its offer was answered"))
        return peer

    def forget(self, peer: Peer) -> None:
        """The engine has no such participant any more."""
        if self.peers.get(peer.member.id) is peer:
            del self.peers[peer.member.id]
        self.names.pop(peer.number, None)

    def set_bitrate(self, peer: Peer, bitrate: int) -> None:
        """What a peer wishes to be sent, in bits a second."""
        self.engine.set_bitrate(peer.number, bitrate)
        self.events.wished(peer, bitrate)

    def send(self, text: str) -> None:
        """Say something over every metadata channel."""
        for peer in self.peers.values():
            if not isinstance(peer, LocalPeer):
                self.engine.send(peer.number, text)

    def close(self) -> None:
        """Nobody is left."""
        self.engine.close_room(self._number)

    def _add(self, peer: Peer, number: int) -> None:
        peer.number = number
        self.peers[peer.member.id] = peer
        self.names[number] = peer.member.id
        if peer.member.muted:
            self.engine.mute(number, True)
