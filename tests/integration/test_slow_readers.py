"""Clients that do not read: nothing is kept for them without bound, and after a while they are cut off."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from integration.clients import RawSocketIO, Stream, Talker, audio_stream, bystander, polling
from integration.observe import eventually, metrics, rss_mb, session_events
from support.server import SCRIPTED, ServerProcess, start_server

ROOM_MB = 60.0
HALF_A_MINUTE = bytes(960_000)
"""Ten sentences of the script."""


@pytest.fixture(scope="module")
def hasty() -> Iterator[ServerProcess]:
    """A server that gives a client half a second to take a message, and takes audio as fast as it comes."""
    flags = [f"--max-{name}={1_000_000}" for name in ("rate", "burst", "backlog", "session")]
    with start_server(*SCRIPTED, "--send-timeout", "0.5", *flags) as server:
        yield server


def small_buffer(address: tuple[object, ...]) -> socket.socket:
    """A socket that takes as little as the system allows."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    return made


@asynccontextmanager
async def narrow() -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose connections have tiny buffers."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=small_buffer)) as session:
        yield session


def transport_of(response: aiohttp.ClientResponse) -> asyncio.Transport:
    connection = response.connection
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


async def flood_until_cut(websocket: aiohttp.ClientWebSocketResponse, *messages: str | bytes) -> None:
    """Send what is answered, and speech that becomes words, and never read, until the server has had enough."""
    transport = transport_of(websocket._response)
    async with asyncio.timeout(30):
        while not transport.is_closing():
            try:
                for message in messages:
                    await (websocket.send_str(message) if isinstance(message, str) else websocket.send_bytes(message))
            except ConnectionError:
                return
            await asyncio.sleep(0)


async def test_an_audio_stream_client_that_never_reads_is_cut_off(hasty: ServerProcess) -> None:
    async with bystander(hasty.url), narrow() as session:
        before = rss_mb(hasty.pid)
        websocket = await session.ws_connect(f"{hasty.url}/audio-stream")
        stream = Stream(websocket)
        joined = await stream.join()
        transport_of(websocket._response).pause_reading()
        pings = ['{"type":"ping","t":"' + "t" * 60 + '"}'] * 50
        await flood_until_cut(websocket, *pings, HALF_A_MINUTE)
        assert rss_mb(hasty.pid) < before + ROOM_MB

        async def gone() -> bool:
            return (await metrics(hasty.url))["antiphon_websocket_connections"] == 0

        await eventually(gone)
        await stream.finish()
        # its stream is as it was, for when it reads again
        async with audio_stream(hasty.url) as again:
            await again.join(sessionId=joined["sessionId"], resume={"token": joined["resumeToken"]})
            await again.leave()
    assert "client does not read; cut off" in hasty.log


async def test_a_socketio_client_that_never_reads_is_cut_off(hasty: ServerProcess) -> None:
    async with bystander(hasty.url), narrow() as session:
        before = rss_mb(hasty.pid)
        others = (await metrics(hasty.url))["antiphon_socketio_connections"]
        websocket = await session.ws_connect(f"{hasty.url}/socket.io/?EIO=4&transport=websocket")
        raw = RawSocketIO(websocket)
        await raw.connect()
        await raw.start()
        transport_of(websocket._response).pause_reading()
        announced = '451-["audio_chunk",{"chunk":{"_placeholder":true,"num":0}}]'
        await flood_until_cut(websocket, *['42["what-is-this",{}]'] * 50, announced, HALF_A_MINUTE)
        assert rss_mb(hasty.pid) < before + ROOM_MB

        async def gone() -> bool:
            return (await metrics(hasty.url))["antiphon_socketio_connections"] == others

        await eventually(gone)
        await raw.finish()


async def test_a_polling_client_that_never_polls_costs_little(hasty: ServerProcess) -> None:
    bad = "\x1e".join(["4what is this"] * 4_000).encode()
    async with bystander(hasty.url), polling(hasty.url) as client:
        await client.emit("start_transcription")
        await client.wait("transcription_started")
        assert client._reader is not None
        client._reader.cancel()
        await asyncio.wait([client._reader])
        client._reader = None
        before = rss_mb(hasty.pid)
        for _ in range(30):
            await client.post(bad)
        assert rss_mb(hasty.pid) < before + 15


async def test_a_reader_of_events_that_never_reads_is_cut_off(hasty: ServerProcess) -> None:
    async with Talker(hasty.url, ["websocket"]) as talker, narrow() as session:
        started = await talker.start()
        response = await session.get(f"{hasty.url}/v1/sessions/{started['session_id']}/events")
        transport_of(response).pause_reading()
        before = rss_mb(hasty.pid)
        log = hasty.log.count("does not read")
        for seq in range(2_000):
            await talker.emit("audio_chunk", {"chunk": HALF_A_MINUTE, "seq": seq})
            if seq % 20 == 19:
                await talker.wait("audio_ack", where=lambda ack: ack["seq"] >= seq)  # noqa: B023 - awaited here
            if hasty.log.count("does not read") > log:
                break
        await talker.stop()
        assert rss_mb(hasty.pid) < before + ROOM_MB
        assert hasty.log.count("does not read") > log
        assert not talker.all("error")
        response.close()
    assert (await session_events(hasty.url, started["session_id"]))[-1].name == "ended"
