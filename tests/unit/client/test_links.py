"""What a connection writes, read by the server's own parsers; and what it makes of nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from antiphon.client.address import server_url
from antiphon.client.buffer import Chunk
from antiphon.client.errors import ProtocolFault
from antiphon.client.link import Ack, Closing, Hello, LinkLost, Refused, Resume
from antiphon.client.websocket import WebSocketLink
from antiphon.clock import SystemClock
from antiphon.errors import RateLimited
from antiphon.events import Entry, Speaking
from antiphon.formats import AudioFormat
from antiphon.protocol.audio_stream import Join, Leave, parse_control
from antiphon.protocol.rtp import RtpPacket, parse_rtp

HELLO = Hello(AudioFormat(sample_rate=48_000, channels=2), "en-US", False, "talk-1", "guest", "secret")
JOINED = {
    "type": "joined",
    "sessionId": "talk-1",
    "participantId": "p",
    "resumeToken": "t",
    "nextSeq": 7,
    "lastEventId": 0,
}

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def linked(script: Script) -> AsyncIterator[WebSocketLink]:
    """A link to a WebSocket server that does what `script` says."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await script(websocket)
        await websocket.close()
        return websocket

    app = web.Application()
    app.router.add_get("/audio-stream", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        link = WebSocketLink(server_url(str(server.make_url("/"))), session, SystemClock())
        try:
            yield link
        finally:
            await link.close()


async def test_a_join_says_everything_in_the_doors_words() -> None:
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def script(websocket: web.WebSocketResponse) -> None:
        heard.set_result(await websocket.receive_str())
        await websocket.send_json(JOINED)

    async with linked(script) as link:
        resume = Resume("talk-1", "token", 41)
        joined = await link.open(Hello(HELLO.audio, "en-US", False, None, "guest", "secret", resume))
    assert (joined.session_id, joined.participant_id, joined.resume_token, joined.next_seq) == ("talk-1", "p", "t", 7)
    join = parse_control(await heard)
    assert isinstance(join, Join)
    assert (join.session_id, join.role, join.language, join.token) == ("talk-1", "guest", "en-US", "secret")
    assert (join.format, join.rtp, join.interim_results) == (HELLO.audio, True, False)
    assert join.resume is not None
    assert (join.resume.token, join.resume.last_event_id) == ("token", 41)


async def test_packets_carry_numbers_and_timestamps_that_wrap() -> None:
    packets: list[RtpPacket] = []
    goodbye: list[object] = []

    async def script(websocket: web.WebSocketResponse) -> None:
        await websocket.receive_str()
        await websocket.send_json(JOINED)
        packets.extend([parse_rtp(await websocket.receive_bytes()) for _ in range(2)])
        goodbye.append(parse_control(await websocket.receive_str()))
        await websocket.send_json({"type": "ack", "seq": 65_537})

    async with linked(script) as link:
        await link.open(HELLO)
        await link.send(Chunk(65_535, 2**32 - 4, b"abcdefgh"))
        await link.send(Chunk(65_536, 2**32, b"ijkl"))
        await link.send_finish()
        assert await link.receive() == Ack(65_537)
    assert [(p.sequence_number, p.timestamp, p.payload) for p in packets] == [
        (65_535, 2**32 - 4, b"abcdefgh"),
        (0, 0, b"ijkl"),
    ]
    assert len({packet.ssrc for packet in packets}) == 1
    assert goodbye == [Leave()]


async def test_what_comes_is_told_apart_and_the_unknown_passed_over() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "clear"},
        {"type": "pong", "t": 1},
        {"type": "ack", "seq": 3},
        {"type": "error", "message": "too fast", "code": "rate_limited", "retryable": True, "retryAfter": 0.5},
        {"type": "speaking", "eventId": 4, "participantId": "p", "active": True, "at": 0.5},
        {"type": "closing", "reason": "shutdown", "reconnect": True},
    ]

    async def script(websocket: web.WebSocketResponse) -> None:
        await websocket.receive_str()
        await websocket.send_json(JOINED)
        await websocket.send_bytes(b"audio that is sent back")
        for message in messages:
            await websocket.send_json(message)

    async with linked(script) as link:
        await link.open(HELLO)
        assert await link.receive() == Ack(3)
        refused = await link.receive()
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, RateLimited)
        assert refused.error.retry_after == 0.5
        entry = await link.receive()
        assert isinstance(entry, Entry)
        assert (entry.id, entry.event) == (4, Speaking("p", True, 0.5))
        assert await link.receive() == Closing("shutdown", True)
        with pytest.raises(LinkLost, match="closed"):
            await link.receive()


@pytest.mark.parametrize(
    "answer", ["hello", "[1]", '{"type": "joined"}', '{"type": "joined", "nextSeq": "x", "lastEventId": 0}']
)
async def test_nonsense_is_no_antiphon_server(answer: str) -> None:
    async def script(websocket: web.WebSocketResponse) -> None:
        await websocket.receive_str()
        await websocket.send_str(answer)
        await websocket.receive()

    async with linked(script) as link:
        with pytest.raises(ProtocolFault):
            await link.open(HELLO)


async def test_a_closed_connection_is_lost_for_everything() -> None:
    async def script(websocket: web.WebSocketResponse) -> None:
        await websocket.receive_str()

    async with linked(script) as link:
        with pytest.raises(LinkLost):
            await link.open(HELLO)
        with pytest.raises(LinkLost):
            await link.send(Chunk(0, 0, b"ab"))
        with pytest.raises(LinkLost):
            await link.send_finish()
        with pytest.raises(LinkLost):
            await link.receive()
