"""Doubles and tools for tests, of this project and those built on it. Nothing here hears or speaks, or is a default."""

from antiphon.testing.broadcast import ManualBroadcaster
from antiphon.testing.clock import VirtualClock
from antiphon.testing.link import UdpLink
from antiphon.testing.recogniser import ScriptedRecogniser
from antiphon.testing.rtc import ScriptedRtcEngine
from antiphon.testing.synthesiser import ScriptedSynthesiser

__all__ = [
    "ManualBroadcaster",
    "ScriptedRecogniser",
    "ScriptedRtcEngine",
    "ScriptedSynthesiser",
    "UdpLink",
    "VirtualClock",
]
