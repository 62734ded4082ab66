"""Engines for tests: one that fails, for what users are told then, and one that hears tones instead of words."""

from __future__ import annotations

import numpy as np

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
from antiphon.testing import ScriptedRecogniser

TONE_RATE = 16_000
FIRST_HZ = 500
STEP_HZ = 100
TONES = 40
"""Tones that are known, from :data:`FIRST_HZ` up."""
WINDOW = 320
"""Samples that are looked at at once."""
SHORTEST_S = 0.06
"""Seconds that a tone has to last."""
QUIETEST = 0.005
"""Root mean square of what is heard at all."""


class DyingRecogniser(ScriptedRecogniser):
    """A double whose every decoder dies in the middle of what it hears."""

    @classmethod
    def create(cls, options: EngineOptions) -> DyingRecogniser:
        return cls(endpointing=False, seconds=0.5, failures=1_000)


class ToneRecogniser(Recogniser):
    """An engine that hears tones, and calls each by its number: what came, how often and in what order.

    Tone `n` has ``FIRST_HZ + n * STEP_HZ`` hertz. Each is a final of its own, ``t7`` for the eighth, once it is over;
    what is shorter than :data:`SHORTEST_S` is none.
    """

    name = "tones"
    description = "An engine for tests: hears sines and names them"
    capabilities = Capabilities(
        streaming=True,
        partials=False,
        word_times=True,
        word_confidence=False,
        endpointing=True,
        languages=("en-US",),
        sample_rates=(16_000,),
    )

    @classmethod
    def create(cls, options: EngineOptions) -> ToneRecogniser:
        return cls()

    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        return _ToneStream()


class _ToneStream(RecogniserStream):
    async def utterance(self, sink: Sink) -> Utterance:
        return _Tones(sink)


class _Tones(Utterance):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pending = b""
        self._window = 0
        self._run: tuple[int, int] | None = None
        """The tone that sounds, and the window in which it began."""

    async def push(self, pcm: bytes) -> None:
        data = self._pending + pcm
        step = 2 * WINDOW
        for at in range(0, len(data) - step + 1, step):
            self._hear(dominant(data[at : at + step]))
        self._pending = data[len(data) // step * step :]

    async def finish(self) -> None:
        self._hear(None)

    async def abort(self) -> None:
        self._pending = b""

    def _hear(self, tone: int | None) -> None:
        if self._run is not None and self._run[0] != tone:
            self._tell(*self._run)
            self._run = None
        if self._run is None and tone is not None:
            self._run = (tone, self._window)
        self._window += 1

    def _tell(self, tone: int, begun: int) -> None:
        start, end = begun * WINDOW / TONE_RATE, self._window * WINDOW / TONE_RATE
        if end - start < SHORTEST_S:
            return
        word = f"t{tone}"
        self._sink(Hypothesis(word, True, start, end, (Word(word, start, end, None),)))


def dominant(pcm: bytes) -> int | None:
    """The tone that sounds in a window of s16le at 16 kHz; None for silence, noise and what lies between tones."""
    samples = np.frombuffer(pcm, "<i2") / 32_768
    if np.sqrt(np.mean(samples**2)) < QUIETEST:
        return None
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    peak = int(power.argmax())
    if power[max(0, peak - 2) : peak + 3].sum() < 0.8 * power.sum():
        return None
    tone = round((peak * TONE_RATE / samples.size - FIRST_HZ) / STEP_HZ)
    return tone if 0 <= tone < TONES else None
