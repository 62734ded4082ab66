"""What has been given to a client and is not safe with the server yet, and how fast it may go there. Sans-IO."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from antiphon.formats import AudioFormat, Encoding
from antiphon.media.opus import OpusEncoderConfig

CHUNK_S = 0.1
"""Audio is cut into chunks of up to this many seconds."""
OPUS_FRAME_MS = 20
OPUS_BITRATE = 32_000
"""Bits a second of a channel."""
MAX_CHUNKS = 8_192
"""Chunks held at most, however short they are; a fourth of what RTP's 16-bit sequence numbers can tell apart."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of audio on its way.

    Attributes:
        seq: Its number in the stream, from 0.
        timestamp: Where it begins, in samples of each channel since the stream began.
        pcm: The samples; of an Opus stream, the packet.
    """

    seq: int
    timestamp: int
    pcm: bytes


class SendBuffer:
    """Chunks in order, from the first that is not acknowledged to the last that was given.

    A chunk leaves when it is acknowledged. Chunks that were sent keep their bounds and numbers until then, so that they
    can be sent again; behind them short pieces are joined into longer ones.

    Args:
        audio: The format of the stream.
        limit_s: Seconds of audio held, at most.
    """

    def __init__(self, audio: AudioFormat, limit_s: float) -> None:
        self._frame = audio.frame_bytes
        self._rate = audio.sample_rate
        self._limit = self._bytes(limit_s)
        self._longest = self._bytes(CHUNK_S)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._first_seq = 0
        self._first_timestamp = 0
        self._next = 0
        self._next_timestamp = 0
        self._sent = 0

    @property
    def empty(self) -> bool:
        """True where all that was given is acknowledged."""
        return not self._chunks

    @property
    def seconds(self) -> float:
        """Seconds of audio held."""
        return self._size / (self._frame * self._rate)

    def chunk_seconds(self, chunk: Chunk) -> float:
        """How long a chunk of this buffer lasts."""
        return self._samples(chunk.pcm) / self._rate

    def flush(self) -> None:
        """No more audio comes: what is no whole chunk yet becomes one."""
        return

    @property
    def in_flight(self) -> int:
        """Chunks sent that are not acknowledged."""
        return self._next

    @property
    def waiting(self) -> bool:
        """True where a chunk can be sent."""
        return self._next < len(self._chunks)

    def take(self, pcm: memoryview) -> int:
        """Take as much of `pcm` from its beginning as there is room for; returns how many bytes.

        Args:
            pcm: Whole sample frames.
        """
        taken = 0
        while taken < len(pcm) and self._size < self._limit:
            # the last chunk may grow as long as nobody has seen it
            grows = len(self._chunks) > self._sent and len(self._chunks[-1]) < self._longest
            if not grows and len(self._chunks) >= MAX_CHUNKS:
                break
            room = min(self._longest - (len(self._chunks[-1]) if grows else 0), self._limit - self._size)
            piece = bytes(pcm[taken : taken + room])
            if grows:
                self._chunks[-1] += piece
            else:
                self._chunks.append(piece)
            self._size += len(piece)
            taken += len(piece)
        return taken

    def peek(self) -> Chunk | None:
        """The next chunk to send, or None."""
        if not self.waiting:
            return None
        return Chunk(self._first_seq + self._next, self._next_timestamp, self._chunks[self._next])

    def advance(self) -> None:
        """The chunk of :meth:`peek` is being sent."""
        self._next_timestamp += self._samples(self._chunks[self._next])
        self._next += 1
        self._sent = max(self._sent, self._next)

    def acknowledge(self, seq: int) -> bool:
        """Everything up to `seq` is safe; returns whether that is news. Chunks that were never sent stay."""
        before = self._first_seq
        while self._first_seq <= seq and self._sent:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            self._first_seq += 1
            self._first_timestamp += self._samples(chunk)
            self._sent -= 1
            if self._next:
                self._next -= 1
            else:
                self._next_timestamp = self._first_timestamp
        return self._first_seq > before

    def rewind(self) -> None:
        """Send again whatever is not acknowledged."""
        self._next = 0
        self._next_timestamp = self._first_timestamp

    def resume(self, next_seq: int) -> None:
        """The server has come back and wants `next_seq` next."""
        self.acknowledge(next_seq - 1)
        self.rewind()

    def restart(self) -> None:
        """Another stream begins with whatever is not acknowledged."""
        self._first_seq = 0
        self._first_timestamp = 0
        self._sent = 0
        self.rewind()

    def clear(self) -> None:
        """Give up what is held."""
        self._chunks.clear()
        self._size = 0
        self._sent = 0
        self.rewind()

    def _bytes(self, seconds: float) -> int:
        return max(1, round(seconds * self._rate)) * self._frame

    def _samples(self, chunk: bytes) -> int:
        return len(chunk) // self._frame


class OpusSendBuffer(SendBuffer):
    """The same for a stream of Opus: samples in, packets of 20 ms out, each of them a chunk.

    Packets are encoded as they are given, so that one that has to be sent again is the same; nothing is spent on
    redundancy, since the connection loses nothing.

    Args:
        audio: The format of the stream; samples are given at its rate, 16-bit and interleaved.
        limit_s: Seconds of audio held, at most.
    """

    def __init__(self, audio: AudioFormat, limit_s: float) -> None:
        super().__init__(AudioFormat(Encoding.PCM_S16LE, audio.sample_rate, audio.channels), limit_s)
        self._encoder = OpusEncoderConfig(
            sample_rate=audio.sample_rate,
            channels=audio.channels,
            bitrate=OPUS_BITRATE * audio.channels,
            frame_ms=OPUS_FRAME_MS,
            dtx=False,
            fec=False,
            expected_loss=0,
        ).encoder()
        self._packet_samples = audio.sample_rate * OPUS_FRAME_MS // 1000
        self._packet_bytes = self._packet_samples * self._frame
        self._rest = bytearray()

    @property
    def empty(self) -> bool:
        return super().empty and not self._rest

    @property
    def seconds(self) -> float:
        return (len(self._chunks) * self._packet_samples + len(self._rest) // self._frame) / self._rate

    def take(self, pcm: memoryview) -> int:
        taken = 0
        while taken < len(pcm) and self.seconds * self._rate * self._frame < self._limit:
            if len(self._chunks) >= MAX_CHUNKS:
                break
            piece = pcm[taken : taken + self._packet_bytes - len(self._rest)]
            self._rest += piece
            taken += len(piece)
            if len(self._rest) == self._packet_bytes:
                self._encode()
        return taken

    def flush(self) -> None:
        if self._rest:
            self._rest += bytes(self._packet_bytes - len(self._rest))
            self._encode()

    def clear(self) -> None:
        self._rest.clear()
        super().clear()

    def _encode(self) -> None:
        packet = self._encoder.encode(bytes(self._rest))
        self._rest.clear()
        self._chunks.append(packet)
        self._size += len(packet)

    def _samples(self, chunk: bytes) -> int:
        return self._packet_samples


def send_buffer(audio: AudioFormat, limit_s: float) -> SendBuffer:
    """A buffer for a stream of that format."""
    return (OpusSendBuffer if audio.encoding is Encoding.OPUS else SendBuffer)(audio, limit_s)


class Pacer:
    """Keeps a client under the server's rate of audio: a token bucket that learns from refusals.

    The server refuses with ``rate_limited`` and tells so once a second at most. A pause of more than that second after
    each refusal makes sure that every later one is heard of.

    Args:
        rate: Seconds of audio a second to send for long, at most. Below the server's ``max_rate``.
        burst: Seconds of audio to send at once, at most. Below the server's ``max_burst``.
        now: The time, in seconds.
    """

    LEAST_PAUSE = 1.1
    LEAST_RATE = 0.5
    SLOWER = 0.75
    FASTER = 1.1
    PATIENCE = 10.0
    """Seconds without a refusal after which a little more is tried."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._highest = rate
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now
        self._paused_until = now
        self._changed = now

    @property
    def rate(self) -> float:
        """Seconds of audio a second, for long."""
        return self._rate

    def take(self, seconds: float, now: float) -> float:
        """Take `seconds` of audio; returns 0 where they may go, else how many seconds to wait before asking again."""
        if now < self._paused_until:
            return self._paused_until - now
        if self._rate < self._highest and now - self._changed >= self.PATIENCE:
            self._rate = min(self._highest, self._rate * self.FASTER)
            self._changed = now
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 0.0:
            return -self._level / self._rate
        # one chunk may overdraw, so that a chunk longer than the burst can go at all
        self._level -= seconds
        return 0.0

    def refused(self, retry_after: float, now: float) -> None:
        """The server refused audio: wait, and go on more slowly."""
        self._rate = max(self.LEAST_RATE, self._rate * self.SLOWER)
        self._changed = now
        self._level = 0.0
        self._at = self._paused_until = now + max(retry_after, self.LEAST_PAUSE)
