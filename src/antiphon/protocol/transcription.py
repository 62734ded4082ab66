"""The Socket.IO transcription door: what its messages mean and what its answers look like (names in snake_case)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pybase64

from antiphon.errors import BadAudio, BadMessage
from antiphon.events import Entry, Event, Failed, Progress, Speaking, Started, Transcript, Word
from antiphon.formats import AudioFormat, live_format
from antiphon.protocol import fields


@dataclass(frozen=True, slots=True)
class Resume:
    """A client comes back to a stream it began before."""

    token: str
    last_event_id: int | None


@dataclass(frozen=True, slots=True)
class StartTranscription:
    """A checked ``start_transcription``."""

    language: str | None
    format: AudioFormat
    interim_results: bool
    session_id: str | None
    resume: Resume | None


def parse_start(data: object) -> StartTranscription:
    """Check the data of ``start_transcription``; absent data means all defaults.

    Raises:
        BadMessage: A field has the wrong type or is missing its partner.
        UnsupportedFormat: An encoding, rate or channel count that is not taken.
    """
    message = fields.as_object({} if data is None else data, "start_transcription")
    session_id = fields.session_id(message, "session_id")
    token = fields.text(message, "resume_token")
    last = fields.whole_number(message, "last_event_id")
    if token is not None and session_id is None:
        raise BadMessage("resume_token needs the session_id it was given with", field="session_id")
    return StartTranscription(
        language=fields.text(message, "language_code"),
        format=live_format(
            message.get("encoding", "pcm_s16le"), message.get("sample_rate"), message.get("channels", 1)
        ),
        interim_results=fields.boolean(message, "interim_results", True),
        session_id=session_id,
        resume=None if token is None else Resume(token, last),
    )


def parse_chunk(data: object) -> tuple[bytes, int | None]:
    """The audio and the sequence number (or None) of an ``audio_chunk``.

    Raises:
        BadMessage: There is no chunk, or ``seq`` is not a whole number.
        BadAudio: The chunk is not base64.
    """
    seq: int | None = None
    chunk = data
    if isinstance(data, dict):
        chunk = data.get("chunk")
        seq = data.get("seq")
        if seq is not None and not (type(seq) is int and 0 <= seq < 2**53):
            raise BadMessage("seq must be a whole number from 0 on", field="seq")
    if isinstance(chunk, str):
        return decode_base64(chunk, "chunk"), seq
    if isinstance(chunk, bytes):
        return chunk, seq
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk), seq
    raise BadMessage(
        f"audio_chunk takes {{chunk: base64 text or binary}}; chunk is {fields.json_type(chunk)}", field="chunk"
    )


def decode_base64(text: str, name: str) -> bytes:
    """The bytes of a field `name` that is base64 text.

    Raises:
        BadAudio: It is something else.
    """
    try:
        decoded: bytes = pybase64.b64decode(text, validate=True)
    except ValueError:
        # some encoders break lines after 76 characters (RFC 2045 section 6.8) or leave the padding away
        unbroken = text.replace("\r", "").replace("\n", "")
        try:
            decoded = pybase64.b64decode(unbroken + "=" * (-len(unbroken) % 4), validate=True)
        except ValueError:
            raise BadAudio(
                f"{name} is not base64; encode the bytes of the audio (RFC 4648 section 4), or send them as binary",
                field=name,
            ) from None
    return decoded


def words_to_wire(words: tuple[Word, ...]) -> list[dict[str, Any]]:
    """Words as all doors write them."""
    wire: list[dict[str, Any]] = []
    for word in words:
        entry: dict[str, Any] = {"word": word.word, "start": word.start, "end": word.end}
        if word.confidence is not None:
            entry["confidence"] = word.confidence
        wire.append(entry)
    return wire


def result_to_wire(event_id: int, transcript: Transcript) -> dict[str, Any]:
    """A ``transcription_result``."""
    wire: dict[str, Any] = {
        "text": transcript.text,
        "is_partial": transcript.is_partial,
        "event_id": event_id,
        "result_id": transcript.result_id,
        "start": transcript.start,
        "end": transcript.end,
        "speaker": transcript.participant_id,
        "language": transcript.language,
    }
    if transcript.words:
        wire["words"] = words_to_wire(transcript.words)
    return wire


def entry_to_wire(entry: Entry) -> tuple[str, dict[str, Any]]:
    """An entry of the log as the name and the data of a server-sent event."""
    event: Event = entry.event
    if isinstance(event, Transcript):
        return ("partial" if event.is_partial else "final"), result_to_wire(entry.id, event)
    head: dict[str, Any] = {"event_id": entry.id, "participant_id": event.participant_id}
    if isinstance(event, Speaking):
        return "speaking", {**head, "active": event.active, "at": event.at}
    if isinstance(event, Progress):
        return "progress", {**head, "done": event.done, "total": event.total}
    if isinstance(event, Failed):
        return "error", {**head, **event.error}
    if isinstance(event, Started):
        return "started", {**head, "role": event.role, "language": event.language}
    return "ended", {**head, "reason": event.reason, "duration": event.duration, "dropped": event.dropped}
