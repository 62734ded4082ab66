"""The process that decodes one file: ``python -m antiphon.media.worker RATE SECONDS OFFSET``, the file on its stdin.

Answers on stdout as :mod:`antiphon.media.wire` says, and then exits with status 0.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
import traceback

from antiphon.errors import AntiphonError, BadAudio
from antiphon.media.decode import InProcessDecoder
from antiphon.media.wire import HEADER

MEMORY_BYTES = 256 * 1024 * 1024
"""What a file may make the decoder allocate."""

CPU_SECONDS = 60
"""What a file may take to be decoded, apart from a tenth of its longest length."""


def main(sample_rate: int, max_seconds: float, offset: int) -> None:
    """Decode stdin to stdout."""
    _limit(max_seconds)
    try:
        with open(0, "rb", buffering=0, closefd=False) as file:
            if offset:
                file.seek(offset)
            with InProcessDecoder(file, sample_rate=sample_rate, max_seconds=max_seconds) as decoder:
                _send(b"I", json.dumps(dataclasses.asdict(decoder.info)).encode())
                for block in decoder:
                    _send(b"B", block)
        _send(b"Z")
    except AntiphonError as error:
        _send(b"E", json.dumps(error.as_dict()).encode())
    except MemoryError:
        exhausted = BadAudio(
            f"the file is corrupt: decoding it would take more than {MEMORY_BYTES >> 20} MB of memory; export it again"
            " and send that"
        )
        _send(b"E", json.dumps(exhausted.as_dict()).encode())
    except BrokenPipeError:
        pass  # nobody reads any more
    except OSError as error:
        _send(b"O", json.dumps([error.errno, error.strerror]).encode())
    except Exception:  # noqa: BLE001 - whatever it is, the reader shall know
        _send(b"X", traceback.format_exc().encode())


def _send(kind: bytes, payload: bytes = b"") -> None:
    # Straight to the descriptor: after a closed pipe there is no buffer left to be flushed at exit.
    pending = memoryview(HEADER.pack(kind, len(payload)) + payload)
    while pending:
        pending = pending[os.write(1, pending) :]


def _limit(max_seconds: float) -> None:
    cpu = CPU_SECONDS + int(min(max_seconds, 10**7) / 10)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    except (FileNotFoundError, StopIteration):
        return  # not Linux: nowhere else does RLIMIT_DATA count what malloc maps
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_BYTES, used + MEMORY_BYTES))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
