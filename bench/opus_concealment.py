"""What lost packets sound like: concealment, FEC and DRED beside repeating the last frame and silence, by PLCMOS.

Run as ``python -m bench.opus_concealment [--seeds N] [--json FILE]``; about three minutes. PLCMOS v2 (Diener et al.,
Interspeech 2023) predicts the opinion of listeners, 1 (bad) to 5, of speech that suffered loss; it comes with the PyPI
package ``speechmos`` and runs on onnxruntime. Every way of coding has the same bitrate, so redundancy is paid for with
quality; every way of playing suffers the same seeded losses.

Speech: tests/data/speech, flite's voices where flite is installed, and the WAV files of ``--speech FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
from rich.console import Console
from rich.progress import track

from antiphon.media.opus import OPUS_VERSION, OpusDecoder, OpusDred, OpusEncoder, opus_has_fec
from bench import host
from bench.report import Report, Table

RATE = 16_000
FRAME = 320
SPEECH = Path(__file__).resolve().parent.parent / "tests" / "data" / "speech"
SENTENCES = {
    "slt": "She has lived in this house for more than twenty years, and the children play in the garden behind it.",
    "rms": "The train to the north leaves from platform number four, so turn left at the corner and go straight ahead.",
    "awb": "We will meet again tomorrow morning at nine, and talk about the budget for the next year.",
}

Int16 = npt.NDArray[np.int16]
Losses = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trace:
    """A kind of loss: a chain of two states (Gilbert), good and lost."""

    name: str
    share: float
    burst: float
    """Mean packets lost in a row."""

    def losses(self, count: int, seed: int) -> Losses:
        """Which packets are lost. The first ten and the last arrive."""
        random = np.random.default_rng([seed, round(1000 * self.share), round(10 * self.burst)])
        leave = 1 / self.burst
        enter = self.share * leave / (1 - self.share)
        lost = np.zeros(count, np.bool_)
        state = False
        for number in range(count):
            state = random.random() < ((1 - leave) if state else enter)
            lost[number] = state
        lost[:10] = lost[-1] = False
        return lost


TRACES = (
    Trace("5 % random", 0.05, 1 / 0.95),
    Trace("10 % random", 0.10, 1 / 0.9),
    Trace("20 % random", 0.20, 1 / 0.8),
    Trace("10 % in bursts of 3", 0.10, 3),
    Trace("20 % in bursts of 5", 0.20, 5),
)


@dataclass(frozen=True)
class Way:
    """A way of coding and of playing."""

    name: str
    coding: str
    complexity: int
    ahead: int = 0
    """Packets after a loss that a jitter buffer of so much delay lets one look at."""
    fallback: str = "conceal"


WAYS = (
    Way("silence", "plain", 0, fallback="silence"),
    Way("the last frame again", "plain", 0, fallback="repeat"),
    Way("classic concealment", "plain", 0),
    Way("deep concealment", "plain", 5),
    Way("FEC, then classic", "fec", 0, ahead=1),
    Way("FEC, then deep", "fec", 5, ahead=1),
    Way("DRED, 40 ms ahead, then deep", "dred", 5, ahead=2),
    Way("DRED, 100 ms ahead, then deep", "dred", 5, ahead=5),
)


def encoder(coding: str, bitrate: int, loss: int) -> OpusEncoder:
    """An encoder that reckons with the loss."""
    return OpusEncoder(
        RATE,
        bitrate=bitrate,
        complexity=10,
        dtx=False,
        fec=coding == "fec",
        expected_loss=loss,
        dred_ms=200 if coding == "dred" else 0,
    )


class Player:
    """Plays packets, some of which are lost, in one way."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.decoder = OpusDecoder(RATE, complexity=way.complexity)
        self.dred = OpusDred()
        self.parsed = -1
        self.last: Int16 = np.zeros(FRAME, np.int16)
        self.seconds: list[float] = []

    def play(self, packets: list[bytes], lost: Losses) -> Int16:
        heard = []
        for number, packet in enumerate(packets):
            if lost[number]:
                began = time.thread_time()
                heard.append(self.replace(packets, lost, number))
                self.seconds.append(time.thread_time() - began)
            else:
                self.last = self.decoder.decode(packet)
                heard.append(self.last)
        return np.concatenate(heard)

    def replace(self, packets: list[bytes], lost: Losses, number: int) -> Int16:
        """What stands in for a lost packet."""
        if self.way.fallback == "silence":
            return np.zeros(FRAME, np.int16)
        if self.way.fallback == "repeat":
            return self.last
        following = next((n for n in range(number + 1, number + 1 + self.way.ahead) if not lost[n]), None)
        if following is None:
            return self.decoder.conceal(FRAME)
        if self.way.coding == "fec":
            return self.decoder.recover(packets[following], FRAME)
        if self.parsed != following:
            self.dred.parse(packets[following], RATE, self.way.ahead * FRAME)
            self.parsed = following
        return self.decoder.recover_dred(self.dred, (following - number) * FRAME, FRAME)


class Judge:
    """PLCMOS, the same for everybody: its raters are drawn from one seed."""

    RATERS = 8

    def __init__(self) -> None:
        from speechmos.plcmos import PLCMOS

        self.model = PLCMOS()
        self.raters = np.random.default_rng(1).normal(size=(self.RATERS, 1, 64)).astype(np.float32)

    def __call__(self, pcm: Int16) -> float:
        features = np.float32(self.model.stft_transform(pcm / 32_768))[np.newaxis, np.newaxis, ...]
        scores = [
            np.asarray(self.model.session.run(None, {"degraded_audio": features, "rater_embed": rater})[0]).item()
            for rater in self.raters
        ]
        return statistics.fmean(scores)


def read(path: Path) -> Int16:
    """The first channel of a 16-bit WAV file, at 16 kHz."""
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]
        rate = file.getframerate()
    if rate == RATE:
        return pcm
    return np.clip(np.round(soxr.resample(pcm.astype(np.float64), rate, RATE)), -32_768, 32_767).astype(np.int16)


def synthesised(folder: Path) -> dict[str, Int16]:
    """flite's voices, or nothing where flite is missing."""
    if shutil.which("flite") is None:
        return {}
    clips = {}
    for voice, sentence in SENTENCES.items():
        path = folder / f"{voice}.wav"
        subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", str(path)], check=True, timeout=60)
        clips[voice] = read(path)
    return clips


def coded(clip: Int16, coding: str, bitrate: int, loss: int) -> list[bytes]:
    """All packets of a clip."""
    maker = encoder(coding, bitrate, loss)
    return [maker.encode(clip[at : at + FRAME]) for at in range(0, len(clip) - FRAME + 1, FRAME)]


@dataclass
class Results:
    """By trace and way: the score of every clip under every seed."""

    scores: dict[str, dict[str, list[float]]]
    seconds: dict[str, list[float]]
    kilobits: dict[str, list[float]]
    fec_share: list[float]


def run(clips: dict[str, Int16], seeds: int, bitrate: int, console: Console) -> Results:
    """Code, lose, play and judge everything."""
    judge = Judge()
    results = Results({"no loss": {}}, {way.name: [] for way in WAYS}, {}, [])
    streams: dict[tuple[str, str, int], list[bytes]] = {}

    def stream(clip: str, coding: str, loss: int) -> list[bytes]:
        key = (clip, coding, loss)
        if key not in streams:
            streams[key] = coded(clips[clip], coding, bitrate, loss)
            seconds = len(streams[key]) * FRAME / RATE
            results.kilobits.setdefault(coding, []).append(sum(map(len, streams[key])) * 8 / seconds / 1000)
        return streams[key]

    for way in track(WAYS, "no loss", console=console, transient=True):
        results.scores["no loss"][way.name] = [
            judge(Player(way).play(packets := stream(clip, way.coding, 5), np.zeros(len(packets), np.bool_)))
            for clip in clips
        ]
    for trace in TRACES:
        loss = round(100 * trace.share)
        of = results.scores[trace.name] = {way.name: [] for way in WAYS}
        for clip in track(clips, trace.name, console=console, transient=True):
            for seed in range(seeds):
                for way in WAYS:
                    packets = stream(clip, way.coding, loss)
                    player = Player(way)
                    of[way.name].append(judge(player.play(packets, trace.losses(len(packets), seed))))
                    results.seconds[way.name] += player.seconds
            fec = stream(clip, "fec", loss)
            results.fec_share.append(sum(map(opus_has_fec, fec)) / len(fec))
    return results


def table_of(results: Results) -> Table:
    """Means, the best of each column's neighbours left to the reader."""
    names = list(results.scores)
    table = Table("PLCMOS, 1 to 5", ("a lost packet becomes", *names, "µs"))
    for way in WAYS:
        cells = [f"{statistics.fmean(results.scores[name][way.name]):.2f}" for name in names]
        cost = statistics.fmean(results.seconds[way.name]) * 1e6
        table.rows.append((way.name, *cells, f"{cost:.0f}"))
    means = {
        way.name: [statistics.fmean(results.scores[name][way.name]) for name in names if name != "no loss"]
        for way in WAYS
    }
    floor = [max(pair) for pair in zip(means["silence"], means["the last frame again"], strict=True)]
    for way in WAYS[2:]:
        met = all(ours > theirs for ours, theirs in zip(means[way.name], floor, strict=True))
        table.notes.append(f"{way.name} above silence and repeating in every column: {'met' if met else 'MISSED'}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="loss traces of each kind")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="WAV files (16-bit) of more speech")
    parser.add_argument("--bitrate", type=int, default=32_000, help="bits a second of every way of coding")
    parser.add_argument("--json", type=Path, help="write every score to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    try:
        import speechmos.plcmos  # noqa: F401
    except ImportError as error:
        print(f"SKIPPED: {error}; pip install speechmos onnxruntime", file=sys.stderr)
        return 0
    folders = [SPEECH, *([options.speech] if options.speech else [])]
    clips = {path.stem: read(path) for folder in folders for path in sorted(folder.glob("*.wav"))}
    with tempfile.TemporaryDirectory() as made:
        clips |= synthesised(Path(made))
    results = run(clips, options.seeds, options.bitrate, Console(stderr=True))
    rates = ", ".join(f"{name} {statistics.fmean(of):.0f}" for name, of in results.kilobits.items())
    notes = [
        f"{OPUS_VERSION}; {len(clips)} clips ({', '.join(clips)}), mono at 16 kHz, 20 ms a packet, voip, complexity 10,"
        f" VBR, asked for {options.bitrate // 1000} kbit/s (got, kbit/s: {rates}); {options.seeds} seeds of each trace,"
        " the same for every row.",
        "The encoder was told of the loss. FEC was in"
        f" {statistics.fmean(results.fec_share):.0%} of its packets. `ahead` is how long a jitter buffer must hold"
        " back: 20 ms for FEC. µs is what a lost packet costs.",
    ]
    report = Report("What lost packets sound like", host.description(), notes, [table_of(results)])
    report.show(Console())
    if options.json:
        figures: dict[str, Any] = {"scores": results.scores, "kilobits": results.kilobits, "seeds": options.seeds}
        options.json.write_text(json.dumps(figures, indent=1))
    if options.markdown:
        options.markdown.write_text(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
