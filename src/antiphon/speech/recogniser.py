"""What a speech recogniser is.

An engine implements three small classes::

    Recogniser          one for the process: what it can do, start, close
    └── RecogniserStream    one for each stream of audio: cheap, keeps what was learnt of the speaker
        └── Utterance           one stretch of audio being decoded: holds the costly part

An engine that finds the ends of utterances itself (``capabilities.endpointing``) is given one `Utterance` for the
whole stream and reports any number of finals. Any other is given one for each utterance, cut out by voice activity
(:mod:`antiphon.speech.endpointer`), and reports one final in :meth:`Utterance.finish`.

Engines register under the entry point group ``antiphon.recognisers``; see docs/how-to/write-an-engine.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from antiphon.events import Word


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data.

    Attributes:
        streaming: Hears audio while it comes, and not only whole files.
        partials: Reports hypotheses before an utterance is over.
        word_times: Says when each word was spoken.
        word_confidence: Says how sure it is of each word.
        endpointing: Finds where utterances end; where it does not, voice activity gates its input.
        languages: BCP 47 tags.
        sample_rates: Rates in hertz that it takes; the first is preferred. Input is mono, 16-bit little-endian PCM.
    """

    streaming: bool
    partials: bool
    word_times: bool
    word_confidence: bool
    endpointing: bool
    languages: tuple[str, ...]
    sample_rates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an engine has heard.

    Attributes:
        text: Words separated by single spaces; empty where nothing was understood.
        is_final: True if it will not change any more.
        start: Seconds from the beginning of the `Utterance` it belongs to.
        end: Seconds from the beginning of the `Utterance`, up to where it has heard.
        words: Times count from the beginning of the `Utterance`.
    """

    text: str
    is_final: bool
    start: float
    end: float
    words: tuple[Word, ...] = ()


Sink = Callable[[Hypothesis], None]
"""Where an utterance's hypotheses go. Called on the event loop; never blocks and never raises."""


class Utterance(ABC):
    """A stretch of audio being decoded.

    Every method raises :class:`~antiphon.errors.EngineFailed` where the engine died or hung; the caller then makes
    another `Utterance` and sends the audio again.
    """

    @abstractmethod
    async def push(self, pcm: bytes) -> None:
        """Give the next piece of audio. Waits while the engine has more than about a second undecoded."""

    async def pause(self) -> None:
        """The speaker seems to be done, and :meth:`finish` is likely to follow: the engine may prepare its final.

        More audio may come all the same. Only engines that are gated hear of this.
        """
        return

    @abstractmethod
    async def finish(self) -> None:
        """The audio is complete: decode the rest, send the last final to the sink, and release the engine."""

    @abstractmethod
    async def abort(self) -> None:
        """Forget the audio and release the engine. Nothing more reaches the sink. Never raises."""


class RecogniserStream(ABC):
    """One stream of audio, in one language, at one sample rate."""

    @abstractmethod
    async def utterance(self, sink: Sink) -> Utterance:
        """Begin to decode.

        Waits for a free decoder.

        Raises:
            EngineFailed: A decoder could not be started; trying again may help.
            EngineUnavailable: The engine is closed.
        """

    async def close(self) -> None:
        """The stream is over."""
        return


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What every engine may be told.

    Attributes:
        max_decoders: Utterances decoded at once, at most; further ones wait their turn.
        decoder_idle: Seconds after which a decoder that nobody uses is given back.
        decoder_timeout: Seconds without progress after which a decoder counts as hung.
        extra: The engine's own settings, by name.
    """

    max_decoders: int = 4
    decoder_idle: float = 60.0
    decoder_timeout: float = 10.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Recogniser(ABC):
    """An engine. Made with :meth:`create` and started before its first stream."""

    name: str
    """Short, as in ``--engine NAME``."""

    description: str
    """One line for people choosing an engine."""

    capabilities: Capabilities

    @classmethod
    @abstractmethod
    def create(cls, options: EngineOptions) -> Recogniser:
        """Make one for a server with these options."""

    async def start(self) -> None:
        """Get ready: check that models are there, warm up.

        Raises:
            EngineUnavailable: Something that the engine needs is missing; the message says what to do.
        """
        return

    @abstractmethod
    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        """Open a stream. Both arguments are among the capabilities."""

    async def close(self) -> None:
        """Release everything. Running utterances fail with ``EngineFailed``."""
        return

    def statistics(self) -> dict[str, float]:
        """Gauges and counters for the metrics page, by name."""
        return {}
