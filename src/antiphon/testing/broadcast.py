"""A broadcaster that sends when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from antiphon.errors import NotFound
from antiphon.media.broadcast import ReaderListener, TapeListener


@dataclass
class _Tape:
    listener: TapeListener
    frame_ms: float
    live: bool
    first: int
    low_ahead: int
    max_bytes: int
    packets: list[bytes] = field(default_factory=list)
    finished: bool = False
    told_low: bool = False
    dropped: int = 0

    @property
    def end(self) -> int:
        return self.first + len(self.packets)


@dataclass
class _Reader:
    tape: int
    listener: ReaderListener
    position: int
    heard: list[bytes] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    then: int | None = None


class ManualBroadcaster:
    """A double of :class:`antiphon.media.broadcast.Broadcaster`: it has no thread, no clock and no sockets.

    Packets depart in :meth:`play`, and listeners are told of what happens before that returns.
    """

    def __init__(self) -> None:
        self.tapes: dict[int, _Tape] = {}
        self._readers: dict[int, _Reader] = {}
        self._count = 0

    # What a broadcaster does

    def open_tape(
        self,
        listener: TapeListener,
        *,
        frame_ms: float,
        live: bool = False,
        first: int = 0,
        low_ahead: int = 100,
        max_bytes: int = 1 << 26,
    ) -> int:
        self._count += 1
        self.tapes[self._count] = _Tape(listener, frame_ms, live, first, low_ahead, max_bytes)
        return self._count

    def append(self, tape: int, packets: Sequence[bytes]) -> None:
        found = self._tape(tape)
        if found.finished:
            raise ValueError("the tape is finished")
        found.packets.extend(packets)
        found.told_low = False
        self._look(tape)

    def finish(self, tape: int) -> None:
        self._tape(tape).finished = True

    def close_tape(self, tape: int) -> None:
        self.tapes.pop(tape, None)

    def tape_stats(self, tape: int) -> dict[str, Any]:
        found = self._tape(tape)
        return {"packets": found.end, "bytes": sum(map(len, found.packets)), "dropped_head": found.dropped}

    def attach(self, tape: int, fd: int, listener: ReaderListener, *, position: int = 0, max_lag_ms: int = 1000) -> int:
        found = self._tape(tape)
        if position < found.first + found.dropped and not found.live:
            raise NotFound("the tape does not keep what begins there")
        self._count += 1
        self._readers[self._count] = _Reader(tape, listener, found.end if found.live else position)
        self._look(tape)
        return self._count

    def send(self, reader: int, frame: bytes) -> bool:
        if reader not in self._readers:
            return False
        self._readers[reader].frames.append(frame)
        return True

    def switch(self, reader: int, tape: int) -> None:
        self._tape(tape)
        self._readers[reader].then = tape
        self._look(tape)

    def seek(self, reader: int, position: int | None = None, *, tape: int | None = None) -> None:
        found = self._readers[reader]
        found.tape = found.tape if tape is None else tape
        found.position = self._tape(found.tape).end if position is None else position
        self._look(found.tape)

    def detach(self, reader: int) -> None:
        if (found := self._readers.pop(reader, None)) is not None:
            found.listener.on_released()

    def reader_stats(self, reader: int) -> dict[str, Any]:
        found = self._reader(reader)
        size = sum(map(len, found.heard + found.frames))
        return {"sent": len(found.heard), "bytes": size, "dropped": 0, "position": found.position}

    # What a test does

    def play(self, reader: int, packets: int) -> list[bytes]:
        """Send a reader so many packets, or as many as there are."""
        found = self._reader(reader)
        heard: list[bytes] = []
        while len(heard) < packets:
            if found.then is not None and found.position < self._tape(found.then).end:
                found.tape, found.then = found.then, None
            tape = self._tape(found.tape)
            if found.position >= tape.end:
                break
            heard.append(tape.packets[found.position - tape.first])
            found.position += 1
        found.heard += heard
        self._look(found.tape)
        tape = self._tape(found.tape)
        if tape.finished and found.position >= tape.end:
            found.listener.on_ended()
        return heard

    def drop(self, tape: int, packets: int) -> None:
        """Keep so many of a tape's oldest packets no longer."""
        self._tape(tape).dropped = packets

    def frames(self, reader: int) -> list[bytes]:
        """What was sent to a reader besides packets."""
        return self._reader(reader).frames

    def _look(self, number: int) -> None:
        """Ask for packets where a reader has too few before it."""
        tape = self._tape(number)
        places = [reader.position for reader in self._readers.values() if number in (reader.tape, reader.then)]
        if places and not (tape.live or tape.finished or tape.told_low) and tape.end - max(places) < tape.low_ahead:
            tape.told_low = True
            tape.listener.on_low()

    def _tape(self, tape: int) -> _Tape:
        try:
            return self.tapes[tape]
        except KeyError:
            raise NotFound("there is no such tape") from None

    def _reader(self, reader: int) -> _Reader:
        try:
            return self._readers[reader]
        except KeyError:
            raise NotFound("there is no such reader") from None
