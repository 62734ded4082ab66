"""Packets that come unevenly, and audio that is played evenly. Sans-IO: who plays asks for each frame when due."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from antiphon.errors import BadAudio
from antiphon.media.opus import OpusDecoder

FrameKind = Literal["played", "concealed", "silence"]
"""``played``: decoded. ``concealed``: extrapolated, because a packet was lost or late. ``silence``: nothing to play."""

CONCEAL_S = 0.1
"""Missing audio is extrapolated for so long at a time; then there is silence."""
CALM_S = 10.0
"""Audio played without an underrun after which playing may begin with a packet less."""
EXCESS_S = 2.0
"""Audio played with more packets than needed all the time, after which one of a live source is left out."""
CLOCK = 48_000
"""Hertz in which a stream counts what a decoder gives before the audio (RFC 7845 section 4.2)."""


@dataclass(frozen=True, slots=True)
class PlayoutOptions:
    """How a buffer behaves, counted in packets.

    Attributes:
        start: Packets held before playing begins, and again after an underrun.
        most_start: What `start` grows to, by one with each underrun.
        limit: Packets held at most; beyond it the oldest are dropped.
    """

    start: int = 5
    most_start: int = 25
    limit: int = 1000


@dataclass(slots=True)
class PlayoutCounters:
    """What has happened so far, in packets but for the underruns.

    Attributes:
        played: Decoded.
        concealed: Extrapolated.
        lost: Left out by the server, or not to be had again.
        dropped: Left out here: too many waited, or a live source ran ahead.
        broken: Could not be decoded.
        underruns: How often there was nothing to play.
    """

    played: int = 0
    concealed: int = 0
    lost: int = 0
    dropped: int = 0
    broken: int = 0
    underruns: int = 0


class Decoding:
    """Opus packets one after another, all of one length, as mono 16-bit PCM.

    Args:
        sample_rate: Hertz of what comes out.
        frame_ms: Milliseconds of a packet.
        skip: Samples at 48 kHz that the decoder gives before the audio, and that nobody wants.
    """

    def __init__(self, sample_rate: int, frame_ms: int, skip: int = 0) -> None:
        self.frame_samples = sample_rate * frame_ms // 1000
        self._decoder = OpusDecoder(sample_rate)
        self._skip = skip * sample_rate // CLOCK

    def decode(self, packet: bytes) -> npt.NDArray[np.int16]:
        """A packet's samples.

        Raises:
            BadAudio: It is none.
        """
        return self._without_skipped(self._decoder.decode(packet))

    def conceal(self) -> npt.NDArray[np.int16]:
        """So many samples as a packet has, such as may have been in one that is missing."""
        return self._without_skipped(self._decoder.conceal(self.frame_samples))

    def _without_skipped(self, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        return samples[skipped:]


class Playout:
    """Holds packets until their frame is due, as few as the connection allows.

    Playing begins once `start` packets are there. Where the buffer runs empty the audio is extrapolated for a moment,
    playing begins anew with one packet more, and after ten calm seconds one is taken back again. A source that is live
    is kept close: packets that come when their time has been filled in are left out, as far as there are more than
    playing begins with; and where there have been more than that for two seconds, one is.

    Args:
        decoding: Of this stream.
        frame_ms: Milliseconds of a packet.
        live: Nothing of a source that is not live is left out.
        options: How to behave.

    Attributes:
        counters: What has happened so far.
        target: Packets that playing begins with now.
    """

    def __init__(
        self, decoding: Decoding, frame_ms: int, *, live: bool = False, options: PlayoutOptions | None = None
    ) -> None:
        self._options = options or PlayoutOptions()
        self._decoding = decoding
        self._frame_ms = frame_ms
        self._live = live
        self._packets: deque[bytes | None] = deque()
        self._filling = True
        self._ended = False
        self._calm = 0
        self._looked = 0
        self._least = self._options.limit
        self._missing = 0
        self._begun = False
        self.target = self._options.start
        self.counters = PlayoutCounters()

    @property
    def frame_seconds(self) -> float:
        """How long a frame lasts."""
        return self._frame_ms / 1000

    @property
    def seconds(self) -> float:
        """Audio held."""
        return len(self._packets) * self._frame_ms / 1000

    @property
    def over(self) -> bool:
        """All has been played, and nothing more comes."""
        return self._ended and not self._packets

    def push(self, packet: bytes) -> None:
        """Take a packet, in order."""
        self._packets.append(packet)
        if len(self._packets) > self._options.limit:
            self._packets.popleft()
            self.counters.dropped += 1

    def lost(self, packets: int) -> None:
        """So many packets are missing before the next one."""
        self.counters.lost += packets
        room = max(0, self._options.limit - len(self._packets))
        self._packets.extend([None] * min(packets, room, self._concealed_frames()))

    def clear(self) -> None:
        """Forget what was not played yet."""
        self._packets.clear()
        self._filling = True

    def end(self) -> None:
        """Nothing more comes: what is there is played to its end."""
        self._ended = True

    def pull(self) -> tuple[npt.NDArray[np.int16], FrameKind]:
        """The frame that is due: a packet's length of samples, but for the first, which may be shorter."""
        if self._filling and (len(self._packets) >= self.target or self._ended):
            self._filling = False
            if self._live:
                self._drop(len(self._packets) - self.target)
        if self._filling or not self._packets:
            return self._without_packets()
        self._begun = True
        self._missing = 0
        packet = self._packets.popleft()
        self._settle()
        if packet is None:
            self.counters.concealed += 1
            return self._decoding.conceal(), "concealed"
        try:
            samples = self._decoding.decode(packet)
        except BadAudio:
            self.counters.broken += 1
            return self._decoding.conceal(), "concealed"
        self.counters.played += 1
        return samples, "played"

    def _without_packets(self) -> tuple[npt.NDArray[np.int16], FrameKind]:
        if not self._filling and not self._ended:
            self._filling = True
            self.counters.underruns += 1
            self._calm = self._looked = 0
            self._least = self._options.limit
            self.target = min(self._options.most_start, self.target + 1)
        self._missing += 1
        if self._begun and not self._ended and self._missing <= self._concealed_frames():
            self.counters.concealed += 1
            return self._decoding.conceal(), "concealed"
        return np.zeros(self._decoding.frame_samples, np.int16), "silence"

    def _settle(self) -> None:
        """Now and then, become smaller: where playing begins, and what a live source has too much."""
        self._calm += 1
        self._looked += 1
        self._least = min(self._least, len(self._packets))
        if self._looked * self._frame_ms >= 1000 * EXCESS_S:
            if self._live and self._least >= self.target:
                self._drop(1)
            self._looked = 0
            self._least = self._options.limit
        if self._calm * self._frame_ms >= 1000 * CALM_S:
            self.target = max(self._options.start, self.target - 1)
            self._calm = 0

    def _drop(self, packets: int) -> None:
        for _ in range(min(packets, len(self._packets))):
            self._packets.popleft()
            self.counters.dropped += 1

    def _concealed_frames(self) -> int:
        return max(1, round(1000 * CONCEAL_S / self._frame_ms))
