"""A WebSocket's seat in a room, with a client that does not always keep up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.formats import AudioFormat
from antiphon.protocol.audio_stream import Join, RoomWish
from antiphon.transports.seat import MAX_FRAMES, Seat
from unit.sessions.house import House

PCM = AudioFormat()


class Client:
    """What came to a client, which may be made to take nothing."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.heard: list[bytes] = []
        self.takes = asyncio.Event()
        self.takes.set()

    def say(self, message: dict[str, Any]) -> bool:
        if self.takes.is_set():
            self.told.append(message)
        return self.takes.is_set()

    async def send(self, message: str | bytes) -> None:
        await self.takes.wait()
        if isinstance(message, bytes):
            self.heard.append(message)
        else:
            self.told.append(json.loads(message))

    def types(self) -> list[str]:
        return [message["type"] for message in self.told]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.close()


async def sit(house: House, client: Client) -> tuple[Seat, int]:
    participant = await house.sessions.begin(None, "speaker", PCM, None)
    seat = Seat(house.rooms, participant, client.say, client.send)
    wish = RoomWish("r1", "Phone", True, None, None)
    seat.take(Join(None, "", None, None, PCM, PCM, False, True, None, wish), wish)
    return seat, house.native.asked("join_local")[-1][-1]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nothing_is_told_before_the_client_knows_that_it_has_joined(house: House) -> None:
    client = Client()
    seat, _ = await sit(house, client)
    house.join("ada")
    assert client.told == []
    seat.open()
    assert client.types() == ["room-state", "peer-joined"]
    seat.leave()


async def test_a_slow_client_loses_the_oldest_audio(house: House) -> None:
    client = Client()
    seat, number = await sit(house, client)
    seat.open()
    client.takes.clear()
    await settle()
    frames = [bytes([n]) for n in range(MAX_FRAMES + 10)]
    house.native.tell(*[("audio", number, frame) for frame in frames])
    await house.heard()
    await settle()
    client.takes.set()
    await settle()
    # one was on its way
    assert client.heard[-MAX_FRAMES:] == frames[-MAX_FRAMES:]
    assert seat.dropped == len(frames) - len(client.heard)
    assert seat.dropped >= 9
    (told,) = [message for message in client.told if message["type"] == "dropped"]
    assert told == {"type": "dropped", "packets": seat.dropped, "total": seat.dropped}
    seat.leave()


async def test_a_slow_client_is_told_how_things_stand_when_it_reads_again(house: House) -> None:
    client = Client()
    seat, _ = await sit(house, client)
    seat.open()
    client.takes.clear()
    house.join("ada")
    house.join("bob")
    house.rooms.leave("ada")
    await settle()
    assert client.types() == ["room-state"]
    client.takes.set()
    await settle()
    assert client.types()[-1] == "room-state"
    assert {p["userId"] for p in client.told[-1]["participants"]} == {"Phone", "bob"}
    seat.leave()
    assert house.rooms.rooms["r1"].others("bob") == ()
