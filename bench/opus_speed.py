"""What a frame of Opus costs through Python, beside the same libopus called from C: aim at most 5 % more.

Run as ``python -m bench.opus_speed [--rounds N] [--json FILE]``; half a minute. Needs a C compiler and the libopus.a
that ``cargo build --release`` left in ``target`` (or ``$CARGO_TARGET_DIR``, or named by ``--libopus``). Both sides
encode and decode the same speech in one process, in turns; the figures are CPU time of the thread.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
from rich.console import Console

from antiphon.media.opus import OPUS_VERSION, OpusDecoder, OpusEncoder
from bench import host
from bench.report import Report, Table

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests" / "data" / "speech" / "quick-brown-fox.wav"
AIM = 1.05
CALL_AIM = 1.5
"""Microseconds that a call may add."""
ROOM = 4_000
ROUND_SECONDS = 0.02
"""How long either side decodes in a round; encoding the same takes longer."""
APPLICATIONS = {"voip": 2048, "audio": 2049, "restricted_lowdelay": 2051}

Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Case:
    """One way of coding."""

    rate: int
    channels: int
    application: str
    bitrate: int
    complexity: int
    frame_ms: float = 20.0

    @property
    def name(self) -> str:
        kind = "stereo" if self.channels == 2 else "mono"
        what = f"{self.rate // 1000} kHz {kind} {self.application} {self.bitrate // 1000}k"
        return f"{what}, complexity {self.complexity}, {self.frame_ms:g} ms"

    @property
    def frame(self) -> int:
        return round(self.rate * self.frame_ms / 1000)


SHORTEST = Case(8_000, 1, "restricted_lowdelay", 32_000, 0, 2.5)
CASES = (
    Case(48_000, 1, "audio", 24_000, 0),
    Case(48_000, 1, "audio", 24_000, 5),
    Case(48_000, 1, "voip", 64_000, 5),
    Case(48_000, 1, "voip", 128_000, 10),
    Case(48_000, 2, "audio", 96_000, 5),
    Case(16_000, 1, "voip", 24_000, 5),
    Case(16_000, 1, "restricted_lowdelay", 64_000, 5),
    SHORTEST,
)


@dataclass
class Sides:
    """Microseconds a frame, round by round."""

    c: list[float] = field(default_factory=list)
    python: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.python, self.c, strict=True)]

    @property
    def added(self) -> float:
        """Microseconds that the call from Python adds."""
        return statistics.median(ours - theirs for ours, theirs in zip(self.python, self.c, strict=True))


def clip(case: Case) -> Int16:
    """Speech, interleaved."""
    with wave.open(str(CLIP)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)
        pcm = soxr.resample(pcm, file.getframerate(), case.rate)
    mono = np.clip(np.round(pcm), -32_768, 32_767).astype(np.int16)
    return np.stack([mono, np.roll(mono, case.rate // 50) // 2], 1).ravel() if case.channels == 2 else mono


def find_libopus() -> Path | None:
    """The newest archive that cargo built with optimisation."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = sorted(target.glob("release/build/opusic-sys-*/out/lib*/libopus.a"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def compile_peer(archive: Path, folder: Path) -> ctypes.CDLL:
    """The C side, linked with `archive`."""
    include = archive.parent.parent / "include" / "opus"
    peer = folder / "libopus_peer.so"
    command = ["cc", "-O2", "-shared", "-fPIC", f"-I{include}", str(ROOT / "bench" / "peers" / "libopus.c")]
    # Its own symbols first: NumPy and FFmpeg may have brought another libopus into the process.
    subprocess.run([*command, str(archive), "-Wl,-Bsymbolic", "-lm", "-o", str(peer)], check=True)
    library = ctypes.CDLL(str(peer))
    library.version.restype = ctypes.c_char_p
    for make in (library.make_encoder, library.make_decoder):
        make.restype = ctypes.c_void_p
    library.encode.restype = library.decode.restype = ctypes.c_double
    return library


class Bench:
    """Both sides of one case, over the same clip and packets."""

    def __init__(self, library: ctypes.CDLL, case: Case) -> None:
        self.library, self.case = library, case
        pcm = clip(case)
        size = case.frame * case.channels
        self.count = len(pcm) // size
        self.pcm = np.ascontiguousarray(pcm[: self.count * size])
        self.frames = [self.pcm[at : at + size] for at in range(0, len(self.pcm), size)]
        application = APPLICATIONS[case.application]
        self.c_encoder = ctypes.c_void_p(
            library.make_encoder(case.rate, case.channels, application, case.bitrate, case.complexity)
        )
        self.c_decoder = ctypes.c_void_p(library.make_decoder(case.rate, case.channels))
        self.packets = np.zeros(self.count * ROOM, np.uint8)
        self.lengths = np.zeros(self.count, np.int32)
        self.out = np.zeros(size, np.int16)
        self.encoder = OpusEncoder(
            case.rate,
            case.channels,
            application=case.application,
            bitrate=case.bitrate,
            complexity=case.complexity,
            frame_ms=case.frame_ms,
            dtx=False,
            fec=False,
            expected_loss=0,
        )
        self.decoder = OpusDecoder(case.rate, case.channels)
        self.same_packets()
        self.repeats = max(1, round(ROUND_SECONDS / self.decode_c()))

    def same_packets(self) -> None:
        """Both sides must do the same work.

        Raises:
            RuntimeError: Their packets differ.
        """
        self.encode_c()
        ours = [self.encoder.encode(frame) for frame in self.frames]
        if ours != self.coded():
            raise RuntimeError(f"{self.case.name}: the packets differ, so this is not the same libopus or setting")

    def coded(self) -> list[bytes]:
        rows = self.packets.reshape(self.count, ROOM)
        return [row[:length].tobytes() for row, length in zip(rows, self.lengths, strict=True)]

    def encode_c(self) -> float:
        case = self.case
        seconds: float = self.library.encode(
            self.c_encoder, pointer(self.pcm), self.count, case.frame, case.channels,
            pointer(self.packets), ROOM, pointer(self.lengths),
        )  # fmt: skip
        return seconds

    def decode_c(self) -> float:
        seconds: float = self.library.decode(
            self.c_decoder, pointer(self.packets), self.count, ROOM, pointer(self.lengths), pointer(self.out),
            self.case.frame,
        )  # fmt: skip
        return seconds

    def encode_python(self) -> float:
        encode = self.encoder.encode
        began = time.thread_time()
        for frame in self.frames:
            encode(frame)
        return time.thread_time() - began

    def decode_python(self) -> float:
        decode, coded = self.decoder.decode, self.coded()
        began = time.thread_time()
        for packet in coded:
            decode(packet)
        return time.thread_time() - began

    def decode_into_python(self) -> float:
        decode, coded, out = self.decoder.decode_into, self.coded(), self.out
        began = time.thread_time()
        for packet in coded:
            decode(packet, out)
        return time.thread_time() - began

    def measure(self, rounds: int) -> dict[str, Sides]:
        """All three, in turns."""
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            "encode": (self.encode_c, self.encode_python),
            "decode": (self.decode_c, self.decode_python),
            "decode into": (self.decode_c, self.decode_into_python),
        }
        sides = {name: Sides() for name in pairs}
        for number in range(rounds):
            for name, (c, python) in pairs.items():
                spent = [0.0, 0.0]
                for repeat in range(self.repeats):
                    # Who goes first changes, so that neither always finds a cold cache.
                    for side in (0, 1) if (number + repeat) % 2 else (1, 0):
                        spent[side] += python() if side else c()
                scale = 1e6 / self.count / self.repeats
                sides[name].c.append(spent[0] * scale)
                sides[name].python.append(spent[1] * scale)
        self.library.destroy(self.c_encoder, self.c_decoder)
        return sides


def pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def table_of(results: dict[str, dict[str, Sides]]) -> Table:
    """One row for each case and direction."""
    columns = ("µs a frame", "C", "Python", "ratio", "rounds", "added")
    table = Table("A frame through Python and from C", columns)
    missed = []
    for name, by_direction in results.items():
        for direction, sides in by_direction.items():
            ratio = statistics.median(sides.ratios)
            c, python = statistics.median(sides.c), statistics.median(sides.python)
            spread = f"{min(sides.ratios):.3f}-{max(sides.ratios):.3f}"
            what = f"{name}: {direction}"
            table.rows.append((what, f"{c:.2f}", f"{python:.2f}", f"{ratio:.3f}", spread, f"{sides.added:+.2f}"))
            if name != SHORTEST.name and ratio > AIM:
                missed.append(what)
    # In long frames what a call adds is lost in how much a frame's own cost varies.
    worst = max(sides.added for sides in results[SHORTEST.name].values())
    verdict = "met" if worst <= CALL_AIM else "MISSED"
    table.notes.append(f"what a call adds, by the shortest frames: at most {worst:.2f} µs, aim {CALL_AIM}: {verdict}")
    slow = f"MISSED by {', '.join(missed)}" if missed else "met"
    table.notes.append(f"at most {AIM} times C, the shortest frames aside, which are there for the line above: {slow}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each side, in turns")
    parser.add_argument("--libopus", type=Path, help="the libopus.a to link the C side with")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    archive = options.libopus or find_libopus()
    if archive is None or shutil.which("cc") is None:
        print("SKIPPED: needs a C compiler, and libopus.a of `cargo build --release` (--libopus)", file=sys.stderr)
        return 0
    results: dict[str, dict[str, Sides]] = {}
    with tempfile.TemporaryDirectory() as folder:
        library = compile_peer(archive, Path(folder))
        if library.version().decode() != OPUS_VERSION:
            print(f"{archive} is {library.version().decode()}, ours {OPUS_VERSION}", file=sys.stderr)
            return 1
        for case in CASES:
            results[case.name] = Bench(library, case).measure(options.rounds)
    notes = [
        f"{OPUS_VERSION}, the same archive on both sides, whose packets are compared; speech, int16; medians of"
        f" {options.rounds} rounds of each side in turns, CPU time of the thread.",
        "`encode` gives new bytes, `decode` a new array, `decode into` writes into one that is there.",
    ]
    report = Report("What a frame of Opus costs", host.description(), notes, [table_of(results)])
    report.show(Console())
    if options.json:
        figures = {name: {what: vars(sides) for what, sides in of.items()} for name, of in results.items()}
        options.json.write_text(json.dumps(figures, indent=1))
    if options.markdown:
        options.markdown.write_text(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
