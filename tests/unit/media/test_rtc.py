"""The face of the WebRTC engine: events reach the one they are for, in batches, and nobody's fault is another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.errors import AntiphonError, NotFound, UnsupportedFormat
from antiphon.media import rtc
from antiphon.media.rtc import BATCH, MediaEngine, MediaListener
from antiphon.testing import ScriptedRtcEngine


class Heard(MediaListener):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.news = asyncio.Event()

    def note(self, *event: Any) -> None:
        self.events.append(event)
        self.news.set()

    def on_answer(self, sdp: str) -> None:
        self.note("answer", sdp)

    def on_refused(self, error: AntiphonError) -> None:
        self.note("refused", type(error), error.message)

    def on_closed(self, reason: str) -> None:
        self.note("closed", reason)

    def on_speaking(self, active: bool) -> None:
        self.note("speaking", active)

    def on_tap(self, pcm: bytes) -> None:
        self.note("tap", pcm)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.news.clear()
                await self.news.wait()


class Faulty(MediaListener):
    def on_answer(self, sdp: str) -> None:
        raise RuntimeError("a bug")


@pytest.fixture
def native() -> ScriptedRtcEngine:
    return ScriptedRtcEngine()


@pytest.fixture
async def engine(native: ScriptedRtcEngine, faults: list[Exception]) -> AsyncIterator[MediaEngine]:
    media = MediaEngine(native, faults.append)
    media.start()
    yield media
    media.close()
    assert native.closed


@pytest.fixture
def faults() -> list[Exception]:
    return []


async def test_events_reach_the_one_they_are_for(native: ScriptedRtcEngine, engine: MediaEngine) -> None:
    one, two = Heard(), Heard()
    room = engine.open_room("mix", 5)
    first, second = engine.join(room, "offer 1", one), engine.join(room, "offer 2", two, listen=False)
    assert native.asked("join") == [(room, "offer 1", True, True, first), (room, "offer 2", True, False, second)]
    native.tell(
        ("answer", first, "sdp"), ("refused", second, "unsupported_format", "no audio"), ("speaking", first, True)
    )
    await one.until(2)
    assert one.events == [("answer", "sdp"), ("speaking", True)]
    assert two.events == [("refused", UnsupportedFormat, "no audio")]


async def test_after_the_end_nothing_comes(native: ScriptedRtcEngine, engine: MediaEngine) -> None:
    one, two, three = Heard(), Heard(), Heard()
    first, second, third = (engine.join(1, "offer", listener) for listener in (one, two, three))
    engine.leave(second)
    native.tell(("closed", first, "timeout"), ("speaking", first, True), ("speaking", second, True))
    native.tell(("closed", second, "left"), ("speaking", third, True))
    await three.until(1)
    assert one.events == [("closed", "timeout")]
    assert two.events == []
    assert engine.participants == 1


async def test_datagrams_given_up_are_told_while_there_is_an_engine(
    native: ScriptedRtcEngine, engine: MediaEngine
) -> None:
    native.datagrams_dropped = 64
    assert engine.datagrams_dropped == 64
    engine.close()
    assert engine.datagrams_dropped == 0


async def test_a_fault_of_one_listener_does_not_cost_another_its_events(
    native: ScriptedRtcEngine, engine: MediaEngine, faults: list[Exception]
) -> None:
    heard = Heard()
    faulty, good = engine.join(1, "offer", Faulty()), engine.join(1, "offer", heard)
    native.tell(("answer", faulty, "sdp"), ("answer", good, "sdp"), ("nobody knows", good), ("speaking", good, True))
    await heard.until(2)
    assert [type(fault) for fault in faults] == [RuntimeError, KeyError]


async def test_others_have_their_turn_between_batches(native: ScriptedRtcEngine, engine: MediaEngine) -> None:
    heard = Heard()
    peer = engine.join(1, "offer", heard)
    native.tell(*[("tap", peer, bytes([n % 256])) for n in range(3 * BATCH + 5)], ("overflow", 3), ("overflow", 4))
    seen: list[int] = []
    async with asyncio.timeout(10):
        while len(heard.events) < 3 * BATCH + 5:
            await asyncio.sleep(0)
            seen.append(len(heard.events))
    assert {BATCH, 2 * BATCH, 3 * BATCH} <= set(seen)
    assert engine.events_lost == 7


async def test_statistics_are_asked_for_once_and_told_to_all_who_ask(
    native: ScriptedRtcEngine, engine: MediaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = engine.join(1, "offer", MediaListener())
    asking = [asyncio.ensure_future(engine.stats(peer)) for _ in range(3)]
    await asyncio.sleep(0)
    assert native.asked("stats") == [(peer,)]
    native.tell(("stats", peer, {"packets": 5}))
    assert await asyncio.gather(*asking) == [{"packets": 5}] * 3
    monkeypatch.setattr(rtc, "STATS_TIMEOUT", 0.01)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await engine.stats(peer)
    assert len(native.asked("stats")) == 3
    monkeypatch.undo()
    waiting = asyncio.ensure_future(engine.stats(peer))
    await asyncio.sleep(0)
    native.tell(("closed", peer, "timeout"))
    with pytest.raises(NotFound):
        await waiting
    with pytest.raises(NotFound):
        await engine.stats(peer)
