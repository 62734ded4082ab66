"""A room manager with doubles for what it stands on, and ears for its members."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from antiphon.media.rtc import MediaEngine
from antiphon.protocol.negotiation import Description, JoinRoom
from antiphon.protocol.signaling import Signaling, SignalingLimits
from antiphon.sessions import SessionLimits, SessionManager
from antiphon.sessions.rooms import RoomManager, RoomOptions
from antiphon.speech.transcriber import TranscriberOptions
from antiphon.state import MemoryStore
from antiphon.testing import ScriptedRecogniser, ScriptedRtcEngine, VirtualClock

OFFER = "v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\ns=-\r\na=fingerprint:sha-256 AA:BB\r\n"


class Ears:
    """A member's listener that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.deaf = False
        self.news = asyncio.Event()

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        if self.deaf:
            return False
        self.told.append((event, data))
        self.news.set()
        return True

    def all(self, event: str) -> list[dict[str, Any]]:
        return [data for name, data in self.told if name == event]

    async def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while len(self.all(event)) < count:
                self.news.clear()
                await self.news.wait()
        return self.all(event)[count - 1]


class House:
    """A room manager with doubles for what it stands on."""

    def __init__(self, max_streams: int = 8) -> None:
        self.clock = VirtualClock()
        limits = SessionLimits(max_streams=max_streams, max_rate=1000, burst_s=1000)
        recogniser = ScriptedRecogniser(seconds=1.0)
        self.sessions = SessionManager(recogniser, MemoryStore(), limits, TranscriberOptions(), "en-US", self.clock)
        self.signaling = Signaling(SignalingLimits())
        self.rooms = RoomManager(self.signaling, self.sessions, self.clock, RoomOptions(grace_s=60.0))
        self.native = ScriptedRtcEngine()
        self.faults: list[Exception] = []
        self.rooms.engine = MediaEngine(self.native, self.faults.append)
        self.rooms.engine.start()
        self.ears: dict[str, Ears] = {}

    def join(self, member_id: str, room: str = "r1", user: str = "", **wanted: Any) -> Ears:
        ears = self.ears[member_id] = Ears()
        self.rooms.join_socket(member_id, JoinRoom(room, user or member_id, **wanted), ears)
        return ears

    def offer(self, member_id: str, sdp: str = OFFER) -> int:
        """Offer to the server; the number of the peer that it went to."""
        self.rooms.describe(member_id, Description("offer", None, None, {"type": "offer", "sdp": sdp}, sdp))
        name, *call = self.native.calls[-1]
        return int(call[-1]) if name == "join" else int(call[0])

    async def connect(self, member_id: str) -> int:
        """Offer, and be connected."""
        number = self.offer(member_id)
        self.native.tell(("answer", number, "answer"), ("connected", number), ("channel", number))
        await self.ears[member_id].wait("media-state")
        return number

    def said(self, number: int, kind: str = "") -> list[dict[str, Any]]:
        """What went over a peer's metadata channel."""
        messages = [json.loads(text) for peer, text in self.native.asked("send") if peer == number]
        return [message for message in messages if kind in ("", message["type"])]

    async def heard(self) -> None:
        """Let everything that the engine told be dispatched."""
        async with asyncio.timeout(20):
            while self.native._events:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self.rooms.end_captions(10.0)
        self.rooms.close()
        await self.sessions.close()
        assert not self.faults
