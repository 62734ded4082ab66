"""Opus (RFC 6716) by libopus, built in with deep loss concealment and deep redundancy (DRED).

>>> from antiphon.media.opus import OpusDecoder, OpusEncoder
>>> encoder, decoder = OpusEncoder(16_000, bitrate=24_000), OpusDecoder(16_000)
>>> packet = encoder.encode(bytes(640))
>>> len(decoder.decode(packet))
320

Samples are int16 or float32 (-1.0 to 1.0), interleaved where there are two channels, in anything that has the buffer
protocol; results are one-dimensional NumPy arrays. Wrong settings and sizes raise ``ValueError`` and name the right
ones; malformed packets raise :class:`~antiphon.errors.BadAudio` and name the byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from antiphon._native import (
    OPUS_VERSION,
    OpusDecoder,
    OpusDred,
    OpusEncoder,
    OpusPacketInfo,
    SoftClip,
    opus_has_fec,
    opus_packet_info,
    opus_packet_samples,
)

__all__ = [
    "OPUS_VERSION",
    "PRESETS",
    "SAMPLE_RATES",
    "VOICE_HIGH_QUALITY",
    "VOICE_LOW_BANDWIDTH",
    "VOICE_LOW_LATENCY",
    "OpusApplication",
    "OpusDecoder",
    "OpusDred",
    "OpusEncoder",
    "OpusEncoderConfig",
    "OpusPacketInfo",
    "SoftClip",
    "opus_has_fec",
    "opus_packet_info",
    "opus_packet_samples",
]

SAMPLE_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Hertz that Opus takes and gives."""

OpusApplication = Literal["voip", "audio", "restricted_lowdelay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpusEncoderConfig:
    """What an :class:`OpusEncoder` is told; the default is high-quality voice.

    ``dataclasses.replace(VOICE_LOW_LATENCY, bitrate=32_000)`` makes one that differs from a preset.

    Raises:
        ValueError: A value is not one of the right ones, which the message lists.
    """

    sample_rate: int = 48_000
    """Hertz of the samples given: 8000, 12000, 16000, 24000 or 48000."""

    channels: int = 1
    """1 or 2."""

    application: OpusApplication = "voip"
    """``voip`` for speech, ``audio`` for anything, ``restricted_lowdelay`` for 4 ms less delay and no FEC."""

    bitrate: int = 128_000
    """Bits a second, 6000 to 510000, of which DRED takes its part."""

    complexity: int = 10
    """0 (fastest) to 10 (best)."""

    dtx: bool = True
    """Send next to nothing while nobody speaks (discontinuous transmission)."""

    fec: bool = True
    """Let each packet carry a coarse copy of the speech of the one before (in-band forward error correction), as long
    as ``expected_loss`` isn't 0.

    Only SILK can. With ``restricted_lowdelay`` and with frames under 10 ms it is accepted but without effect: no packet
    carries it, and :attr:`OpusEncoder.fec` is False. ``dred_ms`` protects there as well.
    """

    expected_loss: int = 5
    """Percent of packets reckoned to be lost, 0 to 100: how much FEC and DRED there is, and how little frames depend
    upon each other."""

    vbr: bool = True
    """Let the size of packets follow the signal; otherwise all are of one size."""

    constrained_vbr: bool = False
    """With ``vbr``: keep within the bitrate over every frame or two."""

    frame_ms: float = 20.0
    """Milliseconds of audio in a packet: 2.5, 5, 10, 20, 40 or 60."""

    dred_ms: int = 0
    """Milliseconds before its own frame that each packet describes once more (deep redundancy, DRED), 0 to 1040 in
    steps of 10, as far as the bitrate has room for it: without ``fec`` from 24000 bit/s on, where an ``expected_loss``
    of 5 or more asks for it; beside ``fec`` only from 40000 and 20 % on."""

    def __post_init__(self) -> None:
        self.encoder()

    @property
    def frame_samples(self) -> int:
        """Samples of one channel in a frame."""
        return round(self.sample_rate * self.frame_ms / 1000)

    def encoder(self) -> OpusEncoder:
        """A new encoder so configured."""
        return OpusEncoder(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


VOICE_HIGH_QUALITY = OpusEncoderConfig()
"""Full band at 128 kbit/s and highest complexity, FEC for 5 % loss, DTX, unconstrained VBR."""

VOICE_LOW_LATENCY = OpusEncoderConfig(
    sample_rate=16_000,
    application="restricted_lowdelay",
    bitrate=64_000,
    complexity=5,
    dtx=False,
    fec=True,
    expected_loss=10,
    vbr=False,
)
"""Wide band at 64 kbit/s with restricted low delay, medium complexity, constant rate, 10 % loss expected. Its FEC is
without effect, see :attr:`OpusEncoderConfig.fec`; the expected loss still makes frames depend less upon each other."""

VOICE_LOW_BANDWIDTH = OpusEncoderConfig(sample_rate=8_000, bitrate=32_000, fec=False, expected_loss=0)
"""Narrow band at 32 kbit/s and highest complexity, DTX, unconstrained VBR, no protection from loss."""

PRESETS: Mapping[str, OpusEncoderConfig] = MappingProxyType(
    {
        "voice_high_quality": VOICE_HIGH_QUALITY,
        "voice_low_latency": VOICE_LOW_LATENCY,
        "voice_low_bandwidth": VOICE_LOW_BANDWIDTH,
    }
)
"""The presets by name, as in settings and queries."""
