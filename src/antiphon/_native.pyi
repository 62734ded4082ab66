"""Types of the native core (crates/python); checked against the binary by stubtest in ``make check``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, final, overload

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

MAX_OPUS_PACKET: int
"""Largest packet that containers take, in bytes."""

@final
class OpusHead:
    """The identification header of an Opus stream (RFC 7845 section 5.1), CodecPrivate in WebM.

    Args:
        channels: 1 or 2.
        pre_skip: Samples of 48 kHz to drop from the beginning of what is decoded.
        input_sample_rate: Hertz of what was encoded; says nothing about decoding.

    Raises:
        ValueError: More channels than two, or none.
    """

    def __new__(cls, channels: int = 1, pre_skip: int = 312, input_sample_rate: int = 48_000) -> Self: ...
    @staticmethod
    def parse(data: Buffer) -> OpusHead:
        """Read a head from its bytes.

        Raises:
            BadAudio: It is none; the message names the byte.
        """

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def channels(self) -> int: ...
    @property
    def pre_skip(self) -> int: ...
    @property
    def input_sample_rate(self) -> int: ...
    @property
    def output_gain(self) -> float:
        """Decibels to apply to what is decoded."""

    @property
    def mapping_family(self) -> int:
        """0: mono or stereo; 1: up to eight channels in Vorbis' order; 2, 3: ambisonics; 255: unnamed channels."""

    @property
    def streams(self) -> int:
        """Opus streams in each packet."""

    @property
    def coupled(self) -> int:
        """How many of them are stereo."""

    @property
    def mapping(self) -> bytes:
        """The decoded channel that each output channel takes; empty for family 0."""

@final
class StreamHeader:
    """A stream begins, or begins anew: a decoder should start afresh."""

    @property
    def head(self) -> OpusHead: ...
    @property
    def vendor(self) -> str | None:
        """Ogg's: the library that encoded it."""

    @property
    def comments(self) -> list[str]:
        """Ogg's: each ``NAME=value``."""

    @property
    def assumed(self) -> bool:
        """Whether the stream was joined after its head, which was given or made from the first packet."""

    @property
    def at(self) -> int:
        """Byte of the stream at which the head lies."""

@final
class OpusPacket:
    """One Opus packet. Of what it decodes to, ``discard_start`` and ``discard_end`` samples are not to be played."""

    @property
    def data(self) -> bytes: ...
    @property
    def timestamp(self) -> int:
        """Samples from the stream's start to the packet's first; negative within the pre-skip. It goes on where a
        stream begins anew: ``timestamp + discard_start`` never falls."""

    @property
    def duration(self) -> int:
        """Samples in the packet: 120 to 5760."""

    @property
    def discard_start(self) -> int: ...
    @property
    def discard_end(self) -> int: ...
    @property
    def track(self) -> int:
        """WebM's track number, Ogg's serial number."""

    @property
    def at(self) -> int:
        """Byte of the stream at which the packet begins."""

@final
class StreamGap:
    """Bytes or packets that were passed over."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def at(self) -> int:
        """First byte that was passed over."""

    @property
    def bytes(self) -> int:
        """How many; 0 where they never came."""

    @property
    def reason(self) -> str: ...

@final
class OggDemuxer:
    """Ogg Opus (RFC 3533, RFC 7845) in any pieces.

    Takes multiplexed streams (the first that is Opus), chained ones, damage, and streams joined after their head.

    Args:
        head: Of a stream that is joined after its head, where it is known.
    """

    def __new__(cls, head: OpusHead | None = None) -> Self: ...
    def push(self, data: Buffer) -> list[StreamHeader | OpusPacket | StreamGap]:
        """Take the next bytes of the stream and give what they complete.

        Raises:
            BadAudio: The stream is not Ogg, or carries no Opus; the message names the byte and what it carries. Every
                later call raises it again. Where events come before the fault, they are returned first.
            ValueError: The stream was finished.
        """

    def finish(self) -> list[StreamHeader | OpusPacket | StreamGap]:
        """Give what was held back: no more bytes will come."""

@final
class WebmDemuxer:
    """WebM and Matroska (RFC 9559) in any pieces.

    Takes what MediaRecorder sends: unknown sizes, streams joined in the middle, cut off and begun anew. The first
    audio track that is Opus is taken.

    Args:
        head: Of a stream that is joined after its header, where it is known.
    """

    def __new__(cls, head: OpusHead | None = None) -> Self: ...
    def push(self, data: Buffer) -> list[StreamHeader | OpusPacket | StreamGap]:
        """Take the next bytes of the stream and give what they complete.

        Raises:
            BadAudio: The stream is not WebM, or carries no Opus; the message names the byte and what it carries.
                Every later call raises it again. Where events come before the fault, they are returned first.
            ValueError: The stream was finished.
        """

    def finish(self) -> list[StreamHeader | OpusPacket | StreamGap]:
        """Give what was held back: no more bytes will come."""

@final
class OggWriter:
    """Ogg Opus out of packets.

    The last packet is kept back, since the page that ends the stream has to hold it.

    Args:
        head: Of the stream.
        serial: Tells the stream from others in the same file; best a random number of 32 bits.
        vendor: The library that encoded it.
        comments: Each ``NAME=value``; without any, none.
        page_samples: A page is written out when it holds so many samples of 48 kHz, a second's worth unless told
            otherwise; None: one for each packet.

    Raises:
        ValueError: A comment is not ``NAME=value``.
        BadAudio: The comments are larger than a packet may be.
    """

    def __new__(
        cls,
        head: OpusHead,
        *,
        serial: int,
        vendor: str = "antiphon",
        comments: Sequence[str] = ...,
        page_samples: int | None = ...,
    ) -> Self: ...
    def write(self, packet: Buffer) -> bytes:
        """Write a packet and give the pages that are ready, the first time the headers as well.

        Raises:
            BadAudio: It is no Opus packet, or larger than ``MAX_OPUS_PACKET``.
            ValueError: The stream was finished.
        """

    def write_gap(self, samples: int) -> bytes:
        """Write packets without frames in place of lost audio (RFC 7845 section 4.1): decoders conceal them.

        Args:
            samples: Of 48 kHz, rounded down to frames of the last packet's size; a day at most.

        Raises:
            ValueError: There was no packet before, or the stream was finished.
        """

    def flush(self) -> bytes:
        """Give what was kept back. The stream will then end with an empty page."""

    def finish(self, discard: int = 0) -> bytes:
        """End the stream and give its last page.

        Args:
            discard: Samples of 48 kHz to trim from the end, no more than the last page holds.

        Raises:
            ValueError: More of them than that, or the stream was finished.
        """

    @property
    def samples(self) -> int:
        """Samples of 48 kHz that a player will play of what was written so far."""

def packet_duration(packet: Buffer) -> int:
    """Samples of 48 kHz in an Opus packet, by its table of contents (RFC 6716 section 3.1).

    Raises:
        BadAudio: The packet is empty, cut short or longer than 120 ms.
    """

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

@final
class Resampler:
    from_rate: Final[int]
    to_rate: Final[int]
    channels: Final[int]
    latency_samples: Final[int]
    def __new__(cls, from_rate: int, to_rate: int, channels: int = 1) -> Self: ...
    @overload
    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...
    @overload
    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]: ...
    def flush(self) -> NDArray[np.float32]: ...
    def flush_int16(self) -> NDArray[np.int16]: ...
    def reset(self) -> None: ...

@final
class PcmConverter:
    latency_samples: Final[int]
    def __new__(cls, from_rate: int, channels: int, to_rate: int) -> Self: ...
    def convert(self, data: Buffer) -> bytes: ...
    def flush(self) -> bytes: ...

@final
class Level:
    rms_dbfs: Final[float]
    peak_dbfs: Final[float]
    clipped: Final[int]
    samples: Final[int]
    @property
    def audio_level(self) -> int: ...

def measure_level(samples: NDArray[np.float32] | NDArray[np.int16] | bytes) -> Level: ...
def audio_level(rms_dbfs: float) -> int: ...
def audio_level_dbfs(level: int) -> float: ...

@final
class LevelMeter:
    def __new__(
        cls, sample_rate: int = 16000, *, attack: float = 0.01, release: float = 0.3, peak_fall: float = 11.76
    ) -> Self: ...
    def push(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> Level: ...
    @property
    def rms_dbfs(self) -> float: ...
    @property
    def peak_dbfs(self) -> float: ...
    @property
    def audio_level(self) -> int: ...
    @property
    def clipped(self) -> int: ...
    def reset(self) -> None: ...

@final
class VoiceActivity:
    probability: Final[float]
    active: Final[bool]

@final
class VoiceActivityDetector:
    FRAME_SECONDS: ClassVar[float]
    sample_rate: Final[int]
    def __new__(
        cls,
        sample_rate: int = 16000,
        *,
        threshold: float = 0.6,
        release_threshold: float = 0.55,
        onset: float = 0.048,
        hangover: float = 0.3,
    ) -> Self: ...
    def push(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> VoiceActivity: ...
    def frames(
        self, samples: NDArray[np.float32] | NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...
    @property
    def active(self) -> bool: ...
    def reset(self) -> None: ...

# ---- echo canceller --------------------------------------------------------------------------------------------------

@final
class EchoMetrics:
    """What an echo canceller knows; None where it does not know (yet)."""

    @property
    def erl_db(self) -> float | None:
        """Echo return loss: far end against its echo, over about the last second of echo without near-end speech."""
    @property
    def erle_db(self) -> float | None:
        """Echo return loss enhancement: microphone against output, over the same time."""
    @property
    def delay_ms(self) -> float | None:
        """From a sample's being given as far end until its echo is in the near end."""
    @property
    def double_talk(self) -> bool | None:
        """Whether near-end speech was over an echo in the last frame."""
    @property
    def dropped(self) -> int:
        """Frames of the far end that were dropped because they came faster than those of the near end."""
    @property
    def missing(self) -> int:
        """Frames of the near end for which there was none of the far end; silence was taken."""

@disjoint_base
class EchoCanceller:
    """Takes the echo of what is played (far end) out of what is recorded (near end).

    Made through :class:`antiphon.media.echo.EchoCanceller`. One thread may call ``analyse_render`` while another calls
    ``process_capture``. Samples that are not numbers count as silence.
    """

    def __new__(
        cls,
        *,
        sample_rate: int = 16_000,
        channels: int = 1,
        mode: str = "partitioned",
        delay_hint_ms: int | None = None,
        taps: int = 512,
        step: float = 0.1,
        leak: float = 0.999,
        suppression_threshold: float = 0.01,
        suppression_gain: float = 0.1,
        comfort_noise: float = 0.001,
    ) -> Self: ...
    @property
    def sample_rate(self) -> int:
        """Hertz."""
    @property
    def frame_samples(self) -> int:
        """Samples in 10 ms: what is given must be a multiple."""
    @property
    def latency_samples(self) -> int:
        """By how many samples the output is behind the near end."""
    @overload
    def process(
        self, far: NDArray[np.float32], near: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    @overload
    def process(
        self, far: NDArray[np.int16] | bytes, near: NDArray[np.int16] | bytes, out: NDArray[np.int16] | None = None
    ) -> NDArray[np.int16]:
        """Cancel the echo of ``far`` in ``near``.

        Args:
            far: What is played: float32 of -1.0 to 1.0, int16, or bytes of s16le; a multiple of 10 ms.
            near: What was recorded, of the same type and length.
            out: Room for the result, apart from the other two; a new array without it.

        Returns:
            As much, of the same type, ``latency_samples`` behind ``near``; ``out`` where it was given.

        Raises:
            ValueError: The lengths differ or are no multiple of 10 ms; nothing was processed.
            TypeError: The types differ or are others.
        """
    def analyse_render(self, far: _Pcm) -> None:
        """Take in what is about to be played, a multiple of 10 ms.

        At most a second of it waits for the near end; the oldest is dropped.
        """
    @overload
    def process_capture(
        self, near: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    @overload
    def process_capture(
        self, near: NDArray[np.int16] | bytes, out: NDArray[np.int16] | None = None
    ) -> NDArray[np.int16]:
        """Cancel the echo in what was recorded, a multiple of 10 ms, as :meth:`process` does."""
    def set_delay_hint(self, milliseconds: int) -> None:
        """Say how long (0 to 500) it takes from giving a far-end sample until its echo is in the near end.

        ``partitioned`` begins to look there and goes by its own estimate once it has one; ``nlms`` has no other way to
        know.
        """
    def metrics(self) -> EchoMetrics:
        """What is known about the echo."""

# ---- mixer -----------------------------------------------------------------------------------------------------------

@final
class Mixer:
    def __new__(
        cls,
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        tick_ms: int = 20,
        loudest: int | None = ...,
        threshold: float = ...,
        hold_ms: int = 400,
        margin: float = 6.0,
        tenure_ms: int = 300,
        fade_ms: float = 5.0,
        lookahead_ms: float = 2.5,
        ceiling: float = ...,
        max_participants: int = 1_000,
    ) -> Mixer: ...
    def add(self, participant: int) -> None: ...
    def remove(self, participant: int) -> bool: ...
    def set_gain(self, participant: int, gain: float) -> None: ...
    def set_muted(self, participant: int, muted: bool) -> None: ...
    def tick(self, inputs: Mapping[int, _Pcm]) -> dict[int, NDArray[np.float32]]: ...
    @property
    def shared(self) -> NDArray[np.float32]: ...
    @property
    def active(self) -> list[tuple[int, float]]: ...
    @property
    def tick_samples(self) -> int: ...
    @property
    def delay_samples(self) -> int: ...
    def __len__(self) -> int: ...
    def __contains__(self, participant: int, /) -> bool: ...

_RoomInput: TypeAlias = (
    _Bytes
    | tuple[_Bytes, int | None]
    | tuple[_Bytes, int | None, bool | None]
    | LostPacket
    | NDArray[np.int16]
    | NDArray[np.float32]
)

@final
class Conference:
    def __new__(
        cls,
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        tick_ms: int = 20,
        loudest: int | None = ...,
        threshold: float = ...,
        hold_ms: int = 400,
        margin: float = 6.0,
        tenure_ms: int = 300,
        fade_ms: float = 5.0,
        lookahead_ms: float = 2.5,
        ceiling: float = ...,
        probe_ticks: int = 3,
        max_participants: int = 1_000,
    ) -> Conference: ...
    def add(
        self,
        participant: int,
        codec: str = "opus",
        output: OutputFormat | None = None,
        *,
        sample_rate: int = 16_000,
        channels: int = 1,
    ) -> None: ...
    def remove(self, participant: int) -> bool: ...
    def set_gain(self, participant: int, gain: float) -> None: ...
    def set_muted(self, participant: int, muted: bool) -> None: ...
    def set_output(self, participant: int, output: OutputFormat | None) -> None: ...
    def tick(self, inputs: Mapping[int, _RoomInput | list[Any]]) -> dict[int, bytes]: ...
    def packets(self) -> dict[int, bytes]: ...
    @property
    def shared(self) -> NDArray[np.float32]: ...
    @property
    def active(self) -> list[tuple[int, float]]: ...
    def speaking(self, participant: int) -> bool: ...
    def level(self, participant: int) -> float: ...
    @property
    def counters(self) -> ConferenceCounters: ...
    @property
    def own_streams(self) -> int: ...
    @property
    def shared_streams(self) -> int: ...
    @property
    def tick_samples(self) -> int: ...
    def __len__(self) -> int: ...
    def __contains__(self, participant: int, /) -> bool: ...

@final
class ConferenceCounters:
    @property
    def ticks(self) -> int: ...
    @property
    def decoded(self) -> int: ...
    @property
    def encoded(self) -> int: ...
    @property
    def malformed(self) -> int: ...
    @property
    def concealed(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def rejoined(self) -> int: ...

@final
class LostPacket:
    def __new__(cls, next_packet: bytes | None = None) -> LostPacket: ...
    @property
    def next_packet(self) -> bytes | None: ...

@final
class OutputFormat:
    @staticmethod
    def opus(
        sample_rate: int = 48_000,
        channels: int = 1,
        *,
        application: str = "voip",
        bitrate: int = 32_000,
        complexity: int = 5,
        dtx: bool = False,
        fec: bool = False,
        expected_loss: int = 0,
        vbr: bool = True,
        constrained_vbr: bool = True,
        frame_ms: float = 20.0,
        dred_ms: int = 0,
    ) -> OutputFormat: ...
    @staticmethod
    def mulaw() -> OutputFormat: ...
    @staticmethod
    def alaw() -> OutputFormat: ...
    @staticmethod
    def pcm_s16le(sample_rate: int = 16_000, channels: int = 1) -> OutputFormat: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# ---- bitrate ---------------------------------------------------------------------------------------------------------

@final
class BitrateController:
    def __new__(
        cls,
        *,
        start: int,
        minimum: int,
        maximum: int,
        increase: float,
        decrease: float,
        interval: float,
        margin: float,
        patience: float,
        utilisation: float,
        most_expected_loss: int,
        expected_loss_fall: float,
    ) -> Self: ...
    def update(self, now: float, round_trip: float, loss: float, sent: int | None) -> tuple[str, int, int, bool]: ...
    @property
    def bitrate(self) -> int: ...
    @property
    def condition(self) -> str | None: ...
    @property
    def expected_loss(self) -> int: ...

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
    def check(self) -> None: ...
    def decode(self, limit: int) -> list[tuple[int, bytes]]: ...

# ---- WebRTC ---------------------------------------------------------------------------------------------------------

@final
class RtcEngine:
    def __new__(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tcp: bool = True,
        threads: int = 1,
        announce: Sequence[str] = ...,
        max_peers: int = 1000,
        peer_timeout: float = 30.0,
    ) -> Self: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def tcp_port(self) -> int | None: ...
    @property
    def datagrams_dropped(self) -> int: ...
    def fileno(self) -> int: ...
    def poll(self, limit: int = 1024) -> list[tuple[Any, ...]]: ...
    def open_room(
        self,
        *,
        mode: str = "relay",
        tick_ms: int = 20,
        loudest: int = 3,
        bitrate: int = 32000,
        complexity: int = 5,
        max_participants: int = 1000,
    ) -> int: ...
    def close_room(self, room: int) -> None: ...
    def join(self, room: int, offer: str, *, publish: bool = True, listen: bool = True) -> int: ...
    def offer(self, peer: int, offer: str) -> None: ...
    def candidate(self, peer: int, candidate: str) -> None: ...
    def join_local(
        self,
        room: int,
        *,
        publish: bool,
        listen: bool,
        encoding: str = "pcm_s16le",
        sample_rate: int = 16000,
        channels: int = 1,
        reply_encoding: str = "opus",
        reply_rate: int = 48000,
        reply_channels: int = 1,
        reply_bitrate: int = 32000,
        reply_frame_ms: int = 20,
    ) -> int: ...
    def push(self, participant: int, payload: bytes) -> None: ...
    def leave(self, participant: int) -> None: ...
    def mute(self, participant: int, muted: bool) -> None: ...
    def tap(self, participant: int, sample_rate: int = 16000) -> None: ...
    def untap(self, participant: int) -> None: ...
    def send(self, peer: int, text: str) -> None: ...
    def set_bitrate(self, peer: int, bitrate: int) -> None: ...
    def stats(self, participant: int) -> None: ...
    def close(self) -> None: ...

# ---- paced broadcasting ---------------------------------------------------------------------------------------------

@final
class Broadcaster:
    def __new__(cls) -> Self: ...
    def fileno(self) -> int: ...
    def poll(self, limit: int = 1024) -> list[tuple[Any, ...]]: ...
    def open_tape(
        self,
        *,
        frame_us: int,
        live: bool = False,
        first: int = 0,
        low_ahead: int = 100,
        max_bytes: int = ...,
    ) -> int: ...
    def append(self, tape: int, packets: Sequence[bytes]) -> None: ...
    def finish(self, tape: int) -> None: ...
    def close_tape(self, tape: int) -> None: ...
    def tape_stats(self, tape: int) -> dict[str, Any]: ...
    def attach(self, tape: int, fd: int, *, position: int = 0, max_lag_ms: int = 1000) -> int: ...
    def send(self, reader: int, frame: bytes) -> bool: ...
    def switch(self, reader: int, tape: int) -> None: ...
    def seek(self, reader: int, position: int | None = None, tape: int | None = None) -> None: ...
    def pause(self, reader: int) -> None: ...
    def resume(self, reader: int) -> None: ...
    def detach(self, reader: int) -> None: ...
    def reader_stats(self, reader: int) -> dict[str, Any]: ...
    def statistics(self) -> dict[str, Any]: ...
    def close(self) -> None: ...
