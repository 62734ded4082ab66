"""Captions: what one speaker of a room says, written down in a session of its own."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.errors import AntiphonError, BadAudio, Conflict, DurationLimit, RateLimited, UnsupportedFormat
from antiphon.events import Ended, Entry, Transcript
from antiphon.formats import AudioFormat, Encoding
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.participant import Participant

MAX_WAITING = 50
"""Blocks of audio, of about 100 ms each, that are kept while a stream begins; the oldest go first."""
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
"""Seconds, at first and at most, until a stream that was refused is tried again."""


@dataclass(frozen=True, slots=True)
class CaptionSink:
    """Who is told.

    Attributes:
        words: Called with the name of the session and the entry of its log that holds a transcript.
        refused: Called once where what is said cannot be written down for now.
        begun: Called with the stream that it is written down with, each time one begins.
        lost: Called for each block that could not be heard.
    """

    words: Callable[[str, Entry], None]
    refused: Callable[[AntiphonError], None]
    begun: Callable[[Participant], None] = lambda _: None
    lost: Callable[[AntiphonError], None] = lambda _: None


async def follow_words(participant: Participant, after: int, words: Callable[[str, Entry], None]) -> None:
    """Tell what a participant says, from the log's entry after `after` on, until its stream has ended."""
    session = participant.session
    async for entry in session.follow(after):
        event = entry.event
        if event.participant_id != participant.id:
            continue
        if isinstance(event, Transcript):
            words(session.id, entry)
        elif isinstance(event, Ended):
            return


class Captions:
    """One speaker's stream of audio, which begins with its first block.

    Args:
        sessions: Where streams live.
        role: Of the speaker.
        language: One of the engine's tags.
        sink: Who is told.
        audio: What the blocks are; None for 16-bit samples, mono, at the engine's rate.
    """

    def __init__(
        self,
        sessions: SessionManager,
        role: str,
        language: str,
        sink: CaptionSink,
        audio: AudioFormat | None = None,
    ) -> None:
        self._sessions = sessions
        self._role = role
        self._language = language
        self._sink = sink
        self._audio = audio or AudioFormat(Encoding.PCM_S16LE, sessions.engine_rate, 1)
        self._participant: Participant | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._refusals = 0
        self._retry_at = float("-inf")
        self._over = False

    @property
    def fresh(self) -> bool:
        """True where the next block begins a stream."""
        return self._participant is None and self._beginning is None

    @property
    def resting(self) -> bool:
        """True where none is begun yet, since the last one was refused not long ago."""
        return self.fresh and self._sessions.clock.monotonic() < self._retry_at

    def hear(self, block: bytes) -> None:
        """Take the next block. What comes while there is no room is lost."""
        if self._over:
            return
        if self._participant is None or self._waiting:
            self._waiting.append(block)
            if self.fresh and self._sessions.clock.monotonic() >= self._retry_at:
                self._beginning = asyncio.create_task(self._begin(), name="begin captions")
            return
        self._ingest(self._participant, block)

    async def finish(self, reason: str) -> None:
        """No more will come: returns when all that was said has been told."""
        self._over = True
        if self._beginning is not None:
            await asyncio.wait([self._beginning])
        if self._participant is not None:
            await self._participant.finish(reason)
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def _ingest(self, participant: Participant, block: bytes) -> None:
        try:
            participant.ingest(block, self._sessions.clock.monotonic())
        except RateLimited as error:
            # the recogniser is behind; what was not taken is missing in the captions, and counted
            participant.dropped += 1
            self._sink.lost(error)
        except (BadAudio, UnsupportedFormat) as error:
            self._sink.lost(error)
        except (DurationLimit, Conflict):
            # as long as a stream may be: the next block begins another
            self._participant = None

    async def _begin(self) -> None:
        sessions = self._sessions
        try:
            participant = await sessions.begin(None, self._role, self._audio, self._language)
        except AntiphonError as error:
            self._refuse(error)
            return
        finally:
            self._beginning = None
        self._refusals = 0
        self._participant = participant
        self._sink.begun(participant)
        if self._reader is not None:
            # the words of the stream before come first
            await asyncio.wait([self._reader])
        self._reader = asyncio.create_task(follow_words(participant, 0, self._sink.words), name="captions")
        while self._waiting and self._participant is participant:
            self._ingest(participant, self._waiting.popleft())

    def _refuse(self, error: AntiphonError) -> None:
        self._waiting.clear()
        longest = min(LAST_RETRY_S, FIRST_RETRY_S * 2**self._refusals)
        self._retry_at = self._sessions.clock.monotonic() + max(error.retry_after or 0.0, random.uniform(0, longest))
        if self._refusals == 0:
            self._sink.refused(error)
        self._refusals += 1
