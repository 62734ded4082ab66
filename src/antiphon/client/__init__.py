"""Typed clients for a running server: live audio over WebSocket or Socket.IO, and whole files over HTTP."""

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
from antiphon.client.results import Reconnected, Result
from antiphon.client.stream import TranscriptionClient

__all__ = [
    "Backoff",
    "ConnectionLost",
    "Door",
    "FinishTimeout",
    "ProtocolFault",
    "Reconnected",
    "Result",
    "ResultsUnread",
    "SendTimeout",
    "StreamError",
    "StreamLimits",
    "TranscriptionClient",
    "transcribe_file",
]
