"""RTP packets and the receiver that puts them in order (RFC 3550)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import BadMessage
from antiphon.protocol.rtp import HEADER, PLAIN, REORDER_PACKETS, REORDER_SECONDS, AudioIntake, parse_rtp, stats_of

RATE = 16_000
PACKET_SAMPLES = 320
PACKET_SECONDS = PACKET_SAMPLES / RATE

word16 = st.integers(0, 0xFFFF)
word32 = st.integers(0, 0xFFFFFFFF)


@st.composite
def packets(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A good packet with every optional part, its payload, and its sequence number."""
    payload = draw(st.binary(max_size=64))
    sources = draw(st.lists(word32, max_size=15))
    extension = draw(st.none() | st.lists(word32, max_size=5))
    padding = draw(st.integers(0, 255))
    seq = draw(word16)
    first = 0x80 | len(sources) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    packet = HEADER.pack(first, draw(st.integers(0, 255)), seq, draw(word32), draw(word32))
    packet += struct.pack(f"!{len(sources)}I", *sources)
    if extension is not None:
        packet += struct.pack(f"!HH{len(extension)}I", draw(word16), len(extension), *extension)
    packet += payload
    if padding:
        packet += bytes(padding - 1) + bytes([padding])
    return packet, payload, seq


@given(packets())
def test_the_payload_is_what_remains_between_the_header_and_the_padding(made: tuple[bytes, bytes, int]) -> None:
    data, payload, seq = made
    parsed = parse_rtp(data)
    assert parsed.payload == payload
    assert parsed.sequence_number == seq


@given(packets(), st.data())
def test_a_packet_that_is_cut_short_is_refused_or_has_a_shorter_payload(
    made: tuple[bytes, bytes, int], data: st.DataObject
) -> None:
    packet, _, _ = made
    cut = packet[: data.draw(st.integers(0, len(packet) - 1))]
    try:
        parsed = parse_rtp(cut)
    except BadMessage:
        return
    assert parsed.payload in packet[12:]
    assert len(parsed.payload) < len(packet) - 12


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_a_bad_message(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except BadMessage:
        return
    assert data[0] >> 6 == 2
    assert len(packet.payload) <= len(data) - 12
    assert packet.payload in data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "at least 12 bytes, this one 0"),
        (bytes(11), "at least 12 bytes, this one 11"),
        (bytes(12), "byte 0: RTP version 0"),
        (b"\xc0" + bytes(11), "byte 0: RTP version 3"),
        (b"\x8f" + bytes(11), "says it is 72 bytes long, the packet has 12"),
        (b"\x82" + bytes(18), "says it is 20 bytes long, the packet has 19"),
        (b"\x90" + bytes(11), "byte 12: the RTP header extension is cut off"),
        (b"\x91" + bytes(17), "byte 16: the RTP header extension is cut off"),
        (b"\x90" + bytes(11) + b"\0\0\xff\xff", "says it is 262156 bytes long, the packet has 16"),
        (b"\xa0" + bytes(11) + b"\0", "byte 12: 0 bytes of RTP padding, where there are 1"),
        (b"\xa0" + bytes(11) + b"ab\x05", "byte 14: 5 bytes of RTP padding, where there are 3"),
        (b"\xa0" + bytes(11), "padding"),
    ],
)
def test_a_refusal_names_the_byte_at_fault(data: bytes, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        parse_rtp(data)


# The receiver


@dataclass(frozen=True)
class Arrival:
    """Packet `n` of a stream, counted without wrapping, reaches the receiver at `now` seconds."""

    n: int
    now: float


class Oracle:
    """What the receiver should do, told with numbers that never wrap and sets that nobody has to make fast."""

    def __init__(self) -> None:
        self.wanted: int | None = None
        self.waiting: dict[int, float] = {}
        self.taken: list[int] = []
        self.lost: list[int] = []
        self.duplicates = 0

    def arrive(self, arrival: Arrival) -> None:
        if self.wanted is None:
            self.wanted = arrival.n
        if arrival.n < self.wanted or arrival.n in self.waiting:
            self.duplicates += 1
            return
        self.waiting[arrival.n] = arrival.now
        self._take_what_follows()
        while self.waiting and (
            len(self.waiting) >= REORDER_PACKETS or arrival.now - min(self.waiting.values()) >= REORDER_SECONDS
        ):
            self.give_up_one_gap()

    def give_up_one_gap(self) -> None:
        assert self.wanted is not None
        self.lost += range(self.wanted, min(self.waiting))
        self.wanted = min(self.waiting)
        self._take_what_follows()

    def flush(self) -> None:
        while self.waiting:
            self.give_up_one_gap()

    def _take_what_follows(self) -> None:
        assert self.wanted is not None
        while self.waiting.pop(self.wanted, None) is not None:
            self.taken.append(self.wanted)
            self.wanted += 1


@st.composite
def journeys(draw: st.DrawFn) -> list[Arrival]:
    """A stream's packets after a network that loses, delays (and so reorders) and duplicates."""
    count = draw(st.integers(1, 120))
    loss = draw(st.sampled_from([0, 0, 5, 30]))
    delay = draw(st.sampled_from([0.0, 0.03, 0.25, 1.5]))
    times: list[Arrival] = []
    for n in range(count):
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
            if draw(st.integers(1, 100)) > loss:
                late = draw(st.floats(0, delay)) if delay else 0.0
                times.append(Arrival(n, n * PACKET_SECONDS + late))
    return sorted(times, key=lambda arrival: arrival.now)


def payload(n: int) -> bytes:
    return n.to_bytes(4, "big") + bytes(2 * PACKET_SAMPLES - 4)


def number(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")


class Stream:
    """A receiver, fed as the wire would: low 16 bits of the number, low 32 of the timestamp."""

    def __init__(self, first_seq: int, first_timestamp: int) -> None:
        self.receiver = AudioIntake(RATE)
        self.first_seq = first_seq
        self.first_timestamp = first_timestamp
        self.taken: list[int] = []
        self.gap = 0

    def timestamp(self, n: int) -> int:
        return (self.first_timestamp + n * PACKET_SAMPLES) & 0xFFFFFFFF

    def seq(self, n: int) -> int:
        return (self.first_seq + n) & 0xFFFF

    def push(self, arrival: Arrival, *, fast: bool = False) -> None:
        n = arrival.n
        if fast:
            packet = HEADER.pack(PLAIN, 96, self.seq(n), self.timestamp(n), 0) + payload(n)
            block = self.receiver.take_packet(packet, arrival.now)
            if block is not None:
                self.taken.append(number(block))
                return
        for ready in self.receiver.push(self.seq(n), self.timestamp(n), payload(n), PACKET_SAMPLES, arrival.now):
            self.taken.append(number(ready.payload))
            self.gap += ready.gap

    def flush(self) -> None:
        for ready in self.receiver.flush():
            self.taken.append(number(ready.payload))
            self.gap += ready.gap


near_wrap = st.sampled_from([0, 1, 65_400, 65_535]) | word16
near_clock_wrap = st.sampled_from([0, 2**32 - 1, 2**32 - 10_000]) | word32


@given(journeys(), near_wrap, near_clock_wrap, st.booleans())
def test_the_receiver_does_what_a_naive_one_with_endless_numbers_does(
    journey: list[Arrival], first_seq: int, first_timestamp: int, fast: bool
) -> None:
    stream, oracle = Stream(first_seq, first_timestamp), Oracle()
    for arrival in journey:
        stream.push(arrival, fast=fast)
        oracle.arrive(arrival)
        assert stream.taken == oracle.taken
        assert len(oracle.waiting) < REORDER_PACKETS
    stream.flush()
    oracle.flush()
    stats = stats_of(stream.receiver)
    assert stream.taken == oracle.taken
    assert stats.received == len(oracle.taken)
    assert stats.lost == len(oracle.lost)
    assert stats.duplicates == oracle.duplicates
    if journey:
        # the number a client is told has the low bits that it sent
        first = journey[0].n
        assert oracle.wanted is not None
        assert stream.receiver.next_seq == stream.seq(first) + oracle.wanted - first


@given(journeys(), near_wrap, near_clock_wrap)
def test_time_is_neither_lost_nor_made(journey: list[Arrival], first_seq: int, first_timestamp: int) -> None:
    stream = Stream(first_seq, first_timestamp)
    for arrival in journey:
        stream.push(arrival)
    stream.flush()
    if stream.taken:
        assert stream.taken == sorted(set(stream.taken))
        span = (stream.taken[-1] - stream.taken[0] + 1) * PACKET_SAMPLES
        assert len(stream.taken) * PACKET_SAMPLES + stream.gap == span


@given(st.permutations(range(REORDER_PACKETS - 1)), near_wrap)
def test_reordering_within_the_window_loses_nothing(order: list[int], first_seq: int) -> None:
    stream = Stream(first_seq, 0)
    stream.push(Arrival(0, 0.0))
    for n in order:
        stream.push(Arrival(n + 1, 0.001))
    assert stream.taken == list(range(REORDER_PACKETS))
    assert stats_of(stream.receiver).lost == 0
    assert stream.gap == 0


def test_a_jump_of_the_senders_clock_is_no_gap() -> None:
    receiver = AudioIntake(RATE)
    receiver.push(7, 1000, b"a", 10, 0.0)
    (after_a_minute,) = receiver.push(8, 1010 + 60 * RATE, b"b", 10, 0.1)
    assert after_a_minute.gap == 60 * RATE
    (after_a_restart,) = receiver.push(9, 5, b"c", 10, 0.2)
    assert after_a_restart.gap == 0
    assert receiver.take_packet(HEADER.pack(PLAIN, 96, 10, 15, 0) + bytes(20), 0.3) == bytes(20)


def test_the_short_way_gives_whole_blocks_and_leaves_the_unusual_alone() -> None:
    intake = AudioIntake(RATE, 2, block_bytes=1280, max_samples=3 * PACKET_SAMPLES, max_rate=4.0, burst=0.5)

    def packet(n: int, size: int = 2 * PACKET_SAMPLES) -> bytes:
        return HEADER.pack(PLAIN, 96, n, n * PACKET_SAMPLES, 0) + bytes([n]) * size

    assert intake.take_packet(packet(0), 0.0) is None
    intake.push(0, 0, b"", PACKET_SAMPLES, 0.0)
    for unusual in (packet(2), packet(1, 639), packet(1, 0), packet(1)[:11], b"", packet(1, 20_000)):
        assert intake.take_packet(unusual, 0.02) is None
    assert (intake.next_seq, intake.samples) == (1, 0)
    assert intake.take_packet(packet(1), 0.02) == b""
    assert intake.take_packet(packet(2), 0.04) == packet(1)[12:] + packet(2)[12:]
    assert intake.take_packet(bytearray(packet(3)), 0.06) == b""
    assert intake.take_block() == packet(3)[12:]
    assert intake.take_block() == b""
    assert intake.take_packet(packet(4), 0.08) is None
    assert intake.take_chunk(bytes(2), 0.08) is None


def test_what_is_not_bytes_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError):
        AudioIntake(RATE).take_chunk("text", 0.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be 1 at least"):
        AudioIntake(0)


def test_packets_that_only_come_late_count_as_lost_and_as_duplicates() -> None:
    stream = Stream(0, 0)
    stream.push(Arrival(0, 0.0))
    stream.push(Arrival(2, 0.04))
    stream.push(Arrival(3, 0.3))
    assert stream.taken == [0, 2, 3]
    stream.push(Arrival(1, 0.31))
    assert stream.taken == [0, 2, 3]
    assert (stats_of(stream.receiver).lost, stats_of(stream.receiver).duplicates) == (1, 1)


def test_a_second_gap_has_its_own_time_to_be_filled() -> None:
    stream = Stream(0, 0)
    for n, now in ((0, 0.0), (2, 0.01), (4, 0.19), (1, 0.195)):
        stream.push(Arrival(n, now))
    assert stream.taken == [0, 1, 2]
    stream.push(Arrival(5, 0.25))
    stream.push(Arrival(3, 0.26))
    assert stream.taken == [0, 1, 2, 3, 4, 5]
    assert stats_of(stream.receiver).lost == 0


def test_jitter_is_that_of_section_6_4_1() -> None:
    receiver = AudioIntake(8_000)
    expected, transit = 0.0, 0.0
    for n, late in enumerate((0.0, 0.004, 0.001, 0.009, 0.0)):
        now = n * 0.02 + late
        receiver.push(n, n * 160, b"", 160, now)
        previous, transit = transit, now * 8_000 - n * 160
        if n:
            expected += (abs(transit - previous) - expected) / 16
    assert stats_of(receiver).jitter == pytest.approx(expected)
