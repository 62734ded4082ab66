"""The bytes that FFmpeg gets to see."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import pytest

from antiphon.errors import BadAudio
from antiphon.media import source as source_module
from antiphon.media.source import ByteSource


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time and cannot be seeked."""

    def __init__(self, data: bytes, fault: Exception | None = None) -> None:
        self._data = io.BytesIO(data)
        self._fault = fault

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(min(size, 7))
        if not data and self._fault is not None:
            raise self._fault
        return data


def pipe(data: bytes, fault: Exception | None = None) -> BinaryIO:
    return cast(BinaryIO, Pipe(data, fault))


def read_all(source: ByteSource) -> bytes:
    return b"".join(iter(lambda: source.read(1000), b""))


@pytest.mark.parametrize("make", [io.BytesIO, pipe], ids=["file", "pipe"])
def test_peeked_bytes_are_read_again_and_skipped_ones_are_not(make: type[io.BytesIO]) -> None:
    source = ByteSource(make(bytes(range(100))))
    assert source.peek(30) == bytes(range(30))
    source.skip(10)
    assert source.peek(3) == bytes([10, 11, 12])
    assert read_all(source) == bytes(range(10, 100))
    assert source.tell() == 90


@pytest.mark.parametrize("make", [io.BytesIO, pipe], ids=["file", "pipe"])
def test_more_may_be_peeked_and_skipped_than_there_is(make: type[io.BytesIO]) -> None:
    source = ByteSource(make(b"abc"))
    assert source.peek(100) == b"abc"
    source.skip(100)
    assert source.read(10) == b""


def test_a_file_begins_where_it_stands() -> None:
    file = io.BytesIO(b"header" + bytes(range(50)))
    file.seek(6)
    source = ByteSource(file)
    source.skip(10)
    assert source.seek(0, io.SEEK_END) == 40
    assert source.seek(-4, io.SEEK_CUR) == 36
    assert source.read(100) == bytes(range(46, 50))
    assert source.seek(1) == 1
    assert source.read(1) == bytes([11])
    assert source.seek(-1) == -1


def test_a_pipe_does_not_seek() -> None:
    source = ByteSource(pipe(b"abc"))
    assert not source.seekable()
    assert source.seek(0) == -1


def test_a_fault_of_the_file_is_kept_and_looks_like_its_end() -> None:
    fault = OSError(5, "Input/output error")
    source = ByteSource(pipe(b"abcdefghij", fault))
    assert read_all(source) == b"abcdefghij"
    assert source.failure is fault
    assert source.read(10) == b""


def test_a_file_that_gives_text_or_too_much_is_a_fault() -> None:
    class Wrong(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return bytes(size or 0) + b"more"

    source = ByteSource(Wrong(b"abc"))
    assert source.read(10) == b""
    assert isinstance(source.failure, ValueError)


def test_endless_reading_without_a_packet_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "STALL_BYTES", 1000)
    source = ByteSource(io.BytesIO(bytes(400)))
    for _ in range(2):
        source.seek(0)
        assert read_all(source) == bytes(400)
    source.progressed()
    for _ in range(2):
        source.seek(0)
        assert read_all(source) == bytes(400)
    source.seek(0)
    assert read_all(source) == b""
    assert isinstance(source.failure, BadAudio)
