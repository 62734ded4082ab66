"""Backoff: between nothing and a ceiling that grows to a cap, the same again for the same seed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client import Backoff

firsts = st.floats(0.001, 10)
factors = st.floats(1, 10)
seeds = st.integers(0, 2**32)


@given(first=firsts, over=st.floats(1, 1_000), factor=factors, seed=seeds, retries=st.integers(1, 60))
def test_each_delay_lies_between_nothing_and_the_ceiling(
    first: float, over: float, factor: float, seed: int, retries: int
) -> None:
    cap = first * over
    backoff = Backoff(first, cap, factor, Random(seed))
    expected = first
    for retry in range(retries):
        assert backoff.attempts == retry
        assert backoff.ceiling == pytest.approx(min(cap, expected))
        assert 0 <= backoff.next_delay() <= min(cap, expected) * (1 + 1e-9)
        expected = min(cap, expected * factor)


@given(seed=seeds, at_least=st.floats(0, 100), retries=st.integers(1, 20))
def test_what_the_server_asks_for_is_kept_with_jitter_on_top(seed: int, at_least: float, retries: int) -> None:
    backoff = Backoff(random=Random(seed))
    for _ in range(retries):
        ceiling = backoff.ceiling
        assert at_least <= backoff.next_delay(at_least) <= at_least + ceiling


@given(seed=seeds)
def test_the_same_seed_gives_the_same_delays(seed: int) -> None:
    one, two = (Backoff(random=Random(seed)) for _ in range(2))
    assert [one.next_delay() for _ in range(10)] == [two.next_delay() for _ in range(10)]


def test_jitter_is_full() -> None:
    backoff = Backoff(first=1, cap=1, random=Random(1))
    delays = [backoff.next_delay() for _ in range(2_000)]
    assert min(delays) < 0.01
    assert max(delays) > 0.99
    assert sum(delays) / len(delays) == pytest.approx(0.5, abs=0.03)


def test_success_begins_again() -> None:
    backoff = Backoff(first=0.5, cap=20)
    for _ in range(10):
        backoff.next_delay()
    assert backoff.ceiling == 20
    backoff.reset()
    assert (backoff.ceiling, backoff.attempts) == (0.5, 0)


@pytest.mark.parametrize(("first", "cap", "factor"), [(0, 1, 2), (-1, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_what_makes_no_sense_is_refused(first: float, cap: float, factor: float) -> None:
    with pytest.raises(ValueError, match="first"):
        Backoff(first, cap, factor)
