"""A participant: one stream of audio with its place in it, which outlives its connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from antiphon.clock import Clock
from antiphon.errors import AntiphonError, Conflict
from antiphon.events import Ended, Failed, Started
from antiphon.formats import AudioFormat
from antiphon.sessions.inflow import InflowOptions, open_inflow
from antiphon.sessions.limits import SessionLimits
from antiphon.speech.transcriber import Transcriber

if TYPE_CHECKING:
    from antiphon.sessions.session import Session


class Participant:
    """One stream of audio in a session.

    Attributes:
        id: Unique in its session, and the ``speaker`` of its transcripts.
        resume_token: Whoever shows it may go on with this stream.
        next_seq: The chunk wanted next; all before it are safe (framings without numbers count messages).
        inflow: The way of its audio in.
        ending: True once the stream takes no more audio: it has ended, or its last words are being worked out.
        ended: True once `Ended` is written.
        resume_window: Seconds that the stream waits for its client to come back.
        dropped: Chunks refused or lost and not brought again.
    """

    def __init__(
        self,
        session: Session,
        role: str,
        audio: AudioFormat,
        language: str,
        engine_rate: int,
        make_transcriber: Callable[[Participant], Transcriber],
        limits: SessionLimits,
        clock: Clock,
        on_end: Callable[[Participant], None],
    ) -> None:
        self.id = secrets.token_hex(8)
        self.session = session
        self.role = role
        self.format = audio
        self.language = language
        self.resume_token = secrets.token_urlsafe(24)
        self.next_seq = 0
        self.dropped = 0
        self.resume_window = limits.resume_window_s
        self.ending = False
        self.ended = False
        self._on_end = on_end
        self._transcriber = make_transcriber(self)
        self.inflow = open_inflow(
            InflowOptions(
                audio,
                engine_rate,
                limits,
                self._transcriber,
                session,
                lambda: self._end("limit"),
                clock.monotonic(),
            )
        )
        self._finishing: asyncio.Task[None] | None = None
        self._replaced: Callable[[], None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        session.participants[self.id] = self
        session.emit(Started(self.id, role, language))

    @property
    def attached(self) -> bool:
        """True while a connection holds this stream."""
        return self._replaced is not None

    @property
    def seconds(self) -> float:
        """Seconds of audio taken, gaps included."""
        return self.inflow.seconds

    def attach(self, replaced: Callable[[], None]) -> None:
        """A connection takes the stream over; `replaced` is called when another takes it from there."""
        if self.ending:
            raise Conflict("this stream has ended; start a new one")
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        previous, self._replaced = self._replaced, replaced
        if previous is not None:
            previous()

    def detach(self, replaced: Callable[[], None]) -> None:
        """The connection is gone; the stream waits for another until the resume window closes."""
        if self._replaced != replaced or self.ended:
            return
        self._replaced = None
        if not self.ending:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self.resume_window, self._expire)

    def ingest(self, data: bytes, now: float) -> None:
        """Take the next message of the stream, at `now` seconds on the session's clock.

        Raises:
            BadAudio: It is not what the stream should carry.
            RateLimited: Too fast, or too much waits to be decoded; nothing was taken.
            DurationLimit: The stream is as long as it may be; it ends.
            Conflict: The stream has ended.
        """
        if self.ending:
            raise Conflict("this stream has ended; start a new one")
        self.inflow.ingest(data, now)

    async def finish(self, reason: str) -> None:
        """End the stream: decode what is left, then write `Ended`. Further calls wait for the first."""
        await asyncio.shield(self._end(reason))

    def _end(self, reason: str) -> asyncio.Task[None]:
        if self._finishing is None:
            self.ending = True
            self._finishing = asyncio.create_task(self._finish(reason), name=f"finish {self.id}")
        return self._finishing

    async def _finish(self, reason: str) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        try:
            await self.inflow.finish()
        except AntiphonError as error:
            self.session.emit(Failed.of(self.id, error))
        try:
            await self._transcriber.finish()
        finally:
            self.ended = True
            lost = self.dropped + self.inflow.stats.lost
            self.session.emit(Ended(self.id, reason, round(self.seconds, 3), lost))
            self.session.leave(self)
            self._on_end(self)

    def _expire(self) -> None:
        self._expiry = None
        self._end("lost")
