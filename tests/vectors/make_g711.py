"""Write g711.csv: for each byte of both laws, the sample it stands for and the 16-bit samples that become it.

By the tables of ITU-T G.711 itself, not by anyone's code: decision values x(n) and output values y(n) of each segment
(table 1a, 13-bit A-law; table 2a, 14-bit mu-law) as numbers, and a search among them. A negative sample is judged by
its ones' complement, as in the software of ITU-T G.191. Run as ``python tests/vectors/make_g711.py``.
"""

from __future__ import annotations

import bisect
import csv
import itertools
from pathlib import Path

# Segment by segment: how many steps of which width, both in units of the uniform code.
A_LAW = [(32, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128)]
MU_LAW = [(1, 1), (15, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128), (16, 256)]


def decision_values(segments: list[tuple[int, int]]) -> list[int]:
    """The lower end of every interval, and the upper end of the last."""
    values = [0]
    for steps, width in segments:
        for _ in range(steps):
            values.append(values[-1] + width)
    return values


def output_values(decisions: list[int], law: str) -> list[float]:
    """The middle of each interval; mu-law's first is 0."""
    middles = [(low + high) / 2 for low, high in itertools.pairwise(decisions)]
    return [0.0, *middles[1:]] if law == "mulaw" else middles


def character(law: str, interval: int, negative: bool) -> int:
    """The byte that is sent: the sign bit is 1 for what is positive; A-law inverts even bits, mu-law the magnitude."""
    sign = 0 if negative else 0x80
    if law == "alaw":
        return (sign | interval) ^ 0x55
    return sign | (0x7F - interval)


def rows(law: str) -> list[tuple[str, int, int, int, int]]:
    """Each byte with its sample, and the lowest and highest sample that become it."""
    segments, scale = (A_LAW, 8) if law == "alaw" else (MU_LAW, 4)
    decisions = decision_values(segments)
    outputs = output_values(decisions, law)
    taken: dict[int, list[int]] = {}
    for sample in range(-32_768, 32_768):
        magnitude = (~sample if sample < 0 else sample) / scale
        magnitude = int(magnitude) if law == "mulaw" else magnitude
        interval = min(bisect.bisect_right(decisions, magnitude) - 1, len(outputs) - 1)
        taken.setdefault(character(law, interval, sample < 0), []).append(sample)
    levels = {
        character(law, interval, negative): round(scale * (-value if negative else value))
        for interval, value in enumerate(outputs)
        for negative in (False, True)
    }
    return [(law, byte, levels[byte], min(taken[byte]), max(taken[byte])) for byte in range(256)]


if __name__ == "__main__":
    with (Path(__file__).parent / "g711.csv").open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["law", "byte", "sample", "lowest", "highest"])
        writer.writerows(rows("mulaw") + rows("alaw"))
