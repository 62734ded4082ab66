"""eSpeak NG as a synthesiser."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from antiphon.speech.engines.espeak import wire
from antiphon.speech.engines.espeak.pool import WorkerPool
from antiphon.speech.narration import narrate
from antiphon.speech.sentences import Part, parts
from antiphon.speech.synthesiser import (
    Speech,
    SpeechAudio,
    Synthesiser,
    SynthesiserCapabilities,
    SynthesiserOptions,
    Voice,
    WordMark,
)

PART = 150
MOST = 300
"""Sentences go to a worker together until they are as long as `PART`; the longest takes about half a minute to say."""

DEFAULT_LANGUAGE = "en-US"
FEMALE = "f2"
"""The library's voices are male; this variant of each is not."""


class EspeakSynthesiser(Synthesiser):
    """eSpeak NG with the voices of its package: offline, a hundred times as fast as speech."""

    name = "espeak"
    description = "eSpeak NG with its packaged voices: offline, over 100 languages, quick, sounds like a machine"
    capabilities = SynthesiserCapabilities(voices=(), sample_rates=(22_050,), streaming=True, word_marks=True)

    def __init__(self, options: SynthesiserOptions) -> None:
        self._timeout = options.worker_timeout
        self._pool = WorkerPool(options.max_workers, options.worker_idle, time.monotonic)
        self._identifiers: dict[str, str] = {}

    @classmethod
    def create(cls, options: SynthesiserOptions) -> EspeakSynthesiser:
        return cls(options)

    async def start(self) -> None:
        about = await self._pool.start()
        found = voices(about["voices"])
        self._identifiers = {voice.id: identifier for voice, identifier in found}
        self.capabilities = SynthesiserCapabilities(
            voices=tuple(voice for voice, _ in found),
            sample_rates=(about["sampleRate"],),
            streaming=True,
            word_marks=True,
        )

    def speak(self, speech: Speech) -> AsyncGenerator[SpeechAudio, None]:
        async def say(part: Part) -> AsyncGenerator[SpeechAudio, None]:
            async with self._pool.worker() as worker:
                worker.speaking = True
                wanted = {"text": part.text, "voice": identifier, "rate": speech.rate, "more": not part.last}
                await worker.send(wire.SAY, wanted)
                marks: tuple[WordMark, ...] = ()
                while (answer := await worker.receive(self._timeout))[0] != wire.DONE:
                    kind, payload = answer
                    if kind == wire.MARKS:
                        marks += tuple(WordMark(first, size, at / rate) for first, size, at in json.loads(payload))
                    elif kind == wire.AUDIO:
                        yield SpeechAudio(payload, rate, marks)
                        marks = ()
                worker.speaking = False

        identifier = self._identifiers[speech.voice.id]
        rate = self.capabilities.sample_rates[0]
        return narrate(parts(speech.text, PART, MOST), say)

    async def close(self) -> None:
        await self._pool.close()

    def statistics(self) -> dict[str, float]:
        return self._pool.counts()


def voices(listed: Iterable[Any]) -> list[tuple[Voice, str]]:
    """What a request may name, and the library's identifier for it: each language as a man and as a woman.

    Where several voices have a language, the one that puts it first has it; then the one of the least priority number.

    Args:
        listed: Identifier, name, and languages with priorities of each voice.
    """
    chosen: dict[str, tuple[int, str, str]] = {}
    for identifier, name, languages in listed:
        if identifier.startswith("mb/") or name.endswith("-test"):
            continue
        for place, (priority, language) in enumerate(languages):
            entry = (priority + 100 * bool(place), name, identifier)
            tag = _tag(language)
            if tag not in chosen or entry[0] < chosen[tag][0]:
                chosen[tag] = entry
    # a bare language of which there are regions would hide the default one
    if any(tag.startswith("en-") for tag in chosen):
        chosen.pop("en", None)
    order = sorted(chosen, key=lambda tag: (tag != DEFAULT_LANGUAGE, tag.lower()))
    return [
        (Voice(f"{tag}{suffix}", f"{chosen[tag][1]}{after}", tag, gender), f"{chosen[tag][2]}{suffix}")
        for tag in order
        for suffix, after, gender in (("", "", "male"), (f"+{FEMALE}", ", female", "female"))
    ]


def _tag(language: str) -> str:
    """The usual spelling of a BCP 47 tag (RFC 5646, section 2.1.1)."""
    subtags = language.split("-")
    spelt = [subtags[0].lower()]
    for subtag in subtags[1:]:
        if "x" in spelt or len(subtag) not in (2, 4):
            spelt.append(subtag.lower())
        else:
            spelt.append(subtag.upper() if len(subtag) == 2 else subtag.title())
    return "-".join(spelt)
