"""Antiphon's WebRTC engine without a server around it: rooms and offers come as JSON lines.

``{"do": "open", "rooms": n, "options": {...}}`` is answered by ``{"rooms": [...]}``, and
``{"do": "join", "members": [[room, offer, publish, listen], ...]}`` by ``{"answers": [...]}``. Ends with its input.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

from antiphon._native import RtcEngine


class Server:
    """The engine and what is awaited of it."""

    def __init__(self) -> None:
        self.engine = RtcEngine(host="127.0.0.1", port=0, tcp=False, threads=1, max_peers=10_000)
        self._joining: list[int] = []
        self._answers: dict[int, str] = {}

    def command(self, asked: dict[str, Any]) -> None:
        """Do what was asked for."""
        if asked["do"] == "open":
            told = [self.engine.open_room(**asked["options"]) for _ in range(asked["rooms"])]
            _tell({"rooms": told})
        else:
            self._joining = [
                self.engine.join(room, offer, publish=publish, listen=listen)
                for room, offer, publish, listen in asked["members"]
            ]

    def events(self) -> None:
        """Take what the engine has to say."""
        for event in self.engine.poll():
            if event[0] == "answer":
                self._answers[event[1]] = event[2]
            elif event[0] in {"refused", "closed"}:
                _tell({"error": str(event)})
        if self._joining and all(peer in self._answers for peer in self._joining):
            _tell({"answers": [self._answers.pop(peer) for peer in self._joining]})
            self._joining = []


def _tell(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    server = Server()
    buffer = bytearray()
    while True:
        ready, _, _ = select.select([0, server.engine.fileno()], [], [])
        if server.engine.fileno() in ready:
            server.events()
        if 0 in ready:
            if not (chunk := os.read(0, 1 << 20)):
                return
            buffer += chunk
            *lines, rest = buffer.split(b"\n")
            buffer = bytearray(rest)
            for line in lines:
                server.command(json.loads(line))


if __name__ == "__main__":
    sys.exit(main())
