"""Smooth playing of packets that the network brings early, late, twice, in another order or not at all.

The times given to :meth:`JitterBuffer.push` and :meth:`JitterBuffer.pull` are seconds of one clock that only goes
forward, such as :func:`time.monotonic`; the buffer reads none itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from antiphon import _native
from antiphon._native import JitterStats

__all__ = ["JitterBuffer", "JitterConfig", "JitterStats", "JitterTag"]

JitterTag = Literal["played", "concealed", "recovered", "stretched", "compressed", "silence"]
"""What a frame is, by the most of its samples.

``played``: decoded. ``concealed``: extrapolated, because the audio was lost or had not come. ``recovered``: decoded
from the error correction of the packet behind the lost one. ``stretched``, ``compressed``: decoded, and made longer or
shorter by pitch periods. ``silence``: before the stream, while the sender pauses, and where audio has been missing
for long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JitterConfig:
    """What a jitter buffer takes and gives, and how it behaves.

    Delays are counted behind the fastest packet of the last two seconds. A value out of range raises
    :class:`ValueError`, which says what is in it, once the buffer is made.
    """

    codec: Literal["opus", "pcmu", "pcma", "s16le", "s16be", "f32le"] = "opus"
    """What packets hold: Opus, G.711 by the μ-law or A-law, or bare samples (``s16be`` is RTP's L16)."""
    sample_rate: int = 48_000
    """Hertz of what comes out: 8000, 12000, 16000, 24000 or 48000, for bare samples also 32000 and 44100."""
    channels: int = 1
    """Of what comes out: 1 or 2."""
    dtype: Literal["float32", "int16"] = "float32"
    """Of what :meth:`JitterBuffer.pull` gives; float32 lies in -1 to 1."""
    clock_rate: int | None = None
    """Ticks of the timestamp in a second; None for 48000 with Opus, 8000 with G.711, else the sample rate."""
    frame_ms: int = 20
    """Length of a tick, and of the frame it gives: 10 or 20."""
    min_delay_ms: int = 50
    """Least delay aimed at; 20 or more."""
    max_delay_ms: int = 500
    """What comes later than this is given up if newer audio is at hand; 2000 or less."""
    min_delay_packets: int = 2
    """Least delay aimed at, in packets. The greater of this and ``min_delay_ms`` holds."""
    max_delay_packets: int = 10
    """Greatest delay aimed at, in packets. The lesser of this and ``max_delay_ms`` holds; after a single spike the
    delay may lie above it until it has been taken back."""
    quantile: float = 0.97
    """Share of packets that the delay shall let come in time, 0.5 to 0.999."""
    memory_ms: int = 10_000
    """Time in which delays are forgotten (after it they count 1/e)."""
    decay_ms: int = 1_000
    """Time in which a packet that came too late loses its effect (after it, it counts 1/e)."""
    max_conceal_ms: int = 200
    """Missing audio is extrapolated for so long at a time; then there is silence."""
    idle_ms: int = 1_000
    """With nothing to play for so long the stream stands, and begins again with a full delay."""
    max_packets: int = 256
    """Packets held at most; beyond it the oldest are dropped."""
    max_bytes: int = 1 << 20
    """Bytes of payload held at most; beyond it the oldest packets are dropped."""
    dred: bool = False
    """Use the deep redundancy of Opus packets, where they carry it, for runs of lost packets. In-band error
    correction is used for the last of them in any case."""


class JitterBuffer(_native.JitterBuffer):
    """One stream's jitter buffer, decoder included: packets in, one frame a tick out.

    Methods (on :class:`antiphon._native.JitterBuffer`): ``push``, ``push_many``, ``pull``, ``pull_into``, ``stats`` and
    ``reset``.

    Args:
        config: What to make.

    Raises:
        ValueError: A value of the configuration isn't offered; the message lists what is.
    """

    def __new__(cls, config: JitterConfig | None = None) -> Self:
        config = config or JitterConfig()
        return super().__new__(cls, **{field.name: getattr(config, field.name) for field in fields(config)})
