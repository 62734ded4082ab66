"""Engines that a server of the tests is started with; found by ``PYTHONPATH``."""

from __future__ import annotations

from typing import Self

from antiphon.speech.recogniser import EngineOptions
from antiphon.testing import ScriptedRecogniser


class FailingRecogniser(ScriptedRecogniser):
    """Cuts utterances by voice activity, dies three times in the middle of the first, and hears the others."""

    @classmethod
    def create(cls, options: EngineOptions) -> Self:
        return cls(seconds=1.0, endpointing=False, failures=3)
