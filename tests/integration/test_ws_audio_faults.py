"""What goes wrong at ``/ws-audio``: each fault is told to whom it concerns, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from integration.clients import transport_of
from integration.listeners import DECODED_RATE, Hearer, decode, hearer, refused, tones, tones_in
from integration.observe import eventually, metrics
from support.audio import sine, wav
from support.server import SCRIPTED, ServerProcess, start_server

KEY = "open-sesame-0123456789"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.wav").write_bytes(wav(tones(5)))
    folder = tmp_path_factory.mktemp("media")
    (folder / "tones.wav").write_bytes(wav(tones(20)))
    (folder / "long.wav").write_bytes(wav(sine(440.0, 60.0)))
    (folder / "words.wav").write_bytes(b"these are words and no audio " * 100)
    (folder / "apple.aiff").write_bytes(b"FORM\0\0\1\0AIFFCOMM" + bytes(300))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "cut.wav").write_bytes(wav(tones(20))[:30])
    (folder / "out.wav").symlink_to(outside / "secret.wav")
    (folder / "folder.wav").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[ServerProcess]:
    flags = ("--media-folder", str(media), "--send-timeout", "2", "--max-programmes", "50")
    with start_server(*SCRIPTED, *flags) as started:
        yield started


@asynccontextmanager
async def bystander(server: ServerProcess) -> AsyncIterator[None]:
    """A listener who hears everything, whatever happens in the block."""
    async with hearer(server.url, "file:tones.wav", events="true") as client:
        await client.heard(1)
        yield
        await client.all_heard()
    assert client.types == ["started", "ended"]
    assert len(client.packets) == 101


async def no_listeners(server: ServerProcess) -> None:
    async def gone() -> bool:
        return (await metrics(server.url))["antiphon_listeners"] == 0

    await eventually(gone)


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "bad_message", "source"),
        ("source=", "bad_message", "source"),
        ("source=tape:1", "bad_message", "source"),
        ("source=file:none.wav", "not_found", "source"),
        ("source=file:../outside0/secret.wav", "bad_message", "source"),
        ("source=file:%2e%2e/secret.wav", "bad_message", "source"),
        ("source=file:/etc/passwd", "bad_message", "source"),
        ("source=file:tones.wav%00", "bad_message", "source"),
        ("source=file:..%5Csecret.wav", "bad_message", "source"),
        ("source=file:out.wav", "not_found", "source"),
        ("source=file:folder.wav", "not_found", "source"),
        ("source=file:tones.wav/x", "not_found", "source"),
        ("source=file:" + "a" * 300, "not_found", "source"),
        ("source=file:" + "a" * 2000, "bad_message", "source"),
        ("source=file:words.wav", "bad_audio", "source"),
        ("source=file:apple.aiff", "unsupported_format", "source"),
        ("source=file:empty.wav", "bad_audio", "source"),
        ("source=file:cut.wav", "bad_audio", "source"),
        ("source=room:", "bad_message", "source"),
        ("source=room:a%20b", "bad_message", "source"),
        ("source=file:tones.wav&sampleRate=44100", "unsupported_format", "sampleRate"),
        ("source=file:tones.wav&sampleRate=fast", "bad_message", "sampleRate"),
        ("source=file:tones.wav&frameMs=15", "unsupported_format", "frameMs"),
        ("source=file:tones.wav&bitrate=1", "unsupported_format", "bitrate"),
        ("source=file:tones.wav&preset=loud", "unsupported_format", "preset"),
        ("source=file:tones.wav&position=-1", "bad_message", "position"),
        ("source=file:tones.wav&events=maybe", "bad_message", "events"),
        ("source=say:" + "a" * 1_000_000, "too_large", "source"),
        ("source=file:" + "a" * 1_000_000, "bad_message", "source"),
        ("source=file:%ff%fe.wav", "not_found", "source"),
    ],
)
async def test_what_cannot_be_heard_is_told_over_the_socket(
    server: ServerProcess, media: Path, query: str, code: str, field: str
) -> None:
    error, closed = await refused(server.url, query)
    assert (error["code"], error.get("field"), closed) == (code, field, 1008), error
    assert str(media) not in error["message"]
    assert len(error["message"]) < 500


async def test_bad_queries_disturb_nobody(server: ServerProcess) -> None:
    async with bystander(server):
        for query in ("", "source=file:words.wav", "source=file:../x", "source=say:" + "a" * 1_000_000):
            await refused(server.url, query)


async def test_a_plain_request_is_told_to_upgrade(server: ServerProcess) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/ws-audio?source=file:tones.wav") as response:
            assert response.status == 426
            assert response.headers["Upgrade"] == "websocket"
            assert (await response.json())["code"] == "bad_message"
        async with session.post(f"{server.url}/ws-audio") as response:
            assert response.status == 405


async def test_a_request_beyond_all_bounds_is_refused_in_words(server: ServerProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /ws-audio?source=say:" + b"a" * 5_000_000)
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.0 400")
    writer.close()


async def test_without_a_folder_the_error_says_how_to_name_one() -> None:
    with start_server(*SCRIPTED) as bare:
        error, closed = await refused(bare.url, "source=file:tones.wav")
        assert (error["code"], closed) == ("not_found", 1008)
        assert "media_folder" in error["message"]
        async with aiohttp.ClientSession() as session, session.get(f"{bare.url}/v1/media") as response:
            assert await response.json() == {"files": []}


async def test_keys_and_origins_are_asked_for_as_at_every_door(media: Path) -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY, "--media-folder", str(media)) as locked:
        error, closed = await refused(locked.url, "source=file:tones.wav")
        assert (error["code"], closed) == ("unauthorized", 1008)
        error, _ = await refused(locked.url, "source=file:tones.wav&token=wrong")
        assert error["code"] == "unauthorized"
        async with hearer(locked.url, "file:tones.wav", token=KEY) as client:
            await client.heard(3)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await refused(locked.url, f"source=file:tones.wav&token={KEY}", headers={"Origin": "https://evil.example"})
        assert refusal.value.status == 403
        async with aiohttp.ClientSession() as session, session.get(f"{locked.url}/v1/media") as response:
            assert response.status == 401


async def test_listeners_are_bounded_and_a_place_that_is_free_is_given(media: Path) -> None:
    with start_server(*SCRIPTED, "--media-folder", str(media), "--max-listeners", "2") as small:
        async with hearer(small.url, "file:long.wav") as first, hearer(small.url, "file:long.wav") as second:
            await first.heard(1)
            await second.heard(1)
            error, closed = await refused(small.url, "source=file:long.wav")
            assert (error["code"], error["retryable"], closed) == ("session_limit", True, 1013)
        await no_listeners(small)
        async with hearer(small.url, "file:tones.wav") as third:
            await third.heard(1)


async def test_programmes_are_bounded(media: Path) -> None:
    with start_server(*SCRIPTED, "--media-folder", str(media), "--max-programmes", "1") as small:
        async with hearer(small.url, "file:long.wav") as first:
            await first.heard(1)
            error, closed = await refused(small.url, "source=file:tones.wav")
            assert (error["code"], closed) == ("session_limit", 1013)
            # the same may be heard by more
            async with hearer(small.url, "file:long.wav") as second:
                await second.heard(1)
        await no_listeners(small)
        # nobody listens to that any more: it gives way
        async with hearer(small.url, "file:tones.wav") as third:
            await third.all_heard()
        assert len(third.packets) == 101


def small_buffer(address: tuple[Any, ...]) -> socket.socket:
    """A socket that takes as little as the system allows."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    return made


@asynccontextmanager
async def narrow(server: ServerProcess, **query: str) -> AsyncIterator[Hearer]:
    connector = aiohttp.TCPConnector(socket_factory=small_buffer)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"{server.url}/ws-audio", params=query) as websocket,
    ):
        client = Hearer(websocket)
        yield client
        await client.finish()


async def test_a_slow_reader_is_told_what_it_lost_and_nobody_else_is_disturbed(server: ServerProcess) -> None:
    query = {"source": "file:long.wav", "bitrate": "510000", "frameMs": "60", "sampleRate": "48000"}
    async with bystander(server), narrow(server, **query) as client:
        await client.heard(3)
        transport = transport_of(client.websocket)
        dropped = (await metrics(server.url))["antiphon_listener_packets_dropped_total"]
        transport.pause_reading()

        async def some_dropped() -> bool:
            return (await metrics(server.url))["antiphon_listener_packets_dropped_total"] >= dropped + 3

        await eventually(some_dropped)
        transport.resume_reading()
        told = await client.wait("dropped")
        assert told["packets"] >= 1
        await client.heard(len(client.packets) + 20)
        lost = client.all("dropped")
        assert lost[-1]["total"] == sum(message["packets"] for message in lost)
        # `dropped` comes before the packet that follows what was lost
        assert isinstance(client.order[client.order.index(lost[0]) + 1], bytes)


async def test_a_client_that_never_reads_is_cut_off(server: ServerProcess) -> None:
    query = {"source": "file:long.wav", "bitrate": "510000", "frameMs": "60", "sampleRate": "48000"}
    async with bystander(server), narrow(server, **query) as client:
        await client.heard(1)
        transport_of(client.websocket).pause_reading()

        async def alone() -> bool:
            return "client does not read; cut off" in server.log

        await eventually(alone)
        transport_of(client.websocket).resume_reading()
        await client.wait_closed()


async def test_clients_that_vanish_leave_nothing_behind(server: ServerProcess) -> None:
    async with bystander(server):
        before = psutil.Process(server.pid).num_fds()
        for _ in range(3):
            async with aiohttp.ClientSession() as session:
                sockets = [
                    await session.ws_connect(f"{server.url}/ws-audio", params={"source": "file:tones.wav"})
                    for _ in range(10)
                ]
                clients = [Hearer(websocket) for websocket in sockets]
                await asyncio.gather(*(client.heard(2) for client in clients))
                for client in clients:
                    transport_of(client.websocket).abort()
                await asyncio.gather(*(client.wait_closed() for client in clients))

        async def as_before() -> bool:
            return psutil.Process(server.pid).num_fds() <= before + 2

        await eventually(as_before)
    await no_listeners(server)


async def test_bytes_that_are_no_websocket_end_that_connection_alone(server: ServerProcess) -> None:
    async with bystander(server), hearer(server.url, "file:long.wav") as client:
        await client.heard(2)
        transport_of(client.websocket).write(b"\xff\xff\xff\xff" * 10)
        await client.wait_closed()
    await no_listeners(server)


async def test_a_decoder_that_is_killed_is_told_to_those_who_hear_that_file(server: ServerProcess) -> None:
    async with bystander(server), hearer(server.url, "file:long.wav", events="true") as client:
        await client.heard(5)

        def decoders() -> list[psutil.Process]:
            children = psutil.Process(server.pid).children(recursive=True)
            return [child for child in children if "antiphon.media.worker" in " ".join(child.cmdline())]

        for process in decoders():
            process.kill()
        await client.all_heard()
        assert client.types[-2:] == ["error", "ended"]
        assert client.all("error")[0]["code"] == "bad_audio"
        assert client.all("ended")[0]["reason"] == "failed"
        assert client.close_code == 1011
        # what was decoded was heard, and whoever comes next hears it from another decoder
        position = client.all("ended")[0]["position"]
        async with hearer(server.url, "file:long.wav", position=position) as again:
            await again.heard(10)


async def test_a_flood_of_messages_is_told_once_a_second_and_then_closed(server: ServerProcess) -> None:
    async with bystander(server), hearer(server.url, "file:long.wav") as client:
        await client.heard(1)
        while not client.closed:
            for _ in range(50):
                if client.websocket.closed:
                    break
                await client.send(type="ping")
            await asyncio.sleep(0)
            if client.all("error"):
                break
        error = await client.wait("error")
        assert (error["code"], error["retryAfter"] > 0) == ("rate_limited", True)
        await client.heard(len(client.packets) + 5)


async def test_a_message_that_is_too_long_is_refused_and_a_huge_one_closes_the_connection(media: Path) -> None:
    with start_server(*SCRIPTED, "--media-folder", str(media), "--max-message-bytes", "4096") as strict:
        async with hearer(strict.url, "file:long.wav") as client:
            await client.heard(1)
            await client.websocket.send_str("a" * 5000)
            assert (await client.wait("error"))["code"] == "too_large"
            await client.heard(len(client.packets) + 2)
            await client.websocket.send_str("a" * 70_000)
            await client.wait_closed()
            assert client.close_code == 1009


async def test_a_server_that_was_killed_goes_on_after_it_is_back(media: Path) -> None:
    with start_server(*SCRIPTED, "--media-folder", str(media)) as first:
        async with hearer(first.url, "file:tones.wav", events="true") as client:
            await client.heard(50)
            first.kill()
            await client.wait_closed()
    pre_skip, heard = client.texts[0]["preSkip"], client.packets
    with first.restarted() as second:
        async with hearer(second.url, "file:tones.wav", position=len(heard) * 0.02) as again:
            await again.all_heard()
    # the same decoder goes on
    samples = decode(heard + again.packets, pre_skip)
    assert tones_in(samples[: 2 * DECODED_RATE]) == list(range(20))


async def test_a_shutdown_is_told(media: Path) -> None:
    with start_server(*SCRIPTED, "--media-folder", str(media), "--shutdown-grace", "0.2") as ending:
        async with (
            hearer(ending.url, "file:long.wav", events="true") as client,
            hearer(ending.url, "room:quiet") as other,
            hearer(ending.url, "say:") as third,
        ):
            await client.heard(3)
            await other.heard(3)
            await third.send(type="ping")
            await third.wait("pong")
            stopping = asyncio.create_task(asyncio.to_thread(ending.stop))
            for listener in (client, other, third):
                await listener.all_heard()
            assert await stopping == 0
        assert client.all("closing") == [{"type": "closing", "reason": "shutdown", "reconnect": True}]
        assert client.all("ended")[0]["reason"] == "shutdown"
        assert other.types == ["closing"]
        assert [listener.close_code for listener in (client, other, third)] == [1001, 1001, 1001]
        assert "Traceback" not in ending.log
