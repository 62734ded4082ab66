"""A log is append-only, read from any id on, and bounded."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.errors import NotFound
from antiphon.events import Entry, Event, Progress, Started, Transcript
from antiphon.state import MemoryStore


def transcript(utterance: int, partial: bool) -> Transcript:
    return Transcript("p", f"p-{utterance}", "words", partial, 0.0, 1.0, "en-US")


async def fill(store: MemoryStore, events: list[Event]) -> None:
    await store.open("s")
    for event in events:
        await store.append("s", event, 0.0)


async def read_all(store: MemoryStore, after: int = 0) -> list[Entry]:
    entries: list[Entry] = []
    while batch := await store.read("s", entries[-1].id if entries else after):
        entries += batch
    return entries


async def test_ids_begin_at_one_and_increase() -> None:
    store = MemoryStore()
    await fill(store, [Started("p")] * 3)
    assert [entry.id for entry in await read_all(store)] == [1, 2, 3]
    assert await store.last_id("s") == 3
    assert [entry.id for entry in await read_all(store, after=2)] == [3]


async def test_a_follower_gets_what_was_and_what_comes_each_once() -> None:
    store = MemoryStore()
    await fill(store, [Started("p")] * 150)
    got: list[int] = []

    async def follow() -> None:
        got.extend([entry.id async for entry in store.follow("s", 100)])

    following = asyncio.create_task(follow())
    for _ in range(5):
        await asyncio.sleep(0)
    await store.append("s", Started("p"), 0.0)
    await store.close("s")
    async with asyncio.timeout(5):
        await following
    assert got == list(range(101, 152))


async def test_a_closed_log_can_be_read_and_gone_on_with() -> None:
    store = MemoryStore()
    await fill(store, [Started("p")])
    await store.close("s")
    assert [entry.id async for entry in store.follow("s", 0)] == [1]
    await store.open("s")
    assert (await store.append("s", Started("p"), 0.0)).id == 2


async def test_a_deleted_log_ends_its_followers_and_is_gone() -> None:
    store = MemoryStore()
    await fill(store, [])
    following = asyncio.create_task(anext(aiter(store.follow("s", 0)), None))
    await asyncio.sleep(0)
    await store.delete("s")
    async with asyncio.timeout(5):
        assert await following is None
    assert "s" not in store
    with pytest.raises(NotFound, match="there is no session 's'"):
        await store.read("s", 0)


async def test_partials_that_have_their_final_go_first() -> None:
    store = MemoryStore(max_entries=100)
    events: list[Event] = []
    for utterance in range(30):
        events += [transcript(utterance, True)] * 9 + [transcript(utterance, False)]
    await fill(store, events)
    kept = await read_all(store)
    assert len(kept) <= 100
    finals = {
        entry.event.result_id for entry in kept if isinstance(entry.event, Transcript) and not entry.event.is_partial
    }
    assert finals == {f"p-{utterance}" for utterance in range(30)}


async def test_all_logs_together_are_bounded_and_running_sessions_keep_theirs() -> None:
    store = MemoryStore(max_total=100)
    for name in ("a", "b", "running"):
        await store.open(name)
        for _ in range(40):
            await store.append(name, Started("p"), 0.0)
        if name != "running":
            await store.close(name)
    assert "a" not in store, "the one that ended first"
    assert len(await store.read("b", 0)) == len(await store.read("running", 0)) == 40
    for _ in range(60):
        await store.append("running", Started("p"), 0.0)
    assert "b" not in store
    assert len(await store.read("running", 0)) == 100


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["partial", "final", "progress", "started"]), max_size=400))
def test_the_log_is_bounded_and_its_ids_increase_whatever_is_written(kinds: list[str]) -> None:
    made = {
        "partial": transcript(1, True),
        "final": transcript(1, False),
        "progress": Progress("p", 1.0, None),
        "started": Started("p"),
    }

    async def run() -> None:
        store = MemoryStore(max_entries=100)
        await fill(store, [made[kind] for kind in kinds])
        ids = [entry.id for entry in await read_all(store)]
        assert len(ids) <= 100
        assert ids == sorted(set(ids))
        assert not kinds or ids[-1] == len(kinds)
        assert ids[-20:] == list(range(max(1, len(kinds) - 19), len(kinds) + 1))

    asyncio.run(run())
