"""Everything that can go wrong and be told to a client.

The tree (each leaf is one code of the wire contract)::

    AntiphonError
    ├── ClientError                 the sender must change something
    │   ├── BadMessage              bad_message         not the shape that the door takes
    │   ├── BadAudio                bad_audio           bytes that are not the audio they claim to be
    │   ├── UnsupportedFormat       unsupported_format  a format or language this server cannot take
    │   ├── Unauthorized            unauthorized        no credentials, or wrong ones
    │   ├── Forbidden               forbidden           known, and still not allowed
    │   ├── NotFound                not_found
    │   ├── Conflict                conflict            right message, wrong moment
    │   └── TooLarge                too_large
    ├── LimitError                  the sender may come back later
    │   ├── RateLimited             rate_limited        carries ``retry_after``
    │   ├── SessionLimit            session_limit
    │   └── DurationLimit           duration_limit
    └── ServerError                 the server's own fault
        ├── EngineUnavailable       engine_unavailable
        ├── EngineFailed            engine_failed
        └── Internal                internal
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class ErrorCode(StrEnum):
    """The documented list of codes; a client may switch on them."""

    BAD_MESSAGE = "bad_message"
    BAD_AUDIO = "bad_audio"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    SESSION_LIMIT = "session_limit"
    DURATION_LIMIT = "duration_limit"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    ENGINE_FAILED = "engine_failed"
    INTERNAL = "internal"


class AntiphonError(Exception):
    """Base of all errors that carry a code.

    Args:
        message: What was wrong, whose fault it is and what to do next, in one or two sentences.
        field: The one field at fault, as the client wrote it.
        retry_after: Seconds to wait before trying again.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The wire shape: ``message``, ``code``, ``retryable``, and ``field`` and ``retryAfter`` where known."""
        wire: dict[str, Any] = {
            "message": self.message,
            "code": self.code.value,
            "retryable": self.retryable,
        }
        if self.field is not None:
            wire["field"] = self.field
        if self.retry_after is not None:
            wire["retryAfter"] = round(self.retry_after, 3)
        return wire


class ClientError(AntiphonError):
    """The sender must change something before trying again."""

    http_status = 400


class BadMessage(ClientError):
    """A message that does not have the shape the door takes."""

    code = ErrorCode.BAD_MESSAGE


class BadAudio(ClientError):
    """Bytes that are not the audio they are said to be."""

    code = ErrorCode.BAD_AUDIO
    http_status = 422


class UnsupportedFormat(ClientError):
    """An encoding, sample rate, channel count or language that this server cannot take."""

    code = ErrorCode.UNSUPPORTED_FORMAT
    http_status = 415


class Unauthorized(ClientError):
    """No credentials, or wrong ones."""

    code = ErrorCode.UNAUTHORIZED
    http_status = 401


class Forbidden(ClientError):
    """The sender is known, or needs not be, and may still not do this."""

    code = ErrorCode.FORBIDDEN
    http_status = 403


class NotFound(ClientError):
    """There is no such session, job or object."""

    code = ErrorCode.NOT_FOUND
    http_status = 404


class Conflict(ClientError):
    """A right message at the wrong moment."""

    code = ErrorCode.CONFLICT
    http_status = 409


class TooLarge(ClientError):
    """A message or a file over the documented maximum."""

    code = ErrorCode.TOO_LARGE
    http_status = 413


class LimitError(AntiphonError):
    """Nothing is wrong with the message; there is no room for it now."""

    retryable = True
    http_status = 429


class RateLimited(LimitError):
    """Sent faster than the documented rate; what was refused was not taken."""

    code = ErrorCode.RATE_LIMITED


class SessionLimit(LimitError):
    """As many streams run as this server takes."""

    code = ErrorCode.SESSION_LIMIT
    http_status = 503


class DurationLimit(LimitError):
    """The stream or file is longer than the server allows."""

    code = ErrorCode.DURATION_LIMIT
    retryable = False
    http_status = 413


class ServerError(AntiphonError):
    """The fault is the server's; the same request may succeed later."""

    retryable = True
    http_status = 500


class EngineUnavailable(ServerError):
    """The speech engine is not installed, cannot start or is shutting down."""

    code = ErrorCode.ENGINE_UNAVAILABLE
    http_status = 503


class EngineFailed(ServerError):
    """The speech engine died, hung or gave nonsense."""

    code = ErrorCode.ENGINE_FAILED
    http_status = 502


class Internal(ServerError):
    """A fault in Antiphon; the log of the server says more."""

    code = ErrorCode.INTERNAL


def error_class(code: str) -> type[AntiphonError]:
    """The class of a wire code; unknown codes (of a newer server) give :class:`AntiphonError`."""
    pending: list[type[AntiphonError]] = [ClientError, LimitError, ServerError]
    while pending:
        cls = pending.pop()
        if "code" in cls.__dict__ and cls.code.value == code:
            return cls
        pending.extend(cls.__subclasses__())
    return AntiphonError


def error_from_dict(wire: dict[str, Any]) -> AntiphonError:
    """The error that a server described with :meth:`AntiphonError.as_dict`."""
    return error_class(str(wire.get("code", "")))(
        str(wire.get("message", "the server gave no message")),
        field=wire.get("field"),
        retry_after=wire.get("retryAfter"),
    )
