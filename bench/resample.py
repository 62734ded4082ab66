"""Sample-rate conversion: quality, lag and cost of Antiphon's resampler beside soxr, FFmpeg's and linear interpolation.

Run as ``python -m bench.resample [--json FILE]``; a quarter of a minute. All but the cost is the same in every run.

- ripple: how far the gain of tones up to 90 % of the lower Nyquist frequency strays from 0 dB.
- rejection: the loudest that is left of tones above the lower Nyquist frequency (going down) or added to tones below it
  (going up), against the tone.
- SNR: of a sine sweep from 50 Hz to 90 % of the lower Nyquist frequency, its delay and gain taken out.
- lag: the most audio that had gone in and not come out when it came in pieces of 20 ms.
- cost: of 20 ms in one call, median of rounds in which the contenders take turns; and its ratio to soxr HQ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from rich.console import Console
from rich.progress import track
from rich.table import Table

from antiphon._native import Resampler

Floats = npt.NDArray[np.float32]
PAIRS = (
    (48_000, 16_000),
    (44_100, 16_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (48_000, 8_000),
    (48_000, 44_100),
    (11_025, 16_000),
    (44_101, 16_000),
)


class Stream(Protocol):
    """A contender at work on one stream."""

    def push(self, samples: Floats) -> Floats: ...
    def flush(self) -> Floats: ...


class Soxr:
    """libsoxr through its Python package, which the server used before."""

    def __init__(self, source: int, target: int, quality: str) -> None:
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality=quality)

    def push(self, samples: Floats) -> Floats:
        return np.asarray(self._stream.resample_chunk(samples))

    def flush(self) -> Floats:
        return np.asarray(self._stream.resample_chunk(np.empty(0, np.float32), last=True))


class Ffmpeg:
    """libswresample at its default settings through PyAV."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._resampler = AudioResampler(format="flt", layout="mono", rate=target)

    def push(self, samples: Floats) -> Floats:
        frame = AudioFrame.from_ndarray(samples[None, :], "flt", "mono")
        frame.sample_rate = self._source
        return self._joined(frame)

    def flush(self) -> Floats:
        return self._joined(None)

    def _joined(self, frame: AudioFrame | None) -> Floats:
        parts = [out.to_ndarray()[0] for out in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


class Linear:
    """Straight lines between samples, as pages do it in a hurry."""

    def __init__(self, source: int, target: int) -> None:
        self._ratio, self._out, self._in, self._last = source / target, 0, 0, np.zeros(1, np.float32)

    def push(self, samples: Floats) -> Floats:
        known = np.concatenate([self._last, samples])
        first, end = self._in - 1, self._in + len(samples) - 1
        count = int(end / self._ratio) + 1 - self._out if end >= 0 else 0
        where = (np.arange(self._out, self._out + max(count, 0)) * self._ratio) - first
        self._out, self._in, self._last = self._out + max(count, 0), end + 1, known[-1:]
        return np.interp(where, np.arange(len(known)), known).astype(np.float32)

    def flush(self) -> Floats:
        return np.empty(0, np.float32)


CONTENDERS: dict[str, Callable[[int, int], Stream]] = {
    "Antiphon": Resampler,
    "soxr HQ": lambda source, target: Soxr(source, target, "HQ"),
    "soxr VHQ": lambda source, target: Soxr(source, target, "VHQ"),
    "FFmpeg": Ffmpeg,
    "linear": Linear,
}


def whole(make: Callable[[int, int], Stream], source: int, target: int, samples: Floats) -> npt.NDArray[np.float64]:
    """A signal through a new stream, at once."""
    stream = make(source, target)
    return np.concatenate([stream.push(samples), stream.flush()]).astype(np.float64)


def tone(hertz: float, rate: int) -> npt.NDArray[np.float64]:
    """One second of a sine at half of full scale."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)


def fit(out: npt.NDArray[np.float64], hertz: float, rate: int) -> tuple[float, float]:
    """Gain of the tone in the middle of ``out``, and power of all else against it, both in dB."""
    start, end = rate // 5, min(len(out), rate) - rate // 5
    phase = 2 * np.pi * hertz * np.arange(start, end) / rate
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    (a, b), *_ = np.linalg.lstsq(basis, out[start:end], rcond=None)
    power = (a * a + b * b) / 2
    rest = np.mean((out[start:end] - basis @ [a, b]) ** 2)
    return 10 * np.log10(power / 0.125), 10 * np.log10(max(rest / max(power, 1e-30), 1e-30))


def ripple_and_rejection(make: Callable[[int, int], Stream], source: int, target: int) -> tuple[float, float]:
    """In dB; see the head of this file."""
    nyquist = min(source, target) / 2
    gains, rests = [], []
    for share in np.linspace(0.02, 0.9, 23):
        hertz = share * nyquist
        gain, rest = fit(whole(make, source, target, tone(hertz, source).astype(np.float32)), hertz, target)
        gains.append(abs(gain))
        rests.append(rest)
    if target > source:
        return max(gains), -max(rests)
    left = []
    for hertz in np.linspace(1.002 * nyquist, min(3 * nyquist, 0.99 * source / 2), 23):
        out = whole(make, source, target, tone(hertz, source).astype(np.float32))
        edge = target // 5
        left.append(10 * np.log10(max(np.mean(out[edge:-edge] ** 2) / 0.125, 1e-30)))
    return max(gains), -max(left)


def sweep_snr(make: Callable[[int, int], Stream], source: int, target: int) -> float:
    """In dB; see the head of this file."""
    seconds, low, high = 4.0, 50.0, 0.9 * min(source, target) / 2

    def sweep(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        slope = np.log(high / low) / seconds
        return 0.5 * np.sin(2 * np.pi * low / slope * (np.exp(slope * times) - 1))

    out = whole(make, source, target, sweep(np.arange(int(seconds * source)) / source).astype(np.float32))
    times = np.arange(len(out)) / target
    inside = slice(target // 4, int(seconds * target) - target // 4)
    delay, best = 0.0, np.inf
    for _ in range(12):  # Newton's steps on the delay, by the derivative
        ideal = sweep(times[inside] - delay)
        slope = (sweep(times[inside] - delay + 1e-7) - sweep(times[inside] - delay - 1e-7)) / 2e-7
        (gain, shift), *_ = np.linalg.lstsq(np.stack([ideal, slope], axis=1), out[inside], rcond=None)
        best = min(best, float(np.mean((out[inside] - gain * ideal) ** 2) / np.mean(ideal**2)))
        delay -= shift / gain
    return -10 * np.log10(best)


def lag(make: Callable[[int, int], Stream], source: int, target: int) -> float:
    """Milliseconds."""
    stream, taken, given, worst = make(source, target), 0, 0, 0.0
    for _ in range(100):
        taken += source // 50
        given += len(stream.push(np.full(source // 50, 0.1, np.float32)))
        worst = max(worst, taken / source - given / target)
    return 1000 * worst


def costs(source: int, target: int, rounds: int = 15, calls: int = 150) -> dict[str, list[float]]:
    """Microseconds a call of 20 ms, a figure a round, the contenders taking turns."""
    samples = np.random.default_rng(0).normal(0, 0.1, source // 50).astype(np.float32)
    streams = {name: make(source, target) for name, make in CONTENDERS.items()}
    found: dict[str, list[float]] = {name: [] for name in streams}
    for turn in range(rounds + 1):
        for name, stream in streams.items():
            start = time.perf_counter()
            for _ in range(calls):
                stream.push(samples)
            if turn:  # the first warms up
                found[name].append(1e6 * (time.perf_counter() - start) / calls)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    console = Console()
    figures: list[dict[str, Any]] = []
    for source, target in track(PAIRS, "resampling", console=Console(stderr=True), transient=True):
        table = Table(title=f"{source} to {target} Hz", title_justify="left")
        for column in ("", "ripple dB", "rejection dB", "SNR dB", "lag ms", "µs a 20 ms", "of soxr HQ"):
            table.add_column(column, justify="right" if column else "left")
        cost = costs(source, target)
        for name, make in CONTENDERS.items():
            ripple, rejection = ripple_and_rejection(make, source, target)
            ratio = statistics.median(a / b for a, b in zip(cost[name], cost["soxr HQ"], strict=True))
            row = {
                "from": source,
                "to": target,
                "resampler": name,
                "ripple_db": ripple,
                "rejection_db": rejection,
                "sweep_snr_db": sweep_snr(make, source, target),
                "lag_ms": lag(make, source, target),
                "microseconds": statistics.median(cost[name]),
                "ratio_to_soxr_hq": ratio,
            }
            figures.append(row)
            table.add_row(
                name,
                f"{ripple:.3f}",
                f"{rejection:.0f}",
                f"{row['sweep_snr_db']:.0f}",
                f"{row['lag_ms']:.1f}",
                f"{row['microseconds']:.1f}",
                f"{ratio:.2f}",
            )
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
