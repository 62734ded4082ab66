"""Sessions and their participants: durable streams of audio, each with its place, all with one event log."""

from antiphon.sessions.limits import SessionLimits
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.participant import Participant
from antiphon.sessions.session import Session

__all__ = ["Participant", "Session", "SessionLimits", "SessionManager"]
