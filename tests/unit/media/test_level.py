"""Levels: known signals, the scale, smoothing, RFC 6464."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import BadAudio
from antiphon.media.level import AES17_OFFSET_DB, LevelMeter, audio_level, audio_level_dbfs, measure_level
from support.audio import sine, speech


def test_a_full_scale_sine_is_minus_three_and_zero_by_aes17() -> None:
    level = measure_level(sine(1000, 1, dbfs=-3.0103))
    assert level.rms_dbfs == pytest.approx(-3.01, abs=0.01)
    assert level.rms_dbfs + AES17_OFFSET_DB == pytest.approx(0, abs=0.01)
    assert level.peak_dbfs == pytest.approx(0, abs=0.01)
    assert level.samples == 16_000


@given(st.lists(st.integers(-32_768, 32_767), max_size=3_000))
def test_every_kind_of_samples_measures_what_numpy_does(values: list[int]) -> None:
    ints = np.array(values, np.int16)
    floats = ints.astype(np.float32) / np.float32(32_768)
    power = float(np.mean(floats.astype(np.float64) ** 2)) if values else 0.0
    expected = 10 * math.log10(power) if power else -math.inf
    for samples in (ints, floats, ints.astype("<i2").tobytes()):
        level = measure_level(samples)
        assert level.rms_dbfs == pytest.approx(expected, abs=1e-4)
        assert level.clipped == sum(abs(value) >= 32_767 for value in values)
        assert level.samples == len(values)
        assert level.audio_level == audio_level(level.rms_dbfs)


def test_a_float_that_is_no_number_counts_as_silence() -> None:
    level = measure_level(np.array([np.nan, np.inf, -np.inf], np.float32))
    assert (level.rms_dbfs, level.peak_dbfs, level.clipped) == (-math.inf, -math.inf, 0)


def test_an_odd_number_of_bytes_is_refused() -> None:
    with pytest.raises(BadAudio, match="byte 2: 3 bytes"):
        measure_level(bytes(3))


def test_audio_levels_go_there_and_back() -> None:
    assert [audio_level(dbfs) for dbfs in (3.0, 0.0, -0.4, -30.5, -127.0, -math.inf)] == [0, 0, 0, 31, 127, 127]
    assert [audio_level(audio_level_dbfs(level)) for level in range(128)] == list(range(128))
    with pytest.raises(ValueError, match="0 to 127"):
        audio_level_dbfs(128)


def test_the_meter_follows_speech_and_falls_in_the_pauses() -> None:
    samples = np.frombuffer(speech("two-utterances"), np.int16)
    meter = LevelMeter(16_000, attack=0.005, release=0.1)
    shown = []
    for frame in samples[: len(samples) // 320 * 320].reshape(-1, 320):
        meter.push(frame)
        shown.append(meter.rms_dbfs)
    # 0.5 s of silence, words, 1.5 s of silence, words, 1 s of silence.
    assert max(shown[:20]) < -55
    assert max(shown) > -30
    loud = [level > -45 for level in shown]
    turns = sum(now != before for before, now in pairwise(loud))
    assert turns >= 4
    assert not loud[-1]
    assert meter.audio_level == audio_level(meter.rms_dbfs)


def test_the_meter_does_not_mind_how_the_stream_is_cut() -> None:
    samples = np.frombuffer(speech("go-forward"), np.int16)
    whole, pieces = LevelMeter(16_000), LevelMeter(16_000)
    whole.push(samples)
    for piece in np.array_split(samples, 97):
        pieces.push(piece)
    assert pieces.rms_dbfs == pytest.approx(whole.rms_dbfs, abs=1e-3)
    assert pieces.peak_dbfs == whole.peak_dbfs


def test_the_meter_counts_clipped_samples_until_it_is_reset() -> None:
    meter = LevelMeter(8_000)
    assert meter.push(np.array([1.0, 0.5, -1.0], np.float32)).clipped == 2
    meter.push(np.array([32_767], np.int16))
    assert meter.clipped == 3
    meter.reset()
    assert (meter.clipped, meter.peak_dbfs, meter.audio_level) == (0, -math.inf, 127)


def test_settings_and_arrays_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="attack"):
        LevelMeter(attack=-1)
    with pytest.raises(ValueError, match="1000"):
        LevelMeter(10)
    with pytest.raises(ValueError, match="one channel"):
        LevelMeter().push(np.zeros((4, 2), np.float32))
