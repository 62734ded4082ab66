"""Where the audio comes from: a file, or standard input as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from antiphon.cli.base import Failure
from antiphon.formats import AudioFormat
from antiphon.media import FileDecoder, PcmConverter

LONGEST_S = 7 * 24 * 3600.0
"""Seconds of audio in one file; more is a mistake."""
READ_AHEAD = 4
"""Blocks that may wait for who takes them."""
RAW_BLOCK = 4096
"""Bytes read from standard input at once, at most; whatever is there comes at once."""
REALTIME_S = 0.1
"""Pieces in which audio comes with ``--realtime``."""

Blocks = AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """Mono s16le on its way.

    Attributes:
        blocks: The samples.
        total: Seconds in all, None where that is not known.
    """

    blocks: Blocks
    total: float | None


class Source(ABC):
    """Audio that can be opened once."""

    @abstractmethod
    def open(self, sample_rate: int) -> contextlib.AbstractAsyncContextManager[OpenAudio]:
        """Mono s16le at that rate.

        Raises:
            AntiphonError: It is not audio, when entered or while iterating.
            OSError: It cannot be read.
        """

    @abstractmethod
    def path(self) -> contextlib.AbstractContextManager[Path]:
        """A file with all of it; blocks until there is one."""


class FileSource(Source):
    """A file, or (None) a container that comes through standard input."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @asynccontextmanager
    async def open(self, sample_rate: int) -> AsyncIterator[OpenAudio]:
        source: Path | BinaryIO = self._file if self._file is not None else sys.stdin.buffer
        with contextlib.closing(FileDecoder(source, sample_rate=sample_rate, max_seconds=LONGEST_S)) as decoder:
            await asyncio.to_thread(decoder.__enter__)
            async with contextlib.aclosing(pull(lambda: iter(decoder))) as blocks:
                yield OpenAudio(blocks, decoder.info.duration)

    @contextlib.contextmanager
    def path(self) -> Iterator[Path]:
        if self._file is not None:
            yield self._file
            return
        with tempfile.NamedTemporaryFile(prefix="antiphon-") as copy:
            size = 0
            while block := sys.stdin.buffer.read(1 << 16):
                size += len(block)
                copy.write(block)
            copy.flush()
            if not size:
                raise Failure("standard input is empty; pipe a file into it, or raw samples with --raw")
            yield Path(copy.name)


class RawSource(Source):
    """PCM that comes through standard input, live.

    Args:
        audio: What comes.
        warn: Told of what is left out.
    """

    def __init__(self, audio: AudioFormat, warn: Callable[[str], None]) -> None:
        self._audio = audio
        self._warn = warn

    @asynccontextmanager
    async def open(self, sample_rate: int) -> AsyncIterator[OpenAudio]:
        converter = PcmConverter(self._audio, sample_rate)
        async with contextlib.aclosing(pull(lambda: self._read(converter))) as blocks:
            yield OpenAudio(blocks, None)

    def path(self) -> contextlib.AbstractContextManager[Path]:
        raise Failure("raw samples are not a file; use --door websocket or socketio")

    def _read(self, converter: PcmConverter) -> Iterator[bytes]:
        frame = self._audio.frame_bytes
        rest = b""
        while data := os.read(sys.stdin.fileno(), RAW_BLOCK):
            rest += data
            whole = len(rest) - len(rest) % frame
            if pcm := converter.convert(rest[:whole]):
                yield pcm
            rest = rest[whole:]
        if rest:
            self._warn(f"the last {len(rest)} bytes of standard input are no whole sample ({self._audio}); left out")
        if pcm := converter.flush():
            yield pcm


async def pull(open_blocks: Callable[[], Iterator[bytes]]) -> AsyncGenerator[bytes, None]:
    """What an iterator gives that blocks, read a little ahead by a thread.

    The thread ends with the process at the latest: reading from a terminal or a pipe cannot be called off.

    Args:
        open_blocks: Makes the iterator, on the thread.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(READ_AHEAD)
    wanted = threading.Event()
    wanted.set()

    def give(item: bytes | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(ready.put_nowait, item)

    def read() -> None:
        try:
            for block in open_blocks():
                room.acquire()
                if not wanted.is_set():
                    return
                give(block)
            give(None)
        except BaseException as fault:  # noqa: BLE001 - raised again where the blocks are awaited
            give(fault)

    threading.Thread(target=read, name="audio source", daemon=True).start()
    try:
        while (item := await ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            room.release()
    finally:
        wanted.clear()
        room.release()


async def at_pace_of_speech(blocks: Blocks, sample_rate: int) -> AsyncGenerator[bytes, None]:
    """The same audio, no faster than it would be spoken."""
    loop = asyncio.get_running_loop()
    step = 2 * round(REALTIME_S * sample_rate)
    due = loop.time()
    async for block in blocks:
        for at in range(0, len(block), step):
            piece = block[at : at + step]
            yield piece
            due = max(due + len(piece) / (2 * sample_rate), loop.time() - REALTIME_S)
            await asyncio.sleep(due - loop.time())


def check_file(file: Path) -> None:
    """Say at once what is wrong with a file.

    Raises:
        Failure: There is none, or it cannot be a file with audio.
    """
    try:
        if file.is_dir():
            raise Failure(f"{file} is a directory; name a file in it")
        with file.open("rb") as opened:
            if not opened.read(1):
                raise Failure(f"{file} is empty")
    except FileNotFoundError:
        raise Failure(f"there is no file {file}") from None
    except OSError as fault:
        raise Failure(f"{file} cannot be read: {fault.strerror or fault}") from None
