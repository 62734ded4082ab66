"""The Python client listens to a server: complete, in order and once, over connections that break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from random import Random

import numpy as np
import pytest
from aiohttp import web

from antiphon.client import (
    AudioListener,
    Backoff,
    ConnectionBack,
    ConnectionLost,
    Decoding,
    Heard,
    ListenLimits,
    ListenOptions,
    Notice,
    Packet,
    PacketsLost,
    StreamEnded,
    StreamStarted,
)
from antiphon.errors import BadMessage, NotFound, Unauthorized, UnsupportedFormat
from support.audio import notes, notes_heard, wav
from support.proxy import Proxy
from support.server import ServerProcess, start_server

NOTES = 12
"""Each a quarter of a second, and higher than the one before."""
FILE = "file:notes.wav"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "notes.wav").write_bytes(wav(notes(NOTES)))
    (folder / "not-audio.wav").write_bytes(b"this is a text and no audio" * 100)
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[ServerProcess]:
    with start_server("--media-folder", str(media)) as running:
        yield running


def quick() -> Backoff:
    return Backoff(first=0.02, cap=0.2, random=Random(7))


async def everything(listener: AudioListener) -> list[Heard]:
    async with asyncio.timeout(60), aclosing(listener.listen()) as stream:
        return [heard async for heard in stream]


def packets(heard: list[Heard]) -> list[bytes]:
    return [item.data for item in heard if isinstance(item, Packet)]


def decoded(heard: list[Heard]) -> bytes:
    (started,) = (item for item in heard if isinstance(item, StreamStarted))
    decoding = Decoding(started.sample_rate, started.frame_ms, started.skip)
    return np.concatenate([decoding.decode(packet) for packet in packets(heard)]).tobytes()


async def test_a_file_comes_complete_in_order_and_once(server: ServerProcess) -> None:
    heard = await everything(AudioListener(server.url, ListenOptions(FILE)))
    assert isinstance(heard[0], StreamStarted)
    assert heard[0].duration == NOTES / 4
    assert heard[-1] == StreamEnded("complete")
    assert notes_heard(decoded(heard), heard[0].sample_rate) == list(range(NOTES))


@pytest.mark.parametrize("frame_ms", [10, 20, 60])
async def test_a_connection_that_breaks_again_and_again_loses_and_repeats_no_packet(
    server: ServerProcess, frame_ms: int
) -> None:
    options = ListenOptions(FILE, frame_ms=frame_ms)
    whole, broken = AudioListener(server.url, options), None
    async with Proxy(server.port, seed=frame_ms, cut_down=(2_000, 6_000), cuts=3) as proxy:
        broken = AudioListener(proxy.url, options, backoff=quick())
        first, second = await asyncio.gather(everything(whole), everything(broken))
        assert proxy.cut_off == 3
    assert broken.reconnections == 3
    assert packets(second) == packets(first)
    assert len([item for item in second if isinstance(item, ConnectionBack)]) == 3
    assert not any(isinstance(item, PacketsLost) for item in second)


async def test_a_connection_that_only_stalls_is_given_up_and_another_one_taken(server: ServerProcess) -> None:
    async with Proxy(server.port, seed=4) as proxy:
        listener = AudioListener(proxy.url, ListenOptions(FILE), backoff=quick(), limits=ListenLimits(silence=0.5))
        heard: list[Heard] = []
        async with asyncio.timeout(60), aclosing(listener.listen()) as stream:
            async for item in stream:
                heard.append(item)
                if len(packets(heard)) == 30 and not listener.reconnections:
                    proxy.stall()
                    proxy_is_back = asyncio.create_task(flow_again(proxy))
        await proxy_is_back
    assert listener.reconnections >= 1
    assert notes_heard(decoded(heard), 24_000) == list(range(NOTES))


async def flow_again(proxy: Proxy) -> None:
    """Once the client has come anew."""
    await proxy.reached(2)
    proxy.flow()


async def test_a_server_that_is_killed_and_started_anew_goes_on_where_it_was(media: Path) -> None:
    server = start_server("--media-folder", str(media))
    listener = AudioListener(server.url, ListenOptions(FILE), backoff=quick())
    heard: list[Heard] = []
    try:
        async with asyncio.timeout(60), aclosing(listener.listen()) as stream:
            async for item in stream:
                heard.append(item)
                if len(packets(heard)) == 70 and not listener.reconnections and server.running:
                    server.kill()
                    server = await asyncio.to_thread(server.restarted)
    finally:
        server.stop()
    assert listener.reconnections == 1
    assert len(packets(heard)) == NOTES * 250 // 20 + 1
    assert notes_heard(decoded(heard), 24_000) == list(range(NOTES))


async def test_a_server_that_does_not_come_back_is_given_up(media: Path) -> None:
    with start_server("--media-folder", str(media)) as server:
        limits = ListenLimits(reconnect_timeout=0.3)
        listener = AudioListener(server.url, ListenOptions(FILE), backoff=quick(), limits=limits)
        with pytest.raises(ConnectionLost, match=r"did not come back within 0\.3 s"):  # noqa: PT012
            async with asyncio.timeout(60), aclosing(listener.listen()) as stream:
                async for item in stream:
                    if isinstance(item, Packet) and server.running:
                        server.kill()


async def test_a_server_that_takes_everybody_and_plays_nothing_is_given_up() -> None:
    async def hang_up(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        started = {"type": "started", "source": "file:a", "codec": "opus", "sampleRate": 24_000, "frameMs": 20}
        await websocket.send_json(
            {**started, "channels": 1, "bitrate": 1, "preSkip": 0, "live": False, "duration": 1.0, "position": 0.0}
        )
        await websocket.close()
        return websocket

    app = web.Application()
    app.router.add_get("/ws-audio", hang_up)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        listener = AudioListener(url, ListenOptions(FILE), backoff=quick(), limits=ListenLimits(reconnect_timeout=0.5))
        with pytest.raises(ConnectionLost, match="did not come back"):
            await everything(listener)
    finally:
        await runner.cleanup()


async def test_a_position_begins_in_the_middle(server: ServerProcess) -> None:
    heard = await everything(AudioListener(server.url, ListenOptions(FILE, position=2.0)))
    assert isinstance(heard[0], StreamStarted)
    assert heard[0].position == 2.0
    assert notes_heard(decoded(heard), 24_000) == list(range(8, NOTES))


async def test_texts_by_message_are_said_one_after_another(server: ServerProcess) -> None:
    listener = AudioListener(server.url, ListenOptions("say:"))
    told: list[str] = []
    async with asyncio.timeout(60), aclosing(listener.listen()) as stream:
        async for item in stream:
            if isinstance(item, StreamStarted):
                await listener.say("One.")
                await listener.say("Two.", rate=2.0)
            elif isinstance(item, Notice):
                told.append(f"{item.type} {item.fields.get('id')}")
                if told[-1] == "said 2":
                    break
    assert told == ["saying 1", "said 1", "saying 2", "said 2"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (ListenOptions("file:nothing.wav"), NotFound),
        (ListenOptions("file:../secret"), BadMessage),
        (ListenOptions("radio:one"), BadMessage),
        (ListenOptions(FILE, sample_rate=44_100), UnsupportedFormat),
        (ListenOptions(FILE, position=-1.0), BadMessage),
        (ListenOptions("say:hi", voice="nobody"), BadMessage),
    ],
)
async def test_what_the_server_refuses_is_raised_as_it_said(
    server: ServerProcess, options: ListenOptions, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await everything(AudioListener(server.url, options))


async def test_a_missing_key_is_refused_and_a_right_one_let_in(media: Path) -> None:
    key = "a-key-of-the-tests-0123456789"
    with start_server("--media-folder", str(media), "--api-keys", key) as server:
        with pytest.raises(Unauthorized):
            await everything(AudioListener(server.url, ListenOptions(FILE)))
        heard = await everything(AudioListener(server.url, ListenOptions(FILE, position=2.5), api_key=key))
    assert packets(heard)


async def test_no_server_is_said_at_once() -> None:
    with pytest.raises(ConnectionLost, match="cannot reach a server"):
        await everything(AudioListener("http://127.0.0.1:9", ListenOptions(FILE)))
