"""Real speech through every door: the same words, and the same events with the same ids in the session's log."""

from __future__ import annotations

import io
import itertools
from typing import Any

import aiohttp
import pytest

from integration.clients import FRAME, Talker, audio_stream, rtp_packets
from integration.observe import Message, events, session_events
from support.audio import SPEECH, speech, transcripts
from support.server import ServerProcess

WORDS = transcripts()["go-forward.wav"]
FILE = (SPEECH / "go-forward.wav").read_bytes()


def same_events(told: list[Message], log: list[Any], id_name: str, names: dict[str, str]) -> None:
    """Every transcript that a live client was told is in the log with its id, and no other is."""
    logged = [event for event in log if event.name in ("partial", "final")]
    assert [message[id_name] for message in told] == [event.id for event in logged]
    for message, event in zip(told, logged, strict=True):
        assert event.data["event_id"] == event.id
        for live, name in names.items():
            assert message.get(live) == event.data.get(name), live


SNAKE = ("text", "is_partial", "result_id", "start", "end", "speaker", "language", "words")
CAMEL = {
    "text": "text",
    "isPartial": "is_partial",
    "resultId": "result_id",
    "start": "start",
    "end": "end",
    "speaker": "speaker",
    "words": "words",
}


def check_words(final: Message) -> None:
    words = final["words"]
    assert " ".join(word["word"] for word in words) == final["text"]
    assert all(final["start"] <= word["start"] < word["end"] <= final["end"] for word in words)
    assert all(0 <= word["confidence"] <= 1 for word in words)
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], None], ids=["websocket", "polling", "upgrade"])
@pytest.mark.parametrize("binary", [False, True], ids=["base64", "binary"])
async def test_socketio_hears_what_was_said(hearing: ServerProcess, transports: list[str] | None, binary: bool) -> None:
    async with Talker(hearing.url, transports) as talker:
        connected = await talker.wait("connected")
        assert isinstance(connected["status"], str)
        started = await talker.start(language_code="en-US")
        assert talker.transport == ("polling" if transports == ["polling"] else "websocket")
        assert started["status"] == "started"
        assert started["language_code"] == "en-US"
        assert started["next_seq"] == 0
        await talker.send(speech("go-forward"), binary=binary)
        stopped = await talker.stop()
    assert talker.text == WORDS
    assert talker.messages[-1][0] == "transcription_stopped"
    assert stopped["status"] == "stopped"
    assert stopped["dropped"] == 0
    assert stopped["duration"] == pytest.approx(len(speech("go-forward")) / 32_000, abs=0.002)
    check_words(talker.finals[0])
    assert not talker.all("error")
    log = await session_events(hearing.url, started["session_id"])
    same_events(talker.all("transcription_result"), log, "event_id", {name: name for name in SNAKE})
    assert [event.id for event in log] == list(range(1, len(log) + 1))
    assert log[0].name == "started"
    assert log[-1].name == "ended"


@pytest.mark.parametrize("framing", ["plain", "rtp"])
async def test_audio_stream_hears_what_was_said(hearing: ServerProcess, framing: str) -> None:
    audio = speech("go-forward")
    async with audio_stream(hearing.url) as stream:
        joined = await stream.join(role="agent", framing=framing)
        assert joined["format"] == {"codec": "pcm_s16le", "sampleRate": 16_000, "channels": 1}
        assert joined["nextSeq"] == 0
        if framing == "rtp":
            for packet in rtp_packets(audio, first_seq=65_500, first_timestamp=2**32 - 5_000):
                await stream.websocket.send_bytes(packet)
        else:
            await stream.audio(audio)
        left = await stream.leave()
        await stream.wait_closed()
    assert stream.close_code == 1000
    assert stream.text == WORDS
    assert left["reason"] == "left"
    assert left["dropped"] == 0
    assert left["duration"] == pytest.approx(len(audio) / 32_000, abs=0.002)
    check_words(stream.finals[0])
    speaking = [(message["active"], message["participantId"]) for message in stream.all("speaking")]
    assert speaking == [(True, joined["participantId"]), (False, joined["participantId"])]
    log = await session_events(hearing.url, joined["sessionId"])
    same_events(stream.all("transcript"), log, "eventId", CAMEL)
    if framing == "rtp":
        acks = [ack["seq"] for ack in stream.all("ack")]
        assert acks == sorted(set(acks))
        assert acks[-1] == 65_500 + -(-len(audio) // FRAME) - 1
    else:
        assert not stream.all("ack")


async def test_a_whole_file_comes_back_as_events(hearing: ServerProcess) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{hearing.url}/v1/transcribe", data=io.BytesIO(FILE)) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        job = response.headers["X-Antiphon-Job"]
        told = [event async for event in events(response)]
    finals = [event for event in told if event.name == "final"]
    assert " ".join(event.data["text"] for event in finals) == WORDS
    check_words(finals[0].data)
    assert told[0].name == "started"
    assert told[-1].name == "done"
    assert any(event.name == "partial" for event in told)
    assert any(event.name == "progress" for event in told)
    assert [event.id for event in told] == list(range(1, len(told) + 1))
    log = await session_events(hearing.url, job)
    assert [(event.id, event.data) for event in log] == [(event.id, event.data) for event in told]


async def test_a_batch_job_gives_the_words_and_a_log(hearing: ServerProcess) -> None:
    form = aiohttp.FormData()
    form.add_field("language", "en-US")
    form.add_field("file", io.BytesIO(FILE), filename="speech.wav")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{hearing.url}/v1/transcriptions", data=form) as response:
            assert response.status == 202
            job = await response.json()
            assert response.headers["Location"] == f"/v1/transcriptions/{job['id']}"
            assert response.headers["X-Antiphon-Job"] == job["id"]
            assert job["status"] in ("queued", "running")
        log = await session_events(hearing.url, job["id"])
        async with session.get(f"{hearing.url}/v1/transcriptions/{job['id']}") as response:
            done = await response.json()
    assert done["status"] == "done"
    assert done["events"] == f"/v1/sessions/{job['id']}/events"
    assert done["result"]["text"] == WORDS
    finals = [event.data for event in log if event.name == "final"]
    assert done["result"]["results"] == finals
    assert done["progress"]["done"] == done["progress"]["total"] == pytest.approx(done["result"]["duration"], abs=0.01)


async def test_several_utterances_are_several_results(hearing: ServerProcess) -> None:
    async with Talker(hearing.url) as talker:
        await talker.start()
        await talker.send(speech("two-utterances"))
        await talker.stop()
    assert [final["text"] for final in talker.finals] == ["please open the window", "it is very warm in here"]
    first, second = talker.finals
    assert first["result_id"] != second["result_id"]
    assert first["end"] < second["start"]
    partials = [result for result in talker.all("transcription_result") if result["is_partial"]]
    assert {partial["result_id"] for partial in partials} == {first["result_id"], second["result_id"]}
    for final in talker.finals:
        ends = [partial["end"] for partial in partials if partial["result_id"] == final["result_id"]]
        assert ends == sorted(ends)
        assert all(later - earlier <= 0.4 for earlier, later in itertools.pairwise(ends))


async def test_whoever_wants_no_interim_results_gets_none(hearing: ServerProcess) -> None:
    async with Talker(hearing.url) as talker:
        await talker.start(interim_results=False)
        await talker.send(speech("go-forward"))
        await talker.stop()
    assert [result["text"] for result in talker.all("transcription_result")] == [WORDS]


async def test_a_connection_may_start_again_after_it_stopped(hearing: ServerProcess) -> None:
    async with Talker(hearing.url) as talker:
        first = await talker.start()
        await talker.send(speech("go-forward"))
        await talker.stop()
        second = await talker.start()
        await talker.send(speech("tomorrow-morning"))
        await talker.stop()
    assert first["session_id"] != second["session_id"]
    assert talker.text == f"{WORDS} {transcripts()['tomorrow-morning.wav']}"


async def test_two_doors_share_a_session_and_its_log(hearing: ServerProcess) -> None:
    async with Talker(hearing.url) as talker, audio_stream(hearing.url) as stream:
        started = await talker.start(session_id="meeting-1")
        joined = await stream.join(sessionId="meeting-1", role="listener")
        assert started["session_id"] == joined["sessionId"] == "meeting-1"
        await talker.send(speech("go-forward"))
        await talker.stop()
        await stream.wait("left", where=lambda left: left["participantId"] != joined["participantId"])
        told = stream.all("transcript")
        assert [(message["eventId"], message["text"]) for message in told] == [
            (message["event_id"], message["text"]) for message in talker.all("transcription_result")
        ]
        assert all(message["speaker"] != joined["participantId"] for message in told)
        await stream.audio(speech("tomorrow-morning"))
        await stream.leave()
    log = await session_events(hearing.url, "meeting-1")
    finals = [event.data for event in log if event.name == "final"]
    assert [final["text"] for final in finals] == [WORDS, transcripts()["tomorrow-morning.wav"]]
    assert finals[1]["speaker"] == joined["participantId"]


async def test_no_spoken_word_is_in_the_servers_log(hearing: ServerProcess) -> None:
    async with Talker(hearing.url) as talker:
        started = await talker.start()
        await talker.send(speech("go-forward"))
        await talker.stop()
    assert talker.text == WORDS
    assert hearing.log
    assert not [word for word in WORDS.split() if f" {word} " in hearing.log]
    assert started["resume_token"] not in hearing.log
