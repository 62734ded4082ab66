"""What can go wrong on the client's side; what the server says is wrong comes as :mod:`antiphon.errors`.

::

    StreamError
    ├── ConnectionLost      no server could be reached, at first or for too long
    ├── SendTimeout         audio comes in faster than it goes out, for too long
    ├── FinishTimeout       the last results did not come in time
    ├── ResultsUnread       results come in and nobody takes them
    └── ProtocolFault       the other side is no Antiphon server, or speaks a version that this client does not know
"""

from __future__ import annotations


class StreamError(Exception):
    """Base of what a client finds out by itself.

    Args:
        message: What was wrong and what to do next.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConnectionLost(StreamError, ConnectionError):
    """The server could not be reached; retries, where there were any, are used up."""


class SendTimeout(StreamError, TimeoutError):
    """The buffer of what the server has not acknowledged stayed full.

    Attributes:
        taken: Bytes of the audio given to ``send`` that are in the buffer and will be sent; the rest is not.
    """

    def __init__(self, message: str, taken: int) -> None:
        super().__init__(message)
        self.taken = taken


class FinishTimeout(StreamError, TimeoutError):
    """The server did not tell the end of the stream in time."""


class ResultsUnread(StreamError):
    """Too many results wait for somebody to take them."""


class ProtocolFault(StreamError):
    """The other side said something that this client does not understand."""
