"""What happens in a session, as values.

Times named ``start``, ``end`` and ``at`` inside an event are seconds of the participant's audio, counted from its first
sample; silence that was skipped or lost counts. Door-specific names (camelCase or snake_case) are given by
:mod:`antiphon.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from antiphon.errors import AntiphonError


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word.

    Attributes:
        word: As it is spoken, without the engine's marks for alternative pronunciations.
        start: Seconds of audio.
        end: Seconds of audio.
        confidence: 0 to 1, or None where the engine gives none.
    """

    word: str
    start: float
    end: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A participant's stream began, or a job's file."""

    participant_id: str
    role: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Speaking:
    """A participant began or ceased to speak."""

    participant_id: str
    active: bool
    at: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard of one utterance, so far (partial) or for good (final).

    Attributes:
        result_id: The same for the partials and the final of one utterance.
        start: Where the utterance begins, in seconds of audio.
        end: How far it has been heard, in seconds of audio.
    """

    participant_id: str
    result_id: str
    text: str
    is_partial: bool
    start: float
    end: float
    language: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a whole file has been transcribed, in seconds; ``total`` is None where the file does not say."""

    participant_id: str
    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong that the listeners of the session need to know of."""

    participant_id: str
    error: dict[str, Any]

    @classmethod
    def of(cls, participant_id: str, error: AntiphonError) -> Failed:
        return cls(participant_id, error.as_dict())


@dataclass(frozen=True, slots=True)
class Ended:
    """A participant's stream is over and everything it said is in the log.

    Attributes:
        reason: ``stopped``, ``left``, ``lost`` (the connection did not come back), ``limit``, ``cancelled``,
            ``failed`` or ``shutdown``.
        duration: Seconds of audio taken.
        dropped: Chunks that were refused or lost, after resending.
    """

    participant_id: str
    reason: str
    duration: float
    dropped: int = 0


Event = Started | Speaking | Transcript | Progress | Failed | Ended


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in a session's log.

    Attributes:
        id: 1 for the first event of the session, increasing.
        time: Seconds since the Unix epoch at which it was written.
        event: What happened.
    """

    id: int
    time: float
    event: Event = field()
