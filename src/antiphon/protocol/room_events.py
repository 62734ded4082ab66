"""What a room's members are told of what somebody says, and what they may say over the metadata channel."""

from __future__ import annotations

from typing import Any

from antiphon.errors import BadMessage, TooLarge
from antiphon.events import Entry, Transcript
from antiphon.protocol.audio_stream import BitrateChange, Control, Mute, Ping, Stats, entry_to_wire, parse_control
from antiphon.protocol.signaling import Member
from antiphon.protocol.transcription import result_to_wire

MAX_CHANNEL_MESSAGE = 4096
"""Bytes of one message over the metadata channel."""


def result_of(entry: Entry, event: Transcript, member: Member, session_id: str) -> dict[str, Any]:
    """A ``transcription_result`` of somebody in a room: snake_case, but for what signaling calls otherwise."""
    speaker = {"speaker": member.id, "userId": member.user_id, "session_id": session_id}
    return {**result_to_wire(entry.id, event), **speaker}


def transcript_of(entry: Entry, member: Member, session_id: str) -> dict[str, Any]:
    """The same as a ``transcript``, in camelCase."""
    wire = entry_to_wire(entry, "") or {}
    return {**wire, "speaker": member.id, "userId": member.user_id, "sessionId": session_id}


def parse_channel(text: str) -> Ping | Mute | BitrateChange | Stats:
    """Check what came over a metadata channel.

    Raises:
        BadMessage: It is none of what may come.
        TooLarge: It is over :data:`MAX_CHANNEL_MESSAGE`.
    """
    if (size := len(text.encode("utf-8", "surrogatepass"))) > MAX_CHANNEL_MESSAGE:
        raise TooLarge(f"this message has {size} bytes; the metadata channel takes {MAX_CHANNEL_MESSAGE}")
    control: Control = parse_control(text)
    if isinstance(control, Ping | Mute | BitrateChange | Stats):
        return control
    raise BadMessage("the metadata channel takes ping, mute, unmute, bitrate-change and stats", field="type")
