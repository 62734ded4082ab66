"""The door ``/ws-audio`` itself, with a real broadcaster and real sockets, and its heartbeat by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from antiphon.media.broadcast import Broadcaster
from antiphon.security.access import Access
from antiphon.sessions import programmes as programmes_module
from antiphon.sessions.media_folder import MediaFolder
from antiphon.sessions.programmes import ProgrammeOptions, Programmes
from antiphon.testing import ScriptedSynthesiser, VirtualClock
from antiphon.transports.audio_out import AudioOutDoor
from antiphon.transports.listener import Desk
from support.audio import sine, wav
from unit.sessions.house import House


class Station:
    """A door on a port of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.faults: list[Exception] = []
        self.house = House()
        self.broadcaster = Broadcaster(self.faults.append)
        self.programmes = Programmes(
            self.broadcaster, MediaFolder(folder), self.house.rooms, ProgrammeOptions(**options)
        )
        self.programmes.synthesiser = ScriptedSynthesiser()
        desk = Desk(
            broadcaster=self.broadcaster,
            programmes=self.programmes,
            access=Access(),
            clock=VirtualClock(),
            max_message_bytes=1 << 16,
            max_characters=100,
            send_timeout=1000.0,
        )
        self.door = AudioOutDoor(desk, max_listeners=10)
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Station]:
        app = web.Application()
        app.router.add_get("/ws-audio", self.door.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ws-audio"
        self.broadcaster.start()
        try:
            yield self
        finally:
            await self.door.close()
            await self.programmes.close()
            self.broadcaster.close()
            await runner.cleanup()
            await self.house.close()
        assert self.faults == []

    @asynccontextmanager
    async def listen(
        self, source: str, *, autoping: bool = True, **query: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession() as session,
            session.ws_connect(self.url, params={"source": source, **query}, autoping=autoping) as websocket,
        ):
            yield websocket

    def beat(self, ping: bool) -> None:
        for connection in list(self.door._connections):
            connection.beat(ping)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    (tmp_path / "long.wav").write_bytes(wav(sine(440.0, 30.0)))
    async with Station(tmp_path).open() as made:
        yield made


async def packets(websocket: aiohttp.ClientWebSocketResponse, count: int) -> list[bytes]:
    return [await websocket.receive_bytes() for _ in range(count)]


async def next_of(websocket: aiohttp.ClientWebSocketResponse, *kinds: WSMsgType) -> aiohttp.WSMessage:
    while (message := await websocket.receive()).type not in kinds:
        assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT)
    return message


async def test_a_listener_that_answers_pings_stays(station: Station) -> None:
    async with station.listen("file:long.wav", autoping=False) as websocket:
        await packets(websocket, 1)
        for _ in range(3):
            station.beat(ping=True)
            await next_of(websocket, WSMsgType.PING)
            await websocket.pong()
            # answered after the pong, which is then there
            await websocket.send_str('{"type":"ping","t":1}')
            await next_of(websocket, WSMsgType.TEXT)
        assert station.door.listeners == 1


async def test_a_listener_that_answers_no_ping_is_gone_at_the_next(station: Station) -> None:
    async with station.listen("file:long.wav", autoping=False) as websocket:
        await packets(websocket, 1)
        station.beat(ping=True)
        await next_of(websocket, WSMsgType.PING)
        # looked at in between, it is not yet
        station.beat(ping=False)
        await packets(websocket, 1)
        station.beat(ping=True)
        await next_of(websocket, WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSING)


async def test_a_ping_of_the_client_is_answered_with_its_payload(station: Station) -> None:
    async with station.listen("say:", autoping=False) as websocket:
        for payload in (b"", b"abc", bytes(125)):
            await websocket.ping(payload)
            pong = await next_of(websocket, WSMsgType.PONG)
            assert pong.data == payload


async def test_a_client_that_closes_gets_its_close_back(station: Station) -> None:
    async with station.listen("file:long.wav") as websocket:
        await packets(websocket, 2)
        await websocket.close(code=1000)
        assert websocket.close_code == 1000
    async with asyncio.timeout(10):
        while station.door.listeners:
            await asyncio.sleep(0)
    assert station.broadcaster.readers == 0


async def test_who_comes_to_a_tape_without_its_beginning_gets_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programmes_module, "MIN_TAPE_BYTES", 1)
    (tmp_path / "long.wav").write_bytes(wav(sine(440.0, 30.0)))
    # room for some four seconds
    bounds = {"max_programmes": 4, "max_bytes": 4 * 65_536}
    async with (
        Station(tmp_path, **bounds).open() as station,
        station.listen("file:long.wav", bitrate="128000") as first,
    ):
        heard = await packets(first, 1)
        (early,) = station.programmes._keys
        await early.reached(140)
        # half of what is kept lies before the next one
        async with station.listen("file:long.wav", bitrate="128000") as second:
            assert await packets(second, 1) == heard
        assert station.programmes.started_total == 2


async def test_the_server_closes_after_whole_packets(station: Station) -> None:
    async with station.listen("file:long.wav") as websocket:
        await packets(websocket, 3)
        closing = asyncio.create_task(station.door.close())
        await next_of(websocket, WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
        assert websocket.close_code == 1001
        await closing


async def test_after_the_close_nobody_is_taken(station: Station) -> None:
    await station.door.close()
    async with station.listen("file:long.wav") as websocket:
        assert json.loads(await websocket.receive_str())["code"] == "engine_unavailable"
        assert (await websocket.receive()).data == 1013


async def test_a_room_that_the_engine_closes_is_told(station: Station) -> None:
    async with station.listen("room:r1") as websocket:
        async with asyncio.timeout(10):
            while not (joined := station.house.native.asked("join_local")):
                await asyncio.sleep(0)
        number = joined[0][-1]
        station.house.native.tell(("audio", number, b"packet"))
        while True:
            # a live tape is joined at its end, which may be after the first packet
            station.house.native.tell(("audio", number, b"packet"))
            try:
                assert await websocket.receive_bytes(timeout=0.2) == b"packet"
                break
            except TimeoutError:
                continue
        station.house.native.tell(("closed", number, "room closed"))
        error = json.loads((await next_of(websocket, WSMsgType.TEXT)).data)
        assert (error["type"], error["code"]) == ("error", "engine_unavailable")
        assert (await websocket.receive()).data == 1011
