"""Messages over the maximum: refused with their size, closed on those who go on, and never held in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from integration.clients import (
    CHUNK,
    FRAME,
    Inbox,
    RawSocketIO,
    Stream,
    Talker,
    audio_stream,
    bystander,
    polling,
    raw_socketio,
    transport_of,
)
from integration.observe import Message, rss_mb
from support.server import ServerProcess

MIB = 1 << 20
TEN_MB = 10_000_000
ROOM_MB = 90.0
"""What the server may grow by while it refuses: a message of at most 16 MiB in a few buffers, for each of its sender's
connections."""


def is_too_large(error: Message, size: int) -> None:
    assert (error["code"], error["retryable"]) == ("too_large", False)
    assert f"a message of {size} bytes is over the maximum of {MIB}; nothing of it was taken" in error["message"]
    assert "POST /v1/transcribe" in error["message"]


def is_closing(inbox: Inbox) -> None:
    (closing,) = inbox.all("closing")
    assert closing["reason"].startswith("too_large")
    assert closing["reconnect"] is False


@asynccontextmanager
async def bounded(server: ServerProcess) -> AsyncIterator[None]:
    """The server's memory does not grow by more than it may, at any time in the block."""
    before = rss_mb(server.pid)
    grown = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal grown
        while not done.is_set():
            grown = max(grown, rss_mb(server.pid) - before)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        done.set()
        await watching
    assert grown < ROOM_MB


@pytest.mark.parametrize("kind", ["binary", "text"])
async def test_audio_stream_refuses_large_messages_and_then_their_sender(scripted: ServerProcess, kind: str) -> None:
    async def send(stream: Stream) -> None:
        if kind == "binary":
            await stream.websocket.send_bytes(bytes(TEN_MB))
        else:
            await stream.websocket.send_str("x" * TEN_MB)

    async with bounded(scripted), bystander(scripted.url), audio_stream(scripted.url) as stream:
        await stream.join()
        await stream.audio(bytes(48_000))
        await send(stream)
        is_too_large(await stream.wait("error"), TEN_MB)
        # once or twice is a mistake, and the stream goes on
        await stream.audio(bytes(48_000))
        await stream.wait("transcript", where=lambda message: not message["isPartial"])
        assert stream.text == "one two three"
        await send(stream)
        await stream.wait("error", 2)
        await send(stream)
        await stream.wait_closed()
        is_closing(stream)


@pytest.mark.parametrize("kind", ["base64", "binary", "other"])
async def test_socketio_refuses_large_messages_and_then_their_sender(scripted: ServerProcess, kind: str) -> None:
    async def send(raw: RawSocketIO) -> int:
        if kind == "binary":
            await raw.send('451-["audio_chunk",{"chunk":{"_placeholder":true,"num":0}}]')
            await raw.send(bytes(TEN_MB))
            return TEN_MB
        event = "audio_chunk" if kind == "base64" else "something"
        packet = f'42["{event}",{{"chunk":"{base64.b64encode(bytes(TEN_MB)).decode()}"}}]'
        await raw.send(packet)
        return len(packet)

    async with bounded(scripted), bystander(scripted.url), raw_socketio(scripted.url) as raw:
        await raw.start()
        is_too_large_size = await send(raw)
        is_too_large(await raw.wait("error"), is_too_large_size)
        await raw.emit("audio_chunk", {"chunk": base64.b64encode(bytes(96_000)).decode()})
        await raw.wait("transcription_result", where=lambda result: not result["is_partial"])
        await send(raw)
        await raw.wait("error", 2)
        await send(raw)
        await raw.wait_closed()
        is_closing(raw)


async def test_polling_refuses_large_messages_and_then_their_sender(scripted: ServerProcess) -> None:
    large = f'42["audio_chunk",{{"chunk":"{base64.b64encode(bytes(TEN_MB)).decode()}"}}]'.encode()
    async with bounded(scripted), bystander(scripted.url), polling(scripted.url) as client:
        await client.emit("start_transcription")
        assert await client.post(large) == 200
        is_too_large(await client.wait("error"), len(large))
        await client.emit("audio_chunk", {"chunk": base64.b64encode(bytes(96_000)).decode()})
        await client.wait("transcription_result", where=lambda result: not result["is_partial"])
        await client.post(large)
        await client.wait("error", 2)
        await client.post(large)
        await client.wait_closed()
        is_closing(client)


def announced(size: int) -> bytes:
    """The head of a masked binary frame."""
    return bytes([0x82, 0xFF]) + size.to_bytes(8, "big") + bytes(4)


@pytest.mark.parametrize("door", ["/audio-stream", "/socket.io/?EIO=4&transport=websocket"])
@pytest.mark.parametrize("fragmented", [False, True], ids=["one-frame", "fragments"])
async def test_a_hundred_megabytes_are_not_even_read(scripted: ServerProcess, door: str, fragmented: bool) -> None:
    async with bounded(scripted), bystander(scripted.url), aiohttp.ClientSession() as session:
        websocket = await session.ws_connect(f"{scripted.url}{door}")
        inbox = (Stream if door == "/audio-stream" else RawSocketIO)(websocket)
        transport = transport_of(websocket)
        block = bytes(MIB)
        if not fragmented:
            transport.write(announced(100 * MIB))
        for n in range(100):
            if transport.is_closing():
                break
            if fragmented:
                # a fragment of a message that does not end (RFC 6455 section 5.4)
                transport.write(bytes([0x02 if n == 0 else 0x00, 0xFF]) + MIB.to_bytes(8, "big") + bytes(4))
            transport.write(block)
            await asyncio.sleep(0)
        await inbox.wait_closed()
        assert websocket.close_code in (1009, 1006)
        await inbox.finish()


async def test_polling_does_not_read_a_body_of_a_hundred_megabytes(scripted: ServerProcess) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(MIB)

    async with bounded(scripted), bystander(scripted.url), polling(scripted.url) as client:
        for headers in ({"Content-Length": str(100 * MIB)}, {}):
            # the server may hang up on a body that it does not want
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.session.post(client.url, data=body(), headers=headers) as response:
                    assert response.status == 200
        assert (await client.wait("error", 2))["code"] == "too_large"
        await client.emit("start_transcription")
        await client.wait("transcription_started")


async def test_many_small_packets_in_one_request_are_taken_in_order(scripted: ServerProcess) -> None:
    """As a client sends them whose requests take long."""
    chunk = base64.b64encode(bytes(FRAME)).decode()
    async with polling(scripted.url) as client:
        packets = ['42["start_transcription"]']
        packets += [f'42["audio_chunk",{{"chunk":"{chunk}","seq":{seq}}}]' for seq in range(500)]
        packets += ['42["stop_transcription"]']
        assert await client.post("\x1e".join(packets).encode()) == 200
        stopped = await client.wait("transcription_stopped")
        assert (stopped["duration"], stopped["dropped"]) == (10.0, 0)
        assert not client.all("error")


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"bAAA", b"\x1e".join([b"3"] * 100_000), b"d=42%5B%5D", b"4\x1e4", b"2" + b"[" * 100_000]
)
async def test_a_body_that_holds_no_packets_is_answered(scripted: ServerProcess, body: bytes) -> None:
    async with polling(scripted.url) as client:
        await client.emit("start_transcription")
        await client.wait("transcription_started")
        assert await client.post(body) == 200
        assert (await client.wait("error"))["code"] == "bad_message"
        await client.emit("stop_transcription")
        await client.wait("transcription_stopped")


async def test_an_event_with_endless_attachments_is_not_waited_for(scripted: ServerProcess) -> None:
    async with bounded(scripted), bystander(scripted.url), raw_socketio(scripted.url) as raw:
        await raw.start()
        await raw.send('45999-["audio_chunk",{"chunk":{"_placeholder":true,"num":0}}]')
        assert (await raw.wait("error"))["code"] == "bad_message"
        for _ in range(200):
            await raw.send(bytes(MIB))
        await raw.emit("stop_transcription")
        await raw.wait("transcription_stopped")


async def test_many_large_good_messages_leave_nothing_behind(scripted: ServerProcess) -> None:
    """Messages of just the maximum, and the memory they took is used again."""
    async with bounded(scripted), audio_stream(scripted.url) as stream:
        await stream.join()
        for _ in range(50):
            await stream.websocket.send_bytes(bytes(MIB))
        await stream.send({"type": "ping", "t": 1})
        await stream.wait("pong")
        errors = stream.all("error")
        assert {error["code"] for error in errors} <= {"rate_limited"}
        await stream.leave()


async def test_a_chunk_may_be_as_small_as_one_sample(scripted: ServerProcess) -> None:
    async with Talker(scripted.url, ["websocket"]) as talker, audio_stream(scripted.url) as stream:
        await talker.start()
        await stream.join()
        await talker.send(bytes(CHUNK), size=2, binary=True)
        await stream.audio(bytes(CHUNK), size=2)
        assert (await talker.stop())["duration"] == (await stream.leave())["duration"] == 0.1
