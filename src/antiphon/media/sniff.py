"""What a file is, by its first bytes and never by its name.

Only containers that cannot name another file or an address are let through to FFmpeg; playlists (HLS, DASH, ffconcat),
subtitles and images are not among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.errors import AntiphonError, BadAudio, UnsupportedFormat

ACCEPTED = "WAV, FLAC, MP3, MP4/M4A, Ogg or WebM"

SHORT_HEAD = 64
"""Bytes that settle every kind of file but those without a signature at their start."""

QUICK_HEAD = 4 * 1024
"""Bytes searched for frames of an MP3 where that holds others up."""

LONG_HEAD = 64 * 1024
"""Bytes searched for the first frames of an MP3 that begins with something else, such as padding."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container that is taken.

    Attributes:
        name: The short name that clients see.
        demuxer: FFmpeg's name.
        offset: Bytes before the container begins.
    """

    name: str
    demuxer: str
    offset: int = 0


_WAV = Container("wav", "wav")
_FLAC = Container("flac", "flac")
_OGG = Container("ogg", "ogg")
_MP4 = Container("mp4", "mov")

# First box of ISO base media and QuickTime files; those without "ftyp" predate it.
_MP4_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot"})

_AUDIO_NOT_TAKEN = (
    (0, b"#!AMR", "AMR audio"),
    (0, b".snd", "Sun AU audio"),
    (0, b"caff", "Core Audio (CAF)"),
    (0, b"riff\x2e\x91\xcf\x11", "Sony Wave64 audio"),
    (0, b"MThd", "a MIDI file"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack audio"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream"),
    (8, b"AIFF", "AIFF audio"),
    (8, b"AIFC", "AIFF audio"),
    (8, b"AVI ", "an AVI video"),
)

_NOT_AUDIO = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"BZh", "bzip2 data"),
    (0, b"\xfd7zXZ\x00", "xz data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"ffconcat", "a playlist"),
    (0, b"[playlist]", "a playlist"),
    (0, b"WEBVTT", "subtitles"),
    (0, b"<?xml", "an XML document"),
)


def id3_size(head: bytes) -> int:
    """Length in bytes of the ID3v2 tag at the start (ID3v2.4 section 3.1), 0 where there is none."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    footer = 10 if head[5] & 0x10 else 0
    return 10 + size + footer


def by_signature(head: bytes) -> Container | None:
    """The container whose signature stands at the start of ``head``, if it is one that is taken."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _WAV
    if head[:4] == b"fLaC":
        return _FLAC
    if head[:4] == b"OggS":
        return _OGG
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Container("webm" if b"webm" in head else "matroska", "matroska")
    if head[4:8] in _MP4_BOXES:
        return _MP4
    return None


def by_frames(head: bytes) -> Container | None:
    """MPEG audio, which has no signature: frame headers that follow one another as their lengths say."""
    start = 0
    while (start := head.find(b"\xff", start)) >= 0:
        wanted = 2 if start == 0 else 4
        if _mpeg_frames(head, start, wanted):
            return Container("mp3", "mp3", offset=start)
        start += 1
    return None


def check(data: bytes) -> None:
    """Say at once that a whole file is none of the kinds taken, where its first bytes show that.

    Raises:
        BadAudio: It is no audio.
        UnsupportedFormat: It is audio of a kind that is not taken.
    """
    head = data[id3_size(data) :][:QUICK_HEAD]
    if by_signature(head) is None and by_frames(head) is None:
        raise refusal(head)


def refusal(head: bytes) -> AntiphonError:
    """The error for a file of none of the kinds taken, which says what it looks like."""
    for offset, magic, what in _AUDIO_NOT_TAKEN:
        if head[offset : offset + len(magic)] == magic:
            return UnsupportedFormat(f"this is {what}, which is not taken; send {ACCEPTED}")
    if len(head) > 6 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return UnsupportedFormat(f"this is a raw AAC stream (ADTS), which is not taken; send {ACCEPTED}")
    return BadAudio(f"this is {_likeness(head)}, not audio; send {ACCEPTED}")


def _likeness(head: bytes) -> str:
    for offset, magic, what in _NOT_AUDIO:
        if head[offset : offset + len(magic)] == magic:
            return what
    text = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if _is_text(text):
        return "JSON" if text[:1] in (b"{", b"[") else "text"
    if not any(head):
        return "nothing but zero bytes (raw PCM has to be sent with a WAV header)"
    return "of no kind known here (raw PCM has to be sent with a WAV header)"


def _is_text(data: bytes) -> bool:
    if not data or any(byte < 0x20 and byte not in b"\t\r\n\f" for byte in data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(data) - 3  # the last character may have been cut
    return True


# ISO/IEC 11172-3 section 2.4.2.3 and 13818-3: kbit/s by bitrate_index 1 to 14, and hertz by sampling_frequency.
_KBITS_V1_LAYER2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_KBITS_V1_LAYER3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_V2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _mpeg_frame_bytes(head: bytes, at: int) -> int:
    """Length of the layer II or III frame whose header stands at ``at``; 0 where none does."""
    if at + 4 > len(head) or head[at] != 0xFF or head[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[at + 1] >> 3 & 3, head[at + 1] >> 1 & 3
    bitrate, rate = head[at + 2] >> 4, head[at + 2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or not 1 <= bitrate <= 14 or rate == 3:
        return 0
    table = _KBITS_V2 if version != 3 else _KBITS_V1_LAYER3 if layer == 1 else _KBITS_V1_LAYER2
    eighths = 72 if layer == 1 and version != 3 else 144
    return eighths * 1000 * table[bitrate - 1] // _HERTZ[version][rate] + (head[at + 2] >> 1 & 1)


def _mpeg_frames(head: bytes, start: int, wanted: int) -> bool:
    at = start
    for found in range(wanted):
        size = _mpeg_frame_bytes(head, at)
        if not size:
            # A file, or what was read of it, may end within its first frames.
            return found > 0 and start == 0 and at + 4 > len(head)
        at += size
    return True
