"""How much a client may have, and how fast it may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of sessions.

    Attributes:
        max_streams: Streams at once, detached ones and running jobs among them.
        max_session_s: Seconds of audio that one stream may bring.
        burst_s: Seconds of audio that may come at once, say after an outage.
        max_rate: Seconds of audio a second that may come for long.
        max_backlog_s: Seconds of speech that may wait for a decoder.
        resume_window_s: Seconds that a stream waits for its client to come back.
        retention_s: Seconds that the log of an ended session is kept.
        max_retained: Ended sessions whose logs are kept, at most; the oldest go first.
        max_pending_events: Events of a session that may wait for the store.
    """

    max_streams: int = 32
    max_session_s: float = 4 * 3600.0
    burst_s: float = 60.0
    max_rate: float = 4.0
    max_backlog_s: float = 60.0
    resume_window_s: float = 60.0
    retention_s: float = 3600.0
    max_retained: int = 1000
    max_pending_events: int = 1000
