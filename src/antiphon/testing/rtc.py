"""A WebRTC engine that does what it is told."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import Any


class ScriptedRtcEngine:
    """A double: it takes no packet and answers no offer by itself. What it is asked is in `calls`; what it is to tell
    is given to :meth:`tell`.

    Has the methods of :class:`antiphon._native.RtcEngine`.

    Attributes:
        calls: Name and arguments of each call, in order.
    """

    host = "127.0.0.1"
    port = 9
    tcp_port: int | None = None
    datagrams_dropped = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.closed = False
        self._events: deque[tuple[Any, ...]] = deque()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._ids = 0

    def tell(self, *events: tuple[Any, ...]) -> None:
        """Have events ready to be polled."""
        if not self._events and events:
            os.write(self._write, b"\0")
        self._events.extend(events)

    def asked(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of all calls of a method."""
        return [call[1:] for call in self.calls if call[0] == name]

    def fileno(self) -> int:
        return self._read

    def poll(self, limit: int = 1024) -> list[tuple[Any, ...]]:
        batch = [self._events.popleft() for _ in range(min(limit, len(self._events)))]
        if not self._events:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 1)
        return batch

    def open_room(self, *, mode: str = "relay", max_participants: int = 1000) -> int:
        return self._new("open_room", mode, max_participants)

    def close_room(self, room: int) -> None:
        self.calls.append(("close_room", room))

    def join(self, room: int, offer: str, *, publish: bool = True, listen: bool = True) -> int:
        return self._new("join", room, offer, publish, listen)

    def offer(self, peer: int, offer: str) -> None:
        self.calls.append(("offer", peer, offer))

    def candidate(self, peer: int, candidate: str) -> None:
        self.calls.append(("candidate", peer, candidate))

    def join_local(self, room: int, *, publish: bool, listen: bool, **formats: Any) -> int:
        return self._new("join_local", room, publish, listen, formats)

    def push(self, participant: int, payload: bytes) -> None:
        self.calls.append(("push", participant, payload))

    def leave(self, participant: int) -> None:
        self.calls.append(("leave", participant))

    def mute(self, participant: int, muted: bool) -> None:
        self.calls.append(("mute", participant, muted))

    def tap(self, participant: int, sample_rate: int = 16_000) -> None:
        self.calls.append(("tap", participant, sample_rate))

    def untap(self, participant: int) -> None:
        self.calls.append(("untap", participant))

    def send(self, peer: int, text: str) -> None:
        self.calls.append(("send", peer, text))

    def set_bitrate(self, peer: int, bitrate: int) -> None:
        self.calls.append(("set_bitrate", peer, bitrate))

    def stats(self, participant: int) -> None:
        self.calls.append(("stats", participant))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._read)
            os.close(self._write)

    def _new(self, name: str, *arguments: Any) -> int:
        """A call that gives a number; in `calls` it comes last."""
        self._ids += 1
        self.calls.append((name, *arguments, self._ids))
        return self._ids
