"""Types of the native core (crates/python); checked against the binary by stubtest in ``make check``."""

from collections.abc import Iterable
from typing import Any, Literal, Self, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

__version__: str

# ---- opus and g711 ---------------------------------------------------------------------------------------------------

# Under Python 3.11 type checkers don't know that an array is a buffer.
_Pcm: TypeAlias = Buffer | NDArray[np.int16] | NDArray[np.float32]
_Bytes: TypeAlias = Buffer | NDArray[np.uint8]
_Room: TypeAlias = Buffer | NDArray[np.uint8] | NDArray[np.int16] | NDArray[np.float32]

OPUS_VERSION: str

@final
class OpusEncoder:
    def __new__(
        cls,
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        application: str = "voip",
        bitrate: int = 128_000,
        complexity: int = 10,
        dtx: bool = True,
        fec: bool = True,
        expected_loss: int = 5,
        vbr: bool = True,
        constrained_vbr: bool = False,
        frame_ms: float = 20.0,
        dred_ms: int = 0,
    ) -> OpusEncoder: ...
    @staticmethod
    def preset(name: str) -> OpusEncoder: ...
    def encode(self, pcm: _Pcm) -> bytes: ...
    def encode_into(self, pcm: _Pcm, out: _Room) -> int: ...
    def copy(self) -> OpusEncoder: ...
    def __copy__(self) -> OpusEncoder: ...
    def reset(self) -> None: ...
    bitrate: int
    complexity: int
    expected_loss: int
    fec: bool
    dtx: bool
    dred_ms: int
    frame_ms: float
    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def application(self) -> str: ...
    @property
    def vbr(self) -> bool: ...
    @property
    def constrained_vbr(self) -> bool: ...
    @property
    def frame_samples(self) -> int: ...
    @property
    def lookahead(self) -> int: ...
    @property
    def in_dtx(self) -> bool: ...
    @property
    def final_range(self) -> int: ...

@final
class OpusDecoder:
    def __new__(
        cls,
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        complexity: int = 0,
        bandwidth_extension: bool = False,
    ) -> OpusDecoder: ...
    def decode(self, packet: _Bytes) -> NDArray[np.int16]: ...
    def decode_float(self, packet: _Bytes) -> NDArray[np.float32]: ...
    def decode_into(self, packet: _Bytes, out: _Room) -> int: ...
    def conceal(self, samples: int) -> NDArray[np.int16]: ...
    def conceal_float(self, samples: int) -> NDArray[np.float32]: ...
    def conceal_into(self, out: _Room) -> None: ...
    def recover(self, next_packet: _Bytes, samples: int) -> NDArray[np.int16]: ...
    def recover_float(self, next_packet: _Bytes, samples: int) -> NDArray[np.float32]: ...
    def recover_into(self, next_packet: _Bytes, out: _Room) -> None: ...
    def recover_dred(self, dred: OpusDred, before: int, samples: int) -> NDArray[np.int16]: ...
    def recover_dred_float(self, dred: OpusDred, before: int, samples: int) -> NDArray[np.float32]: ...
    def recover_dred_into(self, dred: OpusDred, before: int, out: _Room) -> None: ...
    def reset(self) -> None: ...
    complexity: int
    bandwidth_extension: bool
    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def final_range(self) -> int: ...

@final
class OpusDred:
    def __new__(cls) -> OpusDred: ...
    def parse(self, packet: _Bytes, sample_rate: int, samples: int) -> int: ...
    @property
    def reach(self) -> int: ...
    @property
    def gap(self) -> int: ...

@final
class OpusPacketInfo:
    @property
    def mode(self) -> str: ...
    @property
    def bandwidth(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def frame_ms(self) -> float: ...
    @property
    def duration_ms(self) -> float: ...
    @property
    def fec(self) -> bool: ...
    @property
    def padding(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class SoftClip:
    def __new__(cls, channels: int = 1) -> SoftClip: ...
    def clip(self, pcm: _Room) -> None: ...
    def clip_to_int16(self, pcm: _Pcm) -> NDArray[np.int16]: ...

def opus_packet_info(packet: _Bytes) -> OpusPacketInfo: ...
def opus_packet_samples(packet: _Bytes, sample_rate: int) -> int: ...
def opus_has_fec(packet: _Bytes) -> bool: ...
def mulaw_encode(pcm: _Pcm) -> bytes: ...
def mulaw_decode(data: _Bytes) -> NDArray[np.int16]: ...
def mulaw_decode_float(data: _Bytes) -> NDArray[np.float32]: ...
def alaw_encode(pcm: _Pcm) -> bytes: ...
def alaw_decode(data: _Bytes) -> NDArray[np.int16]: ...
def alaw_decode_float(data: _Bytes) -> NDArray[np.float32]: ...

# ---- containers ------------------------------------------------------------------------------------------------------

# ---- jitter buffer ---------------------------------------------------------------------------------------------------

@final
class JitterStats:
    """Counters of a jitter buffer since it was made, and how it stands."""

    @property
    def received(self) -> int:
        """Packets pushed whose payload can be read."""
    @property
    def lost(self) -> int:
        """Packets that had not come when their turn was over, and never did."""
    @property
    def late(self) -> int:
        """Packets that came when their turn was over, or later than the greatest delay."""
    @property
    def duplicates(self) -> int:
        """Packets that had come before."""
    @property
    def reordered(self) -> int:
        """Packets that came behind one with a higher sequence number."""
    @property
    def rejected(self) -> int:
        """Packets refused for their payload."""
    @property
    def overflowed(self) -> int:
        """Packets dropped, oldest first, because nobody pulled."""
    @property
    def corrupt(self) -> int:
        """Packets that the decoder could not decode."""
    @property
    def played_samples(self) -> int:
        """Samples of decoded audio given out; samples are counted for one channel."""
    @property
    def concealed_samples(self) -> int:
        """Samples extrapolated."""
    @property
    def recovered_samples(self) -> int:
        """Samples decoded from error correction."""
    @property
    def silence_samples(self) -> int:
        """Samples of silence."""
    @property
    def stretched_samples(self) -> int:
        """Samples put in by stretching."""
    @property
    def compressed_samples(self) -> int:
        """Samples taken out by compressing."""
    @property
    def underruns(self) -> int:
        """How often the buffer ran dry."""
    @property
    def resets(self) -> int:
        """How often the stream began anew: another source, or a jump that went on."""
    @property
    def packets(self) -> int:
        """Packets waiting."""
    @property
    def bytes(self) -> int:
        """Bytes of payload waiting."""
    @property
    def target_ms(self) -> float:
        """Playout delay aimed at, behind the fastest packet."""
    @property
    def delay_ms(self) -> float:
        """Playout delay as it is, behind the fastest packet; 0 before anything plays."""
    @property
    def mean_delay_ms(self) -> float:
        """Mean of the playout delay over all frames in which decoded audio played."""
    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (RFC 3550, section 6.4.1)."""

@disjoint_base
class JitterBuffer:
    """A jitter buffer: packets come when the network brings them, frames go out one a tick.

    Made through :class:`antiphon.media.jitter.JitterBuffer`. Any thread may push; one at a time may pull.
    """

    def __new__(
        cls,
        *,
        codec: str = "opus",
        sample_rate: int = 48_000,
        channels: int = 1,
        dtype: str = "float32",
        clock_rate: int | None = None,
        frame_ms: int = 20,
        min_delay_ms: int = 50,
        max_delay_ms: int = 500,
        min_delay_packets: int = 2,
        max_delay_packets: int = 10,
        quantile: float = 0.97,
        memory_ms: int = 10_000,
        decay_ms: int = 1_000,
        max_conceal_ms: int = 200,
        idle_ms: int = 1_000,
        max_packets: int = 256,
        max_bytes: int = 1_048_576,
        dred: bool = False,
    ) -> Self: ...
    def push(
        self, sequence_number: int, timestamp: int, payload: Buffer, arrival: float, ssrc: int = 0
    ) -> Literal["queued", "duplicate", "late", "doubtful"]:
        """Take a packet that arrived at ``arrival`` seconds.

        ``doubtful`` is one that doesn't fit the stream, which begins anew if the next packet follows it.

        Raises:
            BadAudio: The payload can't be of the codec; it is counted as rejected.
        """
    def push_many(self, packets: Iterable[tuple[int, int, Buffer, float] | tuple[int, int, Buffer, float, int]]) -> int:
        """Take packets as tuples of the arguments of :meth:`push`; says how many are queued.

        Those with a bad payload are counted as rejected and passed over.
        """
    def pull(
        self, now: float
    ) -> tuple[NDArray[Any], Literal["played", "concealed", "recovered", "stretched", "compressed", "silence"]]:
        """The next frame, for playing at ``now`` seconds, and its tag; to be called once a tick.

        The array is of shape (samples,), or (samples, channels) for two channels.

        Raises:
            RuntimeError: Another thread is pulling.
        """
    def pull_into(
        self, now: float, out: NDArray[Any]
    ) -> Literal["played", "concealed", "recovered", "stretched", "compressed", "silence"]:
        """As :meth:`pull`, into a C-contiguous float32 or int16 array of as many samples as a frame.

        Raises:
            ValueError: ``out`` has another size.
            TypeError: ``out`` is of another type.
            RuntimeError: Another thread is pulling.
        """
    def stats(self) -> JitterStats:
        """Counters, and how the buffer stands."""
    def reset(self) -> None:
        """Begin anew, as with another source; counters go on."""
    @property
    def frame_samples(self) -> int:
        """Samples of each channel in a frame."""

# ---- resampler, level, voice activity --------------------------------------------------------------------------------

# ---- echo canceller --------------------------------------------------------------------------------------------------

# ---- mixer -----------------------------------------------------------------------------------------------------------

# ---- bitrate ---------------------------------------------------------------------------------------------------------

# ---- rtp -------------------------------------------------------------------------------------------------------------
