"""Texts that are spoken at ``/ws-audio``: from the query, and one after another by message."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import numpy as np
import pytest

from integration.listeners import DECODED_RATE, Hearer, decode, hearer, pcm_of, refused
from integration.observe import eventually, metrics
from integration.webrtc import heard_in
from support.server import SCRIPTED, ServerProcess, start_server

NOTES = ("--synthesiser", "antiphon.testing.synthesiser:ScriptedSynthesiser")
"""A double that plays a note of a tenth of a second for each word, higher for longer words."""

SILENCE = bytes(16_000)
"""Half a second."""


@pytest.fixture(scope="module")
def speaking() -> Iterator[ServerProcess]:
    """A server with the voice that ships."""
    with start_server("--max-rate", "100") as started:
        yield started


@pytest.fixture(scope="module")
def playing() -> Iterator[ServerProcess]:
    """A server that plays notes for words."""
    with start_server(*SCRIPTED, *NOTES, "--max-speech-chars", "2000", "--max-programmes", "50") as started:
        yield started


def letters_in(client: Hearer) -> list[int]:
    """How long the words were whose notes somebody heard."""
    samples = decode(client.packets, 312)
    size = DECODED_RATE // 10
    found: list[int] = []
    for start in range(0, samples.size - size // 2, size):
        part = samples[start + size // 4 : start + 3 * size // 4]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(part.size), 8 * size))
        if np.abs(part).max() > 0.05:
            found.append(round((np.argmax(spectrum) * DECODED_RATE / (8 * size) - 400) / 50))
    return found


async def test_a_text_is_spoken_and_understood(speaking: ServerProcess) -> None:
    # a small recogniser and a robot's voice: most other words they don't understand each other on
    words = "tomorrow morning"
    async with hearer(speaking.url, f"say:{words}", sampleRate=16_000, rate="0.8", events="true") as client:
        await client.all_heard()
    assert client.close_code == 1000
    await heard_in(speaking.url, SILENCE + pcm_of(client) + SILENCE, words)


async def test_voices_are_listed_and_can_be_asked_for(speaking: ServerProcess) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{speaking.url}/v1/voices") as response:
        assert response.status == 200
        found = await response.json()
    ids = [voice["id"] for voice in found["voices"]]
    assert found["defaultVoice"] in ids
    assert len(set(ids)) == len(ids)
    german = next(voice for voice in found["voices"] if voice["language"].startswith("de"))
    async with hearer(speaking.url, "say:Guten Morgen", voice=german["id"]) as client:
        await client.heard(20)


async def test_every_word_comes_in_order(playing: ServerProcess) -> None:
    text = "a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh"
    async with hearer(playing.url, f"say:{text}", events="true") as client:
        await client.all_heard()
    assert letters_in(client) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert client.texts[0]["source"] == f"say:{text}"
    assert client.texts[-1]["reason"] == "complete"


async def test_a_text_is_spoken_once_for_all_and_can_be_gone_on_with(playing: ServerProcess) -> None:
    text = "say:" + "one two three " * 5
    before = (await metrics(playing.url))["antiphon_programmes_started_total"]
    async with hearer(playing.url, text) as first, hearer(playing.url, text) as second:
        await second.heard(10)
        await second.cut()
        async with hearer(playing.url, text, position=len(second.packets) * 0.02) as again:
            await again.all_heard()
        await first.all_heard()
    assert second.packets + again.packets == first.packets
    assert (await metrics(playing.url))["antiphon_programmes_started_total"] - before == 1


async def test_texts_come_by_message_and_are_told(playing: ServerProcess) -> None:
    async with hearer(playing.url, "say:", events="true") as client:
        assert (await client.wait("started"))["live"]
        await client.send(type="say", text="a bb ccc")
        await client.send(type="say", text="dddd eeeee", rate=2)
        await client.wait("said", 2)
        # and later again
        await client.send(type="say", text="ffffff")
        await client.wait("said", 3)
    told = [(text["type"], text["id"]) for text in client.texts[1:]]
    assert told == [("saying", 1), ("said", 1), ("saying", 2), ("said", 2), ("saying", 3), ("said", 3)]
    assert client.all("saying")[0]["text"] == "a bb ccc"
    found = letters_in(client)
    assert [found[0], found[1], found[2], found[-1]] == [1, 2, 3, 6]
    # `saying` comes before the first packet of its text, and `said` after its last
    types = ["packet" if isinstance(item, bytes) else item["type"] for item in client.order]
    assert types[:3] == ["started", "saying", "packet"]


async def test_clear_stops_a_text(playing: ServerProcess) -> None:
    async with hearer(playing.url, "say:", events="true") as client:
        await client.send(type="say", text="word " * 300)
        await client.send(type="say", text="never")
        await client.heard(10)
        await client.send(type="clear")
        await client.wait("clear")
        assert [said["id"] for said in client.all("said") if said.get("cleared")] == [1, 2]
        before = len(client.packets)
        await client.send(type="say", text="abcdefghi abcdefghi")
        await client.wait("said", 3)
        after = client.packets[before:]
    # two notes, and what was on its way when it was cleared
    assert len(after) <= 30
    assert letters_in(client)[-1] == 9


async def test_mistakes_are_told_and_the_stream_goes_on(playing: ServerProcess) -> None:
    async with hearer(playing.url, "say:", events="true") as client:
        for message, code, field in [
            ({"type": "say"}, "bad_message", "text"),
            ({"type": "say", "text": "  "}, "bad_message", "text"),
            ({"type": "say", "text": "a" * 2001}, "too_large", "text"),
            ({"type": "say", "text": "a", "rate": 9}, "unsupported_format", "rate"),
            ({"type": "say", "text": "a", "voice": "nobody"}, "bad_message", "voice"),
            ({"type": "say", "text": "a", "language": "tlh"}, "unsupported_format", "language"),
            ({"type": "sing"}, "bad_message", "type"),
        ]:
            before = len(client.all("error"))
            await client.send(**message)
            error = await client.wait("error", before + 1)
            assert (error["code"], error["field"]) == (code, field)
        for number in range(20):
            await client.send(type="say", text=f"text {number}")
        assert (await client.wait("error", where=lambda told: told["code"] == "rate_limited"))["retryAfter"] > 0
        await client.send(type="clear")
        await client.wait("clear")
        await client.send(type="say", text="a bb ccc")
        await client.until(lambda: any("cleared" not in said for said in client.all("said")))
        await client.websocket.send_bytes(b"audio")
        await client.wait("error", where=lambda told: "/audio-stream" in told["message"])


async def test_texts_are_for_a_conversation_only(playing: ServerProcess) -> None:
    async with hearer(playing.url, "say:one two three four five six") as client:
        await client.send(type="say", text="more")
        assert (await client.wait("error"))["code"] == "conflict"
        await client.send(type="clear")
        await client.wait("error", 2)
        await client.all_heard()
    assert len(client.packets) == 31


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"source": "say:" + "ä" * 2001}, "too_large", "source"),
        ({"source": "say:" + "a" * 1_000_000}, "too_large", "source"),
        ({"source": "say:a", "voice": "nobody"}, "bad_message", "voice"),
        ({"source": "say:a", "language": "tlh"}, "unsupported_format", "language"),
        ({"source": "say:a", "rate": "7"}, "unsupported_format", "rate"),
    ],
)
async def test_texts_that_cannot_be_spoken_are_refused(
    playing: ServerProcess, query: dict[str, str], code: str, field: str
) -> None:
    error, closed = await refused(playing.url, query)
    assert (error["code"], error["field"], closed) == (code, field, 1008)


async def test_a_text_of_the_longest_fits_into_a_query(playing: ServerProcess) -> None:
    async with hearer(playing.url, "say:" + "😀 " * 1000) as client:
        await client.heard(5)


async def test_a_conversation_ends_with_its_connection(playing: ServerProcess) -> None:
    before = (await metrics(playing.url))["antiphon_programmes"]
    async with hearer(playing.url, "say:") as client:
        await client.send(type="say", text="word " * 300)
        await client.heard(5)
        await client.cut()

        async def gone() -> bool:
            return (await metrics(playing.url))["antiphon_programmes"] <= before

        await eventually(gone)


async def test_without_a_synthesiser_everything_else_works() -> None:
    with start_server(*SCRIPTED, "--synthesiser", "no.such:Voice") as server:
        error, closed = await refused(server.url, {"source": "say:a"})
        assert (error["code"], closed) == ("engine_unavailable", 1013)
        assert "no.such" in error["message"]
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/voices") as response:
            assert response.status == 503
        async with hearer(server.url, "room:quiet") as client:
            await client.heard(3)
