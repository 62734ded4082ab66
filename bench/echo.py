"""Echo cancellers side by side on simulated rooms, with speech at both ends.

Run as ``python -m bench.echo [--quick] [--rate 16000] [--seed 0]``. Every canceller gets the same
16-bit signals in 10 ms frames and no hint of the delay. A conversation has four parts: only the far end talks, both
talk, only the near end talks, and the far end alone once more. Peers that are not installed are skipped: PyPI
``livekit`` and ``aec-audio-processing`` (WebRTC's AEC3) and the system's speexdsp (Debian ``libspeexdsp1``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.echo_peers import contenders
from bench.report import Report, Table
from bench.rooms import Room, Samples, speech

NOISE_DBFS = -78.0
PROJECTION = 0.032


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation in one room.

    Attributes:
        name: In the table.
        room: How the echo gets into the microphone.
        near_db: Level of the near end's speech; the loudspeaker signal is at -26 dBFS.
        drive: How hard the loudspeaker is driven into saturation; 0 is a linear one.
        moved: A second room response, for the last part: somebody moved the microphone.
        drift_ppm: How much faster the loudspeaker's clock runs than the microphone's.
        noise_db: Level of the noise that the microphone hears.
    """

    name: str
    room: Room
    near_db: float = -26.0
    drive: float = 0.0
    moved: Room | None = None
    drift_ppm: float = 0.0
    noise_db: float = NOISE_DBFS


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a case comes down to: signals of equal length, and where each part begins and ends in samples."""

    far: Samples
    near: Samples
    echo: Samples
    microphone: Samples
    parts: dict[str, slice]


@dataclass(frozen=True, slots=True)
class Score:
    """How one canceller did in one case; decibels.

    Attributes:
        start: Echo return loss enhancement from 1 s to 4 s, while it learns.
        erle: The same from then to the end of the part in which only the far end talks.
        again: The same in the last part, after both have talked.
        sdr: Near-end speech against all that is not near-end speech while both talk, a linear filter of 32 ms allowed
            (as the signal-to-distortion ratio of BSS Eval).
        spectral: Log-spectral distance of the near-end speech while both talk.
        loss: How much of the near end's energy is missing while both talk.
        alone: ``sdr`` where only the near end talks.
        delay: Samples the canceller delays the microphone signal by, in milliseconds.
    """

    start: float
    erle: float
    again: float
    sdr: float
    spectral: float
    loss: float
    alone: float
    delay: float


def cases(quick: bool, seed: int = 0) -> list[Case]:
    """Each of delay, reverberation and level over its range, the others in the middle; then what is hard."""
    middle = Room(delay_ms=100, rt60=0.3, echo_db=-12, seed=1)
    found = [Case("middle: 100 ms, RT60 0.3 s, -12 dB", middle)]
    for number, delay in enumerate((20, 200, 400)):
        found.append(Case(f"delay {delay} ms", replace(middle, delay_ms=delay, seed=10 + number)))
    for number, rt60 in enumerate((0.1, 0.2, 0.45, 0.6)):
        found.append(Case(f"RT60 {rt60} s", replace(middle, rt60=rt60, seed=20 + number)))
    for number, level in enumerate((-6, -20)):
        found.append(Case(f"echo {level} dB", replace(middle, echo_db=level, seed=30 + number)))
    found += [
        Case("400 ms, RT60 0.6 s, -6 dB", Room(400, 0.6, -6, 40)),
        Case("20 ms, RT60 0.1 s, -20 dB", Room(20, 0.1, -20, 41)),
        Case("near end 10 dB quieter", replace(middle, seed=42), near_db=-36.0),
        Case("saturating loudspeaker", replace(middle, seed=43), drive=2.0),
        Case("room changes", replace(middle, seed=44), moved=replace(middle, seed=45)),
        Case("delay grows by 70 ms", replace(middle, seed=46), moved=replace(middle, delay_ms=170, seed=46)),
        Case("clocks drift by 100 ppm", replace(middle, seed=47), drift_ppm=100),
        Case("noise at -55 dBFS", replace(middle, seed=48), noise_db=-55),
    ]
    if seed:
        found = [_reseeded(case, seed) for case in found]
    return found[::3] if quick else found


def _reseeded(case: Case, seed: int) -> Case:
    moved = case.moved and replace(case.moved, seed=case.moved.seed + seed)
    return replace(case, room=replace(case.room, seed=case.room.seed + seed), moved=moved)


def converse(case: Case, rate: int, folder: Path | None, seconds: float = 1.0) -> Conversation:
    """Put a conversation together; ``seconds`` stretches its parts."""
    lengths = {"far": 10.0, "both": 10.0, "near": 5.0, "again": 5.0}
    edges = np.cumsum([0.0, *lengths.values()]) * seconds * rate
    parts = {name: slice(round(edges[i]), round(edges[i + 1])) for i, name in enumerate(lengths)}
    total = parts["again"].stop
    far = speech(total / rate, rate, "far", case.room.seed, folder)
    far[parts["near"]] = 0.0
    near = speech(total / rate, rate, "near", case.room.seed, folder) * 10 ** ((case.near_db + 26) / 20)
    near[parts["far"]] = near[parts["again"]] = 0.0
    played = far
    if case.drive:
        top = np.abs(far).max() / case.drive
        played = top * np.tanh(far / top)
    echo = case.room.echo(played, rate)
    if case.moved:
        later = case.moved.echo(played, rate)
        echo[parts["again"]] = later[parts["again"]]
    if case.drift_ppm:
        # Linear interpolation at eight times the rate is 60 dB good.
        places = np.arange(total) * (1 + case.drift_ppm * 1e-6) * 8
        echo = np.interp(places, np.arange(8 * total), soxr.resample(echo, rate, 8 * rate)[: 8 * total])
    noise = np.random.default_rng(case.room.seed).normal(scale=10 ** (case.noise_db / 20), size=total)
    return Conversation(_as_int16(far), near, echo, _as_int16(near + echo + noise), parts)


def _as_int16(samples: Samples) -> Samples:
    return np.clip(np.round(samples * 32768), -32768, 32767) / 32768


def score(talk: Conversation, out: Samples, rate: int) -> Score:
    """Measure what came out."""
    alone, near = talk.parts["near"], talk.near
    lag = _lag(near[alone], out[alone], rate // 10)
    out = np.concatenate([out[lag:], np.zeros(lag)])
    # The echo outlasts the far end's words, and a canceller needs a moment to see that one part is over.
    settle, tail = round(0.5 * rate), round(0.7 * rate)
    far, again = talk.parts["far"], talk.parts["again"]
    both = slice(talk.parts["both"].start + settle, talk.parts["both"].stop - lag)
    quiet = slice(alone.start + tail, alone.stop - lag)
    learning = slice(far.start + rate, far.start + 4 * rate)
    learnt = slice(learning.stop, far.stop)
    after = slice(again.start + 2 * settle, again.stop - max(lag, 1))
    kept, sdr = _projected(near[both], out[both], rate)
    return Score(
        start=_enhancement(talk, out, learning),
        erle=_enhancement(talk, out, learnt),
        again=_enhancement(talk, out, after),
        sdr=sdr,
        spectral=_spectral_distance(near[both], out[both], rate),
        loss=-kept,
        alone=_projected(near[quiet], out[quiet], rate)[1],
        delay=1000 * lag / rate,
    )


def _enhancement(talk: Conversation, out: Samples, part: slice) -> float:
    return _decibels(np.sum(talk.microphone[part] ** 2), np.sum(out[part] ** 2))


def _decibels(above: float, below: float) -> float:
    return float(10 * np.log10((above + 1e-20) / (below + 1e-20)))


def _lag(reference: Samples, out: Samples, most: int) -> int:
    """By how many samples ``out`` is behind."""
    length = 1 << (2 * len(out)).bit_length()
    product = np.fft.rfft(out, length) * np.conj(np.fft.rfft(reference, length))
    return int(np.argmax(np.fft.irfft(product, length)[:most]))


def _projected(reference: Samples, out: Samples, rate: int) -> tuple[float, float]:
    """The part of ``out`` that is ``reference`` through some filter: its level against it, and against the rest."""
    taps = round(PROJECTION * rate)
    length = 1 << (2 * len(out)).bit_length()
    spectrum = np.fft.rfft(reference, length)
    auto = np.fft.irfft(np.abs(spectrum) ** 2, length)
    cross = np.fft.irfft(np.fft.rfft(out, length) * np.conj(spectrum), length)
    lags = np.arange(taps)
    matrix = auto[np.abs(lags[:, None] - lags[None, :])]
    matrix[np.diag_indices(taps)] *= 1 + 1e-9
    weights = np.linalg.solve(matrix, cross[lags - taps // 2])
    target = np.fft.irfft(np.fft.rfft(weights, length) * spectrum, length)
    target = np.roll(target, -(taps // 2))[: len(out)]
    return _decibels(np.sum(target**2), np.sum(reference**2)), _decibels(np.sum(target**2), np.sum((out - target) ** 2))


def _spectral_distance(reference: Samples, out: Samples, rate: int) -> float:
    """Over the frames and bands in which the near end is heard, within 40 dB of the loudest."""
    first, second = (_spectrogram(signal, rate) for signal in (reference, out))
    floor = first.max() * 1e-4
    heard = first > floor
    difference = 10 * np.log10(np.maximum(second, floor * 1e-2) / np.maximum(first, floor))
    return float(np.sqrt(np.mean(difference[heard] ** 2)))


def _spectrogram(signal: Samples, rate: int) -> Samples:
    """Power in bands of 200 Hz up to 7 kHz, every 10 ms."""
    size, step = round(0.02 * rate), rate // 100
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[::step] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    top = min(7000, rate // 2) // 50
    return power[:, : top - top % 4].reshape(len(power), -1, 4).sum(axis=2)


Canceller = Callable[[NDArray[np.int16], NDArray[np.int16], int], NDArray[np.int16]]


def measure(
    found: list[Case], systems: dict[str, Canceller], rate: int, folder: Path | None
) -> dict[str, dict[str, Score]]:
    """Every canceller in every case."""
    scores: dict[str, dict[str, Score]] = {name: {} for name in systems}
    for case in track(found, "rooms", console=Console(stderr=True), transient=True):
        talk = converse(case, rate, folder)
        far, microphone = ((signal * 32768).astype(np.int16) for signal in (talk.far, talk.microphone))
        for name, system in systems.items():
            out = system(far, microphone, rate).astype(np.float64) / 32768
            scores[name][case.name] = score(talk, out, rate)
    return scores


# Which field of a score, the table's title, and whether more of it is better.
TABLES = (
    ("erle", "Echo return loss enhancement, far end alone (dB, more is better)", True),
    ("start", "The same while it learns, second 1 to 4", True),
    ("again", "The same after both have talked", True),
    ("sdr", "Near-end speech to distortion while both talk (dB, more is better)", True),
    ("spectral", "Log-spectral distance of near-end speech while both talk (dB, less is better)", False),
    ("loss", "Near-end energy lost while both talk (dB, less is better)", False),
    ("alone", "Near-end speech to distortion, near end alone (dB, more is better)", True),
)
OURS, RIVAL = "antiphon", "AEC3"


def report(scores: dict[str, dict[str, Score]], rate: int, notes: list[str]) -> Report:
    """Tables with a line for each room and a column for each canceller."""
    document = Report("Echo cancellation", f"{rate} Hz, noise at {NOISE_DBFS:.0f} dBFS", notes)
    names = list(scores)
    for field, title, more in TABLES:
        table = Table(title, ("room", *names))
        rooms = list(scores[names[0]])
        values = {room: [getattr(scores[name][room], field) for name in names] for room in rooms}
        table.rows = [(room, *(f"{value:.1f}" for value in row)) for room, row in values.items()]
        table.rows.append(("mean", *(f"{mean(column):.1f}" for column in zip(*values.values(), strict=True))))
        table.notes = behind(names, values, more)
        document.tables.append(table)
    document.figures = {name: {room: asdict(one) for room, one in rooms.items()} for name, rooms in scores.items()}
    return document


def behind(names: list[str], values: dict[str, list[float]], more: bool) -> list[str]:
    """In which rooms ours does worse than the better of the AEC3s, by half a decibel at least."""
    rivals = [names.index(name) for name in names if name.startswith(RIVAL)]
    if OURS not in names or not rivals:
        return []
    sign = 1 if more else -1
    lead = {room: sign * row[names.index(OURS)] - max(sign * row[at] for at in rivals) for room, row in values.items()}
    worse = ", ".join(f"{room} ({-by:.1f} dB)" for room, by in lead.items() if by < -0.5)
    return [f"{OURS} behind {RIVAL}: {worse}." if worse else f"{OURS} is behind {RIVAL} in no room."]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=16_000, choices=(8_000, 16_000, 32_000, 48_000))
    parser.add_argument("--quick", action="store_true", help="every third room only")
    parser.add_argument("--seed", type=int, default=0, help="other rooms, other noise, and sentences in another order")
    parser.add_argument("--speech", type=Path, help="a folder of mono 16-bit WAV files to take the speech from")
    parser.add_argument("--only", help="names of cancellers, comma-separated")
    parser.add_argument("--speexdsp", help="path of libspeexdsp.so.1 where the loader does not find it")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    systems, skipped = contenders(options.rate, options.speexdsp)
    if options.only:
        systems = {name: systems[name] for name in options.only.split(",")}
    scores = measure(cases(options.quick, options.seed), systems, options.rate, options.speech)
    latency = ", ".join(f"{name} {mean(one.delay for one in rooms.values()):.1f}" for name, rooms in scores.items())
    document = report(scores, options.rate, [f"Delay of the microphone signal, ms: {latency}.", *skipped])
    document.show(Console())
    if options.markdown:
        options.markdown.write_text(document.markdown())
    if options.json:
        options.json.write_text(json.dumps(document.figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
