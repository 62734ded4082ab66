"""Voice activity: where speech is in the test recordings, at every rate and in noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from antiphon.media.resample import Resampler
from antiphon.media.vad import VoiceActivityDetector
from support.audio import speech

FRAME = VoiceActivityDetector.FRAME_SECONDS


def recording(name: str) -> npt.NDArray[np.int16]:
    return np.frombuffer(speech(name), np.int16)


def at_rate(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.int16]:
    resampler = Resampler(16_000, rate)
    return np.concatenate([resampler.push(samples), resampler.flush_int16()])


def stretches(flags: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(start * FRAME, end * FRAME) for start, end in edges.reshape(-1, 2)]


def with_noise(samples: npt.NDArray[np.int16], snr: float, seed: int = 7) -> npt.NDArray[np.int16]:
    values = samples.astype(float)
    loud = values[np.abs(values) > 500]
    noise = np.random.default_rng(seed).normal(size=len(values)) * np.sqrt(np.mean(loud**2)) / 10 ** (snr / 20)
    return np.clip(values + noise, -32_768, 32_767).astype(np.int16)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("snr", [40, 10])
def test_two_utterances_are_heard_as_two(rate: int, snr: int) -> None:
    _, flags = VoiceActivityDetector(rate).frames(at_rate(with_noise(recording("two-utterances"), snr), rate))
    found = stretches(flags)
    assert len(found) == 2
    # 0.5 s of silence come first, 1.5 s between, 1 s last, in which the hangover lies.
    assert 0.45 < found[0][0] < 0.85
    assert found[1][0] - found[0][1] > 0.8
    assert len(flags) * FRAME - found[1][1] > 0.3


def test_a_telephone_s_noise_alone_is_no_speech() -> None:
    noise = (np.random.default_rng(0).normal(size=8_000 * 5) * 600).astype(np.int16)
    _, flags = VoiceActivityDetector(8_000).frames(noise)
    assert not flags[62:].any()


def test_pieces_of_any_size_give_the_same() -> None:
    samples = at_rate(recording("go-forward"), 48_000)
    expected, _ = VoiceActivityDetector(48_000).frames(samples)
    detector = VoiceActivityDetector(48_000)
    pieces = [detector.frames(piece)[0] for piece in np.array_split(samples, 71)]
    assert np.array_equal(np.concatenate(pieces), expected)


def test_a_push_tells_the_state_after_the_last_whole_frame() -> None:
    samples = recording("go-forward")
    probabilities, flags = VoiceActivityDetector().frames(samples)
    detector = VoiceActivityDetector()
    assert not detector.active
    for at in range(0, len(samples), 320):
        activity = detector.push(samples[at : at + 320])
        done = min(at + 320, len(samples)) // 256 - 1
        assert activity.probability == probabilities[done]
        assert activity.active == detector.active == flags[done]


def test_floats_are_heard_like_integers() -> None:
    samples = recording("quick-brown-fox")
    ints, _ = VoiceActivityDetector().frames(samples)
    floats, _ = VoiceActivityDetector().frames(samples.astype(np.float32) / np.float32(32_768))
    assert np.array_equal(ints, floats)


def test_a_reset_begins_a_new_stream() -> None:
    samples = recording("go-forward")
    detector = VoiceActivityDetector()
    first, _ = detector.frames(samples)
    detector.reset()
    assert np.array_equal(detector.frames(samples)[0], first)


def test_the_hangover_is_how_long_the_flag_outlives_speech() -> None:
    samples = recording("go-forward")
    ends = {}
    for hangover in (0.1, 0.5):
        _, flags = VoiceActivityDetector(hangover=hangover).frames(samples)
        ends[hangover] = stretches(flags)[-1][1]
    assert ends[0.5] - ends[0.1] == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"sample_rate": 100}, "1000"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": 0.3, "release_threshold": 0.4}, "release"),
        ({"onset": -0.1}, "onset"),
        ({"hangover": float("nan")}, "hangover"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        VoiceActivityDetector(**settings)  # type: ignore[arg-type]


def test_more_than_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="one channel"):
        VoiceActivityDetector().push(np.zeros((16, 2), np.float32))
