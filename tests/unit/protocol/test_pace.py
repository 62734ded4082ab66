"""Audio may come in bursts, and for long at a bounded rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocol.rtp import AudioIntake


def test_a_burst_may_come_and_then_one_waits() -> None:
    intake = AudioIntake(16_000, max_rate=4.0, burst=60.0, now=0.0)
    assert intake.pace(60.0, 0.0) == 0.0
    wait = intake.pace(0.1, 0.0)
    assert 0 < wait <= 0.1 / 4 + 1e-9
    assert intake.pace(0.1, wait) == 0.0


def test_waiting_as_long_as_told_is_long_enough() -> None:
    intake = AudioIntake(16_000, max_rate=2.0, burst=1.0, now=0.0)
    now = 0.0
    for _ in range(100):
        if wait := intake.pace(0.3, now):
            now += wait + 1e-9
            assert intake.pace(0.3, now) == 0.0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=200))
def test_never_more_is_taken_than_rate_and_burst_allow(chunks: list[tuple[float, float]]) -> None:
    intake = AudioIntake(16_000, max_rate=4.0, burst=5.0, now=0.0)
    now = taken = 0.0
    for seconds, pause in chunks:
        now += pause
        if intake.pace(seconds, now) == 0.0:
            taken += seconds
    assert taken <= 5.0 + 4.0 * now + 1e-6
