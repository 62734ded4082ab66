"""Play a stream that the network brought late, out of order and with holes; needs nothing but Antiphon.

Packets of a spoken sound go over an imagined network that loses one in twenty and then stalls for 300 ms. The jitter
buffer gives one frame every 20 ms all the same.
"""

from __future__ import annotations

import numpy as np

from antiphon.media.jitter import JitterBuffer, JitterConfig

RATE = 16_000
TICK = 0.020
SAMPLES = round(RATE * TICK)
SIGNS = {"played": ".", "concealed": "x", "recovered": "r", "stretched": "+", "compressed": "-", "silence": " "}


def vowel(number: int) -> bytes:
    """Packet after packet of an "ah" at 120 Hz, as 16-bit samples."""
    time = (number * SAMPLES + np.arange(SAMPLES)) / RATE
    sound = np.zeros(SAMPLES)
    for harmonic in range(120, 3600, 120):
        sound += np.sin(2 * np.pi * harmonic * time) / (1 + ((harmonic - 700) / 300) ** 2)
    return (6000 * sound).astype("<i2").tobytes()


def main() -> None:
    random = np.random.default_rng(1)
    arrivals = []
    for number in range(500):
        sent = number * TICK
        arrival = sent + random.uniform(0, 0.03)
        if 4.0 <= sent < 4.3:
            arrival = 4.3
        if random.random() > 0.05:
            arrivals.append((arrival, number))
    arrivals.sort(reverse=True)

    buffer = JitterBuffer(JitterConfig(codec="s16le", sample_rate=RATE))
    line = ""
    for tick in range(520):
        now = tick * TICK
        while arrivals and arrivals[-1][0] <= now:
            arrival, number = arrivals.pop()
            buffer.push(number, number * SAMPLES, vowel(number), arrival)
        _frame, tag = buffer.pull(now)  # to the sound card, the recogniser or the mixer
        line += SIGNS[tag]
        if len(line) == 50:
            print(f"{now - 0.98:4.0f} s  {line}  delay {buffer.stats().delay_ms:3.0f} ms")
            line = ""

    stats = buffer.stats()
    print("\n.: played  x: concealed  -: shortened by a pitch period  +: lengthened by one")
    concealed = 1000 * stats.concealed_samples / RATE
    print(f"{stats.lost} of {stats.received + stats.lost} packets were lost, {stats.late} came too late;")
    print(f"{concealed:.0f} ms were concealed, the delay was {stats.mean_delay_ms:.0f} ms on average.")


if __name__ == "__main__":
    main()
