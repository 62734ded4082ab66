"""Live PCM: levels, aliases, overflow and how the stream is cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.errors import BadAudio, UnsupportedFormat
from antiphon.formats import AudioFormat, Encoding
from antiphon.media import PcmConverter, rms_dbfs
from support.audio import sine, tone_dbfs

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)


def convert(pcm: bytes, sample_rate: int, channels: int = 1, target: int = 16_000) -> bytes:
    converter = PcmConverter(AudioFormat(Encoding.PCM_S16LE, sample_rate, channels), target)
    return converter.convert(pcm) + converter.flush()


def middle(pcm: bytes, sample_rate: int = 16_000) -> bytes:
    """Without the tenth of a second at each end where the filter sees the edge of the signal."""
    edge = 2 * (sample_rate // 10)
    return pcm[edge:-edge]


def interleave(*channels: list[int]) -> bytes:
    return np.array(channels, "<i2").T.tobytes()


def test_the_target_format_goes_through_as_the_same_object() -> None:
    converter = PcmConverter(AudioFormat())
    data = sine(440, 0.02)
    assert converter.passthrough
    assert converter.convert(data) is data
    assert converter.flush() == b""


@pytest.mark.parametrize(("sample_rate", "channels"), [(48_000, 1), (16_000, 2), (8_000, 1)])
def test_anything_else_does_not_go_through(sample_rate: int, channels: int) -> None:
    assert not PcmConverter(AudioFormat(Encoding.PCM_S16LE, sample_rate, channels)).passthrough


@pytest.mark.parametrize(
    ("channels", "size", "frame"), [(1, 3, 2), (2, 1602, 4), (6, 11, 12)], ids=["mono", "stereo", "5.1"]
)
def test_a_piece_that_ends_within_a_frame_is_refused_with_both_sizes(channels: int, size: int, frame: int) -> None:
    converter = PcmConverter(AudioFormat(Encoding.PCM_S16LE, 16_000, channels))
    with pytest.raises(BadAudio, match=rf"^{size} bytes .* frames of {frame} bytes .*multiple of {frame} bytes"):
        converter.convert(bytes(size))


def test_a_refused_piece_leaves_the_stream_as_it_was() -> None:
    tone = sine(440, 0.5, sample_rate=48_000)
    converter = PcmConverter(AudioFormat(Encoding.PCM_S16LE, 48_000, 1))
    head = converter.convert(tone[:9600])
    with pytest.raises(BadAudio):
        converter.convert(tone[:3])
    assert head + converter.convert(tone[9600:]) + converter.flush() == convert(tone, 48_000)


def test_only_pcm_can_be_converted() -> None:
    with pytest.raises(UnsupportedFormat, match="opus"):
        PcmConverter(AudioFormat(Encoding.OPUS, 48_000, 1))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("sample_rate", RATES)
def test_a_tone_keeps_its_frequency_and_level(sample_rate: int, channels: int) -> None:
    heard = middle(convert(sine(1000, 1, sample_rate=sample_rate, channels=channels, dbfs=-12), sample_rate, channels))
    assert tone_dbfs(heard, 1000) == pytest.approx(-12, abs=0.1)
    assert rms_dbfs(heard) == pytest.approx(-12, abs=0.1), "something was added to the tone"


@pytest.mark.parametrize("hertz", [9_000, 10_000, 15_000, 23_000])
def test_what_does_not_fit_the_lower_rate_is_filtered_and_not_folded(hertz: int) -> None:
    heard = middle(convert(sine(hertz, 1, sample_rate=48_000, dbfs=-6), 48_000))
    assert rms_dbfs(heard) < -6 - 60


def test_a_higher_rate_gets_no_image_of_the_tone() -> None:
    heard = middle(convert(sine(3000, 1, sample_rate=8_000, dbfs=-6), 8_000))
    assert tone_dbfs(heard, 3000) == pytest.approx(-6, abs=0.1)
    assert tone_dbfs(heard, 5000) < -6 - 60


def test_channels_in_opposite_phase_cancel() -> None:
    left = np.frombuffer(sine(440, 0.1, dbfs=-6), "<i2")
    assert not any(convert(np.stack([left, -left], axis=1).astype("<i2").tobytes(), 16_000, 2))


def test_loud_channels_are_averaged_without_overflow() -> None:
    assert convert(interleave([32_767, -32_768, 32_767], [32_767, -32_768, -32_767]), 16_000, 2) == interleave(
        [32_767, -32_768, 0]
    )
    assert convert(interleave(*[[-32_768]] * 8), 16_000, 8) == interleave([-32_768])


def test_an_overshoot_is_clipped_and_never_wraps() -> None:
    square = np.where(np.arange(44_100) // 441 % 2, -32_768, 32_767).astype("<i2")
    heard = np.frombuffer(convert(square.tobytes(), 44_100), "<i2").astype(int)
    peaks = heard[np.abs(heard) > 16_000]
    assert (peaks == 32_767).any()
    assert (peaks == -32_768).any()
    # Between two edges, 10 ms apart, the sign stays what it was; 1 ms about each edge is the filter's.
    phase = np.arange(heard.size) % 320
    inside = slice(320, -320)
    assert (heard[inside][(phase[inside] > 16) & (phase[inside] < 144)] > 0).all()
    assert (heard[inside][(phase[inside] > 176) & (phase[inside] < 304)] < 0).all()


@settings(deadline=None, max_examples=60)
@given(
    sample_rate=st.sampled_from(RATES) | st.integers(8_000, 192_000),
    channels=st.integers(1, 8),
    frames=st.integers(0, 6_000),
    cuts=st.lists(st.integers(0, 6_000), max_size=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_length_is_exact_and_the_cutting_of_the_stream_changes_nothing(
    sample_rate: int, channels: int, frames: int, cuts: list[int], seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(-32_768, 32_768, (frames, channels)).astype("<i2")
    whole = convert(noise.tobytes(), sample_rate, channels)
    assert abs(len(whole) / 2 - frames * 16_000 / sample_rate) <= 1

    converter = PcmConverter(AudioFormat(Encoding.PCM_S16LE, sample_rate, channels))
    edges = [0, *sorted(min(cut, frames) for cut in cuts), frames]
    pieces = [converter.convert(noise[start:end].tobytes()) for start, end in pairwise(edges)]
    assert b"".join(pieces) + converter.flush() == whole


def test_after_a_flush_a_new_stream_begins() -> None:
    tone = sine(440, 0.3, sample_rate=44_100)
    converter = PcmConverter(AudioFormat(Encoding.PCM_S16LE, 44_100, 1))
    first = converter.convert(tone) + converter.flush()
    assert converter.convert(tone) + converter.flush() == first


@pytest.mark.parametrize("dbfs", [-3.01, -20, -60])
def test_level_of_a_sine(dbfs: float) -> None:
    assert rms_dbfs(sine(1000, 1, dbfs=dbfs)) == pytest.approx(dbfs, abs=0.05)


def test_level_of_the_extremes() -> None:
    assert rms_dbfs(interleave([-32_768] * 100)) == pytest.approx(0)
    assert rms_dbfs(bytes(640)) == -math.inf
    assert rms_dbfs(b"") == -math.inf
    with pytest.raises(ValueError, match="multiple"):
        rms_dbfs(b"\x00\x00\x00")
