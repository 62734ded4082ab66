"""Cancel the echo of a loudspeaker in a microphone's signal; needs nothing but Antiphon.

A voice comes out of the loudspeaker for twelve seconds. The microphone hears it 120 ms later with a room around it, and
from the sixth second to the ninth somebody in the room hums over it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from antiphon.media.echo import EchoCanceller, EchoConfig

RATE = 16_000
FRAME = RATE // 100


def voice(seconds: float, pitch: float, seed: int) -> NDArray[np.float64]:
    """Syllables of a buzz whose pitch and vowel wander."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    knots = np.arange(0, seconds + 0.25, 0.25)
    vowel = np.interp(time, knots, random.uniform(400, 1400, len(knots)))
    loud = np.interp(time, knots, random.choice([0.0, 1.0, 1.0], len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch * np.interp(time, knots, random.uniform(0.9, 1.2, len(knots)))) / RATE
    buzz = sum(np.sin(n * phase) / (1 + ((n * pitch - vowel) / 300) ** 2) for n in range(1, 40))
    return 0.1 * loud * (buzz + 0.05 * random.normal(size=len(time)))


def room(seed: int) -> NDArray[np.float64]:
    """An impulse response: 120 ms of nothing, then reverberation that falls by 60 dB in 0.3 s."""
    random = np.random.default_rng(seed)
    time = np.arange(round(0.3 * RATE)) / RATE
    tail = random.normal(size=len(time)) * 10 ** (-3 * time / 0.3)
    return np.concatenate([np.zeros(round(0.12 * RATE)), 0.3 * tail / np.sqrt(np.sum(tail**2))])


def level(samples: NDArray[np.floating]) -> float:
    """Root mean square against full scale, in decibels."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-10))


def main() -> None:
    far = voice(12, 110, seed=1)
    near = np.zeros_like(far)
    near[6 * RATE : 9 * RATE] = voice(3, 190, seed=2)
    echo = np.convolve(far, room(seed=3))[: len(far)]
    microphone = near + echo + np.random.default_rng(4).normal(scale=1e-4, size=len(far))
    far, microphone = far.astype(np.float32), microphone.astype(np.float32)

    canceller = EchoCanceller(EchoConfig(sample_rate=RATE))
    out = np.empty_like(microphone)
    print("second  who talks        microphone     sent on   the canceller knows")
    for second in range(12):
        for at in range(second * RATE, (second + 1) * RATE, FRAME):  # every 10 ms
            frame = slice(at, at + FRAME)
            canceller.process(far[frame], microphone[frame], out[frame])
        here = slice(second * RATE, (second + 1) * RATE)
        known = canceller.metrics()
        who = "both ends" if 6 <= second < 9 else "the far end"
        delay = "no delay yet" if known.delay_ms is None else f"delay {known.delay_ms:.0f} ms"
        better = "" if known.erle_db is None else f", echo {known.erle_db:.0f} dB quieter"
        print(
            f"{second:6}  {who:11}  {level(microphone[here]):8.1f} dBFS {level(out[here]):6.1f} dBFS   {delay}{better}"
        )


if __name__ == "__main__":
    main()
