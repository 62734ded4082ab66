"""WebM and Ogg as byte streams: packets of Opus out of bytes in any pieces, and Ogg out of packets.

What browsers record live has no known size, may be joined in the middle, break off within a cluster and begin anew
with another header. The demuxers take all of that as it comes::

    demuxer = WebmDemuxer()
    for piece in pieces:
        for event in demuxer.push(piece):
            match event:
                case OpusPacket():
                    decode(event.data)
                case StreamHeader():
                    begin(event.head.channels)
                case StreamGap():
                    log(f"{event.bytes} bytes passed over at byte {event.at}: {event.reason}")

All times are samples of 48 kHz (:data:`CLOCK`), the clock of Opus in every container (RFC 7845 section 4).
"""

from __future__ import annotations

from antiphon._native import (
    MAX_OPUS_PACKET,
    OggDemuxer,
    OggWriter,
    OpusHead,
    OpusPacket,
    StreamGap,
    StreamHeader,
    WebmDemuxer,
    packet_duration,
)

__all__ = [
    "CLOCK",
    "MAX_OPUS_PACKET",
    "OggDemuxer",
    "OggWriter",
    "OpusHead",
    "OpusPacket",
    "StreamEvent",
    "StreamGap",
    "StreamHeader",
    "WebmDemuxer",
    "demuxer",
    "packet_duration",
]

CLOCK = 48_000
"""Samples a second of every timestamp and duration here."""

StreamEvent = StreamHeader | OpusPacket | StreamGap
"""What a demuxer gives."""


def demuxer(container: str, head: OpusHead | None = None) -> OggDemuxer | WebmDemuxer:
    """The demuxer of a container.

    Args:
        container: ``webm`` (and Matroska) or ``ogg``.
        head: Of a stream that is joined after its header, where it is known.

    Raises:
        ValueError: There is no such container.
    """
    match container:
        case "webm":
            return WebmDemuxer(head)
        case "ogg":
            return OggDemuxer(head)
    raise ValueError(f"container {container!r}; webm and ogg can be taken")
