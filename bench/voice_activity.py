"""Voice activity detection: Antiphon's detector beside WebRTC's on speech in noise, and what a frame costs.

Run as ``python -m bench.voice_activity [--speech FOLDER ...] [--json FILE]``; ten seconds. Folders hold WAV files of mostly
speech, 16 kHz, mono, 16-bit; the default is the synthetic voice of the tests. All but the cost is the same in every run.

Speech is what is within 30 dB of an utterance's loud parts, with gaps up to 150 ms closed; 30 ms about each edge count
for neither side. WebRTC's detector (as in the package ``pocketsphinx``) says yes or no in four modes: its score is how
many of them say yes.
"""

from __future__ import annotations

import argparse
import json
import time
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pocketsphinx import Vad
from rich.console import Console
from rich.table import Table

from antiphon._native import Resampler, VoiceActivityDetector

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RATE = 16_000
GRID = RATE // 100
SPEECH_DBFS = -26.0
FLOOR_DBFS = -70.0
NOISES = ("white", "babble", "hum")
SNRS = (20, 10, 5, 0)
ONSET, HANGOVER = 0.048, 0.3
DEFAULT_SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"


def utterances(folders: list[Path]) -> list[Floats]:
    """Every WAV of the folders, at the same level of its speech."""
    found = []
    for path in sorted(path for folder in folders for path in folder.glob("*.wav")):
        with wave.open(str(path), "rb") as file:
            if file.getparams()[:3] != (1, 2, RATE):
                raise SystemExit(f"{path} is not 16 kHz, mono, 16-bit")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_768.0
        samples = samples[: len(samples) // GRID * GRID]
        active = np.repeat(speech_grid(samples), GRID)
        found.append(samples * 10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(samples[active] ** 2)))
    if not found:
        raise SystemExit("there is no WAV file to be heard")
    return found


def speech_grid(samples: Floats) -> Bools:
    """Whether each 10 ms of a clean utterance are speech."""
    power = np.mean(samples.reshape(-1, GRID) ** 2, axis=1)
    active: Bools = power > np.quantile(power, 0.95) / 1000
    edges = np.flatnonzero(np.diff(active.astype(int)))
    for start, end in pairwise(edges):
        if not active[start + 1] and end - start <= 15:
            active[start + 1 : end + 1] = True
    return active


def stream(spoken: list[Floats], seed: int, passes: int) -> tuple[Floats, Bools]:
    """Utterances in any order with pauses between them, and which 10 ms are speech."""
    rng = np.random.default_rng(seed)
    parts: list[Floats] = []
    labels: list[Bools] = []
    for _ in range(passes):
        for index in rng.permutation(len(spoken)):
            pause = int(rng.integers(60, 250))
            parts += [np.zeros(pause * GRID), spoken[index]]
            labels += [np.zeros(pause, np.bool_), speech_grid(spoken[index])]
    return np.concatenate(parts), np.concatenate(labels)


def white(_: list[Floats], size: int, rng: np.random.Generator) -> Floats:
    """Equal power at every frequency."""
    return rng.normal(size=size)


def babble(spoken: list[Floats], size: int, rng: np.random.Generator) -> Floats:
    """Eight voices at once, none with a pause: the utterances, faster or slower, so that nobody answers himself."""
    mixed = np.zeros(size)
    for speed in np.linspace(0.85, 1.18, 8):
        resampler = Resampler(round(RATE * speed), RATE)
        order = rng.permutation(len(spoken))
        voice = np.concatenate([spoken[i][np.repeat(speech_grid(spoken[i]), GRID)] for i in order])
        out = np.concatenate([resampler.push(voice.astype(np.float32)), resampler.flush()])
        mixed += np.resize(np.roll(out, int(rng.integers(len(out)))), size)
    return mixed


def hum(_: list[Floats], size: int, rng: np.random.Generator) -> Floats:
    """50 Hz with its harmonics to 1 kHz, falling by 6 dB an octave, swaying a little, over noise 20 dB down."""
    times = np.arange(size) / RATE
    tones = sum(
        np.sin(2 * np.pi * 50 * n * times + rng.uniform(0, 2 * np.pi)) / n * (1 + 0.1 * np.sin(0.3 * n * times))
        for n in range(1, 21)
    )
    return np.asarray(tones) + rng.normal(size=size) * 0.09


NOISE: dict[str, Callable[[list[Floats], int, np.random.Generator], Floats]] = {
    "white": white,
    "babble": babble,
    "hum": hum,
}


def noisy(clean: Floats, spoken: list[Floats], noise: str, snr: int, seed: int) -> npt.NDArray[np.int16]:
    """The stream with noise so many dB under its speech."""
    rng = np.random.default_rng(seed)
    mixed = clean + rng.normal(size=clean.size) * 10 ** (FLOOR_DBFS / 20)
    if noise in NOISE:
        added = NOISE[noise](spoken, clean.size, rng)
        mixed = mixed + added * 10 ** ((SPEECH_DBFS - snr) / 20) / np.sqrt(np.mean(added**2))
    return np.clip(np.rint(mixed * 32_768), -32_768, 32_767).astype(np.int16)


# Detectors: each gives a score and a flag for every 10 ms.


def antiphon(rate: int) -> Callable[[npt.NDArray[np.int16]], tuple[Floats, Bools]]:
    """Ours, hearing the stream at a rate."""

    def detect(pcm: npt.NDArray[np.int16]) -> tuple[Floats, Bools]:
        resampler = Resampler(RATE, rate)
        heard = np.concatenate([resampler.push(pcm), resampler.flush_int16()])
        detector = VoiceActivityDetector(rate, onset=ONSET, hangover=HANGOVER)
        probability, flag = detector.frames(heard)
        return on_grid(probability.astype(float), len(pcm), 0.016), on_grid(flag, len(pcm), 0.016)

    return detect


def webrtc(pcm: npt.NDArray[np.int16]) -> tuple[Floats, Bools]:
    """WebRTC's, on 10 ms; the flag is mode 2 with our onset and hangover."""
    modes = []
    for mode in range(4):
        detector = Vad(mode, RATE, 0.01)
        frames = pcm.reshape(-1, GRID)
        modes.append([detector.is_speech(frame.tobytes()) for frame in frames])
    flag, against, flags = False, 0, []
    for speech in modes[2]:
        against = 0 if speech == flag else against + 1
        if against >= round((HANGOVER if flag else ONSET) * 100):
            flag, against = not flag, 0
        flags.append(flag)
    return np.sum(modes, axis=0).astype(float), np.array(flags)


def loudness(pcm: npt.NDArray[np.int16]) -> tuple[Floats, Bools]:
    """The level alone; the flag asks for -40 dBFS."""
    power = np.mean((pcm.reshape(-1, GRID) / 32_768.0) ** 2, axis=1)
    return power, power > 1e-4


def on_grid(values: npt.NDArray[Any], samples: int, seconds: float) -> npt.NDArray[Any]:
    """Values for frames of so many seconds, each as the one that its 10 ms begin in."""
    index = (np.arange(samples // GRID) * 0.01 / seconds + 1e-9).astype(int)
    return values[np.minimum(index, len(values) - 1)]


# Figures


def area(score: Floats, speech: Bools) -> float:
    """Area under the ROC curve: how often speech scores above a pause, ties counting half (Mann and Whitney)."""
    _, ranks, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = (np.cumsum(counts) - (counts - 1) / 2)[ranks]
    yes, no = int(speech.sum()), int((~speech).sum())
    return float((mean_rank[speech].sum() - yes * (yes + 1) / 2) / (yes * no))


def smooth(score: Floats) -> Floats:
    """The mean over 110 ms."""
    return np.convolve(score, np.ones(11) / 11, "same")


def judged(speech: Bools) -> Bools:
    """All but 30 ms about the edges of speech."""
    near = np.zeros(len(speech), np.bool_)
    for edge in np.flatnonzero(np.diff(speech.astype(int))):
        near[max(edge - 2, 0) : edge + 4] = True
    return ~near


def evaluate(score: Floats, flag: Bools, speech: Bools) -> dict[str, float]:
    """Areas of the score as it is and smoothed, and what the flag misses and claims."""
    keep = judged(speech)
    return {
        "auc": area(score[keep], speech[keep]),
        "auc_smoothed": area(smooth(score)[keep], speech[keep]),
        "missed": float(np.mean(~flag[keep & speech])),
        "false_alarms": float(np.mean(flag[keep & ~speech])),
    }


def microseconds(call: Callable[[], object], rounds: int = 9, calls: int = 400) -> float:
    """The fastest round's mean."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def costs() -> dict[str, float]:
    """Microseconds for 20 ms of audio, from Python."""
    rng = np.random.default_rng(0)
    found = {}
    for rate in (8_000, 16_000, 48_000):
        pcm = (rng.normal(size=rate // 50) * 3000).astype(np.int16)
        data, ours, theirs = pcm.tobytes(), VoiceActivityDetector(rate), Vad(2, rate, 0.02)
        found[f"antiphon {rate}"] = microseconds(lambda: ours.push(pcm))  # noqa: B023 - called before the next turn
        found[f"webrtc {rate}"] = microseconds(lambda: theirs.is_speech(data))  # noqa: B023
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="+", default=[DEFAULT_SPEECH], help="folders of WAV files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--passes", type=int, default=3, help="how often each utterance is heard")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    console = Console()
    spoken = utterances(options.speech)
    clean, speech = stream(spoken, options.seed, options.passes)
    console.print(
        f"{len(spoken)} utterances, {options.passes} times: {clean.size / RATE:.0f} s, {np.mean(speech):.0%} speech"
    )
    detectors = {
        "Antiphon 16 kHz": antiphon(16_000),
        "Antiphon 8 kHz": antiphon(8_000),
        "Antiphon 48 kHz": antiphon(48_000),
        "WebRTC": webrtc,
        "level": loudness,
    }
    conditions = [("none", 0), *((noise, snr) for noise in NOISES for snr in SNRS)]
    table = Table(title="AUC, in brackets smoothed over 110 ms; then speech missed / pauses claimed by the flag")
    for column in ("noise", "SNR", *detectors):
        table.add_column(column, justify="right" if column != "noise" else "left")
    figures: dict[str, Any] = {"seed": options.seed, "seconds": clean.size / RATE, "conditions": []}
    for noise, snr in conditions:
        pcm = noisy(clean, spoken, noise, snr, options.seed + 1)
        row = {name: evaluate(*detect(pcm), speech) for name, detect in detectors.items()}
        figures["conditions"].append({"noise": noise, "snr": snr if noise != "none" else None, "detectors": row})
        cells = [
            f"{r['auc']:.3f} ({r['auc_smoothed']:.3f}) {100 * r['missed']:.0f}/{100 * r['false_alarms']:.0f} %"
            for r in row.values()
        ]
        table.add_row(noise, f"{snr} dB" if noise != "none" else "", *cells)
    console.print(table)
    figures["microseconds"] = costs()
    cost = Table(title="Cost of 20 ms, from Python")
    for column in ("rate", "Antiphon", "WebRTC mode 2"):
        cost.add_column(column, justify="right")
    for rate in (8_000, 16_000, 48_000):
        ours, theirs = (figures["microseconds"][f"{name} {rate}"] for name in ("antiphon", "webrtc"))
        cost.add_row(f"{rate} Hz", f"{ours:.1f} µs", f"{theirs:.1f} µs")
    console.print(cost)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
