"""Types of the native core (crates/python); checked against the binary by stubtest in ``make check``."""

from collections.abc import Sequence
from typing import Self, final

from typing_extensions import Buffer

__version__: str

# ---- opus and g711 ---------------------------------------------------------------------------------------------------

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

# ---- resampler, level, voice activity --------------------------------------------------------------------------------

# ---- echo canceller --------------------------------------------------------------------------------------------------

# ---- mixer -----------------------------------------------------------------------------------------------------------

# ---- bitrate ---------------------------------------------------------------------------------------------------------

# ---- rtp -------------------------------------------------------------------------------------------------------------
