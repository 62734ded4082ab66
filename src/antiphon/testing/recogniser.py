"""A recogniser that says what it was told to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from antiphon.errors import EngineFailed
from antiphon.events import Word
from antiphon.speech.recogniser import (
    Capabilities,
    EngineOptions,
    Hypothesis,
    Recogniser,
    RecogniserStream,
    Sink,
    Utterance,
)

DEFAULT_SCRIPT = ("one two three", "four five six", "seven eight nine")


class ScriptedRecogniser(Recogniser):
    """A double: it hears nothing, and gives each sentence of its script after so many seconds of audio.

    By default it finds the ends of utterances itself: every `seconds` of audio are one sentence, whose words appear one
    after another in partials. With ``endpointing=False`` it is gated by voice activity as real engines are, and each
    utterance is one sentence. After the last sentence it begins again.

    Args:
        script: What it says.
        seconds: Audio that a sentence takes.
        endpointing: Whether it finds the ends of utterances itself.
        failures: How many utterances die in the middle, before it works.
    """

    name = "scripted"
    description = "A double for tests: says a script, hears nothing"
    capabilities = Capabilities(
        streaming=True,
        partials=True,
        word_times=True,
        word_confidence=True,
        endpointing=True,
        languages=("en-US", "de-DE"),
        sample_rates=(16_000,),
    )

    def __init__(
        self,
        script: Sequence[str] = DEFAULT_SCRIPT,
        seconds: float = 3.0,
        endpointing: bool = True,
        failures: int = 0,
    ) -> None:
        self.script = tuple(script)
        self.seconds = seconds
        self.failures = failures
        self.bytes_heard = 0
        self.utterances = 0
        self.capabilities = replace(type(self).capabilities, endpointing=endpointing)

    @classmethod
    def create(cls, options: EngineOptions) -> ScriptedRecogniser:
        return cls(**options.extra)

    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        return _Stream(self, sample_rate)


class _Stream(RecogniserStream):
    def __init__(self, engine: ScriptedRecogniser, sample_rate: int) -> None:
        self.engine = engine
        self.sample_rate = sample_rate
        self.sentence = 0

    async def utterance(self, sink: Sink) -> Utterance:
        self.engine.utterances += 1
        return _Utterance(self, sink)


class _Utterance(Utterance):
    def __init__(self, stream: _Stream, sink: Sink) -> None:
        self._stream = stream
        self._engine = stream.engine
        self._sink: Sink | None = sink
        self._begun = 0
        self._heard = 0
        self._shown = 0
        self._sentence_samples = int(stream.engine.seconds * stream.sample_rate)

    async def push(self, pcm: bytes) -> None:
        self._engine.bytes_heard += len(pcm)
        self._heard += len(pcm) // 2
        if self._engine.failures and self._heard > self._sentence_samples // 2:
            self._engine.failures -= 1
            raise EngineFailed("the script says that this decoder dies here")
        while self._engine.capabilities.endpointing and self._heard - self._begun >= self._sentence_samples:
            self._final(self._begun + self._sentence_samples)
        words = self._words()
        told = min(len(words), (self._heard - self._begun) * (len(words) + 1) // self._sentence_samples)
        if told > self._shown and self._sink is not None:
            self._shown = told
            rate = self._stream.sample_rate
            self._sink(Hypothesis(" ".join(words[:told]), False, self._begun / rate, self._heard / rate))

    async def finish(self) -> None:
        if self._heard > self._begun and (self._shown or not self._engine.capabilities.endpointing):
            self._final(self._heard)
        self._sink = None

    async def abort(self) -> None:
        self._sink = None

    def _words(self) -> list[str]:
        script = self._engine.script
        return script[self._stream.sentence % len(script)].split()

    def _final(self, until: int) -> None:
        words = self._words()
        start, end = self._begun / self._stream.sample_rate, until / self._stream.sample_rate
        step = (end - start) / max(1, len(words))
        timed = tuple(
            Word(word, round(start + i * step, 3), round(start + (i + 1) * step, 3), 1.0)
            for i, word in enumerate(words)
        )
        self._begun = until
        self._shown = 0
        self._stream.sentence += 1
        if self._sink is not None:
            self._sink(Hypothesis(" ".join(words), True, start, end, timed))
