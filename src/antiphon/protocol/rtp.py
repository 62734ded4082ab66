"""RTP framing and sequence accounting (RFC 3550 sections 5.1, 6.4.1 and A.8).

Sequence numbers are unwrapped: `next_seq` grows without end, and its low 16 bits are what the wire carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from antiphon.errors import BadMessage

HEADER = Struct("!BBHII")
HEADER_SIZE = 12
PLAIN = 0x80
"""First byte of a header with version 2 and neither padding, extension nor contributing sources."""

REORDER_PACKETS = 32
"""Packets that wait for a missing one, at most."""
REORDER_SECONDS = 0.2
"""How long they wait, at most."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """A parsed packet.

    Attributes:
        sequence_number: 16 bits, as sent.
        timestamp: 32 bits, in samples of the stream's clock.
        ssrc: The sender's synchronisation source.
        marker: The marker bit.
        payload_type: 7 bits.
        payload: What comes after the header, its extensions and before the padding.
    """

    sequence_number: int
    timestamp: int
    ssrc: int
    marker: bool
    payload_type: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse one packet.

    Raises:
        BadMessage: It is not RTP version 2, or shorter than its own fields say; the message names the byte.
    """
    if len(data) < HEADER_SIZE:
        raise BadMessage(f"an RTP packet has at least {HEADER_SIZE} bytes, this one {len(data)}")
    first, second, sequence_number, timestamp, ssrc = HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise BadMessage(f"byte 0 says RTP version {first >> 6}; this server speaks version 2")
    begin = HEADER_SIZE + 4 * (first & 0x0F)
    end = len(data)
    if first & 0x10:
        if begin + 4 > end:
            raise BadMessage(f"the RTP header extension at byte {begin} is cut off")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    if begin > end:
        raise BadMessage(f"the RTP header says it is {begin} bytes long, the packet has {end}")
    if first & 0x20:
        padding = data[-1] if end > begin else 0
        if not 1 <= padding <= end - begin:
            raise BadMessage(f"the last byte says {padding} bytes of RTP padding, there are {end - begin}")
        end -= padding
    return RtpPacket(sequence_number, timestamp, ssrc, bool(second & 0x80), second & 0x7F, data[begin:end])


@dataclass(frozen=True, slots=True)
class Ready:
    """The next payload in order, after `gap` samples that nobody sent (or that were lost)."""

    payload: bytes
    gap: int


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


class SequenceReceiver:
    """Puts a stream's packets in order and tells what is missing.

    Args:
        clock_rate: Timestamp units a second.
        max_gap: Jumps of the timestamp beyond this many seconds are a restart of the sender's clock, not a gap.
    """

    def __init__(self, clock_rate: int, max_gap: float = 60.0) -> None:
        self.stats = SequenceStats()
        self._rate = clock_rate
        self._max_gap = int(max_gap * clock_rate)
        self._next: int | None = None
        self._timestamp = 0
        self._transit: float | None = None
        self._held: dict[int, tuple[int, bytes, int, float]] = {}

    @property
    def next_seq(self) -> int:
        """The unwrapped sequence number wanted next; everything before it is taken or given up."""
        return self._next or 0

    @property
    def begun(self) -> bool:
        """True once a packet was taken; the first one says where the numbers begin."""
        return self._next is not None

    def expects(self, sequence_number: int, timestamp: int) -> bool:
        """True where a packet is just the next one: then :meth:`advance` does for :meth:`push`."""
        following = self._next
        return (
            following is not None
            and sequence_number == following & 0xFFFF
            and timestamp == self._timestamp
            and not self._held
        )

    def knows(self, sequence_number: int) -> bool:
        """True where a packet came before, or was given up: :meth:`push` will count it and give nothing."""
        if self._next is None:
            return False
        ahead = (sequence_number - self._next) & 0xFFFF
        return ahead >= 0x8000 or self._next + ahead in self._held

    def advance(self, samples: int, now: float) -> None:
        """Account for the packet that :meth:`expects` approved of, `samples` long, arrived at `now` seconds."""
        self._jitter(self._timestamp, now)
        assert self._next is not None  # noqa: S101
        self._next += 1
        self._timestamp = (self._timestamp + samples) & 0xFFFFFFFF
        self.stats.received += 1

    def push(self, sequence_number: int, timestamp: int, payload: bytes, samples: int, now: float) -> list[Ready]:
        """Take a packet; returns the payloads that are now in order.

        Args:
            sequence_number: 16 bits, as sent.
            timestamp: 32 bits, as sent.
            payload: The audio.
            samples: How long the payload is, in timestamp units.
            now: Arrival time in seconds, on a monotonic clock.
        """
        self._jitter(timestamp, now)
        if self._next is None:
            self._next = sequence_number
            self._timestamp = timestamp
        if self.knows(sequence_number):
            self.stats.duplicates += 1
            return []
        seq = self._next + ((sequence_number - self._next) & 0xFFFF)
        if self._held and seq < max(self._held):
            self.stats.reordered += 1
        self._held[seq] = (timestamp, payload, samples, now)
        ready = self._release()
        while self._held and (
            len(self._held) >= REORDER_PACKETS
            or now - min(arrived for *_, arrived in self._held.values()) >= REORDER_SECONDS
        ):
            ready += self._give_up()
        return ready

    def flush(self) -> list[Ready]:
        """Give up what is missing and release what waits for it."""
        ready: list[Ready] = []
        while self._held:
            ready += self._give_up()
        return ready

    def _give_up(self) -> list[Ready]:
        """Wait no longer for what is missing before the first packet that waits."""
        first = min(self._held)
        assert self._next is not None  # noqa: S101
        self.stats.lost += first - self._next
        self._next = first
        return self._release()

    def _release(self) -> list[Ready]:
        ready: list[Ready] = []
        assert self._next is not None  # noqa: S101
        while (held := self._held.pop(self._next, None)) is not None:
            timestamp, payload, samples, _ = held
            jump = (timestamp - self._timestamp) & 0xFFFFFFFF
            ready.append(Ready(payload, jump if jump <= self._max_gap else 0))
            self._timestamp = (timestamp + samples) & 0xFFFFFFFF
            self._next += 1
            self.stats.received += 1
        return ready

    def _jitter(self, timestamp: int, now: float) -> None:
        transit = now * self._rate - timestamp
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < self._max_gap:
                self.stats.jitter += (change - self.stats.jitter) / 16
        self._transit = transit
