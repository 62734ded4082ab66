"""Taking containers apart: Antiphon's demuxers beside PyAV (FFmpeg) on the same bytes, from Python.

Run as ``python -m bench.containers [--seconds 600] [--rounds 7] [--json FILE]``; takes about fifteen seconds. A stream
of speech-like sound is encoded once and put into Ogg and WebM by FFmpeg itself. Each round then demuxes it with both,
one right after the other, and the ratio of a round is taken of those two: the table shows the median and the range of
the rounds. PyAV reads from memory; it can't take a live stream in pieces, so the rows of pieces have no peer.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from rich.console import Console
from rich.progress import track
from rich.table import Table

from antiphon.media.container import OpusPacket, demuxer

RATE = 48_000
LIVE_PIECE = 640
"""Bytes of 200 ms at 24 kb/s, as a MediaRecorder sends them."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        stream: Container, and how it was fed.
        packets: In the stream.
        megabytes: Of the stream.
        ours: Median microseconds a packet, Antiphon.
        peer: The same of PyAV; none where it can't do that.
        ratio: Median of peer over ours within a round.
        lowest: Least ratio of a round.
        highest: Greatest.
    """

    stream: str
    packets: int
    megabytes: float
    ours: float
    peer: float | None = None
    ratio: float | None = None
    lowest: float | None = None
    highest: float | None = None


def encode(container: str, seconds: int, seed: int) -> bytes:
    """Noise in bursts of syllables, as Opus at 24 kb/s, muxed by FFmpeg."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("libopus", rate=RATE, layout="mono", options={"application": "voip"})
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 24_000
        times = np.arange(RATE) / RATE
        envelope = np.clip(np.sin(2 * np.pi * 4 * times), 0, None)
        for second in range(seconds):
            samples = (rng.normal(scale=3_000, size=RATE) * envelope).clip(-32_768, 32_767).astype(np.int16)
            frame = AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate, frame.pts = RATE, second * RATE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def ours(container: str, data: bytes, piece: int) -> int:
    """Packets that Antiphon finds."""
    demux = demuxer(container)
    count = 0
    for at in range(0, len(data), piece):
        for event in demux.push(data[at : at + piece]):
            count += isinstance(event, OpusPacket)
    return count + sum(isinstance(event, OpusPacket) for event in demux.finish())


def theirs(data: bytes) -> int:
    """Packets that PyAV finds, each made bytes as ours are."""
    with av.open(io.BytesIO(data), "r") as container:
        return sum(len(bytes(packet)) > 0 for packet in container.demux(audio=0))


def took(work: Callable[[], int], packets: int) -> float:
    """Microseconds a packet."""
    began = time.perf_counter()
    found = work()
    elapsed = time.perf_counter() - began
    if found != packets:
        sys.exit(f"{found} packets were found of {packets}")
    return elapsed * 1e6 / packets


def measure(container: str, data: bytes, rounds: int) -> list[Row]:
    packets = theirs(data)
    size = len(data) / 1e6
    pairs, live = [], []
    for _ in track(range(rounds), container, console=Console(stderr=True), transient=True):
        mine = took(lambda: ours(container, data, len(data)), packets)
        pairs.append((mine, took(lambda: theirs(data), packets)))
        live.append(took(lambda: ours(container, data, LIVE_PIECE), packets))
    ratios = [peer / mine for mine, peer in pairs]
    whole = Row(
        f"{container}, as a whole",
        packets,
        size,
        statistics.median(mine for mine, _ in pairs),
        statistics.median(peer for _, peer in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )
    return [whole, Row(f"{container}, {LIVE_PIECE}-byte pieces", packets, size, statistics.median(live))]


def show(rows: list[Row]) -> None:
    table = Table(title="Demuxing Opus from Python, microseconds a packet", title_justify="left")
    for name in ("stream", "packets", "MB", "Antiphon", "PyAV", "PyAV / Antiphon"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f} ({row.lowest:.1f} to {row.highest:.1f})"
        table.add_row(row.stream, str(row.packets), f"{row.megabytes:.2f}", f"{row.ours:.2f}", peer, ratio)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="of audio (default: 600)")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--seed", type=int, default=1, help="of the sound (default: 1)")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    options = parser.parse_args()
    rows = []
    for container in ("webm", "ogg"):
        rows += measure(container, encode(container, options.seconds, options.seed), options.rounds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
