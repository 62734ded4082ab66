"""Containers told by their first bytes."""

from __future__ import annotations

import pytest

from antiphon.errors import BadAudio, UnsupportedFormat
from antiphon.media import sniff
from support.audio import KINDS, Kind, encode, sine

NAMES: dict[Kind, str] = {"m4a": "mp4", "ogg-opus": "ogg", "ogg-vorbis": "ogg"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_container_taken_is_known_by_its_content(kind: Kind) -> None:
    head = encode(sine(440, 0.2), kind)[: sniff.LONG_HEAD]
    head = head[sniff.id3_size(head) :]
    found = sniff.by_signature(head[: sniff.SHORT_HEAD]) or sniff.by_frames(head)
    assert found is not None
    assert found.name == NAMES.get(kind, kind)


def test_an_mp3_is_found_behind_padding_and_a_cut_frame() -> None:
    mp3 = encode(sine(440, 0.5), "mp3", options={"id3v2_version": "0", "write_xing": "0"})
    assert sniff.by_frames(mp3) == sniff.Container("mp3", "mp3")
    assert sniff.by_frames(bytes(500) + mp3) == sniff.Container("mp3", "mp3", offset=500)
    cut = sniff.by_frames(mp3[50:])
    assert cut is not None
    assert 0 < cut.offset < 500


@pytest.mark.parametrize("data", [b"\xff" * 5000, b"\xff\xfe" + "UTF-16 text".encode("utf-16-le"), b"\xff\xfb\x90"])
def test_a_stray_sync_word_is_no_mp3(data: bytes) -> None:
    assert sniff.by_frames(data) is None


def test_id3_size_counts_header_and_footer() -> None:
    assert sniff.id3_size(b"ID3\x04\x00\x00\x00\x00\x02\x01") == 10 + 257
    assert sniff.id3_size(b"ID3\x04\x00\x10\x00\x00\x02\x01") == 20 + 257
    assert sniff.id3_size(b"ID3\x04\x00\x00\x80\x00\x00\x00") == 0, "a size byte has its high bit set"
    assert sniff.id3_size(b"fLaC") == 0


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"PK\x03\x04\x14\x00", "a ZIP archive"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\x00", "a PNG image"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "a WebP image"),
        (b"\x1f\x8b\x08\x00", "gzip data"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://example.org/a.ts\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a playlist"),
        (b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello", "subtitles"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b'<?xml version="1.0"?><MPD>', "an XML document"),
        (b'{"error": "not found"}', "JSON"),
        ("Grüße, 1 2 3".encode(), "text"),
        (bytes(4096), "nothing but zero bytes"),
        (b"\x01\x00\xfe\xff\x03\x00\xfc\xff", "of no kind known here"),
    ],
)
def test_what_is_no_audio_is_refused_by_name(head: bytes, what: str) -> None:
    error = sniff.refusal(head)
    assert type(error) is BadAudio
    assert error.message.startswith(f"this is {what}")
    assert error.message.endswith("not audio; send WAV, FLAC, MP3, MP4/M4A, Ogg or WebM")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"FORM\x00\x00\x10\x00AIFFCOMM", "AIFF audio"),
        (b"#!AMR\n", "AMR audio"),
        (b".snd\x00\x00\x00\x18", "Sun AU audio"),
        (b"RIFF\x00\x00\x10\x00AVI LIST", "an AVI video"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc", "a raw AAC stream (ADTS)"),
    ],
)
def test_audio_that_is_not_taken_is_named_and_unsupported(head: bytes, what: str) -> None:
    error = sniff.refusal(head)
    assert type(error) is UnsupportedFormat
    assert error.message == f"this is {what}, which is not taken; send WAV, FLAC, MP3, MP4/M4A, Ogg or WebM"
