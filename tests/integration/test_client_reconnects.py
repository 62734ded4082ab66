"""The Python client over connections that break and to servers that die: every word once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from antiphon.client import (
    Backoff,
    ConnectionLost,
    Door,
    Reconnected,
    Result,
    StreamLimits,
    TranscriptionClient,
)
from antiphon.errors import Conflict, NotFound
from antiphon.events import Ended, Entry, Transcript
from support.audio import speech, transcripts
from support.proxy import Proxy
from support.server import SCRIPTED, ServerProcess, start_server

both_doors = pytest.mark.parametrize("door", ["websocket", "socketio"])
SECONDS_OF_BYTES = 32_000
HALF = 90_000
"""Bytes of about half of two-utterances.wav."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_server() as running:
        yield running


@pytest.fixture
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave it to the acknowledgements to tell that a connection is dead."""
    for module in ("antiphon.client.websocket", "antiphon.client.socketio"):
        monkeypatch.setattr(f"{module}.HEARTBEAT", 1_000.0)


def quick() -> Backoff:
    return Backoff(first=0.02, cap=0.2, random=Random(7))


async def everything(client: TranscriptionClient) -> list[Result]:
    return [result async for result in client.results()]


def entries(results: list[Result]) -> list[Entry]:
    return [result for result in results if isinstance(result, Entry)]


def returns(results: list[Result]) -> list[Reconnected]:
    return [result for result in results if isinstance(result, Reconnected)]


def said(results: list[Result]) -> str:
    events = [entry.event for entry in entries(results)]
    return " ".join(event.text for event in events if isinstance(event, Transcript) and not event.is_partial)


async def until_said(client: TranscriptionClient, results: list[Result], text: str) -> None:
    """Read on until a final says `text`."""
    async with asyncio.timeout(60):
        async for result in client.results():
            results.append(result)
            if text in said([result]):
                return
    raise AssertionError(f"the results ended without {text!r}; there were {results}")


async def acknowledged(client: TranscriptionClient) -> None:
    """Wait until the server has all that was sent."""
    async with asyncio.timeout(30):
        while client.unacknowledged:
            await asyncio.sleep(0.01)


@both_doors
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_connection_cut_in_mid_stream_loses_and_repeats_nothing(
    server: ServerProcess, door: Door, seed: int
) -> None:
    pcm = speech("two-utterances")
    async with (
        Proxy(server.port, seed=seed, cut_up=(15_000, 60_000), cuts=5) as proxy,
        TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
    ):
        await client.send(pcm)
        ended = await client.finish()
        results = await everything(client)
        assert proxy.cut_off == 5
    assert said(results) == transcripts()["two-utterances.wav"]
    ids = [entry.id for entry in entries(results)]
    assert ids == sorted(set(ids)), "an event came twice or out of order"
    assert ended.duration == pytest.approx(len(pcm) / SECONDS_OF_BYTES, abs=0.001)
    assert ended.dropped == 0
    assert len(returns(results)) == client.reconnections >= 5
    assert all(back.resumed for back in returns(results))


@both_doors
async def test_events_that_were_told_before_the_connection_broke_are_not_told_again(
    server: ServerProcess, door: Door
) -> None:
    results: list[Result] = []
    async with (
        Proxy(server.port) as proxy,
        TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
    ):
        await client.send(speech("two-utterances"))
        finishing: asyncio.Task[Ended] | None = None
        async for result in client.results():
            results.append(result)
            if isinstance(result, Entry) and len(entries(results)) <= 3:
                proxy.cut()
            elif finishing is None:
                finishing = asyncio.create_task(client.finish())
        assert finishing is not None
        await finishing
    assert len(returns(results)) >= 1
    assert said(results) == transcripts()["two-utterances.wav"]
    ids = [entry.id for entry in entries(results)]
    assert ids == sorted(set(ids)), "an event came twice or out of order"
    if door == "websocket":  # which tells every event but the first, that of its own beginning
        assert ids == list(range(2, len(ids) + 2))


@both_doors
@pytest.mark.usefixtures("no_heartbeat")
async def test_a_connection_that_only_stalls_is_given_up_and_another_one_taken(
    server: ServerProcess, door: Door
) -> None:
    limits = StreamLimits(stall_timeout=0.8)
    async with (
        Proxy(server.port, seed=4) as proxy,
        TranscriptionClient(proxy.url, door=door, backoff=quick(), limits=limits) as client,
    ):
        pcm = speech("two-utterances")
        await client.send(pcm[:HALF])
        await acknowledged(client)
        proxy.stall()
        await client.send(pcm[HALF:])
        # what was held back comes as well, late, when the stream is already on another connection
        await proxy.reached(2)
        proxy.flow()
        ended = await client.finish()
        results = await everything(client)
    assert said(results) == transcripts()["two-utterances.wav"]
    assert ended.dropped == 0
    assert [back.resumed for back in returns(results)]


@both_doors
async def test_a_slow_and_jittery_connection_changes_nothing(server: ServerProcess, door: Door) -> None:
    async with (
        Proxy(server.port, seed=5, delay_ms=(1, 40)) as proxy,
        TranscriptionClient(proxy.url, door=door) as client,
    ):
        await client.send(speech("go-forward"))
        await client.finish()
        results = await everything(client)
    assert said(results) == "go forward ten meters"
    assert not returns(results)


@both_doors
async def test_audio_given_while_there_is_no_connection_is_heard_later(server: ServerProcess, door: Door) -> None:
    async with (
        Proxy(server.port) as proxy,
        TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
    ):
        pcm = speech("two-utterances")
        await client.send(pcm[:HALF])
        await acknowledged(client)
        proxy.refuse()
        proxy.cut()
        await proxy.reached(4)
        assert not client.connected
        await client.send(pcm[HALF:])
        proxy.refuse(False)
        ended = await client.finish()
        results = await everything(client)
    assert said(results) == transcripts()["two-utterances.wav"]
    assert ended.dropped == 0
    assert [back.resumed for back in returns(results)] == [True]


@both_doors
async def test_a_server_that_was_killed_and_restarted_gets_a_new_stream(door: Door) -> None:
    with start_server() as first:
        async with TranscriptionClient(first.url, door=door, backoff=quick()) as client:
            results: list[Result] = []
            await client.send(speech("go-forward"))
            await until_said(client, results, "go forward ten meters")
            session = client.session_id
            await acknowledged(client)
            first.kill()
            await client.send(speech("tomorrow-morning"))
            with await asyncio.to_thread(first.restarted):
                ended = await client.finish()
                results += await everything(client)
            assert client.session_id != session
    assert said(results) == f"go forward ten meters {transcripts()['tomorrow-morning.wav']}"
    assert [back.resumed for back in returns(results)] == [False]
    assert returns(results)[0].session_id == client.session_id
    # ids begin anew with the new session
    place = results.index(returns(results)[0])
    for part in (results[:place], results[place:]):
        ids = [entry.id for entry in entries(part)]
        assert ids == sorted(set(ids))
    assert entries(results[place:])[0].id < entries(results[:place])[-1].id
    assert ended.reason in ("left", "stopped")


@both_doors
async def test_a_server_that_ends_in_an_orderly_way_tells_its_words_before_another_goes_on(door: Door) -> None:
    with start_server("--shutdown-grace", "3") as first:
        async with TranscriptionClient(first.url, door=door, backoff=quick()) as client:
            await client.send(speech("go-forward"))
            await acknowledged(client)
            stopping = asyncio.create_task(asyncio.to_thread(first.stop))
            results: list[Result] = []
            await until_said(client, results, "go forward ten meters")
            assert await stopping == 0, first.log
            await client.send(speech("tomorrow-morning"))
            with await asyncio.to_thread(first.restarted):
                await client.finish()
                results += await everything(client)
    assert said(results) == f"go forward ten meters {transcripts()['tomorrow-morning.wav']}"
    reasons = [entry.event.reason for entry in entries(results) if isinstance(entry.event, Ended)]
    assert reasons[0] == "shutdown"
    assert [back.resumed for back in returns(results)] == [False]


@both_doors
async def test_a_stream_that_waited_too_long_tells_its_last_words_and_goes_on_as_a_new_one(door: Door) -> None:
    with start_server("--resume-window", "0") as server:
        async with (
            Proxy(server.port) as proxy,
            TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
        ):
            await client.send(speech("go-forward"))
            await acknowledged(client)
            proxy.cut()
            await client.send(speech("tomorrow-morning"))
            await client.finish()
            results = await everything(client)
    assert said(results) == f"go forward ten meters {transcripts()['tomorrow-morning.wav']}"
    assert [back.resumed for back in returns(results)] == [False]
    reasons = [entry.event.reason for entry in entries(results) if isinstance(entry.event, Ended)]
    assert reasons[0] == "lost"
    assert len(reasons) == 2


@both_doors
async def test_results_that_were_missed_while_finishing_come_from_the_log(door: Door) -> None:
    with start_server("--resume-window", "0") as server:
        async with (
            Proxy(server.port) as proxy,
            TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
        ):
            await client.send(speech("go-forward"))
            await acknowledged(client)
            finishing = asyncio.create_task(client.finish())
            await asyncio.sleep(0)
            proxy.cut()
            ended = await finishing
            results = await everything(client)
    assert said(results) == "go forward ten meters"
    assert ended == entries(results)[-1].event
    assert not returns(results)


@both_doors
async def test_last_words_that_died_with_the_server_are_told_missing(door: Door) -> None:
    with start_server(*SCRIPTED, "--shutdown-grace", "0") as first:
        async with TranscriptionClient(first.url, door=door, backoff=quick()) as client:
            await client.send(bytes(SECONDS_OF_BYTES))
            await acknowledged(client)
            first.kill()
            with await asyncio.to_thread(first.restarted):
                with pytest.raises(NotFound, match="forgotten"):
                    await client.finish()
                with pytest.raises(NotFound):
                    await everything(client)


@both_doors
async def test_a_server_that_does_not_come_back_is_given_up(door: Door) -> None:
    limits = StreamLimits(reconnect_timeout=0.5)
    with start_server(*SCRIPTED, "--shutdown-grace", "0") as server:
        async with TranscriptionClient(server.url, door=door, backoff=quick(), limits=limits) as client:
            await client.send(bytes(3_200))
            server.kill()
            with pytest.raises(ConnectionLost, match="did not come back"):
                await everything(client)
            with pytest.raises(ConnectionLost):
                await client.send(bytes(3_200))
            with pytest.raises(ConnectionLost):
                await client.finish()


@both_doors
@pytest.mark.usefixtures("no_heartbeat")
async def test_a_server_that_answers_no_more_is_given_up(door: Door) -> None:
    limits = StreamLimits(stall_timeout=0.4, connect_timeout=0.3, reconnect_timeout=1.0)
    with start_server(*SCRIPTED, "--shutdown-grace", "0") as server:
        async with TranscriptionClient(server.url, door=door, backoff=quick(), limits=limits) as client:
            server.pause()
            await client.send(bytes(3_200))
            with pytest.raises(ConnectionLost, match="did not come back"):
                await client.finish()
            server.resume()


@both_doors
async def test_a_stream_that_somebody_else_takes_over_is_not_fought_for(server: ServerProcess, door: Door) -> None:
    async with (
        Proxy(server.port) as proxy,
        TranscriptionClient(proxy.url, door=door, backoff=quick()) as client,
    ):
        life = client._life
        assert life.joined is not None
        async with TranscriptionClient(server.url, door=door) as thief:
            # whoever has the token may go on with the stream
            thief._life.joined = life.joined
            link = await thief._life._connect(resume=True)
            with pytest.raises(Conflict, match="replaced"):
                await everything(client)
            await link.close()
        assert proxy.connections == 1
