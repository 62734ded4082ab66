"""Where audio goes: a loudspeaker, a WAV file, or standard output."""

from __future__ import annotations

import importlib
import os
import struct
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from antiphon.cli.base import USAGE_ERROR, Failure

UNKNOWN_SIZE = 0xFFFF_FFFF
"""In a WAV whose length is not known before it is over, as players and FFmpeg know it."""
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def _header(sample_rate: int, size: int) -> bytes:
    """That of a WAV of so many bytes of samples; of more than it can name, it says that the length is not known."""
    whole = size + WAV_HEADER.size - 8
    if whole >= UNKNOWN_SIZE:
        size = whole = UNKNOWN_SIZE
    return WAV_HEADER.pack(
        b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16, b"data", size
    )


class Output(ABC):
    """Takes mono 16-bit PCM. A context manager, which opens it."""

    @abstractmethod
    def open(self, sample_rate: int) -> None:
        """Get ready for samples of that rate.

        Raises:
            Failure: It cannot be opened; the message says what to do.
        """

    @abstractmethod
    def write(self, pcm: bytes) -> None:
        """Take samples; a loudspeaker waits until it has room for them.

        Raises:
            OSError: It cannot be written to any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish; harmless where it was never opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WavFile(Output):
    """A file, begun with the first thing to write, so that a failure before leaves an older file alone.

    Where nothing fails and nothing is to be heard, it is there and empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rate = 0
        self._file: BinaryIO | None = None
        self._bytes = 0

    def open(self, sample_rate: int) -> None:
        self._rate = sample_rate

    def write(self, pcm: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
            self._file.write(_header(self._rate, 0 if self._file.seekable() else UNKNOWN_SIZE))
        self._file.write(pcm)
        self._bytes += len(pcm)
        if self._file.seekable():
            # Kept up, so that what is there can be read whatever ends this process. To seek is to flush.
            self._file.seek(0)
            self._file.write(_header(self._rate, self._bytes))
            self._file.seek(0, os.SEEK_END)
        else:
            self._file.flush()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rate:
            self.write(b"")
        super().__exit__(kind, error, trace)


class StandardOutput(Output):
    """Standard output.

    Args:
        wav: Begin with the header of a WAV of unknown length; bare samples otherwise.
    """

    def __init__(self, *, wav: bool) -> None:
        self._wav = wav
        self._file: BinaryIO = sys.stdout.buffer

    def open(self, sample_rate: int) -> None:
        if self._wav:
            self._file.write(_header(sample_rate, UNKNOWN_SIZE))

    def write(self, pcm: bytes) -> None:
        self._file.write(pcm)
        self._file.flush()

    def close(self) -> None:
        self._file.flush()


class Loudspeaker(Output):
    """The default device, through PortAudio.

    Args:
        latency: Seconds that it holds, about.
    """

    def __init__(self, latency: float = 0.1) -> None:
        self._latency = latency
        self._stream: Any = None

    def open(self, sample_rate: int) -> None:
        try:
            sounddevice = importlib.import_module("sounddevice")
            self._stream = sounddevice.RawOutputStream(
                samplerate=sample_rate, channels=1, dtype="int16", latency=self._latency
            )
            self._stream.start()
        except (ImportError, OSError) as fault:
            raise _no_device(fault) from None
        except sounddevice.PortAudioError as fault:
            raise _no_device(fault) from None

    def write(self, pcm: bytes) -> None:
        self._stream.write(pcm)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()
            stream.close()


def _no_device(fault: Exception) -> Failure:
    return Failure(
        f"nothing can be played here ({fault}); write a file with --output FILE.wav, or install PortAudio "
        "(on Debian: apt install libportaudio2) and plug in a loudspeaker"
    )


def choose_output(where: str | None, *, raw: bool, latency: float = 0.1) -> Output:
    """The output that ``--output`` names.

    Args:
        where: A file, ``-`` for standard output, None for the loudspeaker.
        raw: Standard output gets bare samples and no WAV.
        latency: Seconds that the loudspeaker holds, about.

    Raises:
        Failure: There can be no such file, or standard output is a terminal.
    """
    if where is None:
        return Loudspeaker(latency)
    if where == "-":
        if sys.stdout.isatty():
            raise Failure("standard output is a terminal; send it on with | or > ", USAGE_ERROR)
        return StandardOutput(wav=not raw)
    path = Path(where)
    if path.is_dir():
        raise Failure(f"{path} is a directory; name a file in it with --output", USAGE_ERROR)
    if not path.absolute().parent.is_dir():
        raise Failure(f"there is no directory {path.parent}; make it first, or name another with --output", USAGE_ERROR)
    return WavFile(path)
