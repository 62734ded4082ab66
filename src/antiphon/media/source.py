"""The bytes of a file, handed to FFmpeg without letting it open anything itself."""

from __future__ import annotations

import io
from typing import BinaryIO

from antiphon.errors import BadAudio

STALL_BYTES = 64 * 1024 * 1024
"""Least number of bytes that may be read in a row without one audio packet coming out of them."""


_MOST_AT_ONCE = 256 * 1024  # a header may ask for gigabytes that the file does not have


class ByteSource:
    """A read-only file that begins where its container begins.

    FFmpeg reads it through C callbacks, which an exception must not cross: :meth:`read` and :meth:`seek` keep the
    exception in :attr:`failure` and report the end of the file instead.

    Args:
        file: Open for reading bytes. Read from where it stands; need not be seekable.

    Raises:
        OSError: The file cannot be read or seeked. Raised by the constructor, :meth:`peek` and :meth:`skip` only.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # read1 gives what a pipe has now; read would wait for a whole buffer.
        self._read_some = getattr(file, "read1", file.read)
        self._ahead = b""
        self._position = 0
        self._base = 0
        self._size: int | None = None
        if _seekable(file):
            self._base = file.tell()
            self._size = max(file.seek(0, io.SEEK_END) - self._base, 0)
            file.seek(self._base)
        self._idle = 0
        self._idle_limit = max(STALL_BYTES, 2 * (self._size or 0))
        self.failure: Exception | None = None

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end of the file, which stay to be read."""
        while len(self._ahead) < size:
            more = self._some(size - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def skip(self, size: int) -> None:
        """Let the file begin ``size`` bytes later, or at its end."""
        if self._size is not None:
            self._base += min(size, self._size)
            self._size -= min(size, self._size)
            self._ahead = b""
            self._file.seek(self._base)
            return
        while size > 0:
            dropped = len(self.peek(min(size, 65_536)))
            if not dropped:
                return
            self._ahead = self._ahead[dropped:]
            size -= dropped

    @property
    def size(self) -> int | None:
        """Bytes of the container, None for a pipe."""
        return self._size

    def progressed(self) -> None:
        """An audio packet came out; the count of fruitless bytes begins anew."""
        self._idle = 0

    # What PyAV looks for in a file object.

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._size is not None

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end and after a failure."""
        if self.failure is not None:
            return b""
        try:
            data = self._take(min(size, _MOST_AT_ONCE))
        except Exception as error:  # noqa: BLE001 - told to the caller by the decoder, outside of FFmpeg
            self.failure = error
            return b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of the container; -1 where that cannot be."""
        if self._size is None or self.failure is not None:
            return -1
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}.get(whence)
        if start is None or start + offset < 0:
            return -1
        try:
            self._file.seek(self._base + start + offset)
        except Exception as error:  # noqa: BLE001 - told to the caller by the decoder, outside of FFmpeg
            self.failure = error
            return -1
        self._ahead = b""
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Bytes from the start of the container."""
        return self._position

    def _take(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            data = self._some(size)
        self._idle += len(data)
        if self._idle > self._idle_limit:
            raise BadAudio(
                f"the file is corrupt: {self._idle} bytes were read in a row without any audio in them;"
                " export it again and send that"
            )
        return data

    def _some(self, size: int) -> bytes:
        data = self._read_some(size)
        if not isinstance(data, bytes):
            raise TypeError(f"the file must give bytes, not {type(data).__name__}")
        # PyAV copies all of it into a buffer of ``size``.
        if len(data) > size:
            raise ValueError(f"the file gave {len(data)} bytes when {size} were asked for")
        return data


def _seekable(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")
