"""Engines that fail, for tests of what users are told then."""

from __future__ import annotations

from antiphon.speech.recogniser import EngineOptions
from antiphon.testing import ScriptedRecogniser


class DyingRecogniser(ScriptedRecogniser):
    """A double whose every decoder dies in the middle of what it hears."""

    @classmethod
    def create(cls, options: EngineOptions) -> DyingRecogniser:
        return cls(endpointing=False, seconds=0.5, failures=1_000)
