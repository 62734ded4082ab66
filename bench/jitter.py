"""The jitter buffer over seeded networks, beside aiortc's: how late audio plays, how much is missing or made up.

Run as ``python -m bench.jitter [--seconds 120] [--seeds 3] [--only loss] [--json FILE] [--markdown FILE]``; the peer needs
``aiortc`` (extra ``bench``), and the table has only our rows without it.

The stream is stereo PCM: speech on the left, which decides where time may be stretched, and on the right the number of
each sample, so small that nothing hears it. What comes out tells by itself which samples were played, and when.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import wave
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from antiphon.media.jitter import JitterBuffer, JitterConfig
from bench.traces import Network, Trace, trace

RATE = 16_000
TICK = 0.02
SAMPLES = round(RATE * TICK)
SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"

# Numbers this large make a concealed sample, which is one made smaller, point far away from the packets around it.
FIRST = 1 << 22
SCALE = 2.0**40
BIN = RATE // 1000

SETTLED = 50
"""Packets at the end that are not judged, as they may still wait."""

CONFIG = JitterConfig(codec="f32le", sample_rate=RATE, channels=2)

NETWORKS = (
    Network("clean, jitter 5 ms"),
    Network("loss 1 %", loss=0.01),
    Network("loss 5 %", loss=0.05),
    Network("loss 20 %", loss=0.20),
    Network("loss 5 % in bursts of 4", loss=0.05, burst=4),
    Network("loss 20 % in bursts of 4", loss=0.20, burst=4),
    Network("jitter 20 ms", jitter_ms=20),
    Network("jitter 50 ms", jitter_ms=50),
    Network("jitter 100 ms", jitter_ms=100),
    Network("jitter 150 ms", jitter_ms=150),
    Network("jitter 20 ms, loss 5 %", jitter_ms=20, loss=0.05),
    Network("5 % overtaken", reordered=0.05),
    Network("5 % overtaken, 2 % twice", reordered=0.05, duplicated=0.02),
    Network("skew +200 ppm", skew_ppm=200),
    Network("skew -200 ppm", skew_ppm=-200),
    Network("a spike of 300 ms", spike_ms=300),
    Network("all of it", loss=0.05, burst=3, jitter_ms=30, reordered=0.02, skew_ppm=100, spike_ms=300, duplicated=0.01),
)


class Contender(Protocol):
    """A receiver: packets in, one frame a tick out."""

    def push(self, number: int, payload: bytes, arrival: float) -> None:
        """Take a packet."""

    def pull(self, now: float) -> tuple[NDArray[np.float32], bool]:
        """A frame of shape (samples, 2), and whether it is the sender's audio."""


class Ours:
    """Antiphon's buffer."""

    def __init__(self, config: JitterConfig = CONFIG) -> None:
        self.buffer = JitterBuffer(config)

    def push(self, number: int, payload: bytes, arrival: float) -> None:
        self.buffer.push((number + 65_000) & 0xFFFF, (number * SAMPLES + 2**32 - 10**6) & 0xFFFFFFFF, payload, arrival)

    def pull(self, now: float) -> tuple[NDArray[np.float32], bool]:
        frame, tag = self.buffer.pull(now)
        return frame, tag in {"played", "stretched", "compressed"}


class Aiortc:
    """aiortc's buffer, whose frames wait in a queue for the next tick, as they do behind its tracks."""

    def __init__(self, capacity: int = 16, prefetch: int = 4) -> None:
        from aiortc.jitterbuffer import JitterBuffer as Peer  # noqa: PLC0415
        from aiortc.rtp import RtpPacket  # noqa: PLC0415

        self._buffer = Peer(capacity=capacity, prefetch=prefetch)
        self._packet = RtpPacket
        self._frames: list[bytes] = []
        self._silence = np.zeros((SAMPLES, 2), np.float32)

    def push(self, number: int, payload: bytes, arrival: float) -> None:
        packet = self._packet(
            sequence_number=(number + 65_000) & 0xFFFF, timestamp=(number * SAMPLES + 2**32 - 10**6) & 0xFFFFFFFF
        )
        packet._data = payload  # what its receiver sets once it has depacketised
        frame = self._buffer.add(packet)[1]
        if frame is not None:
            self._frames.append(frame.data)

    def pull(self, now: float) -> tuple[NDArray[np.float32], bool]:
        if not self._frames:
            return self._silence, False
        return np.frombuffer(self._frames.pop(0), np.float32).reshape(-1, 2), True


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender made of one network; shares are of the audio sent.

    Attributes:
        delay_ms: Mean over the samples played, from when the fastest packet could have brought them.
        late_delay_ms: The 95th percentile of it.
        lost: Share of packets that the network lost.
        missing: Share of packets of which nothing was played.
        filled: Share of ticks, from the first that played to the end, with something else than the sender's audio.
        scaled: Share of time put in or taken out.
    """

    delay_ms: float
    late_delay_ms: float
    lost: float
    missing: float
    filled: float
    scaled: float = 0.0


def stream(seconds: float) -> list[bytes]:
    """Packets of speech and sample numbers."""
    count = round(seconds * RATE)
    spoken = np.concatenate([_speech(path) for path in sorted(SPEECH.glob("*.wav"))])
    pcm = np.empty((count, 2), np.float32)
    pcm[:, 0] = np.resize(spoken, count)
    pcm[:, 1] = (FIRST + np.arange(count)) / SCALE
    return [pcm[at : at + SAMPLES].tobytes() for at in range(0, count - SAMPLES + 1, SAMPLES)]


def _speech(path: Path) -> NDArray[np.float32]:
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels()) != (RATE, 1):
            raise ValueError(f"{path} is not mono at {RATE} Hz")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def play(contender: Contender, packets: list[bytes], way: Trace, phase: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run a trace; what came out, of shape (ticks, samples), as numbers of samples, and which ticks were audio."""
    end = float(way.departures[-1]) + 1.0
    ticks = round(end / TICK)
    numbers = np.zeros((ticks, SAMPLES))
    real = np.zeros(ticks, bool)
    arrivals = iter(way.arrivals)
    coming = next(arrivals, None)
    for tick in range(ticks):
        now = phase + tick * TICK
        while coming is not None and coming[0] <= now:
            contender.push(coming[1], packets[coming[1]], coming[0])
            coming = next(arrivals, None)
        frame, real[tick] = contender.pull(now)
        numbers[tick] = frame[:, 1]
    return numbers * SCALE - FIRST, real


def measure(numbers: NDArray[Any], real: NDArray[Any], way: Trace, phase: float) -> Result:
    """Read the figures from the sample numbers that came out."""
    sent = len(way.departures) - SETTLED
    flat = numbers.ravel()
    step = np.diff(flat, prepend=flat[0])
    inside = np.repeat(real, SAMPLES) & (flat >= 0) & (flat < sent * SAMPLES)
    # Where audio is faded over into other audio the numbers are of neither: they run faster, but not far.
    exact = inside & (step == 1)
    heard = np.zeros(sent * SAMPLES // BIN, bool)
    heard[(flat[inside & (step > 0) & (step < 8)] // BIN).astype(int)] = True
    at = np.flatnonzero(exact)
    source, played = flat[exact], phase + at // SAMPLES * TICK + at % SAMPLES / RATE
    stretch = way.packet_s / (SAMPLES / RATE) * (way.departures[-1] / ((len(way.departures) - 1) * way.packet_s))
    delay = 1000 * (played - source / RATE * stretch)
    missing = heard.reshape(sent, -1).mean(axis=1) < 0.25
    first = int(np.argmax(real))
    last = len(real) - 1 - int(np.argmax(real[::-1]))
    return Result(
        delay_ms=float(delay.mean()),
        late_delay_ms=float(np.percentile(delay, 95)),
        lost=float(way.lost[:sent].mean()),
        missing=float(missing.mean()),
        filled=float(1 - real[first : last + 1].mean()),
    )


def run(make: Callable[[], Contender], network: Network, packets: list[bytes], seconds: float, seeds: int) -> Result:
    """The mean of several seeds."""
    results = []
    for seed in range(seeds):
        way = trace(network, seconds=seconds, seed=seed)
        phase = TICK * (seed + 0.5) / seeds
        contender = make()
        numbers, real = play(contender, packets, way, phase)
        result = measure(numbers, real, way, phase)
        if isinstance(contender, Ours):
            stats = contender.buffer.stats()
            scaled = (stats.stretched_samples + stats.compressed_samples) / (RATE * seconds)
            result = replace(result, scaled=scaled)
        results.append(asdict(result))
    return Result(**{key: statistics.fmean(result[key] for result in results) for key in results[0]})
