"""Sessions begin, are resumed, end and are forgotten; streams outlive their connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from antiphon.errors import (
    BadAudio,
    Conflict,
    DurationLimit,
    EngineUnavailable,
    NotFound,
    RateLimited,
    SessionLimit,
    UnsupportedFormat,
)
from antiphon.events import Ended, Entry, Transcript
from antiphon.formats import AudioFormat
from antiphon.sessions import Participant, SessionLimits, SessionManager
from antiphon.speech.transcriber import TranscriberOptions
from antiphon.state import MemoryStore
from antiphon.testing import ScriptedRecogniser, VirtualClock

SECOND = bytes(32_000)
LIMITS = SessionLimits(max_streams=3, resume_window_s=60.0, retention_s=60.0)


class House:
    """A manager with doubles for what it stands on."""

    def __init__(self, limits: SessionLimits = LIMITS) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.engine = ScriptedRecogniser(seconds=1.0)
        self.manager = SessionManager(self.engine, self.store, limits, TranscriberOptions(), "en-US", self.clock)

    async def begin(self, session_id: str | None = None, audio: AudioFormat | None = None) -> Participant:
        return await self.manager.begin(session_id, "speaker", audio or AudioFormat(), None)

    async def log(self, session_id: str) -> list[Entry]:
        return await self.store.read(session_id, 0)

    async def texts(self, session_id: str) -> list[str]:
        entries = await self.log(session_id)
        return [e.event.text for e in entries if isinstance(e.event, Transcript) and not e.event.is_partial]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.manager.close()


async def until(condition: object) -> None:
    """Let the loop run until `condition()` is true."""
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_what_was_said_is_in_the_log_when_the_stream_has_ended(house: House) -> None:
    participant = await house.begin("talk")
    participant.ingest(SECOND, house.clock.monotonic())
    participant.ingest(SECOND, house.clock.monotonic())
    await participant.finish("stopped")
    await participant.session.written()
    assert await house.texts("talk") == ["one two three", "four five six"]
    last = (await house.log("talk"))[-1].event
    assert last == Ended(participant.id, "stopped", 2.0, 0)
    assert house.manager.streams == 0


async def test_a_stream_is_resumed_by_its_token_and_goes_on_where_it_was(house: House) -> None:
    participant = await house.begin("talk")
    first, second = (lambda: None), (lambda: None)
    participant.attach(first)
    participant.ingest(SECOND[:16_000], house.clock.monotonic())
    participant.detach(first)
    again = house.manager.resume("talk", participant.resume_token)
    again.attach(second)
    again.ingest(SECOND[:16_000], house.clock.monotonic())
    await again.finish("stopped")
    await again.session.written()
    assert await house.texts("talk") == ["one two three"]


@pytest.mark.parametrize(("session_id", "token"), [("talk", "wrong"), ("other", None), ("talk", "ü")])
async def test_nobody_resumes_without_the_token(house: House, session_id: str, token: str | None) -> None:
    participant = await house.begin("talk")
    with pytest.raises(NotFound, match="start a new one"):
        house.manager.resume(session_id, token or participant.resume_token)


async def test_a_second_connection_takes_the_stream_over(house: House) -> None:
    participant = await house.begin()
    taken: list[str] = []
    participant.attach(lambda: taken.append("first"))
    participant.attach(lambda: taken.append("second"))
    assert taken == ["first"]


async def test_a_stream_whose_client_stays_away_is_ended_and_its_words_are_kept() -> None:
    house = House(replace(LIMITS, resume_window_s=0.01))
    participant = await house.begin("talk")
    hold = lambda: None  # noqa: E731
    participant.attach(hold)
    participant.ingest(SECOND, house.clock.monotonic())
    participant.detach(hold)
    await until(lambda: house.manager.streams == 0)
    await participant.session.written()
    assert await house.texts("talk") == ["one two three"]
    last = (await house.log("talk"))[-1].event
    assert isinstance(last, Ended)
    assert last.reason == "lost"
    with pytest.raises(NotFound):
        house.manager.resume("talk", participant.resume_token)
    await house.manager.close()


async def test_two_participants_share_one_log(house: House) -> None:
    first, second = await house.begin("talk"), await house.begin("talk")
    assert first.session is second.session
    assert first.id != second.id
    first.ingest(SECOND, house.clock.monotonic())
    second.ingest(SECOND, house.clock.monotonic())
    await asyncio.gather(first.finish("left"), second.finish("left"))
    await first.session.written()
    entries = await house.log("talk")
    speakers = {e.event.participant_id for e in entries if isinstance(e.event, Transcript)}
    assert speakers == {first.id, second.id}
    assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))


async def test_a_session_that_ended_is_gone_on_with_under_its_name(house: House) -> None:
    first = await house.begin("talk")
    await first.finish("left")
    await until(lambda: not house.manager.participants())
    again = await house.begin("talk")
    again.ingest(SECOND, house.clock.monotonic())
    await again.finish("left")
    await again.session.written()
    ids = [entry.id for entry in await house.log("talk")]
    assert ids == sorted(set(ids))
    assert await house.texts("talk") == ["one two three"]


async def test_packets_are_counted_while_a_stream_runs_and_after(house: House) -> None:
    participant = await house.begin()
    for number in (0, 1, 1, 3):
        participant.inflow.push_packet(number, number * 320, bytes(640), 320, 0.0)
    assert (house.manager.packets().received, house.manager.packets().duplicates) == (2, 1)
    await participant.finish("left")
    packets = house.manager.packets()
    assert (packets.received, packets.duplicates, packets.lost) == (3, 1, 1)


async def test_over_the_limit_of_streams_is_refused_at_once_and_a_free_place_works(house: House) -> None:
    streams = [await house.begin() for _ in range(3)]
    with pytest.raises(SessionLimit, match="all 3 streams of this server are in use"):
        await house.begin()
    await streams[0].finish("left")
    assert (await house.begin()).id
    assert house.manager.refused_total == 1


async def test_an_unknown_language_takes_no_place(house: House) -> None:
    with pytest.raises(UnsupportedFormat, match="it knows en-US, de-DE"):
        await house.manager.begin(None, "", AudioFormat(), "xx-XX")
    assert house.manager.streams == 0


async def test_the_log_of_an_ended_session_is_forgotten_in_time() -> None:
    house = House(replace(LIMITS, retention_s=0.01))
    participant = await house.begin("talk")
    await participant.finish("left")
    await until(lambda: "talk" not in house.store)


async def test_only_so_many_ended_sessions_are_kept() -> None:
    house = House(replace(LIMITS, max_retained=2))
    for name in ("a", "b", "c"):
        await (await house.begin(name)).finish("left")
    await until(lambda: "a" not in house.store)
    assert "b" in house.store
    assert "c" in house.store
    await house.manager.close()


async def test_half_samples_are_refused_and_nothing_is_taken(house: House) -> None:
    participant = await house.begin(audio=AudioFormat(sample_rate=48_000, channels=2))
    with pytest.raises(BadAudio, match="6 bytes are not a whole number of 4-byte samples"):
        participant.ingest(bytes(6), 0.0)
    assert participant.seconds == 0


async def test_audio_faster_than_the_rate_is_refused_and_may_come_later(house: House) -> None:
    participant = await house.begin()
    for _ in range(60):
        participant.ingest(SECOND, house.clock.monotonic())
    with pytest.raises(RateLimited, match="faster than 4 times real time") as caught:
        participant.ingest(SECOND, house.clock.monotonic())
    assert participant.seconds == 60
    house.clock.advance(caught.value.retry_after or 0)
    participant.ingest(SECOND, house.clock.monotonic())
    assert participant.seconds == 61


async def test_a_stream_may_not_last_for_ever() -> None:
    house = House(replace(LIMITS, max_session_s=1.5))
    participant = await house.begin()
    participant.ingest(SECOND, house.clock.monotonic())
    with pytest.raises(DurationLimit, match=r"may last 1\.5 s"):
        participant.ingest(SECOND, house.clock.monotonic())
    await participant.finish("limit")
    await participant.session.written()
    assert await house.texts(participant.session.id) == ["one two three"]
    last = (await house.log(participant.session.id))[-1].event
    assert last == Ended(participant.id, "limit", 1.0, 0)
    await house.manager.close()


async def test_an_ended_stream_takes_nothing_more(house: House) -> None:
    participant = await house.begin()
    await participant.finish("left")
    with pytest.raises(Conflict, match="has ended"):
        participant.ingest(SECOND, house.clock.monotonic())


async def test_what_a_muted_participant_sends_is_silence(house: House) -> None:
    participant = await house.begin("talk")
    participant.inflow.muted = True
    for _ in range(3):
        participant.ingest(SECOND, house.clock.monotonic())
    await participant.finish("left")
    await participant.session.written()
    assert await house.texts("talk") == []
    assert participant.seconds == 3


async def test_draining_ends_everybody_in_time_and_admits_nobody(house: House) -> None:
    participant = await house.begin("talk")
    participant.attach(lambda: None)
    participant.ingest(SECOND, house.clock.monotonic())
    assert await house.manager.drain(0.01) is False
    await participant.session.written()
    assert await house.texts("talk") == ["one two three"]
    with pytest.raises(EngineUnavailable, match="shutting down"):
        await house.begin()


async def test_a_client_that_leaves_while_the_server_drains_is_not_waited_for(house: House) -> None:
    participant = await house.begin()
    hold = lambda: None  # noqa: E731
    participant.attach(hold)
    draining = asyncio.create_task(house.manager.drain(30.0))
    await asyncio.sleep(0)
    participant.detach(hold)
    async with asyncio.timeout(5):
        assert await draining is True


async def test_draining_waits_for_those_who_are_about_to_end(house: House) -> None:
    participant = await house.begin()
    participant.attach(lambda: None)
    draining = asyncio.create_task(house.manager.drain(30.0))
    await asyncio.sleep(0)
    await participant.finish("left")
    async with asyncio.timeout(5):
        assert await draining is True
