"""A sound whose moments can be told apart: silence with short bursts, made and found again by the sample."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BURST_S = 0.003
HERTZ = 2000.0
LOUD = 26_000
FOUND = 8_000
"""What is louder than this belongs to a burst, also after an encoder."""
GAPS_S = (0.5, 0.617, 0.553, 0.681)
"""Between bursts, in turn: no multiple of a frame, so that they fall anywhere in one."""


class Clicks:
    """Makes the sound, frame by frame.

    Args:
        sample_rate: Hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._at = 0
        self._next = round(GAPS_S[0] * sample_rate)
        self._count = 0
        self._left = 0
        turns = 2 * math.pi * HERTZ / sample_rate * np.arange(round(BURST_S * sample_rate))
        self._burst = np.rint(LOUD * np.cos(turns)).astype(np.int16)

    def frame(self, samples: int) -> tuple[npt.NDArray[np.int16], int | None]:
        """The next samples, and where among them a burst begins."""
        pcm = np.zeros(samples, np.int16)
        begins: int | None = None
        if self._left:
            size = min(self._left, samples)
            done = len(self._burst) - self._left
            pcm[:size] = self._burst[done : done + size]
            self._left -= size
        if self._next < self._at + samples:
            begins = self._next - self._at
            size = min(len(self._burst), samples - begins)
            pcm[begins : begins + size] = self._burst[:size]
            self._left = len(self._burst) - size
            self._count += 1
            self._next += round(GAPS_S[self._count % len(GAPS_S)] * self._rate)
        self._at += samples
        return pcm, begins


class Finder:
    """Finds the bursts again.

    Args:
        sample_rate: Hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._quiet = round(0.1 * sample_rate)
        self._since = self._quiet

    def find(self, pcm: npt.NDArray[np.int16]) -> int | None:
        """Where among these samples a burst begins."""
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > FOUND)
        begins = int(loud[0]) if len(loud) and self._since + loud[0] >= self._quiet else None
        self._since = len(pcm) - 1 - int(loud[-1]) if len(loud) else self._since + len(pcm)
        return begins
