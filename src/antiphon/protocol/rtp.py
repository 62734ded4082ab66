"""RTP framing and the intake of live streams (RFC 3550 sections 5.1, 6.4.1 and A.8).

Sequence numbers are unwrapped: `next_seq` grows without end, and its low 16 bits are what the wire carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from antiphon._native import AudioIntake, Ready, RtpPacket, parse_rtp

__all__ = [
    "HEADER",
    "HEADER_SIZE",
    "PLAIN",
    "REORDER_PACKETS",
    "REORDER_SECONDS",
    "AudioIntake",
    "Ready",
    "RtpPacket",
    "SequenceStats",
    "parse_rtp",
    "stats_of",
]

HEADER = Struct("!BBHII")
HEADER_SIZE = 12
PLAIN = 0x80
"""First byte of a header with version 2 and neither padding, extension nor contributing sources."""

REORDER_PACKETS = 32
"""Packets that wait for a missing one, at most."""
REORDER_SECONDS = 0.2
"""How long they wait, at most."""


@dataclass(slots=True)
class SequenceStats:
    """Counters of one stream.

    Attributes:
        received: Packets taken, duplicates not among them.
        lost: Packets that never came, or came after they were given up.
        duplicates: Packets that came again, or too late.
        reordered: Packets that came out of order and in time.
        jitter: Interarrival jitter in samples (RFC 3550 section 6.4.1).
    """

    received: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    jitter: float = 0.0

    def add(self, other: SequenceStats) -> None:
        """Count another stream's packets too; its jitter is its own."""
        self.received += other.received
        self.lost += other.lost
        self.duplicates += other.duplicates
        self.reordered += other.reordered


def stats_of(intake: AudioIntake) -> SequenceStats:
    """The counters of a stream so far."""
    return SequenceStats(*intake.counters())
