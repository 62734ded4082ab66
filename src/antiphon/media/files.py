"""Whole audio files as blocks of PCM, each file decoded by a process of its own.

Containers are where hostile input does most harm: a small file can make FFmpeg allocate gigabytes, spin or crash. In a
process of its own, under limits of memory and time, it harms nothing but itself.
"""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

from antiphon.errors import BadAudio, Internal, error_from_dict
from antiphon.media.wire import HEADER, FileInfo

STALL_SECONDS = 30.0
"""How long the decoder may take for its next block of a file that lies on a disk."""

# The decoder is shown nothing of the server's settings and secrets.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
_ENVIRONMENT_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_")


class FileDecoder:
    """The first audio track of a file as blocks of mono PCM.

    A context manager, to be entered and iterated once. Only the constructor does not block: run the rest in a worker
    thread. Threads may take turns, and :meth:`close` may come from any at any time::

        with FileDecoder(path, max_seconds=3600) as decoder:
            for block in decoder:
                ...

    Each block is mono s16le at ``sample_rate``, half a second long but for the last. Gaps between timestamps are not
    filled. A last packet that is cut short is left out without an error, as players do. The decoder runs ahead of the
    reader by no more than two seconds at 16 kHz.

    Args:
        source: A path, or a file open for reading bytes, which is read from where it stands and left open, its position
            undefined. A pipe will do, but for MP4 files with their index at the end. What is not backed by a
            descriptor, such as ``io.BytesIO``, is first copied to a temporary file.
        sample_rate: Hertz of what comes out.
        max_seconds: Longest audio taken, counted in decoded samples.
        stall_seconds: Longest wait for each block; for the header, with which the process starts, it is at least the
            default. A pipe is waited for without end.

    Raises:
        BadAudio: Empty, not audio, truncated or corrupt, or made to exhaust the decoder: on entering, or while
            iterating, when the message says how many seconds were decoded before the fault.
        UnsupportedFormat: A container or codec that is not taken, no audio track, an absurd sample rate or channel
            count.
        DurationLimit: More than ``max_seconds``, while iterating.
        Internal: The decoder could not be started or failed by its own fault.
        OSError: The source cannot be read.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        sample_rate: int = 16_000,
        max_seconds: float,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._source = source
        self._sample_rate = sample_rate
        self._max_seconds = max_seconds
        self._stall_seconds = stall_seconds
        self._patience: float | None = max(stall_seconds, STALL_SECONDS)
        self._received = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._info: FileInfo | None = None
        self._closed = False
        self._reading = threading.Lock()  # held while the pipe is read, so that close() leaves it open so long

    @property
    def info(self) -> FileInfo:
        """What the header says, known inside the ``with`` block before anything is decoded."""
        if self._info is None:
            raise ValueError("the decoder has not been entered")
        return self._info

    def close(self) -> None:
        """End the decoder, wherever it is. Harmless when repeated; may come from another thread than the reader's."""
        self._closed = True
        process = self._process
        if process is None:
            return
        process.kill()
        with self._reading:
            assert process.stdout is not None  # noqa: S101
            process.stdout.close()
            process.wait()

    def __enter__(self) -> Self:
        if self._closed or self._process is not None:
            raise ValueError("a decoder is entered once")
        file, offset, ours = _on_descriptor(self._source)
        try:
            lies_on_disk = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if not lies_on_disk:
                self._patience = None
            self._process = _start(file, self._sample_rate, self._max_seconds, offset)
        finally:
            if ours:
                file.close()
        try:
            _, payload = self._receive(self._process)
        except BaseException:
            self.close()
            raise
        self._info = FileInfo(**json.loads(payload))
        if lies_on_disk:
            self._patience = self._stall_seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        while self._process is not None:
            kind, payload = self._receive(self._process)
            if kind == b"Z":
                return
            self._received += len(payload)
            yield payload
        raise ValueError("the decoder has not been entered")

    def _receive(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """The next message that is not an error."""
        with self._reading:
            if self._closed:
                raise ValueError("the decoder is closed")
            kind, size = HEADER.unpack(self._read(process, HEADER.size))
            payload = self._read(process, size)
        if kind == b"E":
            raise error_from_dict(json.loads(payload))
        if kind == b"O":
            raise OSError(*json.loads(payload))
        if kind == b"X":
            raise Internal("the file decoder failed; the server's log says more") from RuntimeError(payload.decode())
        return kind, payload

    def _read(self, process: subprocess.Popen[bytes], size: int) -> bytes:
        assert process.stdout is not None  # noqa: S101
        descriptor = process.stdout.fileno()
        waiter = select.poll()  # select() takes no descriptor above 1023
        waiter.register(descriptor, select.POLLIN)
        timeout = None if self._patience is None else self._patience * 1000
        data = bytearray()
        while len(data) < size:
            if not waiter.poll(timeout):
                raise BadAudio(
                    f"after {self._seconds:.1f} seconds of audio nothing came out of the file for"
                    f" {self._patience:g} seconds: it is corrupt, or the server overloaded; export it again, or"
                    " try once more"
                )
            some = os.read(descriptor, size - len(data))
            if not some:
                raise self._died(process.wait())
            data += some
        return bytes(data)

    @property
    def _seconds(self) -> float:
        return self._received / (2 * self._sample_rate)

    def _died(self, status: int) -> Exception:
        if self._closed:
            return ValueError("the decoder is closed")
        if status < 0:
            return BadAudio(
                f"the file is corrupt: after {self._seconds:.1f} seconds the decoder broke down on it"
                f" (signal {-status}); export it again and send that"
            )
        return Internal(f"the file decoder ended with status {status}; the server's log says more")


def _on_descriptor(source: str | os.PathLike[str] | BinaryIO) -> tuple[BinaryIO, int, bool]:
    """The source as something with a descriptor, the offset where it begins, and whether it is ours to close."""
    if isinstance(source, (str, os.PathLike)):
        return open(source, "rb"), 0, True
    # Not whatever has a fileno(): that of a gzip.GzipFile, for one, leads to other bytes.
    if isinstance(getattr(source, "raw", source), io.FileIO):
        if not source.seekable():
            return source, 0, False
        if source.writable():
            source.flush()
        return source, source.tell(), False
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    try:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy, 0, True


def _start(file: BinaryIO, sample_rate: int, max_seconds: float, offset: int) -> subprocess.Popen[bytes]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return subprocess.Popen(  # noqa: S603 - three numbers are all that comes from outside
        # -P: a module of the working directory must not stand in for one of ours.
        [sys.executable, "-P", "-m", "antiphon.media.worker", str(sample_rate), str(max_seconds), str(offset)],
        stdin=file,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        process_group=0,  # Ctrl-C is for the one who reads, who then closes this
    )
