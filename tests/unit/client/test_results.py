"""Results on their way: bounded, in order, and nothing final is lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client import Reconnected, ResultsUnread
from antiphon.client.results import ResultQueue
from antiphon.events import Entry, Speaking, Transcript


def heard(number: int, utterance: int, is_partial: bool) -> Entry:
    return Entry(number, 0.0, Transcript("p", f"p-{utterance}", str(number), is_partial, 0.0, 1.0, "en-US"))


def drained(queue: ResultQueue) -> list[object]:
    async def read() -> list[object]:
        queue.close()
        items: list[object] = []
        while (item := await queue.get()) is not None:
            items.append(item)
        return items

    return asyncio.run(read())


@given(partials=st.lists(st.integers(0, 30), min_size=1, max_size=5), limit=st.integers(12, 40))
def test_partials_that_were_replaced_go_first_and_everything_else_stays(partials: list[int], limit: int) -> None:
    queue = ResultQueue(limit)
    number = 0
    lasting = []
    for utterance, count in enumerate(partials):
        for is_partial in [True] * count + [False]:
            number += 1
            entry = heard(number, utterance, is_partial)
            queue.put(entry)
            assert len(queue) <= limit
            if not is_partial:
                lasting.append(entry)
    left = drained(queue)
    assert [entry for entry in left if not entry.event.is_partial] == lasting  # type: ignore[attr-defined]
    ids = [entry.id for entry in left]  # type: ignore[attr-defined]
    assert ids == sorted(ids)
    assert len(left) + queue.partials_dropped == number


def test_nothing_is_dropped_where_there_is_room() -> None:
    queue = ResultQueue(10)
    entries = [heard(number, 0, True) for number in range(10)]
    for entry in entries:
        queue.put(entry)
    assert drained(queue) == entries


def test_the_newest_partial_of_an_utterance_stays() -> None:
    queue = ResultQueue(3)
    for number in range(1, 10):
        queue.put(heard(number, 0, True))
    left = drained(queue)
    assert left[-1] == heard(9, 0, True)


def test_what_nothing_replaces_fills_the_queue() -> None:
    queue = ResultQueue(3)
    queue.put(Entry(1, 0.0, Speaking("p", True, 0.0)))
    queue.put(Reconnected(True, "s", 1, 0.0))
    queue.put(heard(2, 0, False))
    with pytest.raises(ResultsUnread):
        queue.put(heard(3, 1, False))
    assert len(drained(queue)) == 3


async def test_a_reader_wakes_for_a_result_and_for_the_end() -> None:
    queue = ResultQueue(3)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(heard(1, 0, False))
    assert await waiting == heard(1, 0, False)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    assert await waiting is None
