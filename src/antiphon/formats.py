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


OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Clock rates that an Opus stream may have; RFC 7587 knows 48 000 alone."""
MAX_OPUS_CHANNELS = 2
OPUS_ENCODINGS = frozenset({Encoding.OPUS, Encoding.WEBM, Encoding.OGG})
"""Opus by the packet, and containers of it."""
CONTAINERS = frozenset({Encoding.WEBM, Encoding.OGG})
"""Byte streams, whose messages may begin and end anywhere; their own headers say what is in them."""
DEFAULT_RATES = {
    Encoding.PCM_S16LE: 16_000,
    Encoding.MULAW: 8_000,
    Encoding.ALAW: 8_000,
    Encoding.OPUS: 48_000,
    Encoding.WEBM: 48_000,
    Encoding.OGG: 48_000,
}
"""Hertz of a stream whose client does not say."""


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
        """Bytes of one sample of every channel; 0 for Opus, where there is no such number."""
        if self.encoding is Encoding.PCM_S16LE:
            return 2 * self.channels
        return 0 if self.encoding in OPUS_ENCODINGS else self.channels

    def seconds(self, size: int) -> float:
        """How long ``size`` bytes of PCM or G.711 last."""
        return size / (self.frame_bytes * self.sample_rate)

    def __str__(self) -> str:
        return f"{self.encoding.value}, {self.sample_rate} Hz, {self.channels} channel{'s' * (self.channels > 1)}"


def live_format(
    encoding: object = "pcm_s16le",
    sample_rate: object = None,
    channels: object = 1,
    *,
    names: tuple[str, str, str] = ("encoding", "sample_rate", "channels"),
) -> AudioFormat:
    """Check what a client says of its live stream.

    Args:
        encoding: One of :class:`Encoding`, as text.
        sample_rate: Hertz, 8000 to 192000; of Opus one of :data:`OPUS_RATES`, and the clock of its timestamps. None
            stands for that of :data:`DEFAULT_RATES`.
        channels: 1 to 8; of Opus 1 or 2.
        names: What the three fields are called at the door that asks, for the error.

    Raises:
        BadMessage: A value has the wrong type.
        UnsupportedFormat: A value this server cannot take; the message lists what it takes.
    """
    encoding_name, rate_name, channels_name = names
    known = _encoding(encoding, encoding_name)
    if sample_rate is None:
        sample_rate = DEFAULT_RATES[known]
    opus = known in OPUS_ENCODINGS
    most = MAX_OPUS_CHANNELS if opus else MAX_CHANNELS
    rate = _within(sample_rate, rate_name, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE, " Hz")
    if opus and rate not in OPUS_RATES:
        can = ", ".join(map(str, OPUS_RATES))
        raise UnsupportedFormat(f"{rate_name} {rate} is not a rate of Opus; send one of {can}", field=rate_name)
    return AudioFormat(known, rate, _within(channels, channels_name, 1, most, ""))


def _encoding(value: object, name: str) -> Encoding:
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be text, such as 'pcm_s16le'", field=name)
    try:
        return Encoding(value)
    except ValueError:
        can = ", ".join(sorted(encoding.value for encoding in Encoding))
        raise UnsupportedFormat(
            f"{name} {value[:40]!r} is not an encoding of this server; send {can}, or post the whole file to "
            "/v1/transcribe",
            field=name,
        ) from None


def _within(value: object, name: str, low: int, high: int, unit: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadMessage(f"{name} must be a whole number from {low} to {high}{unit}", field=name)
    if not low <= value <= high:
        raise UnsupportedFormat(f"{name} {value} is out of range; send {low} to {high}{unit}", field=name)
    return value
