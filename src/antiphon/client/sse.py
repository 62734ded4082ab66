"""Reading server-sent events (WHATWG HTML, section 9.2.6). Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from antiphon.client.errors import ProtocolFault

MAX_PENDING = 1 << 22
"""Bytes of one event, at most."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its id (empty where it has none), name and data."""

    id: str
    name: str
    data: str

    def object(self) -> dict[str, Any]:
        """The data as a JSON object.

        Raises:
            ProtocolFault: It is none.
        """
        try:
            decoded = orjson.loads(self.data)
        except orjson.JSONDecodeError:
            decoded = None
        if not isinstance(decoded, dict):
            raise ProtocolFault(f"the event {self.name!r} holds no JSON object; is this an Antiphon server?")
        return decoded


class EventStreamParser:
    """Puts events together from bytes, however these are cut."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._id = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take bytes; returns the events that are complete.

        Raises:
            ProtocolFault: An event is longer than :data:`MAX_PENDING`.
        """
        self._pending += data
        events: list[ServerSentEvent] = []
        begin = 0
        while (line := self._line(begin)) is not None:
            text, begin = line
            if (event := self._take(text)) is not None:
                events.append(event)
        del self._pending[:begin]
        if len(self._pending) + sum(map(len, self._data)) > MAX_PENDING:
            raise ProtocolFault(f"the server sent an event of more than {MAX_PENDING} bytes")
        return events

    def _line(self, begin: int) -> tuple[str, int] | None:
        """The line at `begin` and where the next one begins; None while it is not complete."""
        pending = self._pending
        ends = [at for at in (pending.find(b"\n", begin), pending.find(b"\r", begin)) if at >= 0]
        if not ends:
            return None
        end = min(ends)
        after = end + 1
        if pending[end] == 0x0D:
            if after == len(pending):
                return None  # whether a line feed belongs to it shows with the next byte
            after += pending[after] == 0x0A
        return pending[begin:end].decode("utf-8", "replace"), after

    def _take(self, line: str) -> ServerSentEvent | None:
        if not line:
            data, name = self._data, self._name
            self._data, self._name = [], ""
            return ServerSentEvent(self._id, name or "message", "\n".join(data)) if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None
