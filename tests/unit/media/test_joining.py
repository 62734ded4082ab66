"""Joining live containers in the middle: what comes out can be decoded, and is what was sent from there on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antiphon.formats import Encoding
from antiphon.media.joining import MAX_HEADER, JoinFinder, container_of
from support.audio import Kind, encode, speech

KINDS: list[tuple[Kind, Encoding]] = [("webm", Encoding.WEBM), ("ogg-opus", Encoding.OGG)]
PCM = speech("two-utterances")
FILES = {
    "webm": encode(PCM, "webm", options={"live": "1", "cluster_time_limit": "1000"}),
    "ogg-opus": encode(PCM, "ogg-opus", options={"page_duration": "100000"}),
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def packets(data: bytes) -> list[bytes]:
    """The packets of a container, as FFmpeg finds them."""
    with av.open(io.BytesIO(data), "r") as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def decoded(data: bytes) -> npt.NDArray[np.float32]:
    with av.open(io.BytesIO(data), "r") as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def joined(parts: list[bytes], encoding: Encoding, after: int) -> bytes:
    """What somebody gets who comes after the first `after` pieces."""
    finder = JoinFinder.of(encoding)
    out = bytearray()
    for number, part in enumerate(parts):
        join = finder.push(part)
        if number < after:
            continue
        if out:
            out += part
        elif join is not None:
            out += join.head + part[join.at :]
    return bytes(out)


@pytest.mark.parametrize(("kind", "encoding"), KINDS)
@pytest.mark.parametrize("size", [150, 700, 3_000, 20_000])
def test_whoever_joins_hears_the_rest(kind: Kind, encoding: Encoding, size: int) -> None:
    file = FILES[kind]
    parts = list(pieces(file, size))
    whole = packets(file)
    lengths = []
    for after in range(0, len(parts) - 1, max(1, len(parts) // 15)):
        stream = joined(parts, encoding, after)
        if not stream:
            continue
        rest = packets(stream)
        assert rest == whole[-len(rest) :]
        assert decoded(stream).size > 0
        lengths.append(len(rest))
    assert lengths[0] == len(whole)
    assert all(before >= later for before, later in pairwise(lengths))
    # nobody waits long: a piece and a page, or a block
    assert len(lengths) > 0.8 * min(15, len(parts) - 1)


@pytest.mark.parametrize(("kind", "encoding"), KINDS)
def test_after_a_missing_piece_there_is_a_place_again(kind: Kind, encoding: Encoding) -> None:
    file = FILES[kind]
    finder = JoinFinder.of(encoding)
    parts = list(pieces(file, 1_000))
    half = len(parts) // 2
    for part in parts[: half - 1]:
        finder.push(part)
    finder.miss()
    out = bytearray()
    for part in parts[half:]:
        join = finder.push(part)
        if out:
            out += part
        elif join is not None:
            out += join.head + part[join.at :]
    rest = packets(bytes(out))
    assert rest
    assert rest == packets(file)[-len(rest) :]


@pytest.mark.parametrize(("kind", "encoding"), KINDS)
def test_a_stream_that_begins_anew_has_the_new_header(kind: Kind, encoding: Encoding) -> None:
    again = encode(speech("go-forward"), kind, channels=1, sample_rate=16_000)
    finder = JoinFinder.of(encoding)
    for part in pieces(FILES[kind][: len(FILES[kind]) // 2], 999):
        finder.push(part)
    old = finder.header
    out = bytearray()
    for part in pieces(again, 500):
        join = finder.push(part)
        if out:
            out += part
        elif part is not again[:500] and join is not None and finder.header:
            out += join.head + part[join.at :]
    assert finder.header
    assert finder.header != old
    rest = packets(bytes(out))
    assert rest == packets(again)[-len(rest) :]


def test_a_second_stream_in_one_piece_can_be_joined_where_it_begins() -> None:
    file = FILES["ogg-opus"]
    finder = JoinFinder.of(Encoding.OGG)
    finder.push(file[:5_000])
    finder.push(file[5_000:-10])
    join = finder.push(file[-10:] + file)
    assert join is not None
    assert packets(join.head + (file[-10:] + file)[join.at :]) == packets(file)


def test_a_header_beyond_all_measure_is_not_kept() -> None:
    head = FILES["webm"][: FILES["webm"].index(b"\x1f\x43\xb6\x75")]
    padded = head + _void(2 * MAX_HEADER)
    finder = JoinFinder.of(Encoding.WEBM)
    rest = FILES["webm"][len(head) :]
    assert finder.push(padded) is not None  # where it begins
    assert finder.push(rest) is None
    assert finder.header == b""


def _void(size: int) -> bytes:
    return b"\xec" + (0x1000_0000 | size).to_bytes(4) + bytes(size)


def test_containers_are_told_by_how_they_begin() -> None:
    assert container_of(FILES["webm"][:10]) is Encoding.WEBM
    assert container_of(FILES["ogg-opus"][:10]) is Encoding.OGG
    later = FILES["ogg-opus"].index(b"OggS", 4)
    assert container_of(FILES["ogg-opus"][later:]) is None
    assert container_of(b"") is None
    assert container_of(b"RIFF") is None


@settings(max_examples=200)
@given(
    encoding=st.sampled_from([Encoding.WEBM, Encoding.OGG]),
    parts=st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [b"\x1a\x45\xdf\xa3\x80", b"\x1f\x43\xb6\x75\xff\xe7\x81\x01", b"\xa3\x84abcd", b"OggS\x00\x02"]
        )
        | st.integers(0, 3_000).map(lambda at: FILES["webm"][at : at + 400])
        | st.integers(0, 3_000).map(lambda at: FILES["ogg-opus"][at : at + 400]),
        max_size=12,
    ),
)
@example(Encoding.WEBM, [b"\x1a\x45\xdf\xa3", b""])
def test_any_bytes_give_a_place_within_them_or_none(encoding: Encoding, parts: list[bytes]) -> None:
    finder = JoinFinder.of(encoding)
    for part in parts:
        join = finder.push(part)
        assert join is None or 0 <= join.at < len(part)
        assert len(finder.header) <= MAX_HEADER
        assert len(finder._rest) < 320
