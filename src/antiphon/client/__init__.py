"""Typed clients for a running server: live audio over WebSocket or Socket.IO, whole files over HTTP, and audio out."""

from antiphon.client.backoff import Backoff
from antiphon.client.errors import (
    ConnectionLost,
    FinishTimeout,
    ProtocolFault,
    ResultsUnread,
    SendTimeout,
    StreamError,
)
from antiphon.client.files import transcribe_file
from antiphon.client.lifecycle import Door, StreamLimits
from antiphon.client.listener import AudioListener, ListenLimits
from antiphon.client.listening import (
    Cleared,
    ConnectionBack,
    Heard,
    ListenOptions,
    Notice,
    Packet,
    PacketsLost,
    StreamEnded,
    StreamStarted,
)
from antiphon.client.playout import Decoding, Playout, PlayoutCounters, PlayoutOptions
from antiphon.client.results import Reconnected, Result
from antiphon.client.stream import TranscriptionClient

__all__ = [
    "AudioListener",
    "Backoff",
    "Cleared",
    "ConnectionBack",
    "ConnectionLost",
    "Decoding",
    "Door",
    "FinishTimeout",
    "Heard",
    "ListenLimits",
    "ListenOptions",
    "Notice",
    "Packet",
    "PacketsLost",
    "Playout",
    "PlayoutCounters",
    "PlayoutOptions",
    "ProtocolFault",
    "Reconnected",
    "Result",
    "ResultsUnread",
    "SendTimeout",
    "StreamEnded",
    "StreamError",
    "StreamLimits",
    "StreamStarted",
    "TranscriptionClient",
    "transcribe_file",
]
