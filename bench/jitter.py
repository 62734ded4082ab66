"""The jitter buffer over seeded networks, beside aiortc's: how late audio plays, how much is missing or made up.

Run as ``python -m bench.jitter [--seconds 120] [--seeds 3] [--only loss] [--json FILE] [--markdown FILE]``; needs
aiortc (extra ``bench``).

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
        from aiortc.jitterbuffer import JitterBuffer as Peer
        from aiortc.rtp import RtpPacket

        self._buffer = Peer(capacity=capacity, prefetch=prefetch)
        self._packet = RtpPacket
        self._frames: list[bytes] = []
        self._silence = np.zeros((SAMPLES, 2), np.float32)

    def push(self, number: int, payload: bytes, arrival: float) -> None:
        packet = self._packet(
            sequence_number=(number + 65_000) & 0xFFFF, timestamp=(number * SAMPLES + 2**32 - 10**6) & 0xFFFFFFFF
        )
        setattr(packet, "_data", payload)  # noqa: B010 - its receiver sets it once it has depacketised
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
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (pcm / 32768).astype(np.float32)


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


@dataclass(frozen=True, slots=True)
class Course:
    """What a single event does.

    Attributes:
        before_ms: Delay before it.
        after_ms: Delay two seconds after it.
        silent_ms: Audio that wasn't the sender's, about it.
        back_s: Seconds until the delay is within 20 ms of before and stays so; infinite if it never is.
    """

    before_ms: float
    after_ms: float
    silent_ms: float
    back_s: float


def course(contender: Contender, packets: list[bytes], way: Trace, event: float) -> Course:
    """Follow the delay through an event at so many seconds."""
    phase = TICK / 2
    numbers, real = play(contender, packets, way, phase)
    delay = np.full(len(real), np.nan)
    for tick in np.flatnonzero(real):
        row = numbers[tick]
        at = int(np.argmax(np.diff(row) == 1))
        delay[tick] = 1000 * (phase + tick * TICK + (at - row[at]) / RATE)
    ticks = np.arange(len(real))
    before = float(np.nanmedian(delay[(ticks * TICK > event - 2) & (ticks * TICK < event)]))
    after = float(np.nanmedian(delay[(ticks * TICK > event + 2) & (ticks * TICK < event + 2.2)]))
    end = round(float(way.departures[-1]) / TICK)
    silent = int((~real[round((event - 0.1) / TICK) : end]).sum())
    behind = (ticks * TICK > event) & (ticks < end)
    off = ticks[behind & ~(np.abs(delay - before) <= 20)]
    back = float(off[-1] + 1) * TICK - event if len(off) else 0.0
    return Course(before, after, 1000 * TICK * silent, np.inf if len(off) and off[-1] >= end - 2 else back)


def events(packets: list[bytes]) -> dict[str, dict[str, Course]]:
    """One lost packet and one spike, on an otherwise even network, ten seconds before the end."""
    even = trace(Network("even", jitter_ms=1), seconds=20, seed=0)
    gone = even.lost.copy()
    gone[500] = True
    ways = {
        "one lost packet": replace(even, lost=gone, arrivals=[pair for pair in even.arrivals if pair[1] != 500]),
        "a spike of 300 ms": replace(
            even, arrivals=sorted((max(at, 10.3) if at >= 10.0 else at, number) for at, number in even.arrivals)
        ),
    }
    return {
        name: {"Antiphon": course(Ours(), packets, way, 10.0), "aiortc (16, 4)": course(Aiortc(), packets, way, 10.0)}
        for name, way in ways.items()
    }


PREFETCHES = (0, 1, 2, 4, 8)
SWEEP = tuple(
    replace(CONFIG, quantile=quantile, min_delay_ms=least, min_delay_packets=1, max_delay_packets=25)
    for quantile in (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
    for least in (20, 30, 40, 50, 60, 80, 100, 150)
)
EQUAL = ("jitter 20 ms", "jitter 50 ms", "jitter 100 ms", "5 % overtaken", "loss 1 %", "loss 5 %")


@dataclass(frozen=True, slots=True)
class Equal:
    """The peer with one setting, and the lowest delay of ours that fills in and misses no more.

    Attributes:
        ours: None where none of our settings fills in as little.
    """

    network: str
    prefetch: int
    peer: Result
    ours: Result | None
    config: JitterConfig | None


def equal(network: Network, packets: list[bytes], seconds: float, seeds: int) -> list[Equal]:
    """Latency at equal concealment, under one trace."""
    ours = [(run(lambda config=config: Ours(config), network, packets, seconds, seeds), config) for config in SWEEP]  # type: ignore[misc]
    rows = []
    for prefetch in PREFETCHES:
        peer = run(lambda prefetch=prefetch: Aiortc(16, prefetch), network, packets, seconds, seeds)  # type: ignore[misc]
        good = [pair for pair in ours if pair[0].filled <= peer.filled and pair[0].missing <= peer.missing]
        best, config = min(good, key=lambda pair: pair[0].delay_ms, default=(None, None))
        rows.append(Equal(network.name, prefetch, peer, best, config))
    return rows


def cost(slots: int = 50_000) -> dict[str, float]:
    """Microseconds for a push and a pull from Python: 20 ms of mono 16-bit PCM at 48 kHz, medians over the calls."""
    payload = bytes(1920)
    out = np.empty(960, np.float32)
    times: dict[str, list[float]] = {"push": [], "pull": [], "pull_into": []}
    buffer = JitterBuffer(JitterConfig(codec="s16le", sample_rate=48_000))
    for number in range(slots):
        now = number * TICK
        begin = time.perf_counter()
        buffer.push(number & 0xFFFF, number * 960 & 0xFFFFFFFF, payload, now)
        middle = time.perf_counter()
        if number & 1:
            buffer.pull(now)
        else:
            buffer.pull_into(now, out)
        end = time.perf_counter()
        times["push"].append(middle - begin)
        times["pull" if number & 1 else "pull_into"].append(end - middle)
    return {name: statistics.median(values) * 1e6 for name, values in times.items()}


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{value:.2%}"


Shown = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A table: title, columns and rows."""


def tables(figures: dict[str, Any]) -> list[Shown]:
    """Everything that was measured."""
    shown = [_networks(figures["networks"]), _events(figures["events"]), _equal(figures["equal"])]
    shown.append(
        ("Cost from Python", ("call", "µs"), [(name, f"{took:.2f}") for name, took in figures["cost"].items()])
    )
    return shown


def _networks(results: dict[str, tuple[Result, Result]]) -> Shown:
    ours_columns = ("delay ms", "95 % ms", "missing", "filled in", "scaled")
    peer_columns = ("aiortc: delay ms", "95 % ms", "missing", "filled in")
    rows: list[tuple[str, ...]] = []
    for name, (ours, peer) in results.items():
        mine = (f"{ours.delay_ms:.0f}", f"{ours.late_delay_ms:.0f}", share(ours.missing), share(ours.filled))
        theirs = (f"{peer.delay_ms:.0f}", f"{peer.late_delay_ms:.0f}", share(peer.missing), share(peer.filled))
        rows.append((name, share(ours.lost), *mine, share(ours.scaled), *theirs))
    return "Networks", ("network", "lost", *ours_columns, *peer_columns), rows


def _events(results: dict[str, dict[str, Course]]) -> Shown:
    columns = ("event", "buffer", "delay before, ms", "2 s after, ms", "filled in, ms", "back within 20 ms after, s")
    rows: list[tuple[str, ...]] = []
    for event, both in results.items():
        for who, got in both.items():
            back = f"{got.back_s:.1f}" if np.isfinite(got.back_s) else "never"
            rows.append((event, who, f"{got.before_ms:.0f}", f"{got.after_ms:.0f}", f"{got.silent_ms:.0f}", back))
    return "One event", columns, rows


def _equal(results: list[Equal]) -> Shown:
    columns = ("network", "aiortc", "delay ms", "filled in", "ours: delay ms", "filled in", "with", "ratio")
    rows: list[tuple[str, ...]] = []
    for row in results:
        cells: tuple[str, ...] = ("-", "-", "-", "-")
        if row.ours is not None and row.config is not None:
            setting = f"quantile {row.config.quantile:g}, least {row.config.min_delay_ms} ms"
            ratio = row.ours.delay_ms / row.peer.delay_ms
            cells = (f"{row.ours.delay_ms:.0f}", share(row.ours.filled), setting, f"{ratio:.2f}")
        rows.append((row.network, f"(16, {row.prefetch})", f"{row.peer.delay_ms:.0f}", share(row.peer.filled), *cells))
    return "Delay at no more filled in and missing", columns, rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="length of each trace")
    parser.add_argument("--seeds", type=int, default=3, help="traces for each network")
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    options = parser.parse_args()
    try:
        Aiortc()
    except ImportError:
        print("SKIPPED: aiortc is not installed; pip install 'antiphon[bench]'", file=sys.stderr)
        return 0
    packets = stream(max(options.seconds, 20))
    chosen = [network for network in NETWORKS if options.only in network.name]
    length = (options.seconds, options.seeds)
    figures: dict[str, Any] = {
        "networks": {
            network.name: (run(Ours, network, packets, *length), run(Aiortc, network, packets, *length))
            for network in chosen
        },
        "events": events(packets),
        "equal": [
            row
            for network in chosen
            if network.name in EQUAL
            for row in equal(network, packets, options.seconds / 2, 1)
        ],
        "cost": cost(),
    }
    shown = tables(figures)
    show(shown)
    if options.markdown:
        options.markdown.write_text("\n".join(_markdown(*table) for table in shown))
    if options.json:
        options.json.write_text(json.dumps(figures, default=asdict, indent=1))
    return 0


def show(shown: Iterable[Shown]) -> None:
    """Print the tables."""
    console = Console()
    for title, columns, rows in shown:
        table = Table(title=title, title_justify="left", title_style="bold")
        for at, column in enumerate(columns):
            table.add_column(column, justify="left" if at == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _markdown(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---", *["--:"] * (len(columns) - 1)), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
