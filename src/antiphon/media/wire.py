"""What the decoder's process says to the one that started it.

Messages of a kind (one byte), a length (four bytes, big-endian) and so many bytes: ``I`` the :class:`FileInfo` as JSON,
``B`` a block of PCM, ``E`` an error of the wire contract as JSON, ``O`` an operating system error as JSON
``[errno, text]``, ``X`` the traceback of a fault in the decoder itself, ``Z`` the end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct(">cI")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What the header of a file says.

    Attributes:
        container: ``wav``, ``flac``, ``mp3``, ``mp4``, ``ogg``, ``webm`` or ``matroska``.
        codec: FFmpeg's canonical name, such as ``aac`` or ``pcm_s16le``.
        sample_rate: Hertz, before conversion.
        channels: Before conversion.
        duration: Seconds, None where the file does not say. A claim or an estimate: never a limit.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration: float | None
