"""What a client is told to send with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocol.rtp import SequenceStats
from antiphon.sessions.advice import FRESH_S, BitrateAdvice, Report

RATE = 48_000
SECOND = 50
"""Packets."""


def advice() -> BitrateAdvice:
    return BitrateAdvice(SequenceStats(), RATE, 0.0)


def counted(received: int, lost: int = 0, jitter_s: float = 0.0) -> SequenceStats:
    return SequenceStats(received=received, lost=lost, jitter=jitter_s * RATE)


def test_a_clean_stream_may_use_more_until_it_has_all() -> None:
    watch = advice()
    told = [watch.look(counted(SECOND * second), second) for second in range(1, 8)]
    assert told == [153_600, 184_320, 221_184, 256_000, None, None, None]


def test_lost_packets_take_the_bitrate_down_and_it_is_told_once() -> None:
    watch = advice()
    assert watch.look(counted(47, lost=3), 1.0) == 32_000
    assert watch.look(counted(94, lost=6), 2.0) is None


def test_packets_that_come_unevenly_take_it_down_too() -> None:
    watch = advice()
    assert watch.look(counted(50, jitter_s=0.06), 1.0) == 102_400
    assert watch.look(counted(100, jitter_s=0.12), 2.0) == 32_000


def test_nothing_is_said_more_often_than_once_a_second_nor_of_silence() -> None:
    watch = advice()
    assert watch.look(counted(40, lost=10), 0.9) is None
    assert watch.look(counted(40, lost=10), 1.0) == 32_000
    assert watch.look(counted(40, lost=10), 9.0) is None


def test_what_the_client_says_counts_for_a_while() -> None:
    watch = advice()
    watch.report(Report(round_trip=0.25), 0.0)
    assert watch.look(counted(SECOND), 1.0) == 32_000
    later = FRESH_S + 1.0
    looks = [watch.look(counted(SECOND * (2 + n)), later + n) for n in range(5)]
    assert looks[0] is None  # a better condition has to last
    assert max(look or 0 for look in looks) > 32_000


def test_a_client_that_does_not_use_what_it_has_gets_no_more() -> None:
    watch = advice()
    watch.report(Report(round_trip=0.01, sent=24_000), 0.0)
    assert watch.look(counted(SECOND), 1.0) is None


@pytest.mark.parametrize(
    ("values", "report"),
    [
        ({"roundTrip": 40, "loss": 0.02, "sent": 31_000.5}, Report(0.04, 0.02, 31_000)),
        ({"roundTrip": None, "loss": 7}, Report(None, 1.0, None)),
        ({"roundTrip": "fast", "loss": [], "sent": -1}, Report()),
        ({"roundTrip": True, "sent": 1e300}, Report(sent=2**32 - 1)),
    ],
)
def test_statistics_are_read_as_far_as_they_make_sense(values: dict[str, Any], report: Report) -> None:
    assert Report.of(values) == report


@given(
    st.dictionaries(st.sampled_from(["roundTrip", "loss", "sent"]), st.none() | st.floats() | st.integers() | st.text())
)
def test_no_statistics_upset_the_advice(values: dict[str, Any]) -> None:
    watch = advice()
    watch.report(Report.of(values), 0.5)
    watch.look(counted(SECOND), 1.0)
