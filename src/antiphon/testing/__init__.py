"""Doubles and tools for tests, of this project and those built on it. Nothing here hears; nothing here is a default."""

from antiphon.testing.clock import VirtualClock
from antiphon.testing.link import UdpLink
from antiphon.testing.recogniser import ScriptedRecogniser
from antiphon.testing.rtc import ScriptedRtcEngine

__all__ = ["ScriptedRecogniser", "ScriptedRtcEngine", "UdpLink", "VirtualClock"]
