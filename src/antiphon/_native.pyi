"""Types of the native core (crates/python); checked against the binary by stubtest in ``make check``."""

from typing import Self, final

__version__: str

# ---- opus and g711 ---------------------------------------------------------------------------------------------------

# ---- containers ------------------------------------------------------------------------------------------------------

# ---- jitter buffer ---------------------------------------------------------------------------------------------------

# ---- resampler, level, voice activity --------------------------------------------------------------------------------

# ---- echo canceller --------------------------------------------------------------------------------------------------

# ---- mixer -----------------------------------------------------------------------------------------------------------

# ---- bitrate ---------------------------------------------------------------------------------------------------------

# ---- rtp -------------------------------------------------------------------------------------------------------------

@final
class RtpPacket:
    """A parsed packet (RFC 3550 section 5.1)."""

    @property
    def sequence_number(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def marker(self) -> bool: ...
    @property
    def payload_type(self) -> int: ...
    @property
    def payload(self) -> bytes: ...

def parse_rtp(data: bytes | bytearray) -> RtpPacket: ...

@final
class Ready:
    """The next payload in order."""

    @property
    def payload(self) -> bytes: ...
    @property
    def gap(self) -> int: ...

@final
class AudioIntake:
    """The way in of one live stream."""

    samples: int
    def __new__(
        cls,
        sample_rate: int,
        frame_bytes: int = 2,
        *,
        block_bytes: int = 0,
        max_samples: int = ...,
        max_rate: float = ...,
        burst: float = ...,
        now: float = 0.0,
    ) -> Self: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def begun(self) -> bool: ...
    def take_packet(self, data: bytes | bytearray, now: float) -> bytes | None: ...
    def take_chunk(self, data: bytes | bytearray, now: float) -> bytes | None: ...
    def take_block(self) -> bytes: ...
    def push(
        self, sequence_number: int, timestamp: int, payload: bytes | bytearray, samples: int, now: float
    ) -> list[Ready]: ...
    def flush(self) -> list[Ready]: ...
    def knows(self, sequence_number: int) -> bool: ...
    def charge(self, seconds: float, now: float) -> None: ...
    def pace(self, seconds: float, now: float) -> float: ...
    def counters(self) -> tuple[int, int, int, int, float]: ...

# ---- live streams ----------------------------------------------------------------------------------------------------

@final
class LiveDecoder:
    """Decodes one live stream of Opus, by the packet or in a container, to mono 16-bit samples."""

    def __new__(cls, carrier: str, sample_rate: int) -> Self: ...
    @property
    def waiting(self) -> int: ...
    @property
    def concealed(self) -> int: ...
    @property
    def damaged(self) -> int: ...
    @staticmethod
    def duration(packet: bytes | bytearray) -> int: ...
    def push(self, data: bytes | bytearray) -> int: ...
    def lost(self, samples: int) -> None: ...
    def finish(self) -> int: ...
    def decode(self, limit: int) -> list[tuple[int, bytes]]: ...
