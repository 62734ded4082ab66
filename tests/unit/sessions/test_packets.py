"""Audio as packets: all of it, in order, whatever the pieces it comes in."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.media.opus import OpusDecoder, OpusEncoderConfig
from antiphon.sessions.packets import Packets
from support.audio import sine, tone_dbfs


def config(sample_rate: int = 24_000, frame_ms: float = 20.0) -> OpusEncoderConfig:
    return OpusEncoderConfig(
        sample_rate=sample_rate, application="audio", bitrate=64_000, dtx=False, fec=False, frame_ms=frame_ms
    )


def decoded(packets: list[bytes], made: Packets, sample_rate: int = 24_000) -> bytes:
    decoder = OpusDecoder(sample_rate)
    samples = np.concatenate([decoder.decode(packet) for packet in packets])
    return samples[made.pre_skip * sample_rate // 48_000 :].tobytes()


@pytest.mark.parametrize("frame_ms", [10.0, 20.0, 40.0, 60.0])
@pytest.mark.parametrize("samples", [1, 239, 240, 480, 24_000, 24_001, 25_439])
def test_everything_comes_out_to_the_last_sample(frame_ms: float, samples: int) -> None:
    made = Packets(config(frame_ms=frame_ms), 24_000)
    pcm = sine(440.0, 2.0, sample_rate=24_000)[: 2 * samples]
    packets = made.push(pcm) + made.flush()
    frame = round(24 * frame_ms)
    assert len(packets) == -(-(samples + made.pre_skip // 2) // frame)
    assert len(decoded(packets, made)) >= len(pcm)


def test_the_audio_does_not_depend_on_its_pieces() -> None:
    pcm = sine(440.0, 1.0, sample_rate=24_000)
    whole = Packets(config(), 24_000)
    expected = whole.push(pcm) + whole.flush()
    pieces = Packets(config(), 24_000)
    found = [packet for start in range(0, len(pcm), 74) for packet in pieces.push(pcm[start : start + 74])]
    assert found + pieces.flush() == expected
    assert -9.5 < tone_dbfs(decoded(expected, whole)[4_000:44_000], 440.0, 24_000) < -8.5


def test_what_is_skipped_is_left_out_and_nothing_else() -> None:
    pcm = sine(440.0, 1.0, sample_rate=24_000)
    late, fresh = Packets(config(), 24_000, skip=20), Packets(config(), 24_000)
    found = [packet for start in range(0, len(pcm), 998) for packet in late.push(pcm[start : start + 998])]
    assert found + late.flush() == fresh.push(pcm[2 * 20 * 480 :]) + fresh.flush()
    nothing = Packets(config(), 24_000, skip=1000)
    assert nothing.push(pcm) + nothing.flush() == []


def test_another_rate_is_converted() -> None:
    made = Packets(config(48_000), 22_050)
    pcm = sine(1000.0, 1.0, sample_rate=22_050)
    packets = made.push(pcm) + made.flush()
    assert 50 <= len(packets) <= 52
    assert -9.6 < tone_dbfs(decoded(packets, made, 48_000)[8_000:88_000], 1000.0, 48_000) < -8.4


def test_after_a_flush_another_stretch_may_follow() -> None:
    made = Packets(config(), 24_000)
    first = made.push(bytes(960)) + made.flush()
    assert (len(first), made.flush()) == (2, [])
    assert len(made.push(bytes(960)) + made.flush()) == 2


def test_a_bitrate_changes_at_the_next_packet() -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 48_000).astype("<i2").tobytes()
    made = Packets(config(), 24_000)
    wide = made.push(noise[:48_000])
    made.set_bitrate(8_000)
    narrow = made.push(noise[48_000:])
    assert sum(map(len, narrow[1:])) < sum(map(len, wide[1:])) / 3
