"""The send buffer against a server that acknowledges, refuses, forgets and loses connections at random."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.client.buffer import CHUNK_S, MAX_CHUNKS, Pacer, SendBuffer, send_buffer
from antiphon.formats import AudioFormat, Encoding
from antiphon.media import OpusDecoder

MONO = AudioFormat()
STEREO = AudioFormat(channels=2, sample_rate=8_000)


class Listener:
    """A server as the contract has it: takes chunks in order, knows which it wants next."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.wanted = 0

    def receive(self, seq: int, timestamp: int, pcm: bytes, frame: int) -> None:
        if seq < self.wanted:
            return
        assert seq == self.wanted, "a chunk is missing"
        assert timestamp * frame == len(self.heard), "the timestamp is not the place in the audio"
        self.heard += pcm
        self.wanted += 1


def numbered(count: int, frame: int) -> bytes:
    """`count` frames that all differ."""
    return b"".join((at % 2**16).to_bytes(2, "little") * (frame // 2) for at in range(count))


@settings(max_examples=200)
@given(
    audio=st.sampled_from([MONO, STEREO]),
    seed=st.integers(0, 2**32),
    limit=st.floats(0.01, 2),
    steps=st.integers(10, 300),
)
def test_a_server_hears_everything_once_and_in_order(audio: AudioFormat, seed: int, limit: float, steps: int) -> None:
    random = Random(seed)
    buffer = SendBuffer(audio, limit)
    server = Listener()
    given_bytes = bytearray()
    whole = numbered(40_000, audio.frame_bytes)

    def send_some() -> None:
        for _ in range(random.randint(0, 6)):
            if (chunk := buffer.peek()) is None:
                return
            buffer.advance()
            assert 0 < len(chunk.pcm) <= round(CHUNK_S * audio.sample_rate) * audio.frame_bytes
            server.receive(chunk.seq, chunk.timestamp, chunk.pcm, audio.frame_bytes)

    for _ in range(steps):
        action = random.random()
        if action < 0.4:
            size = random.randint(1, 3_000) * audio.frame_bytes
            piece = whole[len(given_bytes) : len(given_bytes) + size]
            given_bytes += piece[: buffer.take(memoryview(piece))]
        elif action < 0.75:
            send_some()
        elif action < 0.9:
            buffer.acknowledge(random.randint(-1, server.wanted - 1))
        elif action < 0.95:
            buffer.rewind()
        else:
            buffer.resume(server.wanted)
        assert buffer.seconds <= limit + 1 / audio.sample_rate
        assert bytes(server.heard) == bytes(given_bytes[: len(server.heard)])

    while not buffer.empty:
        send_some()
        buffer.acknowledge(server.wanted - 1)
    assert bytes(server.heard) == bytes(given_bytes)
    assert buffer.seconds == 0
    assert not buffer.in_flight


@given(sent=st.integers(0, 20), acknowledged=st.integers(0, 20))
def test_a_new_stream_begins_with_what_was_not_acknowledged(sent: int, acknowledged: int) -> None:
    buffer = SendBuffer(MONO, 60)
    audio = numbered(16_000, 2)
    buffer.take(memoryview(audio))
    for _ in range(min(sent, 10)):
        buffer.advance()
    buffer.acknowledge(acknowledged - 1)
    safe = 3_200 * min(sent, acknowledged, 10)
    buffer.restart()
    server = Listener()
    while (chunk := buffer.peek()) is not None:
        buffer.advance()
        server.receive(chunk.seq, chunk.timestamp, chunk.pcm, 2)
    assert bytes(server.heard) == audio[safe:]


def test_an_acknowledgement_of_what_was_never_sent_takes_nothing_away() -> None:
    buffer = SendBuffer(MONO, 60)
    buffer.take(memoryview(bytes(6_400)))
    buffer.advance()
    assert buffer.acknowledge(1_000)
    assert not buffer.acknowledge(1_000)
    assert buffer.seconds == pytest.approx(0.1)
    chunk = buffer.peek()
    assert chunk is not None
    assert chunk.seq == 1


def test_short_pieces_are_joined_while_they_wait_and_left_alone_once_sent() -> None:
    buffer = SendBuffer(MONO, 60)
    for _ in range(10):
        buffer.take(memoryview(bytes(320)))
    first = buffer.peek()
    assert first is not None
    assert len(first.pcm) == 3_200
    buffer.advance()
    buffer.take(memoryview(bytes(320)))
    buffer.rewind()
    assert buffer.peek() == first
    buffer.take(memoryview(bytes(320)))
    buffer.advance()
    second = buffer.peek()
    assert second is not None
    assert (second.seq, second.timestamp, len(second.pcm)) == (1, 1_600, 640)


def test_tiny_pieces_fill_the_buffer_by_their_number() -> None:
    buffer = SendBuffer(MONO, 60)
    taken = 0
    while buffer.take(memoryview(b"ab")):
        taken += 1
        buffer.advance()
    assert taken == MAX_CHUNKS
    assert buffer.acknowledge(0)
    assert buffer.take(memoryview(b"ab")) == 2


def test_what_is_given_up_makes_room() -> None:
    buffer = SendBuffer(MONO, 0.1)
    assert buffer.take(memoryview(bytes(6_400))) == 3_200
    assert buffer.take(memoryview(bytes(2))) == 0
    buffer.clear()
    assert buffer.empty
    assert buffer.take(memoryview(bytes(6_400))) == 3_200


moments = st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 0.1)), min_size=1, max_size=200)


@given(rate=st.floats(0.5, 10), burst=st.floats(0.1, 30), steps=moments)
def test_a_pacer_never_goes_faster_than_its_rate(rate: float, burst: float, steps: list[tuple[float, float]]) -> None:
    pacer = Pacer(rate, burst, 0.0)
    now = taken = 0.0
    for pause, seconds in steps:
        now += pause
        if not pacer.take(seconds, now):
            taken += seconds
        assert taken <= burst + rate * now + 0.1 + 1e-6


@given(rate=st.floats(0.5, 10), burst=st.floats(0.1, 5), seconds=st.floats(0.01, 0.2))
def test_a_pacer_says_how_long_to_wait(rate: float, burst: float, seconds: float) -> None:
    pacer = Pacer(rate, burst, 0.0)
    while not (wait := pacer.take(seconds, 0.0)):
        pass
    assert pacer.take(seconds, wait * 0.99) > 0
    assert pacer.take(seconds, wait * 1.001 + 1e-9) == 0


@given(retry_after=st.floats(0, 30))
def test_a_refusal_pauses_for_what_was_asked_and_for_more_than_a_second(retry_after: float) -> None:
    pacer = Pacer(3, 30, 0.0)
    assert pacer.take(0.1, 0.0) == 0
    pacer.refused(retry_after, 1.0)
    pause = max(retry_after, 1.1)
    assert pacer.take(0.1, 1.0) == pytest.approx(pause)
    assert pacer.take(0.1, 1.0 + pause + 1e-6) == 0
    assert pacer.take(0.1, 1.0 + pause + 1e-6) > 0, "no burst after a refusal"


def test_refusals_slow_down_and_quiet_speeds_up_again_to_what_was_asked_for() -> None:
    pacer = Pacer(3, 30, 0.0)
    now = 0.0
    for _ in range(50):
        pacer.refused(0.0, now)
        now += 2
    assert pacer.rate == Pacer.LEAST_RATE
    rates = []
    for _ in range(100):
        now += Pacer.PATIENCE
        pacer.take(0.01, now)
        rates.append(pacer.rate)
    assert rates == sorted(rates)
    assert rates[-1] == 3


def test_live_speech_is_never_held_back() -> None:
    pacer = Pacer(3, 30, 0.0)
    assert not any(pacer.take(0.1, 0.1 * slot) for slot in range(10_000))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 3000), max_size=20))
def test_samples_become_packets_that_a_decoder_gives_back_whole(cuts: list[int]) -> None:
    audio = AudioFormat(Encoding.OPUS, 16_000, 1)
    buffer = send_buffer(audio, 60.0)
    total = 0
    for count in cuts:
        pcm = memoryview(bytes(2 * count))
        assert buffer.take(pcm) == len(pcm)
        total += count
    assert buffer.seconds == pytest.approx(total / 16_000)
    buffer.flush()
    decoder, samples, expected = OpusDecoder(16_000), 0, 0
    while (chunk := buffer.peek()) is not None:
        assert (chunk.seq, chunk.timestamp) == (expected, 320 * expected)
        assert buffer.chunk_seconds(chunk) == 0.02
        samples += len(decoder.decode(chunk.pcm))
        expected += 1
        buffer.advance()
    assert total <= samples < total + 320
    assert buffer.acknowledge(expected) is (expected > 0)
    assert buffer.empty


def test_packets_that_are_sent_again_are_the_same_and_a_full_buffer_takes_no_more() -> None:
    buffer = send_buffer(AudioFormat(Encoding.OPUS, 48_000, 2), 0.1)
    assert buffer.take(memoryview(bytes(4 * 48_000))) == 4 * 4_800
    assert buffer.take(memoryview(bytes(4))) == 0
    sent = [buffer.peek()]
    buffer.advance()
    buffer.rewind()
    assert [buffer.peek()] == sent
    buffer.acknowledge(0)
    assert buffer.seconds == pytest.approx(0.08)
    buffer.clear()
    assert buffer.empty
