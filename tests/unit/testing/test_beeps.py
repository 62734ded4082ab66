"""The beeps by which tests of players know what was heard: a pause in one is told from a repetition."""

from __future__ import annotations

import numpy as np
import pytest

from support import beeps
from support.beeps import EVERY, LENGTH, RATE

PAUSE = np.zeros(RATE // 2, np.float32)


def numbers(*parts: beeps.Sound) -> list[int]:
    return [beep.number for beep in beeps.heard(np.concatenate(parts), RATE)]


def at(seconds: float) -> int:
    return round(seconds * RATE)


def held(sound: beeps.Sound, end: int, seconds: float) -> beeps.Sound:
    """What a player makes up after the end of a beep's part: its pitch goes on, and fades out."""
    length = at(0.01)  # whole turns of every pitch
    made_up = np.tile(sound[end - length : end], round(seconds / 0.01))
    return made_up * np.linspace(1, 0, len(made_up), dtype=np.float32)


def test_all_are_heard_in_their_order() -> None:
    assert numbers(beeps.make(12)) == list(range(12))


@pytest.mark.parametrize("into", [0.002, 0.008, 0.015, 0.022, 0.028])
def test_one_that_a_pause_cuts_in_two_counts_once(into: float) -> None:
    sound = beeps.make(6)
    cut = at(3 * EVERY + into)
    assert numbers(sound[:cut], PAUSE, sound[cut:]) == list(range(6))


@pytest.mark.parametrize("into", [0.012, 0.018, 0.024])
def test_one_that_is_held_until_its_rest_comes_counts_once(into: float) -> None:
    sound = beeps.make(6)
    cut = at(3 * EVERY + into)
    assert numbers(sound[:cut], held(sound, cut, 0.08), PAUSE, sound[cut:]) == list(range(6))


@pytest.mark.parametrize("back", [LENGTH + 0.01, 0.1, EVERY])
def test_one_that_is_played_again_counts_twice(back: float) -> None:
    sound = beeps.make(6)
    cut = at(3 * EVERY + LENGTH + 0.005)
    again = [0, 1, 2, 2, 3, 4, 5]
    assert numbers(sound[:cut], sound[cut - at(back) :]) == again
    assert numbers(sound[:cut], PAUSE, sound[cut - at(back) :]) == again


def test_one_that_is_left_out_is_missing() -> None:
    sound = beeps.make(6)
    assert numbers(sound[: at(2.9 * EVERY)], sound[at(3.9 * EVERY) :]) == [0, 1, 3, 4, 5]


def test_one_that_is_held_too_low_and_has_its_rest_at_once_counts_once() -> None:
    sound = beeps.make(6)
    cut = at(3 * EVERY + 0.005)
    times = np.arange(at(0.06)) / RATE
    low = (0.4 * np.sin(2 * np.pi * (beeps.LOWEST + beeps.STEP) * times)).astype(np.float32)
    assert numbers(sound[:cut], low, PAUSE[: at(0.02)], sound[cut:]) == list(range(6))
