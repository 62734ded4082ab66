"""Sound that tells which part of it is heard: beeps, each of a pitch of its own."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 48_000
EVERY = 0.25
"""Seconds from beep to beep."""
LENGTH = 0.03
WHOLE = 0.9 * LENGTH
"""What is shorter is a part of one."""
HELD = 1.5 * LENGTH
"""What is longer is one whose end did not come in time: a player goes on with what it heard last, and fades it out.
Its pitch is then a little off, as a period has a whole number of samples."""
LOWEST = 500.0
STEP = 100.0
"""Hertz by which a beep is higher than the one before."""
MOST = 40
"""Beeps whose pitches an encoder for speech carries."""

Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Beep:
    """One that was heard.

    Attributes:
        number: Which it is.
        at: Seconds into the recording.
        length: Seconds.
    """

    number: int
    at: float
    length: float = LENGTH


def make(count: int) -> Sound:
    """So many beeps, the first a quarter of a second from the start, and as much silence behind the last."""
    if count > MOST:
        raise ValueError(f"{count} beeps are more than can be told apart ({MOST})")
    sound = np.zeros(round((count + 1) * EVERY * RATE), np.float32)
    times = np.arange(round(LENGTH * RATE)) / RATE
    shape = np.sin(np.pi * times / LENGTH) ** 0.5
    for number in range(count):
        start = round((number + 1) * EVERY * RATE)
        burst = 0.5 * shape * np.sin(2 * np.pi * (LOWEST + STEP * number) * times)
        sound[start : start + len(burst)] = burst
    return sound


def write(path: Path, count: int) -> Path:
    """A WAV of :func:`make`."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes((make(count) * 32_767).astype("<i2").tobytes())
    return path


def heard(sound: Sound, rate: int) -> list[Beep]:
    """The beeps of a recording, in the order in which they were heard.

    One that a pause has cut in two counts once; one that is heard twice, counts twice.
    """
    block = rate // 200
    loud = np.sqrt(np.mean(sound[: len(sound) // block * block].reshape(-1, block) ** 2, axis=1)) > 0.05
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
    found = []
    for begin, end in edges.reshape(-1, 2):
        if end - begin < 3:
            continue  # shorter than 15 ms: the rest of something
        part = sound[begin * block : end * block]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 16 * len(part)))
        pitch = float(np.argmax(spectrum)) * rate / (16 * len(part))
        found.append(Beep(round((pitch - LOWEST) / STEP), float(begin * block / rate), len(part) / rate))
    return _joined(found)


def _joined(pieces: list[Beep]) -> list[Beep]:
    beeps: list[Beep] = []
    for piece in pieces:
        if beeps and _is_rest(piece, beeps[-1]):
            before = beeps.pop()
            beeps.append(Beep(piece.number, before.at, before.length + piece.length))
        else:
            beeps.append(piece)
    return beeps


def _is_rest(piece: Beep, before: Beep) -> bool:
    if before.length > HELD:
        # between two beeps there is more silence than that, so that one which is higher may be the rest as well
        soon = piece.at - (before.at + before.length) < EVERY / 3
        return piece.number in (before.number - 1, before.number) or (soon and piece.number == before.number + 1)
    return piece.number == before.number and piece.length < WHOLE
