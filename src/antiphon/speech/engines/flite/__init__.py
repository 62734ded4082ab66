"""Flite (CMU's festival-lite), where its program is installed: English, and closer to a human voice than eSpeak NG."""

from antiphon.speech.engines.flite.engine import FliteSynthesiser

__all__ = ["FliteSynthesiser"]
