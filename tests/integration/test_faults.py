"""What breaks while somebody speaks: decoders, their parent, and the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from integration.clients import Talker, audio_stream, rtp_packets, transport_of
from integration.observe import events, eventually, metrics, session_events
from support.audio import speech, transcripts, wav
from support.server import ServerProcess, start_server

NAME = "quick-brown-fox"
AUDIO = speech(NAME)
WORDS = transcripts()[f"{NAME}.wav"]
MIDDLE = len(AUDIO) // 2 - len(AUDIO) // 2 % 3_200
"""In the middle of a word, at the end of a chunk."""


FLAGS = ("--max-rate", "100", "--decoder-timeout", "5", "--shutdown-grace", "1")


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server that the test may end."""
    with start_server(*FLAGS) as running:
        yield running


@pytest.fixture(scope="module")
def sturdy() -> Iterator[ServerProcess]:
    """A server that outlives its decoders."""
    with start_server(*FLAGS) as running:
        yield running


def parent(server: ServerProcess) -> psutil.Process:
    """The process that has loaded the recogniser's model."""
    children = [child for child in psutil.Process(server.pid).children() if alive(child)]
    (found,) = [child for child in children if any("pocketsphinx" in word for word in child.cmdline())]
    return found


def decoders(server: ServerProcess) -> list[psutil.Process]:
    return [child for child in parent(server).children(recursive=True) if alive(child)]


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


async def half_way(talker: Talker) -> None:
    """Speak up to the middle and be heard."""
    await talker.start()
    await talker.send(AUDIO[:MIDDLE], first_seq=0)
    await talker.wait("transcription_result", 3)


async def to_the_end(talker: Talker) -> None:
    """Speak the rest; everything is heard, nothing twice, and nobody is told of any fault."""
    await talker.send(AUDIO[MIDDLE:], first_seq=MIDDLE // 3_200)
    stopped = await talker.stop()
    assert talker.text == WORDS
    assert not talker.all("error")
    assert stopped["dropped"] == 0
    results = talker.all("transcription_result")
    assert len({result["result_id"] for result in results}) == 1
    ends = [result["end"] for result in results if result["is_partial"]]
    assert ends == sorted(ends)


async def test_a_decoder_that_dies_in_mid_utterance_is_replaced(sturdy: ServerProcess) -> None:
    async with Talker(sturdy.url) as talker:
        await half_way(talker)
        for decoder in decoders(sturdy):
            decoder.kill()
        await to_the_end(talker)
    assert (await metrics(sturdy.url))["antiphon_engine_decoders_started_total"] >= 2


async def test_a_decoder_that_hangs_in_mid_utterance_is_replaced(sturdy: ServerProcess) -> None:
    async with Talker(sturdy.url) as talker:
        await half_way(talker)
        hung = decoders(sturdy)
        for decoder in hung:
            decoder.suspend()
        await to_the_end(talker)
    # and does not stay behind
    await eventually(lambda: not any(alive(decoder) for decoder in hung))


@pytest.mark.parametrize("with_children", [False, True], ids=["alone", "with-its-decoders"])
async def test_the_decoders_parent_may_die(sturdy: ServerProcess, with_children: bool) -> None:
    async with Talker(sturdy.url) as talker:
        await half_way(talker)
        first = parent(sturdy)
        children = decoders(sturdy) if with_children else []
        for process in (first, *children):
            process.kill()
        await to_the_end(talker)
        # the next speakers need a new one
        async with Talker(sturdy.url) as second, Talker(sturdy.url) as third:
            await asyncio.gather(half_way(second), half_way(third))
            await asyncio.gather(to_the_end(second), to_the_end(third))
    assert parent(sturdy).pid != first.pid


async def test_an_utterance_on_which_every_decoder_dies_is_given_up_and_the_next_is_heard() -> None:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    both = speech("two-utterances")
    with start_server("--engine", "integration.engines:FailingRecogniser", PYTHONPATH=path) as server:
        async with Talker(server.url) as talker, audio_stream(server.url) as stream:
            await stream.join(framing="rtp")
            for packet in rtp_packets(both):
                await stream.websocket.send_bytes(packet)
            error = await stream.wait("error")
            left = await stream.leave()
            # the next one's are not hurt
            await talker.start()
            await talker.send(both)
            await talker.stop()
    assert (error["code"], error["retryable"]) == ("engine_failed", True)
    assert "could not be transcribed" in error["message"]
    assert "later speech is heard again" in error["message"]
    assert error["eventId"] > 0
    assert stream.text == "one two three"
    assert stream.finals[0]["start"] > len(both) / 32_000 / 2
    assert (left["reason"], left["dropped"]) == ("left", 0)
    assert left["duration"] == pytest.approx(len(both) / 32_000, abs=0.002)
    assert len(talker.finals) == 2
    assert not talker.all("error")


# The end of the server


async def test_sigterm_lets_what_was_said_be_heard(server: ServerProcess) -> None:
    async with Talker(server.url) as talker, audio_stream(server.url) as stream, aiohttp.ClientSession() as session:
        started = await talker.start()
        joined = await stream.join(framing="rtp")
        answer = await session.get(f"{server.url}/v1/sessions/{joined['sessionId']}/events")
        await talker.send(AUDIO[:-24_000], first_seq=0)
        for packet in rtp_packets(AUDIO[:-24_000]):
            await stream.websocket.send_bytes(packet)
        await talker.wait("transcription_result", 3)
        await stream.wait("transcript", 3)

        ending = asyncio.create_task(asyncio.to_thread(server.stop))
        for inbox in (talker, stream):
            closing = await inbox.wait("closing")
            assert (closing["reason"], closing["reconnect"]) == ("shutdown", True)
        # nobody new comes in
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{server.url}/healthz")
        stopped = await talker.wait("transcription_stopped")
        left = await stream.wait("left")
        read = [event async for event in events(answer)]
        await asyncio.gather(talker.wait_closed(), stream.wait_closed())
        assert await ending == 0
    assert stopped["status"] == "shutdown"
    assert left["reason"] == "shutdown"
    assert talker.text == stream.text == WORDS
    assert stream.close_code == 1001
    assert (read[-1].name, read[-1].data["reason"]) == ("ended", "shutdown")
    assert started["session_id"] != joined["sessionId"]
    assert not talker.all("error")
    assert not stream.all("error")
    assert "complete=False" in server.log


async def test_sigterm_is_told_to_whoever_reads_late_and_goes_on_sending(server: ServerProcess) -> None:
    async with audio_stream(server.url) as hasty, audio_stream(server.url) as idle:
        await hasty.join()
        await idle.join()
        transport = transport_of(hasty.websocket)
        transport.pause_reading()
        ending = asyncio.create_task(asyncio.to_thread(server.stop))
        late = 0
        while late < 20:  # a server that has closed the socket answers what comes then with a reset
            with contextlib.suppress(ConnectionError):
                await hasty.websocket.send_bytes(bytes(640))
            await asyncio.sleep(0.01)
            late += idle.closed
        transport.resume_reading()
        await hasty.wait_closed()
        assert await ending == 0
    assert idle.close_code == hasty.close_code == 1001
    assert hasty.all("closing")[0]["reason"] == "shutdown"


async def test_sigterm_waits_for_those_who_end_by_themselves() -> None:
    with start_server("--max-rate", "100", "--shutdown-grace", "30") as server:
        async with Talker(server.url) as talker:
            await half_way(talker)
            ending = asyncio.create_task(asyncio.to_thread(server.stop))
            await talker.wait("closing")
            await to_the_end(talker)
            assert await ending == 0
    assert "complete=True" in server.log
    assert "Traceback" not in server.log


async def test_sigterm_ends_an_idle_server_at_once() -> None:
    with start_server() as server:
        async with Talker(server.url) as talker, audio_stream(server.url) as stream:
            code = await asyncio.to_thread(server.stop)
            assert code == 0
            assert (await talker.wait("closing"))["reason"] == "shutdown"
            assert (await stream.wait("closing"))["reason"] == "shutdown"
    assert "Traceback" not in server.log


async def test_sigterm_does_not_wait_for_a_client_that_never_reads(server: ServerProcess) -> None:
    async with audio_stream(server.url) as stream:
        await stream.join()
        transport = transport_of(stream.websocket)
        transport.pause_reading()
        assert await asyncio.to_thread(server.stop) == 0
        transport.resume_reading()


async def test_sigterm_ends_jobs(server: ServerProcess) -> None:
    long = wav(AUDIO * 30)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}/v1/transcriptions", data=io.BytesIO(long)) as response:
            job = await response.json()
        answer = await session.get(f"{server.url}/v1/sessions/{job['id']}/events")
        told = []
        async for event in events(answer):
            told.append(event)
            if event.name == "progress":
                server_ends = asyncio.create_task(asyncio.to_thread(server.stop))
                break
        told += [event async for event in events(answer)]
        assert await server_ends == 0
    assert told[-1].name == "ended"
    assert told[-1].data["reason"] == "cancelled"


async def test_a_killed_server_leaves_no_process_behind(server: ServerProcess) -> None:
    async with Talker(server.url) as talker, aiohttp.ClientSession() as session:
        await half_way(talker)
        long = io.BytesIO(wav(AUDIO * 30))
        async with session.post(f"{server.url}/v1/transcriptions", data=long) as response:
            assert response.status == 202
        # the recogniser, the synthesiser and the file's decoder
        await eventually(lambda: len(psutil.Process(server.pid).children()) == 3)
        family = psutil.Process(server.pid).children(recursive=True)
        assert len(family) >= 3
        family[-1].send_signal(signal.SIGSTOP)
        server.kill()
        await eventually(lambda: not any(alive(process) for process in family), 10)


async def test_a_server_that_ended_is_started_again_and_says_that_streams_are_gone(server: ServerProcess) -> None:
    async with Talker(server.url, ["websocket"]) as talker:
        started = await talker.start()
        server.kill()
        await talker.wait_closed()
    with server.restarted() as again:
        async with Talker(again.url) as talker:
            fields = {"session_id": started["session_id"], "resume_token": started["resume_token"]}
            await talker.emit("start_transcription", fields)
            error = await talker.wait("error")
            assert error["code"] == "not_found"
            assert "the server restarted" in error["message"]
        with pytest.raises(AssertionError):
            await session_events(again.url, started["session_id"])
