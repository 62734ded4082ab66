"""Who may take part, how many, and how fast; and that those who overdo it disturb nobody."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

pytest.importorskip("aiortc")

from integration.callers import Caller
from integration.clients import audio_stream
from integration.webrtc import connect, peer
from support.server import SCRIPTED, ServerProcess, start_server

KEY = "0123456789abcdef-key"
AUTH = {"token": KEY}
SDP = {"Content-Type": "application/sdp"}
BEARER = {**SDP, "Authorization": f"Bearer {KEY}"}
PCM = {"codec": "pcm_s16le", "sampleRate": 16_000}
TURN = "turn:turn.example.org:3478?transport=udp"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServerProcess]:
    """A server that asks for a key, knows a TURN server and takes three peers."""
    turn = ("--turn-urls", TURN, "--turn-secret", "0123456789abcdef")
    with start_server(*SCRIPTED, "--api-keys", KEY, "--rtc-max-peers", "3", "--rtc-grace", "0", *turn) as server:
        yield server


@pytest.fixture
def room() -> str:
    """A room that no other test uses."""
    return f"room-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("kind", ["whip", "whep"])
async def test_http_asks_for_the_key_but_not_in_a_preflight(guarded: ServerProcess, room: str, kind: str) -> None:
    url = f"{guarded.url}/{kind}/{room}"
    async with aiohttp.ClientSession() as http, peer(ears=int(kind == "whep"), speaks=kind == "whip") as made:
        offer = await made.offer()
        for headers in (SDP, {**SDP, "Authorization": "Bearer another-key-altogether"}):
            async with http.post(url, data=offer, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert (await response.json())["code"] == "unauthorized"
        async with http.options(url) as response:
            assert response.status == 204
            assert response.headers["Allow"] == "POST, OPTIONS"
        async with http.post(url, data=offer, headers=BEARER) as response:
            assert response.status == 201
            (link,) = response.headers.getall("Link")
            assert link.startswith(f'<{TURN}>; rel="ice-server"')
            assert "credential=" in link
            location = response.headers["Location"]
        async with http.delete(guarded.url + location) as response:
            assert response.status == 401
        async with http.delete(guarded.url + location, headers=BEARER) as response:
            assert response.status == 200


async def test_a_join_brings_the_ice_servers(guarded: ServerProcess, room: str) -> None:
    async with Caller(guarded.url, auth=AUTH) as ada:
        answer = await ada.call("join-room", {"roomId": room})
    (server,) = answer["iceServers"]
    assert server["urls"] == [TURN]
    assert server["username"]
    assert server["credential"]


async def test_more_peers_than_are_let_in_are_refused_until_one_has_left(guarded: ServerProcess, room: str) -> None:
    async with Caller(guarded.url, auth=AUTH) as ada, aiohttp.ClientSession() as http, peer(ears=0) as made:
        await ada.enter(room)
        offer = await made.offer()
        locations: list[str] = []
        for _ in range(3):
            async with http.post(f"{guarded.url}/whip/{room}", data=offer, headers=BEARER) as response:
                assert response.status == 201
                locations.append(response.headers["Location"])
        await ada.call("offer", {"sdp": offer})
        error = await ada.wait("error")
        assert (error["code"], error["retryable"]) == ("session_limit", True)
        async with http.post(f"{guarded.url}/whip/{room}", data=offer, headers=BEARER) as response:
            assert response.status == 503
        for location in locations:
            async with http.delete(guarded.url + location, headers=BEARER) as response:
                assert response.status == 200
        await connect(ada, made)


async def test_a_flood_of_offers_is_bounded_and_who_is_connected_notices_nothing(room: str) -> None:
    with start_server(*SCRIPTED) as server:
        async with Caller(server.url) as ada, aiohttp.ClientSession() as http, peer() as made, peer(ears=0) as flooder:
            await ada.enter(room, "Ada")
            await connect(ada, made)
            offer = await flooder.offer()

            async def post() -> int:
                async with http.post(f"{server.url}/whip/{room}", data=offer, headers=SDP) as response:
                    await response.read()
                    return response.status

            before = len(made.all("pong"))
            made.say({"type": "ping", "t": 1})
            statuses = Counter(await asyncio.gather(*(post() for _ in range(1000))))
            assert set(statuses) <= {201, 429, 503}
            # a room has two hundred places, and so many offers a second are looked at
            assert statuses[201] < 200
            assert statuses[429] + statuses[503] > 700
            await made.wait("pong", before + 1)
            made.say({"type": "ping", "t": 2})
            await made.wait("pong", before + 2)
            assert made.state == "connected"
            assert not [told for told in ada.all("media-state") if told["state"] != "connected"]


async def test_without_webrtc_clients_still_find_each_other(room: str) -> None:
    with start_server(*SCRIPTED, "--no-rtc") as server:
        async with (
            Caller(server.url) as ada,
            Caller(server.url) as bob,
            aiohttp.ClientSession() as http,
            audio_stream(server.url) as stream,
        ):
            await ada.enter(room)
            await bob.enter(room)
            await ada.call("offer", {"targetSocketId": bob.id, "sdp": "v=0"})
            await bob.wait("offer")
            answer = await ada.call("offer", {"sdp": "v=0"})
            assert answer["error"]["code"] == "engine_unavailable"
            async with http.post(f"{server.url}/whip/{room}", data="v=0", headers=SDP) as response:
                assert response.status == 503
                assert (await response.json())["code"] == "engine_unavailable"
            async with http.get(f"{server.url}/v1/ice-servers") as response:
                assert "media" not in await response.json()
            await stream.send({"type": "join", "roomId": room, "format": PCM})
            assert (await stream.wait("error"))["code"] == "engine_unavailable"
            await stream.join(format=PCM)
