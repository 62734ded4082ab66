"""The jitter buffer's face: what goes in, what comes out, and what it says of wrong input."""

from __future__ import annotations

import threading
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.errors import BadAudio
from antiphon.media.jitter import JitterBuffer, JitterConfig

TICK = 0.02
PCM = JitterConfig(codec="s16le", sample_rate=16_000)
SPEECH = Path(__file__).parents[2] / "data" / "speech" / "quick-brown-fox.wav"


def speech() -> np.ndarray[Any, np.dtype[np.int16]]:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def packets(samples: int = 320) -> list[bytes]:
    pcm = speech()
    return [pcm[at : at + samples].tobytes() for at in range(0, len(pcm) - samples, samples)]


def play(
    buffer: JitterBuffer, payloads: list[bytes], lost: frozenset[int] = frozenset(), ticks: int = 320
) -> tuple[np.ndarray[Any, Any], list[str]]:
    frames: list[np.ndarray[Any, Any]] = []
    tags: list[str] = []
    for number, payload in enumerate(payloads):
        if number not in lost:
            buffer.push(number & 0xFFFF, number * ticks, payload, number * TICK)
        frame, tag = buffer.pull(number * TICK)
        frames.append(frame)
        tags.append(tag)
    return np.concatenate(frames), tags


def test_speech_comes_out_as_it_went_in_once_the_delay_is_over() -> None:
    out, tags = play(JitterBuffer(PCM), packets())
    assert out.dtype == np.float32
    first = tags.index("played")
    assert tags == ["silence"] * first + ["played"] * (len(tags) - first)
    assert 0.05 <= first * TICK < 0.08
    expected = speech()[80 : len(out) - first * 320].astype(np.float32) / 32768
    np.testing.assert_array_equal(out[first * 320 + 80 :], expected)


def test_int16_is_the_same_audio() -> None:
    whole, _ = play(JitterBuffer(JitterConfig(codec="s16le", sample_rate=16_000, dtype="int16")), packets())
    assert whole.dtype == np.int16
    first = int(np.flatnonzero(whole)[0]) // 320 * 320
    np.testing.assert_array_equal(whole[first + 80 :], speech()[80 : len(whole) - first])


def test_a_lost_packet_is_one_concealed_frame_that_is_not_silent() -> None:
    whole, _ = play(JitterBuffer(PCM), packets())
    loud = int(np.argmax(np.abs(whole))) // 320
    buffer = JitterBuffer(PCM)
    out, tags = play(buffer, packets(), lost=frozenset({loud - tags_before(PCM)}))
    assert tags.count("concealed") == 1
    at = tags.index("concealed")
    assert np.abs(out[at * 320 : at * 320 + 320]).max() > 0.01
    assert buffer.stats().lost == 1
    assert buffer.stats().concealed_samples == 320


def tags_before(config: JitterConfig) -> int:
    """Ticks of silence before the first frame."""
    return play(JitterBuffer(config), packets())[1].index("played")


def test_counters_tell_what_happened() -> None:
    buffer = JitterBuffer(PCM)
    payload = packets()[0]
    assert buffer.push(65_535, 2**32 - 320, payload, 0.0) == "queued"
    assert buffer.push(1, 320, payload, 0.01) == "queued"
    assert buffer.push(0, 0, payload, 0.02) == "queued"
    assert buffer.push(0, 0, payload, 0.02) == "duplicate"
    assert buffer.push(30_000, 0, payload, 0.02) == "doubtful"
    stats = buffer.stats()
    assert (stats.received, stats.reordered, stats.duplicates, stats.packets) == (5, 1, 1, 3)
    for tick in range(20):
        buffer.pull(tick * TICK)
    assert buffer.push(0, 0, payload, 0.5) == "duplicate"
    assert buffer.push(65_534, 2**32 - 640, payload, 0.5) == "late"
    assert buffer.stats().late == 1 + 1
    assert buffer.stats().played_samples == 960
    assert "received: 7" in repr(buffer.stats())


def test_packets_may_come_in_batches_and_any_buffer() -> None:
    payloads = packets()[:10]
    kinds: list[Any] = [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)]
    batch = [
        (number, number * 320, kinds[number % 4](payload), number * TICK) for number, payload in enumerate(payloads)
    ]
    buffer = JitterBuffer(PCM)
    assert buffer.push_many(batch) == 10
    assert buffer.push_many([(10, 3200, b"odd", 0.2), (11, 3520, payloads[0], 0.22, 0)]) == 1
    assert buffer.stats().rejected == 1
    assert buffer.stats().packets == 11
    with pytest.raises((TypeError, ValueError)):
        buffer.push_many([(1, 2)])  # type: ignore[list-item]


def test_stereo_has_a_column_for_each_channel() -> None:
    buffer = JitterBuffer(JitterConfig(codec="f32le", sample_rate=48_000, channels=2, frame_ms=10))
    pcm = np.stack([np.linspace(-1, 1, 480), np.linspace(1, -1, 480)], axis=1).astype(np.float32)
    for number in range(20):
        buffer.push(number, number * 480, pcm.tobytes(), number * 0.01)
        frame, tag = buffer.pull(number * 0.01)
        assert frame.shape == (480, 2)
    assert tag == "played"
    np.testing.assert_array_equal(frame, pcm)


def test_a_frame_can_be_pulled_into_an_array() -> None:
    one, other, third = JitterBuffer(PCM), JitterBuffer(PCM), JitterBuffer(PCM)
    floats, shorts = np.empty(320, np.float32), np.empty((320, 1), np.int16)
    for number, payload in enumerate(packets()[:40]):
        for buffer in (one, other, third):
            buffer.push(number, number * 320, payload, number * TICK)
        frame, tag = one.pull(number * TICK)
        assert other.pull_into(number * TICK, floats) == tag
        assert third.pull_into(number * TICK, shorts) == tag
        np.testing.assert_array_equal(floats, frame)
        np.testing.assert_array_equal(shorts[:, 0], np.rint(frame * 32768).astype(np.int16))
    with pytest.raises(ValueError, match="320 samples, all channels counted, not 321"):
        one.pull_into(1.0, np.empty(321, np.float32))
    with pytest.raises(TypeError, match="float32 or int16"):
        one.pull_into(1.0, np.empty(320, np.float64))


def test_a_payload_that_is_none_of_the_codec_is_refused_by_its_byte() -> None:
    buffer = JitterBuffer(PCM)
    with pytest.raises(BadAudio, match="byte 2: PCM must be whole frames of 2 bytes"):
        buffer.push(0, 0, b"abc", 0.0)
    with pytest.raises(BadAudio, match="byte 0"):
        JitterBuffer(JitterConfig()).push(0, 0, b"", 0.0)
    with pytest.raises(BadAudio, match="longer than 120 ms"):
        buffer.push(0, 0, bytes(2 * 16 * 121), 0.0)
    assert buffer.stats().rejected == 2
    with pytest.raises(OverflowError):
        buffer.push(65_536, 0, b"ab", 0.0)
    with pytest.raises(ValueError, match="finite"):
        buffer.push(0, 0, b"ab", float("nan"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codec": "mp3"}, "codec must be one of opus, pcmu, pcma, s16le, s16be, f32le, not mp3"),
        ({"codec": "s16le", "sample_rate": 11_025}, "sample_rate must be one of 8000, 12000"),
        ({"codec": "s16le", "channels": 3}, "channels must be 1 to 2, not 3"),
        ({"codec": "pcmu"}, "pcmu has a sample_rate of 8000 and 1 channel"),
        ({"frame_ms": 15}, "frame_ms must be one of 10, 20, not 15"),
        ({"min_delay_ms": 19}, "min_delay_ms must be 20 to 2000, not 19"),
        ({"max_delay_ms": 49}, "max_delay_ms must be 50 to 2000, not 49"),
        ({"dtype": "int32"}, "dtype must be float32 or int16, not int32"),
        ({"quantile": 1.0}, "quantile must be 0.5 to 0.999, not 1"),
    ],
)
def test_a_wrong_configuration_says_what_is_right(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JitterBuffer(JitterConfig(**wrong))


def test_the_delay_may_be_as_low_as_20_ms() -> None:
    buffer = JitterBuffer(JitterConfig(codec="s16le", sample_rate=16_000, min_delay_ms=20, min_delay_packets=1))
    _, tags = play(buffer, packets())
    assert tags.index("played") == 1
    assert buffer.stats().mean_delay_ms == pytest.approx(20, abs=1)


def test_after_a_spike_nothing_is_missing_and_the_delay_comes_down() -> None:
    buffer = JitterBuffer(PCM)
    payloads = packets() * 4
    highest = 0.0
    waiting: list[tuple[int, int, bytes, float]] = []
    for number, payload in enumerate(payloads):
        waiting.append((number, number * 320, payload, number * TICK))
        if not 100 <= number < 115:
            buffer.push_many([(*packet[:3], number * TICK) for packet in waiting])
            waiting.clear()
        buffer.pull(number * TICK)
        highest = max(highest, buffer.stats().delay_ms)
    stats = buffer.stats()
    assert highest > 250
    assert stats.delay_ms < 90
    assert (stats.lost, stats.late) == (0, 0)
    assert stats.compressed_samples > 16 * 150


def test_a_reset_begins_anew() -> None:
    buffer = JitterBuffer(PCM)
    play(buffer, packets()[:20])
    buffer.reset()
    assert buffer.stats().packets == 0
    assert buffer.stats().resets == 1
    assert "0 packets waiting" in repr(buffer)


def test_threads_may_push_while_another_pulls() -> None:
    buffer = JitterBuffer(PCM)
    payload = packets()[0]

    def push(first: int) -> None:
        for number in range(first, 4000, 4):
            buffer.push(number, number * 320, payload, number * TICK)

    threads = [threading.Thread(target=push, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for tick in range(2000):
        frame, _ = buffer.pull(tick * TICK)
        assert frame.shape == (320,)
    for thread in threads:
        thread.join()
    assert buffer.stats().received == 4000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.binary(max_size=80), st.floats(-1e9, 1e9)),
        max_size=60,
    ),
    st.sampled_from(["opus", "pcmu", "s16be"]),
)
def test_anything_may_be_pushed(calls: list[tuple[int, int, bytes, float]], codec: Any) -> None:
    buffer = JitterBuffer(JitterConfig(codec=codec, sample_rate=8_000, max_packets=16))
    for sequence_number, timestamp, payload, now in calls:
        buffer.push_many([(sequence_number, timestamp, payload, now)])
        frame, tag = buffer.pull(now)
        assert frame.shape == (160,)
        assert np.isfinite(frame).all()
        assert tag in {"played", "concealed", "recovered", "stretched", "compressed", "silence"}
        assert buffer.stats().packets <= 16
