"""The Python client at both live doors of a real server, hearing real speech."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from antiphon.client import (
    ConnectionLost,
    Door,
    FinishTimeout,
    ProtocolFault,
    Reconnected,
    Result,
    ResultsUnread,
    SendTimeout,
    StreamLimits,
    TranscriptionClient,
)
from antiphon.errors import BadAudio, DurationLimit, SessionLimit, Unauthorized, UnsupportedFormat
from antiphon.events import Ended, Entry, Speaking, Transcript
from antiphon.formats import AudioFormat, Encoding
from support.audio import speech, transcripts
from support.proxy import Proxy
from support.server import ServerProcess, start_server

KEY = "a-key-that-is-long-enough"
both_doors = pytest.mark.parametrize("door", ["websocket", "socketio"])


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_server() as running:
        yield running


@pytest.fixture
def closed_port(unused_tcp_port: int) -> str:
    return f"http://127.0.0.1:{unused_tcp_port}"


async def everything(client: TranscriptionClient) -> list[Result]:
    return [result async for result in client.results()]


async def read_into(results: list[Result], client: TranscriptionClient) -> None:
    """Keep what comes even where it ends with an error."""
    async for result in client.results():
        results.append(result)  # noqa: PERF401 - an error must not lose what came before it


def entries(results: list[Result]) -> list[Entry]:
    return [result for result in results if isinstance(result, Entry)]


def finals(results: list[Result]) -> list[Transcript]:
    events = [entry.event for entry in entries(results)]
    return [event for event in events if isinstance(event, Transcript) and not event.is_partial]


def said(results: list[Result]) -> str:
    return " ".join(final.text for final in finals(results))


@both_doors
async def test_words_come_while_they_are_spoken(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door) as client:
        await client.send(speech("two-utterances"))
        heard: list[Result] = []
        async for result in client.results():
            heard.append(result)
            if finals(heard):
                break
        partials = [
            entry.event for entry in entries(heard) if isinstance(entry.event, Transcript) and entry.event.is_partial
        ]
        first = finals(heard)[0]
        assert partials, "no partial came before the final"
        assert {partial.result_id for partial in partials} == {first.result_id}
        assert first.text == "please open the window"
        assert [word.word for word in first.words] == first.text.split()


@both_doors
async def test_a_stream_ends_after_its_last_word_with_ids_in_order(server: ServerProcess, door: Door) -> None:
    pcm = speech("two-utterances")
    async with TranscriptionClient(server.url, door=door) as client:
        await client.send(pcm)
        ended = await client.finish()
        results = await everything(client)
        who = client.participant_id
    assert said(results) == transcripts()["two-utterances.wav"]
    ids = [entry.id for entry in entries(results)]
    assert ids == sorted(set(ids))
    assert entries(results)[-1].event == ended
    assert ended.duration == pytest.approx(len(pcm) / 32_000, abs=0.001)
    assert ended.dropped == 0
    assert {final.participant_id for final in finals(results)} == {who}
    assert client.unacknowledged == 0


async def test_the_websocket_door_tells_when_somebody_speaks(server: ServerProcess) -> None:
    async with TranscriptionClient(server.url) as client:
        await client.send(speech("go-forward"))
        await client.finish()
        spoken = [e.event for e in entries(await everything(client)) if isinstance(e.event, Speaking)]
    assert [event.active for event in spoken] == [True, False]
    assert spoken[0].at < spoken[1].at


@both_doors
async def test_other_formats_are_heard_as_well(server: ServerProcess, door: Door) -> None:
    stereo = AudioFormat(Encoding.PCM_S16LE, 16_000, 2)
    mono = speech("go-forward")
    pcm = b"".join(mono[at : at + 2] * 2 for at in range(0, len(mono), 2))
    async with TranscriptionClient(server.url, door=door, audio=stereo) as client:
        await client.send(pcm)
        await client.finish()
        assert said(await everything(client)) == transcripts()["go-forward.wav"]


@both_doors
async def test_without_interim_results_only_finals_come(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door, interim_results=False) as client:
        await client.send(speech("go-forward"))
        await client.finish()
        heard = [e.event for e in entries(await everything(client)) if isinstance(e.event, Transcript)]
    assert [event.text for event in heard] == ["go forward ten meters"]


@both_doors
async def test_a_stream_without_audio_ends_too(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door) as client:
        ended = await client.finish()
        assert ended.duration == 0
        assert not finals(await everything(client))


async def test_two_clients_of_a_session_see_what_the_other_says(server: ServerProcess) -> None:
    async with TranscriptionClient(server.url, door="socketio") as one:
        async with TranscriptionClient(server.url, door="websocket", session_id=one.session_id) as two:
            assert two.session_id == one.session_id
            assert two.participant_id != one.participant_id
            await two.send(speech("go-forward"))
            await two.finish()
            assert said(await everything(two)) == "go forward ten meters"
        await one.finish()
        heard = finals(await everything(one))
    assert [(final.participant_id, final.text) for final in heard] == [(two.participant_id, "go forward ten meters")]


@both_doors
async def test_leaving_without_finishing_ends_the_stream_on_the_server(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door) as client:
        await client.send(speech("go-forward"))
        url = f"{server.url}/v1/sessions/{client.session_id}/events"
    async with asyncio.timeout(10), aiohttp.ClientSession() as session, session.get(url) as log:
        assert log.status == 200
        # the log is closed when its only stream has ended, and not lost after a minute of waiting
        assert '"reason":"lost"' not in await log.text()


@both_doors
async def test_a_sender_that_is_too_fast_waits_and_loses_nothing(door: Door) -> None:
    pcm = speech("two-utterances")
    in_a_hurry = StreamLimits(rate=8, burst=8)
    with start_server("--max-rate", "4", "--max-burst", "1") as server:
        async with TranscriptionClient(server.url, door=door, limits=in_a_hurry) as client:
            await client.send(pcm)
            ended = await client.finish()
            results = await everything(client)
            assert client.send_rate < 8, "the server never refused"
            assert client.reconnections == 0
    assert said(results) == transcripts()["two-utterances.wav"]
    assert ended.duration == pytest.approx(len(pcm) / 32_000, abs=0.001)
    assert ended.dropped == 0


@both_doors
async def test_a_client_paces_itself_below_the_limits_of_a_server_with_defaults(
    server: ServerProcess, door: Door
) -> None:
    limits = StreamLimits(burst=2.0)
    async with TranscriptionClient(server.url, door=door, limits=limits) as client:
        await client.send(speech("two-utterances"))
        await client.finish()
        assert client.send_rate == limits.rate
        assert said(await everything(client)) == transcripts()["two-utterances.wav"]


@both_doors
async def test_a_reader_that_comes_late_finds_every_final(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door, limits=StreamLimits(results=8)) as client:
        await client.send(speech("two-utterances"))
        await client.finish()
        results = await everything(client)
        assert client.partials_dropped > 0
    assert len(results) <= 8
    assert said(results) == transcripts()["two-utterances.wav"]
    assert isinstance(entries(results)[-1].event, Ended)


async def test_a_reader_that_never_comes_is_told(server: ServerProcess) -> None:
    async with TranscriptionClient(server.url, limits=StreamLimits(results=2)) as client:
        await client.send(speech("two-utterances"))
        with pytest.raises(ResultsUnread, match="read results"):
            await client.finish()
        with pytest.raises(ResultsUnread):
            await everything(client)


@both_doors
async def test_a_wrong_key_is_told_at_once_and_not_tried_again(door: Door) -> None:
    with start_server("--api-keys", KEY) as server:
        async with Proxy(server.port) as proxy:
            with pytest.raises(Unauthorized, match="not known"):
                async with TranscriptionClient(proxy.url, door=door, api_key=KEY + "?"):
                    pass
            with pytest.raises(Unauthorized, match="asks for an API key"):
                async with TranscriptionClient(proxy.url, door=door):
                    pass
            assert proxy.connections == 2
            async with TranscriptionClient(proxy.url, door=door, api_key=KEY) as client:
                await client.send(speech("go-forward"))
                await client.finish()
                assert said(await everything(client)) == "go forward ten meters"


@both_doors
async def test_a_language_that_the_engine_does_not_know_is_refused(server: ServerProcess, door: Door) -> None:
    with pytest.raises(UnsupportedFormat, match="en-US") as refusal:
        async with TranscriptionClient(server.url, door=door, language="tlh"):
            pass
    assert (refusal.value.field or "").startswith("language")


@both_doors
async def test_a_full_server_is_told_with_when_to_come_back(door: Door) -> None:
    with start_server("--max-streams", "1") as server:
        async with TranscriptionClient(server.url, door=door):
            with pytest.raises(SessionLimit) as refusal:
                async with TranscriptionClient(server.url, door=door):
                    pass
            assert refusal.value.retry_after


@both_doors
async def test_a_stream_that_is_too_long_ends_with_its_words_and_the_reason(door: Door) -> None:
    with start_server("--max-session", "3") as server:
        async with TranscriptionClient(server.url, door=door) as client:
            await client.send(speech("two-utterances"))
            heard: list[Result] = []
            with pytest.raises(DurationLimit, match="3 s"):
                await read_into(heard, client)
            assert said(heard) == "please open the window"
            with pytest.raises(DurationLimit):
                await client.send(bytes(3200))
            with pytest.raises(DurationLimit):
                await client.finish()


@both_doors
async def test_half_a_sample_is_refused_before_anything_is_sent(server: ServerProcess, door: Door) -> None:
    async with TranscriptionClient(server.url, door=door) as client:
        with pytest.raises(BadAudio, match="3 bytes"):
            await client.send(b"123")
        assert (await client.finish()).duration == 0


@both_doors
async def test_no_server_is_told_at_once(closed_port: str, door: Door) -> None:
    with pytest.raises(ConnectionLost, match="cannot reach a server"):
        async with TranscriptionClient(closed_port, door=door):
            pass


@both_doors
async def test_another_kind_of_server_is_told_apart(door: Door) -> None:
    async with TestServer(web.Application()) as other:
        with pytest.raises(ProtocolFault, match="404"):
            async with TranscriptionClient(str(other.make_url("/")), door=door):
                pass


@both_doors
async def test_a_server_that_takes_nothing_more_makes_the_sender_wait_until_its_deadline(door: Door) -> None:
    with start_server("--engine", "antiphon.testing:ScriptedRecogniser") as server:
        limits = StreamLimits(buffer=0.5, send_timeout=0.3, finish_timeout=0.3)
        async with TranscriptionClient(server.url, door=door, limits=limits) as client:
            server.pause()
            with pytest.raises(SendTimeout) as refusal:
                await client.send(bytes(2 * 16_000))
            assert refusal.value.taken == 16_000
            with pytest.raises(FinishTimeout):
                await client.finish()
            server.resume()


async def test_sending_needs_a_client_that_is_on(server: ServerProcess) -> None:
    client = TranscriptionClient(server.url)
    with pytest.raises(RuntimeError, match="entered"):
        await client.send(bytes(320))
    with pytest.raises(RuntimeError, match="entered"):
        await client.finish()
    async with client:
        await client.finish()
        with pytest.raises(RuntimeError, match="finished"):
            await client.send(bytes(320))
    with pytest.raises(RuntimeError, match="one stream"):
        async with client:
            pass


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://example.org", "http://", "nonsense"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://127"):
        TranscriptionClient(url)


def test_what_the_client_cannot_cut_into_packets_is_refused() -> None:
    with pytest.raises(UnsupportedFormat, match="give it pcm_s16le, opus, mulaw or alaw"):
        TranscriptionClient("http://127.0.0.1", audio=AudioFormat(Encoding.WEBM, 48_000))


async def test_the_results_are_reconnection_free_on_a_good_connection(server: ServerProcess) -> None:
    async with TranscriptionClient(server.url) as client:
        await client.send(speech("go-forward"))
        await client.finish()
        assert not [result async for result in client.results() if isinstance(result, Reconnected)]
        assert client.reconnections == 0
