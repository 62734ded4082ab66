"""Stand-alone segments (``audio-chunk``): acknowledged one by one, transcribed in order into one log."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any, Self

import pytest
import socketio

from integration.clients import Inbox, bystander, transport_of
from integration.observe import Message, metrics, session_events, streams_are
from support.audio import Kind, encode, sine, speech, transcripts
from support.server import SCRIPTED, ServerProcess, start_server

WORDS = transcripts()["go-forward.wav"]
FOX = transcripts()["quick-brown-fox.wav"]
EVENTS = ("transcription", "transcription-dropped", "error", "closing")
ACCEPTED = {"status": "accepted", "reason": "queued"}


class Segmenter(Inbox):
    """A python-socketio client that sends segments of one session and remembers what it is told."""

    def __init__(self, url: str, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self._url = url
        self.sio = socketio.AsyncClient(reconnection=False)
        for event in EVENTS:
            self.sio.on(event, lambda data, event=event: self.put(event, data))
        self.sio.on("disconnect", lambda *_: self.close())

    async def __aenter__(self) -> Self:
        await self.sio.connect(self._url, transports=["websocket"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.disconnect()

    async def send(self, audio: bytes, timestamp: float, **more: Any) -> Message:
        """Send a segment; the answer to its callback."""
        data = {"sessionId": self.session_id, "audio": base64.b64encode(audio).decode(), "format": "webm"}
        return await self.raw({**data, "duration": 10, "timestamp": timestamp, **more})

    async def raw(self, data: Any) -> Message:
        answer: Message = await self.sio.call("audio-chunk", data, timeout=30)
        return answer

    async def cut(self) -> None:
        """Lose the connection, without a word to the server."""
        transport_of(self.sio.eio.ws).abort()
        await self.wait_closed()

    @property
    def texts(self) -> list[str]:
        return [told["text"] for told in self.all("transcription")]


SOON = ("--resume-window", "1")
"""A client that is gone is not waited for long; python-socketio's never says that it will not come back."""


@pytest.fixture(scope="module")
def hearing() -> Iterator[ServerProcess]:
    """A server with PocketSphinx, as it is by default."""
    with start_server(*SOON) as server:
        yield server


@pytest.fixture(scope="module")
def saying() -> Iterator[ServerProcess]:
    """A server whose double says three words every three seconds, with a limit that is soon reached."""
    flags = ("--min-transcript-words", "0", "--segments-per-minute", "5")
    with start_server(*SCRIPTED, *SOON, *flags) as server:
        yield server


def noise(seconds: float = 3.0) -> bytes:
    """A file of over two kilobytes for the double, which hears a sentence in every three seconds."""
    return encode(sine(300, seconds), "wav")


async def test_segments_become_one_log_with_times_that_go_on(hearing: ServerProcess) -> None:
    said = [("go-forward", WORDS), ("quick-brown-fox", FOX)]
    seconds = [len(speech(name)) / 32_000 for name, _ in said]
    async with Segmenter(hearing.url, "segments-1") as client:
        for number, (name, _) in enumerate(said):
            answer = await client.send(encode(speech(name), "webm"), 1000.0 + number)
            assert answer == ACCEPTED
        await client.wait("transcription", 2)
    first, second = client.all("transcription")
    assert [first["text"], second["text"]] == [WORDS, FOX]
    assert first["sessionId"] == "segments-1"
    assert (first["timestamp"], first["duration"], second["timestamp"]) == (1000.0, 10, 1001.0)
    assert first["end"] <= seconds[0] + 0.1
    assert second["start"] >= seconds[0] - 0.1
    assert seconds[0] < second["words"][0]["start"] < second["words"][-1]["end"] < sum(seconds)
    assert not client.all("error")
    log = await session_events(hearing.url, "segments-1")
    finals = [(event.id, event.data["text"]) for event in log if event.name == "final"]
    assert finals == [(told["eventId"], told["text"]) for told in (first, second)]
    assert log[0].name == "started"
    assert (log[-1].name, log[-1].data["reason"]) == ("ended", "lost")
    assert log[-1].data["duration"] == pytest.approx(sum(seconds), abs=0.1)


@pytest.mark.parametrize("kind", ["webm", "ogg-opus", "wav", "mp3", "m4a", "flac"])
async def test_any_kind_of_file_is_told_by_its_content(hearing: ServerProcess, kind: Kind) -> None:
    async with Segmenter(hearing.url, f"kind-{kind}") as client:
        assert await client.send(encode(speech("go-forward"), kind), 1.0, format="exe") == ACCEPTED
        assert (await client.wait("transcription"))["text"].startswith("go forward")


async def test_binary_is_as_good_as_base64(hearing: ServerProcess) -> None:
    data = {"sessionId": "binary-1", "audio": encode(speech("go-forward"), "webm"), "timestamp": 1}
    async with Segmenter(hearing.url, "binary-1") as client:
        assert await client.raw(data) == ACCEPTED
        assert (await client.wait("transcription"))["text"] == WORDS


async def test_the_size_filter_counts_bytes_exactly(hearing: ServerProcess) -> None:
    file = encode(speech("go-forward"), "wav")
    async with Segmenter(hearing.url, "small-1") as client:
        assert await client.send(file[:2047], 1.0) == {"status": "skipped", "reason": "too_small"}
        assert await client.send(b"", 2.0) == {"status": "skipped", "reason": "too_small"}
        assert await client.send(file[:2048], 3.0) == ACCEPTED
        dropped = await client.wait("transcription-dropped")
        assert (dropped["timestamp"], dropped["reason"], dropped["words"]) == (3.0, "no_words", 0)
        assert not client.all("error")


@pytest.mark.parametrize(("least", "told"), [(3, ["one two three"]), (4, [])])
async def test_the_word_filter_counts_words_exactly(least: int, told: list[str]) -> None:
    with start_server(*SCRIPTED, *SOON, "--min-transcript-words", str(least)) as server:
        async with Segmenter(server.url, "words-1") as client:
            await client.send(noise(), 1.0)
            await client.until(lambda: bool(client.all("transcription") or client.all("transcription-dropped")))
        assert client.texts == told
        dropped = [(one["reason"], one["words"]) for one in client.all("transcription-dropped")]
        assert dropped == ([] if told else [("few_words", 3)])
        log = await session_events(server.url, "words-1")
        assert [event.data["text"] for event in log if event.name == "final"] == told
        assert (await metrics(server.url))["antiphon_segment_transcripts_dropped_total"] == len(dropped)


async def test_the_limit_lets_as_many_through_as_it_says_and_not_one_more(saying: ServerProcess) -> None:
    async with Segmenter(saying.url, "flood-1") as client, Segmenter(saying.url, "calm-1") as calm:
        answers = [await client.send(noise(0.5), float(number)) for number in range(5)]
        assert answers == [ACCEPTED] * 5
        refused = await client.send(noise(0.5), 5.0)
        assert (refused["status"], refused["reason"]) == ("rejected", "rate_limited")
        assert refused["error"]["retryable"]
        assert 0 < refused["error"]["retryAfter"] <= 60
        error = await client.wait("error")
        assert (error["code"], error["event"], error["timestamp"]) == ("rate_limited", "audio-chunk", 5.0)
        # another connection of the same session has no window of its own, another session has
        async with Segmenter(saying.url, "flood-1") as second:
            assert (await second.send(noise(0.5), 6.0))["reason"] == "rate_limited"
        assert await calm.send(noise(), 1.0) == ACCEPTED
        await calm.wait("transcription")


async def test_a_segment_that_comes_twice_is_transcribed_once(saying: ServerProcess) -> None:
    async with Segmenter(saying.url, "twice-1") as client:
        assert await client.send(noise(), 7.0) == ACCEPTED
        assert await client.send(noise(), 7.0) == {"status": "skipped", "reason": "duplicate"}
        await client.wait("transcription")
        # also on another connection, after it was transcribed
        async with Segmenter(saying.url, "twice-1") as second:
            assert await second.send(noise(), 7.0) == {"status": "skipped", "reason": "duplicate"}
            assert await second.send(noise(), 8.0) == ACCEPTED
            await second.wait("transcription")
            # both hear what is said from now on
            await client.wait("transcription", 2)
        assert second.all("transcription") == client.all("transcription")[1:]


async def test_segments_that_wait_are_put_in_order(saying: ServerProcess) -> None:
    async with Segmenter(saying.url, "order-1") as client:
        # the first is being transcribed while the others come in the wrong order
        for timestamp in (1.0, 4.0, 3.0, 2.0):
            assert await client.send(noise(), timestamp) == ACCEPTED
        await client.wait("transcription", 4)
    assert [told["timestamp"] for told in client.all("transcription")] == [1.0, 2.0, 3.0, 4.0]
    assert [told["start"] for told in client.all("transcription")] == [0.0, 3.0, 6.0, 9.0]


GOOD = {"sessionId": "bad-1", "audio": base64.b64encode(bytes(4096)).decode(), "format": "webm", "timestamp": 1}
BAD: list[tuple[Any, str, str, str | None]] = [
    (None, "bad_message", "takes a JSON object, not null", None),
    ("text", "bad_message", "takes a JSON object, not text", None),
    (b"binary", "bad_message", "not binary data", None),
    ({**GOOD, "sessionId": None}, "bad_message", "needs sessionId", "sessionId"),
    ({**GOOD, "sessionId": "../x"}, "bad_message", "letters, digits", "sessionId"),
    ({**GOOD, "timestamp": None}, "bad_message", "needs timestamp", "timestamp"),
    ({**GOOD, "timestamp": "now"}, "bad_message", "must be a number", "timestamp"),
    ({**GOOD, "duration": -1}, "bad_message", "from 0 on", "duration"),
    ({**GOOD, "audio": None}, "bad_message", "audio is null", "audio"),
    ({**GOOD, "audio": [1, 2]}, "bad_message", "audio is an array", "audio"),
    ({**GOOD, "audio": "%%%%"}, "bad_audio", "audio is not base64", "audio"),
    ({**GOOD, "audio": "data:audio/webm;base64,GkXfow=="}, "bad_audio", "after its comma", "audio"),
    ({**GOOD, "language": "tlh"}, "bad_audio", "zero bytes", None),
    (GOOD, "bad_audio", "zero bytes", None),
    ({**GOOD, "audio": base64.b64encode(b"<html>" * 500).decode()}, "bad_audio", "not audio", None),
    ({**GOOD, "audio": base64.b64encode(b"#!AMR" + bytes(4000)).decode()}, "unsupported_format", "AMR", None),
    ({**GOOD, "audio": noise(), "language": "tlh"}, "unsupported_format", "tlh", "language"),
]


@pytest.mark.parametrize(("data", "code", "says", "field"), BAD)
async def test_what_is_no_segment_is_rejected_and_hurts_nobody(
    scripted: ServerProcess, data: Any, code: str, says: str, field: str | None
) -> None:
    async with bystander(scripted.url), Segmenter(scripted.url, "bad-1") as client:
        answer = await client.raw(data)
        assert (answer["status"], answer["reason"]) == ("rejected", code)
        assert says in answer["error"]["message"]
        assert answer["error"].get("field") == field
        assert await client.wait("error") == answer["error"]
        assert client.sio.connected


async def test_a_file_that_breaks_later_is_told_by_its_timestamp_and_the_next_is_heard(hearing: ServerProcess) -> None:
    liar = b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 16
    endless = encode(bytes(75 * 32_000), "ogg-opus")
    async with Segmenter(hearing.url, "liar-1") as client:
        assert await client.send(liar, 1.0) == ACCEPTED
        assert await client.send(endless, 2.0) == ACCEPTED
        assert await client.send(encode(speech("go-forward"), "webm"), 3.0) == ACCEPTED
        assert (await client.wait("transcription"))["text"] == WORDS
    broken, long = client.all("error")
    assert (broken["code"], broken["timestamp"], broken["event"]) == ("bad_audio", 1.0, "audio-chunk")
    assert (long["code"], long["timestamp"]) == ("duration_limit", 2.0)
    log = await session_events(hearing.url, "liar-1")
    assert [event.data["code"] for event in log if event.name == "error"] == ["bad_audio", "duration_limit"]
    assert broken["eventId"] == next(event.id for event in log if event.name == "error")
    assert log[-1].data["dropped"] == 2


async def test_words_reach_the_log_and_the_client_that_comes_back(saying: ServerProcess) -> None:
    async with Segmenter(saying.url, "cut-1") as client:
        assert await client.send(noise(), 1.0) == ACCEPTED
        await client.cut()
    async with Segmenter(saying.url, "cut-1") as again:
        assert (await again.send(noise(), 1.0))["reason"] == "duplicate"
        assert (await again.wait("transcription"))["text"] == "one two three"
        assert again.all("transcription")[0]["timestamp"] == 1.0


async def test_a_client_that_does_not_come_back_is_waited_for_no_longer_than_it_should(saying: ServerProcess) -> None:
    async with Segmenter(saying.url, "lost-1") as client:
        assert await client.send(noise(), 1.0) == ACCEPTED
        await client.cut()
    log = await session_events(saying.url, "lost-1")
    assert [event.data["text"] for event in log if event.name == "final"] == ["one two three"]
    assert log[-1].data["reason"] == "lost"
    await streams_are(saying.url, 0)


async def test_shutdown_lets_segments_finish() -> None:
    with start_server(*SCRIPTED, "--min-transcript-words", "0", "--shutdown-grace", "20") as server:
        async with Segmenter(server.url, "end-1") as client:
            for number in range(3):
                assert await client.send(noise(), float(number)) == ACCEPTED
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            await client.wait("transcription", 3)
            await stopping


async def test_what_a_shutdown_leaves_no_time_for_is_told() -> None:
    with start_server("--min-transcript-words", "0", "--shutdown-grace", "0") as server:
        async with Segmenter(server.url, "end-2") as client:
            for number in range(8):
                assert await client.send(encode(speech("two-utterances"), "webm"), float(number)) == ACCEPTED
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            await client.wait_closed()
            assert await stopping == 0
        assert "Traceback" not in server.log
    told = client.all("transcription") + client.all("error")
    assert sorted(one["timestamp"] for one in told) == [float(number) for number in range(8)]
    assert {(one["code"], one["retryable"]) for one in client.all("error")} == {("engine_unavailable", True)}


async def test_so_many_streams_and_no_more() -> None:
    with start_server(*SCRIPTED, *SOON, "--max-streams", "1", "--min-transcript-words", "0") as server:
        async with Segmenter(server.url, "one-1") as first, Segmenter(server.url, "two-1") as second:
            assert await first.send(noise(), 1.0) == ACCEPTED
            refused = await second.send(noise(), 1.0)
            assert refused["reason"] == "session_limit"
            await first.wait("transcription")
            await first.sio.disconnect()
            await streams_are(server.url, 0)
            assert await second.send(noise(), 2.0) == ACCEPTED
            await second.wait("transcription")
