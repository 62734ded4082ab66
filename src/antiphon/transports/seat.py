"""A WebSocket's seat in a room: what it is told, and what it hears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from antiphon.protocol.audio_stream import Join, RoomWish
from antiphon.protocol.negotiation import JoinRoom
from antiphon.sessions import Participant
from antiphon.sessions.audience import VIEW
from antiphon.sessions.room_media import Peer
from antiphon.sessions.rooms import RoomManager

MAX_FRAMES = 15
"""Frames of audio, of one tick each, that wait for a slow client; the oldest go first."""


class Seat:
    """One stream in a room, which speaks there what it says, and gets what it hears.

    Args:
        rooms: Where rooms live.
        participant: The stream.
        say: Sends the client a message if it keeps up; False where it does not.
        send: Sends the client a message or a frame of audio, waiting where it is slow.

    Attributes:
        dropped: Frames that a slow client did not get.
    """

    def __init__(
        self,
        rooms: RoomManager,
        participant: Participant,
        say: Callable[[dict[str, Any]], bool],
        send: Callable[[str | bytes], Awaitable[None]],
    ) -> None:
        self._rooms = rooms
        self._participant = participant
        self._say = say
        self._send = send
        self._early: list[dict[str, Any]] | None = []
        self._frames: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._player: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._peer: Peer | None = None
        self.dropped = 0
        self._untold = 0

    def take(self, join: Join, wish: RoomWish) -> None:
        """Enter the room.

        Raises:
            AntiphonError: As :meth:`RoomManager.join_local`.
        """
        participant = self._participant
        audio: dict[str, Any] = {
            "publish": True,
            "listen": wish.listen,
            "encoding": join.format.encoding.value,
            "sample_rate": participant.format.sample_rate,
            "channels": participant.format.channels,
        }
        if join.reply is not None:
            audio |= {"reply_encoding": join.reply.encoding.value, "reply_rate": join.reply.sample_rate}
        wanted = JoinRoom(wish.room_id, wish.user_id, join.role, wish.mode, wish.captions)
        self._peer = self._rooms.join_local(participant, wanted, self, self._hear, **audio)
        participant.inflow.tee = self._speak

    def open(self) -> None:
        """The client knows that it has joined: it may be told of the room."""
        early, self._early = self._early or [], None
        for message in early:
            self._say(message)
        self._player = asyncio.create_task(self._run(), name=f"player {self._participant.id}")

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        """Of the rooms: an event for this member."""
        message = {"type": event, **data}
        if self._early is not None:
            self._early.append(message)
            return True
        told = self._say(message)
        if not told and event in VIEW and self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up(), name=f"catch up {self._participant.id}")
        return told

    def mute(self, muted: bool) -> None:
        """Let nobody hear the stream."""
        self._rooms.mute(self._participant.id, muted)

    def set_bitrate(self, bitrate: int) -> None:
        """What comes back, where it is Opus, in bits a second."""
        if self._peer is not None:
            self._peer.media.set_bitrate(self._peer, bitrate)

    def leave(self) -> None:
        """The connection, or its stream, is done."""
        self._participant.inflow.tee = None
        if self._peer is not None:
            self._peer = None
            self._rooms.gone(self._participant.id)
        for task in (self._player, self._catching_up):
            if task is not None:
                task.cancel()

    def _speak(self, payload: bytes) -> None:
        if self._peer is not None:
            self._rooms.push(self._peer, payload)

    def _hear(self, payload: bytes) -> None:
        if len(self._frames) >= MAX_FRAMES:
            self._frames.popleft()
            self.dropped += 1
            self._untold += 1
        self._frames.append(payload)
        self._more.set()

    async def _catch_up(self) -> None:
        """Tell the client how things stand, as soon as it takes something again."""
        while (state := self._rooms.state(self._participant.id)) is not None:
            await self._send(orjson.dumps({"type": "room-state", **state}).decode())
            # what happened while this waited for its turn is not in it
            if state == self._rooms.state(self._participant.id):
                break
        self._catching_up = None

    async def _run(self) -> None:
        while True:
            while self._frames:
                if self._untold:
                    # before the frame that follows what is missing
                    packets, self._untold = self._untold, 0
                    told = {"type": "dropped", "packets": packets, "total": self.dropped}
                    await self._send(orjson.dumps(told).decode())
                    continue
                await self._send(self._frames.popleft())
            self._more.clear()
            await self._more.wait()
