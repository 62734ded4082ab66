"""What a stream of audio is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from antiphon.errors import BadMessage, UnsupportedFormat

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 192_000
MAX_CHANNELS = 8


class Encoding(StrEnum):
    """The wire names of live encodings."""

    PCM_S16LE = "pcm_s16le"
    OPUS = "opus"
    WEBM = "webm"
    OGG = "ogg"
    MULAW = "mulaw"
    ALAW = "alaw"


LIVE_ENCODINGS = frozenset({Encoding.PCM_S16LE})
"""What a live stream may carry today. The others are named by the contract and refused with a reason."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An encoding with its sample rate and channel count.

    Attributes:
        encoding: How samples are written.
        sample_rate: Samples a second for each channel, in hertz.
        channels: Interleaved channels.
    """

    encoding: Encoding = Encoding.PCM_S16LE
    sample_rate: int = 16_000
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel, for 16-bit PCM."""
        return 2 * self.channels

    def seconds(self, size: int) -> float:
        """How long ``size`` bytes of 16-bit PCM last."""
        return size / (self.frame_bytes * self.sample_rate)

    def __str__(self) -> str:
        return f"{self.encoding.value}, {self.sample_rate} Hz, {self.channels} channel{'s' * (self.channels > 1)}"


def live_format(
    encoding: object = "pcm_s16le",
    sample_rate: object = 16_000,
    channels: object = 1,
    *,
    names: tuple[str, str, str] = ("encoding", "sample_rate", "channels"),
) -> AudioFormat:
    """Check what a client says of its live stream.

    Args:
        encoding: One of :class:`Encoding`, as text.
        sample_rate: Hertz, 8000 to 192000.
        channels: 1 to 8.
        names: What the three fields are called at the door that asks, for the error.

    Raises:
        BadMessage: A value has the wrong type.
        UnsupportedFormat: A value this server cannot take; the message lists what it takes.
    """
    encoding_name, rate_name, channels_name = names
    if not isinstance(encoding, str):
        raise BadMessage(f"{encoding_name} must be text, such as 'pcm_s16le'", field=encoding_name)
    try:
        known = Encoding(encoding)
    except ValueError:
        known = None
    if known not in LIVE_ENCODINGS:
        can = ", ".join(sorted(e.value for e in LIVE_ENCODINGS))
        what = "is not taken live yet" if known else "is not an encoding of this server"
        raise UnsupportedFormat(
            f"{encoding_name} {encoding[:40]!r} {what}; send {can}, or post the whole file to /v1/transcribe",
            field=encoding_name,
        )
    for value, name, low, high, unit in (
        (sample_rate, rate_name, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, " Hz"),
        (channels, channels_name, 1, MAX_CHANNELS, ""),
    ):
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadMessage(f"{name} must be a whole number from {low} to {high}{unit}", field=name)
        if not low <= value <= high:
            raise UnsupportedFormat(f"{name} {value} is out of range; send {low} to {high}{unit}", field=name)
    assert isinstance(sample_rate, int) and isinstance(channels, int) and known is not None  # noqa: S101, PT018
    return AudioFormat(known, sample_rate, channels)
