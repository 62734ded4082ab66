"""The echo canceller as Python sees it: types, buffers, refusals, threads, and that it cancels."""

from __future__ import annotations

import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.media.echo import EchoCanceller, EchoConfig

RATE = 16_000
SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech"


def speech(name: str, seconds: int) -> NDArray[np.float32]:
    with wave.open(str(SPEECH / name)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    return np.resize(samples, seconds * RATE)


def echo_of(far: NDArray[np.float32], milliseconds: int) -> NDArray[np.float32]:
    """Through a room with 0.2 s of reverberation, 12 dB quieter."""
    time = np.arange(RATE // 5) / RATE
    response = np.random.default_rng(1).normal(size=len(time)) * 10 ** (-3 * time / 0.2)
    response *= 0.25 / np.sqrt(np.sum(response**2))
    late = np.concatenate([np.zeros(RATE * milliseconds // 1000), far])
    return np.convolve(late, response)[: len(far)].astype(np.float32)


def decibels(above: NDArray[np.float32], below: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.sum(above.astype(float) ** 2) / (np.sum(below.astype(float) ** 2) + 1e-12)))


@pytest.mark.parametrize("milliseconds", [20, 250, 400])
def test_an_echo_is_cancelled_and_its_delay_found(milliseconds: int) -> None:
    far = speech("quick-brown-fox.wav", 8)
    near = echo_of(far, milliseconds)
    canceller = EchoCanceller()
    out = canceller.process(far, near)
    assert decibels(near[4 * RATE :], out[4 * RATE :]) > 30
    metrics = canceller.metrics()
    assert metrics.delay_ms == pytest.approx(milliseconds, abs=10)
    assert metrics.erle_db is not None
    assert metrics.erle_db > 20
    assert metrics.double_talk is False


def test_near_end_speech_stays_over_an_echo() -> None:
    far, near = speech("quick-brown-fox.wav", 12), speech("tomorrow-morning.wav", 12)
    near[: 6 * RATE] = 0
    alone = EchoCanceller().process(np.zeros_like(far), near)
    over = EchoCanceller().process(far, near + echo_of(far, 100))
    part = slice(7 * RATE, 11 * RATE)
    assert decibels(alone[part], alone[part] - over[part]) > 12


def test_the_plain_canceller_is_there_by_name_and_not_late() -> None:
    canceller = EchoCanceller(EchoConfig(mode="nlms", comfort_noise=0.0, suppression_gain=1.0))
    near = speech("tomorrow-morning.wav", 2)
    assert canceller.latency_samples == 0
    assert np.array_equal(canceller.process(np.zeros_like(near), near), near)
    assert EchoCanceller().latency_samples == 160


def test_int16_bytes_and_float32_give_the_same() -> None:
    far = speech("quick-brown-fox.wav", 2)
    near = echo_of(far, 50)
    far16, near16 = ((signal * 32768).astype(np.int16) for signal in (far, near))
    floats = EchoCanceller().process(far16.astype(np.float32) / 32768, near16.astype(np.float32) / 32768)
    integers = EchoCanceller().process(far16, near16)
    assert integers.dtype == np.int16
    assert np.abs(floats * 32768 - integers).max() <= 0.501
    assert np.array_equal(EchoCanceller().process(far16.tobytes(), near16.tobytes()), integers)


def test_both_ends_may_come_from_threads_of_their_own() -> None:
    far = speech("quick-brown-fox.wav", 4)
    near = echo_of(far, 100)
    canceller = EchoCanceller()
    turns = [threading.Semaphore(1), threading.Semaphore(0)]

    def play() -> None:
        for at in range(0, len(far), 320):
            turns[0].acquire()
            canceller.analyse_render(far[at : at + 320])
            turns[1].release()

    player = threading.Thread(target=play)
    player.start()
    parts = []
    for at in range(0, len(near), 320):
        turns[1].acquire()
        parts.append(canceller.process_capture(near[at : at + 320]))
        turns[0].release()
    player.join()
    assert np.array_equal(np.concatenate(parts), EchoCanceller().process(far, near))


def test_out_is_filled_and_returned() -> None:
    far = speech("quick-brown-fox.wav", 1)
    near, out = echo_of(far, 50), np.empty_like(far)
    canceller, other = EchoCanceller(), EchoCanceller()
    assert canceller.process(far, near, out) is out
    assert np.array_equal(out, other.process(far, near))
    other.analyse_render(far)
    assert np.array_equal(other.process_capture(near, np.empty_like(near)), canceller.process(far, near))


def test_not_numbers_do_no_lasting_harm() -> None:
    canceller = EchoCanceller()
    odd = np.resize(np.array([np.nan, np.inf, -np.inf, 3e38, 1e-40], np.float32), RATE)
    assert np.isfinite(canceller.process(odd, odd)).all()
    far = speech("quick-brown-fox.wav", 8)
    near = echo_of(far, 100)
    out = canceller.process(far, near)
    assert decibels(near[5 * RATE :], out[5 * RATE :]) > 20


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EchoConfig(sample_rate=44_100), "sample rate 44100; use one of 8000, 16000, 32000, 48000"),
        (EchoConfig(channels=2), "2 channels; use 1"),
        (EchoConfig(mode="aec3"), 'mode "aec3"; use partitioned or nlms'),  # type: ignore[arg-type]
        (EchoConfig(mode="nlms", taps=9000), "taps is 9000; use 1 to 8192"),
        (EchoConfig(mode="nlms", leak=1.5), "leak is 1.5; use a value over 0 and up to 1"),
        (EchoConfig(delay_hint_ms=600), "a delay of 600 ms; use 0 to 500"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(config: EchoConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EchoCanceller(config)


def test_wrong_lengths_and_types_are_refused() -> None:
    canceller = EchoCanceller()
    frame, short = np.zeros(160, np.float32), np.zeros(100, np.float32)
    with pytest.raises(ValueError, match=r"far has 100 samples; use a multiple of 160 \(10 ms at 16000 Hz\)"):
        canceller.process(short, short)
    with pytest.raises(ValueError, match="far has 160 samples and near 100; use one length"):
        canceller.process(frame, short)
    with pytest.raises(ValueError, match="out must not share memory"):
        canceller.process(frame, frame.copy(), frame)
    with pytest.raises(TypeError, match="both float32 or both int16"):
        canceller.process(frame, np.zeros(160, np.int16))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="samples must be int16 or float32"):
        canceller.analyse_render(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="writable buffer of float32"):
        canceller.process(frame, frame.copy(), np.zeros(160, np.int16))  # type: ignore[call-overload]
    assert canceller.process(np.zeros(0, np.float32), np.zeros(0, np.float32)).size == 0


def test_a_far_end_without_a_near_end_is_not_kept_for_ever() -> None:
    canceller = EchoCanceller(EchoConfig(sample_rate=8_000))
    canceller.analyse_render(np.zeros(80 * 250, np.int16))
    assert canceller.metrics().dropped == 150
    canceller.process_capture(np.zeros(80 * 130, np.int16))
    assert canceller.metrics().missing == 30


def test_reprs_say_what_there_is() -> None:
    canceller = EchoCanceller(EchoConfig(sample_rate=48_000, mode="nlms"))
    assert repr(canceller) == "EchoCanceller(sample_rate=48000, mode='nlms')"
    known = "erl_db=None, erle_db=None, delay_ms=None, double_talk=None, dropped=0, missing=0"
    assert repr(canceller.metrics()) == f"EchoMetrics({known})"
