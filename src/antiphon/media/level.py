"""Levels of a signal: RMS, peak, clipping, and the audio level of RFC 6464.

Levels are in dBFS with a full-scale square wave at 0 dB and a full-scale sine at -3.01: the scale of dBov in ITU-T
G.100.1 and RFC 6464. AES17 and IEC 61606 put a full-scale sine at 0 dB; add :data:`AES17_OFFSET_DB` for theirs. Silence
is ``-inf``.
"""

from __future__ import annotations

from antiphon._native import Level, LevelMeter, audio_level, audio_level_dbfs, measure_level

__all__ = ["AES17_OFFSET_DB", "Level", "LevelMeter", "audio_level", "audio_level_dbfs", "measure_level"]

AES17_OFFSET_DB = 3.010299956639812
"""What to add to a level here for the scale on which a full-scale sine has 0 dBFS RMS."""
