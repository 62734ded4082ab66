"""Simulated rooms and the speech that is heard in them: what the echo benchmark feeds to every canceller."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float64]

SPEED_OF_SOUND = 343.0
SPEECH = Path(__file__).resolve().parent.parent / "tests" / "data" / "speech"
FAR_VOICES, NEAR_VOICES = ("rms", "awb"), ("slt", "kal16")
SENTENCES = """\
please open the window and close the door before it starts to rain
i would like to order a cup of coffee and a piece of cake
can you tell me the time of the next train to the north
we will meet again tomorrow morning at nine in the large room
she read the letter twice and then put it back on the table
turn left at the corner and go straight ahead until you see the bridge
he walked slowly along the river until it was completely dark
they went to the market to buy some bread and cheese for dinner
""".splitlines()


@dataclass(frozen=True, slots=True)
class Room:
    """How the loudspeaker is heard by the microphone.

    Attributes:
        delay_ms: From handing a sample to the loudspeaker until its direct sound is in the microphone signal.
        rt60: Seconds in which the reverberation falls by 60 dB.
        echo_db: Level of the echo against the loudspeaker signal, for speech.
        seed: Of the room's size, of where things stand in it, and of the diffuse tail.
    """

    delay_ms: float
    rt60: float
    echo_db: float
    seed: int = 0

    def response(self, rate: int) -> Samples:
        """Impulse response at ``rate``, of unit energy, without ``delay_ms``.

        Early reflections are those of a shoebox room (Allen and Berkley's images, 1979) up to 60 ms; from there on
        the response is Gaussian noise under the exponential decay that ``rt60`` asks for.
        """
        rng = np.random.default_rng(self.seed)
        size = rng.uniform((3.0, 3.0, 2.4), (6.0, 5.0, 3.0))
        microphone = rng.uniform(0.3, 0.7, 3) * size
        direction = rng.normal(size=3)
        speaker = np.clip(microphone + rng.uniform(0.3, 0.8) * direction / np.linalg.norm(direction), 0.1, size - 0.1)
        times, gains = _images(size, speaker, microphone, self._reflection(size), 0.06)
        times -= times.min()
        length = int((0.05 + 1.1 * self.rt60) * rate)
        early = np.zeros(length + 64)
        for time, gain in zip(times, gains, strict=True):
            # A windowed sinc places an arrival between two samples.
            at = int(time * rate)
            span = np.arange(max(at - 16, 0), at + 16)
            offset = span - time * rate
            early[span] += gain * np.sinc(offset) * (0.5 + 0.5 * np.cos(np.pi * offset / 17))
        time = np.arange(length) / rate
        decay = 10 ** (-3 * time / self.rt60)
        tail = rng.normal(size=length) * decay
        joint = int(0.05 * rate)
        level = np.sqrt(np.mean(early[joint // 2 : joint] ** 2) / np.mean(tail[joint // 2 : joint] ** 2))
        rise = np.clip((time - 0.03) / 0.02, 0.0, 1.0)
        response = early[:length] * np.sqrt(1.0 - rise**2) + level * rise * tail
        return response / np.sqrt(np.sum(response**2))

    def _reflection(self, size: Samples) -> float:
        """Eyring: the reflection coefficient that gives ``rt60`` in a room of this size."""
        volume = float(np.prod(size))
        surface = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
        absorption = 1.0 - np.exp(-0.161 * volume / (surface * self.rt60))
        return float(np.sqrt(1.0 - absorption))

    def echo(self, far: Samples, rate: int) -> Samples:
        """What the microphone hears of ``far``; as long as ``far``, ``echo_db`` quieter."""
        response = self.response(rate)
        length = 1 << (len(far) + len(response)).bit_length()
        heard = np.fft.irfft(np.fft.rfft(far, length) * np.fft.rfft(response, length), length)
        heard *= 10 ** (self.echo_db / 20) * np.sqrt(np.mean(far**2) / np.mean(heard[: len(far)] ** 2))
        delay = round(self.delay_ms * rate / 1000)
        return np.concatenate([np.zeros(delay), heard])[: len(far)]


def _images(
    size: Samples, source: Samples, receiver: Samples, reflection: float, seconds: float
) -> tuple[Samples, Samples]:
    """Arrival times and gains of all image sources within ``seconds``."""
    reach = np.ceil((SPEED_OF_SOUND * seconds / size + 1) / 2).astype(int)
    axes = []
    for axis in range(3):
        order = np.arange(-reach[axis], reach[axis] + 1)
        place = np.concatenate([2 * order * size[axis] + source[axis], 2 * order * size[axis] - source[axis]])
        bounces = np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)])
        axes.append((place - receiver[axis], bounces))
    x, y, z = np.meshgrid(*(place for place, _ in axes), indexing="ij")
    bounces = sum(np.meshgrid(*(count for _, count in axes), indexing="ij"))
    distance = np.sqrt(x**2 + y**2 + z**2).ravel()
    gain = reflection ** np.ravel(bounces) / np.maximum(distance, 0.1)
    heard = distance < SPEED_OF_SOUND * seconds
    return distance[heard] / SPEED_OF_SOUND, gain[heard]


def speech(seconds: float, rate: int, side: str, seed: int, folder: Path | None = None) -> Samples:
    """Someone talking without long pauses, at -26 dBFS.

    Args:
        seconds: How long.
        rate: Samples a second.
        side: ``far`` or ``near``: who talks.
        seed: Of the order of what is said.
        folder: WAV files to take instead; files are dealt out to the two sides in turn.
    """
    pieces = list(_utterances(side, folder))
    rng = np.random.default_rng((seed, 0 if side == "far" else 1))
    parts: list[Samples] = []
    wanted, have = round(seconds * rate), 0
    while have < wanted:
        for index in rng.permutation(len(pieces)):
            part = soxr.resample(pieces[index], 16_000, rate) if rate != 16_000 else pieces[index]
            parts += [part, np.zeros(round(rng.uniform(0.05, 0.35) * rate))]
            have += sum(map(len, parts[-2:]))
    said = np.concatenate(parts)[:wanted]
    return said * (10 ** (-26 / 20) / np.sqrt(np.mean(said**2)))


@cache
def _utterances(side: str, folder: Path | None) -> tuple[Samples, ...]:
    if folder is None and shutil.which("flite"):
        voices = FAR_VOICES if side == "far" else NEAR_VOICES
        with tempfile.TemporaryDirectory() as scratch:
            return tuple(
                _say(voices[number % 2], sentence, Path(scratch) / f"{number}.wav")
                for number, sentence in enumerate(SENTENCES)
            )
    files = sorted((folder or SPEECH).glob("*.wav"))
    return tuple(_trimmed(_read(path)) for path in files[0 if side == "far" else 1 :: 2])


def _say(voice: str, sentence: str, path: Path) -> Samples:
    subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", str(path)], check=True, timeout=60)
    return _trimmed(_read(path))


def _read(path: Path) -> Samples:
    """A mono 16-bit WAV file at 16 kHz."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32768
        return samples if file.getframerate() == 16_000 else soxr.resample(samples, file.getframerate(), 16_000)


def _trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends, and all at one level."""
    loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
    kept = samples[max(loud[0] - 800, 0) : loud[-1] + 800]
    return kept * (0.05 / np.sqrt(np.mean(kept**2)))
