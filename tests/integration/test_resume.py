"""Streams outlive their connections: every event once, every word whole, every promise of an acknowledgement kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest

from antiphon.protocol.fields import SESSION_ID
from integration.clients import CHUNK, FRAME, Talker, audio_stream, pieces, rtp_packets
from integration.observe import Event, Message, events, eventually, metrics, session_events, streams_are
from support.audio import speech, transcripts
from support.server import SCRIPTED, ServerProcess, start_server

NAME = "tomorrow-morning"
WORDS = transcripts()[f"{NAME}.wav"]
AUDIO = speech(NAME)


@pytest.fixture(scope="module")
def impatient() -> Iterator[ServerProcess]:
    """A server that waits one second for a client to come back."""
    with start_server(*SCRIPTED, "--resume-window", "1", "--max-rate", "100") as server:
        yield server


def assert_in_mid_word(seconds: float, log: list[Event]) -> None:
    words = [word for event in log if event.name == "final" for word in event.data["words"]]
    assert any(word["start"] < seconds < word["end"] for word in words), (seconds, words)


def assert_told_once(told: list[int], log: list[Event]) -> None:
    """Everything of the log that this door tells was told, in order, once."""
    assert told == [event.id for event in log if event.name in ("partial", "final")]


async def test_socketio_goes_on_in_mid_word(hearing: ServerProcess) -> None:
    chunks = list(pieces(AUDIO, CHUNK))
    cut_at = 13
    async with Talker(hearing.url, ["websocket"]) as first:
        started = await first.start()
        await first.send(AUDIO[: cut_at * CHUNK], first_seq=0)
        acked = (await first.wait("audio_ack", where=lambda ack: ack["seq"] >= 3))["seq"]
        await first.wait("transcription_result")
        await first.cut()
    seen = [result["event_id"] for result in first.all("transcription_result")]
    acked = max(ack["seq"] for ack in first.all("audio_ack"))

    async with Talker(hearing.url, ["websocket"]) as second:
        again = await second.start(
            session_id=started["session_id"], resume_token=started["resume_token"], last_event_id=seen[-1]
        )
        assert again["session_id"] == started["session_id"]
        assert again["resume_token"] == started["resume_token"]
        # what was acknowledged need not be sent again
        assert acked < again["next_seq"] <= cut_at
        # what was not is, and a little more, which the server knows already
        overlap = max(0, again["next_seq"] - 2)
        await second.send(b"".join(chunks[overlap:]), first_seq=overlap)
        stopped = await second.stop()
    assert stopped["dropped"] == 0
    assert stopped["duration"] == pytest.approx(len(AUDIO) / 32_000, abs=0.002)
    assert second.text == WORDS
    log = await session_events(hearing.url, started["session_id"])
    assert_told_once(seen + [result["event_id"] for result in second.all("transcription_result")], log)
    assert_in_mid_word(cut_at * CHUNK / 32_000, log)


@pytest.mark.parametrize("framing", ["plain", "rtp"])
async def test_audio_stream_goes_on_in_mid_word(hearing: ServerProcess, framing: str) -> None:
    frames = rtp_packets(AUDIO, first_seq=65_530) if framing == "rtp" else list(pieces(AUDIO, FRAME))
    base = 65_530 if framing == "rtp" else 0
    cut_at = 65
    async with audio_stream(hearing.url) as first:
        joined = await first.join(framing=framing)
        for frame in frames[:cut_at]:
            await first.websocket.send_bytes(frame)
        await first.wait("transcript")
        if framing == "rtp":
            await first.wait("ack", where=lambda ack: ack["seq"] >= base + 10)
        await first.cut()
    seen = [message["eventId"] for message in first.all("transcript")]

    async with audio_stream(hearing.url) as second:
        resume = {"token": joined["resumeToken"], "lastEventId": seen[-1]}
        again = await second.join(sessionId=joined["sessionId"], framing=framing, resume=resume)
        assert again["participantId"] == joined["participantId"]
        wanted = again["nextSeq"] - base
        assert 0 < wanted <= cut_at
        for ack in first.all("ack"):
            assert ack["seq"] < again["nextSeq"]
        for frame in frames[wanted:]:
            await second.websocket.send_bytes(frame)
        left = await second.leave()
        await second.wait_closed()
    assert left["dropped"] == 0
    assert left["duration"] == pytest.approx(len(AUDIO) / 32_000, abs=0.002)
    assert second.text == WORDS
    log = await session_events(hearing.url, joined["sessionId"])
    assert_told_once(seen + [message["eventId"] for message in second.all("transcript")], log)
    assert_in_mid_word(wanted * FRAME / 32_000, log)


async def test_what_is_not_heard_twice_is_not_counted_twice(scripted: ServerProcess) -> None:
    """Packets sent again after a resume are known by their numbers, and so is how long the stream is."""
    audio = bytes(32_000)
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        for packet in rtp_packets(audio):
            await stream.websocket.send_bytes(packet)
            await stream.websocket.send_bytes(packet)
        left = await stream.leave()
    assert left["duration"] == 1.0
    assert left["dropped"] == 0


async def test_another_connection_takes_a_half_open_one_over(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as old, audio_stream(scripted.url) as new:
        joined = await old.join()
        await old.audio(bytes(32_000))
        await old.wait("transcript")
        again = await new.join(sessionId=joined["sessionId"], resume={"token": joined["resumeToken"]})
        assert again["participantId"] == joined["participantId"]
        closing = await old.wait("closing")
        assert (closing["reason"], closing["reconnect"]) == ("replaced", False)
        await old.wait_closed()
        # everything from the beginning, since no last event was named
        await new.wait("transcript", len(old.all("transcript")))
        await new.audio(bytes(64_000 + FRAME))
        left = await new.leave()
    assert left["duration"] == pytest.approx(3.02)
    assert new.text == "one two three"
    assert len((await session_events(scripted.url, joined["sessionId"]))[-1].data["reason"]) > 0


async def test_another_socketio_connection_takes_a_half_open_one_over(scripted: ServerProcess) -> None:
    async with Talker(scripted.url) as old, Talker(scripted.url) as new:
        started = await old.start()
        await old.send(bytes(32_000), first_seq=0)
        await old.wait("transcription_result")
        again = await new.start(session_id=started["session_id"], resume_token=started["resume_token"])
        assert again["next_seq"] == 10
        closing = await old.wait("closing")
        assert (closing["reason"], closing["reconnect"]) == ("replaced", False)
        # the old connection has no stream any more, and cannot speak into the new one's
        await old.send(bytes(CHUNK))
        assert (await old.wait("error"))["code"] == "conflict"
        await new.send(bytes(64_000 + CHUNK), first_seq=10)
        stopped = await new.stop()
        assert stopped["duration"] == pytest.approx(3.1)
        assert new.text == "one two three"
        # and may begin another one
        assert (await old.start())["session_id"] != started["session_id"]
        await old.stop()


async def test_a_stream_whose_client_does_not_come_back_ends_as_lost(impatient: ServerProcess) -> None:
    async with audio_stream(impatient.url) as stream, Talker(impatient.url, ["websocket"]) as talker:
        joined = await stream.join()
        started = await talker.start()
        await stream.audio(bytes(32_000))
        await talker.send(bytes(32_000))
        await stream.wait("transcript")
        await talker.wait("transcription_result")
        await streams_are(impatient.url, 2)
        await asyncio.gather(stream.cut(), talker.cut())
    await streams_are(impatient.url, 0)
    for session_id in (joined["sessionId"], started["session_id"]):
        log = await session_events(impatient.url, session_id)
        assert log[-1].name == "ended"
        assert log[-1].data["reason"] == "lost"
        assert log[-2].data["text"] == "one two three"
    assert (await metrics(impatient.url))["antiphon_websocket_connections"] == 0

    async with audio_stream(impatient.url) as late:
        await late.send({"type": "join", "sessionId": joined["sessionId"], "resume": {"token": joined["resumeToken"]}})
        error = await late.wait("error")
        assert (error["code"], error["field"]) == ("not_found", "resume.token")
        assert "start a new one" in error["message"]


@pytest.mark.parametrize("wrong", ["token", "session"])
async def test_only_the_token_of_a_stream_resumes_it(scripted: ServerProcess, wrong: str) -> None:
    async with Talker(scripted.url) as owner, Talker(scripted.url) as other, audio_stream(scripted.url) as stream:
        started = await owner.start()
        session_id = started["session_id"] if wrong == "token" else "elsewhere"
        token = "x" * 32 if wrong == "token" else started["resume_token"]
        await other.emit("start_transcription", {"session_id": session_id, "resume_token": token})
        error = await other.wait("error")
        assert (error["code"], error["retryable"]) == ("not_found", False)
        await stream.send({"type": "join", "sessionId": session_id, "resume": {"token": token}})
        assert (await stream.wait("error"))["code"] == "not_found"
        await owner.send(bytes(96_000))
        await owner.stop()
        assert owner.text == "one two three"
        assert not owner.all("closing")


async def test_every_session_that_the_server_names_can_be_named_by_a_client(scripted: ServerProcess) -> None:
    async with Talker(scripted.url, ["websocket"]) as talker:
        names = set()
        for _ in range(300):
            names.add((await talker.start())["session_id"])
            await talker.stop()
    assert len(names) == 300
    assert all(SESSION_ID.fullmatch(name) for name in names)


async def test_one_who_joins_a_running_session_sees_what_happens_from_then_on(scripted: ServerProcess) -> None:
    async with Talker(scripted.url) as first, audio_stream(scripted.url) as second:
        started = await first.start()
        await first.send(bytes(96_000))
        await first.wait("transcription_result", where=lambda result: not result["is_partial"])
        joined = await second.join(sessionId=started["session_id"])
        await first.send(bytes(96_000))
        await first.stop()
        await second.wait("left")
        told = [message["eventId"] for message in second.all("transcript")]
        told_first = [result["event_id"] for result in first.all("transcription_result")]
        before = next(result["event_id"] for result in first.finals if result["text"] == "one two three")
        assert told == [event_id for event_id in told_first if event_id > before]
        # two of the same name are two participants
        async with audio_stream(scripted.url) as third:
            assert (await third.join(sessionId=started["session_id"]))["participantId"] != joined["participantId"]
            await third.leave()
        await second.leave()


# Readers of the log


async def read(url: str, session_id: str, after: int | None, count: int) -> list[Event]:
    """The first `count` events after an id, then the reader is gone."""
    headers = {"Last-Event-ID": str(after)} if after is not None else {}
    got: list[Event] = []
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/sessions/{session_id}/events", headers=headers) as response,
    ):
        async for event in events(response):
            got.append(event)
            if len(got) == count:
                break
    return got


async def test_a_reader_goes_on_from_its_last_event_exactly_once(scripted: ServerProcess) -> None:
    async with Talker(scripted.url) as talker:
        started = await talker.start()
        session_id = started["session_id"]
        got: list[Event] = []
        for _ in range(4):
            await talker.send(bytes(96_000))
            got += await read(scripted.url, session_id, got[-1].id if got else None, 3)
        running = asyncio.create_task(session_events(scripted.url, session_id, got[-1].id))
        await talker.stop()
    got += await running
    ids = [event.id for event in got]
    assert ids == list(range(1, len(ids) + 1))
    assert got[-1].name == "ended"
    assert [(event.id, event.data) for event in await session_events(scripted.url, session_id)] == [
        (event.id, event.data) for event in got
    ]
    assert await session_events(scripted.url, session_id, ids[-1]) == []


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "9" * 20, "0x10", "1 2"])
async def test_a_last_event_id_that_nobody_gave_is_refused(scripted: ServerProcess, given: str) -> None:
    async with Talker(scripted.url) as talker:
        started = await talker.start()
        await talker.stop()
    async with aiohttp.ClientSession() as session:
        url = f"{scripted.url}/v1/sessions/{started['session_id']}/events"
        async with session.get(url, headers={"Last-Event-ID": given}) as response:
            assert response.status == 400
            error: Message = await response.json()
    assert (error["code"], error["field"]) == ("bad_message", "Last-Event-ID")


async def test_readers_that_go_away_are_forgotten(scripted: ServerProcess) -> None:
    """However they go: their connections end with them."""
    import psutil

    process = psutil.Process(scripted.pid)
    async with Talker(scripted.url) as talker:
        started = await talker.start()
        before = process.num_fds()
        async with aiohttp.ClientSession() as session:
            url = f"{scripted.url}/v1/sessions/{started['session_id']}/events"
            answers = [await session.get(url) for _ in range(20)]
            assert process.num_fds() >= before + 20
            for answer in answers:
                answer.close()
        await eventually(lambda: process.num_fds() <= before + 1)
        await talker.stop()
