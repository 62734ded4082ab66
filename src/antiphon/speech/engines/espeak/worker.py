"""A process that speaks: ``python -m antiphon.speech.engines.espeak.worker FD``, with a socket as file descriptor FD.

It says one text at a time and sends the audio while the library is still speaking. Where the server does not read, it
waits in the middle of a word.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
from typing import Any

from antiphon.speech.engines.espeak import wire
from antiphon.speech.engines.espeak.library import Espeak, Word
from antiphon.speech.processes import let_media_go_first


class Worker:
    """Serves one connection."""

    def __init__(self, sock: socket.socket, espeak: Espeak) -> None:
        self._sock = sock
        self._espeak = espeak
        self._stopped = False

    def serve(self) -> None:
        """Answer frames until the server closes the connection."""
        self._send(wire.READY, {"sampleRate": self._espeak.sample_rate, "voices": list(self._espeak.voices())})
        while True:
            kind, payload = self._read()
            if kind == wire.SAY:
                self._say(json.loads(payload))
                self._sock.sendall(wire.frame(wire.DONE))

    def _say(self, wanted: dict[str, Any]) -> None:
        self._stopped = False
        try:
            self._espeak.say(wanted["text"], wanted["voice"], wanted["rate"], wanted["more"], self._take)
        except ValueError as fault:
            self._send(wire.FAULT, {"message": str(fault)})

    def _take(self, pcm: bytes, words: list[Word]) -> bool:
        # an exception must not cross the library
        try:
            while not self._stopped and select.select([self._sock], [], [], 0)[0]:
                self._stopped = self._read()[0] == wire.STOP
            if not self._stopped:
                if words:
                    self._send(wire.MARKS, words)
                if pcm:
                    self._sock.sendall(wire.frame(wire.AUDIO, pcm))
        except (OSError, EOFError):
            self._stopped = True
        return not self._stopped

    def _send(self, kind: bytes, message: object) -> None:
        self._sock.sendall(wire.frame(kind, json.dumps(message).encode()))

    def _read(self) -> tuple[bytes, bytes]:
        kind, size = wire.HEADER.unpack(self._exactly(wire.HEADER.size))
        if size > wire.MAX_PAYLOAD:
            raise EOFError
        return kind, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)


def main() -> None:
    let_media_go_first()
    # a terminal's Ctrl-C reaches the whole group; the server decides when workers end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            Worker(sock, Espeak()).serve()
        except (EOFError, ConnectionError):
            return


if __name__ == "__main__":
    main()
