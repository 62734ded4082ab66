"""The WebSocket door ``/ws-audio``: what its query asks for, what a listener may say, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from antiphon.errors import BadMessage, TooLarge, UnsupportedFormat
from antiphon.media.opus import PRESETS, SAMPLE_RATES, OpusEncoderConfig
from antiphon.protocol import fields
from antiphon.protocol.audio_stream import BitrateChange, Ping, parse_bitrate, parse_ping

FRAMES_MS = (10, 20, 40, 60)
MIN_BITRATE = 6_000
MAX_BITRATE = 510_000
LADDER = (6_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 128_000, 192_000, 256_000, 510_000)
"""Bits a second that are encoded. Any other bitrate goes to the nearest of these, so that listeners share encoders."""
DEFAULT_RATE = 24_000
DEFAULT_FRAME_MS = 20
DEFAULT_BITRATE = 32_000
MAX_NAME = 1024
"""Characters of a file's name, folders among them."""
MAX_POSITION = 7 * 24 * 3600.0
"""Seconds."""
SLOWEST, FASTEST = 0.5, 2.0
"""Speaking rates, 1 being the voice's own."""

EndReason = Literal["complete", "shutdown", "failed", "closed"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the server's media folder."""

    name: str


@dataclass(frozen=True, slots=True)
class RoomSound:
    """What is heard in a room."""

    room_id: str


@dataclass(frozen=True, slots=True)
class Speech:
    """A text to be spoken.

    Attributes:
        text: Empty where the texts come as messages.
        voice: A voice of the synthesiser; None for its default.
        language: A BCP 47 tag; None for the voice's.
        rate: 0.5 to 2, 1 being the voice's own.
    """

    text: str
    voice: str | None = None
    language: str | None = None
    rate: float = 1.0


Source = File | RoomSound | Speech


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """How packets are made; listeners whose formats are equal share them.

    Attributes:
        sample_rate: Hertz.
        frame_ms: Milliseconds of a packet.
        bitrate: Bits a second, one of :data:`LADDER`.
        preset: One of :data:`~antiphon.media.opus.PRESETS`, for everything else; None for the door's own settings.
    """

    sample_rate: int = DEFAULT_RATE
    frame_ms: int = DEFAULT_FRAME_MS
    bitrate: int = DEFAULT_BITRATE
    preset: str | None = None

    @property
    def frame_samples(self) -> int:
        """Samples of a packet."""
        return self.sample_rate * self.frame_ms // 1000

    def packet_at(self, seconds: float) -> int:
        """The packet in which a moment lies; a whole number of packets finds the one after them."""
        return math.floor(seconds * 1000 / self.frame_ms + 1e-6)

    def seconds(self, packets: int) -> float:
        """How long so many packets last."""
        return packets * self.frame_ms / 1000

    def encoder_config(self, source: Source) -> OpusEncoderConfig:
        """What the encoder is told. TCP loses nothing, so without a preset nothing is spent on redundancy."""
        if self.preset is not None:
            known = PRESETS[self.preset]
            application, complexity, dtx = known.application, known.complexity, known.dtx
            fec, loss, vbr = known.fec, known.expected_loss, known.vbr
        else:
            application = "voip" if isinstance(source, Speech) else "audio"
            complexity, dtx, fec, loss, vbr = 9, False, False, 0, True
        return OpusEncoderConfig(
            sample_rate=self.sample_rate,
            application=application,
            bitrate=self.bitrate,
            complexity=complexity,
            dtx=dtx,
            fec=fec,
            expected_loss=loss,
            vbr=vbr,
            frame_ms=self.frame_ms,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checked query.

    Attributes:
        name: The source as the client wrote it, a text to be spoken shortened.
        position: Seconds into a file or a text.
        events: Whether the client wants to be told what happens.
    """

    source: Source
    name: str
    format: SoundFormat
    position: float
    events: bool


@dataclass(frozen=True, slots=True)
class Say:
    """``say``: a text to be spoken after those before it."""

    speech: Speech


@dataclass(frozen=True, slots=True)
class Clear:
    """``clear``: say no more of what was asked for."""


Control = Ping | BitrateChange | Say | Clear

_TYPES = "ping, bitrate-change, say, clear"


def rung(bitrate: float) -> int:
    """The bitrate of :data:`LADDER` whose ratio to `bitrate` is nearest to one."""
    return min(LADDER, key=lambda step: abs(math.log(step / bitrate)))


def parse_query(query: Mapping[str, str], max_characters: int) -> Wanted:
    """Check what the query of a connection asks for.

    Args:
        query: Names and values.
        max_characters: Longest text to be spoken.

    Raises:
        BadMessage: No source, or a value that cannot be read.
        UnsupportedFormat: A value that the server does not have.
        TooLarge: A text over `max_characters`.
    """
    source = _parse_source(query, max_characters)
    preset = query.get("preset") or None
    if preset is not None and preset not in PRESETS:
        raise UnsupportedFormat(f"preset {preset[:40]!r} is not known; use one of {', '.join(PRESETS)}", field="preset")
    base = PRESETS[preset] if preset is not None else None
    rate = _one_of(query, "sampleRate", SAMPLE_RATES, base.sample_rate if base else DEFAULT_RATE, " Hz")
    frame = _one_of(query, "frameMs", FRAMES_MS, round(base.frame_ms) if base else DEFAULT_FRAME_MS, " ms")
    bitrate = _number(query, "bitrate", float(base.bitrate if base else DEFAULT_BITRATE))
    if not MIN_BITRATE <= bitrate <= MAX_BITRATE:
        raise UnsupportedFormat(
            f"bitrate {bitrate:g} is out of range; ask for {MIN_BITRATE} to {MAX_BITRATE} bits a second",
            field="bitrate",
        )
    position = _number(query, "position", 0.0)
    if not 0 <= position <= MAX_POSITION:
        raise BadMessage(f"position must be 0 to {MAX_POSITION:.0f} seconds", field="position")
    if position and _endless(source):
        raise BadMessage("position counts in a file or a text; what is live has none", field="position")
    return Wanted(
        source=source,
        name=_named(source),
        format=SoundFormat(rate, frame, rung(bitrate), preset),
        position=position,
        events=_boolean(query, "events", False),
    )


def parse_control(data: str, max_characters: int) -> Control:
    """Check a listener's text message.

    Raises:
        BadMessage: It is not JSON, not an object, of unknown ``type``, or a field is wrong.
        TooLarge: A text over `max_characters`.
    """
    try:
        decoded = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        raise BadMessage(f"a text message must be JSON: {fault}") from None
    message = fields.as_object(decoded, "a text message")
    kind = message.get("type")
    if kind == "ping":
        return parse_ping(message)
    if kind == "bitrate-change":
        return BitrateChange(min(parse_bitrate(message).bitrate, MAX_BITRATE))
    if kind == "clear":
        return Clear()
    if kind == "say":
        return Say(_parse_say(message, max_characters))
    raise BadMessage(f"type {str(kind)[:40]!r} is not known here; known are {_TYPES}", field="type")


def _parse_source(query: Mapping[str, str], max_characters: int) -> Source:
    wanted = query.get("source")
    if not wanted:
        raise BadMessage("say what is to be heard: source=file:NAME, room:ID or say:TEXT", field="source")
    kind, colon, rest = wanted.partition(":")
    if not colon or kind not in ("file", "room", "say"):
        raise BadMessage(f"source {wanted[:40]!r} is not known; it is file:NAME, room:ID or say:TEXT", field="source")
    if kind == "file":
        return File(_file_name(rest))
    if kind == "room":
        room_id = fields.session_id({"source": rest}, "source")
        return RoomSound(room_id or "")
    return Speech(
        _speakable(rest, max_characters, "source"),
        voice=fields.text(dict(query), "voice", longest=128) or None,
        language=fields.text(dict(query), "language", longest=64) or None,
        rate=_speaking_rate(_number(query, "rate", 1.0)),
    )


def _file_name(name: str) -> str:
    if len(name) > MAX_NAME:
        raise BadMessage(f"the file's name has {len(name)} characters; at most {MAX_NAME} are taken", field="source")
    parts = name.split("/")
    if "\\" in name or any(not character.isprintable() for character in name):
        raise BadMessage("a file's name has no backslashes and no control characters", field="source")
    if any(part in ("", ".", "..") for part in parts):
        raise BadMessage(
            "a file is named as GET /v1/media lists it: relative to the media folder, without '..'", field="source"
        )
    return name


def _parse_say(message: dict[str, Any], max_characters: int) -> Speech:
    text = message.get("text")
    if not isinstance(text, str):
        raise BadMessage(f"text must be text, not {fields.json_type(text)}", field="text")
    rate = message.get("rate")
    if rate is None:
        rate = 1.0
    elif not isinstance(rate, int | float) or isinstance(rate, bool):
        raise BadMessage(f"rate must be a number, not {fields.json_type(rate)}", field="rate")
    speech = Speech(
        _speakable(text, max_characters, "text"),
        voice=fields.text(message, "voice", longest=128) or None,
        language=fields.text(message, "language", longest=64) or None,
        rate=_speaking_rate(float(rate)),
    )
    if not speech.text:
        raise BadMessage("there is nothing in text to be spoken", field="text")
    return speech


def _speakable(text: str, max_characters: int, field: str) -> str:
    if len(text) > max_characters:
        raise TooLarge(
            f"a text of {len(text)} characters is over the maximum of {max_characters}; send it in pieces, as 'say' "
            "messages on source=say:",
            field=field,
        )
    return text.strip()


def _speaking_rate(rate: float) -> float:
    if not SLOWEST <= rate <= FASTEST:
        raise UnsupportedFormat(f"rate must be {SLOWEST} to {FASTEST:g}, 1 being the voice's own", field="rate")
    return round(rate, 2)


def _endless(source: Source) -> bool:
    return isinstance(source, RoomSound) or (isinstance(source, Speech) and not source.text)


def _named(source: Source) -> str:
    if isinstance(source, File):
        return f"file:{source.name}"
    if isinstance(source, RoomSound):
        return f"room:{source.room_id}"
    return f"say:{source.text[:80]}"


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name)
    if text is None or text == "":
        return default
    try:
        # int() and float() take more than a query should: spaces, underscores, digits of other scripts
        value = float(text) if text.isascii() and "_" not in text and len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadMessage(f"{name} must be a number, not {text[:40]!r}", field=name)
    return value


def _one_of(query: Mapping[str, str], name: str, known: tuple[int, ...], default: int, unit: str) -> int:
    value = _number(query, name, float(default))
    if value not in known:
        can = ", ".join(map(str, known))
        raise UnsupportedFormat(f"{name} {value:g} is not made here; ask for one of {can}{unit}", field=name)
    return int(value)


def _boolean(query: Mapping[str, str], name: str, default: bool) -> bool:
    text = query.get(name)
    if text is None or text == "":
        return default
    if text not in ("true", "false"):
        raise BadMessage(f"{name} must be true or false, not {text[:40]!r}", field=name)
    return text == "true"


def started_to_wire(
    wanted: Wanted, *, pre_skip: int, live: bool, duration: float | None, position: float
) -> dict[str, Any]:
    """``started``: what is about to come. `pre_skip` is in samples at 48 kHz, as in RFC 7845 section 5.1."""
    return {
        "type": "started",
        "source": wanted.name,
        "codec": "opus",
        "sampleRate": wanted.format.sample_rate,
        "frameMs": wanted.format.frame_ms,
        "channels": 1,
        "bitrate": wanted.format.bitrate,
        "preSkip": pre_skip,
        "live": live,
        "duration": None if duration is None else round(duration, 3),
        "position": round(position, 3),
    }


def ended_to_wire(reason: EndReason, position: float) -> dict[str, Any]:
    """``ended``: the source is over at `position` seconds."""
    return {"type": "ended", "reason": reason, "position": round(position, 3)}
