"""Measure a stream as it arrives: its level, its peaks, and where somebody speaks.

Run as ``python examples/measure_level.py [FILE.wav]`` with a WAV of 16-bit PCM. Without one it makes a stream of its own:
quiet noise, a tone that swells until it clips, which the detector takes for a voice, and noise again.
"""

from __future__ import annotations

import sys
import wave

import numpy as np
import numpy.typing as npt

from antiphon.media.level import LevelMeter
from antiphon.media.vad import VoiceActivityDetector

BAR = 40


def made() -> tuple[int, npt.NDArray[np.int16]]:
    """Noise, a swelling tone, noise: 4 s at 48 kHz."""
    rate = 48_000
    times = np.arange(4 * rate) / rate
    swell = np.interp(times, [0, 1, 2.5, 3, 3.01, 4], [0, 0.01, 1.2, 1.2, 0, 0])
    samples = swell * np.sin(2 * np.pi * 440 * times) + np.random.default_rng(1).normal(0, 0.0005, times.size)
    return rate, np.clip(samples * 32_768, -32_768, 32_767).astype(np.int16)


def read(path: str) -> tuple[int, npt.NDArray[np.int16]]:
    """The first channel of a WAV."""
    with wave.open(path, "rb") as file:
        if file.getsampwidth() != 2:
            raise SystemExit(f"{path} is not 16-bit PCM")
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return file.getframerate(), np.ascontiguousarray(samples[:: file.getnchannels()])


def main() -> None:
    """Print a line for every quarter of a second."""
    rate, samples = read(sys.argv[1]) if len(sys.argv) > 1 else made()
    meter, detector = LevelMeter(rate), VoiceActivityDetector(rate)
    frame = rate // 50
    print("seconds  RMS dBFS  peak dBFS  RFC 6464  speech")
    for number, start in enumerate(range(0, len(samples), frame), 1):
        piece = samples[start : start + frame]
        meter.push(piece)
        activity = detector.push(piece)
        if number % 12 == 0:
            bar = "#" * round(BAR * max(0.0, 1 + meter.rms_dbfs / 60))
            speaking = "yes" if activity.active else "no"
            print(
                f"{(start + frame) / rate:7.2f}  {meter.rms_dbfs:8.1f}  {meter.peak_dbfs:9.1f}  {meter.audio_level:8d}"
                f"  {speaking:6s}  {bar}"
            )
    print(f"{meter.clipped} samples at full scale")


if __name__ == "__main__":
    main()
