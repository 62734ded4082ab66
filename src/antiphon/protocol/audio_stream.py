"""The WebSocket door ``/audio-stream``: its control messages, checked, and its answers (names in camelCase)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from antiphon.errors import BadMessage, UnsupportedFormat
from antiphon.events import Ended, Entry, Failed, Speaking, Transcript
from antiphon.formats import CONTAINERS, OPUS_RATES, AudioFormat, Encoding, live_format
from antiphon.protocol import fields
from antiphon.protocol.negotiation import Captions, Mode, parse_captions, parse_mode
from antiphon.protocol.transcription import Resume, words_to_wire

MIN_BITRATE = 6_000
MAX_BITRATE = 512_000
ROOM_CHANNELS = 2
"""Most channels of what is heard in a room."""
G711 = frozenset({Encoding.MULAW, Encoding.ALAW})
MAX_PING_TEXT = 64
"""Characters of a ping's text, which wait in the server for a client that does not read."""


@dataclass(frozen=True, slots=True)
class RoomWish:
    """The room that a ``join`` names.

    Attributes:
        listen: Whether what the others say is sent back.
        mode: Of the room, where this makes it.
        captions: None where the client doesn't ask for them.
    """

    room_id: str
    user_id: str
    listen: bool
    mode: Mode | None
    captions: Captions | None


@dataclass(frozen=True, slots=True)
class Join:
    """A checked ``join``: `rtp` tells the framing."""

    session_id: str | None
    role: str
    language: str | None
    token: str | None
    format: AudioFormat
    reply: AudioFormat | None
    rtp: bool
    interim_results: bool
    resume: Resume | None
    room: RoomWish | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The client is done: flush and close."""


@dataclass(frozen=True, slots=True)
class Mute:
    """``mute`` and ``unmute``."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by ``pong`` with the same `t`."""

    t: Any


@dataclass(frozen=True, slots=True)
class BitrateChange:
    """The client changed its sending rate, in bits a second."""

    bitrate: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What the client measured."""

    values: dict[str, Any]


Control = Join | Leave | Mute | Ping | BitrateChange | Stats

_TYPES = "join, leave, mute, unmute, ping, stats, bitrate-change"


def parse_control(data: str) -> Control:
    """Check a text frame.

    Raises:
        BadMessage: It is not JSON, not an object, of unknown ``type``, or a field is wrong.
        UnsupportedFormat: A format that is not taken.
    """
    try:
        decoded = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise BadMessage(f"a text frame must be JSON: {fault}; audio goes in binary frames") from None
    message = fields.as_object(decoded, "a text frame")
    kind = message.get("type")
    if kind == "join":
        return _parse_join(message)
    if kind == "leave":
        return Leave()
    if kind in ("mute", "unmute"):
        return Mute(kind == "mute")
    if kind == "ping":
        return parse_ping(message)
    if kind == "stats":
        return Stats({name: value for name, value in message.items() if name != "type"})
    if kind == "bitrate-change":
        return parse_bitrate(message)
    raise BadMessage(f"type {str(kind)[:40]!r} is not known here; known are {_TYPES}", field="type")


def parse_ping(message: dict[str, Any]) -> Ping:
    """Check a ``ping``."""
    t = message.get("t")
    if t is not None and not isinstance(t, int | float | str):
        raise BadMessage(f"t must be a number or text, not {fields.json_type(t)}", field="t")
    if isinstance(t, str) and len(t) > MAX_PING_TEXT:
        raise BadMessage(f"t has {len(t)} characters; at most {MAX_PING_TEXT} come back", field="t")
    return Ping(t)


def parse_bitrate(message: dict[str, Any]) -> BitrateChange:
    """Check a ``bitrate-change``."""
    bitrate = message.get("bitrate")
    if not isinstance(bitrate, int | float) or not MIN_BITRATE <= bitrate <= MAX_BITRATE:
        raise BadMessage(f"bitrate must be a number from {MIN_BITRATE} to {MAX_BITRATE} bits a second", field="bitrate")
    return BitrateChange(int(bitrate))


def _parse_join(message: dict[str, Any]) -> Join:
    framing = fields.text(message, "framing", "plain")
    if framing not in ("plain", "rtp"):
        raise BadMessage(f"framing {framing!r} is not known; use 'plain' or 'rtp'", field="framing")
    wanted = message.get("format")
    format_fields = fields.as_object({} if wanted is None else wanted, "format")
    audio = live_format(
        format_fields.get("codec", "pcm_s16le"),
        format_fields.get("sampleRate"),
        format_fields.get("channels", 1),
        names=("format.codec", "format.sampleRate", "format.channels"),
    )
    if framing == "rtp" and audio.encoding in CONTAINERS:
        raise UnsupportedFormat(
            f"{audio.encoding.value} is a byte stream that RTP framing cannot carry; send it with framing 'plain', or "
            "its packets as codec 'opus'",
            field="framing",
        )
    resume: Resume | None = None
    if message.get("resume") is not None:
        again = fields.as_object(message["resume"], "resume")
        token = fields.text(again, "token")
        if token is None:
            raise BadMessage("resume needs the token that 'joined' gave", field="resume.token")
        resume = Resume(token, fields.whole_number(again, "lastEventId"))
    session_id = fields.session_id(message, "sessionId")
    if resume is not None and session_id is None:
        raise BadMessage("resume needs the sessionId that 'joined' gave", field="sessionId")
    room_id = fields.session_id(message, "roomId")
    reply = _parse_reply(message.get("reply"), opus=room_id is not None)
    return Join(
        session_id=session_id,
        role=fields.text(message, "role", "", longest=64) or "",
        language=fields.text(message, "language"),
        token=fields.text(message, "token", longest=4096),
        format=audio,
        reply=reply,
        rtp=framing == "rtp",
        interim_results=fields.boolean(message, "interimResults", True),
        resume=resume,
        room=None if room_id is None else _parse_room(message, room_id, audio, reply),
    )


def _parse_room(message: dict[str, Any], room_id: str, audio: AudioFormat, reply: AudioFormat | None) -> RoomWish:
    if audio.encoding in CONTAINERS:
        can = ", ".join(sorted(set(Encoding) - CONTAINERS))
        raise UnsupportedFormat(
            f"{audio.encoding.value} cannot be heard in a room; send one of {can}", field="format.codec"
        )
    if audio.encoding in G711 and (audio.sample_rate, audio.channels) != (8_000, 1):
        raise UnsupportedFormat("G.711 is heard in a room at 8000 Hz with one channel", field="format.sampleRate")
    if audio.encoding is Encoding.PCM_S16LE and (audio.sample_rate not in OPUS_RATES or audio.channels > ROOM_CHANNELS):
        can = ", ".join(map(str, OPUS_RATES))
        raise UnsupportedFormat(
            f"pcm_s16le is heard in a room at one of {can} Hz with 1 or {ROOM_CHANNELS} channels",
            field="format.sampleRate" if audio.sample_rate not in OPUS_RATES else "format.channels",
        )
    listen = fields.boolean(message, "listen", reply is not None)
    if listen and reply is None:
        raise BadMessage("listen needs reply, the format of what is sent back", field="reply")
    return RoomWish(
        room_id=room_id,
        user_id=fields.text(message, "userId", "", longest=128) or "",
        listen=listen,
        mode=parse_mode(message),
        captions=parse_captions(message.get("captions")),
    )


def _parse_reply(value: object, *, opus: bool) -> AudioFormat | None:
    if value is None:
        return None
    reply = fields.as_object(value, "reply")
    audio = live_format(
        reply.get("codec", "pcm_s16le"),
        reply.get("sampleRate"),
        1,
        names=("reply.codec", "reply.sampleRate", "reply.channels"),
    )
    if audio.encoding is not Encoding.PCM_S16LE and not (opus and audio.encoding is Encoding.OPUS):
        raise UnsupportedFormat(
            f"reply.codec {audio.encoding.value!r} is not sent back by this server; send pcm_s16le"
            f"{' or opus' if opus else ''}",
            field="reply.codec",
        )
    if opus and audio.sample_rate not in OPUS_RATES:
        can = ", ".join(map(str, OPUS_RATES))
        raise UnsupportedFormat(f"a room is heard at one of {can} Hz", field="reply.sampleRate")
    return audio


def format_to_wire(audio: AudioFormat) -> dict[str, Any]:
    """A format as ``joined`` tells it."""
    return {"codec": audio.encoding.value, "sampleRate": audio.sample_rate, "channels": audio.channels}


def entry_to_wire(entry: Entry, participant_id: str) -> dict[str, Any] | None:
    """An entry of the log as a message to `participant_id`; None where this door does not tell it."""
    event = entry.event
    if isinstance(event, Transcript):
        wire: dict[str, Any] = {
            "type": "transcript",
            "eventId": entry.id,
            "resultId": event.result_id,
            "text": event.text,
            "isPartial": event.is_partial,
            "start": event.start,
            "end": event.end,
            "speaker": event.participant_id,
            "language": event.language,
        }
        if event.words:
            wire["words"] = words_to_wire(event.words)
        return wire
    if isinstance(event, Speaking):
        return {
            "type": "speaking",
            "eventId": entry.id,
            "participantId": event.participant_id,
            "active": event.active,
            "at": event.at,
        }
    if isinstance(event, Failed) and event.participant_id == participant_id:
        return {"type": "error", "eventId": entry.id, **event.error}
    if isinstance(event, Ended):
        return {
            "type": "left",
            "eventId": entry.id,
            "participantId": event.participant_id,
            "reason": event.reason,
            "duration": event.duration,
            "dropped": event.dropped,
        }
    return None
