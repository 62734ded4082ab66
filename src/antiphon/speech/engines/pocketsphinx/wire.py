"""Frames between the server and a decoder process: one byte of type, four of length (big-endian), the payload."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!cI")
MAX_PAYLOAD = 1 << 22

# server to decoder
BEGIN = b"B"  # JSON {"cmn": text or null}
AUDIO = b"A"  # 16-bit mono PCM at 16 kHz
PAUSE = b"U"  # empty: END is likely to be next
END = b"E"  # empty
ABORT = b"X"  # empty

# decoder to server
PROGRESS = b"P"  # JSON {"samples": decoded so far, "text": hypothesis or null}
FINAL = b"F"  # JSON {"text", "words": [[word, start, end, confidence]], "cmn"}
FAULT = b"R"  # JSON {"message"}

# server to the parent of the decoders, over its control socket: one of these and a process id
SPAWN = b"S"
KILL = b"K"
CONTROL = struct.Struct("!cq")


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """A frame ready to be sent."""
    return HEADER.pack(kind, len(payload)) + payload
