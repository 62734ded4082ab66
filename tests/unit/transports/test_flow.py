"""What the live doors share: acknowledgements, refusals and the queue towards a client."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.transports.flow import Acks, AckTimer, Refusals, Sender, Verdict

TELL, IGNORE, CLOSE = Verdict.TELL, Verdict.IGNORE, Verdict.CLOSE


# Refusals; all times are arguments


def test_whoever_floods_is_told_once_a_second_and_then_cut_off() -> None:
    refusals = Refusals()
    verdicts = [refusals.refuse(now / 100) for now in range(1000)]
    told = [now / 100 for now, verdict in enumerate(verdicts) if verdict is not IGNORE]
    assert told[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [verdict for verdict in verdicts if verdict is not IGNORE][:9] == [TELL] * 8 + [CLOSE]
    assert refusals.refused == 1000


def test_old_refusals_are_forgotten() -> None:
    refusals = Refusals(patience=2)
    assert [refusals.refuse(now) for now in (0, 1, 12, 13)] == [TELL, TELL, TELL, TELL]
    assert refusals.refuse(14) is CLOSE


def test_the_third_message_that_is_too_large_is_one_too_many() -> None:
    refusals = Refusals(tell_interval=0.0, patience=2)
    assert [refusals.refuse(0.0), refusals.refuse(0.0), refusals.refuse(0.0)] == [TELL, TELL, CLOSE]


def test_a_refused_chunk_is_awaited_and_what_comes_before_it_is_held_back() -> None:
    refusals = Refusals()
    assert refusals.passes(7, 0.0)
    assert refusals.refuse(0.0, seq=7, retry_after=0.5) is TELL
    assert refusals.awaited == 7
    assert not refusals.passes(8, 0.1)
    assert refusals.remind(0.1) is IGNORE
    assert refusals.passes(7, 0.6)
    refusals.accept(0.6)
    assert refusals.awaited is None
    assert refusals.passes(8, 0.6)


def test_a_chunk_that_does_not_come_again_is_not_awaited_for_ever() -> None:
    refusals = Refusals()
    refusals.refuse(0.0, seq=7, retry_after=0.5)
    assert not refusals.passes(8, 5.4)
    assert refusals.passes(8, 5.5)
    refusals.accept(5.5)
    assert refusals.passes(9, 5.5)


def test_every_refusal_that_has_to_be_mended_is_told() -> None:
    """A client that sends as fast as it can, but waits when it is told to, is told each time and never cut off."""
    refusals = Refusals()
    now = 0.0
    for seq in range(0, 1000, 10):
        assert refusals.refuse(now, seq, retry_after=0.5) is TELL
        # what was on its way already
        assert not refusals.passes(seq + 1, now + 0.01)
        assert refusals.remind(now + 0.01) is IGNORE
        now += 0.5
        assert refusals.passes(seq, now)
        refusals.accept(now)


def test_whoever_does_not_send_the_awaited_chunk_is_reminded_and_then_cut_off() -> None:
    refusals = Refusals()
    assert refusals.refuse(0.0, seq=7, retry_after=60.0) is TELL
    verdicts = [refusals.remind(now / 10) for now in range(1, 100)]
    assert verdicts.index(CLOSE) == 89


def test_sending_the_refused_chunk_over_and_over_without_waiting_is_going_on() -> None:
    refusals = Refusals()
    verdicts = [refusals.refuse(now / 10, seq=7, retry_after=60.0) for now in range(100)]
    assert verdicts[0] is TELL
    assert CLOSE in verdicts
    assert sum(verdict is not IGNORE for verdict in verdicts) == 10


# Acks


async def test_acks_come_now_and_then_and_say_what_is_safe_by_then() -> None:
    sent: list[int] = []
    came = asyncio.Event()
    seq = -1

    def send(number: int) -> None:
        sent.append(number)
        came.set()

    acks = Acks(AckTimer(0.001), send, lambda: seq)
    for seq in range(100):  # noqa: B007 - read by the acks
        acks.note()
    assert sent == []
    await asyncio.wait_for(came.wait(), 5)
    assert sent == [99]


async def test_nothing_is_acknowledged_twice_or_before_it_is_safe() -> None:
    sent: list[int] = []
    seq = -1
    acks = Acks(AckTimer(60.0), sent.append, lambda: seq)
    acks.flush()
    assert sent == []
    seq = 4
    acks.note()
    acks.flush()
    acks.flush()
    assert sent == [4]
    acks.note()
    acks.close()
    assert sent == [4]


# Sender


async def test_a_sender_keeps_the_order() -> None:
    sent: list[int] = []

    async def send(number: int) -> None:
        await asyncio.sleep(0)
        sent.append(number)

    sender: Sender[int] = Sender(send, pytest.fail, timeout=5.0, limit=100)
    for number in range(0, 100, 2):
        assert sender.offer(number)
        await sender.put(number + 1)
    await sender.drain()
    assert sent == list(range(100))
    await sender.close()


async def test_offers_to_a_slow_client_are_dropped_and_counted() -> None:
    taken = asyncio.Semaphore(0)
    sent: list[int] = []

    async def send(number: int) -> None:
        await taken.acquire()
        sent.append(number)

    sender: Sender[int] = Sender(send, pytest.fail, timeout=30.0, limit=3)
    accepted = [sender.offer(number) for number in range(5)]
    assert accepted == [True, True, True, False, False]
    assert sender.dropped == 2
    putting = asyncio.ensure_future(sender.put(9))
    await asyncio.sleep(0)
    for _ in range(4):
        taken.release()
    await putting
    await sender.drain()
    assert sent == [0, 1, 2, 9]
    await sender.close()


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    given_up = asyncio.Event()

    async def send(_: int) -> None:
        await asyncio.Event().wait()

    sender: Sender[int] = Sender(send, given_up.set, timeout=0.01, limit=2)
    sender.offer(1)
    sender.offer(2)
    await asyncio.wait_for(given_up.wait(), 5)
    await asyncio.wait_for(sender.drain(), 5)
    await sender.close()


@pytest.mark.parametrize("fault", [ConnectionResetError(), RuntimeError("closed")])
async def test_a_client_that_is_gone_is_given_up(fault: Exception) -> None:
    given_up = asyncio.Event()

    async def send(_: int) -> None:
        raise fault

    sender: Sender[int] = Sender(send, given_up.set, timeout=5.0)
    sender.offer(1)
    await asyncio.wait_for(given_up.wait(), 5)
    await sender.close()
