"""A synthesiser that plays a note for each word."""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import AsyncGenerator

from antiphon.errors import EngineFailed
from antiphon.speech.synthesiser import (
    Speech,
    SpeechAudio,
    Synthesiser,
    SynthesiserCapabilities,
    SynthesiserOptions,
    Voice,
    WordMark,
)

LOWEST = 400.0
STEP = 50.0


class ScriptedSynthesiser(Synthesiser):
    """A double: it can't speak, and plays a note for each word, whose length is always the same.

    A word of n letters is a sine of ``400 + 50 * n`` hertz, so that what was heard tells which words were said. The
    audio is the same each time.

    Args:
        word_seconds: How long a note is, at a rate of 1.
        failures: How many texts die after their first word, before it works.
        sample_rate: Hertz.

    Attributes:
        texts: What it was asked to say.
        stopped: Texts that were closed before they were over.
        gate: Each word waits for this; clear it to stop the audio, set it to let it go on.
    """

    name = "scripted"
    description = "A double for tests: plays a note for each word"
    capabilities = SynthesiserCapabilities(
        voices=(Voice("note", "Note", "en-US"), Voice("ton", "Ton", "de-DE")),
        sample_rates=(16_000,),
        streaming=True,
        word_marks=True,
        max_text=10_000,
    )

    def __init__(self, word_seconds: float = 0.1, failures: int = 0, sample_rate: int = 16_000) -> None:
        self.word_seconds = word_seconds
        self.failures = failures
        self.sample_rate = sample_rate
        self.texts: list[str] = []
        self.stopped = 0
        self.gate = asyncio.Event()
        self.gate.set()

    @classmethod
    def create(cls, options: SynthesiserOptions) -> ScriptedSynthesiser:
        return cls(**options.extra)

    async def speak(self, speech: Speech) -> AsyncGenerator[SpeechAudio, None]:
        self.texts.append(speech.text)
        at = 0.0
        over = False
        try:
            for number, word in enumerate(re.finditer(r"\S+", speech.text)):
                if number == 1 and self.failures:
                    self.failures -= 1
                    raise EngineFailed("the script says that this text dies here")
                await self.gate.wait()
                pcm = self._note(len(word.group()), self.word_seconds / speech.rate)
                mark = WordMark(word.start(), len(word.group()), round(at, 3))
                yield SpeechAudio(pcm, self.sample_rate, (mark,))
                at += len(pcm) / (2 * self.sample_rate)
            over = True
        finally:
            self.stopped += not over

    def _note(self, letters: int, seconds: float) -> bytes:
        turn = 2 * math.pi * (LOWEST + STEP * letters) / self.sample_rate
        count = round(seconds * self.sample_rate)
        return struct.pack(f"<{count}h", *(round(8000 * math.sin(turn * index)) for index in range(count)))
