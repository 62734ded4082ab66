"""Stand-alone segments over Socket.IO: what ``audio-chunk`` means, and its answers (names in camelCase)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from antiphon.errors import BadAudio, BadMessage
from antiphon.events import Entry, Transcript
from antiphon.protocol import fields
from antiphon.protocol.transcription import decode_base64, words_to_wire

EVENT = "audio-chunk"


@dataclass(frozen=True, slots=True)
class Segment:
    """A checked ``audio-chunk``: one whole file.

    Attributes:
        audio: The file.
        format: What the client says that it is; its content counts.
        timestamp: As the client wrote it, in milliseconds by convention; tells a segment of a session from others.
        duration: In seconds, as the client wrote it; None where it did not.
        language: A BCP 47 tag; None for the server's own.
        last_event_id: The last event that the client has seen of this session; None where it does not say.
    """

    session_id: str
    audio: bytes
    format: str
    timestamp: int | float
    duration: int | float | None = None
    language: str | None = None
    last_event_id: int | None = None


def parse_segment(data: object) -> Segment:
    """Check the data of ``audio-chunk``.

    Raises:
        BadMessage: A field is missing or has the wrong type.
        BadAudio: The audio is not base64.
    """
    message = fields.as_object(data, EVENT)
    session_id = fields.session_id(message, "sessionId")
    if session_id is None:
        raise BadMessage("audio-chunk needs sessionId, which names the session its words go to", field="sessionId")
    timestamp = _number(message, "timestamp")
    if timestamp is None:
        raise BadMessage(
            "audio-chunk needs timestamp, such as Date.now(): it tells a segment that comes twice", field="timestamp"
        )
    duration = _number(message, "duration")
    if duration is not None and duration < 0:
        raise BadMessage("duration must be a number of seconds from 0 on", field="duration")
    return Segment(
        session_id,
        _audio(message.get("audio")),
        fields.text(message, "format", "webm", longest=64) or "webm",
        timestamp,
        duration,
        fields.text(message, "language", longest=64),
        fields.whole_number(message, "lastEventId"),
    )


def accepted() -> dict[str, Any]:
    """The answer to a segment that will be transcribed."""
    return {"status": "accepted", "reason": "queued"}


def skipped(reason: str) -> dict[str, Any]:
    """The answer to a segment that need not be: ``too_small`` or ``duplicate``."""
    return {"status": "skipped", "reason": reason}


def rejected(error: dict[str, Any]) -> dict[str, Any]:
    """The answer to a segment that cannot be, with an error in the wire's shape."""
    return {"status": "rejected", "reason": error["code"], "error": error}


def transcription_to_wire(entry: Entry, event: Transcript, session_id: str, segment: Segment) -> dict[str, Any]:
    """A ``transcription``."""
    wire: dict[str, Any] = {
        "sessionId": session_id,
        "text": event.text,
        "timestamp": segment.timestamp,
        "duration": segment.duration,
        "eventId": entry.id,
        "resultId": event.result_id,
        "start": event.start,
        "end": event.end,
        "speaker": event.participant_id,
        "language": event.language,
    }
    if event.words:
        wire["words"] = words_to_wire(event.words)
    return wire


def dropped_to_wire(segment: Segment, words: int) -> dict[str, Any]:
    """A ``transcription-dropped``."""
    return {
        "sessionId": segment.session_id,
        "timestamp": segment.timestamp,
        "duration": segment.duration,
        "reason": "few_words" if words else "no_words",
        "words": words,
    }


def error_to_wire(error: dict[str, Any], segment: Segment) -> dict[str, Any]:
    """What is wrong with a segment, in the wire's shape, as the log and an ``error`` event tell it."""
    return {**error, "event": EVENT, "sessionId": segment.session_id, "timestamp": segment.timestamp}


def _audio(value: object) -> bytes:
    if isinstance(value, str):
        if value.startswith("data:"):
            raise BadAudio("audio is a data: URL; send what comes after its comma", field="audio")
        return decode_base64(value, "audio")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise BadMessage(
        f"audio-chunk takes {{audio: a whole file, as base64 text or binary}}; audio is {fields.json_type(value)}",
        field="audio",
    )


def _number(message: dict[str, Any], name: str) -> int | float | None:
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 2**53 or math.isnan(value):
        raise BadMessage(f"{name} must be a number, not {str(value)[:40]!r}", field=name)
    return value
