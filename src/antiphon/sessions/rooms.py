"""Rooms: who is in them, their media, and what everybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from antiphon.clock import Clock
from antiphon.errors import AntiphonError, EngineUnavailable, NotFound, RateLimited, UnsupportedFormat
from antiphon.events import Entry
from antiphon.media.rtc import MediaEngine
from antiphon.protocol.allowance import Allowance, Rate
from antiphon.protocol.negotiation import Candidate, Description, JoinRoom
from antiphon.protocol.negotiation import Captions as CaptionsWanted
from antiphon.protocol.signaling import Effect, ForServer, Member, Room, Signaling, Tell, Transport
from antiphon.sessions.audience import Audience, Listener
from antiphon.sessions.captions import follow_words
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.participant import Participant
from antiphon.sessions.room_media import Peer, RoomMedia
from antiphon.sessions.stage import Stage, StageHands
from antiphon.telemetry.logs import get_logger

log = get_logger("rooms")

RELAYED = frozenset({"offer", "answer", "ice-candidate"})
"""Events from one member to another. One that finds no room with the other is the sender's to send again."""
ANSWER_TIMEOUT = 5.0
"""Seconds that the engine may take to answer an offer."""
OFFERS = Rate(200, 100)
"""Offers to the media server, of all clients."""


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """How rooms behave.

    Attributes:
        grace_s: Seconds that the media of a vanished connection go on.
    """

    grace_s: float = 5.0


class RoomManager:
    """All rooms of this process.

    Args:
        signaling: Who is in them.
        sessions: Where what is said is written down.
        clock: Time.
        options: How they behave.

    Attributes:
        engine: What carries media; None where there is no WebRTC.
    """

    def __init__(
        self, signaling: Signaling, sessions: SessionManager, clock: Clock, options: RoomOptions | None = None
    ) -> None:
        self.signaling = signaling
        self.engine: MediaEngine | None = None
        self._sessions = sessions
        self._clock = clock
        self._options = options or RoomOptions()
        self._audience = Audience()
        self._stage = Stage(self._audience, sessions, clock, StageHands(self.mute, self._peer_closed, self._background))
        self._vanished: dict[str, asyncio.TimerHandle] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._offers = Allowance(OFFERS)
        self._work: set[asyncio.Task[Any]] = set()

    @property
    def rooms(self) -> dict[str, Room]:
        return self.signaling.rooms

    @property
    def participants(self) -> int:
        """Members of all rooms."""
        return len(self.signaling.members)

    def describe_rooms(self) -> list[dict[str, Any]]:
        """Rooms and who is in them, as ``GET /v1/rooms`` tells it."""
        return [
            {
                "roomId": room.id,
                "mode": room.mode,
                "captions": None if room.captions is None else {"language_code": room.captions.language},
                "participants": [member.as_dict() for member in room.members.values()],
            }
            for room in self.rooms.values()
        ]

    # Coming and going

    def join_socket(
        self, socket_id: str, wanted: JoinRoom, listener: Listener, transport: Transport = "webrtc"
    ) -> Member:
        """Put a Socket.IO connection into a room.

        Raises:
            RateLimited: It has joined too often.
            Conflict: It is in another room.
            SessionLimit: There is no room.
            UnsupportedFormat: The engine does not know the language of its captions.
        """
        self.signaling.may_join(socket_id, self._clock.monotonic())
        return self.join(socket_id, wanted, transport, listener)

    def join(self, member_id: str, wanted: JoinRoom, transport: Transport, listener: Listener) -> Member:
        """Put somebody into a room. Whoever vanished from there under the same `userId` is forgotten.

        Raises:
            AntiphonError: As :meth:`join_socket`.
        """
        if wanted.captions is not None:
            try:
                language = self._sessions.language(wanted.captions.language)
            except UnsupportedFormat as error:
                raise UnsupportedFormat(error.message, field="captions") from None
            wanted = replace(wanted, captions=CaptionsWanted(language))
        self._replace_vanished(wanted)
        effects = self.signaling.join(member_id, wanted, transport, int(self._clock.time() * 1000))
        member = self.signaling.members[member_id]
        self._audience.listeners[member_id] = listener
        self._do(effects)
        for peer in self._peers(member.room):
            self._stage.caption(peer)
        return member

    def leave(self, member_id: str, room_id: str | None = None) -> None:
        """Take a member out of its room.

        Raises:
            Conflict: It is in none, or not in `room_id`.
        """
        member = self.signaling.members.get(member_id)
        effects = self.signaling.leave(member_id, room_id)
        self._after_leaving(member, effects)

    def gone(self, member_id: str) -> None:
        """A connection is closed for good: whatever it had ends."""
        member = self.signaling.members.get(member_id)
        self._after_leaving(member, self.signaling.gone(member_id))

    def vanished(self, member_id: str) -> None:
        """A connection is lost. Its media go on for a while; then it is gone."""
        member = self.signaling.members.get(member_id)
        if member is None or self._peer(member) is None or not self._options.grace_s:
            self.gone(member_id)
            return
        self._audience.listeners.pop(member_id, None)
        loop = asyncio.get_running_loop()
        self._vanished[member_id] = loop.call_later(self._options.grace_s, self.gone, member_id)

    def state(self, member_id: str) -> dict[str, Any] | None:
        """The room of a member as ``room-state`` tells it to it; None where it is in none."""
        member = self.signaling.members.get(member_id)
        return None if member is None else self.signaling.state(member)

    # Negotiation

    def describe(self, member_id: str, message: Description) -> None:
        """An offer or an answer of a member.

        Raises:
            AntiphonError: As :meth:`Signaling.describe`.
        """
        self._do(self.signaling.describe(member_id, message, self._clock.monotonic()))

    def candidate(self, member_id: str, message: Candidate) -> None:
        """A candidate of a member.

        Raises:
            AntiphonError: As :meth:`Signaling.candidate`.
        """
        self._do(self.signaling.candidate(member_id, message, self._clock.monotonic()))

    async def join_http(
        self, member_id: str, wanted: JoinRoom, transport: Transport, listener: Listener, offer: str
    ) -> str:
        """Put somebody into a room with an offer to the media server, whose answer this gives.

        Raises:
            AntiphonError: As :meth:`join_socket`, or the offer was refused; then nobody has joined.
        """
        if self.engine is None:
            raise _no_engine()
        self._offers.take(self._clock.monotonic(), "offers to the media server")
        self.join(member_id, wanted, transport, listener)
        try:
            return await self._negotiate(member_id, offer)
        except BaseException:
            self.gone(member_id)
            raise

    async def negotiate(self, member_id: str, offer: str) -> str:
        """The media server's answer to another offer of a member.

        Raises:
            AntiphonError: It was refused.
        """
        self._offers.take(self._clock.monotonic(), "offers to the media server")
        return await self._negotiate(member_id, offer)

    async def _negotiate(self, member_id: str, offer: str) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def answered(outcome: str | AntiphonError) -> None:
            if answer.done():
                return
            if isinstance(outcome, str):
                answer.set_result(outcome)
            else:
                answer.set_exception(outcome)

        member = self._member(member_id)
        self._media(member.room).offer(member, offer, answered)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            raise EngineUnavailable("the media server did not answer in time; try again", retry_after=1.0) from None

    def trickle(self, member_id: str, line: str) -> None:
        """A candidate of a member for the media server.

        Raises:
            Conflict: It has made no offer.
        """
        member = self._member(member_id)
        self._media(member.room).candidate(member, line)

    # Everything else that members do

    def mute(self, member_id: str, muted: bool, room_id: str | None = None) -> None:
        """Mute a member, or end that.

        Raises:
            Conflict: It is in no room, or not in `room_id`.
        """
        effects = self.signaling.mute(member_id, muted, room_id)
        peer = self._peer(self.signaling.members[member_id])
        if effects and peer is not None:
            peer.media.engine.mute(peer.number, muted)
        self._do(effects)

    def join_local(
        self,
        participant: Participant,
        wanted: JoinRoom,
        listener: Listener,
        play: Callable[[bytes], None],
        **audio: Any,
    ) -> Peer:
        """Put a transcribed stream of its own into a room: it is heard there, and hears.

        Args:
            participant: Whose words are told to the room where it has captions; its id is the member's.
            wanted: What it asks for.
            listener: Who tells it.
            play: Takes what it hears, one tick at a time.
            audio: As :meth:`MediaEngine.join_local`.

        Raises:
            AntiphonError: As :meth:`join_socket`.
            EngineUnavailable: There is no WebRTC.
        """
        if self.engine is None:
            raise _no_engine()
        member = self.join(participant.id, wanted, "websocket", listener)
        try:
            peer = self._media(member.room).join_local(member, play, **audio)
        except ValueError as fault:
            self.gone(member.id)
            raise UnsupportedFormat(f"a room takes no such audio: {fault}") from None
        self._readers[member.id] = self._background(self._read(participant, member), f"captions of {member.id}")
        return peer

    def join_listener(
        self, member_id: str, wanted: JoinRoom, listener: Listener, play: Callable[[bytes], None], **reply: Any
    ) -> Peer:
        """Put somebody into a room who hears it and says nothing.

        Args:
            play: Takes what it hears, one tick or packet at a time.
            reply: Formats of what it hears, as :meth:`MediaEngine.join_local`.

        Raises:
            AntiphonError: As :meth:`join_socket`.
            EngineUnavailable: There is no WebRTC.
        """
        if self.engine is None:
            raise EngineUnavailable("nobody hears a room on this server: its operator has turned media off (--no-rtc)")
        member = self.join(member_id, wanted, "websocket", listener)
        try:
            return self._media(member.room).join_local(member, play, publish=False, listen=True, **reply)
        except ValueError as fault:
            self.gone(member.id)
            raise UnsupportedFormat(f"a room makes no such audio: {fault}") from None
        except AntiphonError:
            self.gone(member.id)
            raise

    def said(self, socket_id: str, session_id: str, entry: Entry) -> None:
        """What a Socket.IO connection said by a stream of its own; told to the others where the room has captions."""
        member = self.signaling.members.get(socket_id)
        if member is not None and member.room.captions is not None:
            self._audience.words(member, session_id, entry, own=False)

    def push(self, peer: Peer, payload: bytes) -> None:
        """Audio of a local participant."""
        peer.media.engine.push(peer.number, payload)

    async def end_captions(self, deadline: float) -> None:
        """End the captions, and wait up to `deadline` seconds until their last words are told."""
        self._stage.end_captions()
        captions = [peer.captions for room in self.rooms.values() for peer in self._peers(room) if peer.captions]
        finishing = [self._background(caption.finish("shutdown"), "last captions") for caption in captions]
        if finishing:
            await asyncio.wait(finishing, timeout=deadline)

    def close(self) -> None:
        """End all media, and everything that waits."""
        for timer in self._vanished.values():
            timer.cancel()
        self._stage.close()
        for task in self._work:
            task.cancel()
        if self.engine is not None:
            self.engine.close()

    # Inside

    def _member(self, member_id: str) -> Member:
        member = self.signaling.members.get(member_id)
        if member is None:
            raise NotFound("this participant has left its room")
        return member

    def _media(self, room: Room) -> RoomMedia:
        if self.engine is None:
            raise _no_engine()
        media = self._audience.media.get(room.id)
        if media is None:
            limit = self.signaling.limits.max_participants
            media = self._audience.media[room.id] = RoomMedia(self.engine, room, self._stage, limit)
        return media

    def _peers(self, room: Room) -> list[Peer]:
        media = self._audience.media.get(room.id)
        return [] if media is None else list(media.peers.values())

    def _peer(self, member: Member) -> Peer | None:
        media = self._audience.media.get(member.room.id)
        return None if media is None else media.peers.get(member.id)

    def _serve(self, effect: ForServer) -> None:
        member, message = effect.member, effect.message
        if isinstance(message, Candidate):
            self.trickle(member.id, message.line)
            return
        shaped = isinstance(message.sdp, dict)

        def answered(outcome: str | AntiphonError) -> None:
            if isinstance(outcome, str):
                sdp = {"type": "answer", "sdp": outcome} if shaped else outcome
                self._audience.tell(member.id, "answer", {"fromSocketId": "server", "sdp": sdp})
            else:
                self._audience.tell(
                    member.id, "error", {**outcome.as_dict(), "event": "offer", "targetSocketId": "server"}
                )

        self._offers.take(self._clock.monotonic(), "offers to the media server")
        self._media(member.room).offer(member, message.text, answered)

    def _after_leaving(self, member: Member | None, effects: Sequence[Effect]) -> None:
        if member is None:
            return
        self._audience.listeners.pop(member.id, None)
        if (timer := self._vanished.pop(member.id, None)) is not None:
            timer.cancel()
        if (reader := self._readers.pop(member.id, None)) is not None:
            reader.cancel()
        media = self._audience.media.get(member.room.id)
        if media is not None and (peer := media.remove(member.id)) is not None:
            self._stage.end(peer)
        self._do(effects)
        if member.room.id not in self.rooms:
            self._stage.forget(member.room)
            if media is not None:
                del self._audience.media[member.room.id]
                media.close()

    def _peer_closed(self, peer: Peer, reason: str) -> None:
        """Who takes part by HTTP, or has vanished, has nothing but its peer and leaves with it."""
        member = peer.member
        if self.signaling.members.get(member.id) is not member:
            return
        self._audience.media_state(peer, "closed", reason)
        if reason != "replaced" and (member.id in self._vanished or member.transport in ("whip", "whep")):
            self.gone(member.id)

    def _replace_vanished(self, wanted: JoinRoom) -> None:
        room = self.rooms.get(wanted.room_id)
        if room is None or not wanted.user_id:
            return
        for member_id in [name for name in self._vanished if name in room.members]:
            if room.members[member_id].user_id == wanted.user_id:
                self.gone(member_id)

    async def _read(self, participant: Participant, member: Member) -> None:
        after = await self._sessions.store.last_id(participant.session.id)

        def words(session_id: str, entry: Entry) -> None:
            if member.room.captions is not None:
                self._audience.words(member, session_id, entry)

        await follow_words(participant, after, words)

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                told = [self._audience.tell(member_id, effect.event, effect.data) for member_id in effect.to]
                if effect.event in RELAYED and not all(told):
                    raise RateLimited(
                        f"{effect.to[0]} does not keep up; this was not passed on: try again in a second",
                        retry_after=1.0,
                    )
            else:
                self._serve(effect)

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("work for a room failed", task=task.get_name(), fault=repr(fault))


def _no_engine() -> AntiphonError:
    return EngineUnavailable("this server takes no media by WebRTC; offer to another participant of the room")
