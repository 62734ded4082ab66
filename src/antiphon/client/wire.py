"""What the doors' answers mean: events of the log as values, whether their names are in camelCase or snake_case."""

from __future__ import annotations

import re
from typing import Any

from antiphon.client.errors import ProtocolFault
from antiphon.events import Ended, Entry, Event, Failed, Progress, Speaking, Started, Transcript, Word

_HUMP = re.compile(r"(?<=[a-z])([A-Z])")


def entry_from_wire(name: str, data: dict[str, Any], time: float) -> Entry | None:
    """The entry of the log that a message tells of; None where it is no event of the log.

    Args:
        name: What the door calls it: of a server-sent event, the ``type`` at the WebSocket, or the Socket.IO event.
        data: Its fields.
        time: When it came, in seconds since the Unix epoch; live doors do not tell when it was written.

    Raises:
        ProtocolFault: A field is missing or of the wrong type.
    """
    fields = {_HUMP.sub(r"_\1", key).lower(): value for key, value in data.items()}
    try:
        event = _event(name, fields, data)
        return None if event is None else Entry(int(fields["event_id"]), time, event)
    except (KeyError, TypeError, ValueError) as fault:
        raise ProtocolFault(
            f"the server sent a {name!r} that this client does not understand ({type(fault).__name__}: {fault}); "
            "use a client of the server's version"
        ) from fault


def _event(name: str, fields: dict[str, Any], data: dict[str, Any]) -> Event | None:
    if name in ("transcript", "transcription_result", "partial", "final"):
        return Transcript(
            participant_id=str(fields["speaker"]),
            result_id=str(fields["result_id"]),
            text=str(fields["text"]),
            is_partial=bool(fields["is_partial"]),
            start=float(fields["start"]),
            end=float(fields["end"]),
            language=str(fields["language"]),
            words=tuple(map(_word, fields.get("words", ()))),
        )
    who = str(fields.get("participant_id", ""))
    if name == "speaking":
        return Speaking(who, bool(fields["active"]), float(fields["at"]))
    if name == "progress":
        total = fields["total"]
        return Progress(who, float(fields["done"]), None if total is None else float(total))
    if name == "started":
        return Started(who, str(fields["role"]), str(fields["language"]))
    if name == "error":
        wanted = ("message", "code", "retryable", "field", "retryAfter")
        return Failed(who, {key: data[key] for key in wanted if key in data})
    if name in ("left", "ended", "done"):
        return Ended(who, str(fields["reason"]), float(fields["duration"]), int(fields["dropped"]))
    if name == "transcription_stopped":
        return Ended(who, str(fields["status"]), float(fields["duration"]), int(fields["dropped"]))
    return None


def _word(fields: dict[str, Any]) -> Word:
    confidence = fields.get("confidence")
    return Word(
        str(fields["word"]),
        float(fields["start"]),
        float(fields["end"]),
        None if confidence is None else float(confidence),
    )
