"""Mixing: everybody hears everybody else, and what many hear alike is made once.

>>> import numpy as np
>>> from antiphon.media.mixer import Mixer
>>> mixer = Mixer(16_000)
>>> for person in (1, 2, 3):
...     mixer.add(person)
>>> heard = mixer.tick({1: np.full(320, 0.1, np.float32)})
>>> heard[2] is heard[3], bool(heard[1].any())
(True, False)

:class:`Mixer` takes and gives samples, :class:`Conference` packets. A tick is one frame of everybody, 10 or 20 ms; no
clock is read here: whoever owns the room calls the tick. In both:

- Only the loudest of those who speak are mixed, three if nothing else is said. Who is heard keeps the place through the
  pauses of speech, and is displaced only by somebody clearly louder, so that speakers do not flap.
- Each of them hears the mix without their own voice (mix-minus), all others one and the same mix.
- Every mix leaves through a look-ahead limiter: what is under its ceiling passes bit by bit, nothing leaves above it.

A conference decodes only those who may be heard, and encodes a shared mix once for all who want it in the same format.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from antiphon._native import Conference, ConferenceCounters, LostPacket, Mixer, OutputFormat
from antiphon.media.opus import OpusEncoderConfig

__all__ = [
    "Conference",
    "ConferenceCounters",
    "InputFormat",
    "LostPacket",
    "Mixer",
    "OutputFormat",
    "RoomConfig",
    "opus_output",
]

InputFormat = Literal["opus", "mulaw", "alaw", "pcm_s16le"]
"""What a participant of a :class:`Conference` can send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig:
    """How a room mixes; the default is 48 kHz, mono, ticks of 20 ms, the loudest three.

    Raises:
        ValueError: A value is not one of the right ones, which the message lists.
    """

    sample_rate: int = 48_000
    """Hertz of the mix: 8000, 12000, 16000, 24000 or 48000."""

    channels: int = 1
    """Channels of the mix: 1 or 2."""

    tick_ms: int = 20
    """Milliseconds mixed at a time: 10 or 20."""

    loudest: int | None = 3
    """Most who are heard at once; None hears everybody who speaks."""

    threshold: float = -50.0
    """Level in dBov (RFC 6464) from which on somebody speaks; -127 makes a speaker of everybody who sends anything."""

    hold_ms: int = 400
    """Milliseconds for which somebody who has become quiet keeps the place: the pauses of speech."""

    margin: float = 6.0
    """Decibels by which a challenger must be louder than the quietest who is heard."""

    tenure_ms: int = 300
    """Milliseconds for which nobody who goes on speaking is displaced."""

    fade_ms: float = 5.0
    """Milliseconds in which a voice comes in, goes out or changes its gain; at most a tick."""

    lookahead_ms: float = 2.5
    """Milliseconds that the limiter looks ahead, by which everything is late; at most a tick."""

    ceiling: float = -1.0
    """The highest amplitude that leaves a mix, in dBFS, -40 to 0."""

    probe_ticks: int = 3
    """Of a quiet participant whose level nobody tells, a :class:`Conference` decodes one packet in so many, 1 to 50."""

    max_participants: int = 1_000
    """Most participants."""

    def __post_init__(self) -> None:
        self.conference()

    def conference(self) -> Conference:
        """A new, empty room for packets."""
        return Conference(**dataclasses.asdict(self))

    def mixer(self) -> Mixer:
        """A new, empty room for samples."""
        values = dataclasses.asdict(self)
        del values["probe_ticks"]
        return Mixer(**values)


def opus_output(config: OpusEncoderConfig) -> OutputFormat:
    """What a listener hears whose encoder is to be configured so.

    DTX and FEC in one listener's format but not in another's give each an encoder of their own.
    """
    return OutputFormat.opus(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config)})
