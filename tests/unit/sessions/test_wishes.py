"""What listeners wish to be sent, and whom that concerns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from antiphon.formats import AudioFormat
from antiphon.protocol.negotiation import JoinRoom
from antiphon.sessions import wishes
from unit.sessions.house import Ears, House


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(wishes, "GATHER_S", 0.0)
    made = House()
    yield made
    await made.close()


async def test_a_listener_of_a_relayed_room_who_wishes_less_has_the_others_send_less(house: House) -> None:
    numbers = {}
    for name in ("ada", "bob", "eve"):
        house.join(name, mode="relay")
        numbers[name] = await house.connect(name)
    wish(house, numbers["ada"], 24_000)
    wish(house, numbers["bob"], 40_000)
    # each is asked for the least that somebody else wishes, once for all who do
    assert await asked(house, numbers["eve"], 1) == [24_000]
    assert await asked(house, numbers["bob"], 1) == [24_000]
    assert await asked(house, numbers["ada"], 1) == [40_000]
    house.rooms.leave("ada")
    assert await asked(house, numbers["eve"], 2) == [24_000, 40_000]
    assert house.said(numbers["bob"], "bitrate-change") == [{"type": "bitrate-change", "bitrate": 24_000}]


async def test_in_a_mixing_room_the_server_sees_to_a_wish_itself(house: House) -> None:
    house.join("ada", mode="mix")
    house.join("bob")
    numbers = [await house.connect("ada"), await house.connect("bob")]
    wish(house, numbers[0], 24_000)
    await house.heard()
    for _ in range(10):
        await asyncio.sleep(0)
    assert house.native.asked("set_bitrate") == [(numbers[0], 24_000)]
    assert house.said(numbers[1], "bitrate-change") == []


async def test_one_who_came_by_a_websocket_is_asked_there(house: House) -> None:
    house.join("ada", mode="relay")
    ada = await house.connect("ada")
    phone = await house.sessions.begin(None, "speaker", AudioFormat(), None)
    ears = Ears()
    house.rooms.join_local(
        phone,
        JoinRoom("r1", "phone", "speaker"),
        ears,
        lambda _: None,
        publish=True,
        listen=False,
        encoding="pcm_s16le",
        sample_rate=16_000,
        channels=1,
    )
    wish(house, ada, 16_000)
    assert await ears.wait("bitrate-change") == {"bitrate": 16_000}


def wish(house: House, number: int, bitrate: int) -> None:
    house.native.tell(("message", number, json.dumps({"type": "bitrate-change", "bitrate": bitrate})))


async def asked(house: House, number: int, count: int) -> list[int]:
    """What somebody was asked to send with, once it was so often."""
    async with asyncio.timeout(20):
        while len(said := house.said(number, "bitrate-change")) < count:
            await asyncio.sleep(0.01)
    return [message["bitrate"] for message in said]
