"""The native resampler from Python: types, shapes, lengths, errors, and a reference by numpy."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon import _native
from antiphon.errors import BadAudio
from antiphon.media.resample import Resampler

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000)


def tone(hertz: float, rate: int, seconds: float = 1.0) -> npt.NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("target", RATES)
@pytest.mark.parametrize("source", RATES)
def test_a_tone_comes_out_at_its_place(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    out = np.concatenate([resampler.push(tone(440, source)), resampler.flush()])
    expected = tone(440, target)
    assert out.dtype == np.float32
    assert len(out) == len(expected)
    edge = target // 20
    # Half a sample of a 440 Hz tone at the lowest rate is 0.17 rad of phase, 0.09 of the amplitude of 0.5.
    most = 0.5 * np.pi * 440 / target + 1e-3
    assert np.abs(out - expected)[edge:-edge].max() < most


@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (8_000, 16_000), (7_919, 16_000), (16_000, 16_000)])
def test_sixteen_bits_give_what_floats_give(source: int, target: int) -> None:
    samples = (tone(440, source) * 32_767).astype(np.int16)
    floats, ints = Resampler(source, target), Resampler(source, target)
    out = np.concatenate([ints.push(samples), ints.flush_int16()])
    expected = np.concatenate([floats.push(samples.astype(np.float32) / 32_768), floats.flush()])
    assert out.dtype == np.int16
    assert np.array_equal(out, np.rint(expected * 32_768).clip(-32_768, 32_767).astype(np.int16))


def test_frames_in_rows_come_out_in_rows() -> None:
    left, right = tone(300, 48_000), tone(2000, 48_000)
    rows = np.stack([left, right], axis=1)
    flat = Resampler(48_000, 16_000, 2).push(np.ascontiguousarray(rows).reshape(-1))
    out = Resampler(48_000, 16_000, 2).push(np.ascontiguousarray(rows))
    assert out.shape == (len(flat) // 2, 2)
    assert np.array_equal(out.reshape(-1), flat)
    assert np.allclose(out[:, 0], Resampler(48_000, 16_000).push(left), atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    source=st.sampled_from(RATES) | st.integers(8_000, 192_000),
    target=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 5_000), max_size=8),
    frames=st.integers(0, 5_000),
)
def test_pieces_of_any_size_give_the_same_and_lag_no_more_than_said(
    source: int, target: int, cuts: list[int], frames: int
) -> None:
    samples = np.random.default_rng(frames).uniform(-1, 1, frames).astype(np.float32)
    whole = Resampler(source, target)
    expected = np.concatenate([whole.push(samples), whole.flush()])
    assert len(expected) == (2 * frames * target + source) // (2 * source)
    resampler = Resampler(source, target)
    pieces, there = [], 0
    for start, end in pairwise([0, *sorted(min(cut, frames) for cut in cuts), frames]):
        pieces.append(resampler.push(samples[start:end]))
        there += len(pieces[-1])
        assert there >= end * target // source - resampler.latency_samples
    assert np.array_equal(np.concatenate([*pieces, resampler.flush()]), expected)


def test_a_reset_forgets_the_stream() -> None:
    resampler = Resampler(44_100, 16_000)
    first = resampler.push(tone(440, 44_100))
    resampler.reset()
    assert np.array_equal(resampler.push(tone(440, 44_100)), first)


def test_a_long_piece_is_converted_like_many_short_ones() -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, 200_000).astype(np.float32)
    short, long = Resampler(48_000, 16_000), Resampler(48_000, 16_000)
    assert np.array_equal(np.concatenate([short.push(piece) for piece in np.split(samples, 200)]), long.push(samples))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((999, 16_000), "1000 to 768000"), ((16_000, 800_000), "1000 to 768000"), ((8_000, 16_000, 33), "1 to 32")],
)
def test_what_is_not_taken_is_refused_with_what_is(arguments: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Resampler(*arguments)


def test_wrong_arrays_are_refused() -> None:
    resampler = Resampler(48_000, 16_000, 2)
    with pytest.raises(TypeError, match="float32 or int16"):
        resampler.push(np.zeros(4))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=re.escape("(frames, 2)")):
        resampler.push(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="contiguous"):
        resampler.push(np.zeros(8, np.float32)[::2])
    with pytest.raises(BadAudio, match="not whole frames of 2 channels"):
        resampler.push(np.zeros(3, np.float32))


def test_it_says_what_it_is() -> None:
    resampler = Resampler(48_000, 16_000, 2)
    assert repr(resampler) == "Resampler(from_rate=48000, to_rate=16000, channels=2)"
    assert 0 < resampler.latency_samples < 16_000 // 50


@given(
    channels=st.integers(1, 8),
    frames=st.integers(0, 400),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([bytes, bytearray, memoryview]),
)
def test_pcm_is_mixed_as_numpy_would(channels: int, frames: int, seed: int, kind: type) -> None:
    samples = np.random.default_rng(seed).integers(-32_768, 32_768, (frames, channels)).astype("<i2")
    converter = _native.PcmConverter(16_000, channels, 16_000)
    mean = samples.astype(np.float32).sum(axis=1, dtype=np.float32) / np.float32(channels)
    assert converter.convert(kind(samples.tobytes())) == np.rint(mean).astype("<i2").tobytes()
    assert converter.flush() == b""


@settings(deadline=None)
@given(
    source=st.sampled_from(RATES),
    channels=st.integers(1, 4),
    frames=st.integers(0, 3_000),
    seed=st.integers(0, 2**32 - 1),
)
def test_pcm_is_mixed_and_then_resampled(source: int, channels: int, frames: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-32_768, 32_768, (frames, channels)).astype("<i2")
    converter, resampler = _native.PcmConverter(source, channels, 16_000), Resampler(source, 16_000)
    got = np.frombuffer(converter.convert(samples.tobytes()) + converter.flush(), "<i2")
    mean = samples.astype(np.float32).sum(axis=1, dtype=np.float32) / np.float32(channels) / np.float32(32_768)
    expected = np.concatenate([resampler.push(mean), resampler.flush()]) * np.float32(32_768)
    assert np.array_equal(got, np.rint(expected).clip(-32_768, 32_767).astype("<i2"))


def test_pcm_that_ends_within_a_frame_is_refused_at_its_byte() -> None:
    with pytest.raises(BadAudio, match=r"^byte 4: 7 bytes .* 4 bytes"):
        _native.PcmConverter(16_000, 2, 16_000).convert(bytes(7))
