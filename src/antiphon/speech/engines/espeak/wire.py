"""Frames between the server and a worker: one byte of type, four of length (big-endian), the payload."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!cI")
MAX_PAYLOAD = 1 << 20

# server to worker
SAY = b"S"  # JSON {"text", "voice", "rate", "more"}
STOP = b"X"  # empty: what is being said is not wanted any more; answered by DONE
# a worker ends when its connection is closed

# worker to server
READY = b"V"  # JSON {"sampleRate", "voices": [[identifier, name, [[priority, language], ...]]]}, once, at the beginning
MARKS = b"M"  # JSON [[first character, characters, sample], ...] of the audio that follows
AUDIO = b"A"  # 16-bit mono PCM
DONE = b"D"  # empty: the text is over, or stopped
FAULT = b"R"  # JSON {"message"}


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """A frame ready to be sent."""
    return HEADER.pack(kind, len(payload)) + payload
