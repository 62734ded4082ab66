"""The list of ICE servers as a client gets it."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from antiphon.security.turn import IceOptions, MediaAddress, turn_credentials
from antiphon.testing import VirtualClock
from antiphon.transports.http.ice import IceRoutes

SECRET = "0123456789abcdef"
TURN = "turn:turn.example.org:3478?transport=udp"
OPTIONS = IceOptions(("stun:turn.example.org",), (TURN,), SECRET, ttl=600)


async def asked(options: IceOptions, clock: VirtualClock, media: MediaAddress | None = None) -> dict[str, Any]:
    app = web.Application()
    app.add_routes(IceRoutes(options, clock, lambda: media).routes())
    async with TestClient(TestServer(app)) as client, client.get("/v1/ice-servers") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        body: dict[str, Any] = await response.json()
        return body


async def test_nothing_is_named_that_was_not_set_up() -> None:
    assert await asked(IceOptions(), VirtualClock()) == {"iceServers": [], "ttl": IceOptions().ttl}


async def test_each_asker_gets_credentials_of_its_own_that_end() -> None:
    clock = VirtualClock()
    users = set()
    for _ in range(2):
        body = await asked(OPTIONS, clock)
        stun, turn = body["iceServers"]
        expiry, _, user = turn["username"].partition(":")
        assert stun == {"urls": ["stun:turn.example.org"]}
        assert turn["urls"] == [TURN]
        assert int(expiry) == int(clock.time()) + 600 == int(clock.time()) + body["ttl"]
        assert (turn["username"], turn["credential"]) == turn_credentials(SECRET, int(expiry), user)
        users.add(user)
    assert len(users) == 2
    assert "media" not in body


async def test_the_media_port_is_told_once_there_is_one() -> None:
    body = await asked(OPTIONS, VirtualClock(), MediaAddress("voice.example.org", 8443, tcp=False))
    assert body["media"] == {"host": "voice.example.org", "port": 8443, "tcp": False}
