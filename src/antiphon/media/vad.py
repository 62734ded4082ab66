"""Voice activity detection: a probability for every 16 ms, and a flag that neither flickers nor cuts words off.

docs/benchmarks/signal.md compares it with WebRTC's detector.
"""

from __future__ import annotations

from antiphon._native import VoiceActivity, VoiceActivityDetector

__all__ = ["VoiceActivity", "VoiceActivityDetector"]
