"""What happens on the stage of a room: who speaks, what is said, and what peers ask of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from antiphon.clock import Clock
from antiphon.errors import AntiphonError, Internal, NotFound, RateLimited
from antiphon.protocol.audio_stream import BitrateChange, Mute, Ping
from antiphon.protocol.room_events import parse_channel
from antiphon.protocol.signaling import Room
from antiphon.sessions.audience import Audience
from antiphon.sessions.captions import Captions, CaptionSink
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.room_media import LocalPeer, Peer
from antiphon.sessions.speaking import Speaking
from antiphon.sessions.wishes import Wishes

TAPPED = frozenset({"webrtc", "whip"})
"""Ways in of those whose audio is tapped for captions; others bring a transcription of their own, or do not speak."""


@dataclass(frozen=True, slots=True)
class StageHands:
    """What peers need of the rooms.

    Attributes:
        mute: Mutes a member, or ends that.
        closed: Called when a peer is gone, and why.
        background: Does something that waits.
    """

    mute: Callable[[str, bool], None]
    closed: Callable[[Peer, str], None]
    background: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Stage:
    """Takes what the engine tells of the peers of all rooms.

    Args:
        audience: Who is told.
        sessions: Where what is said is written down.
        clock: Time.
        hands: What peers need of the rooms.
    """

    def __init__(self, audience: Audience, sessions: SessionManager, clock: Clock, hands: StageHands) -> None:
        self._audience = audience
        self._sessions = sessions
        self._clock = clock
        self._hands = hands
        self._speaking: dict[str, Speaking] = {}
        self._wishes: dict[str, Wishes] = {}
        self._captioning = True

    def connected(self, peer: Peer) -> None:
        self._audience.media_state(peer, "connected")
        self.caption(peer)

    def disconnected(self, peer: Peer) -> None:
        self._audience.media_state(peer, "disconnected")

    def closed(self, peer: Peer, reason: str) -> None:
        self.end(peer)
        self._hands.closed(peer, reason)

    def spoke(self, peer: Peer, active: bool) -> None:
        room = peer.member.room
        if peer.member.id not in room.members:
            return
        speaking = self._speaking.get(room.id)
        if speaking is None:
            speaking = self._speaking[room.id] = Speaking(
                lambda member_id, active: self._audience.speaking(room, member_id, active)
            )
        speaking.set(peer.member.id, active)

    def tapped(self, peer: Peer, pcm: bytes) -> None:
        if peer.captions is None:
            member = peer.member
            wanted = member.captions or member.room.captions
            if wanted is None or wanted.language is None or not self._captioning:
                return
            sink = CaptionSink(
                lambda session_id, entry: self._audience.words(member, session_id, entry),
                lambda error: self._audience.error(peer, error, "captions"),
            )
            peer.captions = Captions(self._sessions, member.role, wanted.language, sink)
        peer.captions.hear(pcm)

    def refused(self, peer: Peer, error: AntiphonError, event: str) -> None:
        self._audience.error(peer, error, event)

    def slots(self, peer: Peer) -> None:
        self._audience.say(peer, {"type": "slots", "slots": peer.slots})

    def wished(self, peer: Peer, bitrate: int) -> None:
        """A listener wishes to be sent less, or more: where its room only passes packets on, the speakers are asked."""
        room = peer.member.room
        if room.mode == "relay" and room.id in self._audience.media:
            wishes = self._wishes.get(room.id)
            if wishes is None:
                wishes = self._wishes[room.id] = Wishes(peer.media, self._ask)
            wishes.set(peer, bitrate)

    def channel(self, peer: Peer) -> None:
        """A metadata channel is open: its peer is told how things stand."""
        if peer.slots:
            self.slots(peer)
        speaking = self._speaking.get(peer.member.room.id)
        for member_id in speaking.active if speaking is not None else ():
            self._audience.say(peer, {"type": "speaking", "participantId": member_id, "active": True})

    def said(self, peer: Peer, text: str) -> None:
        """Do what came over a metadata channel."""
        try:
            peer.messages.take(self._clock.monotonic(), "messages over the metadata channel")
        except RateLimited as error:
            # told once for each second that is too fast, since a refusal is a message too
            if error.retry_after is not None and self._clock.monotonic() >= peer.told_at + 1.0:
                peer.told_at = self._clock.monotonic()
                self._audience.say(peer, {"type": "error", **error.as_dict()})
            return
        try:
            message = parse_channel(text)
            if isinstance(message, Ping):
                self._audience.say(peer, {"type": "pong", "t": message.t, "serverTime": self._clock.time()})
            elif isinstance(message, Mute):
                self._hands.mute(peer.member.id, message.muted)
            elif isinstance(message, BitrateChange):
                peer.media.set_bitrate(peer, message.bitrate)
            elif not message.values:
                self._hands.background(self._count(peer), f"statistics of {peer.member.id}")
        except AntiphonError as error:
            self._audience.say(peer, {"type": "error", **error.as_dict()})

    def caption(self, peer: Peer) -> None:
        """Have what a peer says written down, where its room wants that and it can be heard."""
        member = peer.member
        if peer.connected and member.room.captions is not None and member.transport in TAPPED and not peer.tapped:
            peer.tapped = True
            peer.media.engine.tap(peer.number, self._sessions.engine_rate)

    def end_captions(self) -> None:
        """Nobody is written down from now on who is not already."""
        self._captioning = False

    def end(self, peer: Peer) -> None:
        """A peer says nothing more; what it said is still told."""
        if (wishes := self._wishes.get(peer.member.room.id)) is not None:
            wishes.forget(peer)
        captions, peer.captions = peer.captions, None
        if captions is not None:
            self._hands.background(captions.finish("left"), f"last captions of {peer.member.id}")
        speaking = self._speaking.get(peer.member.room.id)
        if speaking is not None:
            if peer.member.id in peer.member.room.members:
                speaking.set(peer.member.id, False)
            else:
                speaking.forget(peer.member.id)

    def forget(self, room: Room) -> None:
        """Nobody is left in a room."""
        speaking = self._speaking.pop(room.id, None)
        if speaking is not None:
            speaking.close()
        wishes = self._wishes.pop(room.id, None)
        if wishes is not None:
            wishes.close()

    def close(self) -> None:
        """Tell nothing more of who speaks."""
        for speaking in self._speaking.values():
            speaking.close()
        for wishes in self._wishes.values():
            wishes.close()

    def _ask(self, peer: Peer, bitrate: int) -> None:
        """Ask a speaker to send with so many bits a second."""
        if isinstance(peer, LocalPeer):
            self._audience.tell(peer.member.id, "bitrate-change", {"bitrate": bitrate})
        else:
            self._audience.say(peer, {"type": "bitrate-change", "bitrate": bitrate})

    async def _count(self, peer: Peer) -> None:
        try:
            values = await peer.media.engine.stats(peer.number)
        except NotFound:
            return
        except TimeoutError:
            self._audience.say(peer, {"type": "error", **Internal("statistics took too long").as_dict()})
            return
        self._audience.say(peer, {"type": "stats", **{_camel(name): value for name, value in values.items()}})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
