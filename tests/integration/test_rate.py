"""Audio that comes faster than it may, and more streams than there may be: told so, and nobody else hurt."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Callable, Iterator

import aiohttp
import pytest

from integration.clients import CHUNK, FRAME, Inbox, Talker, audio_stream, bystander, pieces, rtp, rtp_packets
from integration.observe import Message, rss_mb, session_events, streams_are
from support.server import SCRIPTED, ServerProcess, start_server

PATIENCE = 60.0


@pytest.fixture(scope="module")
def strict() -> Iterator[ServerProcess]:
    """Two seconds of audio at once, and ten times real time for long."""
    with start_server(*SCRIPTED, "--max-rate", "10", "--max-burst", "2") as server:
        yield server


@pytest.fixture(scope="module")
def usual() -> Iterator[ServerProcess]:
    """The limits as they are by default: sixty seconds at once, four times real time."""
    with start_server(*SCRIPTED) as server:
        yield server


async def test_a_hasty_socketio_client_that_obeys_loses_nothing(strict: ServerProcess) -> None:
    """As fast as it can, but it waits when it is told to and goes on from what is not acknowledged."""
    chunks = list(pieces(bytes(12 * 32_000), CHUNK))
    async with bystander(strict.url), Talker(strict.url, ["websocket"]) as talker:
        started = await talker.start()
        sent = refusals = 0
        while sent < len(chunks):
            await talker.emit("audio_chunk", {"chunk": chunks[sent], "seq": sent})
            sent += 1
            if sent == len(chunks):
                await answered(talker, refusals, lambda: talker.acked == len(chunks) - 1)
            await asyncio.sleep(0)
            if len(errors := talker.all("error")) > refusals:
                refusals = len(errors)
                await wait_as_told(errors[-1])
                sent = talker.acked + 1
        stopped = await talker.stop()
    assert refusals > 0
    assert stopped["duration"] == pytest.approx(12.0)
    assert stopped["dropped"] == 0
    assert talker.text == " ".join(["one two three", "four five six", "seven eight nine", "one two three"])
    assert not talker.all("closing")
    assert len(await session_events(strict.url, started["session_id"])) > 4


async def test_a_hasty_rtp_client_that_obeys_loses_nothing(strict: ServerProcess) -> None:
    packets = rtp_packets(bytes(12 * 32_000), first_seq=65_400)
    async with bystander(strict.url), audio_stream(strict.url) as stream:
        await stream.join(framing="rtp")
        sent = refusals = 0

        def acked() -> int:
            return max((ack["seq"] for ack in stream.all("ack")), default=65_399) - 65_400

        while sent < len(packets):
            await stream.websocket.send_bytes(packets[sent])
            sent += 1
            if sent == len(packets):
                await answered(stream, refusals, lambda: acked() == len(packets) - 1)
            await asyncio.sleep(0)
            if len(errors := stream.all("error")) > refusals:
                refusals = len(errors)
                await wait_as_told(errors[-1])
                sent = acked() + 1
        left = await stream.leave()
    assert refusals > 0
    assert left["duration"] == pytest.approx(12.0)
    assert left["dropped"] == 0
    assert stream.text == " ".join(["one two three", "four five six", "seven eight nine", "one two three"])


async def test_whoever_goes_on_at_fifty_times_real_time_is_cut_off(usual: ServerProcess) -> None:
    """At every live door, with numbers and without; the others' streams are not hurt."""
    before = rss_mb(usual.pid)
    async with bystander(usual.url):
        await asyncio.gather(
            flood_socketio(usual.url, numbered=False),
            flood_socketio(usual.url, numbered=True),
            flood_audio_stream(usual.url, framing="plain"),
            flood_audio_stream(usual.url, framing="rtp"),
        )
        assert rss_mb(usual.pid) < before + 60


async def flood_socketio(url: str, *, numbered: bool) -> None:
    async with Talker(url, ["websocket"]) as talker:
        started = await talker.start()
        chunk = base64.b64encode(bytes(CHUNK)).decode()
        async with asyncio.timeout(PATIENCE):
            for seq in itertools.count():
                if talker.closed or not talker.sio.connected:
                    break
                await talker.emit("audio_chunk", {"chunk": chunk, "seq": seq} if numbered else {"chunk": chunk})
                await asyncio.sleep(0.002)
        # the client hands its events to handlers in tasks of their own, which may come after the disconnection
        await talker.until(lambda: bool(talker.all("closing")))
        check_flooded(talker.all("error"), talker.all("closing"))
        await end(url, started["session_id"], started["resume_token"])


async def flood_audio_stream(url: str, *, framing: str) -> None:
    async with audio_stream(url) as stream:
        joined = await stream.join(framing=framing)
        async with asyncio.timeout(PATIENCE):
            for seq in itertools.count():
                if stream.closed:
                    break
                try:
                    packet = rtp(seq, seq * CHUNK // 2, bytes(CHUNK)) if framing == "rtp" else bytes(CHUNK)
                    await stream.websocket.send_bytes(packet)
                except ConnectionError:
                    break
                await asyncio.sleep(0.002)
        await stream.wait_closed()
        check_flooded(stream.all("error"), stream.all("closing"))
        await end(url, joined["sessionId"], joined["resumeToken"])


def check_flooded(errors: list[Message], closing: list[Message]) -> None:
    assert {error["code"] for error in errors} == {"rate_limited"}
    assert all(error["retryable"] for error in errors)
    assert errors[0]["retryAfter"] >= 0.5
    assert "times real time" in errors[0]["message"]
    assert "send it again in" in errors[0]["message"]
    assert 5 <= len(errors) <= 15
    assert [message["reconnect"] for message in closing] == [False]
    assert closing[0]["reason"].startswith("rate_limited")


async def end(url: str, session_id: str, token: str) -> None:
    """The stream itself is still there for a client that has learnt better."""
    async with audio_stream(url) as stream:
        await stream.join(sessionId=session_id, resume={"token": token})
        left = await stream.leave()
    assert left["dropped"] > 0 or left["duration"] >= 60


async def answered(inbox: Inbox, refusals: int, done: Callable[[], bool]) -> None:
    """Wait until all is acknowledged, or another chunk was refused."""
    await inbox.until(lambda: len(inbox.all("error")) > refusals or done())


async def wait_as_told(error: Message) -> None:
    assert error["code"] == "rate_limited"
    await asyncio.sleep(error["retryAfter"])


async def test_a_stream_ends_at_its_longest_length() -> None:
    with start_server(*SCRIPTED, "--max-session", "3", "--max-rate", "100") as server:
        async with Talker(server.url) as talker, audio_stream(server.url) as stream:
            await talker.start()
            await stream.join(framing="rtp")
            await talker.send(bytes(96_000), first_seq=0)
            await talker.send(bytes(CHUNK), first_seq=30)
            for packet in rtp_packets(bytes(96_000 + FRAME)):
                await stream.websocket.send_bytes(packet)
            for inbox in (talker, stream):
                error = await inbox.wait("error")
                assert (error["code"], error["retryable"]) == ("duration_limit", False)
                assert "may last 3 s" in error["message"]
            # all that fits was taken, and is heard
            stopped = await talker.wait("transcription_stopped")
            left = await stream.wait("left")
            assert (stopped["status"], stopped["duration"]) == ("limit", 3.0)
            assert (left["reason"], left["duration"]) == ("limit", 3.0)
            assert talker.text == stream.text == "one two three"
            # and another stream may begin
            await talker.start()
            await talker.stop()


# As many streams as may be


async def test_at_the_limit_of_streams_the_next_is_refused_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with start_server(*SCRIPTED, "--max-streams", "2", "--max-rate", "100") as server:
        async with (
            Talker(server.url) as first,
            audio_stream(server.url) as second,
            Talker(server.url) as third,
            audio_stream(server.url) as fourth,
            aiohttp.ClientSession() as session,
        ):
            await first.start()
            await second.join()
            await third.emit("start_transcription", {})
            await fourth.send({"type": "join"})
            for error in (await third.wait("error"), await fourth.wait("error")):
                assert (error["code"], error["retryable"]) == ("session_limit", True)
                assert error["retryAfter"] > 0
                assert "all 2 streams" in error["message"]
            async with session.post(f"{server.url}/v1/transcribe", data=b"RIFF") as response:
                assert response.status == 503
                assert (await response.json())["code"] == "session_limit"
                assert int(response.headers["Retry-After"]) >= 1
            async with session.get(f"{server.url}/readyz") as response:
                assert response.status == 503
                assert (await response.json())["status"] == "full"
            # those who have a place keep it
            await first.send(bytes(96_000))
            await first.stop()
            assert first.text == "one two three"
            # and a free place can be had, on the same connection that was refused
            await streams_are(server.url, 1)
            await fourth.join()
            await fourth.audio(bytes(96_000))
            await fourth.leave()
            assert fourth.text == "one two three"
            await third.start()
            await third.stop()
            async with session.get(f"{server.url}/readyz") as response:
                assert response.status == 200
            await second.leave()
        await streams_are(server.url, 0)


async def test_a_refused_join_does_not_take_a_place(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream, Talker(scripted.url) as talker:
        for _ in range(2):
            await stream.send(json.dumps({"type": "join", "language": "tlh"}))
            await talker.emit("start_transcription", {"language_code": "tlh"})
        await stream.wait("error", 2)
        await talker.wait("error", 2)
    await streams_are(scripted.url, 0)
