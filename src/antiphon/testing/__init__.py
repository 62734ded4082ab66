"""Doubles for tests, of this project and of those built on it. Nothing here hears, and nothing here is a default."""

from antiphon.testing.clock import VirtualClock
from antiphon.testing.recogniser import ScriptedRecogniser

__all__ = ["ScriptedRecogniser", "VirtualClock"]
