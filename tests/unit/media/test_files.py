"""Files decoded by a process of their own: what it protects from, and that nothing else changes."""

from __future__ import annotations

import gzip
import io
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest
from pocketsphinx import Decoder

from antiphon.errors import BadAudio, DurationLimit, UnsupportedFormat
from antiphon.media import FileDecoder
from antiphon.media.decode import InProcessDecoder
from support.audio import Kind, encode, sine, speech, tone_dbfs, transcripts, wav


def decode(source: str | os.PathLike[str] | BinaryIO, max_seconds: float = 600.0) -> bytes:
    with FileDecoder(source, max_seconds=max_seconds) as decoder:
        return b"".join(decoder)


def workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("antiphon.media.worker" in part for part in child.cmdline())
    ]


@contextmanager
def pipe_of(data: bytes, *, stays_open: bool = False) -> Iterator[BinaryIO]:
    """The reading end of a pipe into which ``data`` goes; kept open, it then gives nothing more."""
    reading, writing = os.pipe()
    done = threading.Event()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
            file.write(data)
            file.flush()
            if stays_open:
                done.wait()

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with os.fdopen(reading, "rb") as file:
            yield file
    finally:
        done.set()
        feeder.join()


def bomb() -> bytes:
    """An MP4 of some kilobytes whose index names eighty million samples of one byte."""
    data = bytearray(encode(sine(440, 1), "m4a"))
    count = 80_000_000
    # ISO/IEC 14496-12 sections 8.7.3.2, 8.7.4 and 8.6.1.2: sample sizes, samples a chunk, durations.
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, count)
    struct.pack_into(">IIII", data, data.index(b"stsc") + 8, 1, 1, count, 1)
    struct.pack_into(">III", data, data.index(b"stts") + 8, 1, count, 1024)
    return bytes(data)


def swollen_wav() -> bytes:
    """A WAV whose comment claims to be 900 MB long."""
    size = 900_000_000
    comment = b"LIST" + struct.pack("<I", size + 12) + b"INFOISFT" + struct.pack("<I", size) + b"hello"
    whole = wav(sine(440, 1))
    return whole[:36] + comment + whole[36:]


def with_channel_map(movie: bytes) -> bytes:
    """The same movie with its channel layout given as a list of descriptions: right, then left."""
    described = struct.pack(">4I", 0, 0, 0, 2) + b"".join(struct.pack(">2I3f", label, 0, 0, 0, 0) for label in (2, 1))
    return _rebuilt(movie, described)


def _rebuilt(boxes: bytes, described: bytes) -> bytes:
    out, at = b"", 0
    while at + 8 <= len(boxes):
        size, name = struct.unpack_from(">I4s", boxes, at)
        body = boxes[at + 8 : at + size]
        at += size
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            body = _rebuilt(body, described)
        elif name == b"stsd":
            entry, chan = body[8:], body.index(b"chan", 8) - 12
            old = struct.unpack_from(">I", entry, chan)[0]
            entry = entry[:chan] + struct.pack(">I4s", 8 + len(described), b"chan") + described + entry[chan + old :]
            body = body[:8] + struct.pack(">I", len(entry)) + entry[4:]
        out += struct.pack(">I4s", 8 + len(body), name) + body
    return out


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    descriptors = psutil.Process().num_fds()
    yield
    assert not workers()
    assert psutil.Process().num_fds() == descriptors


def test_the_blocks_are_those_of_the_decoder_itself(tmp_path: Path) -> None:
    data = encode(speech("go-forward"), "ogg-opus", to=tmp_path / "speech")
    with InProcessDecoder(io.BytesIO(data), max_seconds=60) as bare:
        expected, info = list(bare), bare.info
    with FileDecoder(tmp_path / "speech", max_seconds=60) as decoder:
        assert decoder.info == info
        assert list(decoder) == expected
    assert (info.container, info.codec, info.sample_rate, info.channels) == ("ogg", "opus", 48_000, 1)


@pytest.mark.parametrize("kind", ["mp3", "ogg-opus"])
def test_speech_is_heard_through_a_lossy_file(kind: Kind) -> None:
    pcm = decode(io.BytesIO(encode(speech("go-forward"), kind)))
    recogniser = Decoder(samprate=16_000, loglevel="FATAL")
    recogniser.start_utt()
    recogniser.process_raw(pcm, full_utt=True)
    recogniser.end_utt()
    assert recogniser.hyp().hypstr == transcripts()["go-forward.wav"]


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    pcm = sine(440, 3)
    data = encode(pcm, "flac")
    path = tmp_path / "named.txt"
    path.write_bytes(b"before" + data)
    with open(path, "rb") as file:
        file.read(6)
        assert decode(file) == pcm
        assert not file.closed
    with gzip.open(tmp_path / "packed", "wb") as packed:
        packed.write(data)
    with gzip.open(tmp_path / "packed", "rb") as packed:
        assert decode(cast(BinaryIO, packed)) == pcm
    with open(tmp_path / "written", "w+b") as written:
        written.write(data)
        written.seek(0)
        assert decode(written) == pcm
    with pipe_of(data) as pipe:
        assert decode(pipe) == pcm


def test_a_pipe_gives_sound_while_it_is_still_open() -> None:
    with (
        pipe_of(wav(sine(440, 5)), stays_open=True) as pipe,
        FileDecoder(pipe, max_seconds=60, stall_seconds=0.001) as decoder,
    ):
        assert len(next(iter(decoder))) == 16_000


def test_errors_are_the_same_as_without_a_process(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BadAudio, match=r"^this is a ZIP archive, not audio; send WAV") as caught:
        decode(tmp_path / "song.wav")
    assert caught.value.code == "bad_audio"
    with pytest.raises(UnsupportedFormat, match="AIFF"):
        decode(io.BytesIO(b"FORM\x00\x00\x10\x00AIFFCOMM"))
    with pytest.raises(BadAudio, match="empty"):
        decode(io.BytesIO())
    heard: list[bytes] = []
    with (
        FileDecoder(io.BytesIO(wav(sine(440, 3))), max_seconds=2) as decoder,
        pytest.raises(DurationLimit, match="longer than 2 seconds"),
    ):
        heard.extend(decoder)
    assert 1 <= len(b"".join(heard)) / 32_000 <= 2


def test_a_source_that_cannot_be_read_is_no_fault_of_the_audio(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        decode(tmp_path)


def test_it_is_entered_once_and_read_only_while_open() -> None:
    decoder = FileDecoder(io.BytesIO(wav(sine(440, 3))), max_seconds=60)
    with pytest.raises(ValueError, match="not been entered"):
        _ = decoder.info
    with pytest.raises(ValueError, match="not been entered"):
        next(iter(decoder))
    with decoder, pytest.raises(ValueError, match="entered once"):
        decoder.__enter__()
    assert decoder.info.codec == "pcm_s16le"
    with pytest.raises(ValueError, match="closed"):
        next(iter(decoder))
    with pytest.raises(ValueError, match="entered once"):
        decoder.__enter__()


def test_leaving_early_ends_the_process() -> None:
    with FileDecoder(io.BytesIO(wav(sine(440, 60))), max_seconds=60) as decoder:
        next(iter(decoder))
        (worker,) = workers()
    assert not worker.is_running()


def test_another_thread_may_close_it_while_it_is_waited_for() -> None:
    outcome: list[Exception] = []
    first = threading.Event()

    def read(decoder: FileDecoder) -> None:
        try:
            for _ in decoder:
                first.set()
        except ValueError as error:
            outcome.append(error)

    with pipe_of(wav(sine(440, 5)), stays_open=True) as pipe, FileDecoder(pipe, max_seconds=60) as decoder:
        reader = threading.Thread(target=read, args=(decoder,))
        reader.start()
        assert first.wait(30)
        decoder.close()
        reader.join(30)
        assert not reader.is_alive()
    assert [str(error) for error in outcome] == ["the decoder is closed"]


def test_a_crash_of_the_decoder_is_an_error_of_the_file() -> None:
    heard: list[bytes] = []
    with FileDecoder(io.BytesIO(wav(sine(440, 60))), max_seconds=60) as decoder:
        blocks = iter(decoder)
        heard.append(next(blocks))
        (worker,) = workers()
        worker.send_signal(signal.SIGSEGV)
        with pytest.raises(BadAudio, match=r"^the file is corrupt: after \d+\.\d seconds .* broke down .*signal 11"):
            heard.extend(blocks)
    assert len(b"".join(heard)) < 32_000 * 30


def test_a_decoder_that_stands_still_is_given_up() -> None:
    with FileDecoder(io.BytesIO(wav(sine(440, 60))), max_seconds=60, stall_seconds=0.25) as decoder:
        (worker,) = workers()
        worker.suspend()
        with pytest.raises(BadAudio, match=r"seconds of audio nothing came out of the file for 0.25 seconds"):
            list(decoder)


def test_a_channel_map_of_its_own_harms_nobody() -> None:
    movie = encode(sine(1000, 1, channels=2, dbfs=-12), "mov", channels=2)
    mapped = with_channel_map(movie)
    assert mapped != movie
    assert tone_dbfs(decode(io.BytesIO(mapped))[3_200:-3_200], 1000) == pytest.approx(-12, abs=0.1)


@pytest.mark.parametrize("make", [bomb, swollen_wav])
def test_a_small_file_cannot_take_much_memory(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(make())
    assert path.stat().st_size < 100_000
    script = (
        "import resource, sys\n"
        "from antiphon.media import FileDecoder\n"
        "from antiphon.errors import BadAudio\n"
        "try:\n"
        "    with FileDecoder(sys.argv[1], max_seconds=60) as decoder: list(decoder)\n"
        "except BadAudio as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)\n"
    )
    told = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True).stdout
    *message, megabytes = told.splitlines()
    assert int(megabytes) < 256 + 150, "of the file, and of Python with its libraries"
    assert message, "it is told what is wrong"


def test_the_process_sees_no_secrets_and_no_module_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_API_KEY", "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit('taken from the working directory')\n")
    with FileDecoder(io.BytesIO(wav(sine(440, 60))), max_seconds=60) as decoder:
        next(iter(decoder))
        (worker,) = workers()
        assert "ANTIPHON_API_KEY" not in worker.environ()
