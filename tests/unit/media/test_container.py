"""WebM and Ogg streams against FFmpeg, which reads the same bytes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.errors import BadAudio
from antiphon.media.container import (
    CLOCK,
    MAX_OPUS_PACKET,
    OggDemuxer,
    OggWriter,
    OpusHead,
    OpusPacket,
    StreamEvent,
    StreamGap,
    StreamHeader,
    WebmDemuxer,
    demuxer,
    packet_duration,
)
from support.audio import encode, speech

VECTORS = Path(__file__).parents[2] / "vectors" / "containers"
PIECES: dict[str, list[int]] = json.loads((VECTORS / "pieces.json").read_text())
RECORDINGS = ("chromium-audio.webm", "chromium-video.webm", "firefox-audio.webm", "firefox-audio.ogg")


def read(
    data: bytes, pieces: Iterable[int] = (), *, container: str = "", head: OpusHead | None = None
) -> list[StreamEvent]:
    """All events of a stream, pushed in pieces of those sizes, the rest as one."""
    demux = demuxer(container or ("ogg" if data.startswith(b"OggS") else "webm"), head)
    events: list[StreamEvent] = []
    at = 0
    for size in (*pieces, len(data)):
        events += demux.push(data[at : at + size])
        at += size
    return events + demux.finish()


def packets(events: Iterable[StreamEvent]) -> list[OpusPacket]:
    return [event for event in events if isinstance(event, OpusPacket)]


def ffmpeg_packets(data: bytes) -> list[tuple[bytes, float]]:
    """Each packet of the first audio track and its time in seconds, by FFmpeg."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        found = []
        for packet in container.demux(stream):
            if packet.size:
                assert packet.pts is not None
                found.append((bytes(packet), float(packet.pts * Fraction(packet.time_base or 1))))
        return found


def ffmpeg_samples(data: bytes) -> int:
    """Samples of 48 kHz that FFmpeg plays of a stream, pre-skip and trimming applied."""
    with av.open(io.BytesIO(data)) as container:
        return sum(frame.samples for frame in container.decode(container.streams.audio[0]))


def audible(found: Sequence[OpusPacket]) -> int:
    return sum(packet.duration - packet.discard_start - packet.discard_end for packet in found)


def rewrite(found: Iterable[OpusPacket], *, page_samples: int | None = 48_000, discard: int = 0) -> bytes:
    writer = OggWriter(OpusHead(1, 312), serial=1, comments=["TITLE=go forward"], page_samples=page_samples)
    return b"".join([*(writer.write(packet.data) for packet in found), writer.finish(discard)])


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_of_browsers_give_the_packets_that_ffmpeg_finds(name: str) -> None:
    data = (VECTORS / name).read_bytes()
    events = read(data, PIECES[name])
    header, found = events[0], packets(events)
    assert isinstance(header, StreamHeader)
    assert not header.assumed
    assert header.head.channels == 1
    assert not any(isinstance(event, StreamGap) for event in events)
    wanted = ffmpeg_packets(data)
    assert [packet.data for packet in found] == [content for content, _ in wanted]
    # FFmpeg's times of WebM are whole milliseconds, rounded after the codec delay is taken off; those of Ogg exact.
    shift = found[0].timestamp / CLOCK - wanted[0][1]
    assert abs(shift) < 0.007
    for packet, (_, seconds) in zip(found, wanted, strict=True):
        assert packet.timestamp / CLOCK - seconds - shift == pytest.approx(0, abs=0.0021)


@pytest.mark.parametrize("kind", ["webm", "ogg-opus"])
@pytest.mark.parametrize("channels", [1, 2])
def test_files_of_ffmpeg_are_read_to_the_sample(kind: Literal["webm", "ogg-opus"], channels: int) -> None:
    pcm = speech("go-forward")
    if channels == 2:
        pcm = b"".join(pcm[at : at + 2] * 2 for at in range(0, len(pcm), 2))
    data = encode(pcm, kind, sample_rate=16_000, channels=channels)
    events = read(data, [1, 2, 3, 500])
    found = packets(events)
    header = events[0]
    assert isinstance(header, StreamHeader)
    assert header.head.channels == channels
    assert header.head.pre_skip == found[0].discard_start > 0
    assert found[0].timestamp == -header.head.pre_skip
    assert [packet.data for packet in found] == [content for content, _ in ffmpeg_packets(data)]
    ends = [packet.timestamp + packet.duration for packet in found]
    assert [packet.timestamp for packet in found[1:]] == ends[:-1]
    assert audible(found) == pytest.approx(len(speech("go-forward")) // 2 * 3, abs=1)


@pytest.mark.parametrize("page_samples", [None, 4_800, 48_000])
def test_ffmpeg_reads_what_is_written(page_samples: int | None) -> None:
    found = packets(read((VECTORS / "firefox-audio.ogg").read_bytes()))
    data = rewrite(found, page_samples=page_samples, discard=400)
    assert [content for content, _ in ffmpeg_packets(data)] == [packet.data for packet in found]
    assert ffmpeg_samples(data) == sum(packet.duration for packet in found) - 312 - 400
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.audio[0].metadata["TITLE"] == "go forward"


def test_a_written_stream_counts_what_will_be_played() -> None:
    found = packets(read((VECTORS / "firefox-audio.ogg").read_bytes()))
    writer = OggWriter(OpusHead(1, 312), serial=1)
    assert writer.samples == 0
    data = writer.write(found[0].data)
    assert data.count(b"OggS") == 2  # the headers
    assert b"".join(writer.write(packet.data) for packet in found[1:10]) == b""
    assert writer.samples == 10 * 960 - 312
    data += writer.flush() + writer.write_gap(1_000) + writer.finish()
    again = packets(read(data))
    assert len(again) == 11
    assert again[-1].data == bytes([found[9].data[0] & 0xFC])
    assert ffmpeg_samples(data) == 11 * 960 - 312


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(RECORDINGS))
def test_the_cut_into_pieces_does_not_matter(seed: int, name: str) -> None:
    data = (VECTORS / name).read_bytes()
    rng = random.Random(seed)
    sizes = [rng.randint(0, 400) for _ in range(rng.randint(1, 40))]
    assert [repr(event) for event in read(data, sizes)] == [repr(event) for event in read(data)]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_taken(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    data = (VECTORS / "firefox-audio.ogg").read_bytes()
    demux = OggDemuxer()
    assert len(packets(demux.push(kind(data)))) == len(packets(read(data)))


def test_a_recording_that_begins_anew_goes_on_in_time() -> None:
    data = (VECTORS / "chromium-audio.webm").read_bytes()
    once, twice = packets(read(data)), packets(read(data + data))
    assert len(twice) == 2 * len(once)
    end = once[-1].timestamp + once[-1].duration
    assert [packet.timestamp - end for packet in twice[len(once) :]] == [packet.timestamp for packet in once]


def test_a_recording_is_joined_with_the_head_that_is_known() -> None:
    data = (VECTORS / "firefox-audio.webm").read_bytes()
    pieces = PIECES["firefox-audio.webm"]
    events = read(data[sum(pieces[:2]) + 5 :], container="webm", head=OpusHead(1, 312, 44_100))
    gap, header = events[:2]
    assert isinstance(gap, StreamGap)
    assert (gap.at, gap.reason) == (0, "no WebM header")
    assert isinstance(header, StreamHeader)
    assert header.assumed
    assert header.head == OpusHead(1, 312, 44_100)


def test_faults_name_the_byte_and_what_was_sent() -> None:
    with pytest.raises(BadAudio, match=r"^byte \d+: the stream carries A_PCM/FLOAT/IEEE; an audio track of A_OPUS"):
        read((VECTORS / "chromium-pcm.webm").read_bytes())
    with pytest.raises(BadAudio, match=r"^byte 28: the stream carries Vorbis; only Opus can be taken"):
        read(encode(speech("go-forward"), "ogg-vorbis"))
    with pytest.raises(BadAudio, match=r"^byte 0: the stream begins like a WAV file, not like WebM"):
        read(b"RIFF    WAVE")
    with pytest.raises(BadAudio, match=r"^byte 9: 3 channels"):
        OpusHead.parse(b"OpusHead\x01\x03\x38\x01\x80\xbb\0\0\0\0\0")


def test_packets_before_a_fault_are_given_before_it_is_raised() -> None:
    good = (VECTORS / "chromium-audio.webm").read_bytes()
    demux = WebmDemuxer()
    assert packets(demux.push(good + (VECTORS / "chromium-pcm.webm").read_bytes()))
    with pytest.raises(BadAudio):
        demux.push(b"")
    with pytest.raises(BadAudio):
        demux.finish()


def test_what_is_asked_wrongly_is_refused_with_what_is_right() -> None:
    with pytest.raises(ValueError, match="webm and ogg"):
        demuxer("mp4")
    with pytest.raises(ValueError, match="1 or 2"):
        OpusHead(3)
    with pytest.raises(ValueError, match="NAME=value"):
        OggWriter(OpusHead(), serial=1, comments=["title"])
    with pytest.raises(ValueError, match="0 samples"):
        OggWriter(OpusHead(), serial=1, page_samples=0)
    writer = OggWriter(OpusHead(), serial=1)
    with pytest.raises(ValueError, match="before the first packet"):
        writer.write_gap(960)
    with pytest.raises(BadAudio, match="empty"):
        writer.write(b"")
    with pytest.raises(BadAudio, match=str(MAX_OPUS_PACKET)):
        writer.write(bytes(MAX_OPUS_PACKET + 1))
    writer.finish()
    with pytest.raises(ValueError, match="finish"):
        writer.write(b"\xf8\x00")


def test_the_duration_of_a_packet_is_in_its_first_bytes() -> None:
    assert packet_duration(b"\xf8") == 960
    assert packet_duration(memoryview(b"\x1b\x02")) == 5_760
    with pytest.raises(BadAudio, match="120 ms"):
        packet_duration(b"\x1b\x03")


def test_a_head_survives_the_round_trip() -> None:
    surround = b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\x00\xff\x01\x04\x02\x00\x04\x01\x02\x03\x05"
    head = OpusHead.parse(surround)
    assert bytes(head) == surround
    assert (head.channels, head.mapping_family, head.streams, head.coupled) == (6, 1, 4, 2)
    assert head.output_gain == -1.0
    assert head != OpusHead()
