"""Whole files of every kind, by every way of sending them, and other formats of live audio."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from antiphon.media.resample import Resampler
from integration.clients import Talker, audio_stream, rtp_packets
from integration.observe import Event, Message, events, eventually, session_events
from support.audio import KINDS, SPEECH, Kind, encode, speech, transcripts, wav
from support.server import SCRIPTED, ServerProcess, start_server

WORDS = transcripts()["go-forward.wav"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of objects."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "calls").mkdir()
    (folder / "calls" / "go forward.wav").write_bytes((SPEECH / "go-forward.wav").read_bytes())
    return folder


@pytest.fixture(scope="module")
def storing(store: Path) -> Iterator[ServerProcess]:
    """A server with an object store."""
    with start_server("--object-store", f"file://{store}") as server:
        yield server


def at(pcm: bytes, sample_rate: int, channels: int) -> bytes:
    """Speech at another rate, in every channel, of which the first is half as loud."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768
    resampler = Resampler(16_000, sample_rate)
    mono = np.concatenate([resampler.push(samples), resampler.flush()])
    spread = np.repeat(mono[:, None], channels, axis=1)
    if channels > 1:
        spread[:, 0] *= 0.5
    return (spread.clip(-1, 1) * 32_767).astype("<i2").tobytes()


async def transcribe(url: str, data: Any, **options: Any) -> list[Event]:
    if isinstance(data, bytes):
        data = io.BytesIO(data)
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/transcribe", data=data, **options) as answer:
        assert answer.status == 200, await answer.text()
        return [event async for event in events(answer)]


def text(told: list[Event]) -> str:
    return " ".join(event.data["text"] for event in told if event.name == "final" and event.data["text"])


@pytest.mark.parametrize("kind", KINDS)
async def test_every_container_is_heard(hearing: ServerProcess, kind: Kind) -> None:
    told = await transcribe(hearing.url, encode(speech("go-forward"), kind))
    assert text(told) == WORDS
    assert [event.id for event in told] == list(range(1, len(told) + 1))
    assert (told[0].name, told[-1].name) == ("started", "done")
    assert told[-1].data["duration"] == pytest.approx(len(speech("go-forward")) / 32_000, abs=0.1)


@pytest.mark.parametrize(("sample_rate", "channels"), [(48_000, 2), (44_100, 1), (8_000, 1), (96_000, 6)])
async def test_any_rate_and_channel_count_is_heard(hearing: ServerProcess, sample_rate: int, channels: int) -> None:
    audio = at(speech("go-forward"), sample_rate, channels)
    seconds = len(speech("go-forward")) / 32_000
    shape = {"sample_rate": sample_rate, "channels": channels}
    told = await transcribe(hearing.url, wav(audio, **shape))
    async with Talker(hearing.url) as talker, audio_stream(hearing.url) as stream:
        await talker.start(**shape)
        joined = await stream.join(framing="rtp", format={"sampleRate": sample_rate, "channels": channels})
        assert joined["format"]["sampleRate"] == sample_rate
        frame = 2 * channels
        await talker.send(audio, size=frame * sample_rate // 10)
        for packet in rtp_packets(audio, size=frame * sample_rate // 50, frame_bytes=frame):
            await stream.websocket.send_bytes(packet)
        stopped, left = await asyncio.gather(talker.stop(), stream.leave())
    # PocketSphinx was made for 16 kHz; telephone speech comes through without its sharpest sounds
    if sample_rate == 8_000:
        assert "forward" in text(told)
        assert "forward" in talker.text
        assert "forward" in stream.text
    else:
        assert text(told) == talker.text == stream.text == WORDS
    for duration in (told[-1].data["duration"], stopped["duration"], left["duration"]):
        assert duration == pytest.approx(seconds, abs=0.01)


async def test_a_form_may_carry_the_options(hearing: ServerProcess) -> None:
    form = aiohttp.FormData()
    form.add_field("interim_results", "false")
    form.add_field("file", (SPEECH / "go-forward.wav").read_bytes(), filename="anything.xyz")
    form.add_field("language", "en_us")
    form.add_field("unheard-of", "x")
    told = await transcribe(hearing.url, form)
    assert text(told) == WORDS
    assert not [event for event in told if event.name == "partial"]
    assert told[0].data["language"] == "en-US"


async def test_the_query_may_carry_the_options(scripted: ServerProcess) -> None:
    told = await transcribe(scripted.url, wav(bytes(96_000)), params={"language": "de-DE", "interim_results": "false"})
    assert [event.name for event in told if event.name != "progress"] == ["started", "final", "done"]
    assert {event.data["language"] for event in told if "language" in event.data} == {"de-DE"}


async def job_result(url: str, job_id: str) -> Message:
    """A job once it has ended."""
    described: Message = {}
    async with aiohttp.ClientSession() as session:

        async def ended() -> bool:
            nonlocal described
            async with session.get(f"{url}/v1/transcriptions/{job_id}") as response:
                assert response.status == 200
                described = await response.json()
            return described["status"] in ("done", "failed")

        await eventually(ended)
    return described


@pytest.mark.parametrize("path", ["calls/go forward.wav"])
async def test_an_object_may_be_named_instead_of_sent(storing: ServerProcess, store: Path, path: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{storing.url}/v1/transcriptions", json={"url": f"file://{store}/{path}"}) as response,
    ):
        assert response.status == 202, await response.text()
        job = await response.json()
    done = await job_result(storing.url, job["id"])
    assert done["status"] == "done"
    assert done["result"]["text"] == WORDS
    assert (store / path).exists()


async def test_a_json_body_may_come_in_pieces(storing: ServerProcess, store: Path) -> None:
    async def body() -> Any:
        for byte in json.dumps({"url": f"file://{store}/calls/go forward.wav", "language": "en"}).encode():
            yield bytes([byte])
            await asyncio.sleep(0)

    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{storing.url}/v1/transcriptions", data=body(), headers=headers) as response,
    ):
        assert response.status == 202, await response.text()


async def test_a_reader_of_a_job_goes_on_exactly_once(hearing: ServerProcess) -> None:
    got: list[Event] = []
    async with aiohttp.ClientSession() as session:
        data = (SPEECH / "two-utterances.wav").read_bytes()
        async with session.post(f"{hearing.url}/v1/transcribe", data=data) as response:
            place = response.headers["Content-Location"]
            async for event in events(response):
                got.append(event)
                if len(got) == 3:
                    break
        while got[-1].name != "done":
            headers = {"Last-Event-ID": str(got[-1].id)}
            async with session.get(f"{hearing.url}{place}", headers=headers) as response:
                count = len(got)
                async for event in events(response):
                    got.append(event)
                    if len(got) == count + 4:
                        break
    assert [event.id for event in got] == list(range(1, len(got) + 1))
    assert text(got) == transcripts()["two-utterances.wav"]


async def test_a_job_can_be_cancelled(hearing: ServerProcess) -> None:
    long = wav(speech("quick-brown-fox") * 30)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{hearing.url}/v1/transcriptions", data=io.BytesIO(long)) as response:
            job = await response.json()
        url = f"{hearing.url}/v1/transcriptions/{job['id']}"

        async def running() -> bool:
            async with session.get(url) as response:
                return bool((await response.json())["progress"]["done"])

        await eventually(running)
        async with session.delete(url) as response:
            assert response.status == 200
            assert (await response.json())["status"] == "failed"
        async with session.delete(url) as response:
            cancelled = await response.json()
    assert cancelled["error"]["code"] == "conflict"
    assert "cancelled" in cancelled["error"]["message"]
    assert cancelled["progress"]["done"] < len(long) / 32_000
    log = await session_events(hearing.url, job["id"])
    assert (log[-1].name, log[-1].data["reason"]) == ("ended", "cancelled")


async def test_a_file_is_told_apart_by_content_and_not_by_name(hearing: ServerProcess) -> None:
    form = aiohttp.FormData()
    audio = encode(speech("go-forward"), "flac")
    form.add_field("file", audio, filename="speech.wav", content_type="audio/mpeg")
    assert text(await transcribe(hearing.url, form)) == WORDS
    assert text(await transcribe(hearing.url, audio, headers={"Content-Type": "text/plain"})) == WORDS


@pytest.mark.parametrize("flags", [("--max-queued-jobs", "0"), ("--max-retained", "0"), ("--session-retention", "0")])
async def test_the_smallest_limits_still_let_a_file_through(flags: tuple[str, str]) -> None:
    with start_server(*SCRIPTED, *flags) as server:
        assert text(await transcribe(server.url, wav(bytes(96_000)))) == "one two three"
