"""What a speech synthesiser is.

An engine implements one class::

    Synthesiser         one for the process: what it can do, start, close
    └── speak()             one text: an async generator of audio, closed to stop it

Whoever wants something said calls :meth:`Synthesiser.synthesise`, which checks the request against what the engine can
do (:func:`prepare`) and cuts its audio small, so that an engine is only ever given what it can say.

Engines register under the entry point group ``antiphon.synthesisers``; see docs/how-to/write-an-engine.md.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from antiphon.errors import BadMessage, TooLarge, UnsupportedFormat

MAX_CHUNK_MS = 200
"""A piece of audio is at most this long."""

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff]")
"""Each becomes a space, so that places in the text stay where they are. A line feed and a tab stay."""

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who can speak.

    Attributes:
        id: What a request names, unique within the engine.
        name: For people.
        language: BCP 47 tag.
        gender: ``"female"``, ``"male"``, or empty where the engine does not say.
    """

    id: str
    name: str
    language: str
    gender: str = ""


@dataclass(frozen=True, slots=True)
class SynthesiserCapabilities:
    """What an engine can do, as data.

    Attributes:
        voices: Whom it can speak as; the first is the one where a request names neither voice nor language.
        sample_rates: Rates in hertz that its audio may have; each piece of audio says which.
        streaming: Gives audio before the whole text is synthesised.
        word_marks: Says when each word is spoken.
        rates: The slowest and the fastest speaking rate, as factors of the voice's own.
        max_text: Characters of one text, at most.
    """

    voices: tuple[Voice, ...]
    sample_rates: tuple[int, ...]
    streaming: bool
    word_marks: bool
    rates: tuple[float, float] = (0.5, 2.0)
    max_text: int = 100_000

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 tags, each once, in the order of the voices."""
        return tuple(dict.fromkeys(voice.language for voice in self.voices))


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A text to be said.

    Attributes:
        text: Plain text; markup is read out as it stands.
        language: BCP 47 tag; empty for the language of the voice.
        voice: A voice's id, or its name; empty for the first one that speaks the language.
        rate: Speaking rate as a factor of the voice's own, 1.0 being normal.
    """

    text: str
    language: str = ""
    voice: str = ""
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Speech:
    """A request that an engine can fulfil.

    Attributes:
        text: Has something in it besides spaces, and no control characters but line feeds and tabs. Places in it are
            those of the request's text.
        voice: Who says it.
        rate: Within the engine's range.
    """

    text: str
    voice: Voice
    rate: float


@dataclass(frozen=True, slots=True)
class WordMark:
    """A word begins to be spoken.

    Attributes:
        start: Its first character in the request's text, counted from 0.
        length: Its length in characters.
        at: Seconds from the beginning of the speech.
    """

    start: int
    length: int
    at: float


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """A piece of speech.

    Attributes:
        pcm: Mono, signed 16-bit little-endian, a whole number of samples, at most `MAX_CHUNK_MS` long.
        sample_rate: Hertz; the same for all pieces of one text.
        marks: Words that begin in it, from engines that have ``word_marks``.
    """

    pcm: bytes
    sample_rate: int
    marks: tuple[WordMark, ...] = ()


@dataclass(frozen=True, slots=True)
class SynthesiserOptions:
    """What every engine may be told.

    Attributes:
        max_workers: Sentences synthesised at once, at most; further ones wait their turn.
        worker_idle: Seconds after which a worker that nobody uses is given back.
        worker_timeout: Seconds without audio after which a worker counts as hung.
        extra: The engine's own settings, by name.
    """

    max_workers: int = 2
    worker_idle: float = 60.0
    worker_timeout: float = 10.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Synthesiser(ABC):
    """An engine. Made with :meth:`create` and started before its first text."""

    name: str
    """Short, as in ``--synthesiser NAME``."""

    description: str
    """One line for people choosing an engine."""

    capabilities: SynthesiserCapabilities
    """Complete once the engine is started: which voices are installed may have to be looked up."""

    @classmethod
    @abstractmethod
    def create(cls, options: SynthesiserOptions) -> Synthesiser:
        """Make one for a server with these options."""

    async def start(self) -> None:
        """Get ready: check that voices are there, warm up.

        Raises:
            EngineUnavailable: Something that the engine needs is missing; the message says what to do.
        """
        return

    def synthesise(self, request: SpeechRequest) -> AsyncGenerator[SpeechAudio, None]:
        """Say a text.

        Nothing happens before the first piece is asked for. Closing the generator (``aclose``, or
        :func:`contextlib.aclosing`) stops the work; who does not read holds up nobody but themselves.

        Returns:
            The audio, piece by piece, while later text is still being synthesised.

        Raises:
            BadMessage: The text is empty or not Unicode, there is no such voice, or the rate is out of range.
            UnsupportedFormat: No voice speaks the language.
            TooLarge: The text is longer than the engine takes.
            EngineFailed: From the generator: the engine died or hung, and trying again did not help.
            EngineUnavailable: From the generator: the engine is closed.
        """
        return _in_pieces(self.speak(prepare(request, self.capabilities)))

    @abstractmethod
    def speak(self, speech: Speech) -> AsyncGenerator[SpeechAudio, None]:
        """Say what :meth:`synthesise` has checked, in pieces of any length. Called by nobody else."""

    async def close(self) -> None:
        """Release everything. What is being said fails with ``EngineUnavailable``."""
        return

    def statistics(self) -> dict[str, float]:
        """Gauges and counters for the metrics page, by name."""
        return {}


def prepare(request: SpeechRequest, can: SynthesiserCapabilities) -> Speech:
    """What an engine with these capabilities is asked to say.

    Raises:
        BadMessage: The text is empty or not Unicode, there is no such voice, or the rate is out of range.
        UnsupportedFormat: No voice speaks the language.
        TooLarge: The text is longer than the engine takes.
    """
    if len(request.text) > can.max_text:
        raise TooLarge(
            f"the text has {len(request.text)} characters and this engine takes {can.max_text}; say it in parts",
            field="text",
        )
    if lone := LONE_SURROGATE.search(request.text):
        raise BadMessage(
            f"character {lone.start()} of the text is half of a surrogate pair; send text that is valid Unicode",
            field="text",
        )
    text = CONTROL_CHARACTERS.sub(" ", request.text)
    if not text.strip():
        raise BadMessage("there is nothing to say; send a text with at least one word", field="text")
    slowest, fastest = can.rates
    if not slowest <= request.rate <= fastest:
        raise BadMessage(
            f"a rate of {request.rate:g} is out of range; this engine speaks at {slowest:g} to {fastest:g} times "
            "the normal rate",
            field="rate",
        )
    return Speech(text, match_voice(request.voice, request.language, can.voices), request.rate)


def match_voice(wanted: str, language: str, voices: tuple[Voice, ...]) -> Voice:
    """The voice for a request.

    Case does not matter, nor ``_`` for ``-`` in a language. A bare language (``en``) finds its first region, and a
    region that no voice has (``de-LI``, ``en-AU``) finds the bare language, or else the first region.

    Raises:
        BadMessage: There is no such voice, or it speaks another language.
        UnsupportedFormat: No voice speaks the language; the message lists languages that are spoken.
    """
    tag = language.replace("_", "-").lower()
    if wanted:
        folded = wanted.lower()
        named = [v for v in voices if v.id.lower() == folded] or [v for v in voices if v.name.lower() == folded]
        if not named:
            raise BadMessage(
                f"there is no voice {wanted[:40]!r}; this engine has {_some([voice.id for voice in voices])}",
                field="voice",
            )
        if tag:
            fitting = [voice for voice in named if _speaks(voice, tag)]
            if not fitting:
                raise BadMessage(
                    f"the voice {named[0].id!r} speaks {named[0].language} and not {language[:40]!r}; "
                    "name another voice, or only the language",
                    field="voice",
                )
            return fitting[0]
        return named[0]
    if not tag:
        return voices[0]
    bare = tag.partition("-")[0]
    exact = [voice for voice in voices if voice.language.lower() == tag]
    near = [voice for voice in voices if _speaks(voice, tag)]
    akin = [voice for voice in voices if voice.language.lower().partition("-")[0] == bare]
    if found := exact or near or akin:
        return found[0]
    languages = list(dict.fromkeys(voice.language for voice in voices))
    raise UnsupportedFormat(
        f"no voice of this engine speaks {language[:40]!r}; it speaks {_some(languages)}", field="language"
    )


def _speaks(voice: Voice, tag: str) -> bool:
    spoken = voice.language.lower()
    return spoken == tag or spoken.startswith(f"{tag}-") or tag.startswith(f"{spoken}-")


def _some(names: list[str], most: int = 40) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


async def _in_pieces(audio: AsyncGenerator[SpeechAudio, None]) -> AsyncGenerator[SpeechAudio, None]:
    """The same audio with every piece at most `MAX_CHUNK_MS` long; a piece's marks stay where their words begin."""
    begun = 0  # samples
    async with aclosing(audio):
        async for piece in audio:
            rate = piece.sample_rate
            size = 2 * (rate * MAX_CHUNK_MS // 1000)
            if len(piece.pcm) <= size:
                begun += len(piece.pcm) // 2
                yield piece
                continue
            for offset in range(0, len(piece.pcm), size):
                part = piece.pcm[offset : offset + size]
                last = offset + size >= len(piece.pcm)
                until = (begun + len(part) // 2) / rate
                here = tuple(
                    mark
                    for mark in piece.marks
                    if (offset == 0 or begun / rate <= mark.at) and (last or mark.at < until)
                )
                begun += len(part) // 2
                yield replace(piece, pcm=part, marks=here)
