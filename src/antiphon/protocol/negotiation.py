"""The messages of Socket.IO signaling, checked (names in camelCase, as its clients write them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from antiphon.errors import BadMessage, TooLarge
from antiphon.protocol import fields

SERVER = "server"
"""The `targetSocketId` of the media server."""
MAX_SDP_BYTES = 64 * 1024
MAX_CANDIDATE_BYTES = 2 * 1024
MAX_MLINE = 1024

Mode = Literal["relay", "mix"]
Kind = Literal["offer", "answer"]


@dataclass(frozen=True, slots=True)
class Captions:
    """What is said is to be written down.

    Attributes:
        language: A BCP 47 tag; None stands for the server's own.
    """

    language: str | None = None


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """A checked ``join-room``.

    Attributes:
        mode: Of the room, where this makes it; None where the client doesn't mind.
        captions: None where the client doesn't ask for them.
    """

    room_id: str
    user_id: str = ""
    role: str = ""
    mode: Mode | None = None
    captions: Captions | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """A checked ``offer`` or ``answer``.

    Attributes:
        room_id: None where the client left it out.
        target: A socket's id; None for the media server.
        sdp: As the client wrote it: text, or an object with `type` and `sdp`.
        text: The session description itself.
    """

    kind: Kind
    room_id: str | None
    target: str | None
    sdp: str | dict[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checked ``ice-candidate``.

    Attributes:
        candidate: As the client wrote it: text, an ``RTCIceCandidateInit``, or None at the end of candidates.
        line: ``candidate:...``, empty at the end of candidates.
    """

    room_id: str | None
    target: str | None
    candidate: str | dict[str, Any] | None
    line: str


def parse_join(data: object) -> JoinRoom:
    """Check the data of ``join-room``.

    Raises:
        BadMessage: A field is missing or wrong.
    """
    message = fields.as_object(data, "join-room")
    return JoinRoom(
        room_id=required_room(message, "join-room"),
        user_id=fields.text(message, "userId", "", longest=128) or "",
        role=fields.text(message, "role", "", longest=64) or "",
        mode=parse_mode(message),
        captions=parse_captions(message.get("captions")),
        token=fields.text(message, "token", longest=4096),
    )


def parse_mode(message: dict[str, Any]) -> Mode | None:
    """A field ``mode``.

    Raises:
        BadMessage: It is none that rooms have.
    """
    match mode := fields.text(message, "mode"):
        case None | "relay" | "mix":
            return mode
        case _:
            raise BadMessage(f"mode {mode!r} is not known; use 'relay' or 'mix'", field="mode")


def parse_captions(value: object) -> Captions | None:
    """A field ``captions``: an object with `language_code`, true for the server's language, or false, null or absent.

    Raises:
        BadMessage: It is something else.
    """
    if value is None or value is False:
        return None
    if value is True:
        return Captions()
    try:
        return Captions(fields.text(fields.as_object(value, "captions"), "language_code"))
    except BadMessage as error:
        raise BadMessage(error.message, field="captions") from None


def parse_room(data: object, event: str) -> str | None:
    """The room that a message without anything else names, or None.

    Raises:
        BadMessage: It names none that can be.
    """
    return fields.session_id(fields.as_object({} if data is None else data, event), "roomId")


def parse_description(kind: Kind, data: object) -> Description:
    """Check the data of ``offer`` or ``answer``.

    Raises:
        BadMessage: A field is missing or wrong.
        TooLarge: The session description is over :data:`MAX_SDP_BYTES`.
    """
    message = fields.as_object(data, kind)
    sdp = message.get("sdp")
    text = sdp
    if isinstance(sdp, dict):
        text, said = sdp.get("sdp"), sdp.get("type", kind)
        if said != kind:
            raise BadMessage(f"sdp.type must be {kind!r} in an {kind}, not {str(said)[:20]!r}", field="sdp.type")
    if not isinstance(text, str) or not text:
        raise BadMessage(
            f"sdp must be a session description, as text or as {{type, sdp}}; it is {fields.json_type(text)}",
            field="sdp",
        )
    if (size := len(text.encode())) > MAX_SDP_BYTES:
        raise TooLarge(f"sdp has {size} bytes; at most {MAX_SDP_BYTES} are taken", field="sdp")
    target = _target(message)
    room_id = fields.session_id(message, "roomId")
    return Description(kind, room_id, target, {"type": kind, "sdp": text} if isinstance(sdp, dict) else text, text)


def parse_candidate(data: object) -> Candidate:
    """Check the data of ``ice-candidate``.

    Raises:
        BadMessage: A field is missing or wrong.
        TooLarge: The candidate is over :data:`MAX_CANDIDATE_BYTES`.
    """
    message = fields.as_object(data, "ice-candidate")
    value = message.get("candidate")
    candidate: str | dict[str, Any] | None
    if isinstance(value, dict):
        line = value.get("candidate")
        candidate = {"candidate": line or "", **_place(value)}
    else:
        line = candidate = value or None
    if line is not None and not isinstance(line, str):
        raise BadMessage(
            "candidate must be an RTCIceCandidateInit or the text 'candidate:...', or null at their end; it is "
            f"{fields.json_type(line)}",
            field="candidate",
        )
    line = line or ""
    if (size := len(line.encode())) > MAX_CANDIDATE_BYTES:
        raise TooLarge(f"candidate has {size} bytes; at most {MAX_CANDIDATE_BYTES} are taken", field="candidate")
    return Candidate(fields.session_id(message, "roomId"), _target(message), candidate, line)


def required_room(message: dict[str, Any], event: str) -> str:
    """The field ``roomId``, which must be there."""
    room_id = fields.session_id(message, "roomId")
    if room_id is None:
        raise BadMessage(f"{event} needs roomId", field="roomId")
    return room_id


def _place(candidate: dict[str, Any]) -> dict[str, Any]:
    """Where a candidate belongs: the other members of ``RTCIceCandidateInit`` (WebRTC 1.0, section 4.8.1.1)."""
    place: dict[str, Any] = {}
    try:
        for name in ("sdpMid", "usernameFragment"):
            if name in candidate:
                place[name] = fields.text(candidate, name)
    except BadMessage as error:
        raise BadMessage(error.message, field=f"candidate.{error.field}") from None
    if "sdpMLineIndex" in candidate:
        index = candidate["sdpMLineIndex"]
        if index is not None and (type(index) is not int or not 0 <= index < MAX_MLINE):
            raise BadMessage(
                f"sdpMLineIndex must be a whole number from 0 to {MAX_MLINE - 1}", field="candidate.sdpMLineIndex"
            )
        place["sdpMLineIndex"] = index
    return place


def _target(message: dict[str, Any]) -> str | None:
    target = fields.text(message, "targetSocketId", longest=64)
    return None if target == SERVER else target or None
